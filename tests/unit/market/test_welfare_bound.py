"""The bound by duality: by hand, met by every optimum at its own prices, and exceeded by nothing at any prices."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.network_auction_tree import MarketTree, lay_out, subtree_sums
from market.orders import OrderArrays
from market.welfare_bound import achieved_pico, bound_pico
from market.zones import Zoning, clear
from tests.unit.market.test_zone_flows import markets, tree


def orders(*rows: tuple[bool, int, int]) -> OrderArrays:
    """Rows of side, quantity, limit."""
    is_buy, quantity, limit = (np.array(column) for column in zip(*rows, strict=True))
    return OrderArrays(np.arange(len(rows)), is_buy.astype(bool), quantity, limit)


def test_one_zone_by_hand():
    book, here = orders((True, 10, 50), (False, 4, 20), (False, 9, 30)), np.zeros(3, np.int64)
    # at 30 with a fee of 2: the buyer would gain 18 a unit, the first seller 8, the second nothing
    assert bound_pico(book, here, [30], 2, None) == 10 * 18 + 4 * 8
    fills = np.array([10, 4, 6])
    # the second seller gains 30 - 2 - 30 < 0: it is better off without, and the bound says how much better
    assert achieved_pico(book, fills, 2, np.zeros(1, np.int64), None) == 10 * 48 - 4 * 22 - 6 * 32


def test_an_edge_by_hand():
    book, zone = orders((True, 10, 50), (False, 10, 20)), np.array([0, 1])
    network = tree([-1, 0], [0, 4], [0, 5])
    # 4 units cross at a fee of 5; at prices 50 and 20 traders gain nothing and the edge earns 25 a unit
    assert bound_pico(book, zone, [50, 20], 0, network) == 4 * 25
    assert achieved_pico(book, np.array([4, 4]), 0, np.array([0, 4]), network) == 4 * (50 - 20 - 5)


def flows_of(network: MarketTree, net: np.ndarray) -> np.ndarray:
    layout = lay_out(network.parent)
    return subtree_sums(layout, net[layout.node_at])[layout.position]


@given(markets(), st.integers(0, 5))
def test_every_result_meets_the_bound_at_its_own_prices(case: tuple[OrderArrays, Zoning], fee: int):
    book, zoning = case
    result = clear(book, fee, zoning)
    if not result.volume_milli_wh:
        return
    flows = flows_of(zoning.tree, result.net_export_milli_wh)
    achieved = achieved_pico(book, result.fills_milli_wh, fee, flows, zoning.tree)
    prices = [price for price in result.prices_micro_per_kwh if price is not None]
    bound = bound_pico(book, result.zone, prices, fee, zoning.tree)
    assert achieved <= bound
    # zones that nothing passes show indicative prices, which may leave the bound above the optimum
    if set(prices) == set(result.prices_micro_per_kwh) and np.all(flows[1:] != 0):
        assert achieved == bound


@given(markets(), st.integers(0, 5), st.lists(st.integers(-40, 110), min_size=5, max_size=5))
def test_no_prices_make_the_bound_smaller_than_what_was_achieved(case, fee, prices):
    book, zoning = case
    result = clear(book, fee, zoning)
    flows = flows_of(zoning.tree, result.net_export_milli_wh)
    achieved = achieved_pico(book, result.fills_milli_wh, fee, flows, zoning.tree)
    assert bound_pico(book, result.zone, prices, fee, zoning.tree) >= achieved
