"""Gate closure: an auction per interval, its fills, prices and trades, stored in one transaction.

A round that is already stored is not cleared again, so a hub that was killed half-way simply clears again.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from eth_hash.auto import keccak
from numpy.typing import NDArray
from sqlalchemy import Connection, func, insert, select

from market import auction, pairing
from market.book import Book, Selection
from node.bus.memory import Bus
from node.bus.messages import TOPIC_ROUNDS, RoundCleared
from node.clock import Clock
from node.hub.margin_desk import MarginDesk
from node.hub.registry import Registry
from node.store.tables_market import fills, orders, prices, rounds, trades
from node.store.unit_of_work import Store

IntArray = NDArray[np.int64]
ZONE = 0  # one community, one zone


class Clearing:
    """The hub's service for auctions.

    Parameters
    ----------
    node_of_account, parent
        Where each of the registry's accounts hangs in the network tree, `(n_accounts,)`, and the tree,
        `(n_nodes,)`, for pairing.
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

    def clear(self, round_number: int, intervals: Sequence[int]) -> None:
        """Clear one round of each interval that has not been cleared yet, all in one transaction."""
        cleared: list[tuple[int, Selection, auction.AuctionResult]] = []
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
                result = auction.clear(selection.orders, self._fee)
                self._record(connection, interval, round_number, selection, result)
                cleared.append((interval, selection, result))
        for interval, selection, result in cleared:
            self._book.close_round(interval, next_sequence)
            accounts = np.unique(selection.orders.account).tolist()
            self._desk.close_round(interval, self._filled(selection, result), accounts)
        for interval, _selection, result in cleared:
            self._bus.publish(
                TOPIC_ROUNDS,
                RoundCleared(interval, round_number, result.volume_milli_wh, (result.price_micro_per_kwh,)),
            )

    def _record(
        self,
        connection: Connection,
        interval: int,
        round_number: int,
        selection: Selection,
        result: auction.AuctionResult,
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
            },
        )
        connection.execute(
            insert(prices),
            where
            | {
                "zone": ZONE,
                "price_micro_per_kwh": result.price_micro_per_kwh,
                "low_micro_per_kwh": result.low_micro_per_kwh,
                "high_micro_per_kwh": result.high_micro_per_kwh,
            },
        )
        filled = np.flatnonzero(result.fills_milli_wh)
        if filled.size == 0 or result.price_micro_per_kwh is None:
            return
        price = result.price_micro_per_kwh
        rows = self._fill_rows(where, selection, result.fills_milli_wh, filled, price)
        connection.execute(insert(fills), rows)
        self._record_trades(connection, where, selection, result.fills_milli_wh, filled, price)

    def _filled(
        self, selection: Selection, result: auction.AuctionResult
    ) -> dict[int, list[tuple[bool, int, int]]]:
        """Return what each account got: side, mWh and price with the fee."""
        filled: dict[int, list[tuple[bool, int, int]]] = {}
        price = result.price_micro_per_kwh
        for i in np.flatnonzero(result.fills_milli_wh).tolist():
            assert price is not None  # nothing is filled without a price
            is_buy = bool(selection.orders.is_buy[i])
            all_in = price + self._fee if is_buy else price - self._fee
            fill = (is_buy, int(result.fills_milli_wh[i]), all_in)
            filled.setdefault(int(selection.orders.account[i]), []).append(fill)
        return filled

    def _fill_rows(
        self,
        where: dict[str, int],
        selection: Selection,
        filled_milli_wh: IntArray,
        filled: IntArray,
        price: int,
    ) -> list[dict[str, Any]]:
        chosen = selection.orders
        rows = []
        for i in filled.tolist():
            is_buy = bool(chosen.is_buy[i])
            quantity = int(filled_milli_wh[i])
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
        filled_milli_wh: IntArray,
        filled: IntArray,
        price: int,
    ) -> None:
        chosen = selection.orders
        is_buy = chosen.is_buy[filled]
        source = selection.source[filled]
        wishes = pairing.Preferences.none(filled.size)
        wishes.source_wanted[is_buy] = source[is_buy]
        wishes.source[~is_buy] = source[~is_buy]
        paired = pairing.pair(
            chosen.account[filled],
            is_buy,
            filled_milli_wh[filled],
            self._node_of_account[np.searchsorted(self._registry.account, chosen.account[filled])],
            self._parent,
            wishes,
        )
        rows = [
            where
            | {
                "number": number,
                "buyer": buyer,
                "seller": seller,
                "quantity_milli_wh": quantity,
                "price_micro_per_kwh": price,
            }
            for number, (buyer, seller, quantity) in enumerate(
                zip(
                    paired.buyer.tolist(),
                    paired.seller.tolist(),
                    paired.quantity_milli_wh.tolist(),
                    strict=True,
                )
            )
        ]
        if rows:
            connection.execute(insert(trades), rows)


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
