"""The hub's half: an interval's rows as a bundle, its hash planned with the chunks, its file written after.

The file is written under another name, synced, then renamed: it is there wholly or not at all. After a crash
the store gives the same bytes again, and what does not hash to the planned note is not published: somebody
changed the store.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from node.audit.bundle import FORMAT, encode, file_name
from node.audit.commitment import (
    KIND,
    NOTE_GAS,
    BookNote,
    Note,
    bundle_hash,
    decode_note,
    encode_note,
    noticeboard,
)
from node.audit.lines import (
    CurtailmentLine,
    FillLine,
    Head,
    ImbalanceLine,
    Line,
    Network,
    OrderLine,
    PriceLine,
    ReadingLine,
    RoundLine,
    TariffLine,
    TradeLine,
    ZoneLine,
)
from node.chain.sender import ContractCall, OutboxState, Sender
from node.chain.transactions import transaction_data
from node.chain.typed_data import Domain
from node.errors import Permanent
from node.store.tables_chain import outbox
from node.store.tables_market import (
    curtailments,
    fills,
    imbalances,
    kept_bundles,
    orders,
    prices,
    readings,
    rounds,
    tariffs,
    trades,
    zones,
)
from node.store.unit_of_work import Store

OPERATOR = "operator"
# Bundles that are planned but not mined yet; more than a few means that the chain is not making progress.
_REMEMBERED = 4


class BundleChanged(Permanent):
    """The store's rows of an interval are no longer those whose hash was planned: somebody changed them."""

    def __init__(self, interval: int, planned: bytes, found: bytes) -> None:
        super().__init__(
            f"the bundle of interval {interval} hashes to 0x{found.hex()}, the note on chain says "
            f"0x{planned.hex()}: the store was changed after settlement; restore it from a backup"
        )
        self.interval = interval


@dataclass(frozen=True, slots=True)
class Frame:
    """What every bundle of a community says the same: its contract and its network."""

    domain: Domain
    network: Network


def render(connection: Connection, frame: Frame, interval: int) -> bytes:
    """Return an interval's bundle as the store has it."""
    return encode(_lines(connection, frame, interval))


def keep(connection: Connection, frame: Frame, interval: int) -> None:
    """Keep an interval's bundle as it was committed to, because its rows are about to change."""
    if _kept(connection, interval) is None:
        content = render(connection, frame, interval)
        connection.execute(insert(kept_bundles).values(interval=interval, content=content))


def _kept(connection: Connection, interval: int) -> bytes | None:
    query = select(kept_bundles.c.content).where(kept_bundles.c.interval == interval)
    return connection.execute(query).scalar()


def note_of(connection: Connection, interval: int, data: bytes) -> Note:
    """Return the note that commits to a bundle."""
    found = connection.execute(select(rounds).where(rounds.c.interval == interval).order_by(rounds.c.round))
    books = tuple(BookNote(row.round, row.next_sequence, row.book_root) for row in found)
    return Note(interval, bundle_hash(data), books)


class Publisher:
    """Commits to bundles and publishes them.

    Parameters
    ----------
    folder : Path or None
        Where the files go; None publishes none (communities in memory), notes are planned all the same.
    """

    def __init__(self, store: Store, sender: Sender, frame: Frame, folder: Path | None) -> None:
        self._store = store
        self._sender = sender
        self._frame = frame
        self._folder = folder
        self._waiting: dict[int, bytes] = {}
        self._board = noticeboard(frame.domain.contract)
        self._done = -1  # newest interval known to be published, with all before it

    def commit(self, connection: Connection, interval: int) -> None:
        """Plan the note of a metered interval, in the transaction that plans its chunks."""
        data = render(connection, self._frame, interval)
        note = note_of(connection, interval, data)
        call = ContractCall(KIND, f"{interval}", OPERATOR, self._board, encode_note(note), NOTE_GAS)
        self._sender.enqueue(connection, call)
        self._waiting[interval] = data  # lost with the process, or with the transaction: only a short cut
        while len(self._waiting) > _REMEMBERED:
            del self._waiting[min(self._waiting)]

    def publish(self) -> list[int]:
        """Write the file of every interval whose note is final and that has none yet; return which.

        Raises
        ------
        BundleChanged
            If the store's rows do not hash to the note; nothing is written then.
        OSError
            If the folder cannot be written.
        """
        if self._folder is None:
            return []
        with self._store.read() as connection:
            due = [interval for interval in self._final(connection) if interval > self._done]
            written = []
            for interval in due:
                path = self._folder / file_name(interval)
                if not path.exists():
                    write(path, self._checked(connection, interval))
                    written.append(interval)
                self._done = interval
                self._waiting.pop(interval, None)
        return written

    def _final(self, connection: Connection) -> list[int]:
        query = select(outbox.c.ref).where(outbox.c.kind == KIND, outbox.c.state == OutboxState.FINAL)
        if self._done >= 0:
            newest = select(outbox.c.id).where(outbox.c.kind == KIND, outbox.c.ref == f"{self._done}")
            query = query.where(outbox.c.id > newest.scalar_subquery())
        return sorted(int(ref) for ref in connection.execute(query).scalars())

    def _checked(self, connection: Connection, interval: int) -> bytes:
        planned = _planned(connection, interval).bundle_hash
        data = self._waiting.get(interval)
        if data is None or bundle_hash(data) != planned:
            data = _kept(connection, interval) or render(connection, self._frame, interval)
        if bundle_hash(data) != planned:
            raise BundleChanged(interval, planned, bundle_hash(data))
        return data


def write(path: Path, data: bytes) -> None:
    """Put a file in its place wholly or not at all, durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _planned(connection: Connection, interval: int) -> Note:
    row = connection.execute(
        select(outbox.c.data, outbox.c.raw).where(outbox.c.kind == KIND, outbox.c.ref == f"{interval}")
    ).one()
    calldata = row.data if row.data is not None else transaction_data(row.raw)
    note = decode_note(calldata)
    assert note is not None  # the outbox holds what `commit` put there
    return note


# ------------------------------------------------------------------ rows to lines


def _lines(connection: Connection, frame: Frame, interval: int) -> list[Line]:
    domain = frame.domain
    lines: list[Line] = [Head(FORMAT, interval, domain.chain_id, domain.contract), frame.network]
    lines += [_record(ZoneLine, row) for row in connection.execute(select(zones))]
    covering = select(orders).where(orders.c.last >= interval, orders.c.first <= interval)
    lines += [_record(OrderLine, row) for row in connection.execute(covering)]
    for kind, table, column in _TABLES:
        rows = connection.execute(select(table).where(table.c[column] == interval))
        lines += [_record(kind, row) for row in rows]
    return lines


# A line kind, its table, and the column that says in which interval's bundle a row stands.
_TABLES: tuple[tuple[type, Table, str], ...] = (
    (TariffLine, tariffs, "interval"),
    (RoundLine, rounds, "interval"),
    (PriceLine, prices, "interval"),
    (FillLine, fills, "interval"),
    (TradeLine, trades, "interval"),
    (CurtailmentLine, curtailments, "interval"),
    (ReadingLine, readings, "settled_in"),
    (ImbalanceLine, imbalances, "settled_in"),
)


def _record(kind: Any, row: Any) -> Any:
    """Return a row as a record: fields have the names of columns."""
    return kind(**{field.name: getattr(row, field.name) for field in fields(kind)})


def network_of(
    names: Sequence[str],
    parent: Iterable[int],
    accounts: Iterable[int],
    node: Iterable[int],
    member_of: Iterable[int],
    sources: Iterable[int],
) -> Network:
    """Return the network line of a community."""
    columns = (tuple(map(int, column)) for column in (parent, accounts, node, member_of, sources))
    return Network(tuple(names), *columns)
