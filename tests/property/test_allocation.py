"""Allocation against an independent solver: lexicographic max-min by linear programmes, on random trees."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from node.controller.allocation import (
    UNLIMITED_MILLI_W,
    allocate,
    plan_allocation,
    usage_milli_w,
)
from node.controller.network import CapacityTree

N_TREES = 1_000


def tree_of(parent):
    """A tree whose own capacities do not matter: allocation takes them per call."""
    n_nodes = len(parent)
    free = np.full(n_nodes, np.inf)
    return CapacityTree(tuple(f"n{v}" for v in range(n_nodes)), np.asarray(parent, np.int64), free, free)


def lexicographic_max_min(parent, node, klass, demand, weight, capacity):
    """Solve class by class: raise everybody's level, freeze who cannot rise, repeat (progressive filling).

    Every step is a linear programme; nothing of the code under test is used.
    """
    n = demand.size
    above = np.zeros((len(parent), n + 1))
    for claim in range(n):
        v = node[claim]
        while v >= 0:
            above[v, claim] = 1
            v = parent[v]
    x = np.zeros(n)
    for k in range(int(klass.max()) + 1):
        active = list(np.flatnonzero(klass == k))
        while active:
            lower, upper = x.copy(), x.copy()
            lower[active], upper[active] = 0, demand[active]
            rising = np.zeros((len(active), n + 1))
            for row, claim in enumerate(active):
                rising[row, claim], rising[row, n] = -1, weight[claim]
            # The common level may stop at the demand of the smallest claim: bound it there.
            ceiling = min(demand[active] / weight[active])
            objective = np.r_[np.zeros(n), -1.0]
            best = linprog(
                objective,
                A_ub=np.r_[above, rising],
                b_ub=np.r_[capacity, np.zeros(len(active))],
                bounds=np.c_[np.r_[lower, 0], np.r_[upper, ceiling]],
                method="highs",
            )
            assert best.status == 0
            level = best.x[n]
            lower[active] = np.maximum(np.minimum(weight[active] * level, demand[active]) - 1e-7, 0)
            frozen = []
            for claim in active:
                objective = np.zeros(n + 1)
                objective[claim] = -1
                alone = linprog(
                    objective,
                    A_ub=above,
                    b_ub=capacity + 1e-7,
                    bounds=np.c_[np.r_[lower, 0], np.r_[upper, 0]],
                    method="highs",
                )
                assert alone.status == 0
                if -alone.fun <= weight[claim] * level + 1e-4:
                    frozen.append(claim)
            assert frozen
            for claim in frozen:
                x[claim] = min(weight[claim] * level, demand[claim])
                active.remove(claim)
    return x


def random_case(seed):
    rng = np.random.default_rng(seed)
    n_nodes, n = int(rng.integers(1, 9)), int(rng.integers(1, 10))
    parent = np.array([-1] + [int(rng.integers(0, v)) for v in range(1, n_nodes)])
    node = rng.integers(0, n_nodes, n)
    klass = np.zeros(n, np.int64) if seed % 5 == 0 else rng.integers(0, 4, n)
    demand = rng.integers(0, 60, n) * 1_000
    weight = rng.choice([1.0, 2.0, 3.0, 7.0, 0.5], n) if seed % 3 else np.ones(n)
    capacity = rng.integers(0, 120, n_nodes) * (rng.random(n_nodes) < 0.93) * 1_000
    return parent, node, klass, demand, weight, capacity


def compare_with_linear_programmes(n_trees):
    n_binding = 0
    for seed in range(n_trees):
        parent, node, klass, demand, weight, capacity = random_case(seed)
        expected = lexicographic_max_min(parent, node, klass, demand / 1e3, weight, capacity / 1e3) * 1e3
        plan = plan_allocation(tree_of(parent), node, klass)
        got = allocate(plan, demand, weight, capacity)
        # Whole milliwatts: below the exact grant by less than one, and equal to 1e-6 W otherwise.
        assert np.all(np.abs(got.granted_milli_w - expected) <= 1.0 + 1e-2), seed
        usage = usage_milli_w(plan, got.granted_milli_w)
        assert np.all(usage <= capacity), seed
        n_binding += bool(np.any(got.limiting_node >= 0))
    assert n_binding > n_trees / 3, "most cases must have a binding capacity or they prove little"


def test_allocation_equals_lexicographic_linear_programmes_on_a_thousand_trees():
    compare_with_linear_programmes(N_TREES)


@st.composite
def cases(draw):
    n_nodes = draw(st.integers(1, 12))
    parent = [-1] + [draw(st.integers(-1, v - 1)) for v in range(1, n_nodes)]
    n = draw(st.integers(0, 25))
    claim = st.tuples(
        st.integers(0, n_nodes - 1),
        st.integers(0, 4),
        st.one_of(st.integers(0, 20), st.integers(0, 5_000_000), st.integers(0, 10**12)),
        st.floats(1e-6, 1e6),
    )
    rows = [draw(claim) for _ in range(n)]
    capacity = [
        draw(st.one_of(st.integers(0, 50), st.integers(0, 10**12), st.just(UNLIMITED_MILLI_W)))
        for _ in range(n_nodes)
    ]
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    return (
        parent,
        np.array(columns[0], np.int64),
        np.array(columns[1], np.int64),
        np.array(columns[2], np.int64),
        np.array(columns[3], np.float64),
        np.array(capacity, np.int64),
    )


@given(cases())
@settings(max_examples=150, deadline=None)
def test_no_capacity_is_overrun_and_nobody_gets_more_than_asked(case):
    parent, node, klass, demand, weight, capacity = case
    plan = plan_allocation(tree_of(parent), node, klass)
    got = allocate(plan, demand, weight, capacity)
    assert np.all(got.granted_milli_w >= 0)
    assert np.all(got.granted_milli_w <= demand)
    exact_usage = [0] * len(parent)
    for claim, amount in enumerate(got.granted_milli_w.tolist()):
        v = int(node[claim])
        while v >= 0:
            exact_usage[v] += amount
            v = parent[v]
    assert all(used <= cap for used, cap in zip(exact_usage, capacity.tolist(), strict=True))


@given(cases())
@settings(max_examples=100, deadline=None)
def test_whoever_is_cut_is_cut_by_a_full_node_above(case):
    parent, node, klass, demand, weight, capacity = case
    plan = plan_allocation(tree_of(parent), node, klass)
    got = allocate(plan, demand, weight, capacity)
    usage = usage_milli_w(plan, got.granted_milli_w)
    for claim in np.flatnonzero(got.granted_milli_w < demand):
        limiting = int(got.limiting_node[claim])
        assert limiting in plan.tree.path_to_root(int(node[claim]))
        # Full up to one milliwatt of rounding per claim below it.
        assert usage[limiting] >= capacity[limiting] - node.size - 1e-3


@given(cases(), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_lower_classes_never_take_from_higher_ones(case, top):
    parent, node, klass, demand, weight, capacity = case
    plan = plan_allocation(tree_of(parent), node, klass)
    together = allocate(plan, demand, weight, capacity).granted_milli_w
    without = allocate(plan, np.where(klass <= top, demand, 0), weight, capacity).granted_milli_w
    assert np.all(np.abs(together - without)[klass <= top] <= 1)


@given(cases(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_claims_does_not_matter(case, random):
    parent, node, klass, demand, weight, capacity = case
    shuffled = list(range(node.size))
    random.shuffle(shuffled)
    shuffled = np.array(shuffled, np.int64)
    tree = tree_of(parent)
    straight = allocate(plan_allocation(tree, node, klass), demand, weight, capacity).granted_milli_w
    other = allocate(
        plan_allocation(tree, node[shuffled], klass[shuffled]), demand[shuffled], weight[shuffled], capacity
    ).granted_milli_w
    assert np.all(np.abs(other - straight[shuffled]) <= 1)
