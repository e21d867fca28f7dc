"""Net-export curves of every node of a radial network, built from the leaves to the root.

A curve is a list of steps of supply, sorted by key (`key = 2 * tick + is_buy`); it starts at minus what is
wanted below the node, since every buy is a fixed demand plus a step at its own limit. What the parent sees is
the curve clipped to the edge's capacities, its importing part shifted down by the fee and its exporting part
up: energy taken in costs its buyer the fee on top, energy sent out must earn it first.

All nodes of a level are handled in one pass: steps carry `code = position * stride + key`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.network_auction_tree import Layout

# Counting beats sorting while the table of all (node, key) bins is at most this many times the orders.
DENSE_BINS_PER_ORDER: Final = 4
# Packing code and row into one 62-bit number allows a plain sort, which is several times an argsort.
PACKED_BITS: Final = 62


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps of supply of consecutive nodes.

    Attributes
    ----------
    first : int
        Position of the first node.
    code : NDArray[np.int64]
        `position * stride + key` per step, strictly or weakly increasing, `(n_steps,)`.
    before : NDArray[np.int64]
        Cumulative quantity before each step and after the last, `(n_steps + 1,)`.
    border : NDArray[np.int64]
        First step of each node, and the end, `(n_nodes + 1,)`.
    """

    first: int
    code: NDArray[np.int64]
    before: NDArray[np.int64]
    border: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Edges:
    """Capacities (mWh) and doubled fees (in keys) of the edges, by position, bounded by the book."""

    import_cap: NDArray[np.int64]
    export_cap: NDArray[np.int64]
    fee_keys: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Curves:
    """The unclipped curve of every node, and what the node's parent sees of its demand.

    Attributes
    ----------
    stride : int
        Distance of the codes of two nodes; keys are `0..stride - 2`.
    own : Steps
        Steps of the orders at the nodes themselves.
    levels : list[Steps]
        Whole curves, children included, level by level from the root.
    demand : NDArray[np.int64]
        Where each node's curve starts: minus this, `(n_nodes,)`.
    demand_above : NDArray[np.int64]
        The part of it that the node's parent counts, `(n_nodes,)`.
    """

    stride: int
    own: Steps
    levels: list[Steps]
    demand: NDArray[np.int64]
    demand_above: NDArray[np.int64]


def below(
    steps: Steps, stride: int, positions: NDArray[np.int64], keys: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the quantity of each node's steps below a key."""
    codes = positions * stride + np.clip(keys, 0, stride - 1)
    at = np.searchsorted(steps.code, codes)
    return steps.before[at] - steps.before[steps.border[positions - steps.first]]


def cut(
    steps: Steps, stride: int, positions: NDArray[np.int64], taken: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the keys of each node's last taken and next untaken unit; -1 where there is none."""
    start = steps.border[positions - steps.first]
    end = steps.border[positions - steps.first + 1]
    target = steps.before[start] + taken
    if steps.code.size == 0:
        none = np.full(positions.size, -1, dtype=np.int64)
        return none, none
    last = np.searchsorted(steps.before, target, "left") - 1
    after = np.searchsorted(steps.before, target, "right") - 1
    offset = positions * stride
    top = steps.code.size - 1
    low = np.where(taken > 0, steps.code[np.clip(last, 0, top)] - offset, -1)
    high = np.where(after < end, steps.code[np.clip(after, 0, top)] - offset, -1)
    return low, high


def build(
    layout: Layout,
    edges: Edges,
    position: NDArray[np.int64],
    key: NDArray[np.int64],
    quantity: NDArray[np.int64],
    bought: NDArray[np.int64],
    top_key: int,
) -> Curves:
    """Build every node's curve.

    Parameters
    ----------
    layout, edges : Layout, Edges
        The network.
    position, key, quantity : NDArray[np.int64]
        Orders, `(n_orders,)`.
    bought : NDArray[np.int64]
        Energy wanted at each position, `(n_nodes,)`.
    top_key : int
        Greatest key of the book.
    """
    n_nodes = layout.parent.size
    stride = top_key + 2
    own = _own_steps(position, key, quantity, n_nodes, stride)
    demand, demand_above = bought.copy(), np.zeros(n_nodes, dtype=np.int64)
    levels: list[Steps] = []
    code = amount = np.zeros(0, dtype=np.int64)
    own_amount = np.diff(own.before)
    for level in range(layout.n_levels - 1, -1, -1):
        first, end = layout.level(level)
        here = slice(int(own.border[first]), int(own.border[end]))
        code, amount = _merge(code, amount, own.code[here], own_amount[here])
        steps = _steps(first, end - first, code, amount, stride)
        levels.append(steps)
        if level:
            code, amount, seen = _seen_by_parent(steps, amount, layout, edges, demand, stride)
            demand_above[first:end] = seen
            np.add.at(demand, layout.parent[first:end], seen)
    return Curves(stride, own, levels[::-1], demand, demand_above)


def _steps(
    first: int, n_nodes: int, code: NDArray[np.int64], amount: NDArray[np.int64], stride: int
) -> Steps:
    before = np.zeros(code.size + 1, dtype=np.int64)
    np.cumsum(amount, out=before[1:])
    border = np.searchsorted(code, np.arange(first, first + n_nodes + 1) * stride)
    return Steps(first, code, before, border)


def _own_steps(
    position: NDArray[np.int64],
    key: NDArray[np.int64],
    quantity: NDArray[np.int64],
    n_nodes: int,
    stride: int,
) -> Steps:
    """Sum the orders of each (node, key) into sorted steps."""
    n_bins = n_nodes * stride
    code = position * stride
    code += key
    if n_bins <= DENSE_BINS_PER_ORDER * code.size:
        table = np.bincount(code, weights=quantity, minlength=n_bins)
        code = np.flatnonzero(table > 0)
        return _steps(0, n_nodes, code, table[code].astype(np.int64), stride)
    code, amount = _sum_equal(*_sorted_by(code, quantity, n_bins))
    some = amount > 0
    if not some.all():
        code, amount = code[some], amount[some]
    return _steps(0, n_nodes, code, amount, stride)


def _sorted_by(
    code: NDArray[np.int64], amount: NDArray[np.int64], n_codes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    row_bits = max(1, (code.size - 1).bit_length())
    if n_codes.bit_length() + row_bits <= PACKED_BITS:
        packed = code << row_bits
        packed |= np.arange(code.size)
        packed.sort()
        return packed >> row_bits, amount[packed & ((1 << row_bits) - 1)]
    order = np.argsort(code, kind="stable")
    return code[order], amount[order]


def _sum_equal(
    code: NDArray[np.int64], amount: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sum the amounts of equal neighbours."""
    if code.size < 2:
        return code, amount
    first = np.concatenate([[0], np.flatnonzero(code[1:] != code[:-1]) + 1])
    if first.size == code.size:
        return code, amount
    return code[first], np.add.reduceat(amount, first)


def _merge(
    code: NDArray[np.int64],
    amount: NDArray[np.int64],
    own_code: NDArray[np.int64],
    own_amount: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Merge the children's shifted steps with the level's own."""
    if code.size == 0:
        return own_code, own_amount
    if own_code.size:
        code, amount = np.concatenate([code, own_code]), np.concatenate([amount, own_amount])
    # The children come as sorted runs, which a stable sort merges.
    order = np.argsort(code, kind="stable")
    return _sum_equal(code[order], amount[order])


def _seen_by_parent(
    steps: Steps,
    amount: NDArray[np.int64],
    layout: Layout,
    edges: Edges,
    demand: NDArray[np.int64],
    stride: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Clip a level's curves to their edges and shift them by the fee.

    Returns
    -------
    tuple
        Codes and amounts of the steps as the parents see them, child by child in rising order, and the demand
        of each child that its parent counts.

    Notes
    -----
    A curve's steps are sorted, so that each rule keeps a range of them, whose ends are searched per node:
    what is imported is `[down, split]`, what is exported `[split, up)`; the step that straddles zero is in
    both. Only the steps in these ranges are touched, and only their first and last are cut.
    """
    n_nodes = steps.border.size - 1
    nodes = np.arange(steps.first, steps.first + n_nodes)
    import_cap, export_cap, fee = edges.import_cap[nodes], edges.export_cap[nodes], edges.fee_keys[nodes]
    start, end = steps.border[:-1], steps.border[1:]
    # Net export is `before - zero`.
    zero = steps.before[start] + demand[nodes]
    split = np.clip(np.searchsorted(steps.before[1:], zero, "right"), start, end)
    straddles = (split < end) & (steps.before[np.minimum(split, steps.code.size)] < zero)
    import_end = split + straddles
    down = np.maximum(np.searchsorted(steps.before[1:], zero - import_cap, "right"), start)
    up = np.minimum(np.searchsorted(steps.before[:-1], zero + export_cap, "left"), end)
    # Beyond the keys of the book a step can never be marginal. What falls below is always taken: demand that
    # nobody outside will ever serve; what rises above never is.
    offset = nodes * stride
    down = np.minimum(np.maximum(down, np.searchsorted(steps.code, offset + fee)), import_end)
    up = np.minimum(up, np.searchsorted(steps.code, np.maximum(offset + (stride - 1) - fee, offset)))
    seen = np.clip(zero - steps.before[down], 0, import_cap)

    # Two ranges per node, in turn: importing, exporting.
    first = np.stack([down, split], axis=1).ravel()
    length = np.stack(
        [(import_end - down) * (import_cap > 0), (up - split) * (export_cap > 0)], axis=1
    ).ravel()
    np.maximum(length, 0, out=length)
    to_parent = (layout.parent[nodes] - nodes) * stride
    shift = np.stack([to_parent - fee, to_parent + fee], axis=1).ravel()
    stop = np.cumsum(length)
    rows = np.arange(stop[-1]) + np.repeat(first - (stop - length), length)
    code = steps.code[rows]
    code += np.repeat(shift, length)
    part = amount[rows]
    low = np.stack([zero - import_cap, zero], axis=1).ravel()
    high = np.stack([zero, zero + export_cap], axis=1).ravel()
    some = np.flatnonzero(length)
    last = first[some] + length[some]
    part[stop[some] - length[some]] -= np.maximum(low[some] - steps.before[first[some]], 0)
    part[stop[some] - 1] -= np.maximum(steps.before[last] - high[some], 0)
    return code, part, seen
