"""What capacities let through of what devices want, counting only what ramps assure, and why the rest is cut."""

import numpy as np

from node.controller.control_plan import ControlPlan
from node.controller.island_surplus import limit_sources
from node.controller.netting import NetGrant, allocate_net
from node.controller.network import NO_NODE, FloatArray, IntArray
from node.controller.reasons import Reason

MILLI = 1_000.0


def grant_in_islands(plan: ControlPlan, wanted_w: FloatArray, p_w: FloatArray) -> NetGrant:
    """Allocate; what an island cannot take is cut by the failed node before.

    Parameters
    ----------
    wanted_w, p_w : float64 (n_devices,)
        What devices want, and what flows now; > 0 injects.
    """
    if not plan.island.any():
        return _grant(plan, wanted_w, p_w)
    limited = limit_sources(plan, wanted_w, _assured_w(plan, wanted_w, *_reach_w(plan, p_w)))
    grant = _grant(plan, limited, p_w)
    is_spilled = ~plan.params.is_storage & (limited < wanted_w) & (grant.limiting_node == NO_NODE)
    root = plan.island_root[plan.node_of_device]
    return NetGrant(grant.p_milli_w, np.where(is_spilled, root, grant.limiting_node))


def _reach_w(plan: ControlPlan, p_w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what storages reach in one step of their firmware, down and up, (n_storages,) each."""
    p_now = p_w[plan.storage]
    return p_now - plan.reach_w, p_now + plan.reach_w


def _assured_w(
    plan: ControlPlan, wanted_w: FloatArray, least_w: FloatArray, most_w: FloatArray
) -> FloatArray:
    """Return what surely flows if it is granted: of a storage what it reaches."""
    rows = plan.storage
    assured = wanted_w.copy()
    assured[rows] = np.minimum(np.maximum(wanted_w[rows], least_w), most_w)
    return assured


def _grant(plan: ControlPlan, wanted_w: FloatArray, p_w: FloatArray) -> NetGrant:
    """Allocate, counting for each storage only what its ramp assures.

    Where a storage still flows beyond its grant until it has ramped down, the others are granted again with
    that flow held, so that nobody takes its place before it is free.
    """
    rows, p_now = plan.storage, p_w[plan.storage]
    least, most = _reach_w(plan, p_w)
    assured = _assured_w(plan, wanted_w, least, most)
    first = allocate_net(plan.net, _milli(wanted_w), _milli(assured), plan.weight)
    granted = first.p_milli_w[rows] / MILLI
    flows_on = np.sign(p_now) * np.maximum(np.abs(p_now) - plan.reach_w, 0.0)
    if ((np.abs(flows_on) <= np.abs(granted)) & (flows_on * granted >= 0.0)).all():
        return first
    held = np.zeros(wanted_w.size)
    held[rows] = flows_on
    assured[rows] = np.minimum(np.maximum(granted, least), most)
    again = allocate_net(plan.net, first.p_milli_w, _milli(assured), plan.weight, _milli(held))
    return NetGrant(
        again.p_milli_w, np.where(again.limiting_node != NO_NODE, again.limiting_node, first.limiting_node)
    )


def _milli(p_w: FloatArray) -> IntArray:
    return np.rint(p_w * MILLI).astype(np.int64)


def why_cut(plan: ControlPlan, wanted_w: FloatArray, grant: NetGrant) -> IntArray:
    """Return PRIORITY where a more important import below the limiting node comes first, else what limits there."""
    best = np.full(plan.tree.n_nodes, np.iinfo(np.int64).max, np.int64)
    importers = np.flatnonzero(wanted_w < 0)
    np.minimum.at(best, plan.node_of_device[importers], plan.import_class[importers])
    for level in plan.tree.levels[:0:-1]:
        np.minimum.at(best, plan.tree.parent[level], best[level])
    is_outranked = (wanted_w < 0) & (plan.import_class > best[grant.limiting_node])
    has_failed = plan.island_root[grant.limiting_node] == grant.limiting_node
    limit = np.where(has_failed, Reason.SUPPLY_FAILURE, Reason.CAPACITY)
    return np.where(is_outranked, Reason.PRIORITY, limit).astype(np.int64)
