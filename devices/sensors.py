"""What a storage's management system measures: voltage, current, temperature, energy, and its sensors' errors.

Voltages are per unit of the source voltage when full, currents per hour: power at the source over capacity
and voltage, so that 1/h empties the storage in about an hour. Arrays run over the fleet's storages, `(m,)`.
"""

from dataclasses import dataclass

import numpy as np

from devices.arrays import FloatArray, interpolate_rows
from devices.parameters import FleetParameters
from devices.state import FleetState
from devices.storage import SECONDS_PER_HOUR, source_at, standing_loss_wh
from devices.storage_tables import GRID_CELLS


@dataclass(frozen=True, slots=True)
class Readings:
    """One reading of every storage; arrays (m,) float64.

    Attributes
    ----------
    voltage_pu, current_per_h, temp_c, energy_pu : the management system's channels
    moved_pu : energy counted out of the source since the last reading, over capacity
    throughput_pu : the same counted in both directions, always >= 0
    terminal_w : the outlet's own meter, W at the terminal
    """

    voltage_pu: FloatArray
    current_per_h: FloatArray
    temp_c: FloatArray
    energy_pu: FloatArray
    moved_pu: FloatArray
    throughput_pu: FloatArray
    terminal_w: FloatArray

    def channels(self) -> FloatArray:
        """Return voltage, current, temperature and energy as rows, (4, m)."""
        return np.stack([self.voltage_pu, self.current_per_h, self.temp_c, self.energy_pu])


@dataclass(frozen=True, slots=True)
class SensorErrors:
    """Standard deviations of a management system's errors.

    Attributes
    ----------
    voltage_pu : noise; 2 mV of a 4 V cell
    current_per_h, current_offset_per_h, current_gain_pu : noise, and constants of each unit
    temp_k : noise
    energy_pu, energy_offset_pu : noise of the state-of-charge estimate, and its constant error
    """

    voltage_pu: float = 0.0005
    current_per_h: float = 0.005
    current_offset_per_h: float = 0.0005
    current_gain_pu: float = 0.005
    temp_k: float = 0.3
    energy_pu: float = 0.005
    energy_offset_pu: float = 0.01


def true_readings(params: FleetParameters, before: FleetState, state: FleetState, dt_s: float) -> Readings:
    """Return what perfect sensors would read after a step.

    Parameters
    ----------
    before, state : FleetState
        At the step's begin and end; voltage and current are those of the end.

    Notes
    -----
    The charge counter sees what passes the terminals: neither self-discharge nor an internal short.
    """
    rows = params.storage_rows
    units = params.units
    capacity = units.capacity_wh * state.capacity_factor[rows]
    p_source, k = source_at(
        params.tables,
        params.converters,
        units,
        capacity,
        state.energy_wh[rows],
        state.temp_c[rows],
        state.resistance_factor[rows],
        state.main_p_w[rows],
    )
    energy = state.energy_wh[rows] / capacity
    emf = interpolate_rows(params.tables.emf_pu, units.table, energy * GRID_CELLS)
    hours = dt_s / SECONDS_PER_HOUR
    had = before.energy_wh[rows]
    standing = standing_loss_wh(params.tables, units.table, had, capacity, hours)
    standing = np.minimum(standing + before.leakage_w[rows] * hours, had)
    moved = (had - state.energy_wh[rows] - standing) / capacity
    # The drop R·I over the voltage when full is k·p·v, with the loss k·p².
    return Readings(
        voltage_pu=emf - k * p_source * emf,
        current_per_h=p_source / capacity / emf,
        temp_c=state.temp_c[rows],
        energy_pu=energy,
        moved_pu=moved,
        throughput_pu=(state.throughput_wh[rows] - before.throughput_wh[rows]) / capacity,
        terminal_w=state.main_p_w[rows],
    )


def with_errors(
    readings: Readings, errors: SensorErrors, noise: FloatArray, constants: FloatArray, dt_s: float
) -> Readings:
    """Return readings as real sensors give them.

    Parameters
    ----------
    noise : (4, m) float64
        Standard normal, fresh at every reading.
    constants : (3, m) float64
        Standard normal, the same at every reading: current offset, current gain, energy offset.
    """
    gain = 1.0 + errors.current_gain_pu * constants[1]
    offset = errors.current_offset_per_h * constants[0]
    return Readings(
        readings.voltage_pu + errors.voltage_pu * noise[0],
        readings.current_per_h * gain + offset + errors.current_per_h * noise[1],
        readings.temp_c + errors.temp_k * noise[2],
        readings.energy_pu + errors.energy_offset_pu * constants[2] + errors.energy_pu * noise[3],
        readings.moved_pu * gain + offset * (dt_s / SECONDS_PER_HOUR),
        readings.throughput_pu * gain,
        readings.terminal_w,
    )
