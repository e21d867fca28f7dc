"""One shape for every storage: a source of voltage behind a resistance, tabulated over its energy.

Battery, supercapacitor and flywheel obey the same equation: a source (open-circuit voltage, capacitor
voltage, back-EMF of the machine, which is proportional to speed) behind a resistance that heats, and a
standing loss. Only the tables differ, so a fleet of all kinds takes one code path.

| symbol | name in code | meaning |
|---|---|---|
| e | position / GRID_CELLS | stored energy over capacity, absolute (0: standstill, 0 V, empty) |
| v(e) | `emf_pu` | source voltage over its value when full |
| ρ(e, T) | `resistance_h` | loss = ρ·p²/capacity for the power p at the source; ρ = R·capacity/v², hours |
| h(e) | `headroom_pu` | (v - v_min)/v discharging, (v_max - v)/v charging: bounds p to h·capacity/ρ |
| A, B | `standing_*_per_h` | de/dt = -A·sqrt(e) - B·e when idle |
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from devices.arrays import FloatArray
from devices.errors import BadTable

GRID_CELLS: Final = 512
GRID_POINTS: Final = GRID_CELLS + 1
# Uniform, so that 10, 25, 40 and 60 °C of the measured columns are grid points; outside it is held constant.
TEMPERATURE_FIRST_C: Final = 10.0
TEMPERATURE_STEP_C: Final = 5.0
TEMPERATURE_POINTS: Final = 11
# A limit that is reached gradually: full power this far inside the temperature limits, none at them.
TEMPERATURE_TAPER_K: Final = 5.0
# No source gives more than at half its voltage (maximum power transfer).
LARGEST_HEADROOM_PU: Final = 0.5
SMALLEST_RESISTANCE_H: Final = 1e-9


class StorageKind(IntEnum):
    """The shipped storage tables; values are rows of the stacked table."""

    LFP = 0
    NMC = 1
    SUPERCAPACITOR = 2
    FLYWHEEL = 3


@dataclass(frozen=True, slots=True)
class StorageTable:
    """One kind of storage over its energy; arrays of one more than GRID_CELLS values from empty to full.

    Attributes
    ----------
    name : str
    emf_pu : (GRID_CELLS + 1,) float64
    resistance_h : (2, TEMPERATURE_POINTS, GRID_CELLS + 1) float64
        First axis: discharging, charging.
    headroom_pu : (2, GRID_CELLS + 1) float64
    power_limit_per_h : (float, float)
        Largest discharging and charging power at the source over capacity, 1/h.
    standing_sqrt_per_h, standing_linear_per_h : float
        A and B.
    heat_capacity_wh_per_k : float
        Per Wh of capacity.
    cooling_time_s : float
        Time constant of the storage's temperature towards ambient.
    temperature_limits_c : ((float, float), (float, float))
        Lowest and highest temperature for discharging, and for charging.
    """

    name: str
    emf_pu: FloatArray
    resistance_h: FloatArray
    headroom_pu: FloatArray
    power_limit_per_h: tuple[float, float]
    standing_sqrt_per_h: float
    standing_linear_per_h: float
    heat_capacity_wh_per_k: float
    cooling_time_s: float
    temperature_limits_c: tuple[tuple[float, float], tuple[float, float]]

    def __post_init__(self) -> None:
        n = GRID_CELLS + 1
        if self.emf_pu.shape != (n,) or self.headroom_pu.shape != (2, n):
            raise BadTable(f"storage table {self.name}: emf and headroom need {n} points")
        if self.resistance_h.shape != (2, TEMPERATURE_POINTS, n):
            raise BadTable(
                f"storage table {self.name}: resistance needs shape (2, {TEMPERATURE_POINTS}, {n})"
            )
        if np.any(self.resistance_h < 0.0) or np.any(self.emf_pu <= 0.0):
            raise BadTable(f"storage table {self.name}: resistance and voltage must not be negative")
        if self.standing_sqrt_per_h < 0.0 or self.standing_linear_per_h < 0.0:
            raise BadTable(f"storage table {self.name}: standing losses must not be negative")


@dataclass(frozen=True, slots=True, eq=False)
class StorageTables:
    """Several `StorageTable`s stacked for lookups by row; equal only to itself.

    Attributes
    ----------
    names : tuple of str
    emf_pu : (n, GRID_CELLS + 1)
    resistance_h : (n * 2 * TEMPERATURE_POINTS, GRID_CELLS + 1)
        Row (2·table + is_charging) · TEMPERATURE_POINTS + temperature.
    headroom_pu : (n * 2, GRID_CELLS + 1)
    power_limit_per_h : (n * 2,)
    standing_sqrt_per_h, standing_linear_per_h, heat_capacity_wh_per_k, cooling_time_s : (n,)
    temperature_low_c, temperature_high_c : (n * 2,)
    """

    names: tuple[str, ...]
    emf_pu: FloatArray
    resistance_h: FloatArray
    headroom_pu: FloatArray
    power_limit_per_h: FloatArray
    standing_sqrt_per_h: FloatArray
    standing_linear_per_h: FloatArray
    heat_capacity_wh_per_k: FloatArray
    cooling_time_s: FloatArray
    temperature_low_c: FloatArray
    temperature_high_c: FloatArray


def stack_tables(tables: tuple[StorageTable, ...]) -> StorageTables:
    """Stack tables; row i of the result is `tables[i]`."""
    n = GRID_CELLS + 1
    limits = np.asarray([t.temperature_limits_c for t in tables], dtype=np.float64)
    return StorageTables(
        names=tuple(t.name for t in tables),
        emf_pu=np.stack([t.emf_pu for t in tables]),
        resistance_h=np.maximum(
            np.concatenate([t.resistance_h.reshape(-1, n) for t in tables]), SMALLEST_RESISTANCE_H
        ),
        headroom_pu=np.clip(np.concatenate([t.headroom_pu for t in tables]), 0.0, LARGEST_HEADROOM_PU),
        power_limit_per_h=np.asarray([t.power_limit_per_h for t in tables], dtype=np.float64).ravel(),
        standing_sqrt_per_h=np.asarray([t.standing_sqrt_per_h for t in tables], dtype=np.float64),
        standing_linear_per_h=np.asarray([t.standing_linear_per_h for t in tables], dtype=np.float64),
        heat_capacity_wh_per_k=np.asarray([t.heat_capacity_wh_per_k for t in tables], dtype=np.float64),
        cooling_time_s=np.asarray([t.cooling_time_s for t in tables], dtype=np.float64),
        temperature_low_c=limits[:, :, 0].ravel(),
        temperature_high_c=limits[:, :, 1].ravel(),
    )


def temperature_grid_c() -> FloatArray:
    """Return the temperatures of the resistance rows, °C, (TEMPERATURE_POINTS,)."""
    return TEMPERATURE_FIRST_C + TEMPERATURE_STEP_C * np.arange(TEMPERATURE_POINTS, dtype=np.float64)


def energy_grid() -> FloatArray:
    """Return the energies of the columns over capacity, (GRID_CELLS + 1,)."""
    return np.linspace(0.0, 1.0, GRID_CELLS + 1, dtype=np.float64)
