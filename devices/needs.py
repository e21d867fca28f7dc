"""What devices ask for and offer by themselves: energy to their thresholds, and vehicles' needs at departure."""

from typing import Final

import numpy as np

from devices.arrays import FloatArray, IntArray
from devices.ev import slack_s
from devices.parameters import FleetParameters
from devices.state import FleetInputs, FleetState

# A storage counts as idle below this share of its rating.
IDLE_BELOW_PU: Final = 0.02
# A storage that discharges so slowly that its offer would last this long still offers it.
OFFER_LASTS_H: Final = 0.5


def request_wh(params: FleetParameters, state: FleetState, inputs: FleetInputs) -> FloatArray:
    """Return the energy that storages lack to their low threshold, and vehicles for their departure, (n,) Wh >= 0."""
    request = np.zeros(params.n_devices)
    rows = params.storage_rows
    if params.units.table.size == 0:
        return request
    low = params.low_threshold_pu[rows] * _usable_wh(params, state)
    low -= state.energy_wh[rows] - params.floor_wh[rows]
    np.maximum(low, 0.0, out=low)
    low *= inputs.is_present[rows]
    request[rows] = low
    vehicles = params.vehicle_rows
    if vehicles.size:
        request[vehicles] = np.maximum(request[vehicles], missing_wh(params, state, inputs))
    return request


def contribution_wh(params: FleetParameters, state: FleetState, inputs: FleetInputs) -> FloatArray:
    """Return the energy above the high threshold that idle storages offer, (n,) Wh >= 0."""
    contribution = np.zeros(params.n_devices)
    rows = params.storage_rows
    if params.units.table.size:
        above = state.energy_wh[rows] - params.floor_wh[rows]
        above -= _usable_wh(params, state) * params.high_threshold_pu[rows]
        np.maximum(above, 0.0, out=above)
        p_w = state.p_w[rows]
        is_idle = np.abs(p_w) <= IDLE_BELOW_PU * params.units.rated_w
        # Who already gives it, and no faster than this, is not busy with anything else: offers must not flicker.
        is_idle |= (p_w > 0.0) & (p_w * OFFER_LASTS_H <= above)
        above *= inputs.is_present[rows] & is_idle
        contribution[rows] = above
    return contribution


def _usable_wh(params: FleetParameters, state: FleetState) -> FloatArray:
    rows = params.storage_rows
    usable: FloatArray = params.capacity_wh[rows] * state.capacity_factor[rows]
    usable -= params.floor_wh[rows]
    return usable


def missing_wh(params: FleetParameters, state: FleetState, inputs: FleetInputs) -> FloatArray:
    """Return what vehicles that are here lack for their departure, (k,) Wh."""
    rows = params.vehicle_rows
    missing = np.maximum(required_wh(params, inputs) - state.energy_wh.take(rows), 0.0)
    missing *= inputs.is_present.take(rows)
    return missing


def vehicle_slack_s(params: FleetParameters, state: FleetState, inputs: FleetInputs) -> FloatArray:
    """Return how long the vehicles can still wait before they have to charge, (k,) s; <= 0: they can't."""
    rows = params.vehicle_rows
    departs_in_s = _of_rows(inputs.departs_in_s, rows)
    needed_wh = required_wh(params, inputs)
    return slack_s(state.energy_wh.take(rows), needed_wh, departs_in_s, params.vehicle_stored_w)


def required_wh(params: FleetParameters, inputs: FleetInputs) -> FloatArray:
    """Return what vehicles have to hold when they depart, as far as they can hold it, (k,) Wh."""
    rows = params.vehicle_rows
    return np.minimum(_of_rows(inputs.required_wh, rows), params.capacity_wh.take(rows))


def _of_rows(value: FloatArray | float, rows: IntArray) -> FloatArray:
    return value[rows] if isinstance(value, np.ndarray) and value.ndim else np.full(rows.size, float(value))
