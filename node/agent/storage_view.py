"""A plant's storages as the strategy sees them: usable energy, efficiencies as measured on the device models."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from devices.fleet import step
from devices.parameters import FleetParameters
from devices.specification import Mode
from devices.state import FleetInputs, FleetState
from node.agent.strategy import StorageCalendar, StorageFleet
from node.world.plant import Plant

FloatArray = NDArray[np.float64]

# Load points at which a storage's efficiency is probed: converters lose most of it below a tenth of their load.
LOAD_POINTS: Final = np.array([0.02, 0.05, 0.1, 0.25, 0.5, 1.0])
# Long enough for ramps to be over and short enough for the content not to move.
PROBE_S: Final = 36.0
SECONDS_PER_HOUR: Final = 3_600.0


def storage_fleet(plant: Plant, start: FleetState) -> StorageFleet:
    """Return the plant's storages, in the order of `plant.storages`.

    Efficiencies are what the device models themselves show when probed at half content and several loads, so
    that the strategy and the physics cannot disagree.
    """
    rows = plant.storages
    fleet = plant.fleet
    charge, discharge = _probe(fleet, start)
    charge, discharge = charge[:, rows].T, discharge[:, rows].T
    relative = 0.5 * (charge / charge[:, -1:] + discharge / discharge[:, -1:])
    return StorageFleet(
        account=plant.participant[rows],
        capacity_wh=fleet.capacity_wh[rows] - fleet.floor_wh[rows],
        reserve_wh=np.maximum(fleet.reserve_wh[rows] - fleet.floor_wh[rows], 0.0),
        p_charge_max_w=fleet.p_charge_max_w[rows],
        p_discharge_max_w=fleet.p_discharge_max_w[rows],
        charge_efficiency_pu=charge[:, -1],
        discharge_efficiency_pu=discharge[:, -1],
        wear_micro_per_kwh=plant.wear_micro_per_kwh[rows].astype(np.float64),
        markup_micro_per_kwh=plant.markup_micro_per_kwh[rows].astype(np.float64),
        self_discharge_w=_standing_w(fleet, start)[rows],
        converter_load_pu=LOAD_POINTS,
        converter_efficiency_pu=np.clip(relative, 1e-3, 1.5),
    )


def usable_wh(plant: Plant, state: FleetState) -> FloatArray:
    """Return what each storage holds above its floor, `(n_storages,)`, within its capacity."""
    rows = plant.storages
    held = state.energy_wh[rows] - plant.fleet.floor_wh[rows]
    return np.clip(held, 0.0, plant.fleet.capacity_wh[rows] - plant.fleet.floor_wh[rows])


def calendar(plant: Plant, intervals: range) -> StorageCalendar:
    """Return when each storage is plugged in and what cars must hold at departure and drive while away."""
    rows = plant.storages
    result = StorageCalendar.always_present(rows.size, len(intervals))
    if plant.vehicles.size == 0:
        return result
    at = np.searchsorted(rows, plant.vehicles)
    share = plant.presence_pu(intervals)
    result.is_present[at] = share >= 1.0
    hours = plant.scenario.interval_s / SECONDS_PER_HOUR
    result.trip_wh[at] = plant.driving_w()[:, None] * (1.0 - share) * hours
    leaves = (share >= 1.0) & np.c_[share[:, 1:] < 1.0, np.zeros((share.shape[0], 1), np.bool_)]
    required = np.array([car.required_wh for car in plant.cars])
    result.required_wh[at] = np.where(leaves, required[:, None], 0.0)
    return result


def _probe(fleet: FleetParameters, start: FleetState) -> tuple[FloatArray, FloatArray]:
    """Return charge and discharge efficiency at `LOAD_POINTS`, `(n_points, n_devices)` each; 1 for no storage."""
    half = _half_full(fleet, start)
    inputs = FleetInputs.quiet(fleet.n_devices)
    charge = np.ones((LOAD_POINTS.size, fleet.n_devices))
    discharge = np.ones_like(charge)
    for k, load in enumerate(LOAD_POINTS):
        for sign, result, limit in (
            (-1.0, charge, fleet.p_charge_max_w),
            (1.0, discharge, fleet.p_discharge_max_w),
        ):
            power = np.where(fleet.capacity_wh > 0, sign * load * np.where(limit > 0, limit, 0.0), 0.0)
            steady = replace(half, p_w=power, main_p_w=power)
            _, flows = step(fleet, steady, inputs, power, PROBE_S)
            moved = np.abs(flows.stored_delta_wh) if sign < 0 else np.abs(flows.terminal_wh)
            spent = np.abs(flows.terminal_wh) if sign < 0 else np.abs(flows.stored_delta_wh)
            is_moved = (spent > 0) & (power != 0)
            result[k] = np.where(is_moved, moved / np.where(is_moved, spent, 1.0), 1.0)
    return np.clip(charge, 1e-2, 1.0), np.clip(discharge, 1e-2, 1.0)


def _standing_w(fleet: FleetParameters, start: FleetState) -> FloatArray:
    idle = _half_full(fleet, start)
    nothing = np.zeros(fleet.n_devices)
    _, flows = step(fleet, idle, FleetInputs.quiet(fleet.n_devices), nothing, PROBE_S)
    return np.maximum(-flows.stored_delta_wh, 0.0) * SECONDS_PER_HOUR / PROBE_S


def _half_full(fleet: FleetParameters, start: FleetState) -> FleetState:
    nothing = np.zeros(fleet.n_devices)
    return replace(
        start,
        energy_wh=0.5 * (np.maximum(fleet.floor_wh, fleet.reserve_wh) + fleet.capacity_wh),
        p_w=nothing,
        main_p_w=nothing,
        mode=np.full(fleet.n_devices, int(Mode.LEASED), np.int64),
    )
