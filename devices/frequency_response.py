"""What a unit does about the frequency that it measures itself: a service curve on the power it has promised.

A curve gives, for a deviation from nominal, the share of the promised power: zero inside the deadband, all of it
at the last knee and beyond, linear in between, the same in both directions. Below nominal a unit injects what it
promised upwards, above it withdraws what it promised downwards.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from devices.arrays import FloatArray
from devices.errors import BadInput


@dataclass(frozen=True, slots=True)
class ServiceCurve:
    """Knees of a curve: deviations, rising from the deadband's edge, and shares, rising from 0 to 1.

    Raises
    ------
    BadInput
        If the knees do not rise from (deadband, 0) to (full, 1).
    """

    deviation_hz: tuple[float, ...]
    share_pu: tuple[float, ...]

    def __post_init__(self) -> None:
        is_paired = len(self.deviation_hz) == len(self.share_pu) >= 2
        is_rising = all(b > a for a, b in pairwise(self.deviation_hz)) and all(
            b >= a for a, b in pairwise(self.share_pu)
        )
        if not (is_paired and is_rising and self.deviation_hz[0] >= 0):
            raise BadInput("deviation_hz, share_pu", "two or more rising knees", got=self)
        if self.share_pu[0] != 0.0 or self.share_pu[-1] != 1.0:
            raise BadInput("share_pu", "0 at the first knee and 1 at the last", got=self.share_pu)

    @property
    def deadband_hz(self) -> float:
        """Deviation up to which nothing is asked."""
        return self.deviation_hz[0]

    @property
    def full_hz(self) -> float:
        """Deviation from which on all is asked."""
        return self.deviation_hz[-1]

    @property
    def steepest_pu_per_hz(self) -> float:
        """The greatest slope between two knees: what a loop through the grid feels."""
        x, y = np.array(self.deviation_hz), np.array(self.share_pu)
        return float(np.max(np.diff(y) / np.diff(x)))

    def response_pu(self, deviation_hz: FloatArray | float, gain_pu: float = 1.0) -> FloatArray:
        """Return the share of the promised power, `> 0` injects, for `deviation_hz = f - f0` of any shape.

        Parameters
        ----------
        gain_pu : float
            Below 1 the curve beyond its deadband is stretched: its slope falls, all of the power is still
            reached, at a greater deviation.
        """
        deviation = np.asarray(deviation_hz, dtype=np.float64)
        beyond = np.maximum(np.abs(deviation) - self.deadband_hz, 0.0) * gain_pu + self.deadband_hz
        return -np.sign(deviation) * np.interp(beyond, self.deviation_hz, self.share_pu)


# NESO, "Response Service Terms" and "New Dynamic Services (DC/DM/DR)": Dynamic Containment delivers 5 % at 0.2 Hz and
# all at 0.5 Hz, linear between; initiation within 0.5 s, all within 1 s, for 15 minutes.
DYNAMIC_CONTAINMENT: Final = ServiceCurve((0.015, 0.2, 0.5), (0.0, 0.05, 1.0))
LINEAR_DROOP: Final = ServiceCurve((0.015, 0.2), (0.0, 1.0))
INITIATION_S: Final = 0.5
FULL_DELIVERY_S: Final = 1.0


def response_w(
    curve: ServiceCurve,
    deviation_hz: FloatArray | float,
    up_w: FloatArray,
    down_w: FloatArray,
    gain_pu: float = 1.0,
) -> FloatArray:
    """Return what every unit adds to its setpoint, W, (n,).

    Parameters
    ----------
    deviation_hz : as each unit measures it, (n,), or one for all
    up_w, down_w : (n,) float64
        Promised injection and withdrawal beyond the setpoint, both >= 0.
    """
    share = curve.response_pu(deviation_hz, gain_pu)
    return share * np.where(share > 0.0, up_w, down_w)
