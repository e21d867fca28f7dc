"""The area that the community is connected to: one rotating mass, its turbines' governor, its secondary control.

| symbol | name in code | meaning |
|---|---|---|
| ω | `speed_pu` | deviation of the frequency, per unit of `f0_hz` |
| x, z | `valve_pu`, `lag_pu` | the governor's valve lag and its lead-lag's lag |
| Ps | `secondary_pu` | what secondary control has added |
| Pb, ΔP | `support_pu`, `loss_pu` | power of the storages, and generation lost (or load added) |

`2H dω/dt = Pm + Pb + Ps - ΔP - D ω`, where the governor answers `u = -ω/R` with
`Pm = (1 + s T2) / ((1 + s T1) (1 + s T3)) u`, and secondary control integrates: `dPs/dt = -k ω`.
All powers are per unit of `base_w`. With T1 = T2 = k = 0 it is `T3 dPm/dt = -Pm - ω/R`.

References
----------
P. Kundur, "Power System Stability and Control", McGraw-Hill 1994, ch. 11.1 (area, governor, secondary control).
TGOV1 (valve lag, lead-lag): IEEE PES-TR1, "Dynamic Models for Turbine-Governors in Power System Studies", 2013.
C. Van Loan, "Computing integrals involving the matrix exponential", IEEE Trans. Autom. Control 23 (1978): exact steps.
"""

import math
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from scipy.linalg import expm

from devices.arrays import FloatArray
from devices.errors import BadInput

N_STATES = 4


@dataclass(frozen=True, slots=True)
class Area:
    """Parameters of an area.

    Attributes
    ----------
    inertia_s : float
        H: kinetic energy at f0 over the base, s.
    damping_pu : float
        D: how much load gives way, per unit of power and unit of speed.
    droop_pu : float
        R: speed deviation at which governors add one base of power.
    lag_s, lead_s, valve_s : float
        T3, T2, T1 of the governor, s; T3 > 0, the others >= 0.
    secondary_per_s : float
        k: what secondary control adds per second and unit of speed; 0: none.
    f0_hz : float
    base_w : float

    Raises
    ------
    BadInput
        If a value is outside its range.
    """

    inertia_s: float
    damping_pu: float
    droop_pu: float
    lag_s: float
    lead_s: float = 0.0
    valve_s: float = 0.0
    secondary_per_s: float = 0.0
    f0_hz: float = 50.0
    base_w: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            may_be_zero = field.name in ("damping_pu", "lead_s", "valve_s", "secondary_per_s")
            if not (math.isfinite(value) and (value > 0 or (may_be_zero and value == 0))):
                raise BadInput(field.name, "finite, >= 0" if may_be_zero else "finite, > 0", got=value)


@dataclass(frozen=True, slots=True)
class AreaState:
    """Where an area is; all zero at f0 and in balance."""

    speed_pu: float = 0.0
    valve_pu: float = 0.0
    lag_pu: float = 0.0
    secondary_pu: float = 0.0


def frequency_hz(area: Area, state: AreaState) -> float:
    """Return the area's frequency."""
    return area.f0_hz * (1.0 + state.speed_pu)


def advance(area: Area, state: AreaState, support_pu: float, loss_pu: float, dt_s: float) -> AreaState:
    """Return the area after `dt_s` seconds at constant powers: exact, however long the step is.

    Raises
    ------
    BadInput
        If a power is no number or the step is not longer than zero.
    """
    if not (math.isfinite(support_pu) and math.isfinite(loss_pu)):
        raise BadInput("support_pu, loss_pu", "finite numbers", got=(support_pu, loss_pu))
    if not 0 < dt_s < math.inf:
        raise BadInput("dt_s", "finite, > 0", got=dt_s)
    step, drive = _exact_step(area, dt_s)
    x = np.array([state.speed_pu, state.valve_pu, state.lag_pu, state.secondary_pu])
    after = step @ x + drive * (support_pu - loss_pu)
    return AreaState(*after.tolist())


@lru_cache(maxsize=64)
def _exact_step(area: Area, dt_s: float) -> tuple[FloatArray, FloatArray]:
    """Return the state's transition and the effect of one unit of power, by one matrix exponential."""
    a = np.zeros((N_STATES + 1, N_STATES + 1))
    lead = area.lead_s / area.lag_s
    # The lead-lag's input is the valve's position, or the droop itself where the valve has no lag.
    from_valve, from_speed = (1.0, 0.0) if area.valve_s > 0 else (0.0, -1.0 / area.droop_pu)
    a[0] = [
        lead * from_speed - area.damping_pu, lead * from_valve, 1.0 - lead, 1.0, 1.0
    ]  # fmt: skip
    a[0] /= 2.0 * area.inertia_s
    if area.valve_s > 0:
        a[1, :2] = np.array([-1.0 / area.droop_pu, -1.0]) / area.valve_s
    a[2, :3] = np.array([from_speed, from_valve, -1.0]) / area.lag_s
    a[3, 0] = -area.secondary_per_s
    whole = expm(a * dt_s)
    return whole[:N_STATES, :N_STATES], whole[:N_STATES, N_STATES]
