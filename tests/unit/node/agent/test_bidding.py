"""Orders by hand: what an account bids for load, offers of sun and storage, and never overreaches."""

from dataclasses import replace

import numpy as np
import pytest

from market.orders import Order, Source
from node.agent.strategy import (
    InvalidOutlook,
    OrderBatch,
    StorageCalendar,
    day_ahead_orders,
    intraday_orders,
    plan_storages,
    to_orders,
)
from node.agent.strategy.storage_plan import StoragePlan
from node.agent.strategy.stored_value import StoredValue, bin_borders

SHORT, LONG = 300_000, 80_000
EDGE = (SHORT - LONG) // 100
NONE = np.zeros(0)


def flat_plan(fleet, outlook, value):
    """A plan in which stored energy is worth the same at every time and level."""
    borders = bin_borders(fleet)
    n, horizon = len(fleet), outlook.n_intervals
    slopes = np.full((horizon + 1, n, borders.shape[1] - 1), float(value))
    efficiencies = fleet.efficiencies_pu(np.zeros(n))
    return StoragePlan(
        outlook.first,
        0.25,
        StoredValue(borders, slopes),
        np.zeros((n, horizon)),
        np.zeros((n, horizon + 1)),
        *efficiencies,
    )


def rows(batch):
    """The batch as tuples (account, lane, is_buy, interval, quantity, limit)."""
    return list(
        zip(
            batch.account.tolist(),
            batch.lane.tolist(),
            batch.is_buy.tolist(),
            batch.interval.tolist(),
            batch.quantity_milli_wh.tolist(),
            batch.limit_micro_per_kwh.tolist(),
            strict=True,
        )
    )


def intraday(fleet, outlook, plan, energy, **more):
    levels = np.asarray(energy, dtype=float)
    return rows(intraday_orders(fleet, outlook, plan, 0, levels, np.ones(len(fleet), bool), **more))


def test_load_is_bid_just_below_the_short_tariff_and_sun_offered_just_above_the_long_one(
    fleet_of, outlook_of
):
    outlook = outlook_of([[-123.4567, 50.0]])
    plan = plan_storages(fleet_of([]), StorageCalendar.always_present(0, 2), outlook, NONE)
    batch = day_ahead_orders(fleet_of([]), outlook, plan, np.array([0, 1]))
    assert rows(batch) == [
        (2, 0, True, 1_000, 123_456, SHORT - EDGE),
        (2, 4, False, 1_001, 50_000, LONG + EDGE),
    ]


def test_storage_is_offered_at_value_over_efficiency_plus_wear_and_charged_at_value_times_efficiency(
    fleet_of, outlook_of
):
    fleet = fleet_of([0], eta=0.8, wear=20_000.0, markup=5_000.0)
    outlook = outlook_of([[0.0]])
    orders = intraday(fleet, outlook, flat_plan(fleet, outlook, 160_000), [500.0])
    assert orders == [
        (2, 8, True, 1_000, 1_250_000, 160_000 * 0.8 - 5_000),
        (2, 12, False, 1_000, 400_000, 160_000 / 0.8 + 20_000 + 5_000),
    ]


def test_a_household_buys_what_its_storage_would_otherwise_give_only_below_the_storages_cost(
    fleet_of, outlook_of
):
    fleet = fleet_of([0])
    outlook = outlook_of([[-2_000.0]])
    orders = intraday(fleet, outlook, flat_plan(fleet, outlook, 150_000), [1_000.0])
    # 1 kWh that no storage can cover; at 150 it buys the other instead of using storage, and charges as well
    assert orders == [
        (2, 8, True, 1_000, 1_000_000, SHORT - EDGE),
        (2, 9, True, 1_000, 2_250_000, 150_000),
    ]


def test_surplus_is_sold_only_above_what_storing_it_is_worth(fleet_of, outlook_of):
    fleet = fleet_of([0])
    outlook = outlook_of([[2_000.0]])
    orders = intraday(fleet, outlook, flat_plan(fleet, outlook, 200_000), [0.0])
    assert orders == [
        (2, 12, False, 1_000, 750_000, LONG + EDGE),
        (2, 13, False, 1_000, 1_250_000, 200_000),
    ]


def test_a_levy_on_import_lowers_what_charging_from_the_market_may_cost(fleet_of, outlook_of):
    fleet = fleet_of([0])
    outlook = outlook_of([[0.0]], levy_micro_per_kwh=30_000)
    orders = intraday(fleet, outlook, flat_plan(fleet, outlook, 200_000), [0.0])
    assert orders == [(2, 8, True, 1_000, 1_250_000, 170_000)]


def test_what_round_zero_sold_is_not_sold_again(fleet_of, outlook_of):
    fleet = fleet_of([0])
    outlook = outlook_of([[0.0]], position_milli_wh=[[600_000]])
    orders = intraday(fleet, outlook, flat_plan(fleet, outlook, 150_000), [1_000.0])
    sold = sum(quantity for _, _, is_buy, _, quantity, _ in orders if not is_buy)
    assert sold == 400_000


def test_energy_sold_without_having_it_is_bought_back(fleet_of, outlook_of):
    outlook = outlook_of([[-100.0]], position_milli_wh=[[500_000]])
    fleet = fleet_of([])
    assert intraday(fleet, outlook, flat_plan(fleet, outlook, 0), []) == [
        (2, 8, True, 1_000, 600_000, SHORT - EDGE)
    ]


def test_the_reserve_is_never_offered_and_bought_back_at_any_price(fleet_of, outlook_of):
    fleet = fleet_of([0], reserve_wh=2_000.0)
    outlook = outlook_of([[0.0]])
    plan = flat_plan(fleet, outlook, 90_000)
    assert not any(not is_buy for _, _, is_buy, *_ in intraday(fleet, outlook, plan, [2_000.0]))
    orders = intraday(fleet, outlook, plan, [1_900.0])
    assert orders[0] == (2, 8, True, 1_000, 100_000, SHORT - EDGE)


def test_an_absent_car_neither_buys_nor_sells(fleet_of, outlook_of):
    fleet, outlook = fleet_of([0]), outlook_of([[0.0]])
    plan = flat_plan(fleet, outlook, 150_000)
    assert not len(intraday_orders(fleet, outlook, plan, 0, np.array([5e3]), np.array([False])))


def test_orders_stay_within_the_connection(fleet_of, outlook_of):
    fleet = fleet_of([0, 0], p_w=20_000.0)
    outlook = outlook_of([[-300.0]], cap_w=6_000.0)
    orders = intraday(fleet, outlook, flat_plan(fleet, outlook, 150_000), [5_000.0, 5_000.0])
    assert sum(q for _, _, is_buy, _, q, _ in orders if is_buy) <= 1_500_000
    assert sum(q for _, _, is_buy, _, q, _ in orders if not is_buy) <= 1_500_000


def test_many_storages_share_four_lanes_a_side_at_the_least_eager_limit(fleet_of, outlook_of):
    n = 10
    fleet = fleet_of([0] * n, capacity_wh=100.0, p_w=100.0, wear=0.0)
    outlook = outlook_of([[0.0]])
    plan = flat_plan(fleet, outlook, 0.0)
    plan.value.slopes_micro_per_kwh[:] = (100_000 + 10_000 * np.arange(n))[None, :, None]
    orders = intraday(fleet, outlook, plan, [50.0] * n)
    sells = [(lane, quantity, limit) for _, lane, is_buy, _, quantity, limit in orders if not is_buy]
    # at 150 and above more of them would rather give than take; each gives 25 Wh and stops taking 25 Wh
    assert sells == [
        (12, 50_000, 150_000),
        (13, 50_000, 160_000),
        (14, 50_000, 170_000),
        (15, 100_000, 190_000),
    ]
    buys = [(lane, quantity, limit) for _, lane, is_buy, _, quantity, limit in orders if is_buy]
    assert buys == [(8, 50_000, 140_000), (9, 50_000, 130_000), (10, 50_000, 120_000), (11, 100_000, 100_000)]


def test_crumbs_are_left_to_imbalance(fleet_of, outlook_of):
    outlook = outlook_of([[-0.9]])
    assert not intraday(fleet_of([]), outlook, flat_plan(fleet_of([]), outlook, 0), [])


def test_every_round_has_its_own_lanes(fleet_of, outlook_of):
    outlook = outlook_of([[-100.0]])
    plan = flat_plan(fleet_of([]), outlook, 0)
    for round_index in (1, 2, 3):
        orders = intraday(fleet_of([]), outlook, plan, [], round_index=round_index)
        assert [lane for _, lane, *_ in orders] == [8 * round_index]
    with pytest.raises(InvalidOutlook, match="round_index is 4"):
        intraday(fleet_of([]), outlook, plan, [], round_index=4)


def test_a_place_outside_the_plan_is_refused(fleet_of, outlook_of):
    fleet = fleet_of([])
    plan = flat_plan(fleet, outlook_of([[-100.0, -100.0]]), 0)
    with pytest.raises(InvalidOutlook, match="plan again"):
        intraday(fleet, outlook_of([[-100.0]], first=1_002), plan, [])
    with pytest.raises(InvalidOutlook, match="need places of the outlook"):
        day_ahead_orders(fleet, outlook_of([[-100.0, -100.0]]), plan, np.array([2]))
    with pytest.raises(InvalidOutlook, match="need the same"):
        day_ahead_orders(fleet, outlook_of([[-100.0]], first=1_001), plan, np.array([0]))


def test_a_newer_outlook_reads_the_plan_at_its_own_time(fleet_of, outlook_of):
    fleet = fleet_of([0])
    plan = flat_plan(fleet, outlook_of(np.zeros((1, 4))), 0)
    plan.value.slopes_micro_per_kwh[:] = np.array([1.0, 2.0, 3.0, 4.0, 5.0])[:, None, None] * 40_000
    orders = intraday(fleet, outlook_of([[0.0]], first=1_002), plan, [5_000.0])
    assert {limit for *_, limit in orders} == {160_000}


def test_neighbours_that_differ_only_in_time_become_one_order():
    batch = OrderBatch(
        account=np.full(5, 2),
        lane=np.array([0, 0, 0, 4, 4]),
        is_buy=np.array([True, True, True, False, False]),
        interval=np.array([10, 11, 13, 12, 13]),
        quantity_milli_wh=np.full(5, 5_000),
        limit_micro_per_kwh=np.array([1, 1, 1, 1, 1]),
        source=np.array([0, 0, 0, 1, 2]),
    )
    assert to_orders(batch, np.full(5, 7)) == [
        (Order(2, 7, True, 0, 10, 11, 5_000, 1), Source.ANY),
        (Order(2, 7, True, 0, 13, 13, 5_000, 1), Source.ANY),
        (Order(2, 7, False, 4, 12, 12, 5_000, 1), Source.SOLAR),
        (Order(2, 7, False, 4, 13, 13, 5_000, 1), Source.STORAGE),
    ]


def test_what_is_left_over_is_offered_as_sun_and_what_a_storage_gives_as_storage(fleet_of, outlook_of):
    fleet = fleet_of([0], wear=20_000)
    outlook = outlook_of([[1_000.0]])
    plan = flat_plan(fleet, outlook, 100_000)
    batch = intraday_orders(fleet, outlook, plan, 0, np.array([5_000.0]), np.ones(1, bool))
    offers = ~batch.is_buy
    by_source = {s: int(batch.quantity_milli_wh[offers & (batch.source == s)].sum()) for s in Source}
    # 1 kWh of sun, charged as far as 5 kW go in a quarter hour (1.25 kWh); 1.25 kWh from the storage
    assert by_source == {Source.ANY: 0, Source.SOLAR: 1_000_000, Source.STORAGE: 1_250_000}
    assert (batch.source[batch.is_buy] == Source.ANY).all()


def test_sun_and_storage_merged_on_one_lane_are_no_longer_either(fleet_of, outlook_of):
    fleet = fleet_of([0, 0, 0, 0, 0], p_w=1_000.0, wear=1_000)
    outlook = outlook_of([[3_000.0]])
    plan = flat_plan(fleet, outlook, 100_000)
    worth = np.arange(5.0)[None, :, None] * 10_000
    plan = replace(
        plan, value=replace(plan.value, slopes_micro_per_kwh=plan.value.slopes_micro_per_kwh + worth)
    )
    batch = intraday_orders(fleet, outlook, plan, 0, np.full(5, 5_000.0), np.ones(5, bool))
    offers = ~batch.is_buy
    assert batch.source[offers].tolist() == [Source.SOLAR, Source.SOLAR, Source.STORAGE, Source.ANY]


@pytest.mark.parametrize(("back", "offered_at"), [(0, 440_000), (200_000, 240_000)])
def test_a_storage_that_gets_levies_back_offers_that_much_cheaper_and_bids_the_same(
    fleet_of, outlook_of, back, offered_at
):
    fleet = fleet_of([0], wear=20_000)
    outlook = outlook_of([[0.0]], short=600_000, levy_micro_per_kwh=200_000, levy_back_micro_per_kwh=back)
    found = intraday(fleet, outlook, flat_plan(fleet, outlook, 420_000), [5_000.0])
    # stored energy is worth 42 ct: charging pays up to 22 ct beside 20 ct of levies; giving it costs 44 ct
    assert [(is_buy, limit) for _, _, is_buy, _, _, limit in found] == [(True, 220_000), (False, offered_at)]
