"""Allocation by hand-computed cases, refusals, and the two water-level searches against each other."""

import numpy as np
import pytest

from node.controller.allocation import (
    UNLIMITED_MILLI_W,
    allocate,
    cap_milli_w,
    plan_allocation,
    take_back_overruns,
    usage_milli_w,
    water_levels,
)
from node.controller.errors import InvalidRequest
from node.controller.network import CapacityTree


def tree_of(parent):
    free = np.full(len(parent), np.inf)
    return CapacityTree(tuple(f"n{v}" for v in range(len(parent))), np.array(parent, np.int64), free, free)


def grant(parent, node, klass, demand, capacity, weight=None):
    plan = plan_allocation(tree_of(parent), np.array(node, np.int64), np.array(klass, np.int64))
    weight = np.ones(len(node)) if weight is None else np.array(weight, np.float64)
    return allocate(plan, np.array(demand, np.int64), weight, np.array(capacity, np.int64))


def test_everything_is_granted_where_nothing_binds():
    got = grant([-1, 0], [1, 1], [0, 3], [5, 7], [100, 12])
    assert got.granted_milli_w.tolist() == [5, 7]
    assert got.limiting_node.tolist() == [-1, -1]


def test_equal_claims_share_equally_and_small_claims_are_satisfied():
    # Max-min by hand: 90 among demands 10, 50, 60: 10 satisfied, the rest share 80.
    got = grant([-1], [0, 0, 0], [0, 0, 0], [10, 50, 60], [90])
    assert got.granted_milli_w.tolist() == [10, 40, 40]
    assert got.limiting_node.tolist() == [-1, 0, 0]


def test_weights_scale_the_shares():
    got = grant([-1], [0, 0], [0, 0], [100, 100], [90], weight=[1, 2])
    assert got.granted_milli_w.tolist() == [30, 60]


def test_a_higher_class_is_served_before_a_lower_one():
    got = grant([-1], [0, 0, 0], [2, 0, 1], [50, 50, 50], [70])
    assert got.granted_milli_w.tolist() == [0, 50, 20]


def test_what_a_tight_branch_cannot_use_goes_to_the_others():
    # Root 10; branch 1 lets 2 through: its two claims get 1 each, the free claim at branch 2 gets 8.
    got = grant([-1, 0, 0], [1, 1, 2], [0, 0, 0], [10, 10, 10], [10, 2, 10])
    assert got.granted_milli_w.tolist() == [1, 1, 8]
    assert got.limiting_node.tolist() == [1, 1, 0]


def test_a_claim_above_the_leaves_shares_with_those_below():
    got = grant([-1, 0], [0, 1], [0, 0], [10, 10], [10, 3])
    assert got.granted_milli_w.tolist() == [7, 3]


def test_islands_do_not_know_each_other():
    got = grant([-1, -1], [0, 1], [0, 0], [10, 10], [4, 6])
    assert got.granted_milli_w.tolist() == [4, 6]


def test_a_closed_node_grants_nothing_below_it():
    got = grant([-1, 0], [1, 0], [0, 4], [10, 10], [100, 0])
    assert got.granted_milli_w.tolist() == [0, 10]


def test_thirds_are_rounded_down_to_whole_milliwatts():
    got = grant([-1], [0, 0, 0], [0, 0, 0], [10, 10, 10], [10])
    assert got.granted_milli_w.tolist() == [3, 3, 3]


def test_no_claims_at_all_are_fine():
    plan = plan_allocation(tree_of([-1]), np.zeros(0, np.int64), np.zeros(0, np.int64))
    got = allocate(plan, np.zeros(0, np.int64), np.zeros(0), np.array([5], np.int64))
    assert got.granted_milli_w.size == 0


def test_rounding_beyond_a_capacity_is_taken_back_from_the_last_class():
    # Sums near 2**52 mW have steps of one milliwatt in float64: the integer audit must still hold.
    rng = np.random.default_rng(1)
    demand = rng.integers(2**41, 2**42, 900)
    klass = rng.integers(0, 3, 900)
    node = rng.integers(0, 30, 900)
    parent = [-1] + [int(rng.integers(0, v)) for v in range(1, 30)]
    plan = plan_allocation(tree_of(parent), node, klass)
    capacity = (usage_milli_w(plan, demand) * rng.uniform(0.2, 0.9, 30)).astype(np.int64)
    got = allocate(plan, demand, rng.uniform(0.1, 9, 900), capacity)
    assert np.all(usage_milli_w(plan, got.granted_milli_w) <= capacity)


def test_an_overrun_is_taken_back_from_the_least_important_claims_first():
    plan = plan_allocation(tree_of([-1, 0]), np.array([1, 1, 0]), np.array([0, 2, 1]))
    got = take_back_overruns(plan, np.array([5, 5, 5]), np.array([12, 8]))
    # Node 1 is over by 2: its class 2 gives them back; then the root is over by 1: class 2 again.
    assert got.tolist() == [5, 2, 5]


def test_newton_and_sort_find_the_same_water_level():
    rng = np.random.default_rng(7)
    for _ in range(50):
        sizes = rng.integers(1, 40, 12)
        segment = np.repeat(np.arange(12), sizes)
        first = np.r_[0, np.cumsum(sizes)[:-1]]
        # Weights and levels over orders of magnitude: the worst case for Newton.
        weight = np.exp(rng.uniform(-12, 3, segment.size))
        level = np.exp(rng.uniform(-6, 10, segment.size))
        capacity = np.add.reduceat(weight * level, first) * rng.uniform(0.01, 0.999, 12)
        newton = water_levels(level, weight, segment, first, capacity)
        by_sort = water_levels(level, weight, segment, first, capacity, max_rounds=0)
        assert np.allclose(newton, by_sort, rtol=1e-9)
        filled = np.add.reduceat(weight * np.minimum(level, newton[segment]), first)
        assert np.allclose(filled, capacity, rtol=1e-9)


def test_capacities_in_watts_become_whole_milliwatts_rounded_down():
    assert cap_milli_w(np.array([0.0, 1.2345678, np.inf])).tolist() == [0, 1234, UNLIMITED_MILLI_W]


@pytest.mark.parametrize(
    ("demand", "weight", "capacity", "message"),
    [
        ([-1, 0], [1, 1], [5], "demand of claim 0 is -1"),
        ([1, 1], [1, 0], [5], "weight of claim 1"),
        ([1, 1], [1, np.nan], [5], "weight of claim 1"),
        ([1, 1], [1, np.inf], [5], "weight of claim 1"),
        ([1, 1], [1, 1], [-5], "capacity of node n0"),
        ([1], [1, 1], [5], "demand has shape"),
        ([2**53, 1], [1, 1], [5], "sum to"),
    ],
)
def test_bad_requests_are_refused_with_what_and_where(demand, weight, capacity, message):
    with pytest.raises(InvalidRequest, match=message):
        grant([-1], [0, 0], [0, 0], demand, capacity, weight) if len(demand) == 2 else allocate(
            plan_allocation(tree_of([-1]), np.zeros(2, np.int64), np.zeros(2, np.int64)),
            np.array(demand),
            np.array(weight, float),
            np.array(capacity),
        )


@pytest.mark.parametrize(
    ("node", "klass", "message"),
    [([1], [0], "node of claim 0 is 1"), ([0], [-1], "class of claim 0 is -1"), ([0, 0], [0], "one of each")],
)
def test_a_plan_with_unknown_nodes_or_classes_is_refused(node, klass, message):
    with pytest.raises(InvalidRequest, match=message):
        plan_allocation(tree_of([-1]), np.array(node, np.int64), np.array(klass, np.int64))
