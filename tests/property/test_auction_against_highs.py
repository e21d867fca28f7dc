"""Random instances of both auctions against HiGHS: greatest welfare, then greatest volume, always."""

import numpy as np
import pytest
from numpy.typing import NDArray

from market import auction, network_auction
from market.network_auction import MarketTree
from market.network_auction_certificate import violations, welfare_pico
from market.orders import OrderArrays
from node.bench.highs_reference import solve

INSTANCES = 1_000
CHUNKS = 10
# A bonus of 1/4096 micro-credit per kWh stays below one price step over 4095 mWh of volume.
BONUS = 1 / 4096


def random_orders(rng: np.random.Generator, n_nodes: int) -> tuple[OrderArrays, NDArray[np.int64]]:
    """Draw ties, zero quantities, one-sided books, homes that only buy or sell, negative and wide prices."""
    n = int(rng.integers(1, 60))
    span = int(rng.choice([1, 3, 20, 200]))
    node = rng.integers(0, n_nodes, n)
    share = rng.random(n_nodes)[node] if rng.random() < 0.6 else rng.choice([0.0, 0.3, 0.5, 0.7, 1.0])
    orders = OrderArrays(
        account=np.arange(2, 2 + n),
        is_buy=rng.random(n) < share,
        quantity_milli_wh=rng.integers(0, rng.choice([2, 6, 50]), n),
        limit_micro_per_kwh=rng.integers(-span, span + 1, n) - (span if rng.random() < 0.2 else 0),
    )
    return orders, node


def random_tree(rng: np.random.Generator) -> MarketTree:
    """Draw stars, bushes and paths, zero and ample capacities, no fees, small and prohibitive ones."""
    n = int(rng.integers(1, 14))
    reach = int(rng.choice([1, 2, n + 1]))
    parent = np.array([-1] + [int(rng.integers(max(0, child - reach), child)) for child in range(1, n)])

    def caps() -> NDArray[np.int64]:
        drawn = rng.integers(0, rng.choice([1, 5, 30, 1_000, 10_000]), n)
        return np.where(rng.random(n) < 0.85, drawn, 0)

    fee = rng.integers(0, rng.choice([1, 3, 10, 10**6], p=[0.3, 0.35, 0.25, 0.1]), n)
    return MarketTree(parent, caps(), caps(), fee)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_network_auction_reaches_the_optimum_of_highs(chunk: int) -> None:
    rng = np.random.default_rng((1, chunk))
    for _ in range(INSTANCES // CHUNKS):
        tree = random_tree(rng)
        orders, node = random_orders(rng, tree.n_nodes)
        fee = int(rng.choice([0, 0, 1, 7]))
        result = network_auction.clear(orders, node, tree, fee)
        assert violations(orders, node, tree, result) == []
        optimum = solve(orders, node, tree, fee, BONUS)
        assert optimum is not None
        ours = welfare_pico(orders, result) + BONUS * result.volume_milli_wh
        # One mWh of volume is worth the bonus: the tolerance lies below half of it.
        assert ours == pytest.approx(optimum.welfare_pico, rel=1e-9, abs=BONUS / 4)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_plain_auction_reaches_the_optimum_of_highs(chunk: int) -> None:
    rng = np.random.default_rng((2, chunk))
    alone = MarketTree(np.array([-1]), *(np.zeros(1, dtype=np.int64) for _ in range(3)))
    for _ in range(INSTANCES // CHUNKS):
        orders, node = random_orders(rng, 1)
        fee = int(rng.choice([0, 0, 1, 7]))
        result = auction.clear(orders, fee)
        sign = np.where(orders.is_buy, 1, -1)
        welfare = int(((sign * orders.limit_micro_per_kwh - fee) * result.fills_milli_wh).sum())
        optimum = solve(orders, node, alone, fee, BONUS)
        assert optimum is not None
        ours = welfare + BONUS * result.volume_milli_wh
        assert ours == pytest.approx(optimum.welfare_pico, rel=1e-9, abs=BONUS / 4)
