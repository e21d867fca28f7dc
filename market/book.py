"""The open orders as arrays: amend by lane, cancel, and select what an auction sees.

A *cell* is (account, lane, interval). An order writes itself into the cells of `first..last`; whoever wrote a
cell last holds it, so signing a lane anew amends the older order in the intervals both cover, and a quantity
of zero cancels. A cell takes part in the first round that clears its interval and is closed after it, filled
or not: what an order did not get, its agent offers again in the next round on another lane.

Nothing is ever deleted in place: a cell is a row in its interval's log, and selecting an interval keeps the
newest row per cell. That makes a batch of amends one vectorised append, and replay trivially the same.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.errors import BookInconsistent
from market.orders import MAX_LANES, OrderArrays

IntArray = NDArray[np.int64]

COLUMNS = {
    "sequence": np.int64,
    "account": np.int32,
    "is_buy": np.bool_,
    "lane": np.int8,
    "first": np.int32,
    "last": np.int32,
    "quantity_milli_wh": np.int64,
    "limit_micro_per_kwh": np.int64,
    "source": np.int8,
}


@dataclass(frozen=True, slots=True)
class Selection:
    """What one auction sees: orders in tie order, their rows in the book, sequences, lanes and wishes."""

    orders: OrderArrays
    rows: IntArray
    sequence: IntArray
    lane: IntArray
    source: IntArray


class Book:
    """Open orders of one market.

    Rows arrive in the order of their sequence numbers, which must grow: the row number is the tie rule.
    """

    def __init__(self) -> None:
        self._n = 0
        self._columns: dict[str, NDArray[Any]] = {name: np.zeros(64, kind) for name, kind in COLUMNS.items()}
        # per interval: rows of the orders written into its cells, oldest first
        self._cells: defaultdict[int, list[NDArray[np.int32]]] = defaultdict(list)
        # sequence of the first order that came after an interval's latest round
        self._open_from: dict[int, int] = {}

    def __len__(self) -> int:
        return self._n

    def next_sequence(self) -> int:
        """Return the lowest sequence number that the next order may have."""
        return int(self._columns["sequence"][self._n - 1]) + 1 if self._n else 0

    def column(self, name: str) -> NDArray[np.generic]:
        """Return one column of all orders ever submitted, `(len(book),)`."""
        return self._columns[name][: self._n]

    def submit(self, **columns: NDArray[np.generic]) -> IntArray:
        """Append orders, one value per column and order, and return their rows.

        Raises
        ------
        BookInconsistent
            If a column is missing or unknown, lengths differ, or sequences do not grow.
        """
        if columns.keys() != COLUMNS.keys():
            raise BookInconsistent(f"columns {sorted(columns)}: expected {sorted(COLUMNS)}")
        n = len(columns["sequence"])
        for name, values in columns.items():
            if len(values) != n:
                raise BookInconsistent(f"{name} has {len(values)} values, sequence has {n}")
        if n == 0:
            return np.zeros(0, np.int64)
        sequence = np.asarray(columns["sequence"], np.int64)
        newest = int(self._columns["sequence"][self._n - 1]) if self._n else -1
        if sequence[0] <= newest or (np.diff(sequence) <= 0).any():
            raise BookInconsistent(f"sequence must grow beyond {newest}: got {sequence[0]}..{sequence[-1]}")
        self._reserve(self._n + n)
        rows = np.arange(self._n, self._n + n)
        for name, values in columns.items():
            self._columns[name][rows] = values
        self._n += n
        self._write_cells(rows)
        return rows

    def _reserve(self, size: int) -> None:
        have = self._columns["sequence"].size
        if size > have:
            grown = max(size, have * 3 // 2)
            for name, values in self._columns.items():
                bigger = np.zeros(grown, values.dtype)
                bigger[: self._n] = values[: self._n]
                self._columns[name] = bigger

    def _write_cells(self, rows: IntArray) -> None:
        first = self._columns["first"][rows].astype(np.int64)
        span = self._columns["last"][rows].astype(np.int64) - first + 1
        row = np.repeat(rows, span)
        starts = np.cumsum(span) - span
        interval = np.arange(row.size) - np.repeat(starts - first, span)
        order = np.argsort(interval, kind="stable")
        interval, row = interval[order], row[order]
        cuts = np.flatnonzero(np.diff(interval)) + 1
        for t, part in zip(interval[np.r_[0, cuts]], np.split(row, cuts), strict=True):
            self._cells[int(t)].append(part.astype(np.int32))

    def select(self, interval: int) -> Selection:
        """Return the orders that the next round of this interval sees: the newest of each open cell."""
        parts = self._cells.get(interval)
        rows = np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)
        rows = rows[self._columns["sequence"][rows] >= self._open_from.get(interval, 0)]
        cell = self._columns["account"][rows] * np.int64(MAX_LANES) + self._columns["lane"][rows]
        _, newest_from_the_end = np.unique(cell[::-1], return_index=True)
        rows = np.sort(rows[rows.size - 1 - newest_from_the_end])
        rows = rows[self._columns["quantity_milli_wh"][rows] > 0]
        c = self._columns
        return Selection(
            orders=OrderArrays(
                account=c["account"][rows].astype(np.int64),
                is_buy=c["is_buy"][rows],
                quantity_milli_wh=c["quantity_milli_wh"][rows],
                limit_micro_per_kwh=c["limit_micro_per_kwh"][rows],
            ),
            rows=rows,
            sequence=c["sequence"][rows],
            lane=c["lane"][rows].astype(np.int64),
            source=c["source"][rows].astype(np.int64),
        )

    def close_round(self, interval: int, next_sequence: int) -> None:
        """Close the cells of every order before `next_sequence`: no later round of the interval sees them."""
        self._open_from[interval] = next_sequence

    def is_closed(self, interval: int, account: int, lane: int) -> bool:
        """Tell whether this cell already took part in a round."""
        open_from = self._open_from.get(interval)
        if open_from is None:
            return False
        c = self._columns
        for rows in self._cells.get(interval, ()):
            seen = rows[c["sequence"][rows] < open_from]
            if ((c["account"][seen] == account) & (c["lane"][seen] == lane)).any():
                return True
        return False

    def forget_before(self, interval: int) -> None:
        """Drop the cells of intervals that are settled; their orders stay in the store."""
        for cells in (self._cells, self._open_from):
            for t in [t for t in cells if t < interval]:
                del cells[t]
