"""Voltage optimisation against CIGRE LV (pandapower), closed forms and search through every sequence."""

import csv
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.load import (
    deferred_after_wh,
    thermostatic_demand_w,
    thermostatic_power_w,
    zip_power_w,
)
from node.controller.errors import InvalidRequest
from node.controller.powerflow import Feeder, PhaseLoads, balanced_v, solve
from node.controller.voltage import (
    Band,
    TapChanger,
    TapTable,
    customer_pu,
    long_run_share,
    plan_taps,
    stay,
    tap_table,
)

CIGRE = Path(__file__).parents[3] / "data" / "cigre_lv"
CASES = {"P": (0.0, 0.0), "I": (0.0, 1.0), "Z": (1.0, 0.0), "ZIP": (0.4, 0.2)}
V = 230.0
BAND = Band()


def rows(name):
    with (CIGRE / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def cigre(case):
    """The CIGRE LV network with balanced loads of a kind: feeder, loads, row of each bus."""
    children = {}
    for one in rows("branches"):
        z_ohm = complex(float(one["r_ohm"]), float(one["x_ohm"]))
        children.setdefault(int(one["from_bus"]), []).append((int(one["to_bus"]), z_ohm))
    row, parent, z = {0: 0}, [-1], [0j]
    queue = [0]
    for bus in queue:
        for child, z_ohm in children.get(bus, ()):
            row[child] = len(parent)
            parent.append(row[bus])
            z.append(z_ohm)
            queue.append(child)
    # Balanced loads on transposed lines see the positive sequence alone.
    feeder = Feeder(np.array(parent), np.array(z)[:, None, None] * np.eye(3), balanced_v(400 / np.sqrt(3)))
    loads = rows("loads")
    s_va = np.array([complex(float(one["p_w"]), float(one["q_var"])) for one in loads]) / 3
    share = CASES[case]
    return (
        feeder,
        PhaseLoads(
            np.repeat([row[int(one["bus"])] for one in loads], 3),
            np.tile(np.arange(3), len(loads)),
            np.repeat(s_va, 3)[:, None],
            400 / np.sqrt(3),
            impedance_share=share[0],
            current_share=share[1],
        ),
        row,
    )


@pytest.mark.parametrize("case", CASES)
def test_cigre_lv_flows_and_voltages_agree_with_pandapower(case):
    feeder, loads, row = cigre(case)
    for flow in (one for one in rows("flows") if one["case"] == case):
        solved = solve(feeder, loads, source_pu=float(flow["source_pu"]))
        assert solved.source_va().real[0] == pytest.approx(float(flow["source_w"]), abs=1.0)
        assert solved.loss_w(feeder).sum() == pytest.approx(float(flow["loss_w"]), abs=1.0)
        v_pu = np.abs(solved.v_v[:, :, 0]) / (400 / np.sqrt(3))
        for bus in rows("voltages"):
            if bus["case"] == case and bus["source_pu"] == flow["source_pu"]:
                assert np.abs(v_pu[row[int(bus["bus"])]] - float(bus["v_pu"])).max() < 1e-6


@pytest.mark.parametrize(("case", "published"), [("P", -0.09), ("I", 1.01), ("Z", 1.99), ("ZIP", 0.966)])
def test_the_cvr_factor_of_cigre_lv_is_the_published_one(case, published):
    """(dE/E) / (dV/V) at the source, losses included, for one percent less voltage."""
    feeder, loads, _ = cigre(case)
    full, less = (solve(feeder, loads, source_pu=v).source_va().real[0] for v in (1.0, 0.99))
    assert (less / full - 1) / -0.01 == pytest.approx(published, abs=0.02)


def street(impedance=0.4, current=0.2, scale=1.0, n_steps=24):
    """A street of six homes on three phases over a day: heavy in the evening, sun at noon."""
    z = np.zeros((7, 3, 3), np.complex128)
    z[1:] = (0.06 + 0.02j) * np.eye(3)
    feeder = Feeder(np.arange(-1, 6), z, balanced_v(V))
    hour = np.arange(n_steps) * 24 / n_steps
    shape = 400 + 2_600 * np.exp(-((hour - 19) ** 2) / 6) + 900 * np.exp(-((hour - 7) ** 2) / 3)
    size = np.array([1.0, 0.6, 1.3, 0.8, 1.1, 0.9])
    loads = PhaseLoads(
        np.arange(1, 7),
        np.arange(6) % 3,
        (scale * size[:, None] * shape).astype(np.complex128),
        V,
        impedance_share=impedance,
        current_share=current,
    )
    return feeder, loads


def test_the_lowest_voltage_saves_and_keeps_every_customer_in_the_band():
    feeder, loads = street()
    changer = TapChanger(0.0125, -6, 2, max_switchings=12)
    table = tap_table(feeder, loads, changer)
    plan, home = plan_taps(table, changer, BAND), stay(table, changer, BAND)
    assert plan.n_switchings <= 12
    # Not by the table but by a power flow of every step: the farthest home, on its own phase.
    ratio = changer.ratio_pu(plan.position)
    v_pu = customer_pu(solve(feeder, loads, source_pu=ratio), loads)
    assert v_pu.min() >= 0.95
    assert v_pu.max() <= 1.05
    assert np.abs(ratio).min() < 1.0
    saved = 1 - plan.drawn_w.sum() / home.drawn_w.sum()
    # ZIP(.4/.2/.4) draws about as much less as the voltage is lower.
    assert saved == pytest.approx(1 - np.average(ratio, weights=home.drawn_w), rel=0.1)


def test_where_loads_are_constant_power_it_stays():
    feeder, loads = street(0.0, 0.0)
    changer = TapChanger(0.0125, -6, 2, max_switchings=12)
    table = tap_table(feeder, loads, changer)
    # A lower voltage raises current and losses.
    assert np.all(np.diff(table.drawn_w, axis=1) < 0)
    plan = plan_taps(table, changer, Band(0.85, 1.15))
    assert plan.n_switchings == 0
    assert np.all(plan.position == 0)


def test_where_a_thermostat_takes_everything_back_it_stays():
    feeder, loads = street(1.0, 0.0)
    changer = TapChanger(0.0125, -6, 2, max_switchings=12)
    table = tap_table(feeder, loads, changer, np.full((6, 1), np.inf))
    assert plan_taps(table, changer, Band(0.85, 1.15)).n_switchings == 0
    without_rebound = tap_table(feeder, loads, changer)
    assert plan_taps(without_rebound, changer, Band(0.85, 1.15)).n_switchings > 0


def test_a_customer_below_the_band_is_lifted_even_if_it_costs_energy():
    feeder, loads = street(scale=3.0)
    changer = TapChanger(0.0125, -6, 6, max_switchings=24)
    table = tap_table(feeder, loads, changer)
    assert stay(table, changer, BAND).outside_pu.max() > 0
    plan = plan_taps(table, changer, BAND)
    assert plan.outside_pu.max() == 0
    assert plan.position.max() > 0


def test_solar_gives_way_before_anybody_is_too_high_and_the_source_makes_up_for_it():
    """V2 (V2 - V1) / R = P: the largest twentieth of 9 kW that stays below 1.05 at each position."""
    z = np.zeros((2, 3, 3), np.complex128)
    z[1] = 0.5 * np.eye(3)
    feeder = Feeder(np.array([-1, 0]), z, balanced_v(V))
    sun = PhaseLoads(np.array([1]), np.array([0]), np.array([[-9_000.0 + 0j]]), V)
    changer = TapChanger(0.02, -2, 2)
    table = tap_table(feeder, sun, changer, is_solar=np.array([True]), high_pu=1.05)
    most_w = 1.05 * V * (1.05 - changer.ratio_pu(changer.positions)) * V / 0.5
    share = np.minimum(np.floor(most_w / 9_000 * 20) / 20, 1.0)
    assert table.high_pu.max() <= 1.05
    v2 = table.high_pu[0] * V
    injected_w = v2 * (v2 - changer.ratio_pu(changer.positions) * V) / 0.5
    assert injected_w == pytest.approx(9_000 * share, rel=1e-4)
    # A lower position lets more sun through: the source draws less.
    assert np.all(np.diff(table.drawn_w[0]) > 0)


def test_a_position_at_which_the_voltage_collapses_is_never_chosen():
    """Over 0.5 ohm at most V1^2 / (4 R) arrives: 24 kW need V1 >= 219 V, positions from -2 up."""
    z = np.zeros((2, 3, 3), np.complex128)
    z[1] = 0.5 * np.eye(3)
    feeder = Feeder(np.array([-1, 0]), z, balanced_v(V))
    load = PhaseLoads(np.array([1]), np.array([0]), np.array([[24_000.0, 2_000.0]], np.complex128), V)
    changer = TapChanger(0.02, -5, 5)
    table = tap_table(feeder, load, changer)
    needed = np.sqrt(4 * 0.5 * 24_000) / V
    assert (table.low_pu[0] > 0).tolist() == (changer.ratio_pu(changer.positions) >= needed).tolist()
    assert table.low_pu[1].min() > 0.8
    assert plan_taps(table, changer, BAND).position[0] == 5


def test_a_narrow_band_counts_both_ends_of_the_feeder():
    narrow = Band().within(0.01)
    assert (narrow.low_pu, narrow.high_pu) == pytest.approx((0.96, 1.04))
    outside = narrow.outside_pu(np.array([0.95, 0.97, 0.98]), np.array([1.0, 1.06, 1.03]))
    assert outside == pytest.approx([0.01, 0.02, 0.0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_the_plan_is_the_best_of_all_sequences(seed, most):
    """Every one of 4^5 sequences is tried; the plan draws as little as the best that keeps the band as well."""
    rng = np.random.default_rng(seed)
    changer = TapChanger(0.02, -2, 1, max_switchings=most, least_saving_pu=0.0)
    low = rng.uniform(0.92, 0.99, (5, 1)) + changer.positions * 0.02
    table = TapTable(rng.uniform(900, 1100, (5, 4)), low, low + rng.uniform(0.02, 0.06, (5, 1)))
    outside = BAND.outside_pu(table.low_pu, table.high_pu)
    best = None
    for sequence in product(range(4), repeat=5):
        if np.abs(np.diff(sequence, prepend=2)).sum() <= most:
            at = (np.arange(5), np.array(sequence))
            found = (round(float(outside[at].sum()), 12), float(table.drawn_w[at].sum()))
            best = found if best is None or found < best else best
    plan = plan_taps(table, changer, BAND)
    assert plan.n_switchings <= most
    assert plan.outside_pu.sum() == pytest.approx(best[0], abs=1e-11)
    assert plan.drawn_w.sum() == pytest.approx(best[1], abs=1e-2)


def heated_day(position, changer, need_w, tau_s, recovery_s, dt_s):
    """Energy at the terminals of resistive heaters, and the need left, of many sequences at once, Wh."""
    deferred, used = np.zeros(len(position)), np.zeros(len(position))
    for step, need in enumerate(need_w):
        base = np.full(len(position), need)
        share = zip_power_w(np.ones(len(position)), changer.ratio_pu(position[:, step]), 1.0, 0.0)
        for _ in range(30):
            demand = thermostatic_demand_w(
                base, deferred, np.full_like(base, recovery_s), 5 * base, dt_s / 30
            )
            drawn = thermostatic_power_w(demand, base, deferred, share, dt_s / 30)
            deferred = deferred_after_wh(deferred, base, drawn, np.full_like(base, tau_s), dt_s / 30)
            used += drawn * dt_s / 30 / 3600
    return used + deferred


def test_with_rebound_the_plan_reaches_95_percent_of_the_best_of_all_sequences():
    """A quarter thermostats that lose heat slowly, the rest lamps: all 4^6 sequences of two-hour steps are run."""
    changer = TapChanger(0.02, -3, 0, max_switchings=18)
    tau, recovery = 4 * 3600.0, 1800.0
    need = np.array([800.0, 1500, 600, 900, 2000, 1000])
    z = np.zeros((2, 3, 3), np.complex128)
    z[1] = 1.0 * np.eye(3)
    feeder = Feeder(np.array([-1, 0]), z, balanced_v(V))
    half = need / 2
    loads = PhaseLoads(
        np.array([1, 1]), np.array([0, 0]), np.array([half, half], np.complex128), V, impedance_share=1.0
    )
    table = tap_table(feeder, loads, changer, np.array([[tau / recovery], [0.0]]))
    plan = plan_taps(table, changer, BAND)
    every = np.array(list(product(range(-3, 1), repeat=6)))
    step = np.arange(6)
    allowed = every[(table.low_pu[step, every + 3] >= BAND.low_pu).all(axis=1)]
    lamps_only = tap_table(feeder, replace(loads, s_va=loads.s_va * [[0.0], [1.0]]), changer)

    def energy_wh(sequences):
        heat = heated_day(sequences, changer, half, tau, recovery, 7200.0)
        return heat + lamps_only.drawn_w[step, sequences + 3].sum(axis=1) * 2

    home = energy_wh(np.zeros((1, 6), np.int64))[0]
    best = home - energy_wh(allowed).min()
    reached = home - energy_wh(plan.position[None])[0]
    assert best > 0.01 * home
    assert reached >= 0.95 * best


@pytest.mark.parametrize(
    ("share", "ratio", "expected"),
    [
        (0.9, 0.0, 0.9),  # no thermostat
        (0.9, np.inf, 1.0),  # everything comes back
        (0.9, 4.0, 0.9 * 5 / (1 + 0.9 * 4)),
        (1.1, 4.0, 1.0),  # switches off earlier
        (1.1, 0.0, 1.1),
    ],
)
def test_the_long_run_share_is_what_a_steady_need_draws(share, ratio, expected):
    assert long_run_share(np.array([share]), ratio)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lowest": 1, "highest": 2},
        {"step_pu": 0.0},
        {"step_pu": 0.5},
        {"max_switchings": -1},
        {"least_saving_pu": 1.0},
    ],
)
def test_a_tap_changer_that_cannot_be_is_refused(wrong):
    with pytest.raises(InvalidRequest):
        TapChanger(**({"step_pu": 0.0125, "lowest": -4, "highest": 4} | wrong))
