"""Books of past auctions, rebuilt from the stored orders: what a round saw, and which one is worth showing."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from node.store.tables_market import fills, orders, prices, rounds


@dataclass(frozen=True, slots=True)
class MeritOrder:
    """The orders of one auction as two step curves, with its clearing point."""

    interval: int
    round: int
    bid_quantity_milli_wh: NDArray[np.int64]  # highest limit first
    bid_limit_micro_per_kwh: NDArray[np.int64]
    offer_quantity_milli_wh: NDArray[np.int64]  # lowest limit first
    offer_limit_micro_per_kwh: NDArray[np.int64]
    price_micro_per_kwh: int | None
    volume_milli_wh: int


def telling_round(connection: Connection, span: range) -> tuple[int, int] | None:
    """Return the (interval, round) whose merit order tells most, None if nothing traded.

    Of the rounds with at least half the greatest volume that one in which the most different limits were
    filled: the busiest of all is often two flat lines, everybody offering against the same tariff.
    """
    in_span = (rounds.c.interval >= span.start, rounds.c.interval < span.stop)
    most = connection.execute(select(func.max(rounds.c.volume_milli_wh)).where(*in_span)).scalar()
    if not most:
        return None
    row = connection.execute(
        select(rounds.c.interval, rounds.c.round)
        .join(fills, (fills.c.interval == rounds.c.interval) & (fills.c.round == rounds.c.round))
        .join(orders, orders.c.sequence == fills.c.sequence)
        .where(*in_span, rounds.c.volume_milli_wh * 2 >= most)
        .group_by(rounds.c.interval, rounds.c.round, rounds.c.volume_milli_wh)
        .order_by(
            func.count(orders.c.limit_micro_per_kwh.distinct()).desc(),
            rounds.c.volume_milli_wh.desc(),
            rounds.c.interval,
            rounds.c.round,
        )
        .limit(1)
    ).one()
    return row.interval, row.round


def merit_order(connection: Connection, interval: int, round_number: int, zone: int = 0) -> MeritOrder | None:
    """Return the book of one auction as it stood at its gate closure; None if it was never held.

    The book is rebuilt from the stored orders (`book_at`).
    """
    held = connection.execute(
        select(rounds).where(rounds.c.interval == interval, rounds.c.round == round_number)
    ).one_or_none()
    if held is None:
        return None
    price = connection.execute(
        select(prices.c.price_micro_per_kwh).where(
            prices.c.interval == interval, prices.c.round == round_number, prices.c.zone == zone
        )
    ).scalar()
    rows = book_at(connection, interval, round_number)
    bids = sorted((r for r in rows if r.is_buy), key=lambda r: (-r.limit_micro_per_kwh, r.sequence))
    offers = sorted((r for r in rows if not r.is_buy), key=lambda r: (r.limit_micro_per_kwh, r.sequence))
    return MeritOrder(
        interval,
        round_number,
        bid_quantity_milli_wh=_column(bids, "quantity_milli_wh"),
        bid_limit_micro_per_kwh=_column(bids, "limit_micro_per_kwh"),
        offer_quantity_milli_wh=_column(offers, "quantity_milli_wh"),
        offer_limit_micro_per_kwh=_column(offers, "limit_micro_per_kwh"),
        price_micro_per_kwh=price,
        volume_milli_wh=held.volume_milli_wh,
    )


def _column(rows: list[Any], name: str) -> NDArray[np.int64]:
    return np.array([getattr(row, name) for row in rows], np.int64)


def book_at(connection: Connection, interval: int, round_number: int) -> list[Any]:
    """Return the orders that one auction saw, in tie order.

    An order takes part in the first round of an interval that closes after its arrival, and in no later one;
    so a round saw the newest order of each (account, lane) that arrived after the round before it.
    """
    cuts = {
        row.round: row.next_sequence
        for row in connection.execute(
            select(rounds.c.round, rounds.c.next_sequence).where(rounds.c.interval == interval)
        )
    }
    if round_number not in cuts:
        return []
    opened = max((cut for number, cut in cuts.items() if number < round_number), default=0)
    newest: dict[tuple[int, int], Any] = {}
    for row in connection.execute(
        select(orders)
        .where(
            orders.c.first <= interval,
            orders.c.last >= interval,
            orders.c.sequence >= opened,
            orders.c.sequence < cuts[round_number],
        )
        .order_by(orders.c.sequence)
    ):
        newest[(row.account, row.lane)] = row
    return sorted((r for r in newest.values() if r.quantity_milli_wh > 0), key=lambda r: r.sequence)
