"""Converters: efficiency over load in both directions, exact lookup and inverse; never a constant.

| symbol | name in code | meaning |
|---|---|---|
| p | `p_ac_w` | power at the terminal, > 0 injects (discharging), < 0 withdraws (charging) |
| x | load | abs(p) over rated power |
| η(x) | efficiency | charging: DC power = η·AC power; discharging: AC power = η·DC power |

A converter at exactly 0 W is switched off and loses nothing; just above 0 W it pays its no-load loss.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from devices.arrays import FloatArray, IntArray, interpolate_rows
from devices.data import sinamics
from devices.errors import BadTable

# The grid is uniform in the square root of the load: efficiency bends sharply below 5 % load.
GRID_CELLS: Final = 2048
# Discharging at a vanishing load needs a finite DC power (the no-load loss): the efficiency there is 0, and
# the table keeps its reciprocal finite by ending at this load.
SMALLEST_LOAD_PU: Final = 1e-6


class Converter(IntEnum):
    """The shipped converters; values are rows of the stacked table."""

    SINAMICS = 0
    DC_DC = 1
    RECTIFIER_BYPASS = 2


@dataclass(frozen=True, slots=True)
class EfficiencyCurve:
    """Efficiency over load, both ways.

    Attributes
    ----------
    charging_load_pu, discharging_load_pu : (k,) float64
        Rising, from 0 to 1: AC power over rated power.
    charging_efficiency, discharging_efficiency : (k,) float64
        In [0, 1].
    """

    charging_load_pu: FloatArray
    charging_efficiency: FloatArray
    discharging_load_pu: FloatArray
    discharging_efficiency: FloatArray

    def __post_init__(self) -> None:
        for load, efficiency in (
            (self.charging_load_pu, self.charging_efficiency),
            (self.discharging_load_pu, self.discharging_efficiency),
        ):
            if load.shape != efficiency.shape or load.size < 2 or np.any(np.diff(load) <= 0.0):
                raise BadTable("efficiency curve: loads must rise and have one efficiency each")
            if load[0] != 0.0 or load[-1] != 1.0:
                raise BadTable("efficiency curve: loads must run from 0 to 1")
            if np.any(efficiency < 0.0) or np.any(efficiency > 1.0):
                raise BadTable("efficiency curve: efficiencies must lie in [0, 1]")

    def charging(self, load_pu: FloatArray) -> FloatArray:
        """Return the charging efficiency at loads in [0, 1]."""
        return np.interp(load_pu, self.charging_load_pu, self.charging_efficiency)

    def discharging(self, load_pu: FloatArray) -> FloatArray:
        """Return the discharging efficiency at loads in [0, 1]."""
        return np.interp(load_pu, self.discharging_load_pu, self.discharging_efficiency)


def sinamics_curve() -> EfficiencyCurve:
    """Return the Sinamics S120 curve: a grid or motor drive of some tens of kW.

    References
    ----------
    SimSES, BSD-3-Clause (devices/data/sinamics.py).
    """
    return EfficiencyCurve(
        np.asarray(sinamics.CHARGING_LOAD_PU, dtype=np.float64),
        np.asarray(sinamics.CHARGING_EFFICIENCY, dtype=np.float64),
        np.asarray(sinamics.DISCHARGING_LOAD_PU, dtype=np.float64),
        np.asarray(sinamics.DISCHARGING_EFFICIENCY, dtype=np.float64),
    )


def notton_curve(no_load_loss_pu: float, linear_loss_pu: float, quadratic_loss_pu: float) -> EfficiencyCurve:
    """Return η(x) = x / (x + k0 + k1·x + k2·x²), the same both ways.

    Parameters
    ----------
    no_load_loss_pu, linear_loss_pu, quadratic_loss_pu : float
        k0 (switching, control), k1 (diode-like drops), k2 (ohmic), in per unit of rated power.

    References
    ----------
    G. Notton, V. Lazarov, L. Stoyanov, Optimal sizing of a grid-connected PV system for various PV module
    technologies and inclinations, inverter efficiency characteristics and locations, Renewable Energy 35
    (2010) 541–554, doi:10.1016/j.renene.2009.07.013 (the form, without the linear term).
    """
    load = np.linspace(0.0, 1.0, 513) ** 2
    loss = no_load_loss_pu + linear_loss_pu * load + quadratic_loss_pu * load * load
    efficiency = load / (load + loss)
    return EfficiencyCurve(load, efficiency, load, efficiency)


# Synchronous buck-boost stages of 50 W to 1 kW reach 96–98 % at mid load and lose about half a percent of
# their rating when idle. No-load, linear and ohmic losses chosen to give 90.6 % at 5 %, 97.0 % at half and
# 96.4 % at full load.
DC_DC_LOSS_PU: Final = (0.0045, 0.009, 0.024)
# Battery backup shelves of open-rack servers discharge to the 48 V bar by one stage: 97.5 % at half load.
RECTIFIER_LOSS_PU: Final = (0.003, 0.010, 0.018)


def shipped_curves() -> tuple[EfficiencyCurve, ...]:
    """Return the curves in the order of `Converter`."""
    return (sinamics_curve(), notton_curve(*DC_DC_LOSS_PU), notton_curve(*RECTIFIER_LOSS_PU))


@dataclass(frozen=True, slots=True)
class ConverterTables:
    """Curves of several converters on one uniform grid, for a whole fleet at once.

    Attributes
    ----------
    dc_per_rated : (2 * n_converters, GRID_CELLS + 1) float64
        DC power over rated power, on a grid uniform in sqrt(load). Rows 2k: discharging, 2k + 1: charging.
    ac_per_rated : (2 * n_converters, GRID_CELLS + 1) float64
        The inverse: AC power over rated power, on a grid uniform in sqrt(DC power over its largest value).
    dc_max_per_rated : (2 * n_converters,) float64
        DC power over rated power at full load.
    """

    dc_per_rated: FloatArray
    ac_per_rated: FloatArray
    dc_max_per_rated: FloatArray

    def dc_power_w(self, p_ac_w: FloatArray, rated_w: FloatArray, converter: IntArray) -> FloatArray:
        """Return the power on the storage side for a power at the terminal.

        Parameters
        ----------
        p_ac_w : (m,) float64
            Terminal power, W, > 0 discharging. Magnitudes above rated power are treated as rated.
        rated_w : (m,) float64
            Rated power, W, > 0.
        converter : (m,) int64
            Row of `Converter`.

        Returns
        -------
        (m,) float64
            W with the sign of `p_ac_w`; larger in magnitude when discharging, smaller when charging.
        """
        load = np.abs(p_ac_w)
        load /= rated_w
        np.sqrt(load, out=load)
        load *= GRID_CELLS
        row = 2 * converter + (p_ac_w < 0.0)
        return _signed(interpolate_rows(self.dc_per_rated, row, load), rated_w, p_ac_w)

    def ac_power_w(self, p_dc_w: FloatArray, rated_w: FloatArray, converter: IntArray) -> FloatArray:
        """Return the power at the terminal for a power on the storage side; inverse of `dc_power_w`.

        Notes
        -----
        Equal to the exact inverse of the interpolated curve within 1e-5 of rated power; a discharging power
        below the no-load loss gives 0 W at the terminal, all of it is lost.
        """
        row = 2 * converter + (p_dc_w < 0.0)
        position = np.abs(p_dc_w)
        position /= rated_w * self.dc_max_per_rated.take(row)
        np.sqrt(position, out=position)
        position *= GRID_CELLS
        return _signed(interpolate_rows(self.ac_per_rated, row, position), rated_w, p_dc_w)


def _signed(magnitude_pu: FloatArray, rated_w: FloatArray, like: FloatArray) -> FloatArray:
    magnitude_pu *= rated_w
    magnitude_pu *= np.sign(like)
    return magnitude_pu


def stack_converters(curves: tuple[EfficiencyCurve, ...]) -> ConverterTables:
    """Put curves on the common grid.

    Raises
    ------
    BadTable
        If a curve's DC power does not rise with its AC power: no inverse exists.
    """
    grid = np.linspace(0.0, 1.0, GRID_CELLS + 1) ** 2
    forward: list[FloatArray] = []
    inverse: list[FloatArray] = []
    largest: list[float] = []
    for curve in curves:
        floor = np.maximum(grid, SMALLEST_LOAD_PU)
        # Below the first measured load the loss stays what it is there: the DC power keeps rising.
        first = np.maximum(floor, curve.discharging_load_pu[1])
        discharging = floor + first / curve.discharging(first) - first
        charging = grid * curve.charging(grid)
        for dc in (discharging, charging):
            if np.any(np.diff(dc) < -1e-12) or not np.all(np.isfinite(dc)):
                raise BadTable("efficiency curve: the DC power must rise with the AC power")
            rising = np.maximum.accumulate(dc)
            forward.append(rising)
            largest.append(float(rising[-1]))
            # The root spacing of the inverse grid resolves the no-load step as the forward grid does.
            inverse.append(np.interp(grid * rising[-1], rising, grid, left=0.0))
    return ConverterTables(np.stack(forward), np.stack(inverse), np.asarray(largest))


SHIPPED_CONVERTERS: Final = stack_converters(shipped_curves())
