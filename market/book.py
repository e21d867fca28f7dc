"""The open orders as arrays: amend by lane, cancel, and select what an auction sees.

A *cell* is (account, lane, interval). An order writes itself into the cells of `first..last`; whoever wrote a
cell last holds it, so signing a lane anew amends the older order in the intervals both cover, and a quantity
of zero cancels. A cell takes part in the first round that clears its interval and is closed after it, filled
or not: what an order did not get, its agent offers again in the next round on another lane.

Nothing is overwritten: orders are rows in the order of arrival, and selecting an interval keeps the newest
row of each cell. That makes a batch of amends one vectorised append, and a replay trivially the same.
`market.book_index` finds the rows of an interval without looking at the others.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from market.book_index import BookIndex
from market.errors import BookInconsistent
from market.orders import MAX_ACCOUNT, MAX_INTERVAL, MAX_LANES, OrderArrays

IntArray = NDArray[np.int64]

COLUMNS: Final[dict[str, Any]] = {
    "sequence": np.int64,
    "account": np.uint32,
    "is_buy": np.bool_,
    "lane": np.uint8,
    "first": np.int32,
    "last": np.int32,
    "quantity_milli_wh": np.int64,
    "limit_micro_per_kwh": np.int64,
    "source": np.uint8,
    "partner": np.uint32,
    "group": np.uint16,
}
"""45 bytes an order, and 4 per entry of the index: one for a single interval, 2 log2(n) at most for n."""

_MAGIC: Final = b"symbiotic book 2\n"
# A table over all cells beats a sort as long as it is not much larger than what is looked up.
_CELLS_PER_ROW: Final = 8
_SMALL_TABLE: Final = 2**16


@dataclass(frozen=True, slots=True)
class Selection:
    """What one auction sees: orders in tie order, their rows in the book, sequences, lanes and wishes.

    Rows are good until the book forgets; sequences always.
    """

    orders: OrderArrays
    rows: IntArray
    sequence: IntArray
    lane: IntArray
    source: IntArray
    partner: IntArray
    group: IntArray


class Book:
    """Open orders of one market.

    Rows arrive in the order of their sequence numbers, which must grow: the row number is the tie rule. Who
    hands out sequence numbers (the door) gives orders of one moment theirs in the order of their hashes.
    """

    def __init__(self) -> None:
        self._n = 0
        self._next_sequence = 0
        self._columns: dict[str, NDArray[Any]] = {name: np.zeros(64, kind) for name, kind in COLUMNS.items()}
        self._index = BookIndex()
        # sequence of the first order that came after an interval's latest round
        self._open_from: dict[int, int] = {}
        # cells that took part in a round, as sorted account * MAX_LANES + lane
        self._closed: dict[int, IntArray] = {}

    def __len__(self) -> int:
        return self._n

    def next_sequence(self) -> int:
        """Return the lowest sequence number that the next order may have."""
        return self._next_sequence

    def column(self, name: str) -> NDArray[Any]:
        """Return one column of the orders that the book holds, `(len(book),)`, in the order of arrival."""
        return self._columns[name][: self._n]

    def submit(self, **columns: NDArray[Any]) -> IntArray:
        """Append orders, one value per column and order, and return their rows.

        Raises
        ------
        BookInconsistent
            If a column is missing or unknown, lengths differ, sequences do not grow, or an account, lane or
            interval is out of range. The book is left as it was.
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
        if sequence[0] < self._next_sequence or (sequence[1:] <= sequence[:-1]).any():
            raise BookInconsistent(
                f"sequence must grow from {self._next_sequence}: got {sequence[0]}..{sequence[-1]}"
            )
        _within("account", columns["account"], 0, MAX_ACCOUNT)
        _within("lane", columns["lane"], 0, MAX_LANES - 1)
        _within("first", columns["first"], 0, MAX_INTERVAL)
        _within("last", columns["last"], 0, MAX_INTERVAL)
        if (np.asarray(columns["last"]) < np.asarray(columns["first"])).any():
            raise BookInconsistent("last lies before first")
        start, stop = self._n, self._n + n
        self._reserve(stop)
        for name, values in columns.items():
            self._columns[name][start:stop] = values
        self._n = stop
        self._next_sequence = int(sequence[-1]) + 1
        self._index.add(start, self._columns["first"][start:stop], self._columns["last"][start:stop])
        return np.arange(start, stop)

    def _reserve(self, size: int) -> None:
        have = self._columns["sequence"].size
        if size > have:
            grown = max(size, have * 3 // 2)
            for name, values in self._columns.items():
                bigger = np.empty(grown, values.dtype)
                bigger[: self._n] = values[: self._n]
                self._columns[name] = bigger

    def select(self, interval: int, before: int | None = None) -> Selection:
        """Return the orders that the next round of this interval sees: the newest of each open cell.

        Parameters
        ----------
        interval : int
            The interval to clear.
        before : int | None
            Leave out orders from this sequence on: what a round saw that closed then.
        """
        rows = self._newest(interval, self._open_from.get(interval, 0), before)
        c = self._columns
        quantity = c["quantity_milli_wh"][rows]
        is_open = quantity > 0
        if not is_open.all():
            rows, quantity = rows[is_open], quantity[is_open]
        return Selection(
            orders=OrderArrays(
                account=c["account"][rows].astype(np.int64),
                is_buy=c["is_buy"][rows],
                quantity_milli_wh=quantity,
                limit_micro_per_kwh=c["limit_micro_per_kwh"][rows],
            ),
            rows=rows.astype(np.int64),
            sequence=c["sequence"][rows],
            lane=c["lane"][rows].astype(np.int64),
            source=c["source"][rows].astype(np.int64),
            partner=c["partner"][rows].astype(np.int64),
            group=c["group"][rows].astype(np.int64),
        )

    def _newest(self, interval: int, from_sequence: int, before: int | None) -> NDArray[np.int32]:
        """Return the newest row of each cell written in a range of sequences, in the order of arrival."""
        rows = self._index.rows(interval)
        sequence = self.column("sequence")
        if from_sequence:
            rows = rows[np.searchsorted(rows, np.searchsorted(sequence, from_sequence)) :]
        if before is not None:
            rows = rows[: np.searchsorted(rows, np.searchsorted(sequence, before))]
        if rows.size < 2:
            return rows
        account, lane = self._columns["account"][rows], self._columns["lane"][rows]
        lowest, stride = int(account.min()), int(lane.max()) + 1
        n_cells = (int(account.max()) - lowest + 1) * stride
        if n_cells <= max(_CELLS_PER_ROW * rows.size, _SMALL_TABLE):
            cell = (account - np.uint32(lowest)).astype(np.int64)
            cell *= stride
            cell += lane
            newest = np.empty(n_cells, np.int32)
            newest[cell] = rows  # of repeated cells the last row, the newest, stays
            kept: NDArray[np.int32] = rows[newest[cell] == rows]
            return kept
        cell = account.astype(np.int64) * MAX_LANES + lane
        _, from_the_end = np.unique(cell[::-1], return_index=True)
        return rows[np.sort(rows.size - 1 - from_the_end)]

    def close_round(self, interval: int, next_sequence: int) -> None:
        """Close the cells of every order before `next_sequence`: no later round of the interval sees them."""
        rows = self._newest(interval, self._open_from.get(interval, 0), next_sequence)
        rows = rows[self._columns["quantity_milli_wh"][rows] > 0]
        cells = self._columns["account"][rows].astype(np.int64) * MAX_LANES + self._columns["lane"][rows]
        earlier = self._closed.get(interval)
        self._closed[interval] = np.unique(cells) if earlier is None else np.union1d(earlier, cells)
        self._open_from[interval] = next_sequence

    def is_closed(self, interval: int, account: int, lane: int) -> bool:
        """Tell whether this cell already took part in a round."""
        cells = self._closed.get(interval)
        if cells is None:
            return False
        cell = account * MAX_LANES + lane
        at = int(cells.searchsorted(cell))
        return at < cells.size and int(cells[at]) == cell

    def forget_before(self, interval: int) -> None:
        """Drop intervals that are settled, and rows that no later interval needs; the store keeps them all.

        Rows are renumbered when at least half of them are dropped: settled, or amended over the same
        intervals by a newer order of the same lane.
        """
        self._index.forget_before(interval)
        for by_interval in (self._open_from, self._closed):
            for t in [t for t in by_interval if t < interval]:
                del by_interval[t]
        c = {name: self.column(name) for name in COLUMNS}
        alive = np.flatnonzero(c["last"] >= interval)
        if alive.size * 2 > self._n:
            return
        lane = c["account"][alive].astype(np.int64) * MAX_LANES + c["lane"][alive]
        span = c["first"][alive].astype(np.int64) << 32 | c["last"][alive]
        order = np.lexsort((span, lane))  # stable: of equal spans the newest stands last
        is_newest = np.append((np.diff(lane[order]) != 0) | (np.diff(span[order]) != 0), True)[: alive.size]
        kept = np.sort(alive[order[is_newest]])
        for name in COLUMNS:
            self._columns[name] = c[name][kept]
        self._n = kept.size
        self._index.rebuild(self.column("first"), self.column("last"))

    def to_bytes(self) -> bytes:
        """Return the book as bytes: the same book gives the same bytes on every machine."""
        closed = sorted(self._closed)
        head = {
            "n": self._n,
            "next_sequence": self._next_sequence,
            "forgotten_before": self._index.forgotten_before,
            "open_from": sorted(self._open_from.items()),
            "closed": [(t, self._closed[t].size) for t in closed],
        }
        parts = [self.column(name) for name in COLUMNS] + [self._closed[t] for t in closed]
        packed = [part.astype(part.dtype.newbyteorder("<")).tobytes() for part in parts]
        return _MAGIC + json.dumps(head, separators=(",", ":")).encode() + b"\n" + b"".join(packed)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Book":
        """Read a book that `to_bytes` wrote.

        Raises
        ------
        BookInconsistent
            If these bytes are no book, or cut short.
        """
        if not data.startswith(_MAGIC):
            raise BookInconsistent("these bytes are no book of this version")
        end = data.index(b"\n", len(_MAGIC))
        head = json.loads(data[len(_MAGIC) : end])
        book = cls()
        at = end + 1
        sizes = [(np.dtype(kind), head["n"]) for kind in COLUMNS.values()]
        sizes += [(np.dtype(np.int64), size) for _, size in head["closed"]]
        if len(data) - at != sum(kind.itemsize * size for kind, size in sizes):
            raise BookInconsistent(f"{len(data) - at} bytes of columns do not fit {head['n']} orders")
        arrays = []
        for kind, size in sizes:
            values = np.frombuffer(data, kind.newbyteorder("<"), size, at)
            arrays.append(values.astype(kind))
            at += kind.itemsize * size
        book._columns = dict(zip(COLUMNS, arrays, strict=False))
        book._n, book._next_sequence = head["n"], head["next_sequence"]
        book._open_from = dict(head["open_from"])
        book._closed = {
            t: cells for (t, _), cells in zip(head["closed"], arrays[len(COLUMNS) :], strict=True)
        }
        book._index.forgotten_before = head["forgotten_before"]
        book._index.rebuild(book.column("first"), book.column("last"))
        return book


def _within(name: str, values: NDArray[Any], low: int, high: int) -> None:
    array = np.asarray(values)
    if int(array.min()) < low or int(array.max()) > high:
        raise BookInconsistent(f"{name} ranges over {array.min()}..{array.max()}: need {low}..{high}")
