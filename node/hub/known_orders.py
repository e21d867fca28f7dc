"""Orders that were handed in before: the receipt that each got, or why it is in force no more."""

from sqlalchemy import Connection, func, select

from market.errors import RefusalReason
from market.orders import Source, Wish
from node.bus.messages import Receipt, Refusal
from node.chain.typed_data import CompactSignature
from node.store.tables_market import orders


def known_answers(
    connection: Connection, hashes: list[bytes], wishes: list[Wish]
) -> dict[bytes, Receipt | Refusal]:
    """Answer what was handed in before: its receipt, or that it is in force no more or had another wish.

    Parameters
    ----------
    hashes, wishes : list
        Of the orders asked about; those that are not known get no answer.
    """
    wish_of = dict(zip(hashes, wishes, strict=True))
    known: dict[bytes, Receipt | Refusal] = {}
    newer = orders.alias()
    by = (
        select(func.max(newer.c.sequence))
        .where(
            newer.c.account == orders.c.account,
            newer.c.lane == orders.c.lane,
            newer.c.sequence > orders.c.sequence,
            newer.c.first <= orders.c.last,
            newer.c.last >= orders.c.first,
        )
        .scalar_subquery()
    )
    columns = (
        orders.c.hash,
        orders.c.sequence,
        orders.c.received_at_s,
        orders.c.receipt,
        orders.c.source,
        orders.c.partner,
        orders.c.group,
    )
    for at in range(0, len(hashes), 500):
        part = hashes[at : at + 500]
        for row in connection.execute(select(*columns, by.label("by")).where(orders.c.hash.in_(part))):
            if row.by is not None:
                known[row.hash] = superseded(row.hash, row.sequence, row.by)
            elif Wish(Source(row.source), row.partner, row.group) != wish_of[row.hash]:
                known[row.hash] = other_wish(row.hash, row.sequence)
            else:
                r, vs = CompactSignature.from_bytes(row.receipt)
                known[row.hash] = Receipt(row.hash.hex(), row.sequence, row.received_at_s, r, vs)
    return known


def superseded(order_hash: bytes, sequence: int, newer: int) -> Refusal:
    """Refuse an order whose place a newer one has taken."""
    return Refusal(
        order_hash.hex(),
        RefusalReason.SUPERSEDED,
        f"arrived before as number {sequence}; number {newer} has taken its place in this lane: "
        "to have it again, sign it with another limit or quantity",
    )


def other_wish(order_hash: bytes, sequence: int) -> Refusal:
    """Refuse a known order that comes with another wish than it had."""
    return Refusal(
        order_hash.hex(),
        RefusalReason.WISH,
        f"arrived before as number {sequence} with another wish: to change it, sign the lane again with "
        "another limit or quantity",
    )
