"""Dispatch in grid events: exact shares beyond every schedule, reserves kept, members only."""

import numpy as np
import pytest

from node.controller.reasons import Reason
from node.hub.dispatch_records import Direction, IntervalInputs, Schedule
from tests.unit.node.hub.small_plant import Community, battery_home, event


def test_a_grid_event_is_met_exactly_beyond_every_schedule():
    c = Community([battery_home("-a"), battery_home("-b", initial_pu=0.9)])
    outcome = c.run(c.inputs(), target_wh=[0.0, 250.0], events=[event(3_000.0)])
    assert outcome.event_wh.sum() == pytest.approx(750.0, abs=0.01)
    assert outcome.net_export_wh == pytest.approx(np.array([0.0, 250.0]) + outcome.event_wh, abs=0.02)
    # In proportion to energy above reserve: 4 kWh and 8 kWh.
    assert outcome.event_wh[1] / outcome.event_wh[0] == pytest.approx(2.0, rel=0.02)
    assert Reason.GRID_EVENT in c.reasons(outcome, "battery-a")
    assert outcome.curtailments == ()


def test_an_event_inside_the_interval_is_not_undone_after_its_end():
    c = Community([battery_home()])
    outcome = c.run(c.inputs(load=500), target_wh=[-125.0], events=[event(2_000.0, 200, 500)])
    assert outcome.event_wh[0] == pytest.approx(2000 * 300 / 3600, abs=0.01)
    assert outcome.net_export_wh[0] == pytest.approx(-125.0 + 2000 * 300 / 3600, abs=0.05)


def test_an_event_never_takes_the_owners_reserve():
    c = Community([battery_home(capacity_wh=3_000.0, reserve_pu=0.4, initial_pu=0.5)])
    for _ in range(2):
        c.run(c.inputs(), target_wh=[0.0], events=[event(5_000.0, 0, 1800)])
    assert c.world.fleet.energy_wh[c.row("battery")] >= 1200.0 - 1e-6


def test_a_downward_event_takes_from_positions_and_says_so():
    c = Community([battery_home()])
    outcome = c.run(c.inputs(), target_wh=[250.0], events=[event(2_000.0, direction=Direction.DOWN)])
    assert outcome.event_wh[0] == pytest.approx(-500.0, abs=0.05)
    (curtailment,) = outcome.curtailments
    assert curtailment.reason is Reason.GRID_EVENT
    assert curtailment.energy_milli_wh == pytest.approx(500_000, rel=1e-3)


def test_only_members_take_part_and_unhealthy_units_do_not():
    c = Community([battery_home("-a"), battery_home("-b")])
    members = np.zeros(c.params.n_devices, bool)
    members[c.row("battery-b")] = True
    outcome = c.run(c.inputs(), target_wh=[0.0, 0.0], events=[event(2_000.0, members=members)])
    assert outcome.event_wh == pytest.approx([0.0, 500.0], abs=0.02)
    healthy = np.ones(c.params.n_devices, bool)
    healthy[c.row("battery-b")] = False
    n = c.params.n_devices
    schedule = Schedule(np.zeros(2), np.zeros(n), events=(event(2_000.0, 900, 1800),))
    _, second = c.dispatch.run_interval(
        c.interval, c.world, IntervalInputs((0.0,), (c.inputs(),)), schedule, healthy
    )
    assert second.event_wh == pytest.approx([500.0, 0.0], abs=0.05)
