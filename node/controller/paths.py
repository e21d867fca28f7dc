"""Transfer paths between racks: which cables carry power from donors to a receiver with the least loss.

| symbol | name in code | meaning |
|---|---|---|
| R | `resistance_ohm` | of a cable, both conductors: length times resistance per metre |
| i | `current_a` | what the transfer adds to a cable |
| f | `flow_a` | what flows there already; counted as if in the same direction, never as a relief |

A transfer adds R((f + i)^2 - f^2) of loss and R i of voltage drop per cable. Both only grow along a path, so labels
of (loss, drop) that no other label beats in both are enough to find the path of least loss within the permitted
drop: exact, not a heuristic.

References
----------
P. Hansen, Bicriterion path problems, in: Multiple Criteria Decision Making Theory and Application (1980).
"""

from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from node.controller.errors import InvalidNetwork, InvalidRequest
from node.controller.network import FloatArray, IntArray

BISECTIONS = 200


@dataclass(frozen=True, slots=True)
class TieNetwork:
    """Direct-current ties between racks.

    Parameters
    ----------
    n_nodes : int
    ends : int64 (n_cables, 2)
    length_m, ohm_per_m : float64 (n_cables,)
        Resistance of both conductors together, per metre of cable.
    limit_a : float64 (n_cables,)
    bus_v : float
        Voltage of the ties.

    Raises
    ------
    InvalidNetwork
        If a cable ends nowhere or in itself, or a quantity is not positive.
    """

    n_nodes: int
    ends: IntArray
    length_m: FloatArray
    ohm_per_m: FloatArray
    limit_a: FloatArray
    bus_v: float

    def __post_init__(self) -> None:
        n_cables = self.ends.shape[0]
        if self.ends.shape != (n_cables, 2):
            raise InvalidNetwork(f"ends has shape {self.ends.shape}, expected (n_cables, 2)")
        wrong = np.flatnonzero(
            np.any((self.ends < 0) | (self.ends >= self.n_nodes), axis=1)
            | (self.ends[:, 0] == self.ends[:, 1])
        )
        if wrong.size:
            raise InvalidNetwork(
                f"cable {int(wrong[0])} joins {self.ends[wrong[0]].tolist()}: need two different nodes"
            )
        for name in ("length_m", "ohm_per_m", "limit_a"):
            values = getattr(self, name)
            bad = np.flatnonzero(~(values > 0))
            if values.shape != (n_cables,) or bad.size:
                raise InvalidNetwork(f"{name} must be > 0 for each of the {n_cables} cables")
        if not self.bus_v > 0:
            raise InvalidNetwork(f"bus_v is {self.bus_v}: need > 0")

    @property
    def resistance_ohm(self) -> FloatArray:
        """Resistance of each cable."""
        return self.length_m * self.ohm_per_m


@dataclass(frozen=True, slots=True)
class Path:
    """A way for a transfer.

    Parameters
    ----------
    nodes, cables : tuple of int
        From donor to receiver.
    loss_w, drop_v, length_m : float
        What the transfer adds along the way.
    """

    nodes: tuple[int, ...]
    cables: tuple[int, ...]
    loss_w: float
    drop_v: float
    length_m: float


def best_path(
    network: TieNetwork,
    donor: int,
    receiver: int,
    p_w: float,
    flow_a: FloatArray | None = None,
    drop_max_pu: float = 0.05,
) -> Path | None:
    """Return the path of least loss for a transfer, or None if no path can carry it.

    Parameters
    ----------
    p_w : float
        Power leaving the donor, > 0.
    flow_a : float64 (n_cables,) or None
        Magnitude of what flows already.
    drop_max_pu : float
        Permitted voltage drop along the path, of `bus_v`.

    Raises
    ------
    InvalidRequest
        If the power is not positive.
    """
    if not p_w > 0:
        raise InvalidRequest(f"a transfer of {p_w} W: need > 0")
    current = p_w / network.bus_v
    resistance = network.resistance_ohm
    already = np.zeros(resistance.size) if flow_a is None else np.abs(flow_a)
    loss = resistance * ((already + current) ** 2 - already**2)
    drop = resistance * (already + current)
    can_carry = already + current <= network.limit_a
    neighbours: list[list[tuple[int, int]]] = [[] for _ in range(network.n_nodes)]
    for cable in np.flatnonzero(can_carry).tolist():
        a, b = network.ends[cable].tolist()
        neighbours[a].append((b, cable))
        neighbours[b].append((a, cable))
    # Labels leave the heap by rising loss: a later label at a node is worth keeping only if it drops less.
    heap: list[tuple[float, float, float, tuple[int, ...], tuple[int, ...]]] = [(0.0, 0.0, 0.0, (donor,), ())]
    least_drop = np.full(network.n_nodes, np.inf)
    while heap:
        loss_w, length_m, drop_v, nodes, cables = heappop(heap)
        at = nodes[-1]
        if at == receiver:
            return Path(nodes, cables, loss_w, drop_v, length_m)
        if drop_v >= least_drop[at]:
            continue
        least_drop[at] = drop_v
        for to, cable in neighbours[at]:
            drop_there = drop_v + float(drop[cable])
            if to in nodes or drop_there > drop_max_pu * network.bus_v or drop_there >= least_drop[to]:
                continue
            heappush(
                heap,
                (
                    loss_w + float(loss[cable]),
                    length_m + float(network.length_m[cable]),
                    drop_there,
                    (*nodes, to),
                    (*cables, cable),
                ),
            )
    return None


def split_transfer(need_w: float, path_ohm: FloatArray, limit_w: FloatArray, bus_v: float) -> FloatArray:
    """Return how much each donor sends so that `need_w` arrives with the least loss.

    Parameters
    ----------
    need_w : float
        Power wanted at the receiver, >= 0.
    path_ohm : float64 (n_donors,)
        Resistance of each donor's own path, > 0.
    limit_w : float64 (n_donors,)
        What each can send, >= 0.

    Returns
    -------
    float64 (n_donors,)
        Sent power; all of the limits if even that does not bring enough.

    Notes
    -----
    Minimise sum(R i^2) with sum(V i - R i^2) = need: at the optimum every donor below its limit has the same marginal
    loss per watt, i = t / R for one t, found by bisection. (Arriving power grows in i while i < V / 2R, far beyond any
    permitted drop.)
    """
    limit_a = np.minimum(limit_w / bus_v, bus_v / (2 * path_ohm))

    def arrives_w(current_a: FloatArray) -> float:
        return float(np.sum(bus_v * current_a - path_ohm * current_a**2))

    if need_w >= arrives_w(limit_a):
        return limit_a * bus_v
    low, high = 0.0, float(np.max(limit_a * path_ohm, initial=0.0))
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if arrives_w(np.minimum(middle / path_ohm, limit_a)) < need_w:
            low = middle
        else:
            high = middle
    return np.minimum(high / path_ohm, limit_a) * bus_v
