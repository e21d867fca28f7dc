"""The area's frequency against the issue's benchmark, a closed form and an independent solver."""

from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from devices.errors import BadInput
from devices.frequency_area import Area, AreaState, advance, frequency_hz

BENCHMARK = Area(inertia_s=4.0, damping_pu=1.0, droop_pu=0.05, lag_s=8.0)
KUNDUR = Area(
    456.3 / 2 / 36, 0.0, 0.05, lag_s=7.0, lead_s=2.1, valve_s=0.49, f0_hz=60.0, base_w=3.6e9
)  # tests/data/andes/README.md
ANDES = Path(__file__).parents[2] / "data" / "andes" / "kundur_load_step.csv"


def frequencies_hz(area, loss_pu, dt_s, n):
    state, found = AreaState(), []
    for _ in range(n):
        state = advance(area, state, 0.0, loss_pu, dt_s)
        found.append(frequency_hz(area, state))
    return np.array(found)


def test_the_benchmark_area_falls_to_its_published_nadir():
    f = frequencies_hz(BENCHMARK, 0.10, 0.01, 3_000)
    assert f.min() == pytest.approx(49.012, abs=1e-3)
    assert (f.argmin() + 1) * 0.01 == pytest.approx(2.81, abs=0.01)
    # Final value theorem: -0.10 / (D + 1/R).
    assert frequencies_hz(BENCHMARK, 0.10, 100.0, 3)[-1] == pytest.approx(50.0 * (1 - 0.10 / 21.0), abs=1e-9)


def test_a_step_is_exact_whatever_its_length():
    fine, coarse = frequencies_hz(BENCHMARK, 0.10, 0.01, 500), frequencies_hz(BENCHMARK, 0.10, 2.5, 2)
    assert coarse[0] == pytest.approx(fine[249], abs=1e-10)
    assert coarse[1] == pytest.approx(fine[499], abs=1e-10)


def test_lead_valve_and_secondary_control_follow_their_differential_equations():
    area = Area(5.0, 1.2, 0.04, lag_s=7.0, lead_s=2.0, valve_s=0.5, secondary_per_s=0.2)

    def slope(_t, y):  # written out by hand from the module's equations
        w, valve, lag, secondary = y
        mechanical = lag + 2.0 / 7.0 * (valve - lag)
        return [
            (mechanical + secondary - 0.1 - 1.2 * w) / 10.0,
            (-w / 0.04 - valve) / 0.5,
            (valve - lag) / 7.0,
            -0.2 * w,
        ]

    reference = solve_ivp(slope, (0.0, 20.0), np.zeros(4), rtol=1e-11, atol=1e-13, t_eval=np.arange(1, 21))
    assert frequencies_hz(area, 0.1, 1.0, 20) == pytest.approx(50.0 * (1 + reference.y[0]), abs=1e-7)


def test_secondary_control_brings_the_frequency_back():
    area = Area(4.0, 1.0, 0.05, 8.0, secondary_per_s=0.3)
    assert frequencies_hz(area, 0.10, 100.0, 12)[-1] == pytest.approx(50.0, abs=1e-4)


def test_the_nadir_of_kundurs_system_is_that_of_andes():
    table = np.loadtxt(ANDES, delimiter=",", skiprows=1)
    f = frequencies_hz(KUNDUR, 0.5306 / 36, 0.01, 3_000)
    assert f.min() == pytest.approx(table[:, 1].min(), abs=0.010)  # the bar
    assert f.min() == pytest.approx(table[:, 1].min(), abs=0.002)  # what is reached
    assert (f.argmin() + 1) * 0.01 == pytest.approx(table[table[:, 1].argmin(), 0], abs=0.2)
    # Swings between the areas are no part of one mass: they stay below 10 mHz all the way.
    at = np.rint(table[1:, 0] / 0.05) * 0.05
    assert np.abs(f[np.rint(at / 0.01).astype(int) - 1] - table[1:, 1])[at > 0.1].max() < 0.010
    # Without the network's losses the step is the load alone: still inside the bar.
    assert frequencies_hz(KUNDUR, 0.5 / 36, 0.01, 600).min() == pytest.approx(table[:, 1].min(), abs=0.010)


@pytest.mark.parametrize(
    ("name", "value"), [("inertia_s", 0.0), ("lag_s", -1.0), ("damping_pu", -0.1), ("droop_pu", np.nan)]
)
def test_an_area_that_cannot_be_is_refused(name, value):
    fields = {"inertia_s": 4.0, "damping_pu": 1.0, "droop_pu": 0.05, "lag_s": 8.0} | {name: value}
    with pytest.raises(BadInput, match=name):
        Area(**fields)


def test_powers_and_steps_that_are_no_numbers_are_refused():
    with pytest.raises(BadInput, match="support_pu"):
        advance(BENCHMARK, AreaState(), np.nan, 0.0, 1.0)
    with pytest.raises(BadInput, match="dt_s"):
        advance(BENCHMARK, AreaState(), 0.0, 0.0, 0.0)
