"""Storages that nobody plans get what they ask for, and carry their owner's load with what they offer."""

import numpy as np
import pytest

from devices.catalogue import fixed_load, home_battery
from node.controller.reasons import Reason
from node.controller.thresholds import serve_requests, take_offers
from tests.unit.node.hub.small_plant import Community

FREE = np.array([1, 2, 4, 5])


@pytest.fixture
def plan():
    """Return the plan of two homes, each with a load and two batteries of 5 kW: rows 0 to 2 and 3 to 5."""
    homes = [
        [fixed_load(f"load-{name}"), home_battery(f"one-{name}"), home_battery(f"two-{name}")]
        for name in "ab"
    ]
    return Community(homes).dispatch.plan


def taken(plan, offer_wh, base_w, high_w=5_000.0):
    base, reason = np.array(base_w, float), np.zeros(6, np.int64)
    take_offers(plan, FREE, np.array(offer_wh, float), np.full(6, high_w), base, reason)
    return base.tolist(), np.flatnonzero(reason == Reason.CONTRIBUTES).tolist()


def test_what_is_offered_carries_the_own_load_over_an_hour(plan):
    assert taken(plan, [0, 800, 400, 0, 0, 0], [-2_000, 0, 0, -900, 0, 0]) == (
        [-2_000, 800, 400, -900, 0, 0],
        [1, 2],
    )


def test_nothing_is_exported_and_neighbours_get_nothing(plan):
    base, giving = taken(plan, [0, 3_000, 1_000, 0, 2_000, 0], [-600, 0, 0, 0, 0, 0])
    # Three quarters and one quarter of what the own load draws; the neighbour has no load and gives nothing.
    assert base == pytest.approx([-600, 450, 150, 0, 0, 0]) and giving == [1, 2]


def test_an_offer_too_small_for_its_converter_and_one_of_a_busy_storage_wait(plan):
    # 5 % of 5 kW are 250 W.
    assert taken(plan, [0, 249, 0, 0, 0, 0], [-2_000, 0, 0, 0, 0, 0])[1] == []
    assert taken(plan, [0, 2_000, 0, 0, 0, 0], [-2_000, -300, 0, 0, 0, 0])[0][1] == -300


def test_nobody_gives_more_than_it_can_hold(plan):
    assert taken(plan, [0, 4_000, 0, 0, 0, 0], [-5_000, 0, 0, 0, 0, 0], high_w=1_000.0)[0][1] == 1_000


def test_what_is_asked_for_comes_by_the_intervals_end_but_not_within_less_than_a_minute():
    base, reason = np.zeros(6), np.zeros(6, np.int64)
    request = np.array([0, 100.0, 0, 0, 100.0, 0])
    serve_requests(FREE, request, 900.0, np.full(6, -300.0), base, reason)
    assert base.tolist() == [0, -300, 0, 0, -300, 0] and reason[1] == Reason.REQUEST
    for left_s in (60.0, 1.0):
        base[:] = 0.0
        serve_requests(FREE, request / 100, left_s, np.full(6, -300.0), base, reason)
        assert base[1] == pytest.approx(-60.0)
