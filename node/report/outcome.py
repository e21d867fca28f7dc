"""How well the auctions did: gains and their split, the best that was possible, concentration, and a closed budget."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from market import auction, network_auction
from market.kpis_fairness import hhi
from market.kpis_money import PriceRange, Surplus, price_range, surplus, welfare_share
from market.network_auction_tree import MarketTree, lay_out, subtree_sums
from market.orders import OrderArrays
from market.units import PICO_PER_CREDIT
from market.welfare_bound import achieved_pico, bound_pico
from market.zones import Zoning, remaining
from node.hub.trading import load_orders
from node.hub.zones import load_zoning
from node.store.tables_market import fills, orders, rounds


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures of the auctions of a span.

    Attributes
    ----------
    surplus : Surplus
        Gains from trade by who has them.
    welfare_share : float | None
        Welfare over the bound that no exchange of the same orders can exceed; 1 is proved optimal.
    sellers_hhi, buyers_hhi : float | None
        Concentration of what was sold and bought, by account.
    prices : PriceRange | None
        At which anything was bought, before the fee.
    budget_gap_pico : int
        What members received for fills plus what operator and grid account got: zero.
    """

    surplus: Surplus
    welfare_share: float | None
    sellers_hhi: float | None
    buyers_hhi: float | None
    prices: PriceRange | None
    budget_gap_pico: int


def outcome(connection: Connection, span: range, fee_micro_per_kwh: int) -> Outcome:
    """Return the figures of all rounds of the span, from stored orders, fills and prices."""
    in_span = (fills.c.interval >= span.start, fills.c.interval < span.stop)
    found: Any = connection.execute(
        select(fills, orders.c.limit_micro_per_kwh)
        .join(orders, orders.c.sequence == fills.c.sequence)
        .where(*in_span)
    ).all()
    split = surplus(
        np.array([row.is_buy for row in found], np.bool_),
        np.array([row.limit_micro_per_kwh for row in found], np.int64),
        np.array([row.quantity_milli_wh for row in found], np.int64),
        np.array([row.price_micro_per_kwh for row in found], np.int64),
        fee_micro_per_kwh,
    )
    by_side: tuple[defaultdict[int, int], ...] = (defaultdict(int), defaultdict(int))
    for row in found:
        by_side[row.is_buy][row.account] += row.quantity_milli_wh
    filled: defaultdict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    for row in found:
        filled[row.interval, row.round][row.sequence] = row.quantity_milli_wh
    achieved, bound = _against_the_bound(connection, span, filled, fee_micro_per_kwh)
    return Outcome(
        split,
        welfare_share(achieved, bound),
        hhi([float(v) for v in by_side[False].values()]),
        hhi([float(v) for v in by_side[True].values()]),
        price_range(
            [row.price_micro_per_kwh for row in found if row.is_buy],
            [row.quantity_milli_wh for row in found if row.is_buy],
        ),
        sum(row.amount_pico for row in found) + split.operator_pico + split.grid_pico,
    )


def _against_the_bound(
    connection: Connection, span: range, filled: Mapping[tuple[int, int], Mapping[int, int]], fee: int
) -> tuple[int, int]:
    """Return what all rounds achieved, and what they could have at most."""
    book, zoning = load_orders(connection, span.start), load_zoning(connection)
    achieved = bound = 0
    traded: dict[int, np.ndarray] = {}
    for row in connection.execute(
        select(rounds)
        .where(rounds.c.interval >= span.start, rounds.c.interval < span.stop)
        .order_by(rounds.c.next_sequence, rounds.c.interval, rounds.c.round)
    ):
        seen = book.select(row.interval, before=row.next_sequence)
        got = filled.get((row.interval, row.round), {})
        fill = np.array([got.get(number, 0) for number in seen.sequence.tolist()], np.int64)
        here = None if zoning is None else zoning.without(row.cut_zones)
        zone, tree, flows = _network(here, seen.orders, fill, traded, row.interval)
        achieved += achieved_pico(seen.orders, fill, fee, flows, tree)
        bound += bound_pico(seen.orders, zone, _prices(seen.orders, zone, fee, tree), fee, tree)
        book.close_round(row.interval, row.next_sequence)
    return achieved, bound


def _network(
    zoning: Zoning | None, seen: OrderArrays, fill: np.ndarray, traded: dict[int, np.ndarray], interval: int
) -> tuple[np.ndarray, MarketTree | None, np.ndarray]:
    """Return zones, the capacities that earlier rounds left, and the flows of this one."""
    if zoning is None:
        return np.zeros(len(seen), np.int64), None, np.zeros(1, np.int64)
    zone = zoning.of(seen.account)
    before = traded.setdefault(interval, np.zeros(zoning.tree.n_nodes, np.int64))
    net = np.zeros(zoning.tree.n_nodes, np.int64)
    np.add.at(net, zone, np.where(seen.is_buy, -fill, fill))
    traded[interval] = before + net
    layout = lay_out(zoning.tree.parent)
    flows = subtree_sums(layout, net[layout.node_at])[layout.position]
    return zone, remaining(zoning.tree, before), flows


def _prices(seen: OrderArrays, zone: np.ndarray, fee: int, tree: MarketTree | None) -> list[int]:
    """Return prices that make the bound small; it holds at any, so it matters little where they come from."""
    if tree is not None:
        return network_auction.clear(seen, zone, tree, fee).prices_micro_per_kwh.tolist()
    price = auction.clear(seen, fee).price_micro_per_kwh
    if price is None:  # a side is empty: at its best limit nobody gains
        price = int(seen.limit_micro_per_kwh[seen.is_buy].max(initial=-(2**40)))
        price = price if seen.is_buy.any() else int(seen.limit_micro_per_kwh.min(initial=2**40))
    return [price]


def figures(result: Outcome) -> list[tuple[str, str]]:
    """Return the lines for terminal and report."""
    split, share = result.surplus, result.welfare_share
    parts = (
        ("buyers", split.buyers_pico),
        ("sellers", split.sellers_pico),
        ("operator", split.operator_pico),
        ("grid", split.grid_pico),
    )
    best = "" if share is None else f", {share:.2%} of the best possible"
    words = ", ".join(f"{name} {amount / PICO_PER_CREDIT:,.2f}" for name, amount in parts)
    concentration = ", ".join(
        f"{name} {value:.3f}"
        for name, value in (("sellers", result.sellers_hhi), ("buyers", result.buyers_hhi))
        if value is not None
    )
    return [
        ("gains from trade", f"{split.welfare_pico / PICO_PER_CREDIT:,.2f} credits{best}: {words}"),
        ("concentration (HHI)", concentration or "-"),
        ("budget gap", f"{result.budget_gap_pico} pico-credits"),
    ]
