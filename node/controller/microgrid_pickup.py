"""Black start: loads are picked up one after the other, the most important first, no faster than inrush allows.

A load that was off draws more than its running power at first. Its excess dies away exponentially,
`p(t) = p (1 + excess exp(-t / decay))`, so the excess of all loads picked up so far is one number that decays, and the
earliest moment for the next one has a closed form.

References
----------
IEEE Std 1547.4-2011, 4.4.3 (black start and cold load); L. Lawhead et al., Cold Load Pick Up Issues, IEEE PSRC 2008.
"""

from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np

from node.controller.network import FloatArray, IntArray

# Household motors start at several times their running power, electronics and lamps at little more than once: a mixed
# feeder section at some 2.5 times, gone within seconds.
EXCESS_PU: Final = 1.5
DECAY_S: Final = 1.0
# What the leader waits at least between two switching orders: its period.
SPACING_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class PickUp:
    """The order of a black start.

    Parameters
    ----------
    row : int64 (n_picked,)
        Loads in the order in which they are switched on.
    at_s : float64 (n_picked,)
        Seconds after the start, rising.
    """

    row: IntArray
    at_s: FloatArray


def sequence(demand_w: FloatArray, priority: IntArray, limit_w: float, running_w: float = 0.0) -> PickUp:
    """Return when each load is switched on so that running power and inrush never exceed the limit.

    Parameters
    ----------
    demand_w, priority : (n_loads,)
        Running power >= 0, and class: 0 comes first; inside a class the largest first, while there is most room.
    limit_w : float
        What the forming inverters can give.
    running_w : float
        What draws from them already.

    Returns
    -------
    PickUp
        Without loads that the limit cannot carry; once one of a class is left out, lower classes stay off too.
    """
    order = np.lexsort((np.arange(demand_w.size), -demand_w, priority))
    rows: list[int] = []
    times: list[float] = []
    now_s, excess_w = 0.0, 0.0
    refused = np.iinfo(np.int64).max
    for row in order.tolist():
        p_w = float(demand_w[row])
        if int(priority[row]) > refused:
            break
        room_w = limit_w - running_w - p_w * (1.0 + EXCESS_PU)
        if room_w <= 0.0:
            refused = int(priority[row])
            continue
        wait_s = _wait_s(excess_w, room_w) if rows else 0.0
        wait_s = max(wait_s, SPACING_S) if rows else wait_s
        now_s += wait_s
        excess_w = excess_w * float(np.exp(-wait_s / DECAY_S)) + EXCESS_PU * p_w
        running_w += p_w
        rows.append(row)
        times.append(now_s)
    return PickUp(np.array(rows, np.int64), np.array(times, np.float64))


def _wait_s(excess_w: float, room_w: float) -> float:
    """Return how long an excess needs to fall to the room, > 0."""
    return DECAY_S * log(excess_w / room_w) if excess_w > room_w else 0.0


def inrush_w(picked_w: FloatArray, at_s: FloatArray, now_s: float) -> float:
    """Return the excess over running power at a moment, of loads picked up at `at_s`."""
    since = now_s - at_s
    return float(
        np.sum(np.where(since >= 0.0, EXCESS_PU * picked_w * np.exp(-np.maximum(since, 0.0) / DECAY_S), 0.0))
    )
