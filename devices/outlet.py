"""Smart outlets: what they measure from sampled waveforms, and their relay: overload trip and temperature.

| symbol | name in code | meaning |
|---|---|---|
| θ | `overload_pu` | thermal image of the wiring: dθ/dt = ((i/i_rated)² - θ)/τ, trips at θ_trip |
| T | `temp_c` | relay temperature: heated by V_on·I + R_on·I² through its thermal resistance |
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from devices.arrays import BoolArray, FloatArray
from devices.errors import BadInput

# A 20 A solid-state relay on a heat sink: data-sheet values of such parts.
RATED_A: Final = 20.0
ON_VOLTAGE_V: Final = 0.8
ON_RESISTANCE_OHM: Final = 0.010
THERMAL_RESISTANCE_K_PER_W: Final = 1.5
THERMAL_TIME_S: Final = 120.0
LARGEST_TEMP_C: Final = 100.0
# Inverse time: 1.13 times the rated current never trips, 1.45 times trips within the hour (IEC 60898-1 for its type
# test currents); a short circuit trips within the sample.
OVERLOAD_TIME_S: Final = 1800.0
OVERLOAD_TRIP_PU: Final = 1.13**2
INSTANT_TRIP_PU: Final = 5.0
ADC_BITS: Final = 16
ADC_FULL_SCALE_V: Final = 500.0
ADC_FULL_SCALE_A: Final = 60.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """What outlets measure over whole cycles; arrays (n,) float64.

    Attributes
    ----------
    v_rms, i_rms : V, A
    p_w : active power as the socket's user draws it, W
    apparent_va : v_rms · i_rms
    power_factor : p_w / apparent_va, 0 without current
    """

    v_rms: FloatArray
    i_rms: FloatArray
    p_w: FloatArray
    apparent_va: FloatArray
    power_factor: FloatArray


def quantised(values: FloatArray, full_scale: float) -> FloatArray:
    """Return values as a signed 16-bit converter gives them, clipped at full scale."""
    levels = 2 ** (ADC_BITS - 1)
    codes = np.clip(np.round(values / full_scale * levels), -levels, levels - 1)
    read: FloatArray = codes * (full_scale / levels)
    return read


def measure(voltage_v: FloatArray, current_a: FloatArray) -> Measurement:
    """Measure sampled waveforms.

    Parameters
    ----------
    voltage_v, current_a : (n, k) float64
        k samples over whole cycles, sampled above 1 kHz.

    Raises
    ------
    BadInput
        If shapes differ or there are fewer than 20 samples (1 kHz over one 50 Hz cycle).
    """
    if voltage_v.shape != current_a.shape or voltage_v.ndim != 2 or voltage_v.shape[1] < 20:
        raise BadInput("waveform", "two arrays (n, k) of one shape with k >= 20", got=voltage_v.shape)
    v = quantised(voltage_v, ADC_FULL_SCALE_V)
    i = quantised(current_a, ADC_FULL_SCALE_A)
    v_rms = np.sqrt(np.mean(v * v, axis=1))
    i_rms = np.sqrt(np.mean(i * i, axis=1))
    p_w = np.mean(v * i, axis=1)
    apparent = v_rms * i_rms
    has_current = apparent > 0.0
    factor = np.where(has_current, p_w / np.where(has_current, apparent, 1.0), 0.0)
    return Measurement(v_rms, i_rms, p_w, apparent, factor)


@dataclass(frozen=True, slots=True)
class RelayState:
    """State of n relays; arrays (n,).

    Attributes
    ----------
    is_closed : bool, as commanded and not tripped
    is_tripped : bool, until `reset`
    overload_pu, temp_c : float64
    """

    is_closed: BoolArray
    is_tripped: BoolArray
    overload_pu: FloatArray
    temp_c: FloatArray


def resting(n: int, temp_c: float = 20.0) -> RelayState:
    """Return n closed, cold relays."""
    return RelayState(np.ones(n, np.bool_), np.zeros(n, np.bool_), np.zeros(n), np.full(n, temp_c))


def step_relays(
    state: RelayState, i_rms: FloatArray, is_wanted: BoolArray, ambient_c: float, dt_s: float
) -> RelayState:
    """Advance relays by a step at constant current.

    Parameters
    ----------
    i_rms : (n,) float64
        Current through closed relays, A; counts as 0 for open ones.
    is_wanted : (n,) bool
        Closed by command.

    Notes
    -----
    Both first-order equations are solved exactly, for any step. A relay trips at the step in whose course its
    overload image, its temperature or the current exceed their limits; it stays open until `reset`.
    """
    current = np.where(state.is_closed, i_rms, 0.0)
    share = (current / RATED_A) ** 2
    overload = share + (state.overload_pu - share) * np.exp(-dt_s / OVERLOAD_TIME_S)
    heat_w = ON_VOLTAGE_V * current + ON_RESISTANCE_OHM * current * current
    settled = ambient_c + THERMAL_RESISTANCE_K_PER_W * heat_w
    temp = settled + (state.temp_c - settled) * np.exp(-dt_s / THERMAL_TIME_S)
    trips = (overload >= OVERLOAD_TRIP_PU) | (temp >= LARGEST_TEMP_C) | (current >= INSTANT_TRIP_PU * RATED_A)
    is_tripped = state.is_tripped | trips
    return RelayState(is_wanted & ~is_tripped, is_tripped, overload, temp)


def reset(state: RelayState, which: BoolArray) -> RelayState:
    """Return relays whose trip somebody acknowledged; they close at the next step if wanted."""
    return RelayState(state.is_closed, state.is_tripped & ~which, state.overload_pu, state.temp_c)
