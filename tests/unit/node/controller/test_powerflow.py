"""Power flow against closed forms of two buses, conservation, and OpenDSS on the IEEE European LV feeder."""

from dataclasses import replace

import numpy as np
import pytest

from node.controller.errors import InvalidNetwork
from node.controller.powerflow import (
    DoesNotConverge,
    Feeder,
    PhaseLoads,
    balanced_v,
    linearise,
    load_current_a,
    phase_impedance_ohm,
    solve,
)

V = 230.0
LV_V = 416 / np.sqrt(3)


def line(*ohms, parent=None):
    """A feeder of uncoupled branches in a row (or as `parent` says)."""
    n = len(ohms) + 1
    z = np.zeros((n, 3, 3), np.complex128)
    for bus, ohm in enumerate(ohms, 1):
        z[bus] = ohm * np.eye(3)
    return Feeder(np.array([-1, *range(n - 1)] if parent is None else parent), z, balanced_v(V))


def load(bus, phase, s_va, **band):
    return PhaseLoads(
        np.atleast_1d(bus), np.atleast_1d(phase), np.array(s_va, np.complex128).reshape(-1, 1), V, **band
    )


def test_two_buses_meet_the_quadratic_equation():
    # V2 (V1 - V2) / R = P: V2 = (V1 + sqrt(V1^2 - 4 R P)) / 2.
    flow = solve(line(0.5), load(1, 0, [10_000]))
    expected = (V + np.sqrt(V**2 - 4 * 0.5 * 10_000)) / 2
    assert abs(flow.v_v[1, 0, 0]) == pytest.approx(expected, abs=1e-5)
    assert np.allclose(np.abs(flow.v_v[1, 1:, 0]), V)


def test_source_power_is_load_plus_loss():
    rng = np.random.default_rng(1)
    feeder = line(0.1 + 0.05j, 0.2, 0.1j, 0.3, parent=[-1, 0, 1, 1, 3])
    loads = PhaseLoads(
        rng.integers(1, 5, 9), rng.integers(0, 3, 9), rng.uniform(-2e3, 3e3, (9, 20)) * (1 + 0.3j), V
    )
    flow = solve(feeder, loads)
    balance = flow.source_va().real - loads.s_va.sum(axis=0).real - flow.loss_w(feeder).sum(axis=0)
    assert np.abs(balance).max() < 1e-3


def test_feeding_in_raises_the_voltage():
    flow = solve(line(0.5), load(1, 2, [-5_000]))
    assert abs(flow.v_v[1, 2, 0]) > V


def test_a_load_outside_its_band_is_a_constant_impedance():
    loads = load(1, 0, [2_300], v_min_pu=0.95, v_max_pu=1.05)
    at = np.array([[0.9 * V], [V], [1.1 * V]], np.complex128)
    currents = [float(load_current_a(loads, v)[0, 0].real) for v in at[:, None]]
    # I = P V / V_edge^2 outside, P / V inside.
    assert currents == pytest.approx([2300 * 0.9 / (0.95**2 * V), 10.0, 2300 * 1.1 / (1.05**2 * V)])


@pytest.mark.parametrize(
    ("z", "i", "v2"),
    [
        (1.0, 0.0, lambda v1, r, p: v1 / (1 + r * p / V**2)),  # a voltage divider
        (0.0, 1.0, lambda v1, r, p: v1 - r * p / V),  # the same current at any voltage
    ],
)
def test_zip_loads_meet_their_closed_forms_at_any_source_voltage(z, i, v2):
    ratio = np.array([0.9, 1.0, 1.1])
    loads = PhaseLoads(
        np.array([1]), np.array([0]), np.full((1, 3), 4_000 + 0j), V, impedance_share=z, current_share=i
    )
    flow = solve(line(0.5), loads, source_pu=ratio)
    assert np.abs(flow.v_v[1, 0]) == pytest.approx([v2(r * V, 0.5, 4_000) for r in ratio], abs=1e-5)


def test_source_power_of_zip_loads_is_what_they_draw_plus_loss():
    rng = np.random.default_rng(2)
    feeder = line(0.1 + 0.05j, 0.2, 0.1j, 0.3, parent=[-1, 0, 1, 1, 3])
    shares = rng.dirichlet((1, 1, 1), 9)
    loads = PhaseLoads(
        rng.integers(1, 5, 9),
        rng.integers(0, 3, 9),
        rng.uniform(-2e3, 3e3, (9, 20)) * (1 + 0.3j),
        V,
        impedance_share=shares[:, :1],
        current_share=shares[:, 1:2],
    )
    flow = solve(feeder, loads, source_pu=rng.uniform(0.9, 1.1, 20))
    drawn = loads.power_va(flow.v_v[loads.bus, loads.phase]).real.sum(axis=0)
    assert np.abs(flow.source_va().real - drawn - flow.loss_w(feeder).sum(axis=0)).max() < 1e-3


def test_mutual_impedance_couples_the_phases():
    z = phase_impedance_ohm(np.array([0j, 0.1 + 0.1j]), np.array([0j, 0.4 + 0.1j]))
    assert z[1, 0, 0] == pytest.approx((2 * (0.1 + 0.1j) + 0.4 + 0.1j) / 3)
    flow = solve(Feeder(np.array([-1, 0]), z, balanced_v(V)), load(1, 0, [5_000]))
    assert abs(abs(flow.v_v[1, 1, 0]) - V) > 0.1


def test_the_linearisation_errs_by_the_square_of_the_drop():
    feeder = line(0.2)
    errors = []
    for p_w in (1_000, 2_000):
        exact, linear = solve(feeder, load(1, 0, [p_w])), linearise(feeder, load(1, 0, [p_w]))
        errors.append(abs(exact.v_v[1, 0, 0] - linear.v_v[1, 0, 0]))
    assert errors[1] / errors[0] == pytest.approx(4, rel=0.02)


def test_a_load_beyond_the_line_is_refused_as_collapse():
    # The most that reaches bus 2 is V^2 / (4 R) = 26 kW.
    with pytest.raises(DoesNotConverge):
        solve(line(0.5), load(1, 0, [30_000]))


@pytest.mark.parametrize("parent", [[-1, -1], [0, 0], [-1, 1], [-1, 0, 2]])
def test_what_is_no_radial_feeder_is_refused(parent):
    n = len(parent)
    with pytest.raises(InvalidNetwork, match="bus 0"):
        Feeder(np.array(parent), np.zeros((n, 3, 3), np.complex128), balanced_v(V))
    with pytest.raises(InvalidNetwork, match="z_ohm"):
        Feeder(np.array(parent), np.zeros((n, 2, 2), np.complex128), balanced_v(V))


def test_the_ieee_feeder_agrees_with_opendss_in_all_minutes(lv_feeder):
    flow = solve(lv_feeder.feeder, lv_feeder.loads)
    reference = lv_feeder.reference
    magnitude_pu = np.abs(flow.v_v[1:]) / LV_V
    assert np.abs(magnitude_pu[1:].min(axis=(0, 1)) - reference["vmin_pu"]).max() < 1e-4
    assert np.abs(magnitude_pu.max(axis=(0, 1)) - reference["vmax_pu"]).max() < 1e-4
    assert magnitude_pu[1:].min() == pytest.approx(0.982, abs=5e-4)
    loss_kw = flow.loss_w(lv_feeder.feeder) / 1e3
    # Branch 1 is the grid behind the 11 kV terminal: not the feeder's loss.
    assert loss_kw[2:].sum(axis=0) == pytest.approx(reference["total_loss_kw"], rel=0.005)
    assert loss_kw[lv_feeder.is_line].sum(axis=0) == pytest.approx(reference["line_loss_kw"], rel=0.005)
    assert loss_kw[2:].sum() / 60 == pytest.approx(5.06, abs=0.01)
    source_kw = np.sum(flow.v_v[1] * flow.i_a[1].conj(), axis=0).real / 1e3
    assert source_kw.sum() / 60 == pytest.approx(522.37, abs=0.05)


def test_the_linearisation_of_the_ieee_feeder_stays_within_a_percent(lv_feeder):
    some = replace(lv_feeder.loads, s_va=lv_feeder.loads.s_va[:, ::60])
    exact, linear = solve(lv_feeder.feeder, some), linearise(lv_feeder.feeder, some)
    assert np.abs(np.abs(exact.v_v) - np.abs(linear.v_v)).max() / LV_V < 0.01
