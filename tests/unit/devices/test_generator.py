"""A generator burns what the published chart says, and no more than its tank holds."""

from dataclasses import fields, make_dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.checkpoint import to_bytes
from devices.errors import BadSpecification
from devices.fleet import deliverable_w, step
from devices.generator import (
    FUEL_PU,
    FUEL_WH_PER_L,
    L_PER_US_GALLON,
    LOAD_PU,
    burn,
    fuel_power_w,
    lasts_s,
    sustained_w,
)
from devices.parameters import build_fleet
from devices.specification import DeviceSpec, Kind
from devices.state import FleetInputs, FleetState, initial_state, state_from_bytes, state_to_bytes

RATED = np.array([20_000.0])
RUNS = np.array([True])


@pytest.mark.parametrize(
    ("load_w", "gallons"), [(5_000.0, 0.6), (10_000.0, 0.9), (15_000.0, 1.3), (20_000.0, 1.6)]
)
def test_the_chart_is_met_at_its_points(load_w, gallons):
    litres = fuel_power_w(np.array([load_w]), RATED)[0] / FUEL_WH_PER_L
    assert litres == pytest.approx(gallons * L_PER_US_GALLON, rel=1e-12)


def test_a_third_of_the_fuel_becomes_electricity_at_full_load_and_less_at_part_load():
    efficiency = LOAD_PU[1:] / FUEL_PU[1:]
    # 43.0 MJ/kg and 832.5 g/l are 9.94 kWh a litre; 6.06 l/h at 20 kW.
    assert efficiency[-1] == pytest.approx(20.0 / (6.0567 * 9.9438), rel=1e-4)
    assert np.all(np.diff(efficiency) > 0)


def test_an_engine_without_load_burns_and_one_that_stands_does_not():
    fuel = np.array([20_000.0])
    idle, after = burn(np.zeros(1), RUNS, fuel, RATED, 3_600.0)
    assert idle[0] == 0.0 and fuel[0] - after[0] == pytest.approx(0.3 * L_PER_US_GALLON * FUEL_WH_PER_L)
    stands, same = burn(np.array([5_000.0]), ~RUNS, fuel, RATED, 3_600.0)
    assert stands[0] == 0.0 and same[0] == fuel[0]


def test_an_empty_tank_stops_the_engine_inside_the_step():
    burnt_w = fuel_power_w(np.array([10_000.0]), RATED)
    given_wh, left = burn(np.array([10_000.0]), RUNS, burnt_w * 0.25, RATED, 3_600.0)
    assert given_wh[0] == pytest.approx(2_500.0) and left[0] == 0.0
    assert lasts_s(float(burnt_w[0]) * 0.25, 10_000.0, 20_000.0) == pytest.approx(900.0)


@given(st.floats(0.0, 1.0), st.floats(1.0, 1e5), st.lists(st.floats(1.0, 900.0), min_size=1, max_size=6))
def test_any_steps_burn_the_same_as_one_long_one(load_pu, fuel_wh, lengths):
    p_w, fuel = load_pu * RATED, np.array([fuel_wh])
    total = 0.0
    for dt_s in lengths:
        given_wh, fuel = burn(p_w, RUNS, fuel, RATED, dt_s)
        total += given_wh[0]
    whole_wh, left = burn(p_w, RUNS, np.array([fuel_wh]), RATED, sum(lengths))
    assert total == pytest.approx(whole_wh[0], rel=1e-9, abs=1e-9)
    assert fuel[0] == pytest.approx(left[0], rel=1e-9, abs=1e-6)


@given(st.floats(0.0, 1e5), st.floats(10.0, 3_600.0))
def test_what_a_tank_promises_for_a_horizon_it_holds(fuel_wh, horizon_s):
    p_w = sustained_w(np.array([fuel_wh]), RATED, horizon_s)
    assert 0.0 <= p_w[0] <= RATED[0]
    given_wh, _ = burn(p_w, RUNS, np.array([fuel_wh]), RATED, horizon_s)
    assert given_wh[0] == pytest.approx(p_w[0] * horizon_s / 3_600, rel=1e-9, abs=1e-9)


def test_in_a_fleet_the_tank_falls_bounds_what_is_promised_and_survives_a_checkpoint():
    fleet = build_fleet(
        [
            DeviceSpec(name="load", kind=Kind.LOAD),
            DeviceSpec(name="diesel", kind=Kind.GENERATOR, p_max_w=20_000.0, fuel_wh=30_000.0),
        ]
    )
    running = FleetInputs(np.zeros(2), np.array([0.0, 20_000.0]), np.ones(2, bool), np.zeros(2))
    state = initial_state(fleet)
    assert state.fuel_wh.tolist() == [0.0, 30_000.0]
    # 30 kWh of fuel in an hour: 1.5 per unit, a third of the way from 10 kW to 15 kW by the chart.
    expected = np.interp(1.5, FUEL_PU, LOAD_PU) * 20_000.0
    assert deliverable_w(fleet, state, running, 3_600.0)[1][1] == pytest.approx(expected)
    after, flows = step(fleet, state, running, np.array([0.0, 10_000.0]), 1_800.0)
    assert flows.source_wh[1] == pytest.approx(5_000.0)
    assert after.fuel_wh[1] == pytest.approx(30_000.0 - 0.45 * L_PER_US_GALLON * FUEL_WH_PER_L)
    assert state_from_bytes(state_to_bytes(after)).fuel_wh[1] == after.fuel_wh[1]
    dry, flows = step(fleet, after, running, np.array([0.0, 20_000.0]), 3_600.0)
    assert dry.fuel_wh[1] == 0.0 and 0 < flows.source_wh[1] < 20_000.0
    assert np.abs(flows.residual_wh()).max() < 1e-9
    assert step(fleet, dry, running, np.array([0.0, 20_000.0]), 60.0)[1].source_wh[1] == 0.0


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"kind": Kind.GENERATOR, "fuel_wh": 0.0, "p_max_w": 5.0}, "fuel_wh"),
        ({"kind": Kind.GENERATOR, "fuel_wh": 5.0}, "p_max_w"),
        ({"kind": Kind.SOLAR, "fuel_wh": 5.0}, "fuel_wh"),
    ],
)
def test_a_generator_has_a_rating_and_fuel_and_nothing_else_has(fields, what):
    with pytest.raises(BadSpecification, match=what):
        DeviceSpec(name="x", **fields)


def test_a_fleet_saved_before_generators_had_tanks_is_read_with_empty_ones():
    fleet = build_fleet([DeviceSpec(name="diesel", kind=Kind.GENERATOR, p_max_w=20_000.0, fuel_wh=30_000.0)])

    state = initial_state(fleet)
    names = [field.name for field in fields(FleetState) if field.name != "fuel_wh"]
    earlier = make_dataclass("FleetState", names)(*(getattr(state, name) for name in names))
    read = state_from_bytes(to_bytes(earlier))
    assert read.fuel_wh.tolist() == [0.0]
    assert state_to_bytes(replace(read, fuel_wh=state.fuel_wh)) == state_to_bytes(state)
