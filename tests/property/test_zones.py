"""Rounds by price zones: capacities over all rounds, nobody's limit broken, and chunks that the contract takes."""

from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import auction
from market.chunks import Chunk, Fill, RoundFills, plan_chunks
from market.errors import BookInconsistent
from market.ledger import FEES, GRID, AccountState
from market.network_auction_tree import MarketTree
from market.orders import Order, OrderArrays
from market.settlement import Ledger, Terms, settle
from market.zones import Zoning, clear, remaining

FEE, T = 7, 1_000
AMPLE = 2**50
NOBODY = np.zeros(0, np.int64)


def tree_of(parent, imports, exports, fees) -> MarketTree:
    return MarketTree(*(np.array(column, np.int64) for column in (parent, imports, exports, fees)))


@st.composite
def trees(draw):
    n = draw(st.integers(1, 6))
    parent = [-1, *(draw(st.integers(0, row - 1)) for row in range(1, n))]
    caps = st.sampled_from([0, 1, 40, 300, AMPLE])
    edges = [
        draw(st.lists(kind, min_size=n, max_size=n)) for kind in (caps, caps, st.sampled_from([0, 0, 5]))
    ]
    return tree_of(parent, *edges)


@st.composite
def books(draw, n_accounts):
    n = draw(st.integers(0, 25))
    column = lambda kind: np.array(draw(st.lists(kind, min_size=n, max_size=n)))  # noqa: E731
    return OrderArrays(
        account=np.arange(n, dtype=np.int64) % n_accounts + 2,
        is_buy=column(st.booleans()).astype(np.bool_),
        quantity_milli_wh=column(st.integers(1, 200)).astype(np.int64),
        limit_micro_per_kwh=column(st.integers(-60, 100)).astype(np.int64),
    )


@st.composite
def days(draw):
    tree, n_accounts = draw(trees()), 6
    zone = draw(st.lists(st.integers(0, tree.n_nodes - 1), min_size=n_accounts, max_size=n_accounts))
    zoning = Zoning(np.arange(2, n_accounts + 2), np.array(zone, np.int64), tree)
    return zoning, draw(st.lists(books(n_accounts), min_size=1, max_size=4))


def subtree_flows(tree, net):
    flow = net.copy()
    for row in range(tree.n_nodes - 1, 0, -1):
        flow[tree.parent[row]] += flow[row]
    return flow


@settings(deadline=None)
@given(days(), st.integers(2, 9))
def test_rounds_keep_capacities_and_limits_and_settle_in_any_cut(day, most):
    zoning, rounds = day
    tree = zoning.tree
    ledger = Ledger(Terms(fee_micro_per_kwh=FEE))
    for account, zone in zip(zoning.account.tolist(), zoning.zone.tolist(), strict=True):
        ledger.accounts[account] = AccountState(
            balance_pico=10**12, epoch=1, is_metered=True, zone=zone, capacity_milli_wh=2**39 - 1, read=T - 1
        )
    net, sequence = np.zeros(tree.n_nodes, np.int64), 0
    volume = 0
    for number, book in enumerate(rounds):
        result = clear(book, FEE, zoning, net)
        net = net + result.net_export_milli_wh
        volume += result.volume_milli_wh
        flow = subtree_flows(tree, net)
        assert flow[0] == 0
        assert (flow[1:] <= tree.export_cap_milli_wh[1:]).all()
        assert (flow[1:] >= -tree.import_cap_milli_wh[1:]).all()
        rows = np.flatnonzero(result.fills_milli_wh)
        for row in rows.tolist():
            price, limit = result.price_of(row), int(book.limit_micro_per_kwh[row])
            assert price + FEE <= limit if book.is_buy[row] else price - FEE >= limit
        prices = tuple(price or 0 for price in result.prices_micro_per_kwh)
        assert (result.volume_milli_wh > 0) == (None not in result.prices_micro_per_kwh)
        sold = np.where(book.is_buy, -result.fills_milli_wh, result.fills_milli_wh)[rows]
        fills = RoundFills(
            number,
            book.account[rows],
            sold,
            np.array([result.price_of(row) for row in rows.tolist()], np.int64),
        )
        for plan in plan_chunks([fills], NOBODY, max_fills=most):
            parts = [
                part_of(book, int(rows[row]), number, quantity)
                for row, quantity in zip(plan.rows.tolist(), plan.quantity_milli_wh.tolist(), strict=True)
            ]
            settle(ledger, Chunk(sequence, T, number, prices, parts), (T + 1) * 900)
            sequence += 1
    assert ledger.accounts[FEES].balance_pico == 2 * volume * FEE
    assert ledger.accounts[GRID].balance_pico >= 0
    assert ledger.held_pico() == 10**12 * zoning.account.size


def part_of(book, row, number, quantity):
    # a lane an order, as far as an account has lanes: rounds have lanes of their own
    account, is_buy = int(book.account[row]), bool(book.is_buy[row])
    lane = 8 * number + int((book.account[:row] == account).sum()) % 8
    whole, limit = int(book.quantity_milli_wh[row]), int(book.limit_micro_per_kwh[row])
    order = Order(account, 1, is_buy, lane, T, T, whole, limit)
    return Fill(order, sha256(repr((order, row)).encode()).digest(), quantity)


@given(books(6))
def test_ample_zones_without_fees_are_one_price(book):
    ample = tree_of([-1, 0, 1], [AMPLE] * 3, [AMPLE] * 3, [0] * 3)
    zoning = Zoning(np.arange(2, 8), np.array([0, 1, 2, 0, 1, 2]), ample)
    plain, zoned = auction.clear(book, FEE), clear(book, FEE, zoning)
    assert zoned.fills_milli_wh.tolist() == plain.fills_milli_wh.tolist()
    if plain.volume_milli_wh:
        assert set(zoned.prices_micro_per_kwh) == {plain.price_micro_per_kwh}
    alone = clear(book, FEE)
    assert alone.prices_micro_per_kwh == (plain.price_micro_per_kwh,)
    assert alone.fills_milli_wh.tolist() == plain.fills_milli_wh.tolist()


def test_what_flows_one_way_makes_room_the_other_way():
    tree = tree_of([-1, 0, 1], [0, 100, 50], [0, 80, 60], [0, 0, 0])
    left = remaining(tree, np.array([-30, 10, 20]))
    assert left.export_cap_milli_wh.tolist()[1:] == [80 - 30, 60 - 20]
    assert left.import_cap_milli_wh.tolist()[1:] == [100 + 30, 50 + 20]


def test_an_account_without_a_zone_is_refused():
    zoning = Zoning(np.array([2, 3]), np.array([0, 0]), tree_of([-1], [0], [0], [0]))
    with pytest.raises(BookInconsistent, match="without a zone"):
        zoning.of(np.array([2, 4]))
    assert zoning.net_export({3: -5, 2: 9}).tolist() == [4]
