"""Prove a cleared auction optimal from its published result alone, in exact integers.

By linear duality a feasible result is welfare-optimal if prices exist under which nobody regrets its fill and
every edge moves energy only where that earns its fee. The result carries such prices, so that a participant
or an auditor can check optimality without a solver, in one pass over the orders.

References
----------
Complementary slackness: R. Vanderbei, "Linear Programming", 5th ed., Springer 2020, ch. 5.
"""

import numpy as np
from numpy.typing import NDArray

from market.network_auction import MarketTree, NetworkResult
from market.orders import OrderArrays


def violations(
    orders: OrderArrays, node: NDArray[np.int64], tree: MarketTree, result: NetworkResult
) -> list[str]:
    """Return what is wrong with a result, one sentence each; an empty list proves it optimal.

    Parameters
    ----------
    orders, node, tree : OrderArrays, NDArray[np.int64], MarketTree
        What was cleared.
    result : NetworkResult
        What is claimed.
    """
    found: list[str] = []

    def require(holds: NDArray[np.bool_], sentence: str) -> None:
        if not holds.all():
            found.append(f"{sentence} (first at {int(np.flatnonzero(~holds)[0])})")

    fills, quantity, is_buy = result.fills_milli_wh, orders.quantity_milli_wh, orders.is_buy
    require((fills >= 0) & (fills <= quantity), "a fill is outside 0..quantity of its order")
    flows, parent = result.flows_milli_wh, tree.parent
    net = np.zeros(tree.n_nodes, dtype=np.int64)
    np.add.at(net, node, np.where(is_buy, -fills, fills))
    edges = np.flatnonzero(parent >= 0)
    np.add.at(net, parent[edges], flows[edges])
    require(net == flows, "energy is not conserved at a node")
    require(flows[parent < 0] == 0, "the root exports energy to nowhere")
    require(flows <= tree.export_cap_milli_wh, "an edge exports more than its capacity")
    require(-flows <= tree.import_cap_milli_wh, "an edge imports more than its capacity")

    pays = result.buyer_total_micro_per_kwh[node]
    earns = result.seller_net_micro_per_kwh[node]
    limit = orders.limit_micro_per_kwh
    traded, untraded = fills > 0, fills < quantity
    require(~(is_buy & traded) | (pays <= limit), "a buyer pays more than its limit")
    require(is_buy | ~traded | (earns >= limit), "a seller earns less than its limit")
    require(~(is_buy & untraded) | (pays >= limit), "a buyer who would pay more than the price is left out")
    require(is_buy | ~untraded | (earns <= limit), "a seller who would take less than the price is left out")

    x, fee = flows[edges], tree.fee_micro_per_kwh[edges]
    prices = result.prices_micro_per_kwh
    spread = prices[parent[edges]] - prices[edges]
    can_export_more = x < tree.export_cap_milli_wh[edges]
    can_import_more = -x < tree.import_cap_milli_wh[edges]
    require((x <= 0) | (spread >= fee), "an edge exports at less than its fee")
    require((x >= 0) | (-spread >= fee), "an edge imports at less than its fee")
    require(~can_export_more | (x < 0) | (spread <= fee), "an edge with room leaves a profitable export")
    require(~can_import_more | (x > 0) | (-spread <= fee), "an edge with room leaves a profitable import")
    found += _money(orders, node, tree, result)
    return found


def _money(
    orders: OrderArrays, node: NDArray[np.int64], tree: MarketTree, result: NetworkResult
) -> list[str]:
    """Check that payments, receipts, fees and rent sum to zero, with integers of any size."""
    price = result.prices_micro_per_kwh[node].astype(object)
    signed = np.where(orders.is_buy, result.fills_milli_wh, -result.fills_milli_wh).astype(object)
    surplus = int((price * signed).sum()) if price.size else 0
    edges = tree.parent >= 0
    crossing = np.abs(result.flows_milli_wh[edges]).astype(object)
    fees = int((crossing * tree.fee_micro_per_kwh[edges].astype(object)).sum()) if crossing.size else 0
    found = []
    if fees != result.grid_fees_pico:
        found.append(f"grid fees are {result.grid_fees_pico} pico: the flows say {fees}")
    if surplus - fees != result.congestion_rent_pico:
        found.append(f"rent is {result.congestion_rent_pico} pico: payments leave {surplus - fees}")
    if result.congestion_rent_pico < 0:
        found.append(f"rent is negative: {result.congestion_rent_pico} pico")
    return found


def welfare_pico(orders: OrderArrays, result: NetworkResult) -> int:
    """Return the gain of all trades: buyers' limits less sellers' limits less all fees, in pico-credits."""
    signed = np.where(orders.is_buy, result.fills_milli_wh, -result.fills_milli_wh).astype(object)
    gain = int((signed * orders.limit_micro_per_kwh.astype(object)).sum()) if signed.size else 0
    return gain - 2 * result.fee_micro_per_kwh * result.volume_milli_wh - result.grid_fees_pico
