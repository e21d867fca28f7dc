"""Splits of a service's revenue: in proportion to delivery, or by Shapley value among places; parts sum to the unit.

| rule | a member's part | splitting one identity into two |
|---|---|---|
| pro rata | delivered / all delivered | gains 0: cuts telescope (`market.flexibility.cut_shares_pico`) |
| Shapley | its place's Shapley value, shared pro rata inside the place | gains 0: both halves stay at their place |

The game: places (network connections, which nobody can multiply by signing up twice) are the players; a coalition is
worth what the service would have had of it, `v(S) = sum_w min(required_w, sum_{i in S} delivered_iw)` over windows w,
in whole mWh. Where all that is delivered is needed, v is additive and both rules agree; where windows are
over-delivered, Shapley pays those who delivered when it was scarce. Undelivered energy adds to no coalition and gets 0.
With members instead of places as players splitting would change the shares: of two that can each do it alone, one with
two names takes two thirds instead of half (the test shows it). With atoms as players it is pro rata (Aumann, Shapley).

References
----------
L. Shapley, "A value for n-person games", Contributions to the Theory of Games II, Princeton 1953.
G. Owen, "Values of games with a priori unions", Lecture Notes in Economics 141 (1977): a value of places first.
R. Aumann, L. Shapley, "Values of Non-Atomic Games", Princeton 1974.
J. Castro, D. Gomez, J. Tejada, Computers & Operations Research 36 (2009), doi:10.1016/j.cor.2008.04.004: sampling.
"""

from collections.abc import Sequence
from enum import IntEnum
from math import factorial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.errors import SettlementError
from market.flexibility import cut_shares_pico
from market.largest_remainder import split_wide

IntArray = NDArray[np.int64]

MAX_EXACT: Final = 10
# Random orders, each taken both ways in all its rotations: every player stands in every position equally often.
SAMPLED_ORDERS: Final = 300
# Marginal values are summed in 64 bits over all sampled orders.
MAX_VALUE_MILLI_WH: Final = 2**44


class SplitRule(IntEnum):
    """How a revenue is split."""

    PRO_RATA = 0
    SHAPLEY = 1


def split_revenue_pico(
    rule: SplitRule,
    revenue_pico: int,
    delivered_milli_wh: IntArray,
    required_milli_wh: IntArray,
    place: IntArray,
    seed: int,
) -> list[int]:
    """Return each member's part, pico-credit, summing to the revenue; all zero if nothing was delivered.

    Parameters
    ----------
    delivered_milli_wh : (n_members, n_windows) int64, >= 0
        Metered delivery in each window.
    required_milli_wh : (n_windows,) int64, >= 0
        What the service needed in each window; ignored by pro rata.
    place : (n_members,) int64
        Where each member is connected; ignored by pro rata.
    seed : int
        Of the sampling, where there are more than `MAX_EXACT` places.

    Raises
    ------
    SettlementError
        If a quantity is negative, too large, or shapes do not fit.
    """
    n_members, n_windows = _checked(revenue_pico, delivered_milli_wh, required_milli_wh, place)
    delivered = (
        [int(total) for total in delivered_milli_wh.sum(axis=1).tolist()] if n_windows else [0] * n_members
    )
    if rule is SplitRule.PRO_RATA:
        return cut_shares_pico(revenue_pico, delivered)
    _, player = np.unique(place, return_inverse=True)
    n_players = int(player.max(initial=-1)) + 1
    by_place = np.zeros((n_players, n_windows), np.int64)
    np.add.at(by_place, player, delivered_milli_wh)
    weights = shapley_weights(by_place, required_milli_wh, seed)
    if not any(weights):
        return [0] * n_members
    parts = [0] * n_members
    for which, amount in enumerate(split_wide(revenue_pico, weights)):
        rows = np.flatnonzero(player == which).tolist()
        for row, part in zip(rows, cut_shares_pico(amount, [delivered[row] for row in rows]), strict=True):
            parts[row] = part
    return parts


def shapley_weights(delivered_milli_wh: IntArray, required_milli_wh: IntArray, seed: int) -> Sequence[int]:
    """Return whole weights in proportion to the players' Shapley values: exact up to ten, else sampled.

    Parameters
    ----------
    delivered_milli_wh : (n_players, n_windows) int64
    required_milli_wh : (n_windows,) int64
    """
    if delivered_milli_wh.shape[0] <= MAX_EXACT:
        return _exact(delivered_milli_wh, required_milli_wh)
    return _sampled(delivered_milli_wh, required_milli_wh, seed)


def _exact(delivered: IntArray, required: IntArray) -> list[int]:
    """Return n! times each Shapley value, over all 2**n coalitions."""
    n = delivered.shape[0]
    sums = np.zeros((1, delivered.shape[1]), np.int64)
    for one in delivered:  # coalition c contains player i where bit i of c is set
        sums = np.concatenate([sums, sums + one])
    value = np.minimum(sums, required).sum(axis=1)
    coalition = np.arange(1 << n)
    size = np.bitwise_count(coalition).astype(np.int64)
    weights = []
    for player in range(n):
        without = coalition[(coalition >> player) & 1 == 0]
        gain = value[without | (1 << player)] - value[without]
        by_size = np.zeros(n, np.int64)
        np.add.at(by_size, size[without], gain)
        weights.append(
            sum(int(total) * factorial(k) * factorial(n - k - 1) for k, total in enumerate(by_size.tolist()))
        )
    return weights


def _sampled(delivered: IntArray, required: IntArray, seed: int) -> list[int]:
    """Return the sum of each player's marginal values over random orders, both ways, in all their rotations."""
    n = delivered.shape[0]
    random = np.random.Generator(np.random.PCG64(seed))
    row = np.arange(n)[:, None]
    rotation = (row + np.arange(n)[None, :]) % n
    total = np.zeros(n, np.int64)
    aligned = np.zeros((n, n), np.int64)
    for _ in range(SAMPLED_ORDERS):
        order = random.permutation(n)
        # An order and its reverse: who joins early in one joins late in the other, and their errors cancel.
        for one in (order, order[::-1]):
            sums = np.cumsum(delivered[one[rotation]], axis=1)
            joined = np.minimum(sums, required, out=sums).sum(axis=2)
            aligned[row, rotation] = np.diff(joined, axis=1, prepend=0)
            total[one] += aligned.sum(axis=0)
    return [int(weight) for weight in total.tolist()]


def _checked(revenue_pico: int, delivered: IntArray, required: IntArray, place: IntArray) -> tuple[int, int]:
    if delivered.ndim != 2 or required.shape != (delivered.shape[1],) or place.shape != (delivered.shape[0],):
        raise SettlementError(
            f"delivered {delivered.shape}, required {required.shape}, place {place.shape}: "
            "need (members, windows), (windows,), (members,)"
        )
    smallest = min(int(delivered.min(initial=0)), int(required.min(initial=0)), revenue_pico)
    if smallest < 0:
        raise SettlementError(f"revenue, delivery and requirement must not be negative, got {smallest}")
    if float(delivered.sum(dtype=np.float64)) > MAX_VALUE_MILLI_WH:
        raise SettlementError(f"more than {MAX_VALUE_MILLI_WH} mWh delivered: need less")
    return int(delivered.shape[0]), int(delivered.shape[1])
