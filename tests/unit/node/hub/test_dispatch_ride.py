"""Islands ride through to the generator or to an orderly shutdown, and a restart in the dark goes on as before."""

import numpy as np
import pytest

from devices.catalogue import fixed_load, home_battery, server_backup
from devices.generator import fuel_power_w
from devices.specification import DeviceSpec, Kind, Priority
from node.controller.control_plan import ImportClass
from node.controller.reasons import Reason
from node.hub.dispatch import Dispatch
from node.hub.dispatch_records import IncidentKind, SupplyFailure
from node.hub.dispatch_ride import RideTerms
from node.hub.dispatch_state import world_from_bytes
from tests.unit.node.hub.small_plant import START_S, Community

LOAD = {"servers": 200.0, "fans": 100.0}
LENGTH_S = 900.0


class Hall(Community):
    """Servers and fans with a small fast unit and a big slow one; with a generator if it starts within `start_s`."""

    def __init__(
        self, start_s=None, small_wh=50.0, big_wh=150.0, big_w=300.0, shutdown_s=120.0, fuel_wh=None
    ):
        home = [
            fixed_load("servers", Priority.CRITICAL),
            fixed_load("fans", Priority.DEFERRABLE),
            server_backup("small", small_wh, 300.0, 100.0, initial_pu=1.0),
            home_battery("big", capacity_wh=big_wh, p_max_w=big_w, initial_pu=1.0),
        ]
        if start_s is not None:
            home.append(DeviceSpec(name="diesel", kind=Kind.GENERATOR, p_max_w=500.0, fuel_wh=fuel_wh))
        super().__init__([home], lends=True)
        starts = np.full(len(home), np.inf)
        if start_s is not None:
            starts[-1] = start_s
        n = len(home)
        self.dispatch = Dispatch(
            self.tree, self.params, np.ones(n, np.int64), self.account, np.array([1]),
            lends=np.ones(n, bool), ride=RideTerms(shutdown_s, starts),
        )  # fmt: skip

    def outage(self, from_s, until_s, n_intervals=1, **load_w):
        """Run intervals with an outage, seconds from the first one's start; return their outcomes."""
        failure = SupplyFailure(0, START_S + from_s, START_S + until_s)
        inputs = self.inputs(**(LOAD | load_w))
        return [
            self.run(inputs, disturbances=[failure] if LENGTH_S * k < until_s else [])
            for k in range(n_intervals)
        ]


def incidents(outcomes):
    return [(i.kind, i.at_s - START_S) for outcome in outcomes for i in outcome.incidents]


def unserved_wh(outcomes):
    """Return what servers and fans missed."""
    total = sum(outcome.unserved_wh_by_class for outcome in outcomes)
    return total[[ImportClass.CRITICAL, ImportClass.DEFERRABLE]].tolist()


def test_storages_carry_everything_until_the_generator_does():
    c = Hall(start_s=60.0)
    outcomes = c.outage(100.0, 700.0)
    assert (IncidentKind.GENERATOR_ON, 160.0) in incidents(outcomes)
    assert "the generator comes before" in str(outcomes[0].incidents[1])
    # The fast unit alone cannot carry all of it at once: some fans wait half a second for the slow one.
    # Where the generator takes over, one control period is a few watts short while the slow one still ramps down.
    assert unserved_wh(outcomes)[0] < 6.0 * 0.1 / 3_600
    assert unserved_wh(outcomes)[1] < 100.0 * 0.5 / 3_600
    diesel_wh = outcomes[0].energies.source_wh[c.row("diesel")]
    # It carries the load for 540 s, and may charge the storages meanwhile.
    assert 300.0 * 540 / 3_600 - 0.1 < diesel_wh <= 500.0 * 540 / 3_600


def test_the_generator_runs_only_while_the_supply_is_out_and_it_has_started():
    c = Hall(start_s=60.0)
    for outcome in (c.run(c.inputs(**LOAD)), *c.outage(900.0, 930.0, 2)):
        assert outcome.energies.source_wh[c.row("diesel")] == 0.0


def test_a_generator_burns_what_the_chart_says_of_its_load():
    c = Hall(start_s=60.0, fuel_wh=5_000.0)
    (outcome,) = c.outage(100.0, 700.0)
    row = c.row("diesel")
    burnt_wh, given_wh = 5_000.0 - outcome.fuel_wh[row], outcome.energies.source_wh[row]
    # 540 s at its mean load, on the chart's convex line: a little more if the load was uneven.
    mean_w = given_wh / 540.0 * 3_600.0
    least_wh = float(fuel_power_w(np.array(mean_w), np.array(500.0))) * 540.0 / 3_600.0
    assert least_wh - 0.01 <= burnt_wh <= 1.03 * least_wh
    assert outcome.energy_wh[row] == 0.0, "fuel is no stored electricity"


def test_a_generator_that_runs_dry_leaves_the_hall_to_its_storages_and_then_to_an_orderly_shutdown():
    c = Hall(start_s=60.0, fuel_wh=400.0)
    outcomes = c.outage(100.0, 5_400.0, 6)
    at = dict(incidents(outcomes))
    on, dry = at[IncidentKind.GENERATOR_ON], at[IncidentKind.GENERATOR_DRY]
    begun, done = at[IncidentKind.SHUTDOWN_BEGUN], at[IncidentKind.SHUTDOWN_DONE]
    assert on == 160.0 and on < dry < begun and done - begun == pytest.approx(120.0, abs=0.01)
    # 400 Wh of fuel lie between all at full load and all at the load of the servers and fans.
    full, part = (float(fuel_power_w(np.array(p_w), np.array(500.0))) for p_w in (500.0, 300.0))
    assert 400.0 / full * 3_600 < dry - on < 400.0 / part * 3_600
    assert c.world.fleet.fuel_wh[c.row("diesel")] < full * 1.0 / 3_600, "no more than a second's fuel is left"
    # The storages carry 300 W for as long as they would have without a generator, some 36 minutes.
    assert 1_700.0 < done - dry < 2_400.0
    missed = unserved_wh(outcomes)
    assert missed[0] == pytest.approx(200.0 * (5_400.0 - done) / 3_600, abs=0.2)
    assert sum(o.energies.source_wh[c.row("diesel")] for o in outcomes[3:]) == 0.0


def test_servers_stop_before_the_fuel_does_where_storages_could_not_carry_them_to_the_end():
    c = Hall(start_s=5.0, small_wh=3.0, big_wh=3.0, big_w=300.0, fuel_wh=400.0)
    outcomes = c.outage(100.0, 3_000.0, 4)
    at = dict(incidents(outcomes))
    begun, done = at[IncidentKind.SHUTDOWN_BEGUN], at[IncidentKind.SHUTDOWN_DONE]
    assert begun < at.get(IncidentKind.GENERATOR_DRY, np.inf)
    missed = unserved_wh(outcomes)
    # Cells of 3 Wh give no 300 W: dark for the five seconds until the generator, and at most two at the very end.
    dark_s = 3_000.0 - done + 5.0
    assert 200.0 * dark_s / 3_600 <= missed[0] + 1e-6 <= 200.0 * (dark_s + 2.0) / 3_600
    assert 100.0 * dark_s / 3_600 <= missed[1] + 1e-6 <= 100.0 * (dark_s + 2.0) / 3_600
    assert done - begun == pytest.approx(120.0, abs=0.01)


def test_a_restart_while_the_tank_runs_out_goes_on_as_before():
    failure = SupplyFailure(0, START_S + 600.0, START_S + 5_000.0)

    def dark(c):
        return c.run(c.inputs(**LOAD), disturbances=[failure])

    one, two = Hall(start_s=60.0, fuel_wh=400.0), Hall(start_s=60.0, fuel_wh=400.0)
    told = [dark(one) for _ in range(4)]
    dark(two)
    for _ in range(3):
        resumed = Hall(start_s=60.0, fuel_wh=400.0)
        resumed.world, resumed.interval = world_from_bytes(two.world.to_bytes()), two.interval
        two = resumed
        dark(two)
    assert IncidentKind.GENERATOR_DRY in dict(incidents(told))
    assert two.world.to_bytes() == one.world.to_bytes()


def test_without_generator_servers_work_on_until_the_shutdown_has_to_begin():
    c = Hall()
    outcomes = c.outage(100.0, 3_600.0, 4)
    at = dict(incidents(outcomes))
    begun, done = at[IncidentKind.SHUTDOWN_BEGUN], at[IncidentKind.SHUTDOWN_DONE]
    # 200 Wh, less what converters and cells lose, carry 300 W for some 36 minutes; two of them are for the shutdown.
    assert 1_700.0 < begun - 100.0 < 2_200.0
    assert done - begun == pytest.approx(120.0, abs=0.01)
    # Everything is on until the shutdown is done, and off from then on.
    missed = unserved_wh(outcomes)
    assert missed[0] == pytest.approx(200.0 * (3_600.0 - done) / 3_600, abs=0.2)
    assert missed[1] == pytest.approx(100.0 * (3_600.0 - done) / 3_600, abs=4.0)
    assert Reason.SHUTDOWN in {r for outcome in outcomes for r in c.reasons(outcome, "servers")}
    # Planned to the end: what is left is what losses were expected to take.
    left_wh = c.world.fleet.energy_wh[[c.row("small"), c.row("big")]]
    assert np.all(left_wh >= -1e-9) and left_wh.sum() < 12.0


def test_small_units_are_not_drained_first_so_all_power_lasts_to_the_end():
    # Both are needed for 300 W: a small unit that gave its share of headroom would be empty after ten minutes.
    c = Hall(small_wh=40.0, big_w=220.0)
    assert unserved_wh(c.outage(100.0, 1_500.0, 2)) == pytest.approx([0.0, 0.0], abs=0.5)


def test_what_storages_cannot_carry_goes_off_at_once_and_says_so():
    c = Hall(small_wh=150.0, big_w=20.0)
    outcomes = c.outage(100.0, 400.0, fans=200.0)
    assert unserved_wh(outcomes)[0] == pytest.approx(0.0, abs=1e-6)
    assert unserved_wh(outcomes)[1] == pytest.approx(200.0 * 300 / 3_600, abs=0.01)
    assert Reason.RIDE_THROUGH in c.reasons(outcomes[0], "fans")


def test_an_unhealthy_unit_is_not_counted_on():
    c = Hall()
    healthy = np.array([True, True, True, False])
    run = c.dispatch.run_interval
    c.dispatch.run_interval = lambda i, w, x, s: run(i, w, x, s, healthy)  # type: ignore[method-assign]
    at = dict(incidents(c.outage(100.0, 1_800.0, 2)))
    # 50 Wh alone: less than ten minutes.
    assert at[IncidentKind.SHUTDOWN_BEGUN] < 600.0


def test_a_restart_during_the_outage_goes_on_as_before():
    failure = SupplyFailure(0, START_S + 600.0, START_S + 2_000.0)

    def dark(c):
        return c.run(c.inputs(**LOAD), disturbances=[failure])

    one, two, resumed = Hall(), Hall(), Hall()
    dark(one)
    dark(two)
    assert one.world.ridden
    resumed.world, resumed.interval = world_from_bytes(two.world.to_bytes()), two.interval
    again = dark(resumed)
    dark(one)
    assert resumed.world.to_bytes() == one.world.to_bytes()
    assert IncidentKind.RIDE_THROUGH not in dict(incidents([again])), "it was planned before"
