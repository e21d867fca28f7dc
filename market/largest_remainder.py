"""Split a whole number over whole weights by largest remainder, so that the parts sum to the whole.

Every row first gets `floor(amount * weight / total)`; the units still left go one each to the rows with the
largest remainders, ties to the lower row. The result is exact: no float decides a unit.

Notes
-----
The floor is guessed in float64 and put right in 64-bit integers. The product `amount * weight` may wrap, yet
its difference to `floor * total` is small and therefore exact modulo 2**64: the whole split stays vectorised
where a plain 64-bit product would overflow.

References
----------
Hamilton's method of apportionment: Balinski, Young, "Fair Representation", 2nd ed., Brookings 2001, ch. 3.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.errors import SettlementError

# The guess, after five roundings of 2**-53, is off by at most one below 2**49; the remainder of a guess off
# by one stays inside 64 bits while the total is below 2**61.
MAX_SHARE: Final = 2**49
MAX_TOTAL: Final = 2**61


def split(amount: int, weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Split `amount` over `weights`.

    Parameters
    ----------
    amount : int
        What is shared, >= 0, below 2**63.
    weights : NDArray[np.int64]
        Whole weights >= 0, `(n,)`.

    Returns
    -------
    NDArray[np.int64]
        Parts `(n,)`, their sum is `amount`. No part exceeds its weight if `amount <= sum(weights)`.

    Raises
    ------
    SettlementError
        If the amount or a weight is negative, or if there is an amount but no weight to carry it.
    """
    weights = np.asarray(weights, dtype=np.int64)
    total = _check(amount, weights)
    if amount == 0:
        return np.zeros_like(weights)
    if amount == total:
        return weights.copy()
    if amount >= 2**63 or total >= MAX_TOTAL or int(weights.max()) * amount // total >= MAX_SHARE:
        return np.array(split_wide(amount, weights.tolist()), dtype=np.int64)
    parts, remainders = _floor_shares(weights, np.int64(amount), np.int64(total))
    left = amount - int(parts.sum())
    if left:
        threshold = np.partition(remainders, remainders.size - left)[remainders.size - left]
        above = remainders > threshold
        parts += above
        ties = np.flatnonzero(remainders == threshold)
        parts[ties[: left - int(np.count_nonzero(above))]] += 1
    return parts


def split_wide(amount: int, weights: Sequence[int]) -> list[int]:
    """Split as `split` does, with Python integers of any size: money in pico-credits passes 64 bits.

    Raises
    ------
    SettlementError
        As `split`.
    """
    whole = [int(weight) for weight in weights]
    total = sum(whole)
    if amount < 0 or any(weight < 0 for weight in whole):
        raise SettlementError(f"cannot split {amount} over {len(whole)} weights: a number is negative")
    if amount == 0:
        return [0] * len(whole)
    if total == 0:
        raise SettlementError(f"cannot split {amount}: all {len(whole)} weights are zero")
    parts = [amount * weight // total for weight in whole]
    order = sorted(range(len(whole)), key=lambda row: (-(amount * whole[row] % total), row))
    for row in order[: amount - sum(parts)]:
        parts[row] += 1
    return parts


def split_segments(
    amounts: NDArray[np.int64], weights: NDArray[np.int64], segment: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Split `amounts[s]` over the weights of segment `s`, for all segments at once.

    Parameters
    ----------
    amounts : NDArray[np.int64]
        Shared amount per segment, `(n_segments,)`, each in `0..sum of its weights`.
    weights : NDArray[np.int64]
        Whole weights >= 0, `(n,)`, rows of one segment next to each other.
    segment : NDArray[np.int64]
        Segment of each row, `(n,)`, not decreasing.

    Returns
    -------
    NDArray[np.int64]
        Parts `(n,)`; those of segment `s` sum to `amounts[s]`; none exceeds its weight.
        Ties go to the lower row.

    Raises
    ------
    SettlementError
        If an amount lies outside `0..sum of its weights`.
    """
    if weights.size == 0:
        if np.any(amounts):
            raise SettlementError("cannot split an amount over a segment without weights")
        return np.zeros(0, dtype=np.int64)
    cumulative = np.concatenate([[0], np.cumsum(weights)])
    border = np.searchsorted(segment, np.arange(amounts.size + 1))
    totals = cumulative[border[1:]] - cumulative[border[:-1]]
    if np.any(amounts < 0) or np.any(amounts > totals):
        row = int(np.flatnonzero((amounts < 0) | (amounts > totals))[0])
        raise SettlementError(
            f"segment {row}: amount {int(amounts[row])} is outside 0..{int(totals[row])}, its sum of weights"
        )
    whole = amounts >= totals
    parts = np.where(whole[segment], weights, 0)
    open_rows = np.flatnonzero((~whole & (amounts > 0))[segment])
    if open_rows.size == 0:
        return parts
    if int(totals.max()) >= MAX_TOTAL or int(weights.max()) >= MAX_SHARE:
        for index in np.flatnonzero(~whole & (amounts > 0)):
            rows = slice(border[index], border[index + 1])
            parts[rows] = split_wide(int(amounts[index]), weights[rows].tolist())
        return parts
    owner = segment[open_rows]
    floors, remainders = _floor_shares(weights[open_rows], amounts[owner], totals[owner])
    parts[open_rows] = floors
    running = np.concatenate([[0], np.cumsum(parts)])
    left = amounts - (running[border[1:]] - running[border[:-1]])
    order = np.lexsort((-remainders, owner))
    sorted_owner = owner[order]
    first = np.searchsorted(sorted_owner, sorted_owner)
    parts[open_rows[order]] += np.arange(order.size) - first < left[sorted_owner]
    return parts


def _check(amount: int, weights: NDArray[np.int64]) -> int:
    if amount < 0:
        raise SettlementError(f"cannot split {amount}: need an amount >= 0")
    if weights.size and int(weights.min()) < 0:
        row = int(weights.argmin())
        raise SettlementError(f"cannot split by weight {int(weights[row])} in row {row}: need weights >= 0")
    # A float64 sum first: the 64-bit one would wrap in silence where it passes 2**63.
    if weights.size and float(weights.sum(dtype=np.float64)) >= MAX_TOTAL:
        total: int = sum(weights.tolist())
    else:
        total = int(weights.sum())
    if amount > 0 and total == 0:
        raise SettlementError(f"cannot split {amount}: all {weights.size} weights are zero")
    return total


def _floor_shares(
    weights: NDArray[np.int64], amount: NDArray[np.int64] | np.int64, total: NDArray[np.int64] | np.int64
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return `floor(amount * weight / total)` and the remainder, exact (see the module's notes)."""
    ratio = np.float64(amount) / np.float64(total)
    parts = (weights * ratio).astype(np.int64)
    remainders = weights * amount - parts * total
    low = remainders < 0
    parts -= low
    remainders += low * total
    high = remainders >= total
    parts += high
    remainders -= high * total
    return parts, remainders
