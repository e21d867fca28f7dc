"""The power of a source behind its resistance: what it loses, and what current, voltage and temperature allow.

What depends on temperature and direction alone is looked up once, for every energy asked about after it.
"""

from dataclasses import dataclass

import numpy as np

from devices.arrays import BoolArray, FloatArray, IntArray, Rows, grid_cells, interpolate_at
from devices.storage_tables import (
    GRID_CELLS,
    GRID_POINTS,
    TEMPERATURE_FIRST_C,
    TEMPERATURE_POINTS,
    TEMPERATURE_STEP_C,
    TEMPERATURE_TAPER_K,
    StorageTables,
)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What holds of sources whatever their energy is; all arrays (m,).

    Attributes
    ----------
    p_dc_w : float64
        Wanted power on the storage side of the converter, > 0 discharging.
    capacity_per_wh : float64
        One over the capacity left after ageing.
    resistance_factor : float64
    headroom_at, resistance_at : int64
        Where the rows of the direction (and temperature) begin in the flattened tables.
    warmth : float64
        Place between two temperatures of the resistance table, [0, 1).
    largest_w : float64
        What rate and temperature allow at the source.
    """

    p_dc_w: FloatArray
    capacity_per_wh: FloatArray
    resistance_factor: FloatArray
    headroom_at: IntArray
    resistance_at: IntArray
    warmth: FloatArray
    largest_w: FloatArray

    def take(self, rows: Rows) -> "Conditions":
        """Return the conditions of some rows."""
        return Conditions(
            self.p_dc_w[rows],
            self.capacity_per_wh[rows],
            self.resistance_factor[rows],
            self.headroom_at[rows],
            self.resistance_at[rows],
            self.warmth[rows],
            self.largest_w[rows],
        )


def conditions(
    tables: StorageTables,
    table: IntArray,
    capacity_wh: FloatArray,
    temp_c: FloatArray,
    resistance_factor: FloatArray,
    p_dc_w: FloatArray,
) -> Conditions:
    """Look up what holds for a power at a temperature, at any energy."""
    row = 2 * table
    row += p_dc_w < 0.0
    warmth = temp_c - TEMPERATURE_FIRST_C
    warmth *= 1.0 / TEMPERATURE_STEP_C
    np.maximum(warmth, 0.0, out=warmth)
    np.minimum(warmth, TEMPERATURE_POINTS - 1.000001, out=warmth)
    resistance_at = warmth.astype(np.int64)
    warmth -= resistance_at
    resistance_at += row * TEMPERATURE_POINTS
    resistance_at *= GRID_POINTS
    largest = temp_c - tables.temperature_low_c.take(row)
    np.minimum(largest, tables.temperature_high_c.take(row) - temp_c, out=largest)
    largest *= 1.0 / TEMPERATURE_TAPER_K
    np.maximum(largest, 0.0, out=largest)
    np.minimum(largest, 1.0, out=largest)
    largest *= tables.power_limit_per_h.take(row)
    largest *= capacity_wh
    row *= GRID_POINTS
    return Conditions(p_dc_w, 1.0 / capacity_wh, resistance_factor, row, resistance_at, warmth, largest)


def source_power_w(
    tables: StorageTables, given: Conditions, energy_wh: FloatArray
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return the power at the source (limited), the loss coefficient k in 1/W, and where it was limited, (m,) each.

    Notes
    -----
    p_dc = p - k·p² has the root p = 2·p_dc / (1 + sqrt(1 - 4·k·p_dc)), stable for both signs and k -> 0.
    """
    position = energy_wh * given.capacity_per_wh
    position *= GRID_CELLS
    cell, fraction = grid_cells(position, GRID_POINTS)
    resistance = tables.resistance_h.reshape(-1)
    at = given.resistance_at + cell
    k = interpolate_at(resistance, at, fraction)
    at += GRID_POINTS
    hotter = interpolate_at(resistance, at, fraction)
    hotter -= k
    hotter *= given.warmth
    k += hotter
    k *= given.resistance_factor
    k *= given.capacity_per_wh
    cell += given.headroom_at
    limit = interpolate_at(tables.headroom_pu.reshape(-1), cell, fraction)
    limit /= k
    np.minimum(limit, given.largest_w, out=limit)
    p = k * given.p_dc_w
    p *= -4.0
    p += 1.0
    np.maximum(p, 0.0, out=p)
    np.sqrt(p, out=p)
    p += 1.0
    np.divide(2.0 * given.p_dc_w, p, out=p)
    is_limited = np.abs(p) > limit
    np.maximum(p, -limit, out=p)
    np.minimum(p, limit, out=p)
    return p, k, is_limited
