"""Many storages as one: what they can do, who runs, who owes whom; against brute force and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.catalogue import home_battery, pdu_module
from devices.fleet import step
from devices.parameters import build_fleet
from devices.state import FleetInputs, initial_state
from node.controller.errors import InvalidRequest
from node.controller.virtual_battery import (
    Loans,
    aggregate,
    best_load_w,
    borrow,
    concentrate,
    storage_power_w,
)


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


def test_the_textbook_case_is_feasible_only_as_physics_allows():
    """A needs 200 W and has 100 W, B needs 50 W of its 150 W: it closes without loss, and not with any."""
    need, spare, priority = np.array([100.0, 0.0]), np.array([0.0, 100.0]), np.zeros(2, np.int64)
    ideal = borrow(need, spare, priority, 1.0)
    assert ideal.short_w.tolist() == [0, 0] and ideal.given_w.tolist() == [0, 100]
    real = borrow(need, spare, priority, 0.94)
    assert real.received_w.tolist() == pytest.approx([94, 0])
    assert real.short_w.tolist() == pytest.approx([6, 0])


def test_lenders_give_in_proportion_and_important_needs_come_first():
    got = borrow(np.array([60.0, 90.0, 0, 0]), np.array([10.0, 0, 80.0, 40.0]), np.array([0, 1, 0, 0]), 0.9)
    # 120 W spare deliver 108 W: 60 for the first, 48 for the second.
    assert got.received_w.tolist() == pytest.approx([60, 48, 0, 0])
    assert got.given_w.tolist() == pytest.approx([0, 0, 80, 40])


def test_loans_are_owed_with_their_losses_and_given_back_in_proportion():
    book = Loans.none(3).lent(np.array([0.0, 80, 40]), np.array([108.0, 0, 0]))
    assert book.owed_wh[0].tolist() == [0, 80, 40]
    book, got = book.given_back(np.array([30.0, 0, 0]))
    assert got.tolist() == [0, 20, 10]
    book, got = book.given_back(np.array([500.0, 0, 0]))
    assert got.tolist() == [0, 60, 30]
    assert book.owed_wh.sum() == pytest.approx(0)


def test_mutual_loans_are_set_off():
    book = Loans(np.array([[0.0, 50.0], [20.0, 0.0]])).netted()
    assert book.owed_wh.tolist() == [[0, 30], [0, 0]]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100), st.integers(0, 2)), min_size=1, max_size=8))
def test_no_energy_appears_from_nowhere(nodes):
    need, spare, priority = (np.array(c) for c in zip(*nodes, strict=True))
    got = borrow(need, spare, priority, 0.9)
    assert got.received_w.sum() == pytest.approx(0.9 * got.given_w.sum(), abs=1e-9)
    assert np.all(got.given_w <= spare + 1e-9) and np.all(got.received_w <= need + 1e-9)
    assert np.all(got.given_w[need > 0] == 0)


@pytest.mark.parametrize(
    ("need", "spare", "efficiency"),
    [([-1.0], [0.0], 1), ([1.0], [np.nan], 1), ([1.0], [0.0], 0), ([1.0], [0.0], 1.1)],
)
def test_impossible_borrowings_are_refused(need, spare, efficiency):
    with pytest.raises(InvalidRequest):
        borrow(np.array(need), np.array(spare), np.zeros(1, np.int64), efficiency)
