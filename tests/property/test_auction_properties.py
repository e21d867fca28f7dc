"""What holds for every book in the plain auction: limits, balance, monotony, and the tie rule alone."""

import os
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from market.auction import AuctionResult, PriceRule, clear
from market.orders import OrderArrays

EXAMPLES = 10_000 if os.environ.get("SYMGRID_TEST_PROFILE") == "nightly" else 1_000
ROW = st.tuples(st.booleans(), st.integers(0, 40), st.integers(-12, 12))
BOOK = st.lists(ROW, max_size=14)
FEE = st.integers(0, 3)
RULE = st.sampled_from(PriceRule)


def book(rows: list[tuple[bool, int, int]]) -> OrderArrays:
    columns = np.array([(int(buy), quantity, limit) for buy, quantity, limit in rows]).reshape(-1, 3)
    return OrderArrays(
        account=np.arange(2, 2 + len(rows)),
        is_buy=columns[:, 0].astype(np.bool_),
        quantity_milli_wh=columns[:, 1].astype(np.int64),
        limit_micro_per_kwh=columns[:, 2].astype(np.int64),
    )


def gain(orders: OrderArrays, result: AuctionResult, fee: int) -> int:
    sign = np.where(orders.is_buy, 1, -1)
    return int(((sign * orders.limit_micro_per_kwh - fee) * result.fills_milli_wh).sum())


@settings(max_examples=EXAMPLES, deadline=None)
@given(BOOK, FEE, RULE)
def test_nobody_loses_energy_and_money_balance_and_nobody_regrets(
    rows: list[tuple[bool, int, int]], fee: int, rule: PriceRule
) -> None:
    orders = book(rows)
    result = clear(orders, fee, rule)
    fills, buy, limit = result.fills_milli_wh, orders.is_buy, orders.limit_micro_per_kwh
    assert np.all((fills >= 0) & (fills <= orders.quantity_milli_wh))
    assert int(fills[buy].sum()) == int(fills[~buy].sum()) == result.volume_milli_wh
    price = result.price_micro_per_kwh
    if price is None:
        assert result.volume_milli_wh == 0
        return
    total, net = price + fee, price - fee
    assert np.all(limit[buy & (fills > 0)] >= total)
    assert np.all(limit[~buy & (fills > 0)] <= net)
    left = fills < orders.quantity_milli_wh
    assert np.all(limit[buy & left] <= total)
    assert np.all(limit[~buy & left] >= net)
    # Buyers pay what sellers receive and both fees, nothing is left over.
    paid, received = total * int(fills[buy].sum()), net * int(fills[~buy].sum())
    assert paid - received == 2 * fee * result.volume_milli_wh


@settings(max_examples=EXAMPLES, deadline=None)
@given(BOOK, ROW, FEE, RULE)
def test_a_further_order_helps_its_counterparts_and_never_the_welfare_of_none(
    rows: list[tuple[bool, int, int]], more: tuple[bool, int, int], fee: int, rule: PriceRule
) -> None:
    before, after = book(rows), book([*rows, more])
    old, new = clear(before, fee, rule), clear(after, fee, rule)
    assert gain(after, new, fee) >= gain(before, old, fee)
    if old.price_micro_per_kwh is not None and new.price_micro_per_kwh is not None and more[1] > 0:
        rise = new.price_micro_per_kwh - old.price_micro_per_kwh
        assert rise >= 0 if more[0] else rise <= 0


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=14), st.data(), FEE)
def test_a_better_limit_never_gets_less(
    rows: list[tuple[bool, int, int]], data: st.DataObject, fee: int
) -> None:
    row = data.draw(st.integers(0, len(rows) - 1))
    step = data.draw(st.integers(1, 15))
    orders = book(rows)
    limit = orders.limit_micro_per_kwh.copy()
    limit[row] += step if rows[row][0] else -step
    better = clear(replace(orders, limit_micro_per_kwh=limit), fee)
    assert better.fills_milli_wh[row] >= clear(orders, fee).fills_milli_wh[row]


@settings(max_examples=EXAMPLES, deadline=None)
@given(BOOK.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(range(len(rows))))), FEE, RULE)
def test_the_order_of_rows_decides_nothing_but_single_units_on_the_margin(
    case: tuple[list[tuple[bool, int, int]], list[int]], fee: int, rule: PriceRule
) -> None:
    rows, moved = case
    one, two = clear(book(rows), fee, rule), clear(book([rows[row] for row in moved]), fee, rule)
    assert one.price_micro_per_kwh == two.price_micro_per_kwh
    assert one.volume_milli_wh == two.volume_milli_wh
    index = np.array(moved, dtype=np.int64)
    gap = np.abs(one.fills_milli_wh[index] - two.fills_milli_wh)
    assert np.all(gap <= 1)
    # Rows that differ stand at one limit on one side: the margin.
    margin = {(rows[row][0], rows[row][2]) for row in index[gap > 0].tolist()}
    assert len(margin) <= 1


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=14), st.data(), FEE)
def test_an_order_split_in_two_changes_neither_price_nor_volume(
    rows: list[tuple[bool, int, int]], data: st.DataObject, fee: int
) -> None:
    row = data.draw(st.integers(0, len(rows) - 1))
    buy, quantity, limit = rows[row]
    part = data.draw(st.integers(0, quantity))
    halves = [*rows[:row], (buy, part, limit), (buy, quantity - part, limit), *rows[row + 1 :]]
    one, two = clear(book(rows), fee), clear(book(halves), fee)
    assert one.price_micro_per_kwh == two.price_micro_per_kwh
    assert one.volume_milli_wh == two.volume_milli_wh
    # One identity made two gains at most the unit of a second remainder.
    assert abs(int(two.fills_milli_wh[row : row + 2].sum()) - int(one.fills_milli_wh[row])) <= 1


def check_against_sort(orders: OrderArrays, fee: int) -> None:
    """Compare a cleared book with its margin found by sorting all steps of supply."""
    result = clear(orders, fee)
    buy, quantity, fills = orders.is_buy, orders.quantity_milli_wh, result.fills_milli_wh
    net = orders.limit_micro_per_kwh + np.where(buy, -fee, fee)
    key = 2 * net + buy
    order = np.argsort(key, kind="stable")
    last = int(order[np.searchsorted(np.cumsum(quantity[order]), int(quantity[buy].sum()))])
    assert result.low_micro_per_kwh == net[last]
    off = key != key[last]
    assert np.array_equal(fills[off], np.where((key < key[last]) ^ buy, quantity, 0)[off])
    assert int(fills[buy].sum()) == int(fills[~buy].sum()) == result.volume_milli_wh
    on = fills[~off] / np.maximum(quantity[~off], 1)
    share = fills[~off].sum() / quantity[~off].sum()
    assert np.all(np.abs(on - share)[quantity[~off] > 0] * quantity[~off][quantity[~off] > 0] < 1 + 1e-3)


def test_a_large_book_is_cut_exactly_whatever_its_sample_sees() -> None:
    rng = np.random.default_rng(12)
    n = 2**18 + 4_321
    for span, top, share in ((50, 9, 0.5), (10**6, 5_000, 0.3), (1, 3, 0.5), (10**9, 2**39 - 1, 0.9)):
        orders = OrderArrays(
            np.arange(n), rng.random(n) < share, rng.integers(0, top, n), rng.integers(-span, span + 1, n)
        )
        for fee in (0, span // 7):
            check_against_sort(orders, fee)


def test_large_books_that_mislead_the_sample_are_cut_exactly_too() -> None:
    rng = np.random.default_rng(13)
    n = 2**18 + 77
    limit = np.sort(rng.integers(0, 10**5, n))
    orders = OrderArrays(np.arange(n), rng.random(n) < 0.5, rng.integers(1, 99, n), limit)
    check_against_sort(orders, 0)
    limit[3] = 2**38
    check_against_sort(orders, 11)
    # One price, but for the stride of rows that a strided sample sees.
    limit[:] = 500
    stride = slice(0, None, n // 2**16)
    limit[stride] = np.where(orders.is_buy[stride], 10, 20)
    check_against_sort(orders, 0)
    assert clear(orders).price_micro_per_kwh == 500
