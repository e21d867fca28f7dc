"""Timeslots close and clear as one, and what was announced stands."""

from datetime import time
from zoneinfo import ZoneInfo

import pytest

from market.intervals import IntervalGrid
from market.timeslots import TimeslotSchedule

GRID = IntervalGrid(900)
FIRST = 2_000_000


def schedule(day_ahead_at=time(12, 0)):
    return TimeslotSchedule(GRID, ZoneInfo("UTC"), day_ahead_at=day_ahead_at, lead_s=(600, 300))


def test_without_announcement_every_interval_is_a_timeslot_of_its_own():
    plain = schedule()
    assert plain.slot_of(FIRST) == range(FIRST, FIRST + 1)
    due = plain.rounds_due(GRID.start_s(FIRST) - 300, GRID.start_s(FIRST + 4) - 300)
    assert [(d.round_number, d.first, d.stop) for d in due if d.round_number == 2] == [
        (2, FIRST + k, FIRST + k + 1) for k in range(4)
    ]


def test_a_timeslot_closes_before_its_first_interval_and_clears_all_of_it_once():
    slotted = schedule()
    slotted.announce(range(FIRST, FIRST + 4))
    for interval in range(FIRST, FIRST + 4):
        assert slotted.closes_s(interval, 2) == GRID.start_s(FIRST) - 300
        assert slotted.gate_closure_s(interval) == GRID.start_s(FIRST) - 300
    due = slotted.rounds_due(GRID.start_s(FIRST) - 900, GRID.start_s(FIRST + 4) - 900)
    assert [(d.round_number, d.first, d.stop) for d in due if d.first in range(FIRST, FIRST + 4)] == [
        (1, FIRST, FIRST + 4),
        (2, FIRST, FIRST + 4),
    ]
    assert slotted.next_round(FIRST + 3, GRID.start_s(FIRST)) is None


def test_the_day_ahead_round_stays_one_for_the_whole_day():
    slotted = schedule()
    day = slotted.day_ahead(slotted.local_day(FIRST))
    slotted.announce(range(day.first, day.first + 4))
    assert slotted.rounds_due(day.closes_s, day.closes_s + 1)[0] == day
    assert slotted.closes_s(day.first + 3, 0) == day.closes_s


def test_a_schedule_without_day_ahead_round_has_timeslots_too():
    slotted = schedule(day_ahead_at=None)
    slotted.announce(range(FIRST, FIRST + 2))
    assert slotted.closes_s(FIRST + 1, 0) == GRID.start_s(FIRST) - 600


def test_what_was_announced_stands():
    slotted = schedule()
    slotted.announce(range(FIRST, FIRST + 2))
    slotted.announce(range(FIRST, FIRST + 2))
    with pytest.raises(ValueError, match="belongs to timeslot"):
        slotted.announce(range(FIRST + 1, FIRST + 3))
    assert slotted.slot_of(FIRST + 2) == range(FIRST + 2, FIRST + 3)
    with pytest.raises(ValueError, match="empty"):
        slotted.announce(range(FIRST, FIRST))
