"""Service curves at every knee, both directions, and what units make of them."""

from pathlib import Path

import numpy as np
import pytest

from devices.catalogue import home_battery
from devices.errors import BadInput
from devices.fleet import step
from devices.frequency_response import DYNAMIC_CONTAINMENT, LINEAR_DROOP, ServiceCurve, response_w
from devices.parameters import build_fleet
from devices.state import FleetInputs, initial_state

PMU = Path(__file__).parents[2] / "data" / "gmlc" / "pmu_event_30hz.csv"


@pytest.mark.parametrize(
    ("f_hz", "share_pu"),
    [
        (50.0, 0.0), (49.985, 0.0), (50.015, 0.0), (49.8, 0.05), (50.2, -0.05), (49.5, 1.0), (50.5, -1.0),
        (49.35, 1.0), (50.65, -1.0), (49.65, 0.525), (50.1075, -0.025),
    ],
)  # fmt: skip
def test_dynamic_containment_is_nesos_curve_at_every_knee(f_hz, share_pu):
    # NESO: 0 to 15 mHz, 5 % at 0.2 Hz, 100 % at 0.5 Hz, straight lines between (midpoints by hand).
    assert DYNAMIC_CONTAINMENT.response_pu(f_hz - 50.0) == pytest.approx(share_pu, abs=1e-9)


def test_linear_droop_is_full_at_a_fifth_of_a_hertz():
    assert LINEAR_DROOP.response_pu(np.array([-0.2, -0.015, 0.1075, 0.2, 0.3])) == pytest.approx(
        [1.0, 0.0, -0.5, -1.0, -1.0], abs=1e-9
    )
    assert LINEAR_DROOP.steepest_pu_per_hz == pytest.approx(1 / 0.185)
    assert DYNAMIC_CONTAINMENT.steepest_pu_per_hz == pytest.approx(0.95 / 0.3)


def test_a_lower_gain_stretches_the_curve_and_keeps_deadband_and_full_power():
    assert LINEAR_DROOP.response_pu(-0.2, 0.5) == pytest.approx(0.5)
    assert LINEAR_DROOP.response_pu(-0.015, 0.5) == 0.0
    assert LINEAR_DROOP.response_pu(-0.385, 0.5) == pytest.approx(1.0)


def test_units_inject_below_nominal_and_withdraw_above_on_what_they_promised():
    up, down = np.array([1_000.0, 0.0, 500.0]), np.array([200.0, 800.0, 0.0])
    assert response_w(LINEAR_DROOP, -0.2, up, down).tolist() == [1_000.0, 0.0, 500.0]
    assert response_w(LINEAR_DROOP, 0.2, up, down).tolist() == [-200.0, -800.0, 0.0]
    each = response_w(LINEAR_DROOP, np.array([-0.2, 0.2, 0.0]), up, down)
    assert each.tolist() == [1_000.0, -800.0, 0.0]


@pytest.mark.parametrize("late_s", [0.0, 0.1, 0.2])
def test_a_measured_event_is_tracked_at_thirty_samples_a_second(late_s):
    # The phasor measurement of a lost generator (tests/data/gmlc): eight batteries with their ramps, a delay.
    deviation = np.loadtxt(PMU, delimiter=",", skiprows=1)[:, 1] - 60.0
    fleet = build_fleet([home_battery(f"battery-{i}") for i in range(8)])
    state, inputs, up = initial_state(fleet), FleetInputs.quiet(8), np.full(8, 2_500.0)
    asked = DYNAMIC_CONTAINMENT.response_pu(deviation) * up.sum()
    late = round(late_s * 30)
    given = []
    for k in range(deviation.size):
        wanted = response_w(DYNAMIC_CONTAINMENT, deviation[max(k - late, 0)], up, up)
        state, flows = step(fleet, state, inputs, wanted, 1 / 30)
        given.append(flows.terminal_wh.sum() * 3_600 * 30)
    assert deviation.min() == pytest.approx(-0.230, abs=1e-3)
    assert np.abs(np.array(given) - asked).max() <= 0.03 * up.sum()
    assert np.all(state.energy_wh >= fleet.reserve_wh)


@pytest.mark.parametrize(
    ("deviation_hz", "share_pu"),
    [
        ((0.2,), (1.0,)), ((0.2, 0.1), (0.0, 1.0)), ((0.1, 0.2), (0.1, 1.0)), ((0.1, 0.2), (0.0, 0.9)),
        ((-0.1, 0.2), (0.0, 1.0)),
    ],
)  # fmt: skip
def test_a_curve_that_does_not_rise_from_nothing_to_all_is_refused(deviation_hz, share_pu):
    with pytest.raises(BadInput):
        ServiceCurve(deviation_hz, share_pu)
