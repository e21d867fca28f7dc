"""Microgrids in dispatch: found out, led, formed, shed, dark, started again, back in phase; and the same from bytes."""

from dataclasses import replace

import numpy as np
import pytest

from devices.catalogue import fixed_load, home_battery, solar_roof, vehicle
from devices.specification import Priority
from node.controller.microgrid import (
    MicrogridState,
    MicrogridTerms,
    Phase,
    states_from_bytes,
    states_to_bytes,
)
from node.controller.reasons import Reason
from node.hub.dispatch import Dispatch
from node.hub.dispatch_records import IncidentKind, IntervalInputs, Schedule, SupplyFailure
from node.hub.dispatch_state import BadWorld, world_from_bytes
from node.hub.island_records import IslandAhead, counted_loads
from tests.unit.node.hub.small_plant import INTERVAL, START_S, Community


class Street(Community):
    """Two homes behind a switch: one with battery and roof, one without; each with a critical and a low load."""

    def __init__(self, initial_pu=0.8, capacity_wh=10_000.0, has_second_battery=False, car=None):
        homes = [
            [
                fixed_load("critical-a", priority=Priority.CRITICAL),
                fixed_load("low-a", priority=Priority.LOW),
                solar_roof("sun-a"),
                home_battery("battery-a", capacity_wh=capacity_wh, initial_pu=initial_pu),
            ],
            [
                fixed_load("critical-b", priority=Priority.CRITICAL),
                fixed_load("low-b", priority=Priority.LOW),
            ],
        ]
        if has_second_battery:
            homes[1].append(home_battery("battery-b", capacity_wh=capacity_wh, initial_pu=initial_pu))
        if car is not None:
            homes[1].append(car)
        super().__init__(homes)
        connections = np.arange(1, self.n_accounts + 1)
        self.dispatch = Dispatch(
            self.tree, self.params, connections[self.account], self.account, connections,
            microgrids=(MicrogridTerms(0, 50.0, 0.05, 0.3, 11),),
        )  # fmt: skip
        self.world = self.dispatch.first_world()

    def wants(self, critical=300.0, low=500.0, sun=0.0):
        inputs = self.inputs(**{"sun-a": sun})
        inputs.load_demand_w[[self.row("critical-a"), self.row("critical-b")]] = critical
        inputs.load_demand_w[[self.row("low-a"), self.row("low-b")]] = low
        return inputs

    def ahead(self, n, **wants):
        inputs = self.wants(**wants)
        return IslandAhead(
            np.tile(inputs.load_demand_w[:, None], n), np.tile(inputs.solar_available_w[:, None], n)
        )

    def live(self, inputs, outage=None, ahead=None, is_healthy=None):
        """Run one interval; `outage` is (from, until) in seconds after the first interval's start."""
        failures = () if outage is None else (SupplyFailure(0, START_S + outage[0], START_S + outage[1]),)
        schedule = Schedule(
            np.full(self.n_accounts, np.nan), np.zeros(self.params.n_devices),
            disturbances=failures, island_ahead=ahead,
        )  # fmt: skip
        self.world, outcome = self.dispatch.run_interval(
            self.interval, self.world, IntervalInputs((0.0,), (inputs,)), schedule, is_healthy
        )
        self.interval += 1
        return outcome

    @property
    def state(self) -> MicrogridState:
        return self.world.islands[0]


def kinds(outcome):
    return [incident.kind for incident in outcome.incidents]


def test_an_outage_is_found_out_led_and_lived_through():
    c = Street()
    outcome = c.live(c.wants(), (100, 2_000))
    assert sorted(kinds(outcome)) == [
        IncidentKind.SUPPLY_FAILED,
        IncidentKind.ISLAND_DETECTED,
        IncidentKind.LEADER_ELECTED,
        IncidentKind.ISLAND_FORMED,
    ]
    at = {incident.kind: incident.at_s - START_S for incident in outcome.incidents}
    assert at[IncidentKind.SUPPLY_FAILED] == 100
    assert at[IncidentKind.ISLAND_DETECTED] <= 102
    assert at[IncidentKind.LEADER_ELECTED] <= 104
    assert at[IncidentKind.ISLAND_FORMED] <= 110
    assert c.state.phase is Phase.ISLANDED
    assert c.state.leader == 0, "only the first account has something to form an island with"
    (island,) = outcome.islands
    assert island.cut_s == pytest.approx(800.0)
    assert island.served_wh.sum() == pytest.approx(island.wanted_wh.sum(), rel=0.02)
    # What the batteries give is what the loads take.
    assert outcome.net_export_wh.sum() == pytest.approx(-1_600 * 100 / 3_600, abs=0.2)


def test_while_nobody_forms_a_voltage_nothing_flows():
    c = Street()
    outcome = c.live(c.wants(), (100, 2_000))
    dark = [s for s in outcome.islands[0].samples if s.phase is Phase.LOST]
    assert dark and dark[0].v_min_pu == pytest.approx(1.0, abs=0.01), "at first everything looks as before"
    assert Reason.NO_VOLTAGE in c.reasons(outcome, "critical-a")
    assert Reason.PICK_UP in c.reasons(outcome, "low-b")


def test_energy_that_has_to_last_is_kept_from_lower_loads():
    c = Street(initial_pu=0.3)
    outcome = c.live(c.wants(), (0, 9_000), c.ahead(20))  # 600 W of critical loads for five hours
    assert Reason.SHED in c.reasons(outcome, "low-a") and Reason.SHED in c.reasons(outcome, "low-b")
    island = outcome.islands[0]
    assert island.served_wh[Priority.CRITICAL] == pytest.approx(150.0, rel=0.01)
    assert island.served_wh[Priority.LOW] == 0.0


def test_an_empty_island_goes_dark_and_starts_again_with_the_sun():
    c = Street(initial_pu=0.09, capacity_wh=5_000.0)
    happened = []
    for _ in range(4):
        happened += kinds(c.live(c.wants(), (0, 1e6), c.ahead(8)))
    assert IncidentKind.ISLAND_DARK in happened
    assert c.state.phase is Phase.DARK and c.state.leader == -1
    energy = c.world.fleet.energy_wh[c.row("battery-a")]
    assert energy >= 0.04 * 5_000.0, "the black-start reserve is kept"
    outcome = c.live(c.wants(sun=2_000.0), (0, 1e6), c.ahead(8, sun=2_000.0))
    assert IncidentKind.BLACK_START in kinds(outcome) and c.state.phase is Phase.ISLANDED
    assert c.state.term // 1_024 == 2
    assert outcome.islands[0].served_wh[Priority.CRITICAL] > 100.0


def test_more_sun_than_anybody_can_take_is_curtailed():
    c = Street(initial_pu=1.0)
    c.live(c.wants(), (0, 1e6))
    outcome = c.live(c.wants(critical=100.0, low=0.0, sun=5_000.0), (0, 1e6))
    assert outcome.curtailed_wh_by_class[0] > 500.0
    assert Reason.SUPPLY_FAILURE in c.reasons(outcome, "sun-a")
    assert abs(outcome.net_export_wh.sum()) < 0.1


def test_it_comes_back_in_phase_after_300_healthy_seconds():
    c = Street()
    c.live(c.wants(), (100, 1_000))
    outcome = c.live(c.wants(), (100, 1_000))  # the grid is back 100 s into it
    at = {incident.kind: incident.at_s - START_S - 900 for incident in outcome.incidents}
    assert at[IncidentKind.GRID_HEALTHY] == 100
    assert at[IncidentKind.SYNCHRONISING] == 400
    assert 400 < at[IncidentKind.RECONNECTED] <= 410
    assert at[IncidentKind.SUPPLY_BACK] == at[IncidentKind.RECONNECTED]
    assert not c.state.is_cut
    after = c.live(c.wants())
    assert after.islands == () and after.unserved_wh_by_class.sum() == 0.0


def test_a_grid_that_fails_again_has_to_be_healthy_anew():
    c = Street()
    again = (SupplyFailure(0, START_S + 10, START_S + 200), SupplyFailure(0, START_S + 300, START_S + 500))
    schedule = Schedule(np.full(2, np.nan), np.zeros(c.params.n_devices), disturbances=again)
    _, outcome = c.dispatch.run_interval(INTERVAL, c.world, IntervalInputs((0.0,), (c.wants(),)), schedule)
    at = {incident.kind: incident.at_s - START_S for incident in outcome.incidents}
    assert at[IncidentKind.SYNCHRONISING] == 800


def test_where_nobody_can_form_an_island_it_stays_dark_and_closes_onto_a_dead_bus():
    c = Street()
    healthy = np.ones(c.params.n_devices, bool)
    healthy[c.row("battery-a")] = False
    outcome = c.live(c.wants(), (100, 300), is_healthy=healthy)
    assert IncidentKind.ISLAND_DARK in kinds(outcome) and IncidentKind.LEADER_ELECTED not in kinds(outcome)
    (closed,) = [one for one in outcome.incidents if one.kind is IncidentKind.RECONNECTED]
    assert closed.subject == "feeder: onto a dead bus" and closed.at_s == START_S + 600
    assert not c.state.is_cut


def test_a_leader_whose_storage_becomes_unhealthy_hands_over_and_the_island_lives_on():
    c = Street(has_second_battery=True)
    c.live(c.wants(), (100, 1e6))
    first = c.state
    healthy = np.ones(c.params.n_devices, bool)
    healthy[c.row("battery-a" if first.leader == 0 else "battery-b")] = False
    outcome = c.live(c.wants(), (100, 1e6), is_healthy=healthy)
    assert c.state.phase is Phase.ISLANDED and c.state.leader == 1 - first.leader
    assert c.state.term > first.term
    (told,) = [one for one in outcome.incidents if one.kind is IncidentKind.LEADER_ELECTED]
    assert f"account {first.leader} handed over: its storage is unhealthy" in told.subject
    assert told.at_s - (START_S + 900) <= 2.0
    # The other battery carries what this one did after one control period.
    assert outcome.unserved_wh_by_class.sum() <= 1_600 * 0.1 / 3_600
    again = c.live(c.wants(), (100, 1e6), is_healthy=healthy)
    assert IncidentKind.LEADER_ELECTED not in kinds(again), "once is enough"


def test_from_its_bytes_the_world_goes_on_as_it_would_have():
    """In the middle of an outage, with an open switch, a leader and terms."""
    c, again = Street(initial_pu=0.3), Street(initial_pu=0.3)
    for street in (c, again):
        street.live(street.wants(), (100, 2_000), street.ahead(8))
    again.world = world_from_bytes(c.world.to_bytes())
    assert again.world.to_bytes() == c.world.to_bytes()
    outcomes = []
    for street in (c, again):
        outcomes += [street.live(street.wants(), (100, 2_000), street.ahead(8)) for _ in range(2)]
    assert c.world.to_bytes() == again.world.to_bytes()
    assert [one.incidents for one in outcomes[:2]] == [one.incidents for one in outcomes[2:]]
    assert [one.islands[0].samples for one in outcomes[:2]] == [
        one.islands[0].samples for one in outcomes[2:]
    ]


def test_one_load_is_told_as_one():
    assert [counted_loads(n) for n in (0, 1, 2)] == ["0 loads", "1 load", "2 loads"]


def test_a_car_that_is_plugged_in_carries_its_share_and_keeps_its_trip():
    car = vehicle("car", capacity_wh=40_000.0, p_discharge_max_w=11_000.0, initial_pu=0.5)
    c, alone = Street(car=car), Street()
    inputs = replace(c.wants(), required_wh=np.full(c.params.n_devices, 10_000.0))
    for street, seen in ((c, inputs), (alone, alone.wants())):
        outcome = street.live(seen, (0, 1e6))
        assert outcome.unserved_wh_by_class.sum() < 2.0, "but for the seconds in which the island is formed"
    given_wh = 20_000.0 - c.world.fleet.energy_wh[c.row("car")]
    # It holds 10 kWh beyond its trip, the battery 8 kWh: it carries more than half of 1,600 W.
    assert 0.5 * 400.0 < given_wh < 0.75 * 400.0
    spared = c.world.fleet.energy_wh[c.row("battery-a")] - alone.world.fleet.energy_wh[alone.row("battery-a")]
    assert spared == pytest.approx(given_wh, rel=0.1), "what it gives the battery keeps"
    needy = Street(car=car)
    for _ in range(2):
        needy.live(replace(inputs, required_wh=np.full(c.params.n_devices, 20_000.0)), (0, 1e6))
    assert needy.world.fleet.energy_wh[needy.row("car")] >= 19_990.0, (
        "an empty car that cannot leave helps nobody"
    )


def test_a_car_that_leaves_is_not_missed():
    car = vehicle("car", capacity_wh=40_000.0, p_discharge_max_w=11_000.0, initial_pu=0.5)
    c = Street(car=car)
    c.live(c.wants(), (0, 1e6))
    gone = c.wants()
    gone.is_present[c.row("car")] = False
    outcome = c.live(gone, (0, 1e6))
    assert outcome.unserved_wh_by_class.sum() <= 1_600 * 0.1 / 3_600
    assert abs(outcome.net_export_wh.sum()) < 0.1


def test_states_that_are_none_are_refused():
    whole = states_to_bytes((MicrogridState(phase=Phase.DARK, on=(1,), waiting=((2, 3),)),))
    assert states_from_bytes(whole)[0].waiting == ((2, 3),)
    with pytest.raises(ValueError, match="microgrids"):
        states_from_bytes(b'[{"phase":1}]')
    c = Street()
    c.live(c.wants(), (100, 2_000))
    with pytest.raises(BadWorld):
        world_from_bytes(c.world.to_bytes()[:-3])


def test_energy_in_a_storage_that_is_unhealthy_is_not_counted_on():
    c = Street(has_second_battery=True)
    c.live(c.wants(), (0, 1e6))
    healthy = np.ones(c.params.n_devices, bool)
    both = c.live(c.wants(), (0, 1e6), is_healthy=healthy).islands[0].usable_wh
    healthy[c.row("battery-b")] = False
    one = c.live(c.wants(), (0, 1e6), is_healthy=healthy).islands[0].usable_wh
    assert one == pytest.approx(both / 2, rel=0.15)
