"""The schedule of rounds against calendars written by hand and its own definition."""

from datetime import UTC, date, datetime, time
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from market.intervals import IntervalGrid
from market.rounds import RoundDue, RoundSchedule

BERLIN = ZoneInfo("Europe/Berlin")
GRID = IntervalGrid(900)
SCHEDULE = RoundSchedule(GRID, BERLIN)


def unix(text: str, zone: ZoneInfo = BERLIN) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


def test_the_day_ahead_round_closes_at_noon_the_day_before_and_clears_the_whole_day() -> None:
    event = SCHEDULE.day_ahead(date(2026, 6, 15))
    assert event.closes_s == unix("2026-06-14T12:00")
    assert event.round_number == 0
    assert len(event.intervals) == 96
    assert GRID.start_s(event.first) == unix("2026-06-15T00:00")
    assert GRID.start_s(event.stop) == unix("2026-06-16T00:00")


@pytest.mark.parametrize(("day", "n"), [(date(2026, 3, 29), 92), (date(2026, 10, 25), 100)])
def test_a_clock_change_day_has_23_or_25_hours_of_intervals(day: date, n: int) -> None:
    event = SCHEDULE.day_ahead(day)
    assert len(event.intervals) == n
    local = datetime.fromtimestamp(event.closes_s, BERLIN)
    assert (local.hour, local.minute) == (12, 0)
    assert all(SCHEDULE.local_day(interval) == day for interval in event.intervals)


def test_the_last_round_closes_minutes_before_its_interval() -> None:
    interval = GRID.index_at(unix("2026-06-15T08:00"))
    assert SCHEDULE.closes_s(interval, 1) == unix("2026-06-15T07:55")
    assert SCHEDULE.gate_closure_s(interval) == unix("2026-06-15T07:55")


def test_the_rounds_due_in_a_quarter_hour_are_listed_in_order_of_their_gates() -> None:
    due = SCHEDULE.rounds_due(unix("2026-06-14T11:50"), unix("2026-06-14T12:15"))
    interval = GRID.index_at(unix("2026-06-14T12:00"))
    assert [(event.closes_s, event.round_number, event.first) for event in due] == [
        (unix("2026-06-14T11:55"), 1, interval),
        (unix("2026-06-14T12:00"), 0, GRID.index_at(unix("2026-06-15T00:00"))),
        (unix("2026-06-14T12:10"), 1, interval + 1),
    ]


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "UTC", "America/Santiago"]
)
@pytest.mark.parametrize("length_s", [300, 900, 3600])
def test_windows_that_touch_give_every_round_of_every_interval_exactly_once(zone: str, length_s: int) -> None:
    grid = IntervalGrid(length_s)
    schedule = RoundSchedule(grid, ZoneInfo(zone), time(12, 0), (14_400, 3_600, 300))
    start = unix("2026-10-20T00:00", ZoneInfo("UTC"))
    borders = [start + step * 7_001 for step in range(90)]
    seen = [event for a, b in pairwise(borders) for event in schedule.rounds_due(a, b)]
    assert seen == schedule.rounds_due(borders[0], borders[-1])
    assert len(seen) == len(set(seen))
    cleared: dict[tuple[int, int], int] = {}
    for event in seen:
        for interval in event.intervals:
            assert (interval, event.round_number) not in cleared
            cleared[interval, event.round_number] = event.closes_s
    for (interval, number), closes_s in cleared.items():
        assert schedule.closes_s(interval, number) == closes_s
    # Intervals in the middle of the span see all four gates, each later than the one before.
    middle = grid.index_at(start + 4 * 86_400)
    gates = [cleared[middle, number] for number in range(4)]
    assert gates == sorted(set(gates))
    assert gates[-1] < grid.start_s(middle)


def test_the_open_round_advances_as_gates_close() -> None:
    schedule = RoundSchedule(GRID, BERLIN, time(12, 0), (3_600, 300))
    interval = GRID.index_at(unix("2026-06-15T08:00"))
    assert schedule.next_round(interval, unix("2026-06-14T11:59")) == 0
    assert schedule.next_round(interval, unix("2026-06-14T12:00")) == 1
    assert schedule.next_round(interval, unix("2026-06-15T07:00")) == 2
    assert schedule.next_round(interval, unix("2026-06-15T07:54")) == 2
    assert schedule.next_round(interval, unix("2026-06-15T07:55")) is None


def test_a_schedule_without_day_ahead_numbers_its_rounds_from_zero() -> None:
    schedule = RoundSchedule(GRID, BERLIN, None, (600, 300))
    interval = GRID.index_at(unix("2026-06-15T08:00"))
    assert schedule.closes_s(interval, 0) == unix("2026-06-15T07:50")
    assert schedule.rounds_due(unix("2026-06-15T07:50"), unix("2026-06-15T07:51")) == [
        RoundDue(unix("2026-06-15T07:50"), 0, interval, interval + 1)
    ]
    with pytest.raises(ValueError, match="no day-ahead round"):
        schedule.day_ahead(date(2026, 6, 15))


def test_an_empty_window_has_no_rounds() -> None:
    assert SCHEDULE.rounds_due(1_000, 1_000) == []
    assert SCHEDULE.rounds_due(1_000, 999) == []


@pytest.mark.parametrize(
    ("day_ahead_at", "lead_s", "message"),
    [
        (None, (), "0 rounds"),
        (time(12), (400, 300, 200, 100), "5 rounds"),
        (time(12), (300, 300), "strictly decreasing"),
        (time(12), (300, 600), "strictly decreasing"),
        (time(12), (0,), "before its interval"),
        (time(12), (39_600,), "before the day-ahead gate"),
        (time(12, tzinfo=UTC), (300,), "time zone"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused(
    day_ahead_at: time | None, lead_s: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RoundSchedule(GRID, BERLIN, day_ahead_at, lead_s)


def test_a_round_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rounds are 0\.\.1"):
        SCHEDULE.closes_s(5, 2)
