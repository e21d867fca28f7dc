"""Clear every stored round again from the stored orders, and compare with what was recorded."""

from collections import defaultdict

from sqlalchemy import Connection, select

from market.replay import ClearedRound, Difference, first_difference
from node.hub.trading import load_orders
from node.hub.zones import load_zoning
from node.store.tables_market import fills, meta, prices, rounds, voided_fills

FEE = "fee_micro_per_kwh"  # in table meta


def replay(connection: Connection) -> tuple[int, Difference | None]:
    """Return how many rounds were cleared again, and the first difference (None if there is none)."""
    fee = connection.execute(select(meta.c.value).where(meta.c.key == FEE)).scalar_one()
    filled: defaultdict[tuple[int, int], defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
    for table in (fills, voided_fills):  # the auction gave both
        for row in connection.execute(select(table)):
            filled[(row.interval, row.round)][row.sequence] += row.quantity_milli_wh
    told: defaultdict[tuple[int, int], list[int | None]] = defaultdict(list)
    for row in connection.execute(select(prices).order_by(prices.c.zone)):
        told[(row.interval, row.round)].append(row.price_micro_per_kwh)
    held = connection.execute(
        select(rounds).order_by(rounds.c.next_sequence, rounds.c.interval, rounds.c.round)
    ).all()
    recorded = [
        ClearedRound(
            row.interval,
            row.round,
            row.next_sequence,
            tuple(price if row.volume_milli_wh else None for price in told[(row.interval, row.round)]),
            filled.get((row.interval, row.round), {}),
            row.cut_zones,
        )
        for row in held
    ]
    book, zoning = load_orders(connection, 0), load_zoning(connection)
    return len(recorded), first_difference(book, recorded, int(fee), zoning)
