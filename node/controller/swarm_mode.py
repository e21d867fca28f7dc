"""Modes of the swarm: standby, grid support, emergency; entered at once, left when it has been calm for a while.

| mode | entered | what units do |
|---|---|---|
| STANDBY | frequency inside the deadband for `CALM_S` | nothing; stored energy may be recovered |
| GRID_SUPPORT | outside the deadband | follow the curve on what they promised; no recovery |
| EMERGENCY | half a hertz away | follow it on all they have above their owners' reserve |

An emergency is left for grid support below half its threshold, so that the swarm does not hunt at it.
The owners' reserve is no part of any mode: it is the user's first.

References
----------
Statutory limits of 50 Hz +- 1 %: UK Electricity Safety, Quality and Continuity Regulations 2002, reg. 27.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from devices.frequency_response import ServiceCurve

EMERGENCY_HZ: Final = 0.5
EMERGENCY_LEFT_HZ: Final = EMERGENCY_HZ / 2
CALM_S: Final = 10.0


class SwarmMode(IntEnum):
    """What the swarm is doing."""

    STANDBY = 0
    GRID_SUPPORT = 1
    EMERGENCY = 2


@dataclass(frozen=True, slots=True)
class ModeState:
    """The mode, and how long the frequency has been inside the deadband, s."""

    mode: SwarmMode = SwarmMode.STANDBY
    calm_s: float = CALM_S


def next_mode(state: ModeState, curve: ServiceCurve, deviation_hz: float, dt_s: float) -> ModeState:
    """Return the mode after `dt_s` seconds at a deviation from nominal."""
    size = abs(deviation_hz)
    if size >= EMERGENCY_HZ or (state.mode is SwarmMode.EMERGENCY and size >= EMERGENCY_LEFT_HZ):
        return ModeState(SwarmMode.EMERGENCY, 0.0)
    if size > curve.deadband_hz:
        return ModeState(SwarmMode.GRID_SUPPORT, 0.0)
    calm_s = state.calm_s + dt_s
    if state.mode is SwarmMode.STANDBY or calm_s >= CALM_S:
        return ModeState(SwarmMode.STANDBY, calm_s)
    return ModeState(SwarmMode.GRID_SUPPORT, calm_s)
