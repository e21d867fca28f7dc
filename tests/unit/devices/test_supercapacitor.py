"""Supercapacitors: closed forms, and a measured profile predicted from another."""

from collections.abc import Callable

import numpy as np
import pytest

from devices.errors import BadInput, BadTable
from devices.supercapacitor import Supercapacitor, bank_cell
from devices.supercapacitor_fit import fit, response_v

Lines = Callable[[str], list[str]]
Profile = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _profile(lines: list[str]) -> Profile:
    """Return times and currents, times and voltages of a digitised measurement.

    The file lists voltages first, then current densities (A/m²; the capacitor comes out per m²). Current
    flows from t = 0 on, and its reversal (from about 100 to -800 A/m² between two points) is a step right
    after the earlier.
    """
    rows = np.asarray([[float(v) for v in line.split()[1:3]] for line in lines[1:] if line.strip()])
    split = int(np.flatnonzero(np.abs(rows[:, 1]) > 50.0)[0])
    volts, current = rows[:split], rows[split:]
    reversal = int(np.flatnonzero(np.diff(current[:, 1]) < -500.0)[0])
    tiny = 1e-4
    time = np.concatenate(
        [
            [-1.0, 0.0, tiny],
            current[: reversal + 1, 0],
            [current[reversal, 0] + tiny],
            current[reversal + 1 :, 0],
        ]
    )
    amps = np.concatenate(
        [
            [0.0, 0.0, current[0, 1]],
            current[: reversal + 1, 1],
            [current[reversal + 1, 1]],
            current[reversal + 1 :, 1],
        ]
    )
    later = np.concatenate([[True] * 3, time[3:] > tiny])
    time, amps = time[later], amps[later]
    return time + 1e-7 * np.arange(time.size), amps, volts[:, 0], volts[:, 1]


GUESS = Supercapacitor("measured", 3_000.0, 100.0, 1e-3, 1e6, 2.7, 1.0)


def test_a_fit_on_one_measured_profile_predicts_the_other_within_50_mv(reference_lines: Lines) -> None:
    current_s, current_a, at_s, volts = _profile(reference_lines("supercap/data_25V.txt"))
    fitted = fit(GUESS, current_s, current_a, at_s, volts)
    current_s, current_a, at_s, volts = _profile(reference_lines("supercap/data.txt"))
    predicted = response_v(fitted, current_s, current_a, at_s, float(volts[0]))
    assert np.sqrt(np.mean((predicted - volts) ** 2)) < 0.050


def test_fit_finds_the_capacitor_that_made_the_data() -> None:
    true = Supercapacitor("true", 2_500.0, 200.0, 0.8e-3, 1e6, 2.7, 1.0)
    current_s = np.asarray([0.0, 10.0, 10.001, 20.0, 20.001, 40.0])
    current_a = np.asarray([100.0, 100.0, -60.0, -60.0, 150.0, 150.0])
    at_s = np.linspace(0.0, 40.0, 200)
    volts = response_v(true, current_s, current_a, at_s, 1.2)
    # The first value is taken as the voltage at rest.
    volts[0] = 1.2
    fitted = fit(
        GUESS,
        np.concatenate([[-1.0, -1e-6], current_s]),
        np.concatenate([[0.0, 0.0], current_a]),
        np.concatenate([[-0.5], at_s]),
        np.concatenate([[1.2], response_v(true, current_s, current_a, at_s, 1.2)]),
    )
    assert fitted.c0_f == pytest.approx(2_500.0, rel=1e-3)
    assert fitted.c1_f_per_v == pytest.approx(200.0, rel=1e-2)
    assert fitted.series_ohm == pytest.approx(0.8e-3, rel=1e-3)


def test_charge_energy_and_voltage_follow_their_closed_forms() -> None:
    bank = bank_cell()
    v = np.linspace(0.0, 2.7, 271)
    np.testing.assert_allclose(bank.voltage_v(bank.charge_c(v)), v, atol=1e-12)
    # E = integral of V dQ.
    dq = np.diff(bank.charge_c(v))
    energy = np.concatenate([[0.0], np.cumsum(0.5 * (v[1:] + v[:-1]) * dq)])
    np.testing.assert_allclose(bank.energy_j(v), energy, rtol=1e-4, atol=0.1)
    assert float(bank.energy_j(2.7) - bank.energy_j(1.35)) == pytest.approx(0.5 * 3000.0 * (2.7**2 - 1.35**2))


def test_impossible_capacitors_and_too_few_points_are_refused() -> None:
    with pytest.raises(BadTable, match="capacitance"):
        Supercapacitor("x", 100.0, -50.0, 1e-3, 1e3, 2.7, 1.0)
    with pytest.raises(BadTable, match="v_min"):
        Supercapacitor("x", 100.0, 0.0, 1e-3, 1e3, 2.7, 2.8)
    three = np.arange(3.0)
    with pytest.raises(BadInput, match="four"):
        fit(GUESS, three, three, three, three)
