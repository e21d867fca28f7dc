"""Clear one call auction on a radial network: welfare-optimal, locational prices, exact integers.

The auction of `market.auction` on a tree: every edge carries at most its capacity and costs a fee per unit.
Curves of net export are built from the leaves to the root (`network_auction_curves`), energy is shared out
from the root to the leaves (`network_auction_clearing`), then prices follow (`network_auction_prices`). Cost
grows linearly with the orders, times at most the levels of edges that matter; no solver is involved and nothing
is approximate.

Notes
-----
The problem is a minimum-cost flow on a tree with one concave curve per node: its optimum is found by adding
clipped and shifted curves, as in dynamic programming on trees. What buyers pay and sellers receive differs by
the fees and the congestion rent of the edges, both >= 0, both due to the grid account.

References
----------
Locational prices as dual variables: W. Hogan, "Contract networks for electric power transmission", Journal
of Regulatory Economics 4 (1992). Flows of least cost: R. Ahuja, T. Magnanti, J. Orlin, "Network Flows", 1993.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market import auction
from market.auction import PriceRule
from market.auction_cut import check_total
from market.errors import BookInconsistent, InfeasibleNetwork
from market.network_auction_clearing import dispatch, fill_orders
from market.network_auction_curves import Edges, build
from market.network_auction_prices import locational_prices, root_price
from market.network_auction_tree import Layout, MarketTree, lay_out, merge_free_edges, subtree_sums
from market.orders import OrderArrays

__all__ = ["MarketTree", "NetworkResult", "PriceRule", "clear"]

# Sums of quantities pass through float64 counts, exact below 2**53 mWh: 9 PWh in one interval.
MAX_TOTAL_MILLI_WH: Final = 2**53
# A node and a key share one 62-bit code.
MAX_CODES: Final = 2**62


@dataclass(frozen=True, slots=True)
class NetworkResult:
    """What one auction on a network decided.

    Attributes
    ----------
    prices_micro_per_kwh : NDArray[np.int64]
        Net price per node, before the operator's fee of either side, `(n_nodes,)`. Where no energy is traded
        or passes it is indicative.
    is_binding : NDArray[np.bool_]
        Whether energy is traded at, or passes through, the node, `(n_nodes,)`.
    fills_milli_wh : NDArray[np.int64]
        Energy that each order got, `(n_orders,)`.
    flows_milli_wh : NDArray[np.int64]
        Net export of each node's subtree to its parent, `(n_nodes,)`; zero at the root.
    volume_milli_wh : int
        Energy bought, which equals the energy sold.
    fee_micro_per_kwh : int
        Operator's fee of either side.
    grid_fees_pico : int
        Fees of all edges, >= 0.
    congestion_rent_pico : int
        What buyers pay beyond the sellers' receipts and the grid fees, >= 0.
    """

    prices_micro_per_kwh: NDArray[np.int64]
    is_binding: NDArray[np.bool_]
    fills_milli_wh: NDArray[np.int64]
    flows_milli_wh: NDArray[np.int64]
    volume_milli_wh: int
    fee_micro_per_kwh: int
    grid_fees_pico: int
    congestion_rent_pico: int

    @property
    def buyer_total_micro_per_kwh(self) -> NDArray[np.int64]:
        """Return what a buyer pays per kWh at each node, all in, `(n_nodes,)`."""
        return self.prices_micro_per_kwh + self.fee_micro_per_kwh

    @property
    def seller_net_micro_per_kwh(self) -> NDArray[np.int64]:
        """Return what a seller receives per kWh at each node, all in, `(n_nodes,)`."""
        return self.prices_micro_per_kwh - self.fee_micro_per_kwh


def clear(
    orders: OrderArrays,
    node: NDArray[np.int64],
    tree: MarketTree,
    fee_micro_per_kwh: int = 0,
    price_rule: PriceRule = PriceRule.MID,
) -> NetworkResult:
    """Clear the orders of one interval on a network.

    Parameters
    ----------
    orders : OrderArrays
        Open orders, limits all-in, rows in the order of the tie rule, `(n_orders,)`.
    node : NDArray[np.int64]
        Node at which each order's account is connected, `(n_orders,)`.
    tree : MarketTree
        Capacities and grid fees of the interval.
    fee_micro_per_kwh : int
        Operator's fee, paid by either side, >= 0.
    price_rule : PriceRule
        Where the root's price lies inside its crossing interval.

    Returns
    -------
    NetworkResult
        Fills of the greatest welfare (grid fees counted as cost) and, among those, of the greatest volume.

    Raises
    ------
    ValueError
        If the fee is negative.
    BookInconsistent
        If the quantities sum to 2**53 mWh or more, or `node` does not fit the orders or the tree.
    InfeasibleNetwork
        If nodes and price levels together exceed what 62 bits can number.

    Notes
    -----
    Orders on the margin of one place share in proportion to what they ask, ties to the lower row. Between a
    node's own orders and its children the same rule decides first, in the order of nodes.
    """
    if fee_micro_per_kwh < 0:
        raise ValueError(f"fee_micro_per_kwh is {fee_micro_per_kwh}: need a fee >= 0")
    _check(orders, node, tree)
    bought, sold = _per_node(orders, node, tree.n_nodes)
    layout = lay_out(tree.parent)
    place = merge_free_edges(tree, layout, bought, sold)
    places, index = np.unique(place, return_inverse=True)
    if places.size == 1 or len(orders) == 0:
        plain = auction.clear(orders, fee_micro_per_kwh, price_rule)
        fills = plain.fills_milli_wh
        price = root_price(plain.low_micro_per_kwh, plain.high_micro_per_kwh, price_rule)
        prices = np.full(tree.n_nodes, price, dtype=np.int64)
    else:
        merged = MarketTree(
            np.where(tree.parent[places] < 0, -1, index[tree.parent[places]]),
            tree.import_cap_milli_wh[places],
            tree.export_cap_milli_wh[places],
            tree.fee_micro_per_kwh[places],
        )
        at_place = _Book(orders, node, index, bought, sold)
        fills, place_prices = _clear_places(at_place, merged, fee_micro_per_kwh, price_rule)
        prices = place_prices[index]
    return _result(orders, node, tree, layout, fills, prices, fee_micro_per_kwh)


def _check(orders: OrderArrays, node: NDArray[np.int64], tree: MarketTree) -> None:
    if node.shape != orders.account.shape:
        raise BookInconsistent(f"node has shape {node.shape}, account has {orders.account.shape}")
    if node.size and not 0 <= int(node.min()) <= int(node.max()) < tree.n_nodes:
        row = int(np.flatnonzero((node < 0) | (node >= tree.n_nodes))[0])
        raise BookInconsistent(f"node is {int(node[row])} in row {row}: nodes are 0..{tree.n_nodes - 1}")
    check_total(orders, MAX_TOTAL_MILLI_WH)


def _per_node(
    orders: OrderArrays, node: NDArray[np.int64], n_nodes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the energy wanted and offered at each node."""
    sides = np.bincount(2 * node + orders.is_buy, weights=orders.quantity_milli_wh, minlength=2 * n_nodes)
    whole = sides.astype(np.int64)
    return whole[1::2], whole[::2]


@dataclass(frozen=True, slots=True)
class _Book:
    """Orders, their nodes, the place of each node, and the energy wanted and offered at each node."""

    orders: OrderArrays
    node: NDArray[np.int64]
    place: NDArray[np.int64]
    bought: NDArray[np.int64]
    sold: NDArray[np.int64]


def _clear_places(
    book: _Book, tree: MarketTree, fee: int, price_rule: PriceRule
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return fills and prices on a network on which every edge may matter."""
    is_buy, quantity = book.orders.is_buy, book.orders.quantity_milli_wh
    key = book.orders.limit_micro_per_kwh
    if fee:
        key = key + np.where(is_buy, -fee, fee)
    lowest, highest = int(key.min()), int(key.max())
    top_key = 2 * (highest - lowest) + 1
    if tree.n_nodes * (top_key + 2) >= MAX_CODES:
        raise InfeasibleNetwork(f"{tree.n_nodes} nodes times {top_key} keys do not fit 62 bits")
    key = key - lowest
    key <<= 1
    key |= is_buy
    layout = lay_out(tree.parent)
    at = layout.node_at
    position_of_node = layout.position[book.place]
    bought = np.zeros(tree.n_nodes, dtype=np.int64)
    np.add.at(bought, position_of_node, book.bought)
    # No edge can carry more than the book, and no fee matters beyond the range of its prices.
    most = int(book.bought.sum()) + int(book.sold.sum())
    edges = Edges(
        np.minimum(tree.import_cap_milli_wh[at], most),
        np.minimum(tree.export_cap_milli_wh[at], most),
        2 * np.minimum(tree.fee_micro_per_kwh[at], top_key),
    )
    position = position_of_node[book.node]
    curves = build(layout, edges, position, key, quantity, bought, top_key)
    result = dispatch(layout, edges, curves)
    fills = fill_orders(position, key, quantity, is_buy, result)
    prices = locational_prices(layout, tree.fee_micro_per_kwh[at], result, (lowest, highest), price_rule)
    return fills, prices[layout.position]


def _result(
    orders: OrderArrays,
    node: NDArray[np.int64],
    tree: MarketTree,
    layout: Layout,
    fills: NDArray[np.int64],
    prices: NDArray[np.int64],
    fee: int,
) -> NetworkResult:
    """Add flows and the grid's money to the fills and prices."""
    traded = np.bincount(2 * node + orders.is_buy, weights=fills, minlength=2 * tree.n_nodes).astype(np.int64)
    flows = subtree_sums(layout, (traded[::2] - traded[1::2])[layout.node_at])[layout.position]
    edges = np.flatnonzero((flows != 0) & (tree.parent >= 0))
    is_binding = (traded[::2] > 0) | (traded[1::2] > 0)
    is_binding[edges] = True
    is_binding[tree.parent[edges]] = True
    energy = np.abs(flows[edges])
    grid_fees = _exact_dot(energy, tree.fee_micro_per_kwh[edges])
    spread = np.sign(flows[edges]) * (prices[tree.parent[edges]] - prices[edges])
    return NetworkResult(
        prices_micro_per_kwh=prices,
        is_binding=is_binding,
        fills_milli_wh=fills,
        flows_milli_wh=flows,
        volume_milli_wh=int(traded[1::2].sum()),
        fee_micro_per_kwh=fee,
        grid_fees_pico=grid_fees,
        congestion_rent_pico=_exact_dot(energy, spread) - grid_fees,
    )


def _exact_dot(energy_milli_wh: NDArray[np.int64], price_micro_per_kwh: NDArray[np.int64]) -> int:
    """Return the sum of products, which may pass 64 bits."""
    if energy_milli_wh.size == 0:
        return 0
    bound = float(np.dot(energy_milli_wh.astype(np.float64), np.abs(price_micro_per_kwh.astype(np.float64))))
    if bound < 2.0**62:
        return int(np.dot(energy_milli_wh, price_micro_per_kwh))
    products = zip(energy_milli_wh.tolist(), price_micro_per_kwh.tolist(), strict=True)
    return sum(energy * price for energy, price in products)
