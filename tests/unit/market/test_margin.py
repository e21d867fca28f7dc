"""The worst case of an account, by hand: C = 1000 mWh, short 300, long 80 micro-credit per kWh."""

import pytest

from market.chunks import Tariff
from market.errors import OrderRefused, RefusalReason
from market.margin import AccountExposure, order_exposure, worst_case_exposure_pico
from market.orders import Order

C = 1000
METERING = 300 * C
"""What one unread interval can cost an account without orders: it imports all that the connection carries."""
PLENTY = 10**12


def exposure(short=300, long=80):
    return AccountExposure(C, 9, lambda _: Tariff(short, long))


def order(is_buy=True, quantity=100, limit=200, first=10, last=None, lane=0):
    return Order(2, 1, is_buy, lane, first, first if last is None else last, quantity, limit)


def refused(account, order, balance, **debt):
    before = account.exposure_pico
    with pytest.raises(OrderRefused) as error:
        account.admit(order, balance, **debt)
    assert account.exposure_pico == before
    return error.value.reason


def test_buy_below_the_short_tariff_adds_nothing_to_what_the_meter_can_cost():
    account = exposure()
    account.admit(order(limit=300), METERING)
    assert account.exposure_pico == METERING


def test_buy_above_the_short_tariff_adds_the_difference():
    account = exposure()
    account.admit(order(limit=450), PLENTY)
    assert account.exposure_pico == METERING + 100 * (450 - 300)


def test_sell_that_is_not_delivered_costs_the_short_tariff_less_its_own_price():
    account = exposure()
    account.admit(order(is_buy=False, limit=120), PLENTY)
    assert account.exposure_pico == METERING + 100 * (300 - 120)


def test_sell_at_a_negative_limit_pays_twice():
    account = exposure()
    account.admit(order(is_buy=False, limit=-50), PLENTY)
    assert account.exposure_pico == METERING + 100 * (300 + 50)


def test_negative_long_tariff_makes_export_the_worse_end():
    account = exposure(10, -400)
    account.admit(order(limit=20), PLENTY)
    assert account.exposure_pico == 400 * C + 100 * (20 + 400)


def test_every_unread_interval_up_to_the_newest_order_is_counted():
    account = exposure()
    account.admit(order(first=12, last=13), PLENTY)
    assert account.exposure_pico == 4 * METERING  # 10, 11, 12, 13


def test_amending_a_lane_replaces_and_cancelling_frees():
    account = exposure()
    account.admit(order(limit=450), PLENTY)
    account.admit(order(limit=400), PLENTY)
    assert account.exposure_pico == METERING + 100 * 100
    account.admit(order(quantity=0), 0)
    assert account.exposure_pico == 0


def test_amending_part_of_the_intervals_leaves_the_others():
    account = exposure()
    account.admit(order(limit=450, first=10, last=12), PLENTY)
    account.admit(order(limit=300, first=11), PLENTY)
    assert account.exposure_pico == 3 * METERING + 2 * 100 * 150


def test_order_beyond_the_balance_is_refused_and_changes_nothing():
    account = exposure()
    account.admit(order(limit=450), METERING + 15_000)
    assert refused(account, order(limit=451), METERING + 15_000) is RefusalReason.MARGIN
    assert refused(account, order(lane=1, first=11), METERING + 15_000) is RefusalReason.MARGIN
    account.admit(order(limit=450), METERING + 15_000)


def test_orders_beyond_the_connection_are_refused_by_direction():
    account = exposure()
    account.admit(order(quantity=600), PLENTY)
    assert refused(account, order(quantity=401, lane=1), PLENTY) is RefusalReason.CAPACITY
    account.admit(order(quantity=400, lane=1), PLENTY)
    account.admit(order(is_buy=False, quantity=1000, lane=2), PLENTY)


def test_cancelling_where_nothing_stands_changes_nothing():
    account = exposure()
    account.admit(order(quantity=0, last=12), 0)
    assert account.exposure_pico == 0


def test_account_in_debt_may_cancel_but_not_trade():
    account = exposure()
    account.admit(order(), PLENTY)
    assert refused(account, order(lane=1), PLENTY, in_debt=True) is RefusalReason.IN_DEBT
    account.admit(order(quantity=0), PLENTY, in_debt=True)


def test_order_for_a_settled_interval_is_refused():
    assert refused(exposure(), order(first=9), PLENTY) is RefusalReason.VALIDITY


def test_fill_counts_at_its_price_and_unfilled_orders_are_free_after_the_round():
    account = exposure()
    account.admit(order(limit=450), PLENTY)
    account.admit(order(limit=450, lane=1), PLENTY)
    account.close_round(10, [(True, 60, 400)])
    assert account.exposure_pico == METERING + 60 * 100
    account.close_round(11, [])
    account.book(10, True, 60, 400)
    assert account.exposure_pico == METERING - 60 * 300  # bought energy need not be bought from the supplier
    account.read(10)
    assert account.exposure_pico == 0


def test_sold_position_counts_until_it_is_read():
    account = exposure()
    account.admit(order(is_buy=False, limit=100, quantity=200), PLENTY)
    account.close_round(10, [(False, 200, 150)])
    account.book(10, False, 200, 150)
    assert account.exposure_pico == 300 * (C + 200)
    assert refused(account, order(is_buy=False, quantity=801, lane=1), PLENTY) is RefusalReason.CAPACITY


def test_exposure_rebuilt_from_stored_state_is_the_same():
    kept, rebuilt = exposure(), exposure()
    kept.admit(order(is_buy=False, limit=100, quantity=200, last=11), PLENTY)
    kept.close_round(10, [(False, 200, 150)])
    kept.book(10, False, 200, 150)
    kept.close_round(11, [(False, 70, 140)])
    rebuilt.set_position(10, 200)
    rebuilt.add_fill(11, False, 70, 140)
    assert kept.exposure_pico == rebuilt.exposure_pico


def test_order_that_did_not_become_durable_is_taken_back():
    account = exposure()
    account.admit(order(limit=450, last=12), PLENTY)
    with_order = account.exposure_pico
    for change in (order(quantity=0, last=12), order(limit=500, first=11, last=14), order(limit=1, lane=3)):
        account.undo(change, account.admit(change, PLENTY))
        assert account.exposure_pico == with_order


def test_only_readings_up_to_the_newest_order_are_within_the_margin():
    account = exposure()
    account.admit(order(first=12), PLENTY)
    assert [account.covers(t) for t in (10, 12, 13)] == [True, True, False]


def test_copy_is_independent():
    account = exposure()
    account.admit(order(limit=450), PLENTY)
    twin = account.copy()
    twin.admit(order(quantity=0), PLENTY)
    assert (account.exposure_pico, twin.exposure_pico) == (METERING + 15_000, 0)


def test_larger_connection_can_cost_more():
    account = exposure()
    account.admit(order(), PLENTY)
    account.raise_capacity(2 * C)
    assert account.exposure_pico == 2 * METERING


def test_nothing_kept_gives_the_same_as_kept_order_by_order():
    account, tariff = exposure(), Tariff(300, 80)
    orders = [
        order(limit=450),
        order(is_buy=False, limit=-20, lane=1, quantity=30),
        order(first=11, limit=500),
    ]
    for one in orders:
        account.admit(one, PLENTY)
    sides = [order_exposure(o.is_buy, o.quantity_milli_wh, o.limit_micro_per_kwh, tariff) for o in orders]
    assert account.exposure_pico == worst_case_exposure_pico(
        C, [0, 0], [tariff, tariff], [sides[:2], sides[2:]]
    )
