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
