"""Many storages as one battery: what they can do together, and who runs.

* `aggregate` states power, energy, duration and the efficiency over power.
* `concentrate` chooses who runs: a tenth of the converters at half load loses a third of what all of them at a
  twentieth would. Fuller units discharge first and emptier ones charge first, so states of charge converge; who runs
  already goes on while its state of charge stays in the same step, so nothing hunts.

Who lends to whom, what it costs on the way and who owes it is decided by `kinetic` and `ties`.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from devices.fleet import deliverable_w, source_power_w
from devices.parameters import FleetParameters
from devices.specification import Mode
from devices.state import FleetInputs, FleetState
from node.controller.network import FloatArray, IntArray, sum_by

SECONDS_PER_HOUR = 3_600.0
# States of charge closer than this count as equal: balancing finer than that only moves energy around.
SOC_STEPS = 20
# Another unit joins when those that run would exceed their best load by half a unit: the loss is flat there.
JOIN_FROM_PU = 0.5
# Where the efficiency curve has its points.
LOADS_PU = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class VirtualBattery:
    """What a set of storages can do together, above every owner's reserve.

    Parameters
    ----------
    p_charge_w, p_discharge_w : float
        Power all can hold for the horizon asked for, both >= 0.
    energy_wh, room_wh : float
        Energy above reserves, and energy until full, at the storages (before losses).
    duration_s : float
        How long `p_discharge_w` lasts, at least the horizon.
    efficiency_pu : float64 (len(LOADS_PU),)
        Of discharging at these shares of `p_discharge_w`, from store to terminal, as `concentrate` would share it.
    """

    p_charge_w: float
    p_discharge_w: float
    energy_wh: float
    room_wh: float
    duration_s: float
    efficiency_pu: FloatArray


def aggregate(
    params: FleetParameters, state: FleetState, inputs: FleetInputs, units: IntArray, horizon_s: float
) -> VirtualBattery:
    """Aggregate storages into one battery.

    Parameters
    ----------
    units : int64 (n_units,)
        Rows of the fleet.
    horizon_s : float
        For how long the powers have to hold, up to one hour.
    """
    # In an emergency storages may use their owners' reserves; the virtual battery never counts on that.
    state = replace(state, mode=np.where(state.mode == Mode.EMERGENCY, Mode.LEASED, state.mode))
    low, high = deliverable_w(params, state, inputs, horizon_s)
    bottom = np.maximum(params.reserve_wh, params.floor_wh)[units]
    energy = np.maximum(state.energy_wh[units] - bottom, 0.0) * inputs.is_present[units]
    room = np.maximum(params.capacity_wh * state.capacity_factor - state.energy_wh, 0.0)[units]
    p_up = float(high[units].sum())
    # The energy at the terminal per energy stored, at this power: converter and resistance count.
    drawn_w = storage_power_w(params, units, high[units])
    lasts = float(energy.sum()) / float(drawn_w.sum()) * SECONDS_PER_HOUR if p_up > 0 else np.inf
    return VirtualBattery(
        p_charge_w=float(-low[units].sum()),
        p_discharge_w=p_up,
        energy_wh=float(energy.sum()),
        room_wh=float((room * inputs.is_present[units]).sum()),
        duration_s=max(lasts, horizon_s if p_up > 0 else 0.0),
        efficiency_pu=_efficiency_pu(params, state, units, high[units]),
    )


def _efficiency_pu(
    params: FleetParameters, state: FleetState, units: IntArray, high_w: FloatArray
) -> FloatArray:
    soc_pu, running = state.soc_pu(params)[units], np.abs(state.p_w[units]) > 0.0
    group, best_w, nothing = np.zeros(units.size, np.int64), best_load_w(params)[units], np.zeros(units.size)
    found = np.zeros(len(LOADS_PU))
    for k, load in enumerate(LOADS_PU):
        total = np.array([load * float(high_w.sum())])
        p_w = np.zeros(params.n_devices)
        p_w[units] = concentrate(group, total, nothing, high_w, best_w, soc_pu, running)
        drawn_w = float(source_power_w(params, state, p_w)[units].sum())
        found[k] = float(total[0]) / drawn_w if drawn_w > 0 else 0.0
    return found


def storage_power_w(params: FleetParameters, units: IntArray, p_w: FloatArray) -> FloatArray:
    """Return the power on the storage side of the converters for terminal powers, (n_units,) W."""
    rows = np.searchsorted(np.flatnonzero(params.is_storage), units)
    fleet = params.units
    return params.converters.dc_power_w(p_w, fleet.rated_w[rows], fleet.converter[rows])


def best_load_w(params: FleetParameters) -> FloatArray:
    """Return the terminal power at which each storage's converter is most efficient, (n_devices,) W; 0 elsewhere."""
    units = params.units
    best_pu = np.zeros(units.converter.size)
    load = np.linspace(0.02, 1.0, 99)
    for converter in np.unique(units.converter):
        dc = params.converters.dc_power_w(load, np.ones(load.size), np.full(load.size, converter))
        best_pu[units.converter == converter] = load[int(np.argmax(load / dc))]
    best = np.zeros(params.n_devices)
    best[params.is_storage] = best_pu * units.rated_w
    return best


def concentrate(
    group: IntArray,
    total_w: FloatArray,
    p_min_w: FloatArray,
    p_max_w: FloatArray,
    best_w: FloatArray,
    soc_pu: FloatArray,
    is_running: BoolArray,
) -> FloatArray:
    """Share each group's power over as few of its storages as run well.

    Parameters
    ----------
    group : int64 (n_units,)
    total_w : float64 (n_groups,)
        > 0 discharges; must lie within the sums of the limits.
    p_min_w, p_max_w : float64 (n_units,)
        What each unit can do, p_min_w <= 0 <= p_max_w.
    best_w : float64 (n_units,)
        Power at which it loses least per energy.
    soc_pu : float64 (n_units,)
    is_running : bool (n_units,)

    Returns
    -------
    float64 (n_units,)
        Sums per group equal `total_w`.
    """
    is_up = total_w[group] > 0
    limit = np.where(is_up, p_max_w, -p_min_w)
    step = np.floor(soc_pu * SOC_STEPS)
    rank = np.lexsort((~is_running, np.where(is_up, -step, step), group))
    g, cap = group[rank], limit[rank]
    need = np.abs(total_w)[g]
    first = np.searchsorted(g, g)
    well = np.minimum(best_w[rank], cap)
    well_before = _before(well, first)
    cap_before = _before(cap, first)
    joins = (need > cap_before) | (need - well_before > JOIN_FROM_PU * well)
    used = np.where(joins, cap, 0.0)
    total_used = sum_by(g, used, total_w.size)
    share = np.minimum(need, total_used[g]) * used / np.where(total_used > 0, total_used, 1.0)[g]
    p_w = np.empty(group.size)
    p_w[rank] = np.where(is_up[rank], share, -share)
    return p_w


def _before(values: FloatArray, first: IntArray) -> FloatArray:
    running = np.cumsum(values) - values
    return running - running[first] if values.size else running
