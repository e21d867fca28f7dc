"""What agents may know of the market: their positions and cleared prices, interval by interval."""

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from node.hub.registry import Registry
from node.store.tables_market import fills, prices, rounds
from node.store.unit_of_work import Store

FOREVER_S = 2**62


class MarketView:
    """Positions and prices by account row, remembered until a round changes them."""

    def __init__(self, store: Store, registry: Registry, n_zones: int = 1) -> None:
        self._store = store
        self._registry = registry
        self._positions: dict[int, NDArray[np.int64]] = {}
        self._prices: dict[int, NDArray[np.float64]] = {}
        self._nothing = np.zeros(len(registry), np.int64)
        self._unknown = np.full(n_zones, np.nan)

    def load(self, intervals: range, before_s: int = FOREVER_S) -> None:
        """Take over what rounds have cleared in these intervals; called after every round and at start.

        `before_s` leaves out rounds cleared from that second on: a start that does an interval again must not
        know what the first attempt traded, or its agents would decide otherwise.
        """
        where = (fills.c.interval >= intervals.start, fills.c.interval < intervals.stop)
        with self._store.read() as connection:
            sums = connection.execute(
                select(fills.c.interval, fills.c.account, fills.c.is_buy, func.sum(fills.c.quantity_milli_wh))
                .join(rounds, (rounds.c.interval == fills.c.interval) & (rounds.c.round == fills.c.round))
                .where(*where, rounds.c.cleared_at_s < before_s)
                .group_by(fills.c.interval, fills.c.account, fills.c.is_buy)
            ).all()
            found = connection.execute(
                select(
                    prices.c.interval, prices.c.zone, prices.c.price_micro_per_kwh, rounds.c.volume_milli_wh
                )
                .join(rounds, (rounds.c.interval == prices.c.interval) & (rounds.c.round == prices.c.round))
                .where(
                    prices.c.interval >= intervals.start,
                    prices.c.interval < intervals.stop,
                    rounds.c.cleared_at_s < before_s,
                )
                .order_by(prices.c.interval, prices.c.round)
            ).all()
        for interval in intervals:
            self._positions.pop(interval, None)
        for interval, account, is_buy, quantity in sums:
            row = self._registry.row(account)
            assert row is not None  # fills have known accounts
            position = self._positions.setdefault(interval, np.zeros(len(self._registry), np.int64))
            position[row] += -quantity if is_buy else quantity
        for interval, zone, price, volume in found:
            if volume and price is not None:
                if interval not in self._prices:
                    self._prices[interval] = self._unknown.copy()
                self._prices[interval][zone] = price

    def positions_milli_wh(self, intervals: range) -> NDArray[np.int64]:
        """Return sold minus bought, `(n_accounts, n_intervals)`."""
        return np.stack([self._positions.get(t, self._nothing) for t in intervals], axis=1)

    def prices_micro_per_kwh(self, intervals: range) -> NDArray[np.float64]:
        """Return the newest cleared prices, NaN where nothing traded, `(n_zones, n_intervals)`."""
        if not intervals:
            return np.zeros((self._unknown.size, 0))
        # A week is hundreds of short arrays: joined end to end, they cost a tenth of being stacked.
        known = np.concatenate([self._prices.get(t, self._unknown) for t in intervals])
        return np.ascontiguousarray(known.reshape(len(intervals), -1).T)

    def forget_before(self, interval: int) -> None:
        """Drop positions that are settled; prices stay, they are what expectations are made of."""
        for t in [t for t in self._positions if t < interval]:
            del self._positions[t]
