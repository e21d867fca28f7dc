"""Announces, before the day-ahead gate, which intervals of a day are traded together.

What must be calm inside a timeslot: the price to expect (what cleared at the same time the day before, the supplier's
tariff where nothing did) and the community's expected demand (what its meters showed at the same time the day before).
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select

from market.timeslot_runs import TimeslotTerms, timeslots
from market.timeslots import TimeslotSchedule
from node.store.tables_timeslots import timeslots as table
from node.store.unit_of_work import Store
from node.world.supplier import Supplier

FloatArray = NDArray[np.float64]


class Meters(Protocol):
    """What meters have shown: mean power per account."""

    def history_w(self, until: int, n_intervals: int) -> tuple[FloatArray, FloatArray]:
        """Return load and solar of up to `n_intervals` before `until`, `(n_accounts, n)` each, newest last."""
        ...


class Prices(Protocol):
    """What has cleared."""

    def prices_micro_per_kwh(self, intervals: range) -> FloatArray:
        """Return the newest cleared prices, NaN where nothing traded, `(n_zones, n_intervals)`."""
        ...


class TimeslotDesk:
    """Decides and publishes timeslots, once for each day."""

    def __init__(
        self,
        store: Store,
        schedule: TimeslotSchedule,
        terms: TimeslotTerms,
        supplier: Supplier,
        meters: Meters,
        prices: Prices,
    ) -> None:
        self._store = store
        self._schedule = schedule
        self._terms = terms
        self._supplier = supplier
        self._meters = meters
        self._prices = prices
        with store.read() as connection:
            for row in connection.execute(select(table)):
                schedule.announce(range(row.first, row.last + 1))

    def announce(self, intervals: range, at: int, now_s: float) -> None:
        """Divide the intervals of a day into timeslots; what was announced before stands.

        Parameters
        ----------
        intervals : range
            What the day-ahead round will clear.
        at : int
            The interval that runs now: meters are known up to it.
        now_s : float
            Unix time; before the gate.
        """
        if intervals.start in self._schedule.slots:
            return
        per_day = 86_400 // self._schedule.grid.length_s
        price, demand = (
            self._expected_price(intervals, per_day),
            self._expected_demand(intervals, at, per_day),
        )
        rows = []
        for slot in timeslots(intervals.start, (price, demand), self._terms):
            self._schedule.announce(slot)
            part = slice(slot.start - intervals.start, slot.stop - intervals.start)
            rows.append(
                {
                    "first": slot.start,
                    "last": slot.stop - 1,
                    "announced_at_s": int(now_s),
                    "gate_s": self._schedule.closes_s(slot.start, 0),
                    "price_spread_pu": _spread(price, part),
                    "demand_spread_pu": _spread(demand, part),
                }
            )
        with self._store.begin() as connection:
            connection.execute(insert(table), rows)

    def _expected_price(self, intervals: range, per_day: int) -> FloatArray:
        short, _ = self._supplier.prices(intervals)
        yesterday = self._prices.prices_micro_per_kwh(
            range(intervals.start - per_day, intervals.stop - per_day)
        )
        seen = np.where(np.isnan(yesterday), 0.0, yesterday).sum(axis=0)
        count = np.isfinite(yesterday).sum(axis=0)
        return np.where(count > 0, seen / np.maximum(count, 1), np.asarray(short, np.float64))

    def _expected_demand(self, intervals: range, at: int, per_day: int) -> FloatArray:
        load_w, solar_w = self._meters.history_w(at, per_day)
        net_w = (load_w - solar_w).sum(axis=0)
        if net_w.size < per_day:
            return np.ones(len(intervals))  # nothing is known of a whole day yet
        # The newest day that meters have shown, by the time of day.
        return net_w[(np.arange(intervals.start, intervals.stop) - at) % per_day]


def _spread(values: FloatArray, part: slice) -> float:
    scale = float(np.mean(np.abs(values)))
    return float(np.ptp(values[part])) / scale if scale > 0 else 0.0
