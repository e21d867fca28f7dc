"""The open orders as arrays: amend by lane, cancel, and select what an auction sees.

A *cell* is (account, lane, interval). An order writes itself into the cells of `first..last`; whoever wrote a
cell last holds it, so signing a lane anew amends the older order in the intervals both cover, and a quantity
of zero cancels. Cells of intervals whose auction took the order stay with it: one order per cell settles.

Nothing is ever deleted in place: a cell is a row in its interval's log, and selecting an interval keeps the
newest row per cell. That makes a batch of amends one vectorised append, and replay trivially the same.
"""

from collections import defaultdict
from dataclasses import dataclass

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
        self._columns = {name: np.zeros(64, kind) for name, kind in COLUMNS.items()}
        # per interval: rows of the orders written into its cells, oldest first
        self._cells: defaultdict[int, list[NDArray[np.int32]]] = defaultdict(list)
        # cells that an auction filled, as account * MAX_LANES + lane
        self._filled: defaultdict[int, list[IntArray]] = defaultdict(list)

    def __len__(self) -> int:
        return self._n

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
        interval, row = interval[order], row[order].astype(np.int32)
        cuts = np.flatnonzero(np.diff(interval)) + 1
        for t, part in zip(interval[np.r_[0, cuts]], np.split(row, cuts), strict=True):
            self._cells[int(t)].append(part)

    def select(self, interval: int) -> Selection:
        """Return the orders an auction of this interval sees: the newest of each cell, unless cancelled or filled."""
        parts = self._cells.get(interval)
        rows = np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)
        cell = self._columns["account"][rows] * np.int64(MAX_LANES) + self._columns["lane"][rows]
        _, newest_from_the_end = np.unique(cell[::-1], return_index=True)
        rows = np.sort(rows[rows.size - 1 - newest_from_the_end])
        rows = rows[self._columns["quantity_milli_wh"][rows] > 0]
        filled = self._filled.get(interval)
        if filled:
            cell = self._columns["account"][rows] * np.int64(MAX_LANES) + self._columns["lane"][rows]
            rows = rows[~np.isin(cell, np.concatenate(filled))]
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

    def close_cells(self, interval: int, rows: IntArray) -> None:
        """Mark the cells of these orders as filled in an interval: no later round sees or amends them."""
        cell = self._columns["account"][rows] * np.int64(MAX_LANES) + self._columns["lane"][rows]
        self._filled[interval].append(cell)

    def is_filled(self, interval: int, account: int, lane: int) -> bool:
        """Tell whether an auction already filled this cell."""
        cell = account * MAX_LANES + lane
        return any((part == cell).any() for part in self._filled.get(interval, ()))

    def forget_before(self, interval: int) -> None:
        """Drop the cells of intervals that are settled; their orders stay in the store."""
        for cells in (self._cells, self._filled):
            for t in [t for t in cells if t < interval]:
                del cells[t]
