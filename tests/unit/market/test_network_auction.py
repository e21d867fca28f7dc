"""The auction on a radial network: hand-made networks, refusals, and equality with the plain auction."""

import numpy as np
import pytest
from numpy.typing import NDArray

from market import auction
from market.auction import PriceRule
from market.errors import BookInconsistent, InfeasibleNetwork
from market.network_auction import MarketTree, NetworkResult, clear
from market.network_auction_certificate import violations, welfare_pico
from market.network_auction_tree import depths, lay_out, path_fees, subtree_sums
from market.orders import OrderArrays

BUY, SELL = True, False
AMPLE = 10**9


def tree_of(parent: list[int], cap: int | list[int] = AMPLE, fee: int | list[int] = 0) -> MarketTree:
    n = len(parent)
    caps = np.full(n, cap, dtype=np.int64) if isinstance(cap, int) else np.array(cap, dtype=np.int64)
    fees = np.full(n, fee, dtype=np.int64) if isinstance(fee, int) else np.array(fee, dtype=np.int64)
    return MarketTree(np.array(parent, dtype=np.int64), caps, caps.copy(), fees)


def book(*rows: tuple[bool, int, int, int]) -> tuple[OrderArrays, NDArray[np.int64]]:
    """Return orders and nodes of rows (side, quantity, limit, node)."""
    orders = OrderArrays(
        account=np.arange(2, 2 + len(rows)),
        is_buy=np.array([row[0] for row in rows], dtype=np.bool_),
        quantity_milli_wh=np.array([row[1] for row in rows], dtype=np.int64),
        limit_micro_per_kwh=np.array([row[2] for row in rows], dtype=np.int64),
    )
    return orders, np.array([row[3] for row in rows], dtype=np.int64)


def proven(
    orders: OrderArrays,
    node: NDArray[np.int64],
    tree: MarketTree,
    fee: int = 0,
    rule: PriceRule = PriceRule.MID,
) -> NetworkResult:
    """Clear and require the certificate of optimality."""
    result = clear(orders, node, tree, fee, rule)
    assert violations(orders, node, tree, result) == []
    return result


# Two homes under a transformer (node 0): the sun shines at home 1, home 2 consumes.
TWO_HOMES = [-1, 0, 0]


def test_a_full_cable_splits_the_price_and_the_difference_is_rent() -> None:
    orders, node = book((SELL, 100, 10, 1), (BUY, 100, 50, 2), (SELL, 100, 40, 2))
    result = proven(orders, node, tree_of(TWO_HOMES, cap=[0, 30, AMPLE]))
    assert result.fills_milli_wh.tolist() == [30, 100, 70]
    assert result.flows_milli_wh.tolist() == [0, 30, -30]
    assert result.prices_micro_per_kwh.tolist() == [40, 10, 40]
    assert result.congestion_rent_pico == 30 * (40 - 10)
    assert result.grid_fees_pico == 0


def test_a_grid_fee_is_paid_by_what_crosses_and_by_nothing_else() -> None:
    orders, node = book((SELL, 50, 10, 1), (BUY, 30, 60, 1), (BUY, 20, 50, 2))
    result = proven(orders, node, tree_of(TWO_HOMES, fee=[0, 5, 7]))
    assert result.fills_milli_wh.tolist() == [50, 30, 20]
    assert result.grid_fees_pico == 20 * (5 + 7)
    price = result.prices_micro_per_kwh
    assert price[2] - price[1] == 12
    assert result.congestion_rent_pico == 0


def test_a_fee_above_the_gain_stops_the_trade() -> None:
    orders, node = book((SELL, 50, 10, 1), (BUY, 50, 20, 2))
    assert proven(orders, node, tree_of(TWO_HOMES, fee=[0, 5, 5])).volume_milli_wh == 50
    idle = proven(orders, node, tree_of(TWO_HOMES, fee=[0, 5, 6]))
    assert idle.volume_milli_wh == 0
    assert not idle.is_binding.any()


def test_buyers_total_and_sellers_net_are_visible_per_node() -> None:
    orders, node = book((SELL, 50, 10, 1), (BUY, 50, 100, 2))
    result = proven(orders, node, tree_of(TWO_HOMES, fee=[0, 5, 6]), fee=3)
    total = result.buyer_total_micro_per_kwh[2]
    net = result.seller_net_micro_per_kwh[1]
    assert total <= 100 and net >= 10
    assert total - net == 5 + 6 + 2 * 3


def test_the_supplier_is_two_large_orders_at_the_root() -> None:
    supplier = ((SELL, AMPLE, 300, 0), (BUY, AMPLE, 80, 0))
    orders, node = book(*supplier, (SELL, 500, 60, 1), (BUY, 200, 290, 2))
    result = proven(orders, node, tree_of(TWO_HOMES))
    assert result.fills_milli_wh.tolist() == [0, 300, 500, 200]
    assert set(result.prices_micro_per_kwh.tolist()) == {80}


def test_an_island_behind_a_cable_without_capacity_clears_alone() -> None:
    orders, node = book((SELL, 10, 5, 1), (BUY, 10, 9, 1), (SELL, 10, 50, 2), (BUY, 10, 90, 2))
    result = proven(orders, node, tree_of(TWO_HOMES, cap=0))
    assert result.volume_milli_wh == 20
    assert 5 <= result.prices_micro_per_kwh[1] <= 9
    assert 50 <= result.prices_micro_per_kwh[2] <= 90


def test_the_margin_between_homes_is_shared_in_proportion() -> None:
    orders, node = book((SELL, 10, 5, 1), (SELL, 20, 5, 2), (BUY, 15, 9, 0))
    result = proven(orders, node, tree_of(TWO_HOMES, cap=[0, 19, 29], fee=[0, 1, 1]))
    assert result.fills_milli_wh.tolist() == [5, 10, 15]


def test_the_highest_offers_fee_is_not_charged_to_everybody() -> None:
    """A peer charges every trade the grid fee of the dearest offer; here each path pays its own."""
    orders, node = book((SELL, 10, 5, 1), (SELL, 10, 5, 2), (BUY, 20, 99, 0))
    result = proven(orders, node, tree_of(TWO_HOMES, fee=[0, 1, 40]))
    assert result.grid_fees_pico == 10 * 1 + 10 * 40
    assert result.prices_micro_per_kwh[1] - result.prices_micro_per_kwh[2] == 39


def test_negative_prices_cross_a_network() -> None:
    orders, node = book((SELL, 10, -90, 1), (BUY, 4, -20, 2))
    result = proven(orders, node, tree_of(TWO_HOMES, fee=[0, 7, 7]))
    assert result.fills_milli_wh.tolist() == [4, 4]
    assert result.prices_micro_per_kwh[1] == -90


def test_numbers_of_nodes_may_stand_in_any_order() -> None:
    straight = tree_of([-1, 0, 1, 2], cap=[0, 30, 20, 10], fee=[0, 1, 2, 3])
    mixed = MarketTree(
        np.array([3, 0, -1, 2]),
        *(
            np.array([a[2], a[3], a[0], a[1]])
            for a in (straight.import_cap_milli_wh, straight.export_cap_milli_wh, straight.fee_micro_per_kwh)
        ),
    )
    renumbered = np.array([2, 3, 0, 1])
    orders, node = book((SELL, 9, 10, 3), (SELL, 30, 20, 2), (BUY, 25, 60, 1), (BUY, 9, 50, 0))
    one, two = proven(orders, node, straight), proven(orders, renumbered[node], mixed)
    assert one.fills_milli_wh.tolist() == two.fills_milli_wh.tolist()
    assert one.prices_micro_per_kwh.tolist() == two.prices_micro_per_kwh[renumbered].tolist()
    assert one.flows_milli_wh.tolist() == two.flows_milli_wh[renumbered].tolist()


@pytest.mark.parametrize("rule", list(PriceRule))
@pytest.mark.parametrize("fee", [0, 3])
def test_ample_capacities_and_no_grid_fees_give_the_plain_auction_bit_for_bit(
    rule: PriceRule, fee: int
) -> None:
    rng = np.random.default_rng(21 + fee)
    for _ in range(200):
        n, n_nodes = int(rng.integers(0, 40)), int(rng.integers(1, 15))
        orders = OrderArrays(
            np.arange(n), rng.random(n) < rng.random(), rng.integers(0, 30, n), rng.integers(-9, 10, n)
        )
        parent = [-1] + [int(rng.integers(0, child)) for child in range(1, n_nodes)]
        node = rng.integers(0, n_nodes, n)
        tree = tree_of(parent, cap=int(orders.quantity_milli_wh.sum()))
        plain, result = auction.clear(orders, fee, rule), proven(orders, node, tree, fee, rule)
        assert result.fills_milli_wh.tobytes() == plain.fills_milli_wh.tobytes()
        assert result.volume_milli_wh == plain.volume_milli_wh
        assert len(set(result.prices_micro_per_kwh.tolist())) == 1
        if plain.price_micro_per_kwh is not None:
            assert result.prices_micro_per_kwh[0] == plain.price_micro_per_kwh
        assert result.grid_fees_pico == result.congestion_rent_pico == 0


def test_a_path_of_a_thousand_nodes_clears() -> None:
    rng = np.random.default_rng(8)
    n_nodes, n = 1_000, 5_000
    parent = np.arange(n_nodes) - 1
    caps = rng.integers(0, 40_000, n_nodes)
    tree = MarketTree(parent, caps, caps[::-1].copy(), rng.integers(0, 3, n_nodes))
    orders = OrderArrays(
        np.arange(n), rng.random(n) < 0.5, rng.integers(0, 900, n), rng.integers(-500, 500, n)
    )
    assert proven(orders, rng.integers(0, n_nodes, n), tree).volume_milli_wh > 0


def test_prices_over_the_whole_range_and_large_quantities_stay_exact() -> None:
    rng = np.random.default_rng(9)
    n = 300
    top = 2**38 - 1
    orders = OrderArrays(
        np.arange(n), rng.random(n) < 0.5, rng.integers(0, 2**39, n), rng.integers(-top, top, n)
    )
    tree = MarketTree(
        np.array([-1, 0, 0, 1, 1, 2, 2]),
        *(rng.integers(0, 2**43, 7) for _ in range(2)),
        rng.integers(0, 2**36, 7),
    )
    result = proven(orders, rng.integers(0, 7, n), tree)
    assert result.congestion_rent_pico > 2**63
    assert welfare_pico(orders, result) > result.congestion_rent_pico


def test_an_empty_book_leaves_the_network_idle() -> None:
    orders, node = book()
    result = proven(orders, node, tree_of(TWO_HOMES, cap=5, fee=5))
    assert result.volume_milli_wh == 0
    assert result.flows_milli_wh.tolist() == [0, 0, 0]


def test_the_certificate_tells_what_is_wrong() -> None:
    orders, node = book((SELL, 100, 10, 1), (BUY, 100, 50, 2), (SELL, 100, 40, 2))
    tree = tree_of(TWO_HOMES, cap=[0, 30, AMPLE])
    result = clear(orders, node, tree)
    result.prices_micro_per_kwh[2] += 20
    told = " ".join(violations(orders, node, tree, result))
    assert "a buyer pays more than its limit" in told
    assert "rent is" in told
    result = clear(orders, node, tree)
    result.fills_milli_wh[0] += 1
    assert "energy is not conserved" in violations(orders, node, tree, result)[0]
    result = clear(orders, node, tree)
    result.flows_milli_wh[1:] += (1, -1)
    told = " ".join(violations(orders, node, tree, result))
    assert "exports more than its capacity" in told


@pytest.mark.parametrize(
    ("parent", "message"),
    [
        ([0, 1], "2 roots"),
        ([-1, 2, 1], "circle"),
        ([1, 2, 0], "0 roots"),
        ([-1, 7], "parent of node 1 is 7"),
        ([-1, -1], "2 roots"),
        ([], "need one row"),
    ],
)
def test_what_is_no_tree_is_refused(parent: list[int], message: str) -> None:
    with pytest.raises(InfeasibleNetwork, match=message):
        tree_of(parent)


def test_negative_capacities_and_fees_and_wrong_lengths_are_refused() -> None:
    zero = np.zeros(2, dtype=np.int64)
    parent = np.array([-1, 0])
    with pytest.raises(InfeasibleNetwork, match="import_cap_milli_wh is -1 at node 1"):
        MarketTree(parent, np.array([0, -1]), zero, zero)
    with pytest.raises(InfeasibleNetwork, match="export_cap_milli_wh is -2 at node 0"):
        MarketTree(parent, zero, np.array([-2, 0]), zero)
    with pytest.raises(InfeasibleNetwork, match="fee_micro_per_kwh is -3"):
        MarketTree(parent, zero, zero, np.array([0, -3]))
    with pytest.raises(InfeasibleNetwork, match="shape"):
        MarketTree(parent, zero, zero, np.zeros(3, dtype=np.int64))


def test_orders_that_do_not_fit_the_network_are_refused() -> None:
    orders, node = book((SELL, 1, 1, 5))
    with pytest.raises(BookInconsistent, match="node is 5 in row 0"):
        clear(orders, node, tree_of(TWO_HOMES))
    with pytest.raises(BookInconsistent, match="node has shape"):
        clear(orders, node[:0], tree_of(TWO_HOMES))
    with pytest.raises(ValueError, match="fee_micro_per_kwh is -1"):
        clear(orders, np.array([1]), tree_of(TWO_HOMES), -1)
    orders, node = book((SELL, 2**52, 1, 0), (BUY, 2**52, 1, 0))
    with pytest.raises(BookInconsistent, match="sums to 9007199254740992"):
        clear(orders, node, tree_of(TWO_HOMES))


def test_keys_that_no_code_can_number_are_refused() -> None:
    orders, node = book((SELL, 1, -(2**60), 1), (BUY, 1, 2**60, 2))
    with pytest.raises(InfeasibleNetwork, match="do not fit 62 bits"):
        clear(orders, node, tree_of(TWO_HOMES, cap=0))


def test_depth_layout_and_subtree_sums_of_a_small_tree() -> None:
    parent = np.array([2, 0, -1, 2, 0])
    assert depths(parent).tolist() == [1, 2, 0, 1, 2]
    layout = lay_out(parent)
    assert layout.node_at.tolist() == [2, 0, 3, 1, 4]
    assert layout.border.tolist() == [0, 1, 3, 5]
    sums = subtree_sums(layout, np.array([1, 10, 100, 1_000, 10_000])[layout.node_at])
    assert sums[layout.position].tolist() == [10_011, 10, 11_111, 1_000, 10_000]


def test_the_grid_fee_of_a_path_is_told_before_an_order_is_given() -> None:
    # 0 is the town; 1 and 2 streets; 3, 4 homes of street 1; 5 a home of street 2.
    tree = tree_of([-1, 0, 0, 1, 1, 2], fee=[99, 10, 20, 1, 2, 4])
    seller, buyer = np.array([3, 3, 3, 0, 5]), np.array([3, 4, 5, 3, 0])
    assert path_fees(tree, seller, buyer).tolist() == [0, 3, 35, 11, 24]
    assert path_fees(tree, buyer, seller).tolist() == [0, 3, 35, 11, 24]
    with pytest.raises(InfeasibleNetwork, match="outside the nodes"):
        path_fees(tree, np.array([6]), np.array([0]))
    # Where nothing is full the cleared prices differ by exactly that.
    orders, node = book((SELL, 10, 5, 3), (BUY, 10, 99, 5))
    price = proven(orders, node, tree).prices_micro_per_kwh
    assert price[5] - price[3] == 35
