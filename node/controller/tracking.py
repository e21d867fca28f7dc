"""Storage keeps its account's net export on target: plan, forecast error, correction inside the interval.

The target is an energy for the interval. At any moment the account still owes target - delivered; spread over
the time left, less what load, sun and cars do, it is what the account's storages have to do together. The
deviation from their plans is shared in proportion to the headroom each has in that direction, so that no
share clips while another unit could still take it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.controller.network import FloatArray, IntArray, sum_by

SECONDS_PER_HOUR = 3_600.0


@dataclass(frozen=True, slots=True)
class Tracking:
    """What storages shall do, and what their account will miss.

    Parameters
    ----------
    p_w : float64 (n_storages,)
    missing_w : float64 (n_accounts,)
        Power the account's storages cannot add (> 0) or absorb (< 0).
    """

    p_w: FloatArray
    missing_w: FloatArray


def required_power_w(target_wh: FloatArray, delivered_wh: FloatArray, left_s: float) -> FloatArray:
    """Return the net export that still reaches the target when held until the interval's end.

    Parameters
    ----------
    target_wh, delivered_wh : float64 (n_accounts,)
        Net export, > 0 exports.
    left_s : float
        Seconds until the interval ends, > 0.
    """
    return (target_wh - delivered_wh) * (SECONDS_PER_HOUR / left_s)


def track(
    account: IntArray,
    planned_w: FloatArray,
    p_min_w: FloatArray,
    p_max_w: FloatArray,
    required_w: FloatArray,
    has_target: NDArray[np.bool_],
) -> Tracking:
    """Share what accounts need over their storages.

    Parameters
    ----------
    account : int64 (n_storages,)
    planned_w : float64 (n_storages,)
        What the agent planned for the unit.
    p_min_w, p_max_w : float64 (n_storages,)
        What it can really do until the interval's end, above its reserve; p_min <= 0 <= p_max not required.
    required_w : float64 (n_accounts,)
        Power that all storages of the account have to deliver together.
    has_target : bool (n_accounts,)
        Accounts without a target keep to their plans.
    """
    n_accounts = required_w.size
    planned = np.clip(planned_w, p_min_w, p_max_w)
    deviation = np.where(has_target, required_w - sum_by(account, planned, n_accounts), 0.0)
    is_up = deviation > 0
    headroom = np.where(is_up[account], p_max_w - planned, planned - p_min_w)
    total = sum_by(account, headroom, n_accounts)
    share = np.minimum(np.abs(deviation), total) / np.where(total > 0, total, 1.0)
    moved = np.where(is_up[account], 1.0, -1.0) * share[account] * headroom
    p_w = planned + moved
    return Tracking(p_w, np.where(has_target, required_w - sum_by(account, p_w, n_accounts), 0.0))
