"""Shares on headroom, exact sums, filters, and full delivery within a second over a network that loses messages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.frequency_response import DYNAMIC_CONTAINMENT, response_w
from node.controller.swarm_promise import Promise, heard, promise, takes_part

ALL = np.ones(3, bool)


def shares(
    up, down, planned=(0, 0, 0), low=(-9, -9, -9), high=(9, 9, 9), ramp=(99, 99, 99), delay=0.0, serves=ALL
):
    return promise(
        up, down, *(np.array(x, float) for x in (planned, low, high, ramp)), delay, np.array(serves)
    )


def test_both_directions_are_shared_by_headroom_around_the_plan():
    # Plan +3 of 9: 6 W left upwards, 12 downwards; the idle units have 9 and 9. By hand: 8 * 6/24 = 2.
    got = shares(8, 10, planned=(3, 0, 0))
    assert got.up_w.tolist() == [2, 3, 3]
    assert got.down_w.tolist() == [4, 3, 3]


def test_all_is_promised_where_the_service_needs_more_or_any():
    assert shares(1_000, np.inf).up_w.tolist() == [9, 9, 9]
    assert shares(1_000, np.inf).down_w.tolist() == [9, 9, 9]


def test_what_the_ramp_cannot_reach_in_a_second_is_not_promised():
    assert shares(100, 100, ramp=(5, 99, 99), delay=0.2).up_w.tolist() == [4, 9, 9]
    assert shares(100, 100, delay=1.0).up_w.tolist() == [0, 0, 0]


def test_only_healthy_present_members_at_the_place_serve():
    t = [True] * 4
    serves = takes_part(*(np.array([*t[:i], False, *t[i + 1 :]]) for i in range(4)))
    assert serves.tolist() == [False] * 4
    assert takes_part(*[np.array(t)] * 4).all()
    assert shares(9, 9, serves=[True, False, False]).up_w.tolist() == [9, 0, 0]


@given(
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.lists(
        st.tuples(st.floats(-1e4, 0), st.floats(0, 1e4), st.floats(-1, 1), st.booleans()),
        min_size=1,
        max_size=40,
    ),
)
def test_each_direction_sums_to_the_lesser_of_required_and_available(up, down, units):
    low, high, where, serves = (np.array(column) for column in zip(*units, strict=True))
    planned = np.where(where > 0, where * high, -where * low)
    got = promise(up, down, planned, low, high, np.full(low.size, 1e9), 0.0, serves)
    for required, share, headroom in ((up, got.up_w, high - planned), (down, got.down_w, planned - low)):
        available = np.floor(headroom * 1_000 + 1e-6).astype(int)[serves].sum()
        assert np.rint(share * 1_000).astype(int).sum() == min(round(required * 1_000), available)
        assert np.all((share >= 0) & (share <= headroom + 1e-6))
        assert not share[~serves].any()


def test_a_lost_message_leaves_the_old_share_and_a_broken_unit_stops_by_itself():
    known, sent = Promise(np.array([1.0, 2, 3]), np.zeros(3)), Promise(np.array([5.0, 5, 5]), np.ones(3))
    got = heard(known, sent, np.array([True, False, True]), np.array([True, True, False]))
    assert got.up_w.tolist() == [5, 2, 0]
    assert got.down_w.tolist() == [1, 0, 0]
    assert not Promise.none(2).up_w.any()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("delay_s", [0.1, 0.3, 0.5])
def test_all_of_it_flows_within_a_second_with_delay_and_one_message_in_twenty_lost(seed, delay_s):
    # A step to full activation, while a tenth of the units break: the others take their shares over.
    rng = np.random.default_rng(seed)
    n, period_s, required_w = 500, 0.1, 500_000.0
    rated = rng.uniform(2_000, 6_000, n)
    ramp, planned = rated / 1.0, np.zeros(n)
    alive = rng.random(n) >= 0.1
    everyone = np.ones(n, bool)
    before = promise(required_w, required_w, planned, -rated, rated, ramp, delay_s, everyone)
    known, flowing = heard(before, before, everyone, alive), np.zeros(n)
    after = promise(required_w, required_w, planned, -rated, rated, ramp, delay_s, alive)
    lag = round(delay_s / period_s)
    for step in range(1, 11):
        if step >= lag:  # the coordinator's news travels as long as an answer takes
            known = heard(known, after, rng.random(n) >= 0.05, alive)
        deviation = -0.5 if step > lag else 0.0
        wanted = response_w(DYNAMIC_CONTAINMENT, deviation, known.up_w, known.down_w)
        flowing += np.clip(wanted - flowing, -ramp * period_s, ramp * period_s)
    assert np.rint(flowing * 1_000).sum() == pytest.approx(required_w * 1_000, abs=1)
