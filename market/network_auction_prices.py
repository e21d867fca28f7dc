"""Locational prices of a cleared radial network, from the root to the leaves."""

import numpy as np
from numpy.typing import NDArray

from market.auction import PriceRule, price_inside
from market.network_auction_clearing import Dispatch
from market.network_auction_tree import Layout


def locational_prices(
    layout: Layout,
    fee: NDArray[np.int64],
    result: Dispatch,
    book_range: tuple[int, int],
    price_rule: PriceRule,
) -> NDArray[np.int64]:
    """Return a net price per position that breaks nobody's limit and earns every edge its fee.

    Parameters
    ----------
    layout : Layout
        The network.
    fee : NDArray[np.int64]
        Grid fee of each position's edge, micro-credit per kWh, `(n_nodes,)`.
    result : Dispatch
        Flows and margins.
    book_range : tuple[int, int]
        Lowest and highest net limit of the book, micro-credit per kWh; key 0 is the lowest.
    price_rule : PriceRule
        Where the root's price lies inside its interval.

    Notes
    -----
    A node's own orders and children bound its price to `[low, high]`, the prices of its last taken and next
    untaken unit. The root takes the rule's price; a child wants `parent - fee` when it sends, `parent + fee`
    when it receives and the parent's price when its edge is idle, and takes the nearest price inside its
    bounds. That clip is what keeps limits: by the optimality of the flow it moves the price only in the
    direction that earns the edge more than its fee, which is the congestion rent.

    A missing bound does not bind. A root that no unit can reach for its fees takes a price of the book's
    range, under which none of those units wishes to move.
    """
    lowest, highest = book_range
    has_low, has_high = result.margin >= 0, result.following >= 0
    low = (result.margin >> 1) + lowest
    high = (result.following >> 1) + lowest
    prices = np.zeros(layout.parent.size, dtype=np.int64)
    if has_low[0] or has_high[0]:
        prices[0] = root_price(
            int(low[0]) if has_low[0] else None, int(high[0]) if has_high[0] else None, price_rule
        )
    else:
        prices[0] = root_price(lowest, highest, price_rule)
    for level in range(1, layout.n_levels):
        rows = slice(*layout.level(level))
        wanted = prices[layout.parent[rows]] - np.sign(result.flow[rows]) * fee[rows]
        wanted = np.where(has_low[rows], np.maximum(wanted, low[rows]), wanted)
        prices[rows] = np.where(has_high[rows], np.minimum(wanted, high[rows]), wanted)
    return prices


def root_price(low: int | None, high: int | None, price_rule: PriceRule) -> int:
    """Return the root's price: by the rule, or the only bound there is, or zero for an empty book."""
    inside = price_inside(low, high, price_rule)
    if inside is not None:
        return inside
    return low if low is not None else high if high is not None else 0
