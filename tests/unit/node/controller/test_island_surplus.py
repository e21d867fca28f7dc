"""Sun that an island cannot take: sums of zero in whole milliwatts, and nothing else is touched."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.catalogue import fixed_load, home_battery, solar_roof
from devices.parameters import build_fleet
from node.controller.control_plan import islanded, plan_control
from node.controller.island_surplus import limit_sources
from node.controller.network import CapacityTree


def street(failed=(0,)):
    """Two homes of sun, load and battery; node 0 is the feeder, 1 and 2 are connections."""
    params = build_fleet(
        [one(f"{name}-{k}") for k in range(2) for name, one in (("sun", solar_roof), ("load", fixed_load))]
        + [home_battery(f"battery-{k}") for k in range(2)]
    )
    tree = CapacityTree(
        ("feeder", "a", "b"), np.array([-1, 0, 0]), np.full(3, 20_000.0), np.full(3, 20_000.0)
    )
    account = np.array([0, 0, 1, 1, 0, 1])
    plan = plan_control(tree, params, account + 1, account, np.array([1, 2]), np.ones(6, bool))
    return islanded(plan, np.array(failed, np.int64))


powers = st.floats(0.0, 6_000.0)


@given(st.tuples(powers, powers), st.tuples(powers, powers), st.tuples(*[st.floats(-5_000, 5_000)] * 4))
def test_no_island_has_more_than_it_takes_and_only_sources_and_charging_give_way(sun, load, battery):
    wanted = np.array([sun[0], -load[0], sun[1], -load[1], battery[0], battery[1]])
    assured = np.r_[wanted[:4], battery[2:]]
    limited = limit_sources(street(), wanted, assured)
    assert np.array_equal(limited[[1, 3]], wanted[[1, 3]]), "loads are not touched"
    assert np.all(limited[[0, 2]] <= wanted[[0, 2]] + 5e-4) and np.all(limited[[0, 2]] >= 0.0)
    is_charging = wanted[4:] < 0
    expected = np.where(is_charging, np.maximum(wanted[4:], assured[4:]), wanted[4:])
    assert np.array_equal(limited[4:], expected)
    milli = np.rint(limited * 1_000).astype(int)
    if milli[[0, 2]].any():
        before = np.rint(np.r_[wanted[:4], expected] * 1_000).astype(int).sum()
        assert milli.sum() == min(before, 0), "zero where there was a surplus, unchanged where there was none"


def test_islands_are_balanced_apart_and_outside_nothing_changes():
    wanted = np.array([3_000.0, -1_000.0, 500.0, -2_000.0, 0.0, 0.0])
    limited = limit_sources(street(failed=(1,)), wanted, wanted)
    assert limited.tolist() == [1_000.0, -1_000.0, 500.0, -2_000.0, 0.0, 0.0]
    assert limit_sources(street(failed=()), wanted, wanted) is wanted


def test_an_island_in_an_island_is_one_of_its_own():
    plan = street(failed=(0, 2))
    assert plan.island_root.tolist() == [0, 0, 2] and plan.island.all()
    wanted = np.array([3_000.0, -1_000.0, 500.0, -2_000.0, 0.0, 0.0])
    assert limit_sources(plan, wanted, wanted)[0] == pytest.approx(1_000.0)
