"""Share out the energy of a radial network from the root to the leaves, then to the orders, to the unit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.largest_remainder import split_segments
from market.network_auction_curves import Curves, Edges, Steps, below, cut
from market.network_auction_tree import Layout


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What each node does, by position, `(n_nodes,)`.

    Attributes
    ----------
    flow : NDArray[np.int64]
        Net export to the parent.
    margin : NDArray[np.int64]
        Key of the last unit that the node takes; -1 where it takes none.
    following : NDArray[np.int64]
        Key of the next unit that it would take; -1 where there is none.
    own_taken : NDArray[np.int64]
        What of the node's own steps at the margin is taken.
    """

    flow: NDArray[np.int64]
    margin: NDArray[np.int64]
    following: NDArray[np.int64]
    own_taken: NDArray[np.int64]


def dispatch(layout: Layout, edges: Edges, curves: Curves) -> Dispatch:
    """Give every node its flow, from the root down.

    Notes
    -----
    At a node, `flow + demand` units of its curve are taken. Below the key of the last of them everything is
    taken; what is left at that key is shared by largest remainder over the node's own steps first and each
    child's in the order of nodes: each gets in proportion to what it has at that key.
    """
    n_nodes = layout.parent.size
    flow, own_taken = np.zeros(n_nodes, dtype=np.int64), np.zeros(n_nodes, dtype=np.int64)
    margin, following = np.zeros(n_nodes, dtype=np.int64), np.zeros(n_nodes, dtype=np.int64)
    for level, steps in enumerate(curves.levels):
        first, end = layout.level(level)
        nodes = np.arange(first, end)
        taken = flow[first:end] + curves.demand[first:end]
        margin[first:end], following[first:end] = cut(steps, curves.stride, nodes, taken)
        # A node that takes nothing stands below the lowest key; what its children were never to be served is
        # already out of the demand, so that its cut is at key 0.
        at = np.maximum(margin[first:end], 0)
        own_below = below(curves.own, curves.stride, nodes, at)
        own_at = below(curves.own, curves.stride, nodes, at + 1) - own_below
        if level + 1 == layout.n_levels:
            own_taken[first:end] = taken - own_below
            continue
        children = np.arange(*layout.level(level + 1))
        parents = layout.parent[children]
        child_steps = curves.levels[level + 1]
        at_parent = at[parents - first]
        child_below = _net_export(child_steps, edges, curves, children, at_parent)
        child_at = _net_export(child_steps, edges, curves, children, at_parent + 1) - child_below
        rest = taken - own_below
        np.subtract.at(rest, parents - first, child_below + curves.demand_above[children])
        # One segment per node: its own steps, then its children.
        segment = np.concatenate([nodes, parents]) - first
        order = np.argsort(segment, kind="stable")
        parts = np.empty(order.size, dtype=np.int64)
        parts[order] = split_segments(rest, np.concatenate([own_at, child_at])[order], segment[order])
        own_taken[first:end] = parts[: nodes.size]
        flow[children] = child_below + parts[nodes.size :]
    return Dispatch(flow, margin, following, own_taken)


def _net_export(
    steps: Steps, edges: Edges, curves: Curves, nodes: NDArray[np.int64], key: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return what each node exports when its parent takes all steps below a key of the parent's."""
    fee, demand = edges.fee_keys[nodes], curves.demand[nodes]
    if not fee.any():
        net = below(steps, curves.stride, nodes, key) - demand
    else:
        net = np.minimum(below(steps, curves.stride, nodes, key + fee) - demand, 0)
        net += np.maximum(below(steps, curves.stride, nodes, key - fee) - demand, 0)
    np.maximum(net, -edges.import_cap[nodes], out=net)
    np.minimum(net, edges.export_cap[nodes], out=net)
    return net


def fill_orders(
    position: NDArray[np.int64],
    key: NDArray[np.int64],
    quantity: NDArray[np.int64],
    is_buy: NDArray[np.bool_],
    result: Dispatch,
) -> NDArray[np.int64]:
    """Give every order its energy: whole off the margin of its node, by largest remainder on it.

    Returns
    -------
    NDArray[np.int64]
        Fills `(n_orders,)`; ties to the lower row.
    """
    margin = result.margin[position]
    fills = quantity * ((key < margin) ^ is_buy)
    rows = np.flatnonzero(key == margin)
    if rows.size:
        owner = position[rows]
        order = np.argsort(owner.astype(np.uint16) if result.flow.size < 2**16 else owner, kind="stable")
        rows, owner = rows[order], owner[order]
        at_margin = np.bincount(owner, weights=quantity[rows], minlength=result.flow.size).astype(np.int64)
        # The margin of a node is all sells or all buys; a buy trades what is not taken from it.
        traded = np.where(result.margin & 1, at_margin - result.own_taken, result.own_taken)
        fills[rows] = split_segments(np.where(at_margin > 0, traded, 0), quantity[rows], owner)
    return fills
