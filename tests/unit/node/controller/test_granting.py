"""Granting by hand-computed cases: what ramps assure, what still flows, and why the rest is cut."""

import dataclasses

import numpy as np
import pytest

from devices import catalogue
from devices.parameters import build_fleet
from devices.specification import Priority
from node.controller.control_plan import FIRMWARE_STEP_S, plan_control
from node.controller.granting import grant_in_islands, why_cut
from node.controller.network import CapacityTree
from node.controller.reasons import Reason

BATTERY, CRITICAL, NORMAL = range(3)
FUSE_W = 2_000.0


def plan(import_cap_w=FUSE_W, export_cap_w=np.inf):
    """One home behind its fuse: a battery, a critical and an ordinary load."""
    params = build_fleet(
        [
            catalogue.home_battery("battery"),
            catalogue.fixed_load("critical", Priority.CRITICAL),
            catalogue.fixed_load("normal", Priority.NORMAL),
        ]
    )
    tree = CapacityTree(
        ("feeder", "home"),
        np.array([-1, 0]),
        np.array([np.inf, import_cap_w]),
        np.array([np.inf, export_cap_w]),
    )
    place = np.ones(3, np.int64)
    return plan_control(tree, params, place, np.zeros(3, np.int64), np.array([1]))


def test_loads_lean_on_a_battery_as_far_as_its_ramp_assures():
    home = plan()
    wanted, p_now = np.array([3_000.0, -1_500.0, -2_500.0]), np.array([200.0, 0.0, 0.0])
    grant = grant_in_islands(home, wanted, p_now)
    reach = home.params.ramp_w_per_s[BATTERY] * FIRMWARE_STEP_S
    leaned_on = min(200.0 + reach, 3_000.0)
    p_w = grant.p_milli_w / 1_000
    assert p_w[BATTERY] == 3_000.0
    assert p_w[CRITICAL] == -1_500.0
    assert p_w[NORMAL] == pytest.approx(max(-2_500.0, 1_500.0 - FUSE_W - leaned_on), abs=1e-3)


def test_what_a_stopping_battery_still_gives_holds_its_place():
    home = plan(import_cap_w=np.inf, export_cap_w=1_000.0)
    slow = dataclasses.replace(home, reach_w=np.array([100.0]))
    wanted = np.array([500.0, 0.0, 0.0])
    assert grant_in_islands(slow, wanted, np.array([400.0, 0.0, 0.0])).p_milli_w.tolist() == [500_000, 0, 0]
    # It gives 1,000 W now and shall charge: 900 W flow in the next period, and nobody is granted that place.
    turning = grant_in_islands(slow, np.array([-500.0, 0.0, 0.0]), np.array([1_000.0, 0.0, 0.0]))
    assert turning.p_milli_w.tolist() == [-500_000, 0, 0]


def test_who_is_outranked_is_told_so_and_the_others_name_the_capacity():
    home = plan()
    wanted = np.array([0.0, -2_500.0, -1_000.0])
    grant = grant_in_islands(home, wanted, np.zeros(3))
    assert grant.p_milli_w.tolist() == [0, -2_000_000, 0]
    assert grant.limiting_node.tolist() == [-1, 1, 1]
    reasons = why_cut(home, wanted, grant)
    assert reasons[CRITICAL] == Reason.CAPACITY
    assert reasons[NORMAL] == Reason.PRIORITY
