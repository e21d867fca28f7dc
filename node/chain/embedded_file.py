"""The embedded chain's file: everything of a block in one SQLite transaction, one writer, online copies.

Tables: `nodes` (state trie nodes and code by hash, immutable), `blocks`, `transactions`, `logs` with the
indexes that lookups need, `facts` (genesis). A block is durable once its one commit returned.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from eth.constants import BLANK_ROOT_HASH
from eth.db.backends.base import BaseAtomicDB
from eth.db.batch import BatchDB
from lru import LRU

from node.chain.embedded_state import KnownState
from node.chain.ports import ChainError, ChainLocked, Hash, Log
from node.errors import Permanent

FORMAT = 1
# One state of 10,000 accounts has about 15,000 nodes of some 150 B.
CACHED_NODES = 65_536

_SCHEMA = """
CREATE TABLE facts(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE nodes(hash BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks(number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, header BLOB NOT NULL);
CREATE TABLE transactions(
    hash BLOB PRIMARY KEY, block INTEGER NOT NULL, position INTEGER NOT NULL,
    sender BLOB NOT NULL, raw BLOB NOT NULL, is_success INTEGER NOT NULL, gas_used INTEGER NOT NULL,
    contract BLOB, output BLOB NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX transactions_by_block ON transactions(block, position);
CREATE TABLE logs(
    block INTEGER NOT NULL, position INTEGER NOT NULL, address BLOB NOT NULL, topics BLOB NOT NULL,
    data BLOB NOT NULL, transaction_position INTEGER NOT NULL, PRIMARY KEY(block, position)
) WITHOUT ROWID;
CREATE INDEX logs_by_address ON logs(address, block, position);
"""


class ChainFileError(ChainError, Permanent):
    """The chain's file cannot be read or written, or is no chain file; the message says which and why."""


class TransactionRow(NamedTuple):
    """A mined transaction as the file holds it; `output` is kept for reverted ones only."""

    hash: Hash
    block: int
    position: int
    sender: bytes
    raw: bytes
    is_success: bool
    gas_used: int
    contract: bytes | None
    output: bytes


class LogRow(NamedTuple):
    """An event as the file holds it."""

    position: int
    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    transaction_position: int


class ChainFile(BaseAtomicDB):
    """Nodes by hash with a write buffer that reaches the disk only as part of a whole block.

    Parameters
    ----------
    path : Path or None
        None keeps the chain in memory (studies and tests).
    is_durable : bool
        False leaves syncing to the operating system: for studies whose chain may be lost with the power.

    Raises
    ------
    ChainLocked
        If another process, or another object of this one, already writes this chain.
    ChainFileError
        If the folder cannot be written or the file is no chain file.
    """

    def __init__(self, path: Path | None, *, is_durable: bool = True) -> None:
        self.path = path
        self._lock = None if path is None else _lock(path)
        self._cache: LRU[bytes, bytes] = LRU(CACHED_NODES)
        self._new: dict[bytes, bytes] = {}
        self.known: KnownState | None = None  # values at the newest root that was written
        try:
            self._connection = self._open(is_durable)
        except BaseException:
            self._unlock()
            raise

    def _open(self, is_durable: bool) -> sqlite3.Connection:
        with self._errors():
            connection = sqlite3.connect(
                self.path or ":memory:", isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(f"PRAGMA synchronous={'FULL' if is_durable else 'OFF'}")
                if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={FORMAT};COMMIT;")
                found = connection.execute("PRAGMA user_version").fetchone()[0]
                if found != FORMAT:
                    raise ChainFileError(f"chain {self.path}: format {found}, this version reads {FORMAT}")
            except BaseException:
                connection.close()
                raise
            return connection

    # -------------------------------------------------------------- nodes, as py-evm wants them

    def __getitem__(self, key: bytes) -> bytes:
        body = self._new.get(key)
        if body is None:
            body = self._cache.get(key)
        if body is None:
            row = self._connection.execute("SELECT body FROM nodes WHERE hash=?", (key,)).fetchone()
            if row is None:
                raise KeyError(key)
            body = row[0]
            self._cache[key] = body
        return body

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._new[bytes(key)] = bytes(value)

    def __delitem__(self, key: bytes) -> None:
        raise KeyError(f"state is never deleted: {key.hex()}")

    def _exists(self, key: bytes) -> bool:
        try:
            self[key]
        except KeyError:
            return False
        return True

    @contextmanager
    def atomic_batch(self) -> Iterator[BatchDB]:  # type: ignore[override]  # py-evm's own batch type is private
        """Collect writes and take all of them over at the end, or none after an error."""
        batch = BatchDB(self)
        yield batch
        batch.commit(apply_deletes=False)

    def has_state(self, root: Hash) -> bool:
        """Return whether the state of this root is held; the empty one always is."""
        return root == BLANK_ROOT_HASH or root in self

    def discard(self) -> None:
        """Forget what a block that is not to be kept has written."""
        self._new.clear()

    # -------------------------------------------------------------- blocks

    def append(
        self,
        number: int,
        block_hash: Hash,
        header: bytes,
        transactions: Iterable[TransactionRow] = (),
        logs: Iterable[LogRow] = (),
        facts: Iterable[tuple[str, bytes]] = (),
    ) -> None:
        """Make a block durable: header, transactions, events and new state in one transaction, one fsync.

        Raises
        ------
        ChainFileError
            If the disk is full or fails; nothing of the block is kept then.
        """
        connection = self._connection
        with self._errors():
            connection.execute("BEGIN IMMEDIATE")
            try:
                # Sorted keys touch each page of the tree once.
                connection.executemany("INSERT OR IGNORE INTO nodes VALUES(?,?)", sorted(self._new.items()))
                connection.execute("INSERT INTO blocks VALUES(?,?,?)", (number, block_hash, header))
                connection.executemany(
                    "INSERT INTO transactions(hash, block, position, sender, raw, is_success, gas_used, "
                    "contract, output) VALUES(?,?,?,?,?,?,?,?,?)",
                    transactions,
                )
                connection.executemany(
                    "INSERT INTO logs(block, position, address, topics, data, transaction_position) "
                    "VALUES(?,?,?,?,?,?)",
                    (
                        (number, x.position, x.address, b"".join(x.topics), x.data, x.transaction_position)
                        for x in logs
                    ),
                )
                connection.executemany("INSERT INTO facts VALUES(?,?)", facts)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        self._cache.update(self._new)
        self._new.clear()

    def fact(self, name: str) -> bytes | None:
        """Return a named fact (the genesis) or None."""
        row = self._one("SELECT value FROM facts WHERE name=?", name)
        return None if row is None else row[0]

    def newest_header(self) -> tuple[Hash, bytes] | None:
        """Return hash and encoded header of the newest block, or None before the genesis."""
        return self._one("SELECT hash, header FROM blocks ORDER BY number DESC LIMIT 1")

    def header(self, number: int) -> tuple[Hash, bytes] | None:
        """Return hash and encoded header of a block."""
        return self._one("SELECT hash, header FROM blocks WHERE number=?", number)

    def number_of(self, block_hash: Hash) -> int | None:
        """Return the number of a block."""
        row = self._one("SELECT number FROM blocks WHERE hash=?", block_hash)
        return None if row is None else row[0]

    def hashes_before(self, number: int, count: int) -> list[Hash]:
        """Return hashes of up to `count` blocks below `number`, newest first."""
        query = "SELECT hash FROM blocks WHERE number<? ORDER BY number DESC LIMIT ?"
        with self._errors():
            return [row[0] for row in self._connection.execute(query, (number, count))]

    def transaction(self, transaction_hash: Hash) -> TransactionRow | None:
        """Return a mined transaction."""
        row = self._one("SELECT * FROM transactions WHERE hash=?", transaction_hash)
        return None if row is None else TransactionRow(*row)

    def transactions_of(self, number: int) -> list[TransactionRow]:
        """Return a block's transactions in order."""
        query = "SELECT * FROM transactions WHERE block=? ORDER BY position"
        with self._errors():
            return [TransactionRow(*row) for row in self._connection.execute(query, (number,))]

    def logs(
        self, first: int, last: int, addresses: tuple[bytes, ...], position: int | None = None
    ) -> list[Log]:
        """Return events of blocks `first..last`, in order, of these addresses (all if none are given),
        of one transaction's position if given."""
        where = "l.block BETWEEN ? AND ?"
        values: list[Any] = [first, last]
        if addresses:
            where += f" AND l.address IN ({','.join('?' * len(addresses))})"
            values += addresses
        if position is not None:
            where += " AND l.transaction_position=?"
            values.append(position)
        query = (
            "SELECT l.address, l.topics, l.data, l.block, b.hash, t.hash, l.transaction_position, l.position "
            "FROM logs l JOIN blocks b ON b.number=l.block "
            "JOIN transactions t ON t.block=l.block AND t.position=l.transaction_position "
            f"WHERE {where} ORDER BY l.block, l.position"
        )
        with self._errors():
            rows = self._connection.execute(query, values).fetchall()
        return [Log(address, _split(topics), *rest) for address, topics, *rest in rows]

    # -------------------------------------------------------------- the file

    def backup(self, target: Path) -> None:
        """Copy the running chain into a new file, consistently, while blocks go on being produced.

        Raises
        ------
        ChainFileError
            If the target exists or cannot be written.
        """
        if target.exists():
            raise ChainFileError(f"backup {target}: the file exists; a backup never overwrites")
        with self._errors(), closing(sqlite3.connect(target)) as copy:
            self._connection.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")

    def close(self) -> None:
        """Close the file and let another writer in."""
        self._connection.close()
        self._unlock()

    def _one(self, query: str, *values: Any) -> Any:
        with self._errors():
            return self._connection.execute(query, values).fetchone()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise ChainFileError(f"chain {self.path or 'in memory'}: {error}") from error

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _split(topics: bytes) -> tuple[Hash, ...]:
    return tuple(topics[i : i + 32] for i in range(0, len(topics), 32))


def _lock(path: Path) -> int:
    """Take the writer's lock, which the system gives back however the process ends."""
    beside = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ChainFileError(f"chain {path}: cannot write {beside}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise ChainLocked(
            f"chain {path}: process {holder} is already writing it; "
            "a chain has one writer, stop that one first"
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
