"""Vehicles: stays, trips and slack."""

import dataclasses

import numpy as np
import pytest

from devices.errors import BadInput
from devices.ev import Stays, inputs_at, next_change_s, slack_s

STAYS = Stays(
    vehicle=np.asarray([1, 1, 3]),
    arrives_s=np.asarray([100.0, 500.0, 0.0]),
    departs_s=np.asarray([300.0, 900.0, 400.0]),
    required_wh=np.asarray([40_000.0, 50_000.0, 30_000.0]),
    driven_wh=np.asarray([1_000.0, 6_000.0, 0.0]),
)


def test_presence_need_and_driving_follow_the_stays() -> None:
    now = inputs_at(STAYS, 4, 100.0, 0.0)
    assert now.is_present.tolist() == [True, True, True, True]
    assert now.departs_in_s[1] == 200.0 and now.required_wh[1] == 40_000.0
    assert np.isinf(now.departs_in_s[0]) and now.required_wh[0] == 0.0
    later = inputs_at(STAYS, 4, 300.0, 0.0)
    assert not later.is_present[1] and later.required_wh[1] == 0.0
    assert later.driving_w[1] == pytest.approx(6_000.0 * 3600.0 / 200.0)
    # After the last departure: away, parked elsewhere.
    gone = inputs_at(STAYS, 4, 950.0, 0.0)
    assert not gone.is_present[1] and not gone.is_present[3] and not gone.driving_w.any()


def test_driving_power_sums_to_the_energy_of_the_trip_for_any_steps() -> None:
    edges = [0.0, 40.0, 100.0, 300.0, 420.0, 500.0]
    total = 0.0
    for begin, end in zip(edges[:-1], edges[1:], strict=True):
        total += inputs_at(STAYS, 4, begin, 0.0).driving_w[1] * (end - begin) / 3600.0
    assert total == pytest.approx(7_000.0)


def test_changes_come_in_order_and_end() -> None:
    times, now = [], -1.0
    while np.isfinite(now := next_change_s(STAYS, now)):
        times.append(now)
    assert times == [0.0, 100.0, 300.0, 400.0, 500.0, 900.0]


def test_slack_is_the_time_left_minus_a_tenth_more_than_full_power_takes() -> None:
    got = slack_s(np.asarray([10e3, 50e3]), np.asarray([20e3, 40e3]), np.full(2, 7_200.0), np.full(2, 10e3))
    assert got[0] == pytest.approx(7_200.0 - 1.1 * 3_600.0)
    assert got[1] == np.inf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"departs_s": np.asarray([100.0, 900.0, 400.0])}, "departing after"),
        ({"vehicle": np.asarray([3, 1, 1])}, "sorted"),
        ({"arrives_s": np.asarray([100.0, 200.0, 0.0])}, "overlap"),
        ({"required_wh": np.asarray([1.0, -1.0, 1.0])}, "required_wh at row 1"),
        ({"driven_wh": np.asarray([np.nan, 1.0, 1.0])}, "driven_wh at row 0"),
    ],
)
def test_impossible_stays_are_refused(change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        dataclasses.replace(STAYS, **change)
