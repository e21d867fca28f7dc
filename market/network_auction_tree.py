"""The radial network of an auction: a tree of capacities and fees, laid out level by level for arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.errors import InfeasibleNetwork


@dataclass(frozen=True, slots=True)
class MarketTree:
    """The network of one interval; each node but the root has one edge, to its parent. Arrays `(n_nodes,)`.

    Attributes
    ----------
    parent : NDArray[np.int64]
        Parent of each node, in any order; -1 for the one root.
    import_cap_milli_wh, export_cap_milli_wh : NDArray[np.int64]
        Most net energy >= 0 that may come in from, or go out to, the parent in the interval.
    fee_micro_per_kwh : NDArray[np.int64]
        Grid fee >= 0 on every unit that crosses the edge, either way; due to the grid account.

    Notes
    -----
    Values at the root are not used: it has no edge. A supplier is two large orders at the root.

    Raises
    ------
    InfeasibleNetwork
        If lengths differ, a capacity or fee is negative, or `parent` is not one tree.
    """

    parent: NDArray[np.int64]
    import_cap_milli_wh: NDArray[np.int64]
    export_cap_milli_wh: NDArray[np.int64]
    fee_micro_per_kwh: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.parent.ndim != 1 or self.parent.size == 0:
            raise InfeasibleNetwork(
                f"parent has shape {self.parent.shape}: need one row for each of >= 1 nodes"
            )
        for name in ("import_cap_milli_wh", "export_cap_milli_wh", "fee_micro_per_kwh"):
            values = getattr(self, name)
            if values.shape != self.parent.shape:
                raise InfeasibleNetwork(f"{name} has shape {values.shape}, parent has {self.parent.shape}")
            if int(values.min()) < 0:
                row = int(values.argmin())
                raise InfeasibleNetwork(f"{name} is {int(values[row])} at node {row}: need >= 0")
        depths(self.parent)

    @property
    def n_nodes(self) -> int:
        """Return the number of nodes, the root included."""
        return int(self.parent.size)


@dataclass(frozen=True, slots=True)
class Layout:
    """Nodes renumbered breadth-first, so that a level is a slice and siblings lie next to each other.

    Attributes
    ----------
    node_at : NDArray[np.int64]
        Node of the tree at each position, `(n_nodes,)`; position 0 is the root.
    position : NDArray[np.int64]
        Position of each node, `(n_nodes,)`.
    parent : NDArray[np.int64]
        Position of the parent per position, not decreasing; the root's is 0, itself.
    border : NDArray[np.int64]
        First position of each level, and the end, `(n_levels + 1,)`.
    """

    node_at: NDArray[np.int64]
    position: NDArray[np.int64]
    parent: NDArray[np.int64]
    border: NDArray[np.int64]

    @property
    def n_levels(self) -> int:
        """Return the number of levels; a lone root is one."""
        return int(self.border.size) - 1

    def level(self, number: int) -> tuple[int, int]:
        """Return first and end position of a level."""
        return int(self.border[number]), int(self.border[number + 1])


def depths(parent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each node's distance to the root `(n_nodes,)`, by doubling the step up.

    Parameters
    ----------
    parent : NDArray[np.int64]
        Parent of each node, `(n_nodes,)`; -1 (or itself) for the root.

    Raises
    ------
    InfeasibleNetwork
        If there is not exactly one root, a parent does not exist, or there is a circle.
    """
    nodes = np.arange(parent.size)
    up = np.where(parent < 0, nodes, parent)
    if up.size and int(up.max()) >= parent.size:
        row = int(up.argmax())
        raise InfeasibleNetwork(f"parent of node {row} is {int(up[row])}: nodes are 0..{parent.size - 1}")
    is_root = up == nodes
    if np.count_nonzero(is_root) != 1:
        raise InfeasibleNetwork(f"network has {np.count_nonzero(is_root)} roots: need one tree with one root")
    depth: NDArray[np.int64] = (~is_root).astype(np.int64)
    while not is_root[up].all():
        # Without a circle no path is longer than the number of nodes; a circle doubles past it.
        if int(depth.max()) > parent.size:
            raise InfeasibleNetwork(f"network has a circle through node {int(depth.argmax())}: need a tree")
        depth, up = depth + depth[up], up[up]
    return depth


def lay_out(parent: NDArray[np.int64]) -> Layout:
    """Renumber the nodes of a valid tree breadth-first, siblings in the order of their numbers."""
    depth = depths(parent)
    by_depth = np.argsort(depth, kind="stable")
    border = np.searchsorted(depth[by_depth], np.arange(int(depth.max()) + 2))
    position = np.empty(parent.size, dtype=np.int64)
    node_at = np.empty(parent.size, dtype=np.int64)
    position_of_parent = np.zeros(parent.size, dtype=np.int64)
    for level in range(border.size - 1):
        first, end = border[level], border[level + 1]
        nodes = by_depth[first:end]
        if level:
            above = position[parent[nodes]]
            order = np.argsort(above, kind="stable")
            nodes = nodes[order]
            position_of_parent[first:end] = above[order]
        node_at[first:end] = nodes
        position[nodes] = np.arange(first, end)
    return Layout(node_at, position, position_of_parent, border)


def subtree_sums(layout: Layout, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, per position, the sum of `values` over the position's subtree, itself included."""
    sums = values.copy()
    for level in range(layout.n_levels - 1, 0, -1):
        first, end = layout.level(level)
        np.add.at(sums, layout.parent[first:end], sums[first:end])
    return sums


def path_fees(
    tree: MarketTree, seller_node: NDArray[np.int64], buyer_node: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the grid fee per kWh on the path between two nodes, `(n,)`.

    What a buyer pays in all exceeds what a seller receives by this and both sides of the operator's fee, plus
    the congestion rent where the path is full: both can be told before an order is given.

    Raises
    ------
    InfeasibleNetwork
        If a node does not exist.
    """
    ends = np.array([seller_node, buyer_node], dtype=np.int64)
    if ends.size and not 0 <= int(ends.min()) <= int(ends.max()) < tree.n_nodes:
        raise InfeasibleNetwork(f"a path ends outside the nodes 0..{tree.n_nodes - 1}")
    depth = depths(tree.parent)
    fees = np.zeros(ends.shape[1:], dtype=np.int64)
    while True:
        apart = np.flatnonzero(ends[0] != ends[1])
        if apart.size == 0:
            return fees
        # The deeper end climbs; at equal depth either may.
        side = (depth[ends[1, apart]] > depth[ends[0, apart]]).astype(np.int64)
        node = ends[side, apart]
        fees[apart] += tree.fee_micro_per_kwh[node]
        ends[side, apart] = tree.parent[node]


def merge_free_edges(
    tree: MarketTree, layout: Layout, bought: NDArray[np.int64], sold: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return, per node, the topmost node that it can reach by edges which can never matter.

    Parameters
    ----------
    tree, layout : MarketTree, Layout
        The network.
    bought, sold : NDArray[np.int64]
        Energy wanted and offered at each node, `(n_nodes,)`.

    Notes
    -----
    An edge without a fee whose capacities exceed all that could ever flow cannot bind: both its ends are one
    place of the market. Merging them is exact; it makes the result equal to the plain auction where the
    network does not matter, and keeps deep paths of ample cables cheap.
    """
    at = layout.node_at
    most_out, most_in = sold[at], bought[at]
    fee, out_cap, in_cap = (
        values[at] for values in (tree.fee_micro_per_kwh, tree.export_cap_milli_wh, tree.import_cap_milli_wh)
    )
    is_free = np.zeros(at.size, dtype=np.bool_)
    for level in range(layout.n_levels - 1, 0, -1):
        rows = slice(*layout.level(level))
        is_free[rows] = (fee[rows] == 0) & (most_out[rows] <= out_cap[rows]) & (most_in[rows] <= in_cap[rows])
        np.add.at(most_out, layout.parent[rows], np.minimum(most_out[rows], out_cap[rows]))
        np.add.at(most_in, layout.parent[rows], np.minimum(most_in[rows], in_cap[rows]))
    top = np.arange(at.size)
    for level in range(1, layout.n_levels):
        rows = slice(*layout.level(level))
        top[rows] = np.where(is_free[rows], top[layout.parent[rows]], top[rows])
    return at[top][layout.position]
