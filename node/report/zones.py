"""The market by price zone: prices, energy, how full the edges were, what they earned; none with one price for all."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from market.intervals import IntervalGrid
from market.units import MICRO_PER_CREDIT, MILLI_WH_PER_KWH, PICO_PER_CREDIT
from market.zone_flows import edge_flows
from node.hub.zones import load_zoning
from node.report import plots, queries
from node.store.tables_market import fills, zones

HEADS = (
    "zone",
    "mean price, ct/kWh",
    "lowest",
    "highest",
    "bought, kWh",
    "sold, kWh",
    "most out, % of capacity",
    "most in, % of capacity",
    "intervals full",
    "grid fees, credits",
    "congestion rent, credits",
)


@dataclass(frozen=True, slots=True)
class ZoneDay:
    """One zone over a span; its edge is the one to its parent, and the root has none.

    Attributes
    ----------
    mean_price_micro_per_kwh : float | None
        Weighted by what the zone bought and sold.
    use_out_pu, use_in_pu : float
        Greatest net position of an interval over the edge's capacity, each way.
    intervals_full : int
        In which net positions used all of it.
    """

    zone: int
    node: str
    bought_milli_wh: int
    sold_milli_wh: int
    mean_price_micro_per_kwh: float | None
    low_micro_per_kwh: int | None
    high_micro_per_kwh: int | None
    use_out_pu: float
    use_in_pu: float
    intervals_full: int
    fee_pico: int
    rent_pico: int


def zone_days(connection: Connection, span: range) -> tuple[ZoneDay, ...]:
    """Return every zone's day, by number; nothing where all trade at one price."""
    zoning = load_zoning(connection)
    if zoning is None:
        return ()
    zone_of = dict(zip(zoning.account.tolist(), zoning.zone.tolist(), strict=True))
    tree, n = zoning.tree, zoning.tree.n_nodes
    price_of = _prices(connection, span, n)
    net: defaultdict[tuple[int, int], np.ndarray] = defaultdict(lambda: np.zeros(n, np.int64))
    bought, sold, money = np.zeros(n, np.int64), np.zeros(n, np.int64), [0] * n
    sums = [fills.c.interval, fills.c.round, fills.c.account, fills.c.is_buy]
    found: Sequence[Any] = connection.execute(
        select(*sums, func.sum(fills.c.quantity_milli_wh))
        .where(fills.c.interval >= span.start, fills.c.interval < span.stop)
        .group_by(*sums)
    ).all()
    for interval, number, account, is_buy, quantity in found:
        zone = zone_of[account]
        net[interval, number][zone] += -quantity if is_buy else quantity
        (bought if is_buy else sold)[zone] += quantity
        price = price_of[interval, number][zone]
        assert price is not None  # what is filled has a price
        money[zone] += price * quantity
    fee, rent = [0] * n, [0] * n
    position: defaultdict[int, np.ndarray] = defaultdict(lambda: np.zeros(n, np.int64))
    for (interval, number), exports in sorted(net.items()):
        flows = edge_flows(tree, exports, price_of[interval, number])
        position[interval] += flows.flow_milli_wh
        fee = [a + b for a, b in zip(fee, flows.fee_pico, strict=True)]
        rent = [a + b for a, b in zip(rent, flows.rent_pico, strict=True)]
    edge = np.stack(list(position.values())) if position else np.zeros((1, n), np.int64)
    cap_out, cap_in = tree.export_cap_milli_wh, tree.import_cap_milli_wh
    is_full = ((edge > 0) & (edge == cap_out)) | ((edge < 0) & (-edge == cap_in))
    names = connection.execute(select(zones.c.node).order_by(zones.c.zone)).scalars().all()
    result = []
    for z, name in enumerate(names):
        told = [p[z] for p in price_of.values()]
        known = [p for p in told if p is not None]
        moved = int(bought[z] + sold[z])
        result.append(
            ZoneDay(
                z,
                name,
                int(bought[z]),
                int(sold[z]),
                money[z] / moved if moved else None,
                min(known, default=None),
                max(known, default=None),
                float(edge[:, z].max(initial=0) / max(int(cap_out[z]), 1)),
                float((-edge[:, z]).max(initial=0) / max(int(cap_in[z]), 1)),
                int(is_full[:, z].sum()),
                fee[z],
                rent[z],
            )
        )
    return tuple(result)


def _prices(
    connection: Connection, span: range, n_zones: int
) -> dict[tuple[int, int], tuple[int | None, ...]]:
    """Return the prices by zone of every round, by interval and round."""
    series = [queries.price_series(connection, span, zone) for zone in range(n_zones)]
    return {
        (int(interval), rounds[0].round): tuple(
            int(one.price_micro_per_kwh[i]) if np.isfinite(one.price_micro_per_kwh[i]) else None
            for one in rounds
        )
        for rounds in zip(*series, strict=True)
        for i, interval in enumerate(rounds[0].interval)
    }


def tables(days: Sequence[ZoneDay]) -> dict[str, tuple[Sequence[str], Sequence[Sequence[str]]]]:
    """Return the report's table of zones by caption; none where there are none."""
    return {"Price zones": (HEADS, [_row(day) for day in days])} if days else {}


def _row(day: ZoneDay) -> tuple[str, ...]:
    def cents(price: float | None) -> str:
        return "-" if price is None else f"{price / MICRO_PER_CREDIT * 100:.2f}"

    return (
        day.node,
        cents(day.mean_price_micro_per_kwh),
        cents(day.low_micro_per_kwh),
        cents(day.high_micro_per_kwh),
        f"{day.bought_milli_wh / MILLI_WH_PER_KWH:,.2f}",
        f"{day.sold_milli_wh / MILLI_WH_PER_KWH:,.2f}",
        *(
            (f"{day.use_out_pu:.0%}", f"{day.use_in_pu:.0%}", f"{day.intervals_full}")
            if day.zone
            else ("-",) * 3
        ),
        f"{day.fee_pico / PICO_PER_CREDIT:,.3f}",
        f"{day.rent_pico / PICO_PER_CREDIT:,.3f}",
    )


def figures(days: Sequence[ZoneDay]) -> list[tuple[str, str]]:
    """Return the lines for terminal and report."""
    if not days:
        return []
    fee, rent = (
        sum(getattr(day, name) for day in days) / PICO_PER_CREDIT for name in ("fee_pico", "rent_pico")
    )
    full = ", ".join(f"{day.node} {day.intervals_full}" for day in days if day.intervals_full)
    return [
        ("grid fees, congestion rent", f"{fee:,.2f} and {rent:,.2f} credits, to the grid account"),
        ("intervals with a full edge", full or "none"),
    ]


def price_figure(connection: Connection, grid: IntervalGrid, span: range) -> plots.Figure | None:
    """Draw the newest price of every zone by interval; None where all trade at one price."""
    names = connection.execute(select(zones.c.node).order_by(zones.c.zone)).scalars().all()
    if not names:
        return None
    newest: dict[int, tuple[int | None, ...]] = {}
    for (interval, _round), told in sorted(_prices(connection, span, len(names)).items()):
        if any(price is not None for price in told):
            newest[interval] = told
    x = plots.times(grid, sorted(newest))
    lines = {
        name: [None if (p := newest[t][z]) is None else p / MICRO_PER_CREDIT * 100 for t in sorted(newest)]
        for z, name in enumerate(names)
    }
    return plots.step_lines("Price by zone", x, lines, "ct per kWh")
