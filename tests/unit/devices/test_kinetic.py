"""Kinetic modules: the bank takes the surge and the ramp, the flywheel the rest."""

import dataclasses

import numpy as np
import pytest

from devices import catalogue, fleet
from devices.kinetic import BUFFER_TARGET_PU, ramped
from devices.parameters import build_fleet
from devices.state import FleetInputs, initial_state

PARAMS = build_fleet([catalogue.kinetic_module("module")])
INPUTS = FleetInputs.quiet(1)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_full_power_is_there_after_one_10_ms_step_and_holds(sign: float) -> None:
    state = dataclasses.replace(initial_state(PARAMS), energy_wh=np.asarray([350.0]))
    full = np.asarray([sign * 25_000.0])
    for step_number in range(300):
        state, flows = fleet.step(PARAMS, state, INPUTS, full, 0.01)
        if step_number > 0:
            assert flows.terminal_wh[0] * 360_000.0 == pytest.approx(full[0], rel=1e-6)
        assert state.p_w[0] == full[0]
    # By now the flywheel carries it (and a little more, to bring the bank back).
    assert abs(state.main_p_w[0]) >= 0.8 * 25_000.0


def test_the_bank_gives_the_surge_first_and_the_flywheel_follows_at_its_ramp() -> None:
    state = initial_state(PARAMS)
    state, _ = fleet.step(PARAMS, state, INPUTS, np.asarray([20_000.0]), 0.01)
    assert state.main_p_w[0] == pytest.approx(250.0)
    before = state.buffer_wh[0]
    for _ in range(50):
        state, _ = fleet.step(PARAMS, state, INPUTS, np.asarray([20_000.0]), 0.01)
    assert state.buffer_wh[0] < before
    assert state.main_p_w[0] == pytest.approx(25_000.0 * 0.51, rel=1e-6)


def test_the_bank_comes_back_to_its_target_while_the_module_is_idle() -> None:
    state = dataclasses.replace(initial_state(PARAMS), buffer_wh=np.asarray([20.0]))
    exchanged = 0.0
    for _ in range(240):
        state, flows = fleet.step(PARAMS, state, INPUTS, np.zeros(1), 1.0)
        exchanged += abs(flows.terminal_wh[0])
    assert state.buffer_wh[0] / 60.0 == pytest.approx(BUFFER_TARGET_PU, abs=0.03)
    assert exchanged < 1e-6


def test_an_unplugged_module_stops_at_once() -> None:
    running = dataclasses.replace(initial_state(PARAMS), p_w=np.asarray([20e3]), main_p_w=np.asarray([20e3]))
    gone = dataclasses.replace(INPUTS, is_present=np.asarray([False]))
    state, flows = fleet.step(PARAMS, running, gone, np.asarray([20e3]), 0.01)
    assert flows.terminal_wh[0] == 0.0 and state.main_p_w[0] == 0.0


def test_ramp_mean_is_the_area_under_the_ramp() -> None:
    mean, end = ramped(
        np.asarray([0.0, 0.0, 50.0]), np.asarray([100.0, 100.0, 50.0]), np.asarray([50.0, 500.0, np.inf]), 1.0
    )
    np.testing.assert_allclose(end, [50.0, 100.0, 50.0])
    np.testing.assert_allclose(mean, [25.0, 90.0, 50.0])
