"""The call auction against brute force over single units, hand-made books and the faults of peers."""

import numpy as np
import pytest

from market import auction
from market.auction import PriceRule, clear
from market.errors import BookInconsistent
from market.orders import OrderArrays

BUY, SELL = True, False


def book(*rows: tuple[bool, int, int], account: list[int] | None = None) -> OrderArrays:
    """Build a book from (is_buy, quantity, limit) rows."""
    return OrderArrays(
        account=np.array(account if account is not None else range(2, 2 + len(rows)), dtype=np.int64),
        is_buy=np.array([row[0] for row in rows], dtype=np.bool_),
        quantity_milli_wh=np.array([row[1] for row in rows], dtype=np.int64),
        limit_micro_per_kwh=np.array([row[2] for row in rows], dtype=np.int64),
    )


def random_book(rng: np.random.Generator, n: int, span: int, top: int) -> OrderArrays:
    share = rng.choice([0.0, 0.2, 0.5, 0.8, 1.0])
    return OrderArrays(
        account=np.arange(2, 2 + n),
        is_buy=rng.random(n) < share,
        quantity_milli_wh=rng.integers(0, top, n),
        limit_micro_per_kwh=rng.integers(-span, span + 1, n),
    )


def unit_matching(orders: OrderArrays, fee: int) -> tuple[int, int]:
    """Return greatest volume and welfare by matching single units, dearest bid with cheapest offer."""
    buy = orders.is_buy
    bids = np.sort(np.repeat(orders.limit_micro_per_kwh[buy] - fee, orders.quantity_milli_wh[buy]))[::-1]
    offers = np.sort(np.repeat(orders.limit_micro_per_kwh[~buy] + fee, orders.quantity_milli_wh[~buy]))
    n = min(bids.size, offers.size)
    gain = bids[:n] - offers[:n]
    return int((gain >= 0).sum()), int(gain[gain >= 0].sum())


def check_exact(orders: OrderArrays, fee: int, result: auction.AuctionResult) -> None:
    """Check energy, limits and that nobody with a better limit is left out, at both ends of the interval."""
    fills, quantity, buy = result.fills_milli_wh, orders.quantity_milli_wh, orders.is_buy
    net = np.where(buy, orders.limit_micro_per_kwh - fee, orders.limit_micro_per_kwh + fee)
    assert np.all((fills >= 0) & (fills <= quantity))
    assert int(fills[buy].sum()) == int(fills[~buy].sum()) == result.volume_milli_wh
    for price in {result.low_micro_per_kwh, result.high_micro_per_kwh, result.price_micro_per_kwh} - {None}:
        assert np.all(net[buy & (fills > 0)] >= price)
        assert np.all(net[~buy & (fills > 0)] <= price)
        assert np.all((fills == quantity)[buy & (net > price)])
        assert np.all((fills == quantity)[~buy & (net < price)])


@pytest.mark.parametrize("span", [1, 8, 300, 10**5, 2**37])
def test_random_books_reach_the_welfare_and_volume_of_unit_matching(span: int) -> None:
    rng = np.random.default_rng(span)
    for _ in range(400):
        orders = random_book(rng, int(rng.integers(0, 14)), span, 9)
        fee = int(rng.choice([0, 0, 1, span // 3]))
        result = clear(orders, fee)
        volume, welfare = unit_matching(orders, fee)
        assert result.volume_milli_wh == volume
        net = np.where(orders.is_buy, orders.limit_micro_per_kwh - fee, -orders.limit_micro_per_kwh - fee)
        assert int((net * result.fills_milli_wh).sum()) == welfare
        check_exact(orders, fee, result)


def test_the_price_is_the_middle_of_the_crossing_interval_rounded_down() -> None:
    orders = book((BUY, 5, 105), (SELL, 5, 100))
    result = clear(orders)
    assert (result.low_micro_per_kwh, result.high_micro_per_kwh) == (100, 105)
    assert result.price_micro_per_kwh == 102
    assert clear(orders, price_rule=PriceRule.LOW).price_micro_per_kwh == 100
    assert clear(orders, price_rule=PriceRule.HIGH).price_micro_per_kwh == 105


def test_a_negative_middle_is_rounded_down_too() -> None:
    assert clear(book((BUY, 5, -100), (SELL, 5, -105))).price_micro_per_kwh == -103


def test_a_price_of_zero_and_negative_prices_are_ordinary() -> None:
    assert clear(book((BUY, 5, 0), (SELL, 5, 0))).price_micro_per_kwh == 0
    result = clear(book((BUY, 5, -30), (SELL, 7, -50)))
    assert result.price_micro_per_kwh == -50
    assert result.fills_milli_wh.tolist() == [5, 5]


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_one_sided_book_has_no_price_and_no_volume(side: bool) -> None:
    result = clear(book((side, 5, 10), (side, 3, 12)))
    assert result.price_micro_per_kwh is None
    assert result.volume_milli_wh == 0
    assert result.fills_milli_wh.tolist() == [0, 0]
    bound = (result.low_micro_per_kwh, result.high_micro_per_kwh)
    assert bound == ((12, None) if side is BUY else (None, 10))


def test_orders_of_quantity_zero_make_no_side() -> None:
    result = clear(book((BUY, 5, 10), (SELL, 0, 2)))
    assert result.price_micro_per_kwh is None
    assert clear(book((BUY, 0, 10), (SELL, 0, 2))).low_micro_per_kwh is None


def test_an_empty_book_clears_to_nothing() -> None:
    result = clear(book())
    assert result.price_micro_per_kwh is None
    assert result.volume_milli_wh == 0
    assert result.fills_milli_wh.size == 0


def test_a_book_that_does_not_cross_has_an_indicative_price_between_best_bid_and_best_offer() -> None:
    result = clear(book((BUY, 5, 10), (BUY, 5, 9), (SELL, 4, 20), (SELL, 4, 25)))
    assert (result.low_micro_per_kwh, result.price_micro_per_kwh, result.high_micro_per_kwh) == (10, 15, 20)
    assert result.volume_milli_wh == 0


def test_the_marginal_tier_is_shared_pro_rata_by_largest_remainder() -> None:
    # 10 units for offers of 9, 18 and 23: quotas 1.8, 3.6, 4.6, floors 1, 3, 4, then one each to rows 0, 1.
    result = clear(book((SELL, 9, 5), (SELL, 18, 5), (SELL, 23, 5), (BUY, 10, 8)))
    assert result.fills_milli_wh.tolist() == [2, 4, 4, 10]
    assert result.price_micro_per_kwh == 5


def test_a_tie_of_remainders_goes_to_the_earlier_row() -> None:
    assert clear(book((BUY, 5, 7), (BUY, 5, 7), (SELL, 5, 3))).fills_milli_wh.tolist() == [3, 2, 5]


def test_all_orders_at_one_price_trade_everything_they_can() -> None:
    result = clear(book((BUY, 4, 7), (SELL, 3, 7), (BUY, 2, 7), (SELL, 3, 7)))
    assert result.volume_milli_wh == 6
    assert result.price_micro_per_kwh == 7


def test_the_fee_keeps_every_all_in_limit() -> None:
    orders = book((BUY, 5, 110), (SELL, 5, 100))
    result = clear(orders, 5)
    assert result.volume_milli_wh == 5
    assert result.price_micro_per_kwh == 105
    assert clear(orders, 6).volume_milli_wh == 0


def test_a_negative_fee_is_refused() -> None:
    with pytest.raises(ValueError, match="fee_micro_per_kwh is -1"):
        clear(book((BUY, 5, 110)), -1)


def test_a_book_too_large_for_64_bits_is_refused() -> None:
    with pytest.raises(BookInconsistent, match="sums to 4611686018427387904 mWh"):
        clear(book((BUY, 2**61, 1), (SELL, 2**61, 1)))


def test_books_beyond_the_exact_range_of_floats_stay_exact() -> None:
    top = 2**39 - 1
    n = 40_000  # sums to 2**54 mWh
    rng = np.random.default_rng(3)
    orders = OrderArrays(
        account=np.arange(n),
        is_buy=rng.random(n) < 0.5,
        quantity_milli_wh=top - rng.integers(0, 9, n),
        limit_micro_per_kwh=rng.integers(0, 50, n),
    )
    result = clear(orders)
    assert result.volume_milli_wh > 2**52
    check_exact(orders, 0, result)


def test_wide_prices_take_the_same_cut_as_narrow_ones() -> None:
    # Same ranks, stretched: an outlier far away forces the coarse buckets and their refinement.
    rng = np.random.default_rng(4)
    narrow = random_book(rng, 2_000, 900, 50)
    for factor in (10**3, 10**6):
        wide = OrderArrays(
            narrow.account, narrow.is_buy, narrow.quantity_milli_wh, narrow.limit_micro_per_kwh * factor
        )
        assert np.array_equal(clear(wide).fills_milli_wh, clear(narrow).fills_milli_wh)
        assert clear(wide).low_micro_per_kwh == clear(narrow).low_micro_per_kwh * factor  # type: ignore[operator]


# Faults of peers -------------------------------------------------------------------------------------------


def test_two_equal_offers_of_one_owner_are_both_served() -> None:
    """A periodic double auction that keys its book by owner and price drops one of them."""
    result = clear(book((SELL, 5, 10), (SELL, 5, 10), (BUY, 10, 12), account=[2, 2, 3]))
    assert result.fills_milli_wh.tolist() == [5, 5, 10]


def test_trades_survive_when_prices_tie() -> None:
    """An auction that trades only strictly above the margin loses all of these."""
    result = clear(book((BUY, 5, 10), (BUY, 5, 10), (SELL, 5, 10), (SELL, 5, 10)))
    assert result.volume_milli_wh == 10


def test_the_whole_welfare_is_reached_where_pay_as_bid_matching_reaches_less_than_half() -> None:
    """Matching in arrival order gives the dear buyer nothing better and strands the cheap offer."""
    orders = book((BUY, 1, 11), (BUY, 1, 100), (SELL, 1, 1), (SELL, 1, 90))
    result = clear(orders)
    volume, welfare = unit_matching(orders, 0)
    assert (volume, welfare) == (1, 99)
    assert result.fills_milli_wh.tolist() == [0, 1, 1, 0]


def test_the_result_is_the_same_in_every_run() -> None:
    """Peers break ties at random; here the same book gives the same bytes."""
    rng = np.random.default_rng(6)
    orders = random_book(rng, 500, 3, 20)
    first = clear(orders)
    for _ in range(5):
        again = clear(orders)
        assert again.fills_milli_wh.tobytes() == first.fills_milli_wh.tobytes()
        assert again.price_micro_per_kwh == first.price_micro_per_kwh


def test_arrival_order_changes_nothing_but_the_tie_rule() -> None:
    rng = np.random.default_rng(7)
    for _ in range(100):
        orders = random_book(rng, 30, 5, 20)
        rows = rng.permutation(30)
        moved = OrderArrays(
            orders.account[rows],
            orders.is_buy[rows],
            orders.quantity_milli_wh[rows],
            orders.limit_micro_per_kwh[rows],
        )
        one, two = clear(orders), clear(moved)
        assert one.price_micro_per_kwh == two.price_micro_per_kwh
        assert one.volume_milli_wh == two.volume_milli_wh
        # Off the margin fills are equal; on it, equal up to the one unit of the tie rule.
        assert np.all(np.abs(one.fills_milli_wh[rows] - two.fills_milli_wh) <= 1)
