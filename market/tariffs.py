"""Tariffs: what the supplier, the state and the grid charge by local time, and an island by its own rule.

A price of a zone is the sum of three parts, each with its own hours; what is fed in has its own price:

| part | paid to | by |
|---|---|---|
| energy | supplier | who imports |
| levies | state, through the supplier | who imports |
| grid fee | grid operator | who imports; inside the community the fee grows with distance (`edge_fees`) |
| feed-in | who exports | supplier |

`short = energy + levies + grid fee` is paid for what is missing in an interval, `long = feed-in` for what is
too much. Hours are wall-clock hours of the zone's place. Intervals are cut in UTC, so a day of 23 or 25 hours
has fewer or more of them, and each still has exactly one price: that of the wall clock when it starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from market.chunks import Tariff
from market.errors import MarketError
from market.intervals import IntervalGrid
from market.units import MAX_PRICE_MICRO_PER_KWH

IntArray = NDArray[np.int64]

MINUTES_PER_DAY: Final = 24 * 60
ALL_DAYS: Final = frozenset(range(7))
"""Monday is 0, as in `datetime.weekday`."""


class TariffInvalid(MarketError):
    """A tariff with a gap, an overlap, or prices out of order; the message says where."""


@dataclass(frozen=True, slots=True)
class Window:
    """A price for some hours of some weekdays: `start` inclusive, `end` exclusive, local wall clock.

    `end <= start` wraps past midnight, so `00:00`–`00:00` is the whole day; the part after midnight belongs
    to the weekday on which it lies.
    """

    price_micro_per_kwh: int
    start: time = time()
    end: time = time()
    days: frozenset[int] = ALL_DAYS


def _minutes(window: Window) -> NDArray[np.bool_]:
    start, end = (t.hour * 60 + t.minute for t in (window.start, window.end))
    minute = np.arange(MINUTES_PER_DAY)
    if start < end:
        return (start <= minute) & (minute < end)
    return (minute >= start) | (minute < end)


@dataclass(frozen=True, slots=True)
class TimeOfUse:
    """One part of a price: windows that together cover every minute of the week exactly once.

    Raises
    ------
    TariffInvalid
        If a minute of a weekday has no price, or two, or a price is out of range.
    """

    windows: tuple[Window, ...]
    _by_minute: IntArray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        prices = np.zeros((7, MINUTES_PER_DAY), np.int64)
        count = np.zeros((7, MINUTES_PER_DAY), np.int64)
        for window in self.windows:
            if abs(window.price_micro_per_kwh) > MAX_PRICE_MICRO_PER_KWH:
                raise TariffInvalid(
                    f"price {window.price_micro_per_kwh} micro-credit per kWh is out of range"
                )
            minutes = _minutes(window)
            for day in sorted(window.days):
                prices[day, minutes] = window.price_micro_per_kwh
                count[day, minutes] += 1
        wrong = np.argwhere(count != 1)
        if wrong.size:
            day, minute = (int(i) for i in wrong[0])
            raise TariffInvalid(
                f"weekday {day} (Monday is 0) at {minute // 60:02d}:{minute % 60:02d} has "
                f"{int(count[day, minute])} prices: need exactly one"
            )
        object.__setattr__(self, "_by_minute", prices)

    @classmethod
    def flat(cls, price_micro_per_kwh: int) -> "TimeOfUse":
        """Return one price for all hours."""
        return cls((Window(price_micro_per_kwh),))

    def at(self, weekdays: IntArray, minutes: IntArray) -> IntArray:
        """Return the price at these wall-clock moments, micro-credit per kWh, of the shape given."""
        return self._by_minute[weekdays, minutes]


FREE: Final = TimeOfUse.flat(0)


@dataclass(frozen=True, slots=True)
class TariffSeries:
    """The parts of a zone's price over intervals, micro-credit per kWh, `(n_intervals,)` each.

    On an island levies and grid fee are zero and energy and feed-in are the island's own prices.
    """

    energy_micro_per_kwh: IntArray
    levies_micro_per_kwh: IntArray
    grid_fee_micro_per_kwh: IntArray
    feed_in_micro_per_kwh: IntArray

    @property
    def short_micro_per_kwh(self) -> IntArray:
        """What an imported kilowatt-hour costs, all-in."""
        return self.energy_micro_per_kwh + self.levies_micro_per_kwh + self.grid_fee_micro_per_kwh

    @property
    def long_micro_per_kwh(self) -> IntArray:
        """What an exported kilowatt-hour earns."""
        return self.feed_in_micro_per_kwh


@dataclass(frozen=True, slots=True)
class IslandPrices:
    """Prices of imbalance while the community runs without the supplier.

    `short` is what a missing kilowatt-hour costs whoever is short of it (set it to the value of lost load),
    `long` what a surplus earns (usually nothing: it is curtailed).
    """

    short_micro_per_kwh: int
    long_micro_per_kwh: int = 0


@dataclass(frozen=True, slots=True)
class ZoneTariff:
    """A zone's supplier tariff by local time, and its prices as an island.

    Raises
    ------
    TariffInvalid
        From `series`, if in some interval the long price would exceed the short one: then importing and
        exporting at once would earn money, and the contract refuses such a table.
    """

    time_zone: ZoneInfo
    energy: TimeOfUse
    levies: TimeOfUse = FREE
    grid_fee: TimeOfUse = FREE
    feed_in: TimeOfUse = FREE
    island: IslandPrices | None = None

    def series(
        self, grid: IntervalGrid, intervals: IntArray | range, is_islanded: NDArray[np.bool_] | None = None
    ) -> TariffSeries:
        """Return all parts of the price for these intervals, `(n_intervals,)`."""
        index = np.asarray(intervals, np.int64)
        first = _wall_clock(grid, index, self.time_zone, 0)
        last = _wall_clock(grid, index, self.time_zone, grid.length_s - 1)
        parts = (self.energy, self.levies, self.grid_fee, self.feed_in)
        energy, levies, fee, feed_in = prices = [part.at(*first) for part in parts]
        for part, price in zip(parts, prices, strict=True):
            changes = part.at(*last) != price
            if changes.any():
                raise TariffInvalid(
                    f"a price changes inside interval {int(index[np.argmax(changes)])}: "
                    f"windows must begin and end at borders of intervals of {grid.length_s} s"
                )
        if is_islanded is not None and is_islanded.any():
            if self.island is None:
                raise TariffInvalid(
                    f"interval {int(index[is_islanded][0])} is islanded: the zone has no island prices"
                )
            energy = np.where(is_islanded, self.island.short_micro_per_kwh, energy)
            feed_in = np.where(is_islanded, self.island.long_micro_per_kwh, feed_in)
            levies, fee = np.where(is_islanded, 0, levies), np.where(is_islanded, 0, fee)
        series = TariffSeries(energy, levies, fee, feed_in)
        wrong = series.long_micro_per_kwh > series.short_micro_per_kwh
        if wrong.any():
            row = int(np.argmax(wrong))
            raise TariffInvalid(
                f"interval {int(index[row])}: feed-in {int(series.long_micro_per_kwh[row])} exceeds "
                f"the price of import, {int(series.short_micro_per_kwh[row])} micro-credit per kWh"
            )
        return series


def tables(zones: Sequence[TariffSeries]) -> list[tuple[Tariff, ...]]:
    """Return for each interval the table that the oracle signs: one `Tariff` per zone."""
    columns = [
        [
            Tariff(s, f)
            for s, f in zip(z.short_micro_per_kwh.tolist(), z.long_micro_per_kwh.tolist(), strict=True)
        ]
        for z in zones
    ]
    return list(zip(*columns, strict=True))


def edge_fees(level_of_node: IntArray, fee_of_level_micro_per_kwh: Sequence[int]) -> IntArray:
    """Return the fee of the edge above each node of a network tree, `(n_nodes,)`: the grid fee by distance.

    A trade pays the fee of every edge on its path, so neighbours under one transformer pay little and a trade
    across the feeder's root pays all levels twice.

    Parameters
    ----------
    level_of_node : IntArray
        Depth of each node, the root's is 0; its own edge, to the world outside, has `fee_of_level[0]`.
    fee_of_level_micro_per_kwh : Sequence[int]
        Fee per kWh for crossing an edge of that level once, >= 0.

    Raises
    ------
    TariffInvalid
        If a fee is negative or a level has none.
    """
    fees = np.asarray(fee_of_level_micro_per_kwh, np.int64)
    if fees.size and int(fees.min()) < 0:
        raise TariffInvalid(f"grid fee of level {int(fees.argmin())} is {int(fees.min())}: need >= 0")
    levels = np.asarray(level_of_node, np.int64)
    if levels.size and not 0 <= int(levels.min()) <= int(levels.max()) < fees.size:
        raise TariffInvalid(
            f"levels reach from {levels.min()} to {levels.max()}, fees from 0 to {fees.size - 1}"
        )
    return fees[levels]


def _wall_clock(
    grid: IntervalGrid, intervals: IntArray, zone: ZoneInfo, after_s: int
) -> tuple[IntArray, IntArray]:
    """Return local weekday and minute of the day so many seconds after each interval's start."""
    local = [
        datetime.fromtimestamp(grid.start_s(t) + after_s, UTC).astimezone(zone) for t in intervals.tolist()
    ]
    weekdays = np.array([moment.weekday() for moment in local], np.int64)
    minutes = np.array([moment.hour * 60 + moment.minute for moment in local], np.int64)
    return weekdays, minutes
