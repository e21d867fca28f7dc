"""What holds for every network and book: limits, capacities, balance, rent, monotony, and the tie rule alone.

Every example is proved optimal by its certificate (`market.network_auction_certificate`): in exact integers,
nobody pays more than its limit, nobody regrets, no capacity is broken, energy and money balance and the rent
is never negative.
"""

import os
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from market.network_auction import MarketTree, clear
from market.network_auction_certificate import violations, welfare_pico
from market.orders import OrderArrays

EXAMPLES = 10_000 if os.environ.get("SYMGRID_TEST_PROFILE") == "nightly" else 1_000
MAX_NODES = 7
ROW = st.tuples(st.booleans(), st.integers(0, 30), st.integers(-12, 12), st.integers(0, MAX_NODES - 1))
# Parent (as a share of the nodes before), import capacity, export capacity, fee.
CAP = st.one_of(st.integers(0, 40), st.just(10**6))
NODE = st.tuples(st.integers(0, 10**6), CAP, CAP, st.one_of(st.integers(0, 4), st.just(10**5)))
TREE = st.lists(NODE, min_size=1, max_size=MAX_NODES)
BOOK = st.lists(ROW, max_size=14)
FEE = st.integers(0, 2)
Rows = list[tuple[bool, int, int, int]]
Nodes = list[tuple[int, int, int, int]]


def tree_of(nodes: Nodes) -> MarketTree:
    columns = np.array(nodes, dtype=np.int64)
    parent = np.array([-1] + [columns[child, 0] % child for child in range(1, len(nodes))], dtype=np.int64)
    return MarketTree(parent, columns[:, 1], columns[:, 2], columns[:, 3])


def book(rows: Rows, n_nodes: int) -> tuple[OrderArrays, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    columns = np.array([(int(buy), *rest) for buy, *rest in rows], dtype=np.int64).reshape(-1, 4)
    orders = OrderArrays(
        np.arange(2, 2 + len(rows)), columns[:, 0].astype(np.bool_), columns[:, 1], columns[:, 2]
    )
    return orders, columns[:, 3] % n_nodes


@settings(max_examples=EXAMPLES, deadline=None)
@given(TREE, BOOK, FEE)
def test_every_result_is_feasible_fair_and_optimal_by_its_certificate(
    nodes: Nodes, rows: Rows, fee: int
) -> None:
    tree = tree_of(nodes)
    orders, node = book(rows, len(nodes))
    result = clear(orders, node, tree, fee)
    assert violations(orders, node, tree, result) == []
    assert result.congestion_rent_pico >= 0
    assert result.grid_fees_pico >= 0


@settings(max_examples=EXAMPLES, deadline=None)
@given(TREE, st.lists(ROW, min_size=1, max_size=14), st.data(), FEE)
def test_a_better_limit_never_gets_less_and_more_network_never_costs_welfare(
    nodes: Nodes, rows: Rows, data: st.DataObject, fee: int
) -> None:
    tree = tree_of(nodes)
    orders, node = book(rows, len(nodes))
    before = clear(orders, node, tree, fee)
    row = data.draw(st.integers(0, len(rows) - 1))
    step = data.draw(st.integers(1, 15))
    limit = orders.limit_micro_per_kwh.copy()
    limit[row] += step if rows[row][0] else -step
    better = clear(replace(orders, limit_micro_per_kwh=limit), node, tree, fee)
    assert better.fills_milli_wh[row] >= before.fills_milli_wh[row]
    edge = data.draw(st.integers(0, len(nodes) - 1))
    wider = tree.export_cap_milli_wh.copy()
    wider[edge] += step
    more = clear(orders, node, replace(tree, export_cap_milli_wh=wider), fee)
    assert welfare_pico(orders, more) >= welfare_pico(orders, before)


@settings(max_examples=EXAMPLES, deadline=None)
@given(TREE, BOOK.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(range(len(rows))))), FEE)
def test_the_order_of_rows_decides_nothing_but_single_units_on_the_margin(
    nodes: Nodes, case: tuple[Rows, list[int]], fee: int
) -> None:
    rows, moved = case
    tree = tree_of(nodes)
    one = clear(*book(rows, len(nodes)), tree, fee)
    two = clear(*book([rows[row] for row in moved], len(nodes)), tree, fee)
    assert one.prices_micro_per_kwh.tolist() == two.prices_micro_per_kwh.tolist()
    assert one.volume_milli_wh == two.volume_milli_wh
    merged_ties = np.abs(one.flows_milli_wh - two.flows_milli_wh)
    gap = np.abs(one.fills_milli_wh[np.array(moved, dtype=np.int64)] - two.fills_milli_wh)
    assert np.all(gap <= 1)
    # Flows differ only where nodes were merged into one place, by the units of its tie rule.
    assert int(merged_ties.max()) <= len(rows)
