"""Clear every stored round again from the stored orders, and compare with what was recorded."""

from collections import defaultdict

from sqlalchemy import Connection, select

from market.replay import ClearedRound, Difference, first_difference
from node.hub.trading import load_orders
from node.store.tables_market import fills, meta, prices, rounds

FEE = "fee_micro_per_kwh"  # in table meta


def replay(connection: Connection) -> tuple[int, Difference | None]:
    """Return how many rounds were cleared again, and the first difference (None if there is none)."""
    fee = connection.execute(select(meta.c.value).where(meta.c.key == FEE)).scalar_one()
    filled: defaultdict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    for row in connection.execute(select(fills)):
        filled[(row.interval, row.round)][row.sequence] = row.quantity_milli_wh
    held = connection.execute(
        select(rounds, prices.c.price_micro_per_kwh)
        .join(prices, (prices.c.interval == rounds.c.interval) & (prices.c.round == rounds.c.round))
        .where(prices.c.zone == 0)
        .order_by(rounds.c.next_sequence, rounds.c.interval, rounds.c.round)
    ).all()
    recorded = [
        ClearedRound(
            row.interval,
            row.round,
            row.next_sequence,
            row.price_micro_per_kwh if row.volume_milli_wh else None,
            filled.get((row.interval, row.round), {}),
        )
        for row in held
    ]
    return len(recorded), first_difference(load_orders(connection, 0), recorded, int(fee))
