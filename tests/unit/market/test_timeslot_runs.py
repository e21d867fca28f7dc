"""Runs follow volatility and demand, stay in their hour, cover everything, and are the best of all divisions."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.timeslot_runs import TimeslotTerms, timeslots

CALM_PU = 0.1


def runs_of(values, first=8):
    return [len(slot) for slot in timeslots(first, (np.array(values, float),), TimeslotTerms(4, CALM_PU))]


def test_a_calm_hour_is_one_timeslot_and_a_wild_one_four():
    price = np.array([100.0, 100, 101, 100, 80, 120, 70, 130])
    slots = timeslots(8, (price,), TimeslotTerms())
    assert slots == (range(8, 12), range(12, 13), range(13, 14), range(14, 15), range(15, 16))


@pytest.mark.parametrize(
    ("price", "runs"),
    [
        ([100, 100, 100, 150], [3, 1]),
        ([150, 100, 100, 100], [1, 3]),
        ([100, 100, 150, 150], [2, 2]),
        ([100, 150, 150, 100], [1, 2, 1]),
    ],
)
def test_an_hour_is_cut_where_it_is_not_calm(price, runs):
    assert runs_of(price) == runs


def test_of_equally_many_runs_the_calmest_are_taken():
    # 3 + 1, 2 + 2 and 1 + 3 are all calm enough; only the step between the last two is worth a cut.
    assert runs_of([100, 100.5, 101, 109.9]) == [4]
    assert runs_of([100, 100, 103, 112]) == [3, 1]
    assert runs_of([100, 101, 111, 112]) == [2, 2]
    assert runs_of([112, 103, 100, 100]) == [1, 3]


def test_of_equally_calm_divisions_the_one_with_the_longest_first_runs_is_taken():
    assert runs_of([100, 108, 116, 124]) == [2, 2]
    # 2 + 1 and 1 + 2 leave the same sum of squares.
    assert runs_of([100, 108, 116]) == [2, 1]


def test_every_indicator_has_to_be_calm():
    price, demand = np.full(4, 100.0), np.array([10.0, 30, 30, 30])
    assert timeslots(0, (price, demand), TimeslotTerms()) == (range(1), range(1, 4))


def test_a_timeslot_begins_and_ends_inside_one_hour_and_never_has_more_than_four_intervals():
    assert timeslots(6, (np.full(6, 1.0),), TimeslotTerms()) == (range(6, 8), range(8, 12))
    of_five_minutes = timeslots(12, (np.full(12, 1.0),), TimeslotTerms(per_hour=12))
    assert [len(slot) for slot in of_five_minutes] == [4, 4, 4]


def test_zeros_are_calm_and_nothing_has_no_timeslots():
    assert timeslots(4, (np.zeros(4),), TimeslotTerms()) == (range(4, 8),)
    assert timeslots(4, (np.zeros(0),), TimeslotTerms()) == ()


@given(st.integers(0, 10**6), st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=100))
def test_timeslots_cover_all_intervals_once_in_order(first, values):
    slots = timeslots(first, (np.array(values),), TimeslotTerms())
    assert [i for slot in slots for i in slot] == list(range(first, first + len(values)))
    assert all(1 <= len(slot) <= 4 and slot.start // 4 == (slot.stop - 1) // 4 for slot in slots)


@given(
    st.integers(0, 11),
    st.sampled_from([2, 4, 12]),
    st.lists(st.tuples(st.integers(90, 112), st.integers(45, 56)), min_size=1, max_size=9),
)
def test_no_division_has_fewer_runs_or_as_many_calmer_ones(first, per_hour, values):
    """Expected: brute force over all 2^(n-1) divisions."""
    indicators = np.array(values, float).T
    relative = indicators / np.mean(np.abs(indicators), axis=1, keepdims=True)
    n = relative.shape[1]

    def worth(cuts):
        edges = (0, *cuts, n)
        unrest = 0.0
        for at, stop in zip(edges, edges[1:], strict=False):
            part = relative[:, at:stop]
            is_in_one_hour = (first + at) // per_hour == (first + stop - 1) // per_hour
            is_calm = stop == at + 1 or np.ptp(part, axis=1).max() <= CALM_PU
            if stop - at > 4 or not is_in_one_hour or not is_calm:
                return None
            unrest += float(((part.T - part.mean(axis=1)) ** 2).sum())
        return len(edges) - 1, unrest

    divisions = [worth(cuts) for k in range(n) for cuts in combinations(range(1, n), k)]
    fewest, least = min(found for found in divisions if found is not None)
    slots = timeslots(first, tuple(indicators), TimeslotTerms(per_hour, CALM_PU))
    taken = worth([slot.start - first for slot in slots[1:]])
    assert taken is not None and taken[0] == fewest
    assert taken[1] == pytest.approx(least, rel=1e-9, abs=1e-15)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="one length"):
        timeslots(0, (np.zeros(2), np.zeros(3)), TimeslotTerms())
    with pytest.raises(ValueError, match="one length"):
        timeslots(0, (), TimeslotTerms())
    with pytest.raises(ValueError, match="finite"):
        timeslots(0, (np.array([np.nan]),), TimeslotTerms())
    with pytest.raises(ValueError, match="timeslot terms"):
        TimeslotTerms(per_hour=0)
