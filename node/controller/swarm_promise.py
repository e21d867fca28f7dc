"""What each unit of the swarm promises: a share of the service in both directions, on the headroom it really has.

Units answer the frequency that they measure themselves (devices/frequency_response); what the coordinator sends is
only how much each is good for. A lost message therefore costs no answer: the unit goes on with the share it
knows, and hears the new one a period later.

| bound on a share | because |
|---|---|
| energy above the owner's reserve, room below full, for the duration | no promise of energy that is not there |
| rating less the plan | the plan goes on underneath |
| ramp x (1 s - measured delay) | all of it must flow within a second |
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.frequency_response import FULL_DELIVERY_S
from node.controller.netting import NetPlan, allocate_net
from node.controller.network import FloatArray, IntArray
from node.controller.swarm import share_event

MILLI = 1_000.0
# A float of 1e12 mW, a gigawatt, is good to 1e-4: a cut that should be whole must not fall below itself.
ROUNDING_SLACK_MILLI_W = 1e-3

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Promise:
    """Injection and withdrawal beyond the plan that each unit is good for, W >= 0, (n_units,)."""

    up_w: FloatArray
    down_w: FloatArray

    @classmethod
    def none(cls, n_units: int) -> "Promise":
        """Return the promise of units that were never told anything."""
        return cls(np.zeros(n_units), np.zeros(n_units))


def takes_part(
    members: BoolArray, is_healthy: BoolArray, is_present: BoolArray, is_served: BoolArray
) -> BoolArray:
    """Return which units serve: members, healthy, plugged in, and at a place that the service reaches, (n_units,)."""
    return members & is_healthy & is_present & is_served


def promise(
    required_up_w: float,
    required_down_w: float,
    planned_w: FloatArray,
    p_min_w: FloatArray,
    p_max_w: FloatArray,
    ramp_w_per_s: FloatArray,
    delay_s: float,
    serves: BoolArray,
) -> Promise:
    """Share a service over units in proportion to headroom, what clips shared again, both directions alone.

    Parameters
    ----------
    required_up_w, required_down_w : float
        What the service needs of all units together, >= 0; inf: all there is.
    planned_w : float64 (n_units,)
    p_min_w, p_max_w : float64 (n_units,)
        What each unit can hold for the service's duration, above its owner's reserve (`fleet.deliverable_w`).
    ramp_w_per_s : float64 (n_units,)
    delay_s : float
        Measured delay of an answer.
    serves : bool (n_units,)

    Returns
    -------
    Promise
        Sums exactly min(required, available) in whole milliwatts, each way.
    """
    in_time_w = ramp_w_per_s * max(FULL_DELIVERY_S - delay_s, 0.0)
    up = _share(required_up_w, np.minimum(p_max_w - planned_w, in_time_w), serves)
    down = _share(required_down_w, np.minimum(planned_w - p_min_w, in_time_w), serves)
    return Promise(up, down)


def _share(required_w: float, headroom_w: FloatArray, serves: BoolArray) -> FloatArray:
    # Rounded up by a hair, so that a whole number of milliwatts in floats stays that number.
    available = np.floor(np.maximum(headroom_w, 0.0) * MILLI + 1e-6).astype(np.int64)
    available *= serves
    line = np.cumsum(available)
    total = int(line[-1]) if line.size else 0
    if np.isinf(required_w) or round(required_w * MILLI) >= total:
        return available / MILLI
    required = round(required_w * MILLI)
    # In proportion to headroom nobody clips, and shares are cut between rounded points of one line: the sum is exact,
    # and nothing is sorted.
    cuts = np.floor(line * (required / total) + ROUNDING_SLACK_MILLI_W).astype(np.int64)
    cuts[-1] = required
    shares = np.diff(cuts, prepend=0)
    if np.any(shares > available):  # a rounding at the very edge
        shares = share_event(required, available, available.astype(np.float64), serves)
    return np.asarray(shares / MILLI, np.float64)


def heard(known: Promise, sent: Promise, is_heard: BoolArray, serves: BoolArray) -> Promise:
    """Return what units act on: the new share where the message arrived, the old one where it got lost.

    A unit that no longer serves knows so itself (its own health, its own plug) and stops at once.
    """
    up = np.where(is_heard, sent.up_w, known.up_w)
    down = np.where(is_heard, sent.down_w, known.down_w)
    return Promise(np.where(serves, up, 0.0), np.where(serves, down, 0.0))


def within_capacities(
    net: NetPlan, weight: FloatArray, base_w: FloatArray, rows: IntArray, made: Promise
) -> Promise:
    """Return promises cut to what the wires can carry if all of them are called at once.

    Parameters
    ----------
    weight : float64 (n_devices,)
    base_w : float64 (n_devices,)
        What every device is granted now.
    rows : int64 (n_units,)
        Rows of the units.
    """
    base = np.rint(base_w * MILLI).astype(np.int64)

    def carried(asked_w: FloatArray) -> FloatArray:
        wanted = base.copy()
        wanted[rows] += np.rint(asked_w * MILLI).astype(np.int64)
        # Whatever flows now is sure to go on flowing; only the answer is new.
        sure = np.where(
            np.sign(wanted) == np.sign(base), np.sign(base) * np.minimum(abs(base), abs(wanted)), 0
        )
        granted = allocate_net(net, wanted, sure, weight).p_milli_w
        return np.asarray((granted - base)[rows] / MILLI, np.float64)

    up = np.clip(carried(made.up_w), 0.0, made.up_w)
    down = np.clip(-carried(-made.down_w), 0.0, made.down_w)
    return Promise(up, down)
