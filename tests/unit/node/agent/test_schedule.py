"""After the last round: what is worth leaving to the supplier, by hand."""

import numpy as np
import pytest

from node.agent.strategy import StorageCalendar, plan_storages, schedule
from node.agent.strategy.storage_plan import StoragePlan
from node.agent.strategy.stored_value import StoredValue, bin_borders


def aim(fleet, outlook, value, energy, is_present=True):
    borders = bin_borders(fleet)
    n = len(fleet)
    slopes = np.full((2, n, borders.shape[1] - 1), float(value))
    plan = StoragePlan(
        outlook.first,
        0.25,
        StoredValue(borders, slopes),
        np.zeros((n, 1)),
        np.zeros((n, 2)),
        fleet.charge_efficiency_pu,
        fleet.discharge_efficiency_pu,
    )
    return schedule(fleet, outlook, plan, 0, np.full(n, float(energy)), np.full(n, is_present))


def test_a_home_without_storage_leaves_its_gap_to_the_supplier(fleet_of, outlook_of):
    outlook = outlook_of([[-300.0]], position_milli_wh=[[-200_000]])
    decided = aim(fleet_of([]), outlook, 0, 0)
    assert decided.target_export_wh.tolist() == [-300.0]
    assert decided.left_to_supplier_wh.tolist() == [-100.0]


@pytest.mark.parametrize(("value", "discharged_wh"), [(270_000, 300.0), (290_000, 0.0)])
def test_an_unfilled_bid_is_served_from_storage_if_that_is_worth_less_than_the_short_tariff(
    fleet_of, outlook_of, value, discharged_wh
):
    fleet = fleet_of([0], wear=20_000.0)
    decided = aim(fleet, outlook_of([[-300.0]]), value, 5_000.0)
    assert decided.power_w.tolist() == [discharged_wh / 0.25]
    assert decided.target_export_wh.tolist() == [discharged_wh - 300.0]


@pytest.mark.parametrize(("value", "charged_wh"), [(150_000, 400.0), (70_000, 0.0)])
def test_an_unsold_surplus_is_stored_if_that_is_worth_more_than_the_long_tariff(
    fleet_of, outlook_of, value, charged_wh
):
    decided = aim(fleet_of([0]), outlook_of([[400.0]]), value, 0.0)
    assert decided.power_w.tolist() == pytest.approx([-charged_wh / 0.25])
    assert decided.target_export_wh.tolist() == pytest.approx([400.0 - charged_wh])


def test_sold_storage_energy_is_delivered(fleet_of, outlook_of):
    decided = aim(fleet_of([0]), outlook_of([[0.0]], position_milli_wh=[[800_000]]), 200_000, 5_000.0)
    assert decided.power_w.tolist() == pytest.approx([3_200.0])
    assert decided.left_to_supplier_wh == pytest.approx([0.0])


def test_a_levy_makes_serving_oneself_worth_more(fleet_of, outlook_of):
    fleet = fleet_of([0], wear=20_000.0)
    for levy, discharged_wh in ((0.0, 0.0), (30_000.0, 300.0)):
        outlook = outlook_of([[-300.0]], levy_micro_per_kwh=levy)
        assert aim(fleet, outlook, 290_000, 5_000.0).power_w.tolist() == [discharged_wh / 0.25]


def test_below_the_reserve_the_supplier_fills_up(fleet_of, outlook_of):
    fleet = fleet_of([0], eta=0.9, reserve_wh=1_000.0)
    decided = aim(fleet, outlook_of([[0.0]]), 90_000, 910.0)
    assert decided.power_w.tolist() == pytest.approx([-100.0 / 0.25])


def test_an_absent_car_is_not_scheduled(fleet_of, outlook_of):
    assert aim(fleet_of([0]), outlook_of([[-300.0]]), 100_000, 5_000.0, False).power_w.tolist() == [0.0]


def test_two_storages_of_one_home_give_in_the_order_of_their_worth(fleet_of, outlook_of):
    fleet = fleet_of([0, 0])
    fleet.wear_micro_per_kwh[0] = 50_000.0
    decided = aim(fleet, outlook_of([[-1_500.0]]), 200_000, 5_000.0)
    assert decided.power_w.tolist() == pytest.approx([1_000.0, 5_000.0])


def test_a_real_plan_closes_the_books_of_every_account(fleet_of, outlook_of):
    rng = np.random.default_rng(0)
    net = rng.normal(0, 600, (5, 12))
    fleet = fleet_of([0, 2, 2], eta=0.93, reserve_wh=500.0)
    outlook = outlook_of(net, position_milli_wh=rng.integers(-300_000, 300_000, (5, 12)))
    levels = np.array([4_000.0, 600.0, 9_000.0])
    plan = plan_storages(fleet, StorageCalendar.always_present(3, 12), outlook, levels)
    decided = schedule(fleet, outlook, plan, 3, levels, np.ones(3, bool))
    storage_wh = np.bincount(fleet.account, weights=decided.power_w * 0.25, minlength=5)
    assert decided.target_export_wh == pytest.approx(net[:, 3] + storage_wh)
