"""Gate closure: an auction per interval, its fills, prices and trades, stored in one transaction.

A round that is already stored is not cleared again, so a hub that was killed half-way simply clears again.
"""

from collections.abc import Sequence
from typing import Any

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
from node.store.bulk import insert_all
from node.store.tables_market import fills, orders, prices, rounds, trades
from node.store.unit_of_work import Store

IntArray = NDArray[np.int64]


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
        cleared: list[tuple[int, Selection, ZonalResult]] = []
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
                self._record(connection, interval, round_number, selection, result, cut_zones)
                cleared.append((interval, selection, result))
        for interval, selection, result in cleared:
            self._book.close_round(interval, next_sequence)
            accounts = np.unique(selection.orders.account).tolist()
            self._desk.close_round(interval, self._filled(selection, result), accounts)
        for interval, _selection, result in cleared:
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
        filled = np.flatnonzero(result.fills_milli_wh)
        if filled.size == 0:
            return
        connection.execute(insert(fills), self._fill_rows(where, selection, result, filled))
        self._record_trades(connection, where, selection, result, filled)

    def _filled(self, selection: Selection, result: ZonalResult) -> dict[int, list[tuple[bool, int, int]]]:
        """Return what each account got: side, mWh and price with the fee."""
        filled: dict[int, list[tuple[bool, int, int]]] = {}
        for i in np.flatnonzero(result.fills_milli_wh).tolist():
            price = result.price_of(i)
            is_buy = bool(selection.orders.is_buy[i])
            all_in = price + self._fee if is_buy else price - self._fee
            fill = (is_buy, int(result.fills_milli_wh[i]), all_in)
            filled.setdefault(int(selection.orders.account[i]), []).append(fill)
        return filled

    def _fill_rows(
        self,
        where: dict[str, int],
        selection: Selection,
        result: ZonalResult,
        filled: IntArray,
    ) -> list[dict[str, Any]]:
        chosen = selection.orders
        rows = []
        for i in filled.tolist():
            is_buy = bool(chosen.is_buy[i])
            quantity = int(result.fills_milli_wh[i])
            price = result.price_of(i)
            all_in = price + self._fee if is_buy else price - self._fee
            rows.append(
                where
                | {
                    "sequence": int(selection.sequence[i]),
                    "account": int(chosen.account[i]),
                    "is_buy": is_buy,
                    "lane": int(selection.lane[i]),
                    "quantity_milli_wh": quantity,
                    "price_micro_per_kwh": price,
                    "amount_pico": -all_in * quantity if is_buy else all_in * quantity,
                }
            )
        return rows

    def _record_trades(
        self,
        connection: Connection,
        where: dict[str, int],
        selection: Selection,
        result: ZonalResult,
        filled: IntArray,
    ) -> None:
        chosen = selection.orders
        is_buy = chosen.is_buy[filled]
        row = np.searchsorted(self._registry.account, chosen.account[filled])
        wishes = pairing.Preferences.of(
            is_buy,
            selection.source[filled],
            selection.partner[filled],
            selection.group[filled],
            self._registry.member_of[row],
        )
        paired = pairing.pair(
            chosen.account[filled],
            is_buy,
            result.fills_milli_wh[filled],
            self._node_of_account[row],
            self._parent,
            wishes,
        )
        # what the buyer pays, before the fee
        price_of = {int(chosen.account[i]): result.price_of(i) for i in filled.tolist()}
        rows = [
            where
            | {
                "number": number,
                "buyer": buyer,
                "seller": seller,
                "quantity_milli_wh": quantity,
                "price_micro_per_kwh": price_of[buyer],
                "met_at": met_at,
                "met": met,
                "source": source,
            }
            for number, (buyer, seller, quantity, met_at, met, source) in enumerate(
                zip(
                    paired.buyer.tolist(),
                    paired.seller.tolist(),
                    paired.quantity_milli_wh.tolist(),
                    paired.met_at.tolist(),
                    paired.met.tolist(),
                    selection.source[filled][paired.seller_row].tolist(),
                    strict=True,
                )
            )
        ]
        if rows:
            insert_all(connection, trades, rows)


def book_root(connection: Connection, sequence: IntArray) -> bytes:
    """Return the commitment to an auction's book: keccak256 over the order hashes, in tie order."""
    hashes: dict[int, bytes] = {}
    wanted = sequence.tolist()
    for at in range(0, len(wanted), 500):
        found = connection.execute(
            select(orders.c.sequence, orders.c.hash).where(orders.c.sequence.in_(wanted[at : at + 500]))
        )
        hashes.update((row.sequence, row.hash) for row in found)
    return keccak(b"".join(hashes[number] for number in wanted))


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
