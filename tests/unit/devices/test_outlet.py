"""Outlets: measurement of known waveforms, and the relay's trip time and temperature in closed form."""

import dataclasses

import numpy as np
import pytest

from devices import outlet
from devices.errors import BadInput


def test_known_waveforms_give_their_textbook_values() -> None:
    """230 V; 10 A lagging by 60°: 1150 W, power factor 0.5. Square current in phase: P = V·I·2√2/π."""
    phase = 2.0 * np.pi * np.arange(400) / 200.0
    v = np.sqrt(2.0) * 230.0 * np.sin(phase)
    lagging = np.sqrt(2.0) * 10.0 * np.sin(phase - np.pi / 3.0)
    square = 5.0 * np.sign(np.sin(phase + 1e-6))
    got = outlet.measure(np.stack([v, v, v]), np.stack([lagging, square, np.zeros(400)]))
    np.testing.assert_allclose(got.v_rms, 230.0, rtol=1e-4)
    np.testing.assert_allclose(got.i_rms, [10.0, 5.0, 0.0], rtol=1e-3)
    np.testing.assert_allclose(got.p_w, [1_150.0, 230.0 * 5.0 * 2.0 * np.sqrt(2.0) / np.pi, 0.0], rtol=1e-3)
    np.testing.assert_allclose(got.power_factor, [0.5, 2.0 * np.sqrt(2.0) / np.pi, 0.0], atol=1e-3)


def test_sixteen_bits_resolve_and_clip() -> None:
    lsb = 60.0 / 32_768.0
    got = outlet.quantised(np.asarray([0.4 * lsb, 0.6 * lsb, 1e3, -1e3]), 60.0)
    np.testing.assert_allclose(got, [0.0, lsb, 60.0 - lsb, -60.0])


@pytest.mark.parametrize("dt_s", [0.01, 1.0, 7.0])
def test_an_overload_trips_after_its_closed_form_time(dt_s: float) -> None:
    """Cold start at 1.45 I: t = τ·ln(i²/(i² - θ_trip)), within the hour."""
    share = 1.45**2
    expected = outlet.OVERLOAD_TIME_S * np.log(share / (share - outlet.OVERLOAD_TRIP_PU))
    assert expected < 3600.0
    # Only the last minute in small steps: the solution is exact, so the way there may be one step.
    state = outlet.step_relays(
        outlet.resting(1), np.asarray([29.0]), np.ones(1, bool), -40.0, expected - 60.0
    )
    time = expected - 60.0
    while not state.is_tripped[0]:
        state = outlet.step_relays(state, np.asarray([29.0]), np.ones(1, bool), -40.0, dt_s)
        time += dt_s
    assert expected - 1e-6 <= time <= expected + dt_s + 1e-6
    assert not state.is_closed[0]


def test_a_little_above_rated_current_never_trips_and_a_short_circuit_trips_at_once() -> None:
    state = outlet.resting(2)
    state = outlet.step_relays(state, np.asarray([22.5, 150.0]), np.ones(2, bool), 20.0, 0.01)
    assert state.is_tripped.tolist() == [False, True]
    state = outlet.step_relays(state, np.asarray([22.5, 150.0]), np.ones(2, bool), 20.0, 1e6)
    assert state.is_tripped.tolist() == [False, True]


def test_relay_temperature_settles_where_heat_and_cooling_balance() -> None:
    state = outlet.step_relays(outlet.resting(1), np.asarray([20.0]), np.ones(1, bool), 20.0, 1e6)
    assert state.temp_c[0] == pytest.approx(20.0 + 1.5 * (0.8 * 20.0 + 0.010 * 400.0))
    hot = dataclasses.replace(outlet.resting(1), temp_c=np.asarray([101.0]))
    assert outlet.step_relays(hot, np.zeros(1), np.ones(1, bool), 20.0, 0.01).is_tripped[0]


def test_a_tripped_relay_stays_open_until_it_is_reset() -> None:
    state = outlet.step_relays(outlet.resting(1), np.asarray([500.0]), np.ones(1, bool), 20.0, 0.01)
    state = outlet.step_relays(state, np.zeros(1), np.ones(1, bool), 20.0, 60.0)
    assert not state.is_closed[0]
    state = outlet.step_relays(
        outlet.reset(state, np.ones(1, bool)), np.zeros(1), np.ones(1, bool), 20.0, 1.0
    )
    assert state.is_closed[0]
    opened = outlet.step_relays(state, np.zeros(1), np.zeros(1, bool), 20.0, 1.0)
    assert not opened.is_closed[0] and not opened.is_tripped[0]


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(BadInput, match="waveform"):
        outlet.measure(np.zeros((1, 10)), np.zeros((1, 10)))
