"""Flywheels: energy, coast-down and machine loss against closed forms."""

import dataclasses

import numpy as np
import pytest

from devices import catalogue, fleet
from devices.errors import BadTable
from devices.flywheel import rack_flywheel
from devices.parameters import build_fleet
from devices.state import FleetInputs, initial_state
from devices.storage_tables import StorageKind, stack_tables


@pytest.mark.parametrize("dt_s", [0.1, 10.0, 900.0])
def test_coast_down_of_the_fleet_equals_the_analytic_solution(dt_s: float) -> None:
    wheel = rack_flywheel()
    params = build_fleet([catalogue.flywheel_unit("wheel", initial_pu=1.0)])
    state = initial_state(params)
    inputs = FleetInputs.quiet(1)
    hours = 0.05 if dt_s < 1.0 else 6.0
    for _ in range(round(hours * 3600.0 / dt_s)):
        state, _ = fleet.step(params, state, inputs, np.zeros(1), dt_s)
    expected = wheel.coast_down_rad_s(wheel.speed_max_rad_s, hours * 3600.0)
    assert float(wheel.speed_rad_s(state.energy_wh)[0]) == pytest.approx(float(expected), rel=1e-9)


def test_analytic_coast_down_solves_its_equation_of_motion() -> None:
    wheel = rack_flywheel()
    t = np.linspace(0.0, 7_200.0, 7_201)
    speed = wheel.coast_down_rad_s(wheel.speed_max_rad_s, t)
    slope = np.gradient(speed, t)
    torque = -(wheel.bearing_torque_nm + wheel.drag_nm_s * speed)
    np.testing.assert_allclose(slope[1:-1] * wheel.inertia_kg_m2, torque[1:-1], rtol=1e-6)
    frictionless = dataclasses.replace(wheel, drag_nm_s=0.0)
    expected = wheel.speed_max_rad_s - wheel.bearing_torque_nm * 600.0 / wheel.inertia_kg_m2
    assert float(frictionless.coast_down_rad_s(wheel.speed_max_rad_s, 600.0)) == pytest.approx(expected)


def test_a_wheel_without_drag_coasts_down_linearly_in_the_fleet_and_stops() -> None:
    wheel = dataclasses.replace(rack_flywheel(), drag_nm_s=0.0, bearing_torque_nm=0.2)
    tables = list(catalogue.shipped_storage_tables())
    tables[StorageKind.FLYWHEEL] = wheel.storage_table()
    params = build_fleet(
        [catalogue.flywheel_unit("wheel", initial_pu=1.0)], tables=stack_tables(tuple(tables))
    )
    state, _ = fleet.step(params, initial_state(params), FleetInputs.quiet(1), np.zeros(1), 900.0)
    expected = wheel.coast_down_rad_s(wheel.speed_max_rad_s, 900.0)
    assert float(wheel.speed_rad_s(state.energy_wh)[0]) == pytest.approx(float(expected), rel=1e-9)
    for _ in range(8):
        state, _ = fleet.step(params, state, FleetInputs.quiet(1), np.zeros(1), 3600.0)
    assert state.energy_wh[0] == 0.0


def test_stored_energy_is_half_inertia_times_speed_squared() -> None:
    wheel = rack_flywheel()
    assert float(wheel.energy_wh(3_000.0)) == pytest.approx(0.5 * wheel.inertia_kg_m2 * 9e6 / 3600.0)
    assert float(wheel.speed_rad_s(wheel.energy_wh(3_000.0))) == pytest.approx(3_000.0)
    assert wheel.usable_from_pu() == pytest.approx(0.25)


def test_copper_loss_grows_with_the_square_of_torque() -> None:
    """At half speed the same power needs twice the torque: four times the loss."""
    wheel = rack_flywheel()
    table = wheel.storage_table()
    full, half_speed = table.resistance_h[0, 0, -1], table.resistance_h[0, 0, 128]
    assert half_speed == pytest.approx(4.0 * full, rel=1e-12)
    loss_w = full * wheel.rated_w**2 / wheel.capacity_wh()
    assert loss_w == pytest.approx(wheel.copper_loss_pu * wheel.rated_w)


def test_braking_power_comes_back_as_speed() -> None:
    """Regeneration: 10 kW for 30 s, energy at the rotor = terminal minus losses, to rounding."""
    params = build_fleet([catalogue.flywheel_unit("wheel", initial_pu=0.5)])
    state = dataclasses.replace(initial_state(params), p_w=np.asarray([-10e3]))
    after, flows = fleet.step(params, state, FleetInputs.quiet(1), np.asarray([-10e3]), 30.0)
    assert flows.terminal_wh[0] == pytest.approx(-10e3 * 30.0 / 3600.0)
    gained = after.energy_wh[0] - state.energy_wh[0]
    assert gained == pytest.approx(-flows.terminal_wh[0] - flows.loss_wh[0], abs=1e-9)
    assert 0.85 < gained / -flows.terminal_wh[0] < 0.97


def test_an_impossible_wheel_is_refused() -> None:
    with pytest.raises(BadTable, match="speed_min"):
        dataclasses.replace(rack_flywheel(), speed_min_rad_s=9e9)
    with pytest.raises(BadTable, match="losses"):
        dataclasses.replace(rack_flywheel(), drag_nm_s=-1.0)
