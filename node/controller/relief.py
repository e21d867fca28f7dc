"""Before anything is shed or curtailed, storage below an overloaded node takes the overload on itself.

From the leaves to the root: where the wanted net flow of a node exceeds its capacity, the storages below
that may help discharge (or charge) more, in proportion to the headroom each has. What they cannot take is
left to allocation, which cuts by priority.
"""

from dataclasses import dataclass

import numpy as np

from node.controller.network import NO_NODE, CapacityTree, FloatArray, IntArray, subtree_totals, sum_by


@dataclass(frozen=True, slots=True)
class ReliefPlan:
    """Who may help where.

    Parameters
    ----------
    tree : CapacityTree
    node_of_device : int64 (n_devices,)
    helper : int64 (n_helpers,)
        Devices with storage.
    reach_depth : int64 (n_helpers,)
        A helper helps nodes above it down from this depth: its own connection's depth, or 0 for one that
        lends to the whole feeder.
    """

    tree: CapacityTree
    node_of_device: IntArray
    helper: IntArray
    reach_depth: IntArray
    helper_node: IntArray  # (n_levels, n_helpers): the node it may help on each level, -1 for none


@dataclass(frozen=True, slots=True)
class Relief:
    """Adjusted power per device, and the node each was last adjusted for (-1: none)."""

    p_w: FloatArray
    relieved_node: IntArray


def plan_relief(
    tree: CapacityTree, node_of_device: IntArray, helper: IntArray, reach_depth: IntArray
) -> ReliefPlan:
    """Prepare relief; see `ReliefPlan` for the parameters."""
    above = tree.ancestors()[:, node_of_device[helper]]
    is_in_reach = np.arange(len(tree.levels))[:, None] >= reach_depth[None, :]
    return ReliefPlan(tree, node_of_device, helper, reach_depth, np.where(is_in_reach, above, NO_NODE))


def relieve(
    plan: ReliefPlan,
    wanted_w: FloatArray,
    p_min_w: FloatArray,
    p_max_w: FloatArray,
    can_wait_w: FloatArray | None = None,
) -> Relief:
    """Move storages so that as little as possible has to be shed or curtailed.

    Parameters
    ----------
    wanted_w : float64 (n_devices,)
        > 0 injects.
    p_min_w, p_max_w : float64 (n_helpers,)
        What each helper can really do.
    can_wait_w : float64 (n_devices,) or None
        Part of the withdrawals, >= 0, that no storage is discharged for: charging cars wait.

    Returns
    -------
    Relief
        With `wanted_w` itself where no node is overloaded.
    """
    tree = plan.tree
    relieved = np.full(wanted_w.size, NO_NODE, np.int64)
    at_node = sum_by(plan.node_of_device, wanted_w, tree.n_nodes)
    net = subtree_totals(tree, at_node)
    waiting = np.zeros(tree.n_nodes)
    if can_wait_w is not None and can_wait_w.any():
        waiting = subtree_totals(tree, sum_by(plan.node_of_device, can_wait_w, tree.n_nodes))
    is_over = (-(net + waiting) > tree.import_cap_w) | (net > tree.export_cap_w)
    if not (is_over.any() and plan.helper.size):
        return Relief(wanted_w, relieved)
    # Nobody helps below the deepest node that is overloaded; from there up the sums are taken anew.
    deepest = int(tree.depth[is_over].max())
    above = tree.depth < deepest
    net[above] = at_node[above]
    p_w = wanted_w.copy()
    for level in range(deepest, -1, -1):
        nodes = tree.levels[level]
        here = net[nodes]
        short = np.maximum(-(here + waiting[nodes]) - tree.import_cap_w[nodes], 0.0)
        excess = np.maximum(here - tree.export_cap_w[nodes], 0.0) - short
        if excess.any():
            here += _help(plan, level, nodes, excess, p_w, p_min_w, p_max_w, relieved)
            net[nodes] = here
        if level:
            np.add.at(net, tree.parent[nodes], here)
    return Relief(p_w, relieved)


def _help(
    plan: ReliefPlan, level: int, nodes: IntArray, excess: FloatArray, p_w: FloatArray,
    p_min_w: FloatArray, p_max_w: FloatArray, relieved: IntArray,
) -> FloatArray:  # fmt: skip
    """Move the helpers of one level against the excess (> 0: too much export); return the change per node."""
    excess_of_node = np.zeros(plan.tree.n_nodes)
    excess_of_node[nodes] = excess
    node = plan.helper_node[level]
    rows = np.flatnonzero((node != NO_NODE) & (excess_of_node[node] != 0.0))
    node, device = node[rows], plan.helper[rows]
    is_short = excess_of_node[node] < 0
    headroom = np.where(is_short, p_max_w[rows] - p_w[device], p_w[device] - p_min_w[rows])
    headroom = np.maximum(headroom, 0.0)
    total = sum_by(node, headroom, plan.tree.n_nodes)
    share = (np.minimum(np.abs(excess_of_node), total) / np.where(total > 0, total, 1.0))[node]
    moved = np.where(is_short, 1.0, -1.0) * share * headroom
    p_w[device] += moved
    relieved[device[moved != 0.0]] = node[moved != 0.0]
    return sum_by(node, moved, plan.tree.n_nodes)[nodes]
