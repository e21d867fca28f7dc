"""Droop: steady state in closed form, steps against a nonlinear integration, and limits kept within five seconds."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from node.controller.errors import InvalidRequest
from node.controller.microgrid_droop import (
    FILTER_S,
    FREQUENCY_DROOP_PU,
    REACTANCE_PU,
    VOLTAGE_DROOP_PU,
    advanced,
    at_rest,
    form,
)

RATED = np.array([5_000.0, 5_000.0, 8_000.0, 3_000.0])
NOTHING = np.zeros(4)


def run(island, state, set_w, load_w, load_var, seconds):
    seen = []
    for _ in range(round(seconds / island.step_s)):
        state = advanced(island, state, set_w, load_w, load_var, 50.0)
        seen.append((state.f_hz, state.v_pu))
    return state, np.array(seen)


def test_the_steady_state_is_the_closed_form():
    """f = fn - P / sum(1/k), every inverter in proportion to its rating."""
    island = form(RATED, 50.0)
    rest = at_rest(island, NOTHING, 10_500.0, 2_000.0, 50.0)
    assert rest.f_hz == pytest.approx(50.0 - FREQUENCY_DROOP_PU * 50.0 * 10_500.0 / RATED.sum())
    assert rest.p_w == pytest.approx(RATED * 0.5)
    assert rest.v_pu == pytest.approx(1.0 - (VOLTAGE_DROOP_PU + REACTANCE_PU) * 2_000.0 / RATED.sum())
    after, _ = run(island, rest, NOTHING, 10_500.0, 2_000.0, 3.0)
    assert after.f_hz == pytest.approx(rest.f_hz, abs=1e-9)
    assert after.p_w == pytest.approx(rest.p_w, abs=1e-6)
    assert after.v_pu == pytest.approx(rest.v_pu, abs=1e-12)


def test_steps_arrive_at_the_closed_form():
    island = form(RATED, 50.0)
    set_w = np.array([1_000.0, 0.0, 2_000.0, 500.0])
    after, _ = run(island, at_rest(island, NOTHING, 0.0, 0.0, 50.0), set_w, 9_000.0, 3_000.0, 5.0)
    rest = at_rest(island, set_w, 9_000.0, 3_000.0, 50.0)
    assert after.f_hz == pytest.approx(rest.f_hz, abs=1e-6)
    assert after.p_w == pytest.approx(rest.p_w, rel=1e-5)
    assert after.q_var == pytest.approx(rest.q_var, rel=1e-5)


def test_a_step_is_that_of_the_nonlinear_equations():
    """Independent: SciPy integrates angles behind reactances with their sines, the bus angle found by Newton."""
    island = form(RATED, 50.0)
    set_w, load_w, n = np.array([3_000.0, 500.0, 1_000.0, 200.0]), 8_000.0, 4
    k, b = FREQUENCY_DROOP_PU * 50.0 / RATED, RATED / REACTANCE_PU

    def powers(angle):
        theta = float(np.average(angle, weights=b))
        for _ in range(30):
            theta += (np.sum(b * np.sin(angle - theta)) - load_w) / np.sum(b * np.cos(angle - theta))
        return b * np.sin(angle - theta)

    def slope(_, x):
        angle, measured = x[:n], x[n:]
        return np.r_[2 * np.pi * k * (set_w - measured), (powers(angle) - measured) / FILTER_S]

    rest = at_rest(island, NOTHING, 4_000.0, 0.0, 50.0)
    times = np.arange(1, 101) * 0.01
    exact = solve_ivp(slope, (0, 1), np.r_[rest.angle_rad, rest.p_w], t_eval=times, rtol=1e-9, atol=1e-9)
    state = rest
    for column in range(times.size):
        state = advanced(island, state, set_w, load_w, 0.0, 50.0)
        # Angles stay below 0.05 rad, where a sine is its argument to 0.05 %.
        assert state.p_w == pytest.approx(exact.y[n:, column], abs=0.001 * RATED.sum())


@pytest.mark.parametrize("load_pu", [-1.0, -0.5, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("power_factor", [1.0, 0.9])
def test_after_any_step_within_the_ratings_frequency_and_voltage_are_inside_their_bands(
    load_pu, power_factor
):
    """+-1 % and +-5 % within five seconds; here at every moment."""
    island = form(RATED, 50.0)
    load_w = load_pu * RATED.sum() * power_factor
    load_var = abs(load_w) * np.tan(np.arccos(power_factor))
    _, seen = run(island, at_rest(island, NOTHING, 0.0, 0.0, 50.0), NOTHING, load_w, load_var, 5.0)
    assert np.all(np.abs(seen[:, 0] - 50.0) <= 0.5)
    assert np.all(np.abs(seen[:, 1] - 1.0) <= 0.05)
    assert np.ptp(seen[-100:, 0]) < 1e-4, "settled"


def test_given_what_the_load_is_the_island_runs_at_nominal():
    island = form(RATED, 50.0)
    assert at_rest(island, RATED * 0.4, RATED.sum() * 0.4, 0.0, 50.0).f_hz == pytest.approx(50.0)


def test_one_inverter_forms_an_island_alone():
    island = form(np.array([4_000.0]), 60.0)
    assert at_rest(island, np.zeros(1), 4_000.0, 0.0, 60.0).f_hz == pytest.approx(
        60.0 * (1 - FREQUENCY_DROOP_PU)
    )


@pytest.mark.parametrize("rated", [[], [0.0, 5.0], [-1.0]])
def test_an_island_without_an_inverter_is_refused(rated):
    with pytest.raises(InvalidRequest, match="ratings above zero"):
        form(np.array(rated), 50.0)
