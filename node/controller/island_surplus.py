"""Sun that an island cannot take: limited before capacities are allocated, to what loads draw and storages reach.

Nothing may flow through a failed node, so what flows in below it has to equal what flows out, while storages that
shall take the surplus only ramp up. Left to allocation both directions lean on each other's ramps, lose their footing
every few periods and start again from nothing. Here the sum is made zero first; where sources are too small for the
loads, nothing changes and allocation cuts loads by priority.
"""

import numpy as np

from node.controller.control_plan import ControlPlan
from node.controller.microgrid_balance import MILLI, shares
from node.controller.network import NO_NODE, FloatArray


def limit_sources(plan: ControlPlan, wanted_w: FloatArray, assured_w: FloatArray) -> FloatArray:
    """Return wanted powers in which no island has more than it takes.

    Parameters
    ----------
    wanted_w : float64 (n_devices,)
        > 0 injects.
    assured_w : float64 (n_devices,)
        What surely flows in the next period if it is granted.

    Notes
    -----
    A storage that charges wants no more than is assured; sources are cut in proportion, in whole milliwatts.
    """
    if not plan.island.any():
        return wanted_w
    root = plan.island_root[plan.node_of_device]
    is_storage = plan.params.is_storage
    is_charging = is_storage & (wanted_w < 0) & (root != NO_NODE)
    limited_w = np.where(is_charging, np.maximum(wanted_w, assured_w), wanted_w)
    for island in np.unique(root[root != NO_NODE]).tolist():
        inside = root == island
        surplus = int(np.rint(limited_w[inside] * MILLI).astype(np.int64).sum())
        rows = np.flatnonzero(inside & ~is_storage & (limited_w > 0))
        source = np.rint(limited_w[rows] * MILLI).astype(np.int64)
        if surplus > 0 and source.size:
            limited_w[rows] = shares(max(int(source.sum()) - surplus, 0), source / MILLI) / MILLI
    return limited_w
