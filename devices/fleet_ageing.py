"""Ageing of a whole fleet: calendar time and half cycles of every battery, into capacity and resistance factors.

Call `age` at the end of every interval. A half cycle ends where the stored energy turns by more than 1 % of
the capacity; its depth and mean C-rate then count as half a full equivalent cycle times its depth.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from devices import ageing
from devices.arrays import BoolArray, FloatArray, IntArray
from devices.battery import molicel_nmc_cell
from devices.parameters import FleetParameters
from devices.state import FleetState
from devices.storage_tables import GRID_CELLS, StorageKind

# Smaller turns are noise of balancing, not cycles.
TURN_FROM_PU: Final = 0.01
# Both laws were measured down to about 60 % of the capacity: nothing is claimed beyond.
LARGEST_FADE_PU: Final = 0.4
SECONDS_PER_HOUR: Final = 3600.0
FULL_NMC_CELL_V: Final = float(molicel_nmc_cell().ocv_v[-1])


def age(params: FleetParameters, state: FleetState, dt_s: float) -> FleetState:
    """Return the state after `dt_s` more seconds of ageing at the present energy and temperature.

    Notes
    -----
    LFP by Naumann's laws, NMC by Schmalstieg's; supercapacitors and flywheels are taken not to age. State
    of charge is taken by energy, which differs from the one by charge by less than 2 %.
    """
    rows = np.flatnonzero(params.is_storage)
    kind = params.units.table
    battery = (kind == StorageKind.LFP) | (kind == StorageKind.NMC)
    rows, kind = rows[battery], kind[battery]
    if rows.size == 0:
        return state
    capacity = params.capacity_wh[rows]
    soc = np.clip(state.energy_wh[rows] / (capacity * state.capacity_factor[rows]), 0.0, 1.0)
    is_nmc = kind == StorageKind.NMC
    fade, rise = _calendar(params, state, rows, is_nmc, soc, dt_s)
    turning, extreme, seconds, depth, hours = _half_cycles(state, rows, capacity, dt_s)
    cycle_fade, cycle_rise = _cycles(params, state, rows, is_nmc, turning, depth, hours, capacity)

    def put(name: str, values: FloatArray) -> FloatArray:
        changed: FloatArray = getattr(state, name).copy()
        changed[rows] = values
        return changed

    return replace(
        state,
        calendar_fade_pu=put("calendar_fade_pu", fade),
        calendar_rise_pu=put("calendar_rise_pu", rise),
        cycle_fade_pu=put("cycle_fade_pu", cycle_fade),
        cycle_rise_pu=put("cycle_rise_pu", cycle_rise),
        turning_wh=put("turning_wh", turning),
        extreme_wh=put("extreme_wh", extreme),
        half_cycle_s=put("half_cycle_s", seconds),
        capacity_factor=put("capacity_factor", 1.0 - np.minimum(fade + cycle_fade, LARGEST_FADE_PU)),
        resistance_factor=put(
            "resistance_factor",
            state.resistance_factor[rows]
            + (rise - state.calendar_rise_pu[rows])
            + (cycle_rise - state.cycle_rise_pu[rows]),
        ),
    )


def _cell_voltage_v(params: FleetParameters, energy_pu: FloatArray) -> FloatArray:
    emf = params.tables.emf_pu[StorageKind.NMC]
    voltage: FloatArray = FULL_NMC_CELL_V * np.interp(energy_pu * GRID_CELLS, np.arange(GRID_CELLS + 1), emf)
    return voltage


def _calendar(
    params: FleetParameters,
    state: FleetState,
    rows: IntArray,
    is_nmc: BoolArray,
    soc: FloatArray,
    dt_s: float,
) -> tuple[FloatArray, FloatArray]:
    temp = state.temp_c[rows]
    voltage = _cell_voltage_v(params, soc)
    results: list[FloatArray] = []
    for law, is_resistance, before in (
        (ageing.NAUMANN_CAPACITY, False, state.calendar_fade_pu[rows]),
        (ageing.NAUMANN_RESISTANCE, True, state.calendar_rise_pu[rows]),
    ):
        lfp = ageing.accumulate(before, law.calendar_rate(soc, temp), dt_s, law.calendar_power)
        nmc = ageing.accumulate(
            before,
            ageing.schmalstieg_calendar_rate(voltage, temp, is_resistance),
            dt_s / ageing.SECONDS_PER_DAY,
            ageing.SCHMALSTIEG_CALENDAR_POWER,
        )
        results.append(np.where(is_nmc, nmc, lfp))
    return results[0], results[1]


def _half_cycles(
    state: FleetState, rows: IntArray, capacity_wh: FloatArray, dt_s: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return new turning point, extreme and duration, and depth (pu) and hours of a half cycle that just ended."""
    turning, extreme = state.turning_wh[rows].copy(), state.extreme_wh[rows].copy()
    seconds = state.half_cycle_s[rows] + dt_s
    energy = state.energy_wh[rows]
    direction = np.sign(extreme - turning)
    advance = (energy - extreme) * np.where(direction == 0.0, np.sign(energy - extreme), direction)
    has_turned = advance < -TURN_FROM_PU * capacity_wh
    depth = np.where(has_turned, np.abs(extreme - turning) / capacity_wh, 0.0)
    hours = np.maximum(seconds - dt_s, dt_s) / SECONDS_PER_HOUR
    turning = np.where(has_turned, extreme, turning)
    extreme = np.where(has_turned | (advance > 0.0), energy, extreme)
    return turning, extreme, np.where(has_turned, dt_s, seconds), depth, hours


def _cycles(
    params: FleetParameters,
    state: FleetState,
    rows: IntArray,
    is_nmc: BoolArray,
    turning_wh: FloatArray,
    depth: FloatArray,
    hours: FloatArray,
    capacity_wh: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    before_fade, before_rise = state.cycle_fade_pu[rows], state.cycle_rise_pu[rows]
    if not depth.any():
        return before_fade, before_rise
    c_rate = depth / hours
    full_cycles = 0.5 * depth
    middle = _cell_voltage_v(params, np.clip(turning_wh / capacity_wh, 0.0, 1.0))
    results: list[FloatArray] = []
    for law, is_resistance, before in (
        (ageing.NAUMANN_CAPACITY, False, before_fade),
        (ageing.NAUMANN_RESISTANCE, True, before_rise),
    ):
        lfp = ageing.accumulate(before, law.cycle_rate(c_rate, depth), full_cycles, law.cycle_power)
        nmc = ageing.accumulate(
            before,
            ageing.schmalstieg_cycle_rate(middle, depth, is_resistance),
            full_cycles * ageing.SCHMALSTIEG_AH_PER_CYCLE,
            1.0 if is_resistance else 0.5,
        )
        results.append(np.where(depth > 0.0, np.where(is_nmc, nmc, lfp), before))
    return results[0], results[1]
