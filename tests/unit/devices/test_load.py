"""Loads: ZIP shares and thermostatic rebound against closed forms."""

import dataclasses

import numpy as np
import pytest

from devices import catalogue, fleet
from devices.load import deferred_after_wh, thermostatic_demand_w, zip_power_w
from devices.parameters import build_fleet
from devices.state import FleetInputs, initial_state


@pytest.mark.parametrize(
    ("z", "i", "expected"),
    [(1.0, 0.0, 0.9025), (0.0, 1.0, 0.95), (0.0, 0.0, 1.0), (0.5, 0.3, 0.5 * 0.9025 + 0.3 * 0.95 + 0.2)],
)
def test_shares_of_impedance_current_and_power_follow_the_voltage(
    z: float, i: float, expected: float
) -> None:
    assert zip_power_w(np.asarray([1_000.0]), 0.95, z, i)[0] == pytest.approx(1_000.0 * expected)


def test_lower_voltage_saves_nothing_on_constant_power_loads_in_the_fleet() -> None:
    params = build_fleet([catalogue.fixed_load("led"), catalogue.fixed_load("heater", impedance_share=1.0)])
    inputs = dataclasses.replace(FleetInputs.quiet(2), load_demand_w=np.full(2, 1_000.0), v_pu=0.95)
    _, flows = fleet.step(params, initial_state(params), inputs, np.full(2, -np.inf), 3600.0)
    np.testing.assert_allclose(flows.sink_wh, [1_000.0, 902.5])


def test_denied_heat_is_caught_up_exponentially() -> None:
    """1 kW denied for 1 h leaves 1 kWh (no losses); with τ_r = 30 min the extra power is D/τ_r·exp(-t/τ_r)."""
    spec = catalogue.thermostatic_load("heat", 50_000.0, thermal_time_s=1e15, recovery_time_s=1800.0)
    params = build_fleet([spec])
    inputs = dataclasses.replace(FleetInputs.quiet(1), load_demand_w=np.asarray([1_000.0]))
    state, flows = fleet.step(params, initial_state(params), inputs, np.zeros(1), 3600.0)
    assert flows.unserved_wh[0] == 1_000.0
    assert state.deferred_wh[0] == pytest.approx(1_000.0)
    extra = 0.0
    for _ in range(36):
        state, flows = fleet.step(params, state, inputs, np.asarray([-np.inf]), 100.0)
        extra += flows.sink_wh[0] - 1_000.0 * 100.0 / 3600.0
        assert flows.unserved_wh[0] == 0.0
    assert extra == pytest.approx(1_000.0 * (1.0 - np.exp(-2.0)), rel=1e-9)
    assert state.deferred_wh[0] == pytest.approx(1_000.0 * np.exp(-2.0), rel=1e-9)


def test_a_leaky_room_needs_less_back_than_it_was_denied() -> None:
    """dD/dt = base - D/τ: after t the need is base·τ·(1 - exp(-t/τ)), less than base·t."""
    tau = np.asarray([7_200.0])
    got = deferred_after_wh(np.zeros(1), np.asarray([1_000.0]), np.zeros(1), tau, 3600.0)
    assert got[0] == pytest.approx(1_000.0 * 2.0 * (1.0 - np.exp(-0.5)))
    half = deferred_after_wh(np.zeros(1), np.asarray([1_000.0]), np.zeros(1), tau, 1800.0)
    twice = deferred_after_wh(half, np.asarray([1_000.0]), np.zeros(1), tau, 1800.0)
    assert twice[0] == pytest.approx(got[0], rel=1e-12)


def test_rebound_never_exceeds_the_rated_power_nor_falls_below_the_base() -> None:
    base = np.asarray([500.0, 5_000.0])
    demand = thermostatic_demand_w(base, np.asarray([9e9, 9e9]), np.full(2, 600.0), np.full(2, 2_000.0), 60.0)
    np.testing.assert_array_equal(demand, [2_000.0, 5_000.0])


def heater(tau_s: float, recovery_s: float = 1800.0, v_pu: float = 0.95):
    """A resistive heater of 1 kW need at a voltage: fleet, first state and inputs."""
    spec = catalogue.thermostatic_load(
        "heat", 50_000.0, thermal_time_s=tau_s, recovery_time_s=recovery_s, impedance_share=1.0
    )
    params = build_fleet([spec])
    quiet = FleetInputs.quiet(1)
    inputs = dataclasses.replace(quiet, load_demand_w=np.asarray([1_000.0]), v_pu=v_pu)
    return params, initial_state(params), inputs


def run(params, state, inputs, hours: float, dt_s: float = 60.0):
    """Run a fleet; return its state and the energy of every step, Wh."""
    used = []
    for _ in range(round(hours * 3600 / dt_s)):
        state, flows = fleet.step(params, state, inputs, np.asarray([-np.inf]), dt_s)
        assert flows.unserved_wh[0] == 0.0  # nobody denied anything
        used.append(flows.sink_wh[0])
    return state, np.array(used)


def test_a_thermostat_gives_back_what_a_lower_voltage_saved() -> None:
    """A room that loses nothing: first 1 - v² is saved, in the end nothing is."""
    params, state, inputs = heater(1e15)
    _, used = run(params, state, inputs, 24)
    assert used[0] * 60 == pytest.approx(902.5, rel=1e-3)
    assert used[-1] * 60 == pytest.approx(1_000.0, rel=1e-6)


def test_in_the_long_run_a_leaky_room_keeps_a_part_of_the_saving() -> None:
    """dD/dt = 0: drawn = z·need·(1 + τ/τ_r)/(1 + z·τ/τ_r)."""
    params, state, inputs = heater(7_200.0)
    _, used = run(params, state, inputs, 24)
    z, ratio = 0.95**2, 4.0
    assert used[-1] * 60 == pytest.approx(1_000.0 * z * (1 + ratio) / (1 + z * ratio), rel=2e-3)


def test_back_at_nominal_voltage_a_thermostat_catches_up_what_it_lacked() -> None:
    params, state, inputs = heater(1e15)
    state, used = run(params, state, inputs, 1)
    lacking = 1_000.0 - used.sum()
    assert state.deferred_wh[0] == pytest.approx(lacking, rel=1e-9)
    _, later = run(params, state, dataclasses.replace(inputs, v_pu=1.0), 12)
    assert later.sum() - 12_000.0 == pytest.approx(lacking, rel=1e-3)


def test_above_nominal_voltage_a_thermostat_draws_its_need_and_no_more() -> None:
    params, state, inputs = heater(7_200.0, v_pu=1.05)
    state, used = run(params, state, inputs, 2)
    np.testing.assert_allclose(used, 1_000.0 / 60, rtol=1e-12)
    assert state.deferred_wh[0] == 0.0
