"""A kinetic storage module: a flywheel and a supercapacitor bank behind one terminal.

The bank takes surges and the ramp, the flywheel the rest: the module's power is the setpoint from the first
10 ms step on, the flywheel follows at its own ramp, the bank gives the difference and is brought back to
its target by the flywheel afterwards.
"""

from typing import Final

import numpy as np

from devices.arrays import FloatArray

# Between floor (0.23) and full: room for a surge in either direction.
BUFFER_TARGET_PU: Final = 0.65
# The bank is brought back gently, and only when it is noticeably off: tiny powers waste energy in converters.
RESTORE_TIME_S: Final = 30.0
RESTORE_DEADBAND_PU: Final = 0.02
RESTORE_MAX_PU: Final = 0.2
# The drive of the shipped rotor goes from 0 to rated power in this time.
FLYWHEEL_RAMP_TIME_S: Final = 1.0


def ramped(
    p_from_w: FloatArray, p_to_w: FloatArray, ramp_w_per_s: FloatArray, dt_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return the mean power over a step and the power at its end under a ramp limit, (n,) W each.

    Notes
    -----
    Exact for any step: the ramp lasts t = min(abs(Δp)/ramp, dt), the rest of the step is at the final power.
    """
    change = p_to_w - p_from_w
    reach = ramp_w_per_s * dt_s
    moved = np.maximum(change, -reach)
    np.minimum(moved, reach, out=moved)
    p_end = p_from_w + moved
    # Mean = p_end - moved · t/(2·dt), with t/dt = |moved|/reach <= 1; reach may be infinite: no ramp at all.
    lag = np.abs(moved)
    lag /= reach
    lag *= moved
    lag *= 0.5
    return p_end - lag, p_end


def restoring_w(
    buffer_wh: FloatArray, capacity_wh: FloatArray, rated_w: FloatArray, dt_s: float
) -> FloatArray:
    """Return the power the flywheel should add to bring the bank back, > 0 charging it, (k,) W."""
    gap_wh = BUFFER_TARGET_PU * capacity_wh - buffer_wh
    wanted = gap_wh * (3600.0 / max(dt_s, RESTORE_TIME_S))
    limit = RESTORE_MAX_PU * rated_w
    return np.where(np.abs(gap_wh) > RESTORE_DEADBAND_PU * capacity_wh, np.clip(wanted, -limit, limit), 0.0)
