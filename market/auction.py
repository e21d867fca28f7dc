"""Clear one uniform-price call auction in exact integers: price, volume and the fill of every order.

Every order is a step of supply at a key: a sell of `q` supplies `q`, and a buy of `q` is a fixed demand of
`q` plus a step of supply at its own limit (below it the buyer rather gives the energy back). The auction
takes the cheapest steps until they equal the whole demand. With `key = 2 * tick + is_buy` sells come before
buys at equal price, so that volume is greatest among all optima of welfare, and the group on the margin is
all sells or all buys: it is shared by largest remainder, ties to the lower row.

Notes
-----
Cost is linear and nothing is sorted: one histogram over the leading bits of the key finds the bucket of the
margin; only the orders in that bucket are looked at again with the next bits. The passes go through blocks
that stay in the processor's cache.

References
----------
Uniform-price call auction and its k-pricing rule: R. Wilson, "Incentive efficiency of double auctions",
Econometrica 53 (1985); M. Satterthwaite, S. Williams, "Bilateral trade with the sealed bid k-double
auction", J. Economic Theory 48 (1989).
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.errors import BookInconsistent
from market.largest_remainder import split
from market.orders import OrderArrays

# Rows per pass: 2**15 rows of 8 bytes are 256 KiB, a few of which fit a second-level cache.
BLOCK_ROWS: Final = 2**15
# Leading bits of the tick that the first histogram resolves: 2 * 2**13 bins of 8 bytes are 128 KiB.
LEVEL_BITS: Final = 13
# A float64 histogram holds whole numbers below 2**53; larger books are counted in two halves.
EXACT_FLOAT: Final = 2**53
LOW_BITS: Final = 26


class PriceRule(IntEnum):
    """Where in `[low, high]` the price lies: `low + (high - low) * k // 1000`.

    Every price of the crossing interval clears the same fills; the rule only shares the surplus. Rounding
    goes down, towards the buyers, by less than one micro-credit per kWh, and never leaves the interval.
    """

    LOW = 0
    MID = 500
    HIGH = 1000


@dataclass(frozen=True, slots=True)
class AuctionResult:
    """What one auction decided.

    Attributes
    ----------
    price_micro_per_kwh : int | None
        The net price, before the fee of either side. None if a side of the book is empty; if the best bid
        lies below the best offer, the price is indicative and the volume zero.
    low_micro_per_kwh, high_micro_per_kwh : int | None
        The crossing interval: every net price in it supports exactly these fills. One bound is None if a
        side of the book is empty, both if the book is.
    volume_milli_wh : int
        Energy bought, which equals the energy sold.
    fills_milli_wh : NDArray[np.int64]
        Energy that each order got, `(n_orders,)`.
    """

    price_micro_per_kwh: int | None
    low_micro_per_kwh: int | None
    high_micro_per_kwh: int | None
    volume_milli_wh: int
    fills_milli_wh: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Margin:
    """Fills of some rows and the ticks on both sides of the cut, as far as these rows know them."""

    fills: NDArray[np.int64]
    low: int | None
    high: int | None


def clear(
    orders: OrderArrays, fee_micro_per_kwh: int = 0, price_rule: PriceRule = PriceRule.MID
) -> AuctionResult:
    """Clear the orders of one interval at one price.

    Parameters
    ----------
    orders : OrderArrays
        Open orders, limits all-in, rows in the order of the tie rule, `(n_orders,)`.
    fee_micro_per_kwh : int
        Operator's fee, paid by either side, >= 0: a buyer pays `price + fee <= limit`, a seller receives
        `price - fee >= limit`.
    price_rule : PriceRule
        Where the price lies inside the crossing interval.

    Returns
    -------
    AuctionResult
        Fills of the greatest welfare and, among those, of the greatest volume.

    Raises
    ------
    ValueError
        If the fee is negative.
    BookInconsistent
        If the quantities of the book sum to 2**62 mWh or more.

    Notes
    -----
    Welfare is `sum(fill * (limit of a buy)) - sum(fill * (limit of a sell)) - 2 * fee * volume`.
    """
    if fee_micro_per_kwh < 0:
        raise ValueError(f"fee_micro_per_kwh is {fee_micro_per_kwh}: need a fee >= 0")
    if float(orders.quantity_milli_wh.sum(dtype=np.float64)) >= 2.0**62:
        raise BookInconsistent("quantity_milli_wh sums to 2**62 mWh or more: split the book")
    margin = _cut(
        orders.limit_micro_per_kwh, orders.is_buy, orders.quantity_milli_wh, fee_micro_per_kwh, demand=None
    )
    volume = int(margin.fills.sum()) // 2
    return AuctionResult(
        price_micro_per_kwh=price_inside(margin.low, margin.high, price_rule),
        low_micro_per_kwh=margin.low,
        high_micro_per_kwh=margin.high,
        volume_milli_wh=volume,
        fills_milli_wh=margin.fills,
    )


def price_inside(low: int | None, high: int | None, price_rule: PriceRule) -> int | None:
    """Return the price that the rule picks in `[low, high]`, None if a bound is missing."""
    if low is None or high is None:
        return None
    return low + (high - low) * int(price_rule) // 1000


def _cut(
    limit: NDArray[np.int64],
    is_buy: NDArray[np.bool_],
    quantity: NDArray[np.int64],
    fee: int,
    demand: int | None,
) -> _Margin:
    """Take the cheapest steps until they equal `demand` (None: all buys) and return every row's fill."""
    if limit.size == 0:
        return _Margin(np.zeros(0, dtype=np.int64), None, None)
    base = int(limit.min()) - fee
    span_bits = max(1, (int(limit.max()) + fee - base).bit_length())
    shift = max(0, span_bits - LEVEL_BITS)
    n_bins = 2 << (span_bits - shift)
    levels = np.empty(limit.size, dtype=np.uint16)
    steps = np.zeros(n_bins, dtype=np.int64)
    for rows in _blocks(limit.size):
        level = _ticks(limit[rows], is_buy[rows], fee, base)
        level >>= shift
        level <<= 1
        level |= is_buy[rows]
        levels[rows] = level
        steps += _weigh(level, quantity[rows], n_bins)
    # With whole keys in the bins a bin is one group; otherwise both sides of a bucket belong together.
    bin_of = 0 if shift == 0 else 1
    target = int(steps[1::2].sum()) if demand is None else demand
    grouped = steps if shift == 0 else steps.reshape(-1, 2).sum(axis=1)
    taken = np.cumsum(grouped)
    at = int(np.searchsorted(taken, target)) if target > 0 else -1
    fills, marginal = _fill_off_margin(levels, is_buy, quantity, at, bin_of)
    low = high = None
    if at >= 0:
        rest = target - int(taken[at] - grouped[at])
        if shift == 0:
            low = base + (at >> 1)
            fills[marginal] = _share(quantity[marginal], rest, bool(at & 1))
            high = low if rest < int(grouped[at]) else None
        else:
            net = _ticks(limit[marginal], is_buy[marginal], fee, 0)
            inner = _cut(net, is_buy[marginal], quantity[marginal], 0, rest)
            fills[marginal], low, high = inner.fills, inner.low, inner.high
    if high is None:
        beyond = np.flatnonzero(grouped[at + 1 :])
        if beyond.size:
            bucket = at + 1 + int(beyond[0])
            high = (
                base + (bucket >> 1) if shift == 0 else _lowest(limit, is_buy, quantity, fee, levels, bucket)
            )
    return _Margin(fills, low, high)


def _blocks(n_rows: int) -> list[slice]:
    return [slice(first, min(first + BLOCK_ROWS, n_rows)) for first in range(0, n_rows, BLOCK_ROWS)]


def _ticks(limit: NDArray[np.int64], is_buy: NDArray[np.bool_], fee: int, base: int) -> NDArray[np.int64]:
    """Return the net limits above `base`: a buyer's limit less the fee, a seller's plus the fee."""
    if fee == 0:
        return limit - base
    ticks = is_buy * np.int64(-2 * fee)
    ticks += limit
    ticks += fee - base
    return ticks


def _weigh(level: NDArray[np.int64], quantity: NDArray[np.int64], n_bins: int) -> NDArray[np.int64]:
    """Return the exact sum of quantities per bin."""
    weights = np.bincount(level, weights=quantity, minlength=n_bins)
    if float(weights.sum()) < EXACT_FLOAT:
        return weights.astype(np.int64)
    # Halves of 26 and 36 bits over at most 2**15 rows keep both float sums below 2**53.
    upper = np.bincount(level, weights=quantity >> LOW_BITS, minlength=n_bins).astype(np.int64)
    lower = np.bincount(level, weights=quantity & (2**LOW_BITS - 1), minlength=n_bins).astype(np.int64)
    return (upper << LOW_BITS) + lower


def _fill_off_margin(
    levels: NDArray[np.uint16],
    is_buy: NDArray[np.bool_],
    quantity: NDArray[np.int64],
    at: int,
    drop: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Fill sells below and buys above the margin whole; return the fills and the rows on the margin."""
    fills = np.empty(quantity.size, dtype=np.int64)
    marginal = []
    for rows in _blocks(quantity.size):
        bucket = levels[rows] >> drop if drop else levels[rows]
        np.multiply(quantity[rows], (bucket < at) ^ is_buy[rows], out=fills[rows])
        if at >= 0:
            marginal.append(np.flatnonzero(bucket == at) + rows.start)
    return fills, np.concatenate(marginal) if marginal else np.zeros(0, dtype=np.int64)


def _share(quantity: NDArray[np.int64], taken: int, are_buys: bool) -> NDArray[np.int64]:
    """Share what the margin trades; a buy trades what is not taken from it."""
    traded = int(quantity.sum()) - taken if are_buys else taken
    return split(traded, quantity)


def _lowest(
    limit: NDArray[np.int64],
    is_buy: NDArray[np.bool_],
    quantity: NDArray[np.int64],
    fee: int,
    levels: NDArray[np.uint16],
    bucket: int,
) -> int:
    """Return the lowest net limit among the rows of a bucket that hold energy."""
    rows = np.flatnonzero((levels >> 1 == bucket) & (quantity > 0))
    return int(_ticks(limit[rows], is_buy[rows], fee, 0).min())
