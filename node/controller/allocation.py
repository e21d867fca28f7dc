"""Power under nested capacities: strict priority classes, weighted max-min fair inside, whole milliwatts.

A claim asks for power at a node; every node above it limits the sum. Class 0 is served first, as if the
others did not exist; what it leaves is the capacity of class 1, and so on. Inside a class no claim can get
more unless one that has less per unit of weight gets less.

Notes
-----
Per class, on residual capacities, with the fair level r = demand / weight of each claim: from the deepest
level to the root, at each node independently, find the water level t with sum(w min(r, t)) = residual
(infinite where the node does not bind) and set r = min(r, t). The grant is w r; its subtree sums are
subtracted from the residuals. One water filling per class and level, no global loop; the order matters:
top-down is wrong. The water level is found by Newton's method from the left on a concave, piecewise-linear
function: monotone and finite; after `MAX_NEWTON_ROUNDS` an exact sort finishes.

Grants are whole milliwatts, min(demand, floor(x + 1e-6)). An exact integer audit then takes back what
float64 could have granted too much, so no capacity is ever overrun, whatever the sizes.

References
----------
D. Bertsekas, R. Gallager, Data Networks, 2nd ed. (1992), section 6.5.2: max-min flow control.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from node.controller.errors import InvalidRequest
from node.controller.network import NO_NODE, CapacityTree, FloatArray, IntArray, subtree_totals, sum_by

MILLI_W_PER_W = 1_000
MAX_NEWTON_ROUNDS = 24
# Grants that miss a whole milliwatt by less than this are float64 noise of the exact grant.
ROUNDING_SLACK_MILLI_W = 1e-6
# Sums of demands stay exact in float64 up to here: 9 TW.
MAX_TOTAL_MILLI_W = 2**53
UNLIMITED_MILLI_W = 2**62
LARGEST_CAP_W = 4e15


@dataclass(frozen=True, slots=True)
class _Level:
    """The claims of one class below the nodes of one level, as contiguous segments."""

    claims: IntArray | None  # positions inside the class; None means all of them
    nodes: IntArray  # (n_segments,)
    first: IntArray  # (n_segments,) start of each segment
    segment: IntArray  # (n_claims_here,) segment of each claim


@dataclass(frozen=True, slots=True)
class AllocationPlan:
    """What allocation needs to know before demands come: rebuilt only when tree, places or classes change."""

    tree: CapacityTree
    node_of_claim: IntArray
    order: IntArray  # claims by (class, path from the root)
    rank: IntArray  # inverse of order
    class_bounds: IntArray  # (n_classes + 1,)
    levels: tuple[tuple[_Level, ...], ...]  # per class, deepest level first
    ancestors_of_claim: IntArray  # (n_levels, n_claims)

    @property
    def n_claims(self) -> int:
        """Return the number of claims."""
        return int(self.order.size)


@dataclass(frozen=True, slots=True)
class Allocation:
    """What was granted, and which node is why no more.

    Parameters
    ----------
    granted_milli_w : int64 (n_claims,)
    limiting_node : int64 (n_claims,)
        The node whose capacity cut the claim; -1 where the whole demand was granted.
    """

    granted_milli_w: IntArray
    limiting_node: IntArray


def plan_allocation(tree: CapacityTree, node_of_claim: IntArray, class_of_claim: IntArray) -> AllocationPlan:
    """Sort claims once so that every (class, node) is one contiguous run.

    Parameters
    ----------
    node_of_claim, class_of_claim : int64 (n_claims,)
        Where the claim is attached; its class, 0 is the most important.

    Raises
    ------
    InvalidRequest
        If a node is unknown, a class is negative or the lengths differ.
    """
    if node_of_claim.shape != class_of_claim.shape or node_of_claim.ndim != 1:
        raise InvalidRequest(
            f"{node_of_claim.shape} nodes for {class_of_claim.shape} classes: need one of each per claim"
        )
    _refuse_rows(
        (node_of_claim < 0) | (node_of_claim >= tree.n_nodes), node_of_claim, "node", f"0..{tree.n_nodes - 1}"
    )
    _refuse_rows(class_of_claim < 0, class_of_claim, "class", ">= 0")
    path = tree.ancestors()[:, node_of_claim]
    order = np.lexsort((*path[::-1], class_of_claim))
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    sorted_class = class_of_claim[order]
    n_classes = int(sorted_class[-1]) + 1 if order.size else 0
    bounds = np.searchsorted(sorted_class, np.arange(n_classes + 1)).astype(np.int64)
    sorted_path = path[:, order]
    levels = tuple(
        tuple(_level(row[first:last]) for row in sorted_path[::-1]) for first, last in pairwise(bounds)
    )
    return AllocationPlan(tree, node_of_claim, order, rank, bounds, levels, path)


def _level(node: IntArray) -> _Level:
    here = np.flatnonzero(node != NO_NODE)
    node_here = node[here]
    starts = np.flatnonzero(np.r_[node_here.size > 0, node_here[1:] != node_here[:-1]][: node_here.size])
    lengths = np.diff(np.r_[starts, node_here.size])
    return _Level(
        claims=None if here.size == node.size else here,
        nodes=node_here[starts],
        first=starts,
        segment=np.repeat(np.arange(starts.size), lengths),
    )


def _refuse_rows(
    wrong: NDArray[np.bool_], values: NDArray[np.int64] | FloatArray, what: str, need: str
) -> None:
    rows = np.flatnonzero(wrong)
    if rows.size:
        raise InvalidRequest(f"{what} of claim {int(rows[0])} is {values[rows[0]]}: need {need}")


def cap_milli_w(cap_w: FloatArray) -> IntArray:
    """Return capacities as whole milliwatts, rounded down; from 4e15 W on they count as unlimited."""
    is_limited = cap_w < LARGEST_CAP_W
    milli = np.floor(np.where(is_limited, cap_w, 0.0) * MILLI_W_PER_W).astype(np.int64)
    return np.where(is_limited, milli, UNLIMITED_MILLI_W)


def allocate(
    plan: AllocationPlan, demand_milli_w: IntArray, weight: FloatArray, capacity_milli_w: IntArray
) -> Allocation:
    """Grant power to claims: the exact lexicographic weighted max-min solution in whole milliwatts.

    Parameters
    ----------
    demand_milli_w : int64 (n_claims,)
        What each claim asks for, >= 0.
    weight : float64 (n_claims,)
        Its share inside its class, > 0.
    capacity_milli_w : int64 (n_nodes,)
        What each node lets through, >= 0; `UNLIMITED_MILLI_W` where nothing limits.

    Raises
    ------
    InvalidRequest
        If a demand or capacity is negative, a weight is not positive, or the sum exceeds 2**53 mW.
    """
    _check_claims(plan, demand_milli_w, weight, capacity_milli_w)
    usage = usage_milli_w(plan, demand_milli_w)
    if np.all(usage <= capacity_milli_w):
        return Allocation(demand_milli_w.copy(), np.full(plan.n_claims, NO_NODE, np.int64))
    return allocate_scarce(plan, demand_milli_w, weight, capacity_milli_w)


def allocate_scarce(
    plan: AllocationPlan, demand_milli_w: IntArray, weight: FloatArray, capacity_milli_w: IntArray
) -> Allocation:
    """Do what `allocate` does with claims that were checked already, and that some node cannot carry."""
    exact, limiting = _water_fill(plan, demand_milli_w, weight, capacity_milli_w)
    granted = np.minimum(demand_milli_w, np.floor(exact + ROUNDING_SLACK_MILLI_W).astype(np.int64))
    granted = take_back_overruns(plan, granted, capacity_milli_w)
    return Allocation(granted, np.where(granted < demand_milli_w, limiting, NO_NODE))


def _check_claims(plan: AllocationPlan, demand: IntArray, weight: FloatArray, capacity: IntArray) -> None:
    for name, array, length in (
        ("demand", demand, plan.n_claims),
        ("weight", weight, plan.n_claims),
        ("capacity", capacity, plan.tree.n_nodes),
    ):
        if array.shape != (length,):
            raise InvalidRequest(f"{name} has shape {array.shape}, expected ({length},)")
    if demand.size and demand.min() < 0:
        _refuse_rows(demand < 0, demand, "demand", ">= 0 mW")
    check_weights(weight)
    if capacity.min() < 0:
        node = int(np.argmin(capacity))
        raise InvalidRequest(f"capacity of node {plan.tree.names[node]} is {capacity[node]}: need >= 0 mW")
    check_total(demand)


def check_weights(weight: FloatArray) -> None:
    """Refuse weights that are no shares; raises InvalidRequest."""
    if weight.size and not (weight.min() > 0 and np.isfinite(weight.max())):
        _refuse_rows(~((weight > 0) & np.isfinite(weight)), weight, "weight", "> 0 and finite")


def check_total(demand: IntArray) -> None:
    """Refuse demands (n_claims,) whose sums float64 cannot tell exactly; raises InvalidRequest."""
    if demand.sum(dtype=np.float64) >= MAX_TOTAL_MILLI_W:
        raise InvalidRequest(f"demands sum to {demand.sum(dtype=np.float64):.3g} mW: need < 2**53")


def usage_milli_w(plan: AllocationPlan, power_milli_w: IntArray) -> IntArray:
    """Return the exact sum of the claims at and below each node.

    Returns
    -------
    int64 (n_nodes,)
    """
    # bincount sums in float64: exact, as all sums stay below 2**53.
    at_node = sum_by(plan.node_of_claim, power_milli_w, plan.tree.n_nodes)
    return subtree_totals(plan.tree, at_node.astype(np.int64))


def _water_fill(
    plan: AllocationPlan, demand: IntArray, weight: FloatArray, capacity: IntArray
) -> tuple[FloatArray, IntArray]:
    demand_sorted, weight_sorted = demand[plan.order].astype(np.float64), weight[plan.order]
    residual = capacity.astype(np.float64)
    exact = np.empty(plan.n_claims)
    limiting = np.full(plan.n_claims, NO_NODE, np.int64)
    for levels, first, last in zip(plan.levels, plan.class_bounds[:-1], plan.class_bounds[1:], strict=True):
        if first < last:
            exact[first:last] = granted = _fill_class(
                levels, demand_sorted[first:last], weight_sorted[first:last], residual, limiting[first:last]
            )
            if last < plan.n_claims:
                for level in levels:
                    left = residual.take(level.nodes) - _at_nodes(level, granted)
                    residual[level.nodes] = np.maximum(left, 0.0)
    return exact[plan.rank], limiting[plan.rank]


def _fill_class(
    levels: tuple[_Level, ...],
    demand: FloatArray,
    weight: FloatArray,
    residual: FloatArray,
    limiting: IntArray,
) -> FloatArray:
    """Return what the claims of one class get of `residual`."""
    fair_level: FloatArray | None = None
    granted = demand
    for level in levels:
        capacity = residual.take(level.nodes)
        binds = _at_nodes(level, granted) > capacity
        if binds.any():
            if fair_level is None:
                fair_level = demand / weight
            _cut(level, fair_level, weight, binds, capacity[binds], limiting)
            granted = weight * fair_level
    return granted


def _at_nodes(level: _Level, power: FloatArray) -> FloatArray:
    """Return the sum of a class's powers below each node of a level."""
    if not level.nodes.size:
        return power[:0]
    return np.add.reduceat(power if level.claims is None else power.take(level.claims), level.first)


def _cut(
    level: _Level,
    fair_level: FloatArray,
    weight: FloatArray,
    binds: NDArray[np.bool_],
    capacity: FloatArray,
    limiting: IntArray,
) -> None:
    """Lower `fair_level` of the claims below the binding nodes of a level until none of these is overrun."""
    r, w = (fair_level, weight) if level.claims is None else (fair_level[level.claims], weight[level.claims])
    nodes, segment, first, rows = level.nodes, level.segment, level.first, level.claims
    if not binds.all():
        # Only the claims below binding nodes take part in the search for the water level.
        here = np.flatnonzero(binds[segment])
        nodes, segment = nodes[binds], (np.cumsum(binds) - 1)[segment[here]]
        is_first = np.ones(segment.size, np.bool_)
        np.not_equal(segment[1:], segment[:-1], out=is_first[1:])
        first = np.flatnonzero(is_first)
        r, w = r[here], w[here]
        rows = here if rows is None else rows[here]
    water = water_levels(r, w, segment, first, capacity).take(segment)
    cut = np.flatnonzero(water < r)
    cut_rows = cut if rows is None else rows[cut]
    fair_level[cut_rows] = water[cut]
    limiting[cut_rows] = nodes[segment[cut]]


def water_levels(
    fair_level: FloatArray, weight: FloatArray, segment: IntArray, first: IntArray, capacity: FloatArray,
    max_rounds: int = MAX_NEWTON_ROUNDS,
) -> FloatArray:  # fmt: skip
    """Return, per segment, the t with sum(w min(r, t)) = capacity, given that the capacity binds.

    Parameters
    ----------
    fair_level, weight : float64 (n_claims,)
    segment : int64 (n_claims,)
        Ascending.
    first : int64 (n_segments,)
    capacity : float64 (n_segments,)
    max_rounds : int
        Newton rounds before the sort takes over.

    Returns
    -------
    float64 (n_segments,)
    """
    amount = weight * fair_level
    level = capacity / np.add.reduceat(weight, first)
    n_open = -1
    for _ in range(max_rounds):
        is_open = fair_level > level.take(segment)
        count = int(np.count_nonzero(is_open))
        if count == n_open:
            return level
        n_open = count
        open_weight = np.add.reduceat(weight * is_open, first)
        left = capacity - np.add.reduceat(amount * ~is_open, first)
        # Where everybody is satisfied nothing limits.
        step = np.full(level.size, np.inf)
        np.divide(left, open_weight, out=step, where=open_weight > 0)
        level = np.maximum(level, step)
    return _water_levels_by_sort(fair_level, weight, segment, first, capacity)


def _water_levels_by_sort(
    fair_level: FloatArray, weight: FloatArray, segment: IntArray, first: IntArray, capacity: FloatArray
) -> FloatArray:
    by_level = np.lexsort((fair_level, segment))
    r, w = fair_level[by_level], weight[by_level]
    levels = np.empty(first.size)
    last = np.r_[first[1:], r.size]
    for index, (a, b, cap) in enumerate(zip(first, last, capacity, strict=True)):
        # Sums inside one segment only: a running sum over all segments would lose digits of the small ones.
        satisfied = np.r_[0.0, np.cumsum(w[a:b] * r[a:b])]
        open_weight = np.cumsum(w[a:b][::-1])[::-1]
        total_at = satisfied[:-1] + r[a:b] * open_weight
        k = int(np.searchsorted(total_at, cap))
        levels[index] = (cap - satisfied[k]) / open_weight[k] if k < b - a else np.inf
    return levels


def take_back_overruns(plan: AllocationPlan, granted: IntArray, capacity: IntArray) -> IntArray:
    """Take back, from the least important claims, what float64 rounding granted beyond a capacity."""
    over = np.flatnonzero(usage_milli_w(plan, granted) > capacity)
    if not over.size:
        return granted
    granted = granted.copy()
    for node in over[np.argsort(-plan.tree.depth[over], kind="stable")]:
        below = plan.order[plan.ancestors_of_claim[plan.tree.depth[node], plan.order] == node][::-1]
        excess = int(granted[below].sum()) - int(capacity[node])
        taken_before = np.cumsum(granted[below]) - granted[below]
        granted[below] -= np.clip(excess - taken_before, 0, granted[below])
    return granted
