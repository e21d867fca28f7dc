"""A scenario's failures and faults at their times: what the controller has to survive, what the monitor has to find."""

from datetime import UTC, datetime, time

import numpy as np

from devices.parameters import FleetParameters
from node.controller.takeover import TAKEOVER_S
from node.hub.dispatch_records import ControllerFailure, Disturbance, SupplyFailure
from node.hub.health_watch import PlannedFault
from node.scenario import Scenario, SupplyOutage, Topology


def planned_failures(scenario: Scenario, topology: Topology) -> tuple[Disturbance, ...]:
    """Return the scenario's failures with nodes as rows and times as unix seconds."""
    row = {name: i for i, name in enumerate(topology.ids)}
    found: list[Disturbance] = []
    for failure in scenario.failures:
        at_s = local_time_s(scenario, failure.day, failure.start)
        if isinstance(failure, SupplyOutage):
            found.append(SupplyFailure(row[failure.node], at_s, at_s + failure.duration_s))
        else:
            found.append(ControllerFailure(at_s))
    return tuple(found)


def during(failures: tuple[Disturbance, ...], start_s: float, end_s: float) -> tuple[Disturbance, ...]:
    """Return the failures that touch `[start_s, end_s)`, or end as it begins."""
    return tuple(f for f in failures if begins_s(f) < end_s and _end_s(f) >= start_s)


def begins_s(failure: Disturbance) -> float:
    """Return when a failure begins, unix time."""
    return failure.start_s if isinstance(failure, SupplyFailure) else failure.at_s


def _end_s(failure: Disturbance) -> float:
    return failure.end_s if isinstance(failure, SupplyFailure) else failure.at_s + TAKEOVER_S


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
