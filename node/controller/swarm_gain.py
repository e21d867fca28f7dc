"""How steeply the swarm may answer: it measures the delay of its own answers and keeps the loop's phase margin.

Through the grid's inertia the swarm's answer comes back to its own measurement: an integrator with a delay,
`L(s) = K exp(-sT) / (2 H s)` with K the answer's slope per unit of speed. It oscillates at `K T / (2 H) = pi / 2`; at
`pi / 2 - m` it keeps a phase margin m. With m = 45 degrees the gain may be `(pi / 4) 2 H / (K T)`, at most 1.
Governor, damping and the curve's saturation only add to the margin.

References
----------
K. Astrom, R. Murray, "Feedback Systems", Princeton 2008, ch. 9.3 (phase margin of a delayed integrator).
"""

import math
from dataclasses import dataclass
from typing import Final

from devices.frequency_response import FULL_DELIVERY_S, ServiceCurve
from node.controller.errors import InvalidRequest

PHASE_MARGIN_RAD: Final = math.pi / 4
# What is believed before anything was measured: the longest delay that the service allows.
UNMEASURED_S: Final = FULL_DELIVERY_S
# Answers remembered: enough for a quantile, few enough to follow a network that gets slower.
REMEMBERED: Final = 64
# The loop must bear its late answers too, but not the one that got lost and came after all.
QUANTILE: Final = 0.95


@dataclass(frozen=True, slots=True)
class DelayMeter:
    """The swarm's newest answers: how long after a frequency was sampled the power that it asked for flowed, s."""

    answers_s: tuple[float, ...] = ()

    def note(self, *delay_s: float) -> "DelayMeter":
        """Return the meter with further answers.

        Raises
        ------
        InvalidRequest
            If a delay is negative or no number: clocks that disagree must not raise the gain.
        """
        for delay in delay_s:
            if not (math.isfinite(delay) and delay >= 0):
                raise InvalidRequest(f"answer after {delay} s: need a finite delay >= 0")
        return DelayMeter((self.answers_s + delay_s)[-REMEMBERED:])

    @property
    def delay_s(self) -> float:
        """What to reckon with: a high quantile of what was measured."""
        if not self.answers_s:
            return UNMEASURED_S
        ranked = sorted(self.answers_s)
        return ranked[min(math.ceil(QUANTILE * len(ranked)), len(ranked)) - 1]


def stable_gain_pu(
    curve: ServiceCurve, promised_pu: float, inertia_s: float, f0_hz: float, delay_s: float
) -> float:
    """Return the share of the curve's slope that keeps the phase margin, in 0..1.

    Parameters
    ----------
    promised_pu : float
        Power that the swarm promised, per unit of the area's base, >= 0.
    inertia_s : float
        H of the area on the same base, > 0.
    delay_s : float
        From a frequency to the power that answers it, >= 0.

    Raises
    ------
    InvalidRequest
        If a quantity is outside its range.
    """
    if not (promised_pu >= 0 and inertia_s > 0 and f0_hz > 0 and delay_s >= 0):
        raise InvalidRequest(
            f"promised {promised_pu} pu, inertia {inertia_s} s, {f0_hz} Hz, delay {delay_s} s: "
            "need >= 0, > 0, > 0, >= 0"
        )
    slope = promised_pu * curve.steepest_pu_per_hz * f0_hz
    if slope * delay_s == 0:
        return 1.0
    return min(1.0, PHASE_MARGIN_RAD * 2.0 * inertia_s / (slope * delay_s))
