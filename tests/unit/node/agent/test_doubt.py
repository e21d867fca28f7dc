"""What an uncertain need is worth a bid: worked out by hand, and never a loss on average."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.agent.strategy import InvalidOutlook, Outlook, StorageFleet, day_ahead_orders, plan_storages
from node.agent.strategy.doubt import worth_bidding
from node.agent.strategy.storages import StorageCalendar

SHORT, LONG = 300_000.0, 80_000.0
ONE = np.zeros(1, dtype=np.int64)
NAN = float("nan")


def bid(outlook, position_wh=0.0, top=SHORT):
    low_wh = outlook.net_export_wh[:1, 0]
    down_to, limit = worth_bidding(outlook, ONE, ONE, low_wh, np.array([position_wh]), np.array([top]))
    return down_to[0], limit[0]


def similar(*needs_wh):
    """Net export at similar times, one account, one interval."""
    return -np.array(needs_wh, dtype=float).reshape(-1, 1, 1)


def test_without_similar_times_all_of_the_forecast_is_bid_for_at_the_top(outlook_of):
    assert bid(outlook_of([-100.0])) == (-100.0, SHORT)


def test_where_the_market_is_cheap_all_is_bid_for_at_what_it_is_worth_on_average(outlook_of):
    # of 100 Wh, 100, 50 and 0 would have been used: half of it
    outlook = outlook_of(
        [-100.0], similar_net_wh=similar(120, 50, -30), price_micro_per_kwh=[90_000.0], price_trust_pu=1.0
    )
    assert bid(outlook) == (-100.0, pytest.approx(LONG + 0.5 * (SHORT - LONG)))


def test_where_the_market_is_dear_only_what_was_needed_every_time_is_bid_for_at_the_top(outlook_of):
    outlook = outlook_of([-100.0], similar_net_wh=similar(120, 50, 40))
    assert bid(outlook) == (-40.0, SHORT)


def test_the_operators_fee_counts_as_part_of_the_price(outlook_of):
    # all of it is worth 190,000
    known = {
        "price_micro_per_kwh": [185_000.0],
        "price_trust_pu": 1.0,
        "similar_net_wh": similar(120, 50, -30),
    }
    assert bid(outlook_of([-100.0], **known, fee_micro_per_kwh=5_000.0))[0] == -100.0
    assert bid(outlook_of([-100.0], **known, fee_micro_per_kwh=5_001.0))[0] == 0.0


def test_what_was_bought_already_serves_the_surest_part_of_the_need(outlook_of):
    # 60 Wh are bought; of the 40 above, similar times would have used 40 and 0
    outlook = outlook_of(
        [-100.0], similar_net_wh=similar(100, 50), price_micro_per_kwh=[90_000.0], price_trust_pu=1.0
    )
    assert bid(outlook, position_wh=-60.0) == (-100.0, pytest.approx(LONG + 0.5 * (SHORT - LONG)))


def test_a_time_without_a_sample_is_as_forecast(outlook_of):
    assert bid(outlook_of([-100.0], similar_net_wh=similar(NAN, NAN))) == (-100.0, SHORT)
    assert bid(outlook_of([-100.0], similar_net_wh=similar(NAN, 50)))[0] == -50.0


def test_samples_of_another_shape_are_refused(outlook_of):
    with pytest.raises(InvalidOutlook, match="similar_net_wh"):
        outlook_of([-100.0], similar_net_wh=np.zeros((2, 1, 3)))


@given(
    st.lists(st.floats(0, 500), min_size=1, max_size=6),
    st.floats(1, 400),
    st.floats(0, 300),
    st.floats(LONG, SHORT),
)
def test_a_bid_that_is_filled_at_its_limit_saves_on_average_over_the_similar_times(
    needs_wh, need_wh, bought_wh, expected_price
):
    outlook = Outlook.of(
        1_000,
        900,
        [2],
        [3e4],
        [3e4],
        [[need_wh]],
        [[0.0]],
        SHORT,
        LONG,
        similar_net_wh=similar(*needs_wh),
        price_micro_per_kwh=[expected_price],
        price_trust_pu=1.0,
    )
    down_to, limit = bid(outlook, position_wh=-bought_wh)
    quantity = max(-bought_wh - down_to, 0.0)
    used = np.clip(np.array(needs_wh) - bought_wh, 0.0, quantity)
    saving = used * SHORT + (quantity - used) * LONG - quantity * limit
    assert saving.mean() >= -1e-3
    assert LONG - 1e-6 <= limit <= SHORT + 1e-6


def test_a_home_without_storage_sends_one_bid_an_interval_and_one_with_a_battery_is_as_sure_as_before(
    fleet_of, outlook_of
):
    doubts = np.repeat(similar(120, 50), 2, axis=1)
    outlook = outlook_of([[-100.0], [-100.0]], similar_net_wh=doubts)
    fleet: StorageFleet = fleet_of([1])
    calendar = StorageCalendar.always_present(1, 1)
    plan = plan_storages(fleet, calendar, outlook, np.array([9_000.0]))
    batch = day_ahead_orders(fleet, outlook, plan, np.arange(1))
    orders = list(
        zip(batch.account.tolist(), batch.is_buy.tolist(), batch.quantity_milli_wh.tolist(), strict=True)
    )
    assert (2, True, 50_000) in orders
    assert [o for o in orders if o[0] == 2] == [(2, True, 50_000)]
