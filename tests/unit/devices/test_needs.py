"""What devices ask for: the same numbers as firmware tells, and what a vehicle's waiting time follows from."""

import dataclasses

import numpy as np
import pytest

from devices import catalogue
from devices.firmware import command
from devices.needs import contribution_wh, missing_wh, request_wh, vehicle_slack_s
from devices.parameters import build_fleet
from devices.state import FleetInputs, initial_state

PARAMS = build_fleet(
    [
        catalogue.home_battery("home"),
        catalogue.fixed_load("load"),
        catalogue.vehicle("car", initial_pu=0.5),
        catalogue.vehicle("van", initial_pu=0.5),
    ]
)
CARS = slice(2, 4)
STATE = dataclasses.replace(initial_state(PARAMS), energy_wh=np.asarray([500.0, 0.0, 30_000.0, 3_000.0]))


def test_needs_are_what_firmware_tells():
    inputs = dataclasses.replace(
        FleetInputs.quiet(4), departs_in_s=np.full(4, 7_200.0), required_wh=np.asarray([0, 0, 45_000.0, 0])
    )
    _, told = command(PARAMS, STATE, inputs, 0.0)
    assert np.array_equal(request_wh(PARAMS, STATE, inputs), told.request_wh)
    assert np.array_equal(contribution_wh(PARAMS, STATE, inputs), told.contribute_wh)
    assert told.request_wh[2] == pytest.approx(15_000.0)


def test_one_need_for_all_is_the_same_need_for_each():
    each = dataclasses.replace(
        FleetInputs.quiet(4), departs_in_s=np.full(4, 600.0), required_wh=np.full(4, 9e9)
    )
    all_at_once = dataclasses.replace(each, departs_in_s=600.0, required_wh=9e9)
    assert np.array_equal(missing_wh(PARAMS, STATE, each), missing_wh(PARAMS, STATE, all_at_once))
    # Nobody needs more than fits in.
    assert missing_wh(PARAMS, STATE, each) == pytest.approx(PARAMS.capacity_wh[CARS] - STATE.energy_wh[CARS])
    assert np.array_equal(vehicle_slack_s(PARAMS, STATE, each), vehicle_slack_s(PARAMS, STATE, all_at_once))


def test_slack_is_the_time_that_charging_leaves_with_a_tenth_to_spare():
    inputs = dataclasses.replace(FleetInputs.quiet(4), departs_in_s=36_000.0, required_wh=40_000.0)
    missing = np.asarray([10_000.0, 37_000.0])
    charging_s = 1.1 * missing / PARAMS.vehicle_stored_w * 3_600.0
    assert vehicle_slack_s(PARAMS, STATE, inputs) == pytest.approx(36_000.0 - charging_s)
    assert np.isinf(vehicle_slack_s(PARAMS, STATE, FleetInputs.quiet(4))).all()


def test_who_is_away_misses_nothing():
    gone = dataclasses.replace(
        FleetInputs.quiet(4), is_present=np.asarray([True, True, False, True]), required_wh=40_000.0
    )
    assert missing_wh(PARAMS, STATE, gone).tolist() == [0.0, 37_000.0]
