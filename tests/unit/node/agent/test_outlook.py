"""The door of the strategy: outlooks and storages that make no sense are refused; prices nobody knows yet."""

import numpy as np
import pytest

from node.agent.strategy import InvalidOutlook, InvalidStorage, Outlook, StorageCalendar, plan_storages


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"load_wh": [[np.nan, 1.0]]}, "load_wh at .* is not finite"),
        ({"load_wh": [[-1.0, 1.0]]}, "load_wh at .* need >= 0"),
        ({"load_wh": [1.0, 2.0]}, "load_wh has shape"),
        ({"solar_wh": [[1.0, -2.0]]}, "solar_wh at .* need >= 0"),
        ({"solar_wh": [[1.0, 2.0, 3.0]]}, "solar_wh has shape"),
        ({"import_cap_w": [-1.0]}, "import_cap_w at"),
        ({"short_micro_per_kwh": 1.0, "long_micro_per_kwh": 2.0}, "need long <= short"),
        ({"price_micro_per_kwh": [1.0]}, "price_micro_per_kwh has shape"),
        ({"price_micro_per_kwh": [[1.0, 1.0], [1.0, 1.0]]}, "price_micro_per_kwh has shape"),
        (
            {"levy_micro_per_kwh": 5.0, "levy_back_micro_per_kwh": 6.0},
            r"levy_back_micro_per_kwh at \[0, 0\] is 6.0",
        ),
        ({"zone": 1}, r"zones range over 1..1: need 0..0"),
    ],
)
def test_an_outlook_that_makes_no_sense_is_refused(change, message):
    good = {
        "first": 0,
        "length_s": 900,
        "account": [2],
        "import_cap_w": [1e4],
        "export_cap_w": [1e4],
        "load_wh": [[1.0, 1.0]],
        "solar_wh": [[0.0, 0.0]],
        "short_micro_per_kwh": 300_000,
        "long_micro_per_kwh": 80_000,
    }
    with pytest.raises(InvalidOutlook, match=message):
        Outlook.of(**(good | change))


def test_surplus_is_expected_at_the_long_tariff_and_deficit_at_the_short_one(outlook_of):
    outlook = outlook_of([[500.0, -500.0, 100.0], [100.0, -100.0, -100.0]])
    assert outlook.price_micro_per_kwh.tolist() == [[80_000, 300_000, 190_000]]
    assert outlook.surplus_wh.tolist() == [[600.0, 0.0, 0.0]]
    assert outlook.deficit_wh.tolist() == [[0.0, 600.0, 0.0]]


def test_a_known_price_moves_the_prior_as_far_as_it_is_trusted(outlook_of):
    outlook = outlook_of([[500.0, 500.0]], price_micro_per_kwh=[180_000, np.nan], price_trust_pu=0.5)
    assert outlook.price_micro_per_kwh.tolist() == [[130_000, 80_000]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capacity_wh": 0.0}, "capacity_wh of storage 0 is 0.0"),
        ({"reserve_wh": 20_000.0}, "reserve_wh of storage 0"),
        ({"eta": 1.1}, "charge_efficiency_pu of storage 0"),
        ({"eta": 0.0}, "charge_efficiency_pu of storage 0"),
        ({"p_w": -1.0}, "p_charge_max_w of storage 0"),
        ({"wear": np.nan}, "wear_micro_per_kwh of storage 0"),
        ({"converter_efficiency_pu": np.ones((1, 3))}, "converter_efficiency_pu has shape"),
        ({"converter_efficiency_pu": np.zeros((1, 2))}, "converter_efficiency_pu of storage 0"),
    ],
)
def test_a_storage_that_cannot_exist_is_refused(fleet_of, change, message):
    with pytest.raises(InvalidStorage, match=message):
        fleet_of([0], **change)


def test_a_level_above_capacity_is_refused(fleet_of, outlook_of):
    with pytest.raises(InvalidStorage, match="energy_wh of storage 0"):
        plan_storages(
            fleet_of([0]), StorageCalendar.always_present(1, 2), outlook_of([[0, 0]]), np.array([10_001.0])
        )


def test_a_storage_of_an_account_that_is_not_there_is_refused(fleet_of, outlook_of):
    with pytest.raises(InvalidStorage, match="account of a storage is row 3"):
        plan_storages(fleet_of([3]), StorageCalendar.always_present(1, 2), outlook_of([[0, 0]]), np.zeros(1))


def test_a_calendar_of_another_length_is_refused(fleet_of, outlook_of):
    with pytest.raises(InvalidStorage, match="is_present has shape"):
        plan_storages(fleet_of([0]), StorageCalendar.always_present(1, 3), outlook_of([[0, 0]]), np.zeros(1))


def test_efficiency_follows_the_converter_curve_between_its_points(fleet_of):
    fleet = fleet_of(
        [0, 0],
        eta=0.98,
        converter_load_pu=np.array([0.0, 0.1, 1.0]),
        converter_efficiency_pu=np.array([[0.7, 0.9, 1.0], [0.7, 0.9, 1.0]]),
    )
    into, out = fleet.efficiencies_pu(np.array([250.0, -5_000.0]))
    assert into == pytest.approx([0.98 * 0.8, 0.98])
    assert out.tolist() == into.tolist()
