"""Find the margin of a call auction and fill every order around it, without sorting the book.

Steps of supply (see `market.auction`) are taken from the lowest key until they equal the demand. The last
step taken is the margin; off it every order is filled whole or not at all.

Notes
-----
Large books: every k-th order is a sample, whose own margin tells within a few per cent of the book where the
true one lies. One pass over the book then fills everything outside that window and proves, in integers, that
the margin is inside; only the orders in the window are looked at again. A guess that fails costs one pass.

Small books and windows: one histogram over the leading bits of the price finds the margin's bucket, and only
the orders in it are looked at with the next bits. The passes go through blocks that stay in the cache.

The idea of bounding a rank by a sample: R. Floyd, R. Rivest, "Expected time bounds for selection",
Communications of the ACM 18 (1975).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.errors import BookInconsistent
from market.largest_remainder import split
from market.orders import OrderArrays

# Rows per pass: three columns of 2**16 rows of 8 bytes are 1.5 MiB, about a second-level cache.
BLOCK_ROWS: Final = 2**16
# Leading bits of the price that one histogram resolves: 2 * 2**13 bins of 8 bytes are 128 KiB.
LEVEL_BITS: Final = 13
# From 2**18 orders on a sample of 2**15 to 2**16 rows costs less than it saves.
SAMPLED_FROM: Final = 2**18
SAMPLE_ROWS: Final = 2**15
# Half widths of the window, tried in turn, in standard deviations of the sample's demand less supply. Those are
# bounded as if every order traded; where two thirds do, 1.5 stand for 1.9: one guess in twenty fails.
WINDOW_SIGMAS: Final = (1.5, 6.0)
# Sums of quantities stay inside signed 64 bits with room for one subtraction.
MAX_TOTAL_MILLI_WH: Final = 2**62
# A float64 count holds whole numbers below 2**53; larger blocks are counted in two halves.
EXACT_FLOAT: Final = 2**53
LOW_BITS: Final = 27


@dataclass(frozen=True, slots=True)
class Cut:
    """Fills of some rows, `(n_rows,)`, and the prices of the last taken and the next untaken unit.

    A price is None if there is no such unit among the rows. `volume` is half of all fills: what is bought
    equals what is sold where the rows are a whole book.
    """

    fills: NDArray[np.int64]
    low: int | None
    high: int | None
    volume: int


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows under search: all-in limits, sides, energies, and the fee between limits and net prices."""

    limit: NDArray[np.int64]
    is_buy: NDArray[np.bool_]
    quantity: NDArray[np.int64]
    fee: int

    def net(self, rows: slice | NDArray[np.int64]) -> NDArray[np.int64]:
        """Return net limits: a buyer's less the fee, a seller's plus the fee."""
        if self.fee == 0:
            return self.limit[rows]
        net = self.is_buy[rows] * np.int64(-2 * self.fee)
        net += self.limit[rows]
        net += self.fee
        return net

    def among(self, rows: NDArray[np.int64]) -> "_Rows":
        """Return some of the rows, with net limits."""
        return _Rows(self.net(rows), self.is_buy[rows], self.quantity[rows], 0)


def cut(orders: OrderArrays, fee: int = 0) -> Cut:
    """Fill the rows of a book at its margin.

    Parameters
    ----------
    orders : OrderArrays
        The book: all-in limits, sides, energies.
    fee : int
        Fee of either side, micro-credit per kWh.

    Raises
    ------
    BookInconsistent
        If the energies sum to 2**62 mWh or more.
    """
    check_total(orders, MAX_TOTAL_MILLI_WH)
    book = _Rows(orders.limit_micro_per_kwh, orders.is_buy, orders.quantity_milli_wh, fee)
    if len(orders) >= SAMPLED_FROM and _bound(orders) < MAX_TOTAL_MILLI_WH:
        for sigmas in WINDOW_SIGMAS:
            guessed = _cut_by_sample(book, sigmas)
            if guessed is not None:
                return guessed
    return _cut_by_histogram(book, demand=None)


def _bound(orders: OrderArrays) -> int:
    """Return what the energies sum to at most, at no cost; the sum itself could wrap."""
    return orders.largest_milli_wh * len(orders)


def check_total(orders: OrderArrays, limit_milli_wh: int) -> None:
    """Refuse a book whose energy sums to a limit or more.

    Raises
    ------
    BookInconsistent
        Naming the limit.
    """
    if _bound(orders) < limit_milli_wh:
        return
    quantity = orders.quantity_milli_wh
    halves = ((quantity >> 32).sum(), (quantity & (2**32 - 1)).sum())
    total = (int(halves[0]) << 32) + int(halves[1])
    if total >= limit_milli_wh:
        raise BookInconsistent(f"quantity_milli_wh sums to {total} mWh: need less than {limit_milli_wh}")


def _blocks(n_rows: int) -> list[slice]:
    return [slice(first, min(first + BLOCK_ROWS, n_rows)) for first in range(0, n_rows, BLOCK_ROWS)]


def _cut_by_sample(book: _Rows, sigmas: float) -> Cut | None:
    """Return the cut if the margin lies in the window that a sample suggests, else None.

    Notes
    -----
    Rows are told apart by their all-in limits alone, once for both sides: those below the window less the fee
    have net prices below it, those above it plus the fee have net prices above it. What lies between is looked
    at by net price, and a margin found among it counts only if its net price is inside the window.
    """
    window = _window(book, sigmas)
    if window is None:
        return None
    first, end = window
    n_rows = book.quantity.size
    fills = np.empty(n_rows, dtype=np.int64)
    signs = np.empty(BLOCK_ROWS, dtype=np.int64)
    inside: list[NDArray[np.int64]] = []
    rest = filled = 0
    for rows in _blocks(n_rows):
        limit, is_buy = book.limit[rows], book.is_buy[rows]
        is_below = limit < first - book.fee
        # +1: a sell taken, -1: a buy served; 0: a sell left, or a buy that is taken, that is, not served.
        sign = np.subtract(is_below.view(np.int8), is_buy.view(np.int8), out=signs[: limit.size])
        signed = np.multiply(book.quantity[rows], sign, out=fills[rows])
        rest -= int(signed.sum())
        filled += int(np.abs(signed, out=signed).sum())
        is_below ^= limit < end + book.fee
        inside.append(is_below.nonzero()[0] + rows.start)
    at = np.concatenate(inside)
    window_rows = book.among(at)
    if not 0 < rest <= int(window_rows.quantity.sum()):
        return None
    inner = _cut_by_histogram(window_rows, rest)
    if inner.low is None or not first <= inner.low < end:
        return None
    filled += int(inner.fills.sum()) - int(fills[at].sum())
    fills[at] = inner.fills
    high = inner.high
    if high is None or high >= end:  # a row outside may come before
        beyond = _lowest_from(book, end)
        high = beyond if high is None or beyond is None else min(high, beyond)
    return Cut(fills, inner.low, high, filled // 2)


def _window(book: _Rows, sigmas: float) -> tuple[int, int] | None:
    """Return the net prices `[first, end)` between which a sample sees the margin, None if it sees none."""
    sample = slice(0, None, book.quantity.size // SAMPLE_ROWS)
    # Copied once: every look at a strided view touches a cache line per row.
    net, weight = book.net(sample).copy(), book.quantity[sample].astype(np.float64)
    base = int(net.min())
    shift = max(0, (int(net.max()) - base).bit_length() - LEVEL_BITS)
    taken = np.cumsum(np.bincount((net - base) >> shift, weights=weight))
    # Plain sums: a dot product of this length would wake the threads of the linear algebra library.
    demand = float((weight * book.is_buy[sample]).sum())
    slack = sigmas * float(np.sqrt((weight * weight).sum()))
    low, high = np.searchsorted(taken, [demand - slack, demand + slack])
    if low == 0 or high >= taken.size:
        return None
    return base + (int(low) << shift), base + (int(high) + 1 << shift)


def _lowest_from(book: _Rows, price: int) -> int | None:
    """Return the lowest net limit at or above a price among rows that hold energy."""
    lowest = None
    for rows in _blocks(book.quantity.size):
        net = book.net(rows)
        above = net[(net >= price) & (book.quantity[rows] > 0)]
        if above.size:
            found = int(above.min())
            lowest = found if lowest is None else min(lowest, found)
    return lowest


def _cut_by_histogram(book: _Rows, demand: int | None) -> Cut:
    """Take the cheapest steps until they equal `demand` (None: all buys)."""
    n_rows = book.quantity.size
    if n_rows == 0:
        return Cut(np.zeros(0, dtype=np.int64), None, None, 0)
    base = int(book.limit.min()) - book.fee
    span_bits = max(1, (int(book.limit.max()) + book.fee - base).bit_length())
    shift = max(0, span_bits - LEVEL_BITS)
    n_bins = 2 << (span_bits - shift)
    bins = np.empty(n_rows, dtype=np.uint16)
    steps = np.zeros(n_bins, dtype=np.int64)
    for rows in _blocks(n_rows):
        key = book.net(rows) - base
        key >>= shift
        key <<= 1
        key |= book.is_buy[rows]
        bins[rows] = key
        steps += _weigh(key, book.quantity[rows], n_bins)
    target = int(steps[1::2].sum()) if demand is None else demand
    # With whole keys in the bins a bin is one group; otherwise both sides of a bucket belong together.
    is_whole = shift == 0
    grouped = steps if is_whole else steps.reshape(-1, 2).sum(axis=1)
    if not is_whole:
        bins >>= 1
    taken = np.cumsum(grouped)
    at = int(np.searchsorted(taken, target)) if target > 0 else -1
    fills = book.quantity * ((bins < at) ^ book.is_buy)
    low = high = None
    if at >= 0:
        marginal = np.flatnonzero(bins == at)
        rest = target - int(taken[at] - grouped[at])
        if is_whole:
            low = base + (at >> 1)
            high = low if rest < int(grouped[at]) else None
            # A buy trades what is not taken from it.
            traded = int(grouped[at]) - rest if at & 1 else rest
            fills[marginal] = split(traded, book.quantity[marginal])
        else:
            inner = _cut_by_histogram(book.among(marginal), rest)
            fills[marginal], low, high = inner.fills, inner.low, inner.high
    if high is None:
        beyond = np.flatnonzero(grouped[at + 1 :])
        if beyond.size:
            bucket = at + 1 + int(beyond[0])
            price = base + (bucket >> 1 if is_whole else bucket << shift)
            high = price if is_whole else _lowest_from(book, price)
    return Cut(fills, low, high, int(fills.sum()) // 2)


def _weigh(key: NDArray[np.int64], quantity: NDArray[np.int64], n_bins: int) -> NDArray[np.int64]:
    """Return the exact sum of quantities per bin."""
    weights = np.bincount(key, weights=quantity, minlength=n_bins)
    if float(weights.sum()) < EXACT_FLOAT:
        return weights.astype(np.int64)
    # Halves of 27 and 35 bits over at most 2**17 rows keep both float sums below 2**53.
    upper = np.bincount(key, weights=quantity >> LOW_BITS, minlength=n_bins).astype(np.int64)
    lower = np.bincount(key, weights=quantity & (2**LOW_BITS - 1), minlength=n_bins).astype(np.int64)
    return (upper << LOW_BITS) + lower
