"""Loads: voltage dependence (ZIP) and the rebound of thermostatic loads, in closed form.

| symbol | name in code | meaning |
|---|---|---|
| Z, I, P | `impedance_share`, `current_share`, rest | P(v) = P0·(Z·v² + I·v + 1 - Z - I), v per unit |
| D | `deferred_wh` | electric energy a thermostatic load was denied and still needs |
| τ | `thermal_time_s` | how fast that need fades: a colder room loses less heat (R·C of the room) |
| τ_r | `recovery_time_s` | the controller adds D/τ_r to its demand, up to its rated power |

A thermostat's need does not depend on the voltage: what its element cannot draw at a low voltage is deferred like
what a controller denied it, and comes back; at a high voltage it switches off earlier and draws its need.
"""

from typing import Final

import numpy as np

from devices.arrays import FloatArray

SECONDS_PER_HOUR: Final = 3600.0


def zip_power_w(
    demand_w: FloatArray,
    v_pu: FloatArray | float,
    impedance_share: FloatArray | float,
    current_share: FloatArray | float,
) -> FloatArray:
    """Return the power of loads at a voltage, (n,) W.

    Parameters
    ----------
    demand_w : (n,) float64
        At nominal voltage.
    v_pu : float or (n,) float64

    References
    ----------
    IEEE Task Force on Load Representation, Load representation for dynamic performance analysis, IEEE Trans.
    Power Systems 8 (1993) 472–482, doi:10.1109/59.260837.
    """
    v = np.asarray(v_pu, dtype=np.float64)
    power_share = 1.0 - impedance_share - current_share
    return demand_w * ((impedance_share * v + current_share) * v + power_share)


def thermostatic_demand_w(
    base_w: FloatArray, deferred_wh: FloatArray, recovery_time_s: FloatArray, p_max_w: FloatArray, dt_s: float
) -> FloatArray:
    """Return the mean demand over a step: what keeps the temperature, plus catching up, (n,) W.

    Notes
    -----
    Served in full and far from `p_max_w`, D decays as exp(-t/τ_r) (with τ -> inf), so the mean extra power
    over the step is D·(1 - exp(-dt/τ_r))/dt: exact for any step.
    """
    extra = deferred_wh * -np.expm1(-dt_s / recovery_time_s) * (SECONDS_PER_HOUR / dt_s)
    return np.maximum(base_w, np.minimum(base_w + extra, p_max_w))


def thermostatic_power_w(
    demand_w: FloatArray,
    need_w: FloatArray,
    deferred_wh: FloatArray,
    voltage_share: FloatArray | float,
    dt_s: float,
) -> FloatArray:
    """Return what thermostatic loads draw over a step at a voltage, (n,) W.

    Parameters
    ----------
    demand_w : (n,) float64
        At nominal voltage: `thermostatic_demand_w`.
    need_w : (n,) float64
        What keeps the temperature.
    voltage_share : float or (n,) float64
        Power of the element at its voltage over that at nominal voltage (`zip_power_w`).

    Notes
    -----
    Never more than the need of the step and all that was deferred: then the thermostat is off.
    """
    return np.minimum(demand_w * voltage_share, need_w + deferred_wh * (SECONDS_PER_HOUR / dt_s))


def deferred_after_wh(
    deferred_wh: FloatArray,
    base_w: FloatArray,
    served_w: FloatArray,
    thermal_time_s: FloatArray,
    dt_s: float,
) -> FloatArray:
    """Return the need left after a step, (n,) Wh.

    Notes
    -----
    dD/dt = (base - served) - D/τ with both powers constant: the room's heat balance C·dθ/dt around its
    setpoint, in electric energy. Solved exactly; not below 0 (a thermostat does not store ahead).
    """
    x = dt_s / thermal_time_s
    decay = np.exp(-x)
    # (1 - exp(-x))/x -> 1 for a room that loses nothing.
    mean = np.where(x > 1e-12, -np.expm1(-x) / np.where(x > 1e-12, x, 1.0), 1.0)
    gap_wh = (base_w - served_w) * (dt_s / SECONDS_PER_HOUR)
    return np.maximum(deferred_wh * decay + gap_wh * mean, 0.0)
