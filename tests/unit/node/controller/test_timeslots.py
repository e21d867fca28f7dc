"""Timeslots follow volatility, stay in their hour and cover everything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.controller.errors import InvalidRequest
from node.controller.timeslots import TimeslotTerms, timeslots


def test_a_calm_hour_is_one_timeslot_and_a_wild_one_four():
    price = np.array([100.0, 100, 101, 100, 80, 120, 70, 130])
    slots = timeslots(8, (price,), TimeslotTerms())
    assert slots == (range(8, 12), range(12, 13), range(13, 14), range(14, 15), range(15, 16))


def test_half_hours_are_tried_before_quarters():
    price = np.array([100.0, 100, 150, 150])
    assert timeslots(0, (price,), TimeslotTerms()) == (range(2), range(2, 4))


def test_every_indicator_has_to_be_calm():
    price, demand = np.full(4, 100.0), np.array([10.0, 10, 30, 30])
    assert timeslots(0, (price, demand), TimeslotTerms()) == (range(2), range(2, 4))


def test_a_timeslot_begins_and_ends_inside_one_hour():
    assert timeslots(6, (np.full(6, 1.0),), TimeslotTerms()) == (range(6, 8), range(8, 12))


@given(st.integers(0, 10**6), st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=100))
def test_timeslots_cover_all_intervals_once_in_order(first, values):
    slots = timeslots(first, (np.array(values),), TimeslotTerms())
    assert [i for slot in slots for i in slot] == list(range(first, first + len(values)))
    assert all(len(slot) in (1, 2, 4) and slot.start // 4 == (slot.stop - 1) // 4 for slot in slots)


def test_nonsense_is_refused():
    with pytest.raises(InvalidRequest, match="one length"):
        timeslots(0, (np.zeros(2), np.zeros(3)), TimeslotTerms())
    with pytest.raises(InvalidRequest, match="finite"):
        timeslots(0, (np.array([np.nan]),), TimeslotTerms())
    with pytest.raises(InvalidRequest, match="timeslot terms"):
        TimeslotTerms(per_hour=0)
