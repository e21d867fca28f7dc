"""Dispatch when something fails: supplies bridged, a dead controller replaced."""

import numpy as np
import pytest

from devices.catalogue import (
    fixed_load,
    server_backup,
)
from devices.firmware import Verdict, receive, setpoints
from devices.specification import Priority
from node.controller.control_plan import ImportClass
from node.controller.reasons import Reason
from node.hub.dispatch_records import ControllerFailure, SupplyFailure
from tests.unit.node.hub.small_plant import START_S, Community, battery_home


def rack():
    return [
        fixed_load("servers", Priority.CRITICAL),
        fixed_load("fans", Priority.DEFERRABLE),
        *(server_backup(f"backup-{k}", capacity_wh=600.0, reserve_pu=0.8, initial_pu=0.9) for k in range(2)),
    ]


def test_a_failed_supply_is_bridged_for_critical_loads_from_the_reserve():
    c = Community([rack()])
    failure = SupplyFailure(0, START_S + 300, START_S + 600)
    outcome = c.run(c.inputs(servers=2500, fans=2000), disturbances=[failure])
    # Two units of 1.5 kW: servers run on without a gap, half of the fans does not.
    assert outcome.unserved_wh_by_class[ImportClass.CRITICAL] == 0
    assert outcome.unserved_wh_by_class[ImportClass.DEFERRABLE] == pytest.approx(1500 * 300 / 3600, rel=0.02)
    rows = [c.row("backup-0"), c.row("backup-1")]
    assert np.all(c.world.fleet.energy_wh[rows] < 0.8 * 600)
    assert [n.split(" at ")[0] for n in outcome.notes] == [
        "supply of feeder failed",
        "supply of feeder is back",
    ]
    assert Reason.SUPPLY_FAILURE in c.reasons(outcome, "backup-0")
    # The meter saw nothing while the supply was gone.
    assert outcome.net_export_wh[0] == pytest.approx(-4500 * 600 / 3600, rel=1e-3)


def test_a_supply_that_fails_while_units_charge_stops_no_server():
    """Charging units cannot turn to full discharge in one 10 ms step: what is missing then is a few watts."""
    units = [
        server_backup(f"backup-{k}", capacity_wh=1500.0, reserve_pu=0.2, initial_pu=0.8) for k in range(2)
    ]
    c = Community(
        [[fixed_load("servers", Priority.CRITICAL), fixed_load("fans", Priority.DEFERRABLE), *units]]
    )
    charging = {"backup-0": -200.0, "backup-1": -100.0}
    rated_w = float(c.params.p_discharge_max_w[c.row("backup-0")])
    outcome = c.run(
        c.inputs(servers=1.6 * rated_w, fans=0.39 * rated_w),
        planned=charging,
        disturbances=[SupplyFailure(0, START_S + 300, START_S + 330)],
    )
    assert outcome.unserved_wh_by_class[ImportClass.CRITICAL] == 0
    # At most what the charging units lack of their rating, for a period of 100 ms.
    assert outcome.unserved_wh_by_class[ImportClass.DEFERRABLE] <= 300.0 * 0.1 / 3600


def test_lenders_serve_a_neighbour_in_an_island():
    c = Community([[fixed_load("load", Priority.CRITICAL)], [server_backup("backup")]], lends=True)
    failure = SupplyFailure(0, START_S + 300, START_S + 360)
    outcome = c.run(c.inputs(load=1000), disturbances=[failure])
    assert outcome.unserved_wh_by_class.sum() == 0
    assert outcome.net_export_wh[1] == pytest.approx(1000 * 60 / 3600, rel=0.02)
    alone = Community([[fixed_load("load", Priority.CRITICAL)], [server_backup("backup")]])
    outcome = alone.run(alone.inputs(load=1000), disturbances=[failure])
    assert outcome.unserved_wh_by_class.sum() == pytest.approx(1000 * 60 / 3600)


def test_a_dead_controller_is_replaced_within_a_second_and_the_old_one_is_fenced_out():
    c = Community([battery_home()])
    outcome = c.run(
        [(0.0, c.inputs(load=500)), (450.3, c.inputs(load=1500))],
        target_wh=[0.0],
        disturbances=[ControllerFailure(START_S + 450.0)],
    )
    assert c.world.dispatch.fence == 1
    assert outcome.notes == (f"controller 1 took over at {START_S + 450.6}",)
    assert outcome.net_export_wh == pytest.approx([0.0], abs=0.05)
    battery = c.row("battery")
    late = setpoints(np.array([battery]), np.array([0.0]), 10**6, START_S, START_S + 10**6, fence=0)
    _, verdict = receive(c.params, c.world.fleet, late, START_S + 900.0)
    assert verdict.tolist() == [Verdict.FENCED]


def sunny_street(lends):
    return Community(
        [battery_home("-a", initial_pu=0.5), battery_home("-b", initial_pu=0.4), [fixed_load("load-c")]],
        lends=lends,
    )


@pytest.mark.parametrize("lends", [False, True])
@pytest.mark.parametrize("sun", [0.5, 1.0, 2.5, 6.0])
def test_an_island_with_sun_settles_and_serves_its_loads(lends, sun):
    """Storages that take the surplus ramp up; grants once fell to nothing every few periods meanwhile."""
    c = sunny_street(lends)
    powers = {
        "sun-a": 2_000.0 * sun,
        "sun-b": 1_000.0 * sun,
        "load-a": 900.0,
        "load-b": 301.5,
        "load-c": 600.0,
    }
    outcome = c.run(c.inputs(**powers), disturbances=[SupplyFailure(0, START_S + 100, START_S + 900)])
    assert outcome.n_periods < 200, "it comes to rest"
    flows = c.world.fleet.p_w
    assert flows.sum() == pytest.approx(0.0, abs=1e-3), "nothing flows through the failed node"
    if lends or sun >= 1.0:
        assert outcome.unserved_wh_by_class.sum() <= 2.0, "but for storages that ramp up in the first second"
    if lends and sun > 1.0:
        assert flows[c.row("battery-a")] < -100.0 and flows[c.row("battery-b")] < -100.0
        assert (
            outcome.curtailed_wh_by_class.sum() <= (0.05 if sun < 3.0 else 0.6) * 3_000.0 * sun * 800 / 3_600
        )
    if not lends and sun > 1.0:
        assert Reason.SUPPLY_FAILURE in c.reasons(outcome, "sun-a")
