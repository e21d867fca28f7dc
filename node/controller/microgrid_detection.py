"""Is the supply gone: trip windows of voltage, frequency and its rate of change over measured samples.

A window trips when a value has stayed outside it for its clearing time; a value that comes back starts anew. An
islanded part without anybody who forms its voltage leaves the windows by itself: where generation does not match load
through its voltage, where it does because every inverter pushes the frequency away from nominal (`drift`).

References
----------
IEEE Std 1547-2018: tables 11 to 13 (voltage trip), 18 (frequency trip), 21 (rate of change), 4 (enter service),
clause 8.1.1 (unintentional islands end within 2 s). Thresholds for 60 Hz are used as distances from nominal.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.controller.network import FloatArray

BoolArray = NDArray[np.bool_]

DETECTION_LIMIT_S: Final = 2.0
SAMPLE_S: Final = 0.01


class Cause(IntEnum):
    """Which window tripped."""

    UNDERVOLTAGE = 0
    OVERVOLTAGE = 1
    UNDERFREQUENCY = 2
    OVERFREQUENCY = 3
    RATE_OF_CHANGE = 4


@dataclass(frozen=True, slots=True)
class Window:
    """A bound and how long it may be crossed: per unit for voltage, Hz from nominal, or Hz/s."""

    cause: Cause
    bound: float
    clearing_s: float


IEEE_1547_CATEGORY_II: Final = (
    Window(Cause.UNDERVOLTAGE, 0.70, 10.0),
    Window(Cause.UNDERVOLTAGE, 0.45, 0.16),
    Window(Cause.OVERVOLTAGE, 1.10, 2.0),
    Window(Cause.OVERVOLTAGE, 1.20, 0.16),
    Window(Cause.UNDERFREQUENCY, -1.5, 300.0),
    Window(Cause.UNDERFREQUENCY, -3.5, 0.16),
    Window(Cause.OVERFREQUENCY, 1.2, 300.0),
    Window(Cause.OVERFREQUENCY, 2.0, 0.16),
    # Category III rides through 3 Hz/s; what changes faster for as long as the mean is taken is no system's inertia.
    Window(Cause.RATE_OF_CHANGE, 3.0, 0.5),
)
"""Default trip settings (category II), and the widest ride-through of the rate of change."""


@dataclass(frozen=True, slots=True)
class Trip:
    """When the supply was found gone, seconds as in the samples, and why."""

    at_s: float
    cause: Cause


def detect(
    t_s: FloatArray,
    v_pu: FloatArray,
    f_hz: FloatArray,
    nominal_hz: float,
    windows: tuple[Window, ...] = IEEE_1547_CATEGORY_II,
) -> Trip | None:
    """Return the first trip in a series of samples, or None.

    Parameters
    ----------
    t_s, v_pu, f_hz : float64 (n_samples,)
        Rising times; a sample holds until the next.

    Raises
    ------
    ValueError
        If lengths differ or times do not rise.
    """
    if not t_s.shape == v_pu.shape == f_hz.shape or np.any(np.diff(t_s) <= 0):
        raise ValueError(
            f"samples of {t_s.shape}, {v_pu.shape}, {f_hz.shape}: need one length and rising times"
        )
    found = []
    for window in windows:
        is_outside = _is_outside(window, t_s, v_pu, f_hz - nominal_hz)
        # A rate is a mean over the clearing time already.
        stays_s = 0.0 if window.cause is Cause.RATE_OF_CHANGE else window.clearing_s
        at_s = _first_s(t_s, is_outside, stays_s)
        if at_s is not None:
            found.append(Trip(at_s, window.cause))
    return min(found, key=lambda trip: (trip.at_s, trip.cause), default=None)


def _is_outside(window: Window, t_s: FloatArray, v_pu: FloatArray, off_hz: FloatArray) -> BoolArray:
    match window.cause:
        case Cause.UNDERVOLTAGE:
            return v_pu < window.bound
        case Cause.OVERVOLTAGE:
            return v_pu > window.bound
        case Cause.UNDERFREQUENCY:
            return off_hz < window.bound
        case Cause.OVERFREQUENCY:
            return off_hz > window.bound
        case Cause.RATE_OF_CHANGE:
            # The mean over the clearing time: single samples of a phasor measurement are noise.
            before = np.interp(t_s - window.clearing_s, t_s, off_hz)
            span = np.minimum(t_s - t_s[0], window.clearing_s) if t_s.size else t_s
            return (np.abs(off_hz - before) > window.bound * window.clearing_s) & (span >= window.clearing_s)


def _first_s(t_s: FloatArray, is_outside: BoolArray, clearing_s: float) -> float | None:
    """Return when a value has been outside for the clearing time without a break."""
    if not is_outside.any():
        return None
    last_inside = np.maximum.accumulate(np.where(is_outside, -1, np.arange(t_s.size)))
    began = np.where(is_outside, np.minimum(last_inside + 1, t_s.size - 1), 0)
    ends = np.r_[t_s[1:], t_s[-1]]
    due = t_s[began] + clearing_s
    hit = np.flatnonzero(is_outside & (ends >= due - 1e-9))
    return float(max(due[hit[0]], t_s[hit[0]])) if hit.size else None


# Sandia frequency shift: chopping fraction at nominal and its gain per Hz (Ye, Walling, Garces, Zhou, Wang,
# NREL/SR-560-36243, 2004); quality factor of the load as IEEE 1547.1 tests it; the loop that follows the phase.
_CHOPPING_PU, _CHOPPING_PER_HZ, _QUALITY, _LOOP_S = 0.02, 0.10, 1.0, 0.1
_COLLAPSE_S = 0.02  # a cycle: what is left of the voltage after the supply opened


def drift(generation_w: float, load_w: float, nominal_hz: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return time, voltage and frequency of a part that lost its supply and has nobody to form its voltage.

    Parameters
    ----------
    generation_w, load_w : float
        Injected and drawn when the supply opened, >= 0.

    Returns
    -------
    float64 (200,) each
        s after the opening every 10 ms, per unit, Hz.

    Notes
    -----
    Inverters are sources of constant power into loads of constant impedance, so V^2 = generation / load. Each
    advances its phase with the frequency, `theta = pi/2 (c + K (f - fn))`, more than the load's phase gives way,
    `2 Q (f - fn) / fn`: the frequency runs away.
    """
    t_s = np.arange(round(DETECTION_LIMIT_S / SAMPLE_S), dtype=np.float64) * SAMPLE_S
    end_pu = min(np.sqrt(generation_w / load_w), 2.0) if load_w > 0 else (2.0 if generation_w > 0 else 0.0)
    v_pu = end_pu + (1.0 - end_pu) * np.exp(-t_s / _COLLAPSE_S)
    push = np.pi / 2 * _CHOPPING_PU
    growth = np.pi / 2 * _CHOPPING_PER_HZ - 2 * _QUALITY / nominal_hz
    speed = nominal_hz / (2 * _QUALITY * _LOOP_S)
    # d(off)/dt = speed (push + growth off), from 0; nobody follows beyond 10 Hz.
    off_hz = np.minimum(push / growth * np.expm1(np.minimum(speed * growth * t_s, 50.0)), 10.0)
    f_hz = nominal_hz + (off_hz if generation_w > 0 else np.zeros_like(t_s))
    return t_s, np.asarray(v_pu, np.float64), np.asarray(f_hz, np.float64)
