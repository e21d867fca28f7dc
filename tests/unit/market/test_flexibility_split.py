"""Splits sum to the unit, pay nothing for nothing, and cannot be gamed by having two names."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import SettlementError
from market.flexibility_split import SplitRule, shapley_weights, split_revenue_pico

REVENUE = 12 * 10**12


def split(rule, delivered, required=None, place=None, revenue=REVENUE, seed=1):
    d = np.array(delivered, np.int64)
    d = d[:, None] if d.ndim == 1 else d
    r = d.sum(axis=0) if required is None else np.array(required, np.int64)
    where = np.arange(d.shape[0]) if place is None else np.array(place)
    return split_revenue_pico(rule, revenue, d, r, where, seed)


def by_definition(delivered, required):
    """Return Shapley values times n!, from all orders, as Shapley wrote them."""
    n = len(delivered)
    total = [0] * n
    for order in permutations(range(n)):
        joined = np.zeros(len(required), np.int64)
        for player in order:
            after = joined + delivered[player]
            total[player] += int(np.minimum(after, required).sum() - np.minimum(joined, required).sum())
            joined = after
    return total


def exact_one_window(delivered, required):
    """Return Shapley values of min(required, sum) for many players, by Owen's multilinear extension.

    A player's value is the integral over t of its mean marginal value when each other joins with probability t: a
    polynomial of degree n - 1 in t, which Gauss-Legendre integrates exactly (G. Owen, Management Science 18, 1972).
    """
    nodes, weights = np.polynomial.legendre.leggauss(len(delivered) // 2 + 1)
    t, weights = (nodes[:, None] + 1) / 2, weights / 2
    values = []
    for player, own in enumerate(delivered):
        chance = np.zeros((t.size, required + 1))  # of each sum of the others, at or above the cap as one
        chance[:, 0] = 1.0
        for other, d in enumerate(delivered):
            if other != player and d:
                step = min(d, required)
                moved = np.zeros_like(chance)
                moved[:, step:] = chance[:, : required + 1 - step]
                moved[:, required] += chance[:, required + 1 - step :].sum(axis=1)
                chance = (1 - t) * chance + t * moved
        gain = np.minimum(required, np.arange(required + 1) + own) - np.arange(required + 1)
        values.append(float(weights @ (chance @ gain)))
    return values


def test_pro_rata_is_by_delivery():
    assert split(SplitRule.PRO_RATA, [1, 2, 3], revenue=60) == [10, 20, 30]


@given(
    st.lists(st.lists(st.integers(0, 50), min_size=2, max_size=2), min_size=1, max_size=5),
    st.lists(st.integers(0, 100), min_size=2, max_size=2),
)
def test_exact_shapley_is_the_mean_over_all_orders(delivered, required):
    d, r = np.array(delivered, np.int64), np.array(required, np.int64)
    assert list(shapley_weights(d, r, 0)) == by_definition(d, r)


def test_ten_players_are_exact():
    d = np.arange(1, 11)[:, None]
    weights = shapley_weights(d, np.array([20]), 0)
    assert sum(weights) == 20 * 3_628_800  # efficiency: v(N) n!
    assert [w / 3_628_800 for w in weights] == pytest.approx(exact_one_window(list(range(1, 11)), 20))


def test_a_hundred_players_are_within_a_percent_of_the_exact_value():
    delivered = [1 + (7 * i) % 13 for i in range(100)]
    exact = exact_one_window(delivered, 200)
    weights = np.array(shapley_weights(np.array(delivered)[:, None], np.array([200]), seed=3), float)
    sampled = weights / weights.sum() * 200
    assert np.abs(sampled / exact - 1).max() < 0.01


def test_sampling_repeats_with_its_seed_and_only_with_it():
    d, r = np.arange(1, 41)[:, None], np.array([100])
    assert shapley_weights(d, r, 5) == shapley_weights(d, r, 5) != shapley_weights(d, r, 6)


@pytest.mark.parametrize("rule", list(SplitRule))
@given(
    delivered=st.lists(st.lists(st.integers(0, 10**6), min_size=3, max_size=3), min_size=1, max_size=12),
    required=st.lists(st.integers(1, 10**7), min_size=3, max_size=3),
    revenue=st.integers(0, 10**15),
)
def test_parts_sum_to_the_unit_and_the_undelivered_is_paid_nothing(rule, delivered, required, revenue):
    parts = split(rule, delivered, required, revenue=revenue)
    some = any(any(row) for row in delivered)
    assert sum(parts) == (revenue if some else 0)
    assert all(part == 0 for part, row in zip(parts, delivered, strict=True) if not any(row))
    assert min(parts) >= 0


@pytest.mark.parametrize("rule", list(SplitRule))
@given(
    delivered=st.lists(st.integers(0, 10**6), min_size=1, max_size=8),
    cut=st.integers(0, 10**6),
    who=st.integers(0, 7),
    revenue=st.integers(0, 10**15),
    required=st.integers(1, 10**7),
)
def test_one_identity_that_becomes_two_gains_nothing(rule, delivered, cut, who, revenue, required):
    who %= len(delivered)
    cut = min(cut, delivered[who])
    place = list(range(len(delivered)))
    whole = split(rule, delivered, [required], place, revenue)
    parts = [*delivered[:who], cut, delivered[who] - cut, *delivered[who + 1 :]]
    two = split(rule, parts, [required], [*place[: who + 1], who, *place[who + 1 :]], revenue)
    assert two[who] + two[who + 1] == whole[who]
    assert two[:who] == whole[:who] and two[who + 2 :] == whole[who + 1 :]


def test_with_names_instead_of_places_as_players_splitting_would_change_the_shares():
    # Why places. By hand, v = min(6, sum) of (4, 2, 2): over six orders the first adds 4 4 4 4 2 2, 20/6 on average;
    # as two halves of 2 among four equal players each adds 6/4: 3 in all. Here it loses, elsewhere it gains.
    whole = shapley_weights(np.array([[4], [2], [2]]), np.array([6]), 0)
    halves = shapley_weights(np.array([[2], [2], [2], [2]]), np.array([6]), 0)
    assert whole[0] / 6 == pytest.approx(20 / 6)
    assert (halves[0] + halves[1]) / 24 == pytest.approx(3.0)
    # v = min(1, sum) of (1, 1): 1/2 each; three names of 1 have 1/3 each, so two names of one gain 1/6.
    assert [w / 2 for w in shapley_weights(np.array([[1], [1]]), np.array([1]), 0)] == [0.5, 0.5]
    assert [w / 6 for w in shapley_weights(np.array([[1], [1], [1]]), np.array([1]), 0)] == [1 / 3] * 3


def test_where_everything_is_needed_both_rules_agree():
    delivered = [3, 5, 9, 1]
    assert split(SplitRule.SHAPLEY, delivered, revenue=18_000) == split(
        SplitRule.PRO_RATA, delivered, revenue=18_000
    )


def test_shapley_pays_who_delivered_when_it_was_scarce():
    # Window 0 is over-delivered by two, window 1 has one deliverer only; all deliver 10.
    delivered, required = [[10, 0], [10, 0], [0, 10]], [10, 10]
    assert split(SplitRule.SHAPLEY, delivered, required, revenue=40) == [10, 10, 20]
    assert split(SplitRule.PRO_RATA, delivered, required, revenue=30) == [10, 10, 10]


@pytest.mark.parametrize(
    ("delivered", "required", "place", "revenue"),
    [
        ([[-1]], [1], [0], 1),
        ([[1]], [-1], [0], 1),
        ([[1]], [1], [0], -1),
        ([[1]], [1, 1], [0], 1),
        ([[1]], [1], [0, 1], 1),
        ([[2**45]], [1], [0], 1),
    ],
)
def test_impossible_splits_are_refused(delivered, required, place, revenue):
    with pytest.raises(SettlementError):
        split(SplitRule.SHAPLEY, delivered, required, place, revenue)
