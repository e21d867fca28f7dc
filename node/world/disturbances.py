"""A scenario's failures and faults at their times: what the controller has to survive, what the monitor has to find."""

from dataclasses import dataclass
from datetime import UTC, datetime, time

import numpy as np
from numpy.typing import NDArray

from devices.parameters import FleetParameters
from node.controller.takeover import TAKEOVER_S
from node.hub.dispatch_records import ControllerFailure, Disturbance, SupplyFailure
from node.hub.health_watch import HealthWatch, PlannedFault
from node.scenario import ControllerOutage, MeterOutage, Scenario, SupplyOutage, Topology
from node.world.plant import Plant


def planned_failures(scenario: Scenario, topology: Topology) -> tuple[Disturbance, ...]:
    """Return the scenario's failures with nodes as rows and times as unix seconds."""
    row = {name: i for i, name in enumerate(topology.ids)}
    found: list[Disturbance] = []
    for failure in scenario.failures:
        at_s = local_time_s(scenario, failure.day, failure.start)
        if isinstance(failure, SupplyOutage):
            found.append(SupplyFailure(row[failure.node], at_s, at_s + failure.duration_s))
        elif isinstance(failure, ControllerOutage):
            found.append(ControllerFailure(at_s))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class MeterSilence:
    """A meter tells nothing from `start_s` to `end_s`; `row` is its participant's."""

    row: int
    start_s: float
    end_s: float


def planned_silences(scenario: Scenario) -> tuple[MeterSilence, ...]:
    """Return which meters are silent when, unix time."""
    rows = {participant.id: row for row, participant in enumerate(scenario.participants)}
    return tuple(
        MeterSilence(rows[failure.participant], begins, begins + failure.duration_s)
        for failure in scenario.failures
        if isinstance(failure, MeterOutage)
        for begins in (local_time_s(scenario, failure.day, failure.start),)
    )


def silent_rows(silences: tuple[MeterSilence, ...], at_s: float) -> frozenset[int]:
    """Return the participants whose meters tell nothing at a time, such as an interval's end."""
    return frozenset(one.row for one in silences if one.start_s <= at_s < one.end_s)


def during(failures: tuple[Disturbance, ...], start_s: float, end_s: float) -> tuple[Disturbance, ...]:
    """Return the failures that touch `[start_s, end_s)`, or end as it begins."""
    return tuple(f for f in failures if begins_s(f) < end_s and _end_s(f) >= start_s)


def begins_s(failure: Disturbance) -> float:
    """Return when a failure begins, unix time."""
    return failure.start_s if isinstance(failure, SupplyFailure) else failure.at_s


def _end_s(failure: Disturbance) -> float:
    return failure.end_s if isinstance(failure, SupplyFailure) else failure.at_s + TAKEOVER_S


def islanded_zones(
    failures: tuple[Disturbance, ...], topology: Topology, n_zones: int, start_s: float, end_s: float
) -> NDArray[np.bool_]:
    """Return which price zones had no supply in all of `[start_s, end_s)`, `(n_zones,)`.

    A zone is the topology's node of the same row, or, where there is one price for all, its root. An interval
    that the supplier served in part is the supplier's: a meter cannot tell its parts apart.
    """
    out = np.zeros(len(topology.ids), np.bool_)
    for failure in failures:
        if isinstance(failure, SupplyFailure) and failure.start_s <= start_s and failure.end_s >= end_s:
            out[failure.node] = True
    for row, parent in enumerate(topology.parent.tolist()):  # parents stand before their children
        if parent >= 0:
            out[row] |= out[parent]
    return out[:n_zones]


def health_watch(scenario: Scenario, plant: Plant) -> HealthWatch:
    """Return the watch over a community's storages, with what its scenario will break."""
    faults = planned_faults(scenario, plant.fleet)
    return HealthWatch(plant.fleet, faults, scenario.seed, scenario.interval_s, plant.lends)


def planned_faults(scenario: Scenario, fleet: FleetParameters) -> tuple[PlannedFault, ...]:
    """Return the scenario's faults with devices as rows of the fleet and times as intervals."""
    storage = {int(row): k for k, row in enumerate(np.flatnonzero(fleet.is_storage))}
    return tuple(
        PlannedFault(
            fault,
            fleet.row_of(fault.device),
            storage[fleet.row_of(fault.device)],
            scenario.grid.index_at(local_time_s(scenario, fault.day, fault.start)),
        )
        for fault in scenario.faults
    )


def local_time_s(scenario: Scenario, day: int, minute: int) -> float:
    """Return a local time of one of the scenario's days as unix time."""
    at = datetime.combine(scenario.local_date(day), time(minute // 60, minute % 60), scenario.zone)
    return at.astimezone(UTC).timestamp()
