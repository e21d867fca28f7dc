"""Gate closure: an auction per interval, its fills, prices and trades, stored in one transaction.

A round that is already stored is not cleared again, so a hub that was killed half-way simply clears again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from eth_hash.auto import keccak
from numpy.typing import NDArray
from sqlalchemy import Connection, func, insert, select

from market import pairing
from market.book import Book, Selection
from market.orders import OrderArrays
from market.zones import ZonalResult, Zoning, clear
from node.bus.memory import Bus
from node.bus.messages import TOPIC_ROUNDS, RoundCleared
from node.clock import Clock
from node.hub.margin_desk import MarginDesk
from node.hub.registry import Registry
from node.store.bulk import insert_columns
from node.store.tables_market import fills, orders, prices, rounds, trades
from node.store.unit_of_work import Store

IntArray = NDArray[np.int64]

# Rows asked for in one query by their numbers; and how many may lie between two that are wanted before a query for
# all of a range reads more than it saves.
_PART = 500
_SPARSE = 4


class Clearing:
    """The hub's service for auctions.

    Parameters
    ----------
    node_of_account, parent
        Where each of the registry's accounts hangs in the network tree, `(n_accounts,)`, and the tree,
        `(n_nodes,)`, for pairing.
    zoning : Zoning, optional
        Price zones and the network between them; without, all trade at one price.
    """

    def __init__(
        self,
        store: Store,
        book: Book,
        registry: Registry,
        node_of_account: IntArray,
        parent: IntArray,
        clock: Clock,
        bus: Bus,
        desk: MarginDesk,
        fee_micro_per_kwh: int,
        zoning: Zoning | None = None,
    ) -> None:
        self._store = store
        self._book = book
        self._registry = registry
        self._node_of_account = node_of_account
        self._parent = parent
        self._clock = clock
        self._bus = bus
        self._desk = desk
        self._fee = fee_micro_per_kwh
        self._zoning = zoning

    @property
    def n_zones(self) -> int:
        """How many prices a round has."""
        return 1 if self._zoning is None else self._zoning.tree.n_nodes

    def clear(self, round_number: int, intervals: Sequence[int], cut_zones: int = 0) -> None:
        """Clear one round of each interval that has not been cleared yet, all in one transaction.

        Parameters
        ----------
        cut_zones : int
            Bit z is set where zone z is cut off from its parent: an island clears among its own members.
        """
        cleared: list[tuple[int, Selection, ZonalResult, _Filled]] = []
        next_sequence = self._book.next_sequence()
        with self._store.begin() as connection:
            done = set(
                connection.execute(
                    select(rounds.c.interval).where(
                        rounds.c.round == round_number, rounds.c.interval.in_(list(intervals))
                    )
                ).scalars()
            )
            for interval in intervals:
                if interval in done:
                    continue
                selection = self._book.select(interval)
                result = self._clear(connection, interval, selection.orders, cut_zones)
                filled = _Filled.of(selection, result, self._fee)
                self._record(connection, interval, round_number, selection, result, filled, cut_zones)
                cleared.append((interval, selection, result, filled))
        for interval, selection, _result, filled in cleared:
            self._book.close_round(interval, next_sequence)
            accounts = np.unique(selection.orders.account).tolist()
            self._desk.close_round(interval, filled.by_account(), accounts)
        for interval, _selection, result, _filled in cleared:
            self._bus.publish(
                TOPIC_ROUNDS,
                RoundCleared(interval, round_number, result.volume_milli_wh, result.prices_micro_per_kwh),
            )

    def _clear(
        self, connection: Connection, interval: int, chosen: OrderArrays, cut_zones: int
    ) -> ZonalResult:
        """Clear beside what earlier rounds traded."""
        if self._zoning is None:
            return clear(chosen, self._fee)
        traded = self._zoning.net_export(positions_milli_wh(connection, interval))
        return clear(chosen, self._fee, self._zoning.without(cut_zones), traded)

    def _record(
        self,
        connection: Connection,
        interval: int,
        round_number: int,
        selection: Selection,
        result: ZonalResult,
        filled: "_Filled",
        cut_zones: int,
    ) -> None:
        where = {"interval": interval, "round": round_number}
        connection.execute(
            insert(rounds),
            where
            | {
                "cleared_at_s": int(self._clock.now_s()),
                "n_orders": len(selection.orders),
                "volume_milli_wh": result.volume_milli_wh,
                "next_sequence": self._book.next_sequence(),
                "book_root": book_root(connection, selection.sequence),
                "cut_zones": cut_zones,
            },
        )
        connection.execute(
            insert(prices),
            [
                {
                    **where,
                    "zone": zone,
                    "price_micro_per_kwh": price,
                    "low_micro_per_kwh": low,
                    "high_micro_per_kwh": high,
                }
                for zone, (price, low, high) in enumerate(
                    zip(
                        result.prices_micro_per_kwh,
                        result.low_micro_per_kwh,
                        result.high_micro_per_kwh,
                        strict=True,
                    )
                )
            ],
        )
        if not filled.rows.size:
            return
        amounts = zip(filled.is_buy, filled.all_in_micro_per_kwh, filled.quantity_milli_wh, strict=True)
        insert_columns(
            connection,
            fills,
            where
            | {
                "sequence": selection.sequence[filled.rows],
                "account": filled.account,
                "is_buy": filled.is_buy,
                "lane": selection.lane[filled.rows],
                "quantity_milli_wh": filled.quantity_milli_wh,
                "price_micro_per_kwh": filled.price_micro_per_kwh,
                "amount_pico": [-price * wh if is_buy else price * wh for is_buy, price, wh in amounts],
            },
        )
        self._record_trades(connection, where, selection, result, filled)

    def _record_trades(
        self,
        connection: Connection,
        where: dict[str, int],
        selection: Selection,
        result: ZonalResult,
        filled: "_Filled",
    ) -> None:
        rows = filled.rows
        account, is_buy = selection.orders.account[rows], selection.orders.is_buy[rows]
        row = np.searchsorted(self._registry.account, account)
        wishes = pairing.Preferences.of(
            is_buy,
            selection.source[rows],
            selection.partner[rows],
            selection.group[rows],
            self._registry.member_of[row],
        )
        paired = pairing.pair(
            account,
            is_buy,
            result.fills_milli_wh[rows],
            self._node_of_account[row],
            self._parent,
            wishes,
        )
        # what the buyer pays, before the fee
        price_of = dict(zip(filled.account, filled.price_micro_per_kwh, strict=True))
        insert_columns(
            connection,
            trades,
            where
            | {
                "number": np.arange(len(paired)),
                "buyer": paired.buyer,
                "seller": paired.seller,
                "quantity_milli_wh": paired.quantity_milli_wh,
                "price_micro_per_kwh": [price_of[buyer] for buyer in paired.buyer.tolist()],
                "met_at": paired.met_at,
                "met": paired.met,
                "source": selection.source[rows][paired.seller_row],
            },
        )


@dataclass(frozen=True, slots=True)
class _Filled:
    """What got something in one auction: rows of the selection `(n_fills,)`, and per row what is stored of it."""

    rows: IntArray
    account: list[int]
    is_buy: list[bool]
    quantity_milli_wh: list[int]
    price_micro_per_kwh: list[int]  # of the account's zone, before the fee
    all_in_micro_per_kwh: list[int]  # with it

    @classmethod
    def of(cls, selection: Selection, result: ZonalResult, fee_micro_per_kwh: int) -> "_Filled":
        rows = np.flatnonzero(result.fills_milli_wh)
        is_buy = selection.orders.is_buy[rows].tolist()
        price = [result.price_of(row) for row in rows.tolist()]
        return cls(
            rows,
            selection.orders.account[rows].tolist(),
            is_buy,
            result.fills_milli_wh[rows].tolist(),
            price,
            [
                p + fee_micro_per_kwh if b else p - fee_micro_per_kwh
                for p, b in zip(price, is_buy, strict=True)
            ],
        )

    def by_account(self) -> dict[int, list[tuple[bool, int, int]]]:
        """Return what each account got: side, mWh and price with the fee."""
        found: dict[int, list[tuple[bool, int, int]]] = {}
        fills_of = zip(self.is_buy, self.quantity_milli_wh, self.all_in_micro_per_kwh, strict=True)
        for account, fill in zip(self.account, fills_of, strict=True):
            found.setdefault(account, []).append(fill)
        return found


def book_root(connection: Connection, sequence: IntArray) -> bytes:
    """Return the commitment to an auction's book: keccak256 over the order hashes, in tie order."""
    wanted = sequence.tolist()
    if not wanted:
        return keccak(b"")
    columns = select(orders.c.sequence, orders.c.hash)
    low, high = min(wanted), max(wanted)
    if high - low < _SPARSE * len(wanted):  # one look at all that arrived in between
        parts = [columns.where(orders.c.sequence >= low, orders.c.sequence <= high)]
    else:
        parts = [
            columns.where(orders.c.sequence.in_(wanted[at : at + _PART]))
            for at in range(0, len(wanted), _PART)
        ]
    hashes: dict[int, bytes] = {}
    for part in parts:
        hashes.update((row[0], row[1]) for row in connection.execute(part))
    return keccak(b"".join([hashes[number] for number in wanted]))


def positions_milli_wh(connection: Connection, interval: int) -> dict[int, int]:
    """Return each account's position in an interval: sold minus bought, over all rounds so far."""
    found = connection.execute(
        select(fills.c.account, fills.c.is_buy, func.sum(fills.c.quantity_milli_wh))
        .where(fills.c.interval == interval)
        .group_by(fills.c.account, fills.c.is_buy)
    )
    positions: dict[int, int] = {}
    for account, is_buy, quantity in found:
        positions[account] = positions.get(account, 0) + (-quantity if is_buy else quantity)
    return positions
