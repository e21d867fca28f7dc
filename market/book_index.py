"""Index of the book by interval: the rows of an interval, without looking at any other row.

Time is halved again and again, as in a segment tree: node (level, k) stands for the intervals
`k * 2**level .. (k + 1) * 2**level - 1`. An order is entered in the few nodes that make up its `first..last`
exactly: one for a single interval, at most `2 log2(n)` for n. The rows of an interval are then those of the
nodes on its way to the top, so selecting all intervals of a day touches each entry once, not once an interval.
"""

from array import array
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

RowArray = NDArray[np.int32]

_LEVELS: Final = 25  # intervals have 24 bits
_LEVEL_SHIFT: Final = 32


class BookIndex:
    """Rows by node; rows are numbered in the order of arrival."""

    def __init__(self) -> None:
        # int32 arrays that grow in place: many small batches cost no object each
        self._nodes: dict[int, array[int]] = {}
        self.forgotten_before = 0

    def add(self, start: int, first: NDArray[np.int32], last: NDArray[np.int32]) -> None:
        """Enter rows `start, start + 1, ...` for the intervals `first..last` that are not forgotten."""
        low = np.maximum(first.astype(np.int64), self.forgotten_before)
        high = last.astype(np.int64) + 1
        row = np.arange(start, start + low.size, dtype=np.int32)
        for level in range(_LEVELS):
            lives = low < high
            if not lives.all():
                low, high, row = low[lives], high[lives], row[lives]
            if not row.size:
                return
            left = (low & 1).astype(bool)
            self._enter(level, low[left], row[left])
            low = low + left
            right = (high & 1).astype(bool) & (low < high)
            high = high - (high & 1)
            self._enter(level, high[right], row[right])
            low >>= 1
            high >>= 1

    def _enter(self, level: int, place: NDArray[np.int64], row: RowArray) -> None:
        if not row.size:
            return
        if row.size > 1 and (place != place[0]).any():
            order = np.argsort(place, kind="stable")
            place, row = place[order], row[order]
        cuts = np.flatnonzero(place[1:] != place[:-1]) + 1
        for a, b in pairwise([0, *cuts.tolist(), row.size]):
            key = level << _LEVEL_SHIFT | int(place[a])
            node = self._nodes.get(key)
            if node is None:
                node = self._nodes[key] = array("i")
            node.frombytes(row[a:b].tobytes())

    def rows(self, interval: int) -> RowArray:
        """Return the rows whose validity covers an interval, in the order of arrival; none if forgotten."""
        if interval < self.forgotten_before:
            return np.zeros(0, np.int32)
        keys = (level << _LEVEL_SHIFT | interval >> level for level in range(_LEVELS))
        found = [np.array(node, np.int32) for key in keys if (node := self._nodes.get(key)) is not None]
        if not found:
            return np.zeros(0, np.int32)
        rows = found[0] if len(found) == 1 else np.concatenate(found)
        if rows.size > 1 and (rows[1:] < rows[:-1]).any():
            rows.sort(kind="stable")
        return rows

    def forget_before(self, interval: int) -> None:
        """Drop the nodes that lie wholly before an interval."""
        self.forgotten_before = max(self.forgotten_before, interval)
        for key in list(self._nodes):
            level, k = key >> _LEVEL_SHIFT, key & (1 << _LEVEL_SHIFT) - 1
            if (k + 1) << level <= self.forgotten_before:
                del self._nodes[key]

    def rebuild(self, first: NDArray[np.int32], last: NDArray[np.int32]) -> None:
        """Enter rows `0, 1, ...` anew."""
        self._nodes.clear()
        self.add(0, first, last)
