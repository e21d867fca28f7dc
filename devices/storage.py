"""One step of any storage behind its converter: limits, losses, bounds hit inside the step, books closed.

| step | what happens |
|---|---|
| 1 | standing loss over the step, exact: u = sqrt(e), du/dt = -(A + B·u)/2 |
| 2 | terminal power clipped to the ratings; the converter gives the power on the storage side |
| 3 | power at the source from p_dc = p - k·p², k = ρ/capacity; limited by current, voltage, temperature |
| 4 | where the energy moves noticeably, 3 again at the energy of mid-step (second order in the step) |
| 5 | if empty, reserve or full is reached inside the step: what is there is moved, then the power is 0 |
| 6 | temperature relaxes exactly towards ambient plus heating |

Every unit is computed from its own row only, so a fleet of one gives the same numbers as a fleet of many.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from devices.arrays import BoolArray, FloatArray, IntArray, Rows
from devices.converter import ConverterTables
from devices.source import conditions, source_power_w
from devices.storage_tables import StorageTables

SECONDS_PER_HOUR: Final = 3600.0
# Below this share of the capacity per step the tables do not change enough for the midpoint to matter.
MIDPOINT_FROM_PU: Final = 1e-4


@dataclass(frozen=True, slots=True)
class StorageUnits:
    """Storage units of a fleet; all arrays (m,).

    Attributes
    ----------
    table, converter : int64
        Rows of `StorageTables` and `ConverterTables`.
    rated_w : float64
        Rated power of the converter at its terminal, W.
    p_charge_max_w, p_discharge_max_w : float64
        Limits at the terminal, W, both >= 0.
    capacity_wh : float64
        Energy when full and new, counted from 0 V or standstill.
    floor_wh : float64
        Energy below which nothing can be delivered.
    """

    table: IntArray
    converter: IntArray
    rated_w: FloatArray
    p_charge_max_w: FloatArray
    p_discharge_max_w: FloatArray
    capacity_wh: FloatArray
    floor_wh: FloatArray

    def take(self, rows: IntArray) -> "StorageUnits":
        """Return the units of some rows."""
        return StorageUnits(
            self.table[rows],
            self.converter[rows],
            self.rated_w[rows],
            self.p_charge_max_w[rows],
            self.p_discharge_max_w[rows],
            self.capacity_wh[rows],
            self.floor_wh[rows],
        )


@dataclass(frozen=True, slots=True)
class UnitState:
    """What changes of storage units; all arrays (m,) float64.

    Attributes
    ----------
    energy_wh, temp_c : float64
    capacity_wh : float64
        Capacity left after ageing.
    resistance_factor : float64
        Resistance over its value when new.
    bottom_wh : float64
        Energy that discharging must leave: floor or reserve.
    leakage_w : float64
        Loss of an internal short, W; 0 for a sound unit.
    """

    energy_wh: FloatArray
    temp_c: FloatArray
    capacity_wh: FloatArray
    resistance_factor: FloatArray
    bottom_wh: FloatArray
    leakage_w: FloatArray

    def take(self, rows: IntArray) -> "UnitState":
        """Return the state of some rows."""
        return UnitState(
            self.energy_wh[rows],
            self.temp_c[rows],
            self.capacity_wh[rows],
            self.resistance_factor[rows],
            self.bottom_wh[rows],
            self.leakage_w[rows],
        )


@dataclass(frozen=True, slots=True)
class Transfer:
    """What one step did to storage units; all arrays (m,).

    Attributes
    ----------
    energy_wh, temp_c : float64
        After the step.
    terminal_wh : float64
        Net export at the terminal.
    source_wh : float64
        Energy taken from the source by the transfer, > 0 discharging.
    loss_wh : float64
        Converter, resistance and standing loss.
    standing_wh : float64
        The standing part of it.
    p_w : float64
        Power at the terminal while the transfer lasted.
    is_bound : bool
        Empty, reserve or full was reached inside the step.
    is_limited : bool
        Current, voltage or temperature allowed less than asked.
    """

    energy_wh: FloatArray
    temp_c: FloatArray
    terminal_wh: FloatArray
    source_wh: FloatArray
    loss_wh: FloatArray
    standing_wh: FloatArray
    p_w: FloatArray
    is_bound: BoolArray
    is_limited: BoolArray


def transfer(
    tables: StorageTables,
    converters: ConverterTables,
    units: StorageUnits,
    state: UnitState,
    p_w: FloatArray,
    ambient_c: FloatArray | float,
    dt_s: float,
) -> Transfer:
    """Run units for `dt_s` seconds at a terminal power.

    Parameters
    ----------
    p_w : (m,) float64
        Wanted mean power at the terminal, W, > 0 discharging.
    ambient_c : float or (m,) float64
    dt_s : float
        Any length > 0; a bound hit inside the step is found in closed form.

    Returns
    -------
    Transfer

    Notes
    -----
    state.energy_wh - energy_wh == source_wh + standing_wh and source_wh == terminal_wh + loss_wh -
    standing_wh hold to rounding.
    """
    dt_h = dt_s / SECONDS_PER_HOUR
    done = _move(tables, converters, units, state, p_w, dt_h)
    source = np.copysign(done.moved_wh, done.p_source_w)
    terminal = done.p_ac_w * done.active_h
    heat_w = done.loss_per_w * done.p_source_w
    heat_w *= done.p_source_w
    heat_w *= done.active_h
    heat_w += done.standing_wh
    heat_w /= dt_h
    loss = source - terminal
    loss += done.standing_wh
    return Transfer(
        energy_wh=done.energy_wh - source,
        temp_c=_temperature_c(tables, units.table, state, ambient_c, heat_w, dt_s),
        terminal_wh=terminal,
        source_wh=source,
        loss_wh=loss,
        standing_wh=done.standing_wh,
        p_w=done.p_ac_w,
        is_bound=done.is_bound,
        is_limited=done.is_limited,
    )


def delivered_wh(
    tables: StorageTables,
    converters: ConverterTables,
    units: StorageUnits,
    state: UnitState,
    p_w: FloatArray,
    dt_s: float,
) -> FloatArray:
    """Return the net export at the terminal that `transfer` gives for the same arguments, (m,) Wh."""
    done = _move(tables, converters, units, state, p_w, dt_s / SECONDS_PER_HOUR)
    return done.p_ac_w * done.active_h


@dataclass(frozen=True, slots=True)
class _Move:
    """What units move in a step, before the books; all arrays (m,).

    `energy_wh` is what the standing loss leaves, `moved_wh` the energy through the source, >= 0, `active_h` how
    long it takes.
    """

    energy_wh: FloatArray
    standing_wh: FloatArray
    p_ac_w: FloatArray
    p_source_w: FloatArray
    loss_per_w: FloatArray
    moved_wh: FloatArray
    active_h: FloatArray
    is_bound: BoolArray
    is_limited: BoolArray


def _move(
    tables: StorageTables,
    converters: ConverterTables,
    units: StorageUnits,
    state: UnitState,
    p_w: FloatArray,
    dt_h: float,
) -> _Move:
    capacity = state.capacity_wh
    standing = standing_loss_wh(tables, units.table, state.energy_wh, capacity, dt_h)
    if state.leakage_w.any():
        standing = np.minimum(standing + state.leakage_w * dt_h, state.energy_wh)
    energy = state.energy_wh - standing

    p_ac = np.maximum(p_w, -units.p_charge_max_w)
    np.minimum(p_ac, units.p_discharge_max_w, out=p_ac)
    p_dc = converters.dc_power_w(p_ac, units.rated_w, units.converter)
    given = conditions(tables, units.table, capacity, state.temp_c, state.resistance_factor, p_dc)
    p_source, k, is_limited = source_power_w(tables, given, energy)
    available = np.where(p_source > 0.0, energy - state.bottom_wh, capacity - energy)
    np.maximum(available, 0.0, out=available)
    moved = np.abs(p_source)
    moved *= dt_h
    middle = (moved > MIDPOINT_FROM_PU * capacity).nonzero()[0]
    if middle.size:
        # Where all of them are there is nothing to pick.
        at: Rows = slice(None) if middle.size == moved.size else middle
        half = np.minimum(moved[at], available[at])
        half *= np.sign(p_source[at])
        half *= -0.5
        half += energy[at]
        p_mid, k_mid, limited_mid = source_power_w(tables, given.take(at), half)
        p_source[at], k[at], is_limited[at] = p_mid, k_mid, limited_mid
        np.abs(p_mid, out=p_mid)
        p_mid *= dt_h
        moved[at] = p_mid

    limited = is_limited.nonzero()[0]
    if limited.size:
        p_lim = p_source[limited]
        p_ac_lim = converters.ac_power_w(
            p_lim - k[limited] * p_lim * p_lim, units.rated_w[limited], units.converter[limited]
        )
        # The inverse is a lookup of its own: never more than was asked.
        p_ac_lim = np.copysign(np.minimum(np.abs(p_ac_lim), np.abs(p_ac[limited])), p_ac_lim)
        # Less than the converter's own no-load loss is left: it stays off.
        is_off = (p_ac_lim == 0.0) | (p_lim == 0.0)
        p_source[limited] = np.where(is_off, 0.0, p_lim)
        p_ac[limited] = np.where(is_off, 0.0, p_ac_lim)
        moved[limited] = np.abs(p_source[limited]) * dt_h

    is_bound = moved > available
    active_h = np.full(moved.size, dt_h)
    bound = is_bound.nonzero()[0]
    if bound.size:
        active_h[bound] *= available[bound] / moved[bound]
        moved[bound] = available[bound]
    return _Move(energy, standing, p_ac, p_source, k, moved, active_h, is_bound, is_limited)


def standing_loss_wh(
    tables: StorageTables, table: IntArray, energy_wh: FloatArray, capacity_wh: FloatArray, dt_h: float
) -> FloatArray:
    """Return the energy an idle storage loses in `dt_h` hours, (m,) Wh; exact for any length.

    Notes
    -----
    With u = sqrt(e): u(t) = u0·exp(-B·t/2) - (A/B)·(1 - exp(-B·t/2)), not below 0, so that the loss
    capacity·(u0 - u)·(u0 + u) has no cancellation.
    """
    shrink, drop = _standing_over(tables, dt_h)
    u = energy_wh / capacity_wh
    np.sqrt(u, out=u)
    fall = u * shrink.take(table)
    fall += drop.take(table)
    np.minimum(fall, u, out=fall)
    u *= 2.0
    u -= fall
    u *= fall
    u *= capacity_wh
    # Rounding must not take more than there is.
    return np.minimum(u, energy_wh, out=u)


# The controller's period and the firmware's step come again and again, coasts have lengths of their own.
@lru_cache(maxsize=64)
def _standing_over(tables: StorageTables, dt_h: float) -> tuple[FloatArray, FloatArray]:
    """Return 1 - exp(-B·t/2) and (A/B)·(1 - exp(-B·t/2)) of each table."""
    a, b = tables.standing_sqrt_per_h, tables.standing_linear_per_h
    shrink = -np.expm1(-0.5 * b * dt_h)
    return shrink, np.where(b > 0.0, a / np.where(b > 0.0, b, 1.0) * shrink, 0.5 * a * dt_h)


def _temperature_c(
    tables: StorageTables,
    table: IntArray,
    state: UnitState,
    ambient_c: FloatArray | float,
    heat_w: FloatArray,
    dt_s: float,
) -> FloatArray:
    """Return the temperature after the step, (m,) °C: exact for constant heating and ambient."""
    share, kelvin_per_w = _cooling_over(tables, dt_s)
    rise = heat_w * kelvin_per_w.take(table)
    rise /= state.capacity_wh
    rise += ambient_c
    rise -= state.temp_c
    rise *= share.take(table)
    rise += state.temp_c
    return rise


@lru_cache(maxsize=64)
def _cooling_over(tables: StorageTables, dt_s: float) -> tuple[FloatArray, FloatArray]:
    """Return the share of the way to the final temperature, and the final rise by watt per capacity, of each table."""
    share = -np.expm1(-dt_s / tables.cooling_time_s)
    return share, tables.cooling_time_s / (SECONDS_PER_HOUR * tables.heat_capacity_wh_per_k)


def source_at(
    tables: StorageTables,
    converters: ConverterTables,
    units: StorageUnits,
    capacity_wh: FloatArray,
    energy_wh: FloatArray,
    temp_c: FloatArray,
    resistance_factor: FloatArray,
    p_w: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return power at the source (W) and loss coefficient k (1/W) for a terminal power now, (m,) each."""
    p_dc = converters.dc_power_w(p_w, units.rated_w, units.converter)
    given = conditions(tables, units.table, capacity_wh, temp_c, resistance_factor, p_dc)
    p_source, k, _ = source_power_w(tables, given, energy_wh)
    return p_source, k
