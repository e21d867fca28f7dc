"""The battery swarm: share a grid event among healthy units, proportionally, clipped shares redistributed.

A unit's share is proportional to its weight (the energy it can give or take) and never above the power it has
left. What clips is shared again among the others, so the sum is exactly min(required, available).
"""

import numpy as np
from numpy.typing import NDArray

from node.controller.allocation import ROUNDING_SLACK_MILLI_W, water_levels
from node.controller.errors import InvalidRequest
from node.controller.network import FloatArray, IntArray


def share_event(
    required_milli_w: int, available_milli_w: IntArray, weight: FloatArray, takes_part: NDArray[np.bool_]
) -> IntArray:
    """Split a required power over units.

    Parameters
    ----------
    required_milli_w : int
        What the grid asks for, >= 0.
    available_milli_w : int64 (n_units,)
        Power each unit can add to its schedule and hold until the event ends, above its owner's reserve.
    weight : float64 (n_units,)
        What the share is proportional to, e.g. energy above reserve; units with weight 0 give nothing.
    takes_part : bool (n_units,)
        Members that are present and healthy.

    Returns
    -------
    int64 (n_units,)
        Sum exactly min(required, available of those who take part).

    Raises
    ------
    InvalidRequest
        If a quantity is negative or not a number.
    """
    if required_milli_w < 0:
        raise InvalidRequest(f"required power is {required_milli_w} mW: need >= 0")
    if available_milli_w.size and available_milli_w.min() < 0:
        raise InvalidRequest(f"available power of unit {int(np.argmin(available_milli_w))} is negative")
    if weight.size and not (np.all(weight >= 0) and np.all(np.isfinite(weight))):
        row = int(np.flatnonzero(~((weight >= 0) & np.isfinite(weight)))[0])
        raise InvalidRequest(f"weight of unit {row} is {weight[row]}: need >= 0 and finite")
    shares = np.zeros_like(available_milli_w)
    units = np.flatnonzero(takes_part & (available_milli_w > 0) & (weight > 0))
    available = available_milli_w[units]
    if required_milli_w >= available.sum():
        shares[units] = available
        return shares
    if not required_milli_w:
        return shares
    w = weight[units] / weight[units].max()
    one_segment, first = np.zeros(units.size, np.int64), np.zeros(1, np.int64)
    level = water_levels(available / w, w, one_segment, first, np.array([float(required_milli_w)]))[0]
    exact = np.minimum(available, w * level)
    whole = np.minimum(available, np.floor(exact + ROUNDING_SLACK_MILLI_W).astype(np.int64))
    shares[units] = _settle_sum(whole, exact - whole, available, required_milli_w)
    return shares


def _settle_sum(whole: IntArray, remainder: FloatArray, available: IntArray, required: int) -> IntArray:
    """Hand out the last milliwatts, largest remainder first, ties by index."""
    missing = required - int(whole.sum())
    while missing > 0:
        open_rows = np.flatnonzero(whole < available)
        if open_rows.size > missing:
            rest = remainder[open_rows]
            threshold = np.partition(rest, rest.size - missing)[rest.size - missing]
            above = open_rows[rest > threshold]
            ties = open_rows[rest == threshold]
            open_rows = np.concatenate([above, ties[: missing - above.size]])
        whole[open_rows] += 1
        missing -= open_rows.size
    return whole
