"""Zones while nothing flows between some of them: an island clears among its own members."""

import numpy as np

from market.network_auction_tree import MarketTree
from market.orders import OrderArrays
from market.zones import Zoning, clear

ISLAND = 1 << 1


def zoning():
    tree = MarketTree(np.array([-1, 0]), np.array([1_000, 1_000]), np.array([1_000, 1_000]), np.array([0, 0]))
    return Zoning(np.array([2, 3, 4, 5]), np.array([0, 0, 1, 1]), tree)


def book():
    """Cheap energy outside, dear inside: account 2 sells at 10, 4 at 50; 3 and 5 buy at up to 100."""
    return OrderArrays(
        account=np.array([2, 4, 3, 5]),
        is_buy=np.array([False, False, True, True]),
        quantity_milli_wh=np.array([100, 100, 60, 60]),
        limit_micro_per_kwh=np.array([10, 50, 100, 100]),
    )


def test_together_all_buy_what_is_cheap():
    result = clear(book(), 0, zoning())
    assert result.fills_milli_wh[0] == 100
    assert result.net_export_milli_wh.tolist() == [40, -40]


def test_cut_off_each_side_has_its_own_price_and_nothing_crosses():
    result = clear(book(), 0, zoning().without(ISLAND))
    assert result.fills_milli_wh.tolist() == [60, 60, 60, 60]
    assert result.net_export_milli_wh.tolist() == [0, 0]
    outside, inside = result.prices_micro_per_kwh
    assert outside != inside and inside >= 50


def test_what_was_traded_across_before_may_be_taken_back_but_not_added_to():
    """The island bought 40 from outside the day before: it may sell them back, and buy no more."""
    sells_back = OrderArrays(
        account=np.array([4, 3]),
        is_buy=np.array([False, True]),
        quantity_milli_wh=np.array([100, 100]),
        limit_micro_per_kwh=np.array([50, 100]),
    )
    result = clear(sells_back, 0, zoning().without(ISLAND), np.array([40, -40]))
    assert result.net_export_milli_wh.tolist() == [-40, 40]
    buys_more = OrderArrays(
        account=np.array([2, 5]),
        is_buy=np.array([False, True]),
        quantity_milli_wh=np.array([100, 100]),
        limit_micro_per_kwh=np.array([10, 100]),
    )
    assert clear(buys_more, 0, zoning().without(ISLAND), np.array([40, -40])).volume_milli_wh == 0


def test_with_nothing_cut_the_zoning_is_itself():
    whole = zoning()
    assert whole.without(0) is whole
