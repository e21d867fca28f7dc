"""The most that any auction of the same orders could achieve: a bound by duality, at any prices.

Whatever the prices, no feasible exchange is worth more than what everybody would gain by trading freely at them and
every edge by carrying all it can. At an optimum's own prices the bound is met; so a record that meets it is optimal,
and one that does not shows how far from the best it may be, without any solver.

References
----------
Weak duality: R. Vanderbei, "Linear Programming", 5th ed., Springer 2020, ch. 5.
"""

from collections.abc import Sequence

from market.kpis_money import path_fees_pico
from market.network_auction_tree import MarketTree
from market.orders import OrderArrays
from market.zones import IntArray


def bound_pico(
    orders: OrderArrays,
    zone: IntArray,
    prices: Sequence[int],
    fee_micro_per_kwh: int,
    tree: MarketTree | None,
) -> int:
    """Return what no exchange of these orders can exceed, fees of operator and grid deducted.

    Parameters
    ----------
    orders : OrderArrays
        What one round saw, limits all-in, `(n_orders,)`.
    zone : NDArray[np.int64]
        Zone of each order, `(n_orders,)`.
    prices : Sequence[int]
        One price per zone, before the operator's fee.
    tree : MarketTree | None
        Capacities as the round had them; None where there is one zone.

    Notes
    -----
        sum_buy q (limit - fee - p)+  +  sum_sell q (p - fee - limit)+
        + sum_edges out_cap (p_parent - p - edge fee)+ + in_cap (p - p_parent - edge fee)+
    """
    bound = 0
    columns = (orders.is_buy, orders.quantity_milli_wh, orders.limit_micro_per_kwh, zone)
    for is_buy, quantity, limit, where in zip(*(column.tolist() for column in columns), strict=True):
        gain = limit - prices[where] if is_buy else prices[where] - limit
        bound += quantity * max(gain - fee_micro_per_kwh, 0)
    if tree is None:
        return bound
    edges = zip(
        *(
            column.tolist()
            for column in (
                tree.parent,
                tree.export_cap_milli_wh,
                tree.import_cap_milli_wh,
                tree.fee_micro_per_kwh,
            )
        ),
        strict=True,
    )
    for here, (parent, out_cap, in_cap, fee) in enumerate(edges):
        if parent >= 0:
            spread = prices[parent] - prices[here]
            bound += out_cap * max(spread - fee, 0) + in_cap * max(-spread - fee, 0)
    return bound


def achieved_pico(
    orders: OrderArrays,
    fills_milli_wh: IntArray,
    fee_micro_per_kwh: int,
    flows_milli_wh: IntArray,
    tree: MarketTree | None,
) -> int:
    """Return what fills are worth by the limits of their orders, fees of operator and grid deducted."""
    worth = 0
    for is_buy, filled, limit in zip(
        orders.is_buy.tolist(), fills_milli_wh.tolist(), orders.limit_micro_per_kwh.tolist(), strict=True
    ):
        worth += filled * ((limit if is_buy else -limit) - fee_micro_per_kwh)
    if tree is not None:
        worth -= path_fees_pico(flows_milli_wh.tolist(), tree.fee_micro_per_kwh.tolist())
    return worth
