"""Netting by hand-computed cases: own supply first, leaning on what is measured, both directions."""

import numpy as np
import pytest

from node.controller.errors import InvalidRequest
from node.controller.netting import allocate_net, plan_net
from node.controller.network import CapacityTree


def settle(tree, node, account, wanted_w, periods=4, import_class=None, export_class=None, leans=True):
    """Run control periods until the measured power is what was granted."""
    n = len(node)
    zero = np.zeros(n, np.int64)
    plan = plan_net(
        tree,
        np.array(node, np.int64),
        np.array(account, np.int64),
        zero if import_class is None else np.array(import_class, np.int64),
        zero if export_class is None else np.array(export_class, np.int64),
        leans,
    )
    measured = zero
    for _ in range(periods):
        grant = allocate_net(plan, np.array(wanted_w, np.int64) * 1000, measured, np.ones(n))
        measured = grant.p_milli_w
    return (grant.p_milli_w / 1000).tolist(), grant.limiting_node.tolist()


def feeder(import_cap_w, export_cap_w):
    """Feeder 0 with two connections 1 and 2."""
    return CapacityTree(
        ("feeder", "a", "b"),
        np.array([-1, 0, 0], np.int64),
        np.array(import_cap_w, np.float64),
        np.array(export_cap_w, np.float64),
    )


def test_own_solar_serves_own_load_behind_a_small_fuse():
    # The connection lets 2 kW in; 3 kW of own solar let the 5 kW load run.
    tree = feeder([np.inf, 2000, np.inf], [np.inf] * 3)
    p, _ = settle(tree, [1, 1], [0, 0], [3000, -5000])
    assert p == [3000, -5000]


def test_nothing_leans_on_a_discharge_that_is_not_measured_yet():
    tree = feeder([np.inf, 2000, np.inf], [np.inf] * 3)
    p, limiting = settle(tree, [1, 1], [0, 0], [3000, -5000], periods=1)
    assert p == [3000, -2000]
    assert limiting == [-1, 1]


def test_without_leaning_both_directions_stand_alone():
    tree = feeder([np.inf, 2000, np.inf], [np.inf, 1000, np.inf])
    p, _ = settle(tree, [1, 1], [0, 0], [3000, -5000], leans=False)
    assert p == [1000, -2000]


def test_a_neighbours_export_relieves_the_feeder():
    tree = feeder([4000, np.inf, np.inf], [np.inf] * 3)
    p, _ = settle(tree, [1, 2], [0, 1], [3000, -6000])
    assert p == [3000, -6000]


def test_own_supply_is_not_shared_out_when_the_feeder_is_short():
    # a: 5 kW solar and 7 kW load, b: 7 kW load, the feeder brings 5 kW. a serves itself with 5; the two
    # claims on the feeder are 2 and 7: max-min gives 2 and 3.
    tree = feeder([5000, np.inf, np.inf], [np.inf] * 3)
    p, limiting = settle(tree, [1, 1, 2], [0, 0, 1], [5000, -7000, -7000])
    assert p == [5000, -7000, -3000]
    assert limiting == [-1, -1, 0]


def test_surplus_is_curtailed_and_not_self_consumption():
    # Both have 5 kW of solar, a uses all of it; the feeder takes 2.5 kW out: b keeps half, a everything.
    tree = feeder([np.inf] * 3, [2500, np.inf, np.inf])
    p, limiting = settle(tree, [1, 1, 2], [0, 0, 1], [5000, -5000, 5000])
    assert p == [5000, -5000, 2500]
    assert limiting == [-1, -1, 0]


def test_storage_is_curtailed_before_solar():
    tree = feeder([np.inf] * 3, [4000, np.inf, np.inf])
    p, _ = settle(tree, [1, 2], [0, 1], [3000, 3000], export_class=[0, 1])
    assert p == [3000, 1000]


def test_equal_surpluses_are_curtailed_equally():
    tree = feeder([np.inf] * 3, [3000, np.inf, np.inf])
    p, _ = settle(tree, [1, 2], [0, 1], [4000, 2000])
    assert p == [1500, 1500]


def test_critical_load_is_served_before_charging():
    tree = feeder([np.inf, 3000, np.inf], [np.inf] * 3)
    p, limiting = settle(tree, [1, 1, 1], [0, 0, 0], [-2500, -2000, -4000], import_class=[0, 1, 3])
    assert p == [-2500, -500, 0]
    assert limiting == [-1, 1, 1]


def test_a_flow_that_ramps_down_keeps_its_claim_until_it_is_gone():
    # The feeder takes 4 kW out. A battery that was giving 3 kW is told to stop, and still flows: the sun gets 1.
    tree = feeder([np.inf] * 3, [4000, np.inf, np.inf])
    zero = np.zeros(2, np.int64)
    plan = plan_net(tree, np.array([1, 2]), np.array([0, 1]), zero, np.array([0, 1]))
    wanted, held = np.array([4_000_000, 0]), np.array([0, 3_000_000])
    first = allocate_net(plan, wanted, wanted, np.ones(2), held)
    assert first.p_milli_w.tolist() == [1_000_000, 0]
    assert allocate_net(plan, wanted, wanted, np.ones(2)).p_milli_w.tolist() == [4_000_000, 0]


def test_own_supply_itself_is_shared_by_class_behind_a_narrow_outlet():
    # 3 kW of own sun at the connection, 1.6 kW of loads at an outlet that carries 1 kW: the critical one first.
    tree = CapacityTree(
        ("feeder", "home", "outlet"),
        np.array([-1, 0, 1]),
        np.array([np.inf, np.inf, 1000.0]),
        np.full(3, np.inf),
    )
    p, limiting = settle(tree, [1, 2, 2], [0, 0, 0], [3000, -800, -800], import_class=[0, 0, 2])
    assert p == [3000, -800, -200]
    assert limiting == [-1, -1, 2]


def test_a_weight_that_is_no_share_is_refused_where_shares_are_needed():
    tree = feeder([np.inf, 1000, np.inf], [np.inf] * 3)
    zero = np.zeros(2, np.int64)
    plan = plan_net(tree, np.array([1, 1]), zero, zero, zero)
    wanted = np.array([-900_000, -900_000])
    with pytest.raises(InvalidRequest, match="weight of claim 1"):
        allocate_net(plan, wanted, zero, np.array([1.0, 0.0]))
    with pytest.raises(InvalidRequest, match="sum"):
        allocate_net(plan, wanted * 10**10, zero, np.ones(2))


def test_a_negative_account_is_refused():
    with pytest.raises(InvalidRequest, match="account of device 0"):
        settle(feeder([1, 1, 1], [1, 1, 1]), [1], [-1], [0])
