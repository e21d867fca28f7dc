"""The scenario's network as arrays: parents before children, one connection per participant as leaves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.scenario.models import Scenario


@dataclass(frozen=True, slots=True)
class Topology:
    """A tree of `n_nodes`: the scenario's nodes first, parents before children, then all connections.

    Parameters
    ----------
    ids, kinds : names and kinds (`substation`, `feeder`, `cable`, `connection`), length `n_nodes`
    parent : (n_nodes,) row of the parent, -1 for the root in row 0
    import_cap_w, export_cap_w : (n_nodes,) limits towards and from the leaves, W
    node_of_participant : (n_participants,) row of each participant's connection
    """

    ids: tuple[str, ...]
    kinds: tuple[str, ...]
    parent: NDArray[np.int64]
    import_cap_w: NDArray[np.float64]
    export_cap_w: NDArray[np.float64]
    node_of_participant: NDArray[np.int64]


def build(scenario: Scenario) -> Topology:
    """Lay out a checked scenario's network; the order is breadth first, then by file order."""
    children: dict[str | None, list[int]] = {}
    for i, node in enumerate(scenario.network):
        children.setdefault(node.parent, []).append(i)
    order = list(children[None])
    for i in order:  # grows while we walk: breadth first
        order.extend(children.get(scenario.network[i].id, ()))
    nodes = [scenario.network[i] for i in order]
    row = {node.id: i for i, node in enumerate(nodes)}
    people = scenario.participants
    export_w = [
        p.connection_capacity_w if p.export_capacity_w is None else p.export_capacity_w for p in people
    ]
    return Topology(
        ids=(*(node.id for node in nodes), *(f"connection:{p.id}" for p in people)),
        kinds=(*(node.kind for node in nodes), *("connection" for _ in people)),
        parent=np.array(
            [-1 if n.parent is None else row[n.parent] for n in nodes] + [row[p.node] for p in people],
            dtype=np.int64,
        ),
        import_cap_w=np.array(
            [n.import_cap_w for n in nodes] + [p.connection_capacity_w for p in people], dtype=np.float64
        ),
        export_cap_w=np.array([n.export_cap_w for n in nodes] + export_w, dtype=np.float64),
        node_of_participant=np.arange(len(nodes), len(nodes) + len(people), dtype=np.int64),
    )
