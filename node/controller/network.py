"""The capacity tree: feeder, cable, connection, PDU, rack, outlet, each with an import and an export limit.

A node limits what flows between it and its parent: `import_cap_w` towards the leaves, `export_cap_w` towards
the root. The leaf of the feeder is an account's connection; behind the meter the tree goes on (PDU, rack,
outlet). Several roots are allowed: each is an island of its own.
"""

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from node.controller.errors import InvalidNetwork

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

T = TypeVar("T", np.int64, np.float64)

NO_NODE = -1


@dataclass(frozen=True, slots=True)
class CapacityTree:
    """A forest of capacities in topological order.

    Parameters
    ----------
    names : tuple of str (n_nodes,)
        What people call the node; used in reasons.
    parent : int64 (n_nodes,)
        Index of the node above, smaller than the node's own; -1 at a root.
    import_cap_w, export_cap_w : float64 (n_nodes,)
        Largest net flow towards the leaves, and towards the root; `inf` where nothing limits it.

    Raises
    ------
    InvalidNetwork
        If a parent does not come before its child, a capacity is negative or not a number, or lengths differ.
    """

    names: tuple[str, ...]
    parent: IntArray
    import_cap_w: FloatArray
    export_cap_w: FloatArray
    depth: IntArray = field(init=False)
    levels: tuple[IntArray, ...] = field(init=False)

    def __post_init__(self) -> None:
        n_nodes = len(self.names)
        if n_nodes == 0:
            raise InvalidNetwork("a network needs at least one node")
        for name in ("parent", "import_cap_w", "export_cap_w"):
            shape = getattr(self, name).shape
            if shape != (n_nodes,):
                raise InvalidNetwork(
                    f"{name} has shape {shape}, expected ({n_nodes},) as there are {n_nodes} names"
                )
        wrong = np.flatnonzero((self.parent >= np.arange(n_nodes)) | (self.parent < NO_NODE))
        if wrong.size:
            node = int(wrong[0])
            raise InvalidNetwork(
                f"node {node} ({self.names[node]}) has parent {int(self.parent[node])}: "
                "a parent must come before its children, -1 marks a root"
            )
        for name in ("import_cap_w", "export_cap_w"):
            wrong = np.flatnonzero(~(getattr(self, name) >= 0))
            if wrong.size:
                node = int(wrong[0])
                raise InvalidNetwork(
                    f"{name} of node {node} ({self.names[node]}) is {getattr(self, name)[node]}: "
                    "need >= 0 or inf"
                )
        depth = np.zeros(n_nodes, np.int64)
        for node in range(n_nodes):
            if self.parent[node] != NO_NODE:
                depth[node] = depth[self.parent[node]] + 1
        object.__setattr__(self, "depth", depth)
        object.__setattr__(
            self, "levels", tuple(np.flatnonzero(depth == level) for level in range(int(depth.max()) + 1))
        )

    @property
    def n_nodes(self) -> int:
        """Return the number of nodes."""
        return len(self.names)

    def ancestors(self) -> IntArray:
        """Return, per level and node, the ancestor on that level.

        Returns
        -------
        int64 (n_levels, n_nodes)
            The node itself on its own level, -1 on deeper levels.
        """
        table = np.full((len(self.levels), self.n_nodes), NO_NODE, np.int64)
        table[self.depth, np.arange(self.n_nodes)] = np.arange(self.n_nodes)
        for level in range(len(self.levels) - 1, 0, -1):
            known = np.flatnonzero(table[level] != NO_NODE)
            table[level - 1, known] = self.parent[table[level, known]]
        return table

    def path_to_root(self, node: int) -> list[int]:
        """Return the node and everything above it, nearest first."""
        path = [node]
        while self.parent[path[-1]] != NO_NODE:
            path.append(int(self.parent[path[-1]]))
        return path


def sum_by(index: IntArray, values: NDArray[np.generic], size: int) -> FloatArray:
    """Return the sum of values per index, also of none at all.

    Parameters
    ----------
    index : int64 (n,)
    values : any number (n,)
    size : int
        Number of sums.
    """
    # bincount answers an empty index with integers, weights or not.
    return np.bincount(index, weights=values, minlength=size).astype(np.float64, copy=False)


def subtree_totals(tree: CapacityTree, at_node: NDArray[T]) -> NDArray[T]:
    """Return, per node, the sum of a quantity over the node and everything below it.

    Parameters
    ----------
    at_node : int64 or float64 (n_nodes,)
        The quantity attached to each node itself. Integers stay exact.

    Returns
    -------
    same dtype (n_nodes,)
    """
    totals = at_node.copy()
    for nodes in tree.levels[:0:-1]:
        np.add.at(totals, tree.parent[nodes], totals[nodes])
    return totals


def net_flows_w(tree: CapacityTree, node_of_device: IntArray, p_w: FloatArray) -> FloatArray:
    """Return the net flow from each node to its parent; > 0 flows towards the root (export).

    Parameters
    ----------
    node_of_device : int64 (n_devices,)
    p_w : float64 (n_devices,)
        Terminal power, > 0 injects.
    """
    return subtree_totals(tree, sum_by(node_of_device, p_w, tree.n_nodes))
