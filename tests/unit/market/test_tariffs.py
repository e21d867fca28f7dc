"""Tariffs by wall clock: every interval of every day has exactly one price, clock-change days included."""

from datetime import date, time
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from market.chunks import Tariff
from market.intervals import IntervalGrid
from market.tariffs import (
    FREE,
    IslandPrices,
    TariffInvalid,
    TimeOfUse,
    Window,
    ZoneTariff,
    edge_fees,
    tables,
)

BERLIN = ZoneInfo("Europe/Berlin")
GRID = IntervalGrid(900)
DAY, NIGHT = 300_000, 200_000
DAY_NIGHT = TimeOfUse((Window(DAY, time(6), time(22)), Window(NIGHT, time(22), time(6))))


def zone(**changes):
    parts = {"energy": DAY_NIGHT, "feed_in": TimeOfUse.flat(80_000), **changes}
    return ZoneTariff(BERLIN, **parts)


@pytest.mark.parametrize(
    ("day", "n_intervals", "n_night"),
    [
        (date(2026, 6, 15), 96, 32),
        (date(2026, 3, 29), 92, 28),  # clocks go forward: the night is an hour shorter
        (date(2026, 10, 25), 100, 36),  # and back: an hour longer
    ],
)
def test_days_of_23_24_and_25_hours_have_one_price_per_interval(day, n_intervals, n_night):
    short = zone().series(GRID, GRID.of_local_day(day, BERLIN)).short_micro_per_kwh
    assert short.size == n_intervals
    assert int((short == NIGHT).sum()) == n_night
    assert int((short == DAY).sum()) == 64


def test_price_changes_at_the_wall_clock_hour_in_summer_and_winter():
    for day, utc_hours in ((date(2026, 6, 15), 4), (date(2026, 1, 15), 5)):
        intervals = GRID.of_local_day(day, BERLIN)
        short = zone().series(GRID, intervals).short_micro_per_kwh
        first_day_price = intervals[int(np.argmax(short == DAY))]
        assert GRID.start(first_day_price).hour == utc_hours


def test_short_is_the_sum_of_its_parts_and_long_is_the_feed_in():
    tariff = zone(levies=TimeOfUse.flat(50_000), grid_fee=TimeOfUse.flat(70_000))
    series = tariff.series(GRID, GRID.of_local_day(date(2026, 6, 15), BERLIN))
    assert series.short_micro_per_kwh[0] == NIGHT + 50_000 + 70_000
    assert series.long_micro_per_kwh.tolist() == [80_000] * 96


def test_weekend_prices_begin_at_local_midnight():
    weekdays, weekend = frozenset(range(5)), frozenset({5, 6})
    energy = TimeOfUse((Window(DAY, days=weekdays), Window(NIGHT, days=weekend)))
    friday = GRID.of_local_day(date(2026, 6, 19), BERLIN)
    both = range(friday.start, friday.stop + 96)
    short = zone(energy=energy).series(GRID, both).short_micro_per_kwh
    assert short.tolist() == [DAY] * 96 + [NIGHT] * 96


def test_island_has_its_own_prices_and_pays_no_levies():
    tariff = zone(levies=TimeOfUse.flat(50_000), island=IslandPrices(900_000, 10))
    islanded = np.array([False, True])
    series = tariff.series(GRID, range(10, 12), islanded)
    assert series.short_micro_per_kwh.tolist()[1] == 900_000
    assert series.long_micro_per_kwh.tolist() == [80_000, 10]
    assert series.levies_micro_per_kwh.tolist() == [50_000, 0]


def test_island_without_prices_is_refused():
    with pytest.raises(TariffInvalid, match="islanded"):
        zone().series(GRID, range(2), np.array([True, False]))


def test_tables_hold_one_tariff_per_zone_and_interval():
    first, second = (zone(feed_in=TimeOfUse.flat(p)).series(GRID, range(2)) for p in (1, 2))
    assert tables([first, second]) == [(Tariff(NIGHT, 1), Tariff(NIGHT, 2))] * 2


@pytest.mark.parametrize(
    ("windows", "n_prices"),
    [
        ((Window(1, time(6), time(22)),), 0),
        ((Window(1), Window(2, time(6), time(7))), 2),
        ((Window(1, days=frozenset({0})),), 0),
    ],
)
def test_gap_or_overlap_in_the_week_is_refused(windows, n_prices):
    with pytest.raises(TariffInvalid, match=f"has {n_prices} prices"):
        TimeOfUse(windows)


def test_price_out_of_range_is_refused():
    with pytest.raises(TariffInvalid, match="out of range"):
        TimeOfUse.flat(2**38)


def test_feed_in_above_the_price_of_import_is_refused():
    with pytest.raises(TariffInvalid, match="exceeds"):
        zone(feed_in=TimeOfUse.flat(NIGHT + 1)).series(GRID, range(96))


def test_price_that_changes_inside_an_interval_is_refused():
    energy = TimeOfUse((Window(DAY, time(6, 7), time(22)), Window(NIGHT, time(22), time(6, 7))))
    with pytest.raises(TariffInvalid, match="inside interval"):
        zone(energy=energy).series(GRID, range(96))


def test_grid_fee_grows_with_the_distance_of_the_partners():
    # root 0, streets 1 and 2, homes 3, 4 (street 1) and 5 (street 2)
    fees = edge_fees(np.array([0, 1, 1, 2, 2, 2]), [500, 30, 4])
    assert fees[3] + fees[4] == 8
    assert fees[3] + fees[1] + fees[2] + fees[5] == 68


@pytest.mark.parametrize(("levels", "fees"), [([0, 3], [1, 2]), ([0], [-1]), ([-1], [0])])
def test_levels_without_a_fee_and_negative_fees_are_refused(levels, fees):
    with pytest.raises(TariffInvalid):
        edge_fees(np.array(levels), fees)


def test_nothing_is_free_unless_said():
    assert FREE.at(np.array([0]), np.array([0])).tolist() == [0]
