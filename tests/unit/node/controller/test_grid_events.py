"""Demand response asks for its power, peak shaving for what exceeds its cap."""

import numpy as np
import pytest

from devices.catalogue import fixed_load, home_battery
from devices.parameters import build_fleet
from devices.state import FleetInputs, initial_state
from node.controller.control_plan import plan_control
from node.controller.grid_events import Call, answer_calls
from node.controller.network import CapacityTree
from node.hub.dispatch_records import Direction, GridEvent

N = 3
LIMIT = np.array([3_000.0, 1_000.0, 0.0])


def answer(*calls, load_w=5_000.0, healthy=(True, True, True)):
    params = build_fleet([home_battery("a"), home_battery("b"), fixed_load("load")])
    free = np.full(2, 1e6)
    tree = CapacityTree(("root", "home"), np.array([-1, 0]), free, free)
    plan = plan_control(tree, params, np.ones(N, np.int64), np.zeros(N, np.int64), np.array([1]))
    base = np.array([0.0, 0.0, -load_w])
    return answer_calls(
        plan, calls, initial_state(params), FleetInputs.quiet(N), np.array(healthy), base, -LIMIT, LIMIT
    )


def call(requested_w, cap_w=None):
    return Call(requested_w, np.ones(N, bool), -LIMIT, LIMIT, cap_w)


def test_demand_response_is_shared_and_what_clips_is_shared_again():
    assert answer(call(3_000.0)).tolist() == [2_000.0, 1_000.0, 0.0]
    assert answer(call(-500.0)).tolist() == [-250.0, -250.0, 0.0]


def test_peak_shaving_asks_for_the_excess_alone():
    assert answer(call(9_000.0, cap_w=4_000.0)).sum() == pytest.approx(1_000.0)
    assert answer(call(9_000.0, cap_w=5_000.0)).tolist() == [0.0, 0.0, 0.0]
    assert answer(call(800.0, cap_w=0.0)).sum() == pytest.approx(800.0), "at most what was requested"


def test_a_later_peak_event_sees_what_the_earlier_one_gives():
    both = answer(call(500.0), call(9_000.0, cap_w=4_000.0))
    assert both.sum() == pytest.approx(1_000.0)


def test_who_is_unhealthy_gives_nothing():
    assert answer(call(3_000.0), healthy=(False, True, True)).tolist() == [0.0, 1_000.0, 0.0]


def test_a_cap_below_nothing_or_on_a_call_for_import_is_refused():
    for wrong in ({"cap_w": -1.0}, {"cap_w": 5.0, "direction": Direction.DOWN}):
        with pytest.raises(ValueError, match="caps import"):
            GridEvent("peak", 0.0, 1.0, 5.0, **wrong)
