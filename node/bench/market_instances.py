"""Random books and networks for the market's benchmark, by seed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.network_auction import MarketTree
from market.orders import OrderArrays

# Bids and offers are normal around the middle of the price range, bids a tenth of it above the offers: about
# a third of the energy does not trade.
HALF_GAP = 0.05
SPREAD = 0.12


def _limits(rng: np.random.Generator, is_buy: NDArray[np.bool_], n_prices: int) -> NDArray[np.int64]:
    middle = 0.5 * n_prices + np.where(is_buy, HALF_GAP, -HALF_GAP) * n_prices
    return np.clip(rng.normal(middle, SPREAD * n_prices), 0, n_prices - 1).astype(np.int64)


def plain_book(n_orders: int, n_prices: int, seed: int = 0) -> OrderArrays:
    """Return a book of 1 to 5,000 mWh per order."""
    rng = np.random.default_rng((seed, n_orders, n_prices))
    is_buy = rng.random(n_orders) < 0.5
    return OrderArrays(
        account=np.arange(2, 2 + n_orders),
        is_buy=is_buy,
        quantity_milli_wh=rng.integers(1, 5_001, n_orders),
        limit_micro_per_kwh=_limits(rng, is_buy, n_prices),
    )


def network_book(
    n_orders: int, n_nodes: int, n_prices: int, depth: int = 4, seed: int = 0
) -> tuple[OrderArrays, NDArray[np.int64], MarketTree]:
    """Return orders at the leaves of a balanced tree with fees and capacities of 1 to 15 % of the book below."""
    rng = np.random.default_rng((seed, n_orders, n_nodes, n_prices, depth))
    parent = _balanced(n_nodes, depth)
    leaves = np.setdiff1d(np.arange(n_nodes), parent[1:])
    node = rng.choice(leaves, n_orders)
    # Neighbours are alike: some streets are full of solar roofs, others have none.
    is_buy = rng.random(n_orders) < rng.beta(0.7, 0.7, n_nodes)[node]
    quantity = rng.integers(1, 2_001, n_orders)
    below = np.bincount(node, weights=quantity, minlength=n_nodes)
    for child in range(n_nodes - 1, 0, -1):
        below[parent[child]] += below[child]
    cap = (below * rng.uniform(0.01, 0.15, n_nodes)).astype(np.int64)
    tree = MarketTree(parent, cap, cap.copy(), rng.integers(0, max(2, n_prices // 33), n_nodes))
    orders = OrderArrays(np.arange(2, 2 + n_orders), is_buy, quantity, _limits(rng, is_buy, n_prices))
    return orders, node, tree


def _balanced(n_nodes: int, depth: int) -> NDArray[np.int64]:
    """Return the parents of a tree whose levels grow by one factor, the last level taking the rest."""
    factor = max(2, round(n_nodes ** (1 / depth)))
    sizes = [1]
    while sum(sizes) < n_nodes:
        rest = n_nodes - sum(sizes)
        sizes.append(rest if len(sizes) == depth else min(sizes[-1] * factor, rest))
    parent = [-1]
    first = 0
    for above, size in zip(sizes, sizes[1:], strict=False):
        parent += (first + np.arange(size) * above // size).tolist()
        first += above
    return np.array(parent, dtype=np.int64)


def order_flow(n_orders: int, n_accounts: int, first_sequence: int, seed: int) -> dict[str, NDArray[Any]]:
    """Return columns of `market.book.Book.submit`: each account amends its one lane, one order in ten cancels."""
    rng = np.random.default_rng((seed, n_orders))
    is_buy = rng.random(n_orders) < 0.5
    quantity = np.where(rng.random(n_orders) < 0.1, 0, rng.integers(1, 5_001, n_orders))
    return {
        "sequence": first_sequence + np.arange(n_orders),
        "account": rng.permutation(n_accounts)[:n_orders] + 2,
        "is_buy": is_buy,
        "lane": np.zeros(n_orders, np.uint8),
        "first": np.full(n_orders, 7, np.int32),
        "last": np.full(n_orders, 7, np.int32),
        "quantity_milli_wh": quantity,
        "limit_micro_per_kwh": _limits(rng, is_buy, 2_000),
        "source": np.zeros(n_orders, np.uint8),
        "partner": np.zeros(n_orders, np.uint32),
        "group": np.zeros(n_orders, np.uint16),
    }
