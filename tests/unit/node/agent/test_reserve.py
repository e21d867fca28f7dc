"""Reserve is offered from what is there, and kept free afterwards."""

import numpy as np
import pytest

from node.agent.strategy import InvalidStorage, StorageFleet
from node.agent.strategy.reserve import (
    Held,
    Recovery,
    narrowed,
    recovering,
    reserve_price_micro_per_kwh,
    reserve_room_w,
)


def fleet(n=1, **changes):
    one = np.ones(n)
    values = {
        "account": np.arange(n),
        "capacity_wh": 10_000 * one,
        "reserve_wh": 1_000 * one,
        "p_charge_max_w": 5_000 * one,
        "p_discharge_max_w": 5_000 * one,
        "charge_efficiency_pu": 0.8 * one,
        "discharge_efficiency_pu": 0.9 * one,
        "wear_micro_per_kwh": 40_000 * one,
        "markup_micro_per_kwh": 5_000 * one,
        "self_discharge_w": 0 * one,
    }
    return StorageFleet(**(values | changes))


def room(energy_wh, hours=0.5, most=9e9, symmetric=True):
    return reserve_room_w(
        fleet(), np.array([energy_wh]), hours, np.array([most]), is_symmetric=symmetric
    ).item()


def test_room_is_what_energy_room_and_rating_allow():
    # By hand: (1,500 - 1,000) * 0.9 / 0.5 h up; (10,000 - 9,600) / 0.8 / 0.5 h down; half the rating otherwise.
    assert room(1_500.0) == pytest.approx(900.0)
    assert room(9_600.0) == pytest.approx(1_000.0)
    assert room(9_600.0, symmetric=False) == pytest.approx(2_500.0)
    assert room(5_000.0) == pytest.approx(2_500.0)
    assert room(5_000.0, most=700.0) == pytest.approx(700.0)


def test_below_the_owners_reserve_nothing_is_offered():
    assert room(999.0) == 0.0


def test_price_is_margin_and_expected_use():
    # 5,000 + 0.03 * (40,000 + 0.28 * 200,000), by hand.
    assert reserve_price_micro_per_kwh(fleet(), np.array([200_000.0])).item() == 7_880


def test_what_is_held_is_taken_off_energy_room_and_power():
    one = np.ones(1)
    left = narrowed(fleet(), Held(5, 9, 2_000 * one, 1_000 * one, 900 * one, 500 * one))
    assert left.reserve_wh.item() == pytest.approx(1_000 + 900 / 0.9)
    assert left.capacity_wh.item() == pytest.approx(10_000 - 500 * 0.8)
    assert (left.p_charge_max_w.item(), left.p_discharge_max_w.item()) == (4_000, 3_000)
    everything = narrowed(fleet(), Held(5, 9, 9e9 * one, 9e9 * one, 9e9 * one, 9e9 * one))
    assert everything.reserve_wh.item() == everything.capacity_wh.item() == 10_000
    assert everything.p_charge_max_w.item() == everything.p_discharge_max_w.item() == 0


def test_a_reserve_for_no_time_is_refused():
    with pytest.raises(InvalidStorage):
        room(5_000.0, hours=0.0)


def test_what_a_service_took_must_be_bought_back_up_to_the_old_level():
    back = recovering(fleet(), Recovery(10, 13, np.array([6_000.0])))
    assert back.reserve_wh.item() == 6_000
    assert recovering(fleet(), Recovery(10, 13, np.zeros(1))).reserve_wh.item() == 1_000
