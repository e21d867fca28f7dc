"""Many storages as one: what they can do and who runs; against brute force and by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.catalogue import home_battery, pdu_module
from devices.fleet import source_power_w, step
from devices.parameters import build_fleet
from devices.specification import Mode
from devices.state import FleetInputs, initial_state
from node.controller.virtual_battery import LOADS_PU, aggregate, best_load_w, concentrate, storage_power_w


def share(total, low, high, best, soc, running=None, group=None):
    n = len(low)
    return concentrate(
        np.zeros(n, np.int64) if group is None else np.array(group),
        np.atleast_1d(np.array(total, float)),
        np.array(low, float),
        np.array(high, float),
        np.array(best, float),
        np.array(soc, float),
        np.zeros(n, bool) if running is None else np.array(running),
    )


def test_a_small_power_runs_on_one_converter_the_fullest():
    assert share(30, [-100] * 3, [100] * 3, [40] * 3, [0.5, 0.9, 0.7]).tolist() == [0, 30, 0]


def test_charging_starts_with_the_emptiest():
    assert share(-30, [-100] * 3, [100] * 3, [40] * 3, [0.5, 0.9, 0.7]).tolist() == [-30, 0, 0]


def test_more_join_as_the_power_grows_and_all_share():
    assert share(110, [-100] * 3, [100] * 3, [40] * 3, [0.5, 0.9, 0.7]).tolist() == pytest.approx(
        [110 / 3] * 3
    )
    assert share(300, [-100] * 3, [100] * 3, [40] * 3, [0.5, 0.9, 0.7]).tolist() == pytest.approx([100] * 3)


def test_whoever_runs_goes_on_while_charge_is_about_equal():
    soc = [0.52, 0.51, 0.54]
    assert share(30, [-100] * 3, [100] * 3, [40] * 3, soc, [False, True, False]).tolist() == [0, 30, 0]


def test_groups_are_apart():
    got = share([30, -50], [-100] * 4, [100] * 4, [60] * 4, [0.5, 0.9, 0.5, 0.9], group=[0, 0, 1, 1])
    assert got.tolist() == [0, 30, -50, 0]


def test_the_choice_loses_no_more_than_two_percent_above_the_best_of_all_subsets():
    """Ten modules of a PDU, every number of them tried at equal shares: 10 modules lose far more at low power."""
    params = build_fleet([pdu_module(f"m{k}") for k in range(6)])
    units = np.arange(6)
    best = best_load_w(params)
    for total in (5.0, 20.0, 60.0, 150.0, 320.0, 590.0):

        def loss(p):
            return float((storage_power_w(params, units, p) - p).sum())

        got = share(total, [-50] * 6, [100] * 6, best, [0.5] * 6)
        tried = []
        for k in range(1, 7):
            if total / k <= 100:
                p = np.zeros(6)
                p[:k] = total / k
                tried.append(loss(p))
        assert got.sum() == pytest.approx(total)
        assert total + loss(got) <= (total + min(tried)) * 1.02
    spread = np.full(6, 5.0 / 6)
    assert loss(spread) > 3 * loss(share(5.0, [-50] * 6, [100] * 6, best, [0.5] * 6))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.floats(0, 100),
            st.floats(0, 100),
            st.floats(1, 100),
            st.floats(0, 1),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.floats(-1, 1), min_size=3, max_size=3),
)
def test_shares_sum_to_the_total_inside_limits(units, fraction):
    group, charge, discharge, best, soc, running = (np.array(c) for c in zip(*units, strict=True))
    up = np.bincount(group, weights=discharge, minlength=3)
    down = np.bincount(group, weights=charge, minlength=3)
    total = np.where(np.array(fraction) > 0, up, down) * np.array(fraction)
    p = share(total, -charge, discharge, best, soc, running, group)
    assert np.all(p >= -charge - 1e-6) and np.all(p <= discharge + 1e-6)
    assert np.bincount(group, weights=p, minlength=3) == pytest.approx(total, abs=1e-6)


def test_the_aggregate_promises_what_the_fleet_then_delivers():
    params = build_fleet(
        [home_battery("a", initial_pu=0.3), home_battery("b", initial_pu=0.8), pdu_module("m")]
    )
    state, inputs = initial_state(params), FleetInputs.quiet(3)
    together = aggregate(params, state, inputs, np.arange(3), 900.0)
    assert together.energy_wh == pytest.approx(2000 + 7000 + 0.5 * 50)
    low = np.array([5000.0, 5000.0, 100.0])
    _, flows = step(params, state, inputs, low, 900.0)
    assert flows.terminal_wh.sum() == pytest.approx(together.p_discharge_w / 4, rel=5e-3)
    assert together.duration_s >= 900.0


def test_the_efficiency_curve_is_what_the_fleet_then_loses():
    params = build_fleet([home_battery("a", initial_pu=0.8), home_battery("b", initial_pu=0.8)])
    state, inputs = initial_state(params), FleetInputs.quiet(2)
    together = aggregate(params, state, inputs, np.arange(2), 900.0)
    assert together.efficiency_pu.size == len(LOADS_PU)
    # At a fiftieth one converter runs, at full power both: what a second of the fleet's own step takes from the stores.
    for load, shares in ((0.02, (1.0, 0.0)), (1.0, (0.5, 0.5))):
        p_w = load * together.p_discharge_w * np.array(shares)
        running = replace(state, p_w=p_w, main_p_w=p_w)
        _, flows = step(params, running, inputs, p_w, 1.0)
        standing_wh = step(params, state, inputs, np.zeros(2), 1.0)[1].loss_wh.sum()
        drawn_wh = -flows.stored_delta_wh.sum() - standing_wh
        assert together.efficiency_pu[LOADS_PU.index(load)] == pytest.approx(
            flows.terminal_wh.sum() / drawn_wh, rel=2e-3
        )
    # Two converters at a hundredth each would lose far more than one at a fiftieth.
    alone = np.full(2, 0.01 * together.p_discharge_w)
    spread = alone.sum() / source_power_w(params, state, alone).sum()
    assert together.efficiency_pu[0] > spread + 0.03


def test_owners_reserves_are_kept_in_an_emergency_too():
    params = build_fleet([home_battery("a", initial_pu=0.3, reserve_pu=0.2)])
    state = initial_state(params)
    calm = aggregate(params, state, FleetInputs.quiet(1), np.arange(1), 3_600.0)
    dark = replace(state, mode=np.full(1, Mode.EMERGENCY, np.int64))
    assert (
        aggregate(params, dark, FleetInputs.quiet(1), np.arange(1), 3_600.0).p_discharge_w
        == calm.p_discharge_w
    )
    assert calm.p_discharge_w <= calm.energy_wh


def test_no_storages_are_no_battery():
    params = build_fleet([home_battery("a", initial_pu=0.8)])
    none = aggregate(params, initial_state(params), FleetInputs.quiet(1), np.array([], np.int64), 900.0)
    assert none.p_discharge_w == 0.0 and none.energy_wh == 0.0 and not none.efficiency_pu.any()
