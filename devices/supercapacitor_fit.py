"""Fit a supercapacitor's capacitance and resistance to a measured current and voltage."""

from dataclasses import replace
from typing import Final

import numpy as np
from scipy.optimize import least_squares

from devices.arrays import FloatArray
from devices.errors import BadInput
from devices.supercapacitor import Supercapacitor

# A reading taken while the current jumps is off by far more than the noise: such points must not steer the fit.
OUTLIER_V: Final = 0.02


def response_v(
    capacitor: Supercapacitor, current_s: FloatArray, current_a: FloatArray, at_s: FloatArray, start_v: float
) -> FloatArray:
    """Return the terminal voltage that a charging current gives.

    Parameters
    ----------
    current_s, current_a : (k,) float64
        The current, > 0 charging, linear between its points, which must not fall in time.
    at_s : (m,) float64
        Where the voltage is wanted, rising, from `current_s[0]` on.
    start_v : float
        Voltage at rest at `at_s[0]`.

    Notes
    -----
    V = V_c(Q) + R·I with Q the integral of the current, exact for a piecewise linear current. Leakage is
    left out: over the minutes of a measurement it is microvolts.
    """
    times = np.union1d(current_s, at_s)
    current = np.interp(times, current_s, current_a)
    moved = np.zeros(times.size)
    np.cumsum(0.5 * (current[1:] + current[:-1]) * np.diff(times), out=moved[1:])
    charge = np.interp(at_s, times, moved)
    charge += capacitor.charge_c(start_v) - charge[0]
    voltage: FloatArray = capacitor.voltage_v(charge) + capacitor.series_ohm * np.interp(
        at_s, current_s, current_a
    )
    return voltage


def fit(
    initial: Supercapacitor,
    current_s: FloatArray,
    current_a: FloatArray,
    at_s: FloatArray,
    voltage_v: FloatArray,
) -> Supercapacitor:
    """Return `initial` with C0, C1 >= 0 and R fitted to a measured voltage.

    Raises
    ------
    BadInput
        If there are fewer than four voltages.

    Notes
    -----
    Least squares with a soft bound on outliers (`OUTLIER_V`).
    """
    if at_s.size < 4 or at_s.shape != voltage_v.shape:
        raise BadInput("voltage_v", "at least four values, one for each time", got=voltage_v.shape)
    scale = np.asarray([initial.c0_f, initial.c0_f / initial.v_max, max(initial.series_ohm, 1e-9)])

    def candidate(x: FloatArray) -> Supercapacitor:
        c0, c1, r = (float(v) for v in x * scale)
        return replace(initial, c0_f=c0, c1_f_per_v=c1, series_ohm=r)

    def errors(x: FloatArray) -> FloatArray:
        return response_v(candidate(x), current_s, current_a, at_s, float(voltage_v[0])) - voltage_v

    found = least_squares(
        errors,
        np.asarray([1.0, 0.1, 1.0]),
        bounds=(np.asarray([0.01, 0.0, 0.0]), np.asarray([100.0, 100.0, 100.0])),
        loss="soft_l1",
        f_scale=OUTLIER_V,
    )
    return candidate(np.asarray(found.x, dtype=np.float64))
