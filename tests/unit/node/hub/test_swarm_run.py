"""The swarm inside dispatch: real frequency tracked, an incident held, owners' reserves and wires left alone."""

from pathlib import Path

import numpy as np
import pytest

from devices.catalogue import home_battery
from devices.frequency_area import Area
from devices.frequency_response import DYNAMIC_CONTAINMENT, LINEAR_DROOP
from devices.parameters import build_fleet
from devices.state import FleetInputs
from node.controller.network import CapacityTree
from node.controller.reasons import Reason
from node.controller.swarm_mode import SwarmMode
from node.hub.dispatch import Dispatch
from node.hub.dispatch_records import ControllerFailure, IntervalInputs, Schedule
from node.hub.frequency_records import FrequencyInterval, Incident, Service
from node.profiles.frequency import recorded_day_pu

N, LENGTH_S, SOLD_W = 8, 1_800, 2_500.0
RATED_W = N * SOLD_W
AREA = Area(4.0, 1.0, 0.05, 8.0, secondary_per_s=0.2, base_w=10 * RATED_W)
PMU = Path(__file__).parents[3] / "data" / "gmlc" / "pmu_event_30hz.csv"
LIMITS_PU = 0.03


def batteries(initial_pu=0.5, feeder_w=1e6):
    params = build_fleet(
        [home_battery(f"battery-{i}", reserve_pu=0.2, initial_pu=initial_pu) for i in range(N)]
    )
    parent = np.r_[-1, np.zeros(N, np.int64)]
    names = ("feeder", *(f"home-{i}" for i in range(N)))
    cap = np.r_[feeder_w, np.full(N, 1e6)]
    places = 1 + np.arange(N)
    return Dispatch(
        CapacityTree(names, parent, cap, cap), params, places, np.arange(N), places, interval_s=LENGTH_S
    )


def run(
    dispatch,
    deviation_hz,
    curve=LINEAR_DROOP,
    down_w=SOLD_W,
    world=None,
    disturbances=(),
    healthy=None,
    **more,
):
    up = np.full(N, SOLD_W)
    frequency = FrequencyInterval(
        area=AREA,
        deviation_hz=deviation_hz,
        service=Service("service", curve, up, np.full(N, down_w), 900.0),
        **({"incidents": (), "delay_s": 0.2, "message_loss_pu": 0.05, "seed": 7} | more),
    )
    schedule = Schedule(np.zeros(N), np.zeros(N), frequency=frequency, disturbances=disturbances)
    inputs = IntervalInputs((0.0,), (FleetInputs.quiet(N),))
    return dispatch.run_interval(
        0, dispatch.first_world() if world is None else world, inputs, schedule, healthy
    )


def quiet():
    return np.zeros(LENGTH_S + 1)


def at(frequency, second):
    return int(np.searchsorted(frequency.at_ms, second * 1_000))


def test_half_an_hour_of_a_real_day_is_tracked_within_three_percent():
    dispatch = batteries()
    _, outcome = run(dispatch, recorded_day_pu()[21 * LENGTH_S : 22 * LENGTH_S + 1] * 50.0)
    swarm = outcome.frequency
    assert swarm.at_ms.size > 300, "it must have been busy"
    assert np.abs(swarm.given_w - swarm.asked_w).max() / RATED_W <= LIMITS_PU
    assert swarm.n_reserve_violations == 0
    assert (swarm.asked_w > 0).any() and (swarm.asked_w < 0).any(), "both directions"
    # Fine steps only while something happens: the rest of the half hour is coasted over.
    assert outcome.n_periods + outcome.n_coasts < 60


@pytest.mark.slow
def test_a_whole_real_day_is_tracked_within_three_percent_without_touching_a_reserve():
    dispatch, world = batteries(), None
    day = np.r_[recorded_day_pu(), recorded_day_pu()[:1]] * 50.0
    for interval in range(86_400 // LENGTH_S):
        world, outcome = run(dispatch, day[interval * LENGTH_S : (interval + 1) * LENGTH_S + 1], world=world)
        swarm = outcome.frequency
        if swarm.at_ms.size:
            assert np.abs(swarm.given_w - swarm.asked_w).max() / RATED_W <= LIMITS_PU
        assert swarm.n_reserve_violations == 0
        assert np.all(outcome.energy_wh >= dispatch.plan.params.reserve_wh)


def test_a_measured_event_is_tracked_within_three_percent():
    # 30 samples a second, averaged to the record's second; the worst of them moves 40 mHz.
    table = np.loadtxt(PMU, delimiter=",", skiprows=1)
    per_second = (table[:, 1] - 60.0).reshape(60, 30).mean(axis=1)
    record = quiet()
    record[100:160] = per_second
    _, outcome = run(batteries(), record, DYNAMIC_CONTAINMENT)
    swarm = outcome.frequency
    assert swarm.deviation_hz.min() < -0.2
    assert np.abs(swarm.given_w - swarm.asked_w).max() / RATED_W <= LIMITS_PU
    assert swarm.n_reserve_violations == 0


@pytest.mark.parametrize(("delay_s", "lowest_hz"), [(0.2, -0.32), (0.6, -0.58), (1.0, -0.76)])
def test_an_incident_is_held_without_swinging_however_slow_the_swarm_is(delay_s, lowest_hz):
    incident = Incident("trip", 60_000, 120_000, 0.10)
    _, outcome = run(batteries(), quiet(), incidents=(incident,), delay_s=delay_s)
    swarm = outcome.frequency
    assert swarm.is_incident.all()
    first = swarm.deviation_hz.argmin()
    assert swarm.deviation_hz[first] > lowest_hz  # alone: -0.988
    assert np.all(swarm.deviation_hz[first:] >= swarm.deviation_hz[first])
    later = swarm.deviation_hz[first + 30 :]
    assert later.min() > swarm.deviation_hz[first] + 0.05, "no later dip is near the first"
    assert swarm.deviation_hz.max() < 0.05
    assert outcome.event_wh.sum() == pytest.approx(swarm.given_w @ swarm.length_ms / 3.6e6, rel=1e-9)
    assert swarm.delivered_wh.sum() <= swarm.asked_wh
    answers = np.flatnonzero(outcome.setpoints.reason == Reason.FREQUENCY)
    assert answers.size >= 3 * N, "when it begins, and whenever it has changed by a tenth"
    assert outcome.setpoints.reason_text(int(answers[0]), ()) == "answers the grid's frequency: service"


def test_full_activation_flows_within_a_second_though_messages_get_lost():
    record = quiet()
    record[100:400] = -0.3
    _, outcome = run(batteries(), record, message_loss_pu=0.05, delay_s=0.2)
    swarm = outcome.frequency
    # Second 99 to 100 is the record's own slope; one second later all of it flows.
    assert swarm.given_w[at(swarm, 101)] >= RATED_W * (1 - 1e-3)


def test_half_a_hertz_is_an_emergency_in_which_all_above_the_reserves_answers():
    record = quiet()
    record[100:400] = -0.6
    _, outcome = run(batteries(), record, DYNAMIC_CONTAINMENT)
    swarm = outcome.frequency
    assert SwarmMode.EMERGENCY in swarm.mode
    assert swarm.given_w.max() > 1.2 * RATED_W
    assert swarm.n_reserve_violations == 0


def test_an_owners_reserve_is_never_touched_however_long_the_grid_asks():
    record = np.full(LENGTH_S + 1, -0.4)
    dispatch = batteries(initial_pu=0.22)
    _, outcome = run(dispatch, record)
    assert outcome.frequency.n_reserve_violations == 0
    assert np.all(outcome.energy_wh >= dispatch.plan.params.reserve_wh - 1e-6)
    assert outcome.frequency.given_w[-1] < 0.5 * RATED_W


def test_who_is_unhealthy_answers_nothing_and_the_others_take_its_share():
    record = quiet()
    record[100:400] = -0.4
    healthy = np.ones(N, bool)
    healthy[0] = False
    _, outcome = run(batteries(), record, healthy=healthy)
    swarm = outcome.frequency
    assert swarm.delivered_wh[0] == 0.0
    assert swarm.given_w[at(swarm, 200)] == pytest.approx(RATED_W, rel=0.01)


def test_wires_carry_what_is_promised_or_it_is_not_promised():
    record = quiet()
    record[100:400] = -0.4
    _, outcome = run(batteries(feeder_w=9_000.0), record)
    assert outcome.nodes.peak_export_w[0] <= 9_000.0 + 0.5
    assert outcome.frequency.given_w.max() == pytest.approx(9_000.0, rel=0.01)


def test_units_answer_alone_while_no_controller_is_there():
    record = quiet()
    record[100:400] = -0.4
    dead = (ControllerFailure(at_s=99.5),)
    _, outcome = run(batteries(), record, disturbances=dead)
    assert outcome.frequency.given_w[at(outcome.frequency, 101)] > 0.5 * RATED_W


def test_above_nominal_the_swarm_withdraws_and_the_position_is_forgiven():
    record = quiet()
    record[100:400] = 0.2
    _, outcome = run(batteries(), record)
    assert outcome.net_export_wh.sum() < 0
    assert {c.reason for c in outcome.curtailments} == {Reason.FREQUENCY}
    forgiven = sum(c.energy_milli_wh for c in outcome.curtailments)
    assert forgiven == pytest.approx(-outcome.net_export_wh.sum() * 1_000, abs=N)


def test_who_sold_no_withdrawal_does_not_withdraw():
    record = quiet()
    record[100:400] = 0.2
    _, outcome = run(batteries(), record, down_w=0.0)
    assert outcome.net_export_wh == pytest.approx(np.zeros(N), abs=0.5)


def test_the_same_seed_loses_the_same_messages():
    record = recorded_day_pu()[21 * LENGTH_S : 22 * LENGTH_S + 1] * 50.0
    (a, one), (b, two) = (run(batteries(), record, seed=3) for _ in range(2))
    assert a.to_bytes() == b.to_bytes()
    assert one.frequency.given_w.tobytes() == two.frequency.given_w.tobytes()
