"""The store: one database, one transaction at a time for writers, clear errors for what disks do.

StoreError
├── StoreBusy        (Transient)  another writer holds the database longer than the busy timeout
├── StoreUnwritable  (Permanent)  folder missing or not writable, database read-only
├── StoreFull        (Permanent)  no space left on the device
├── StoreDamaged     (Permanent)  not a database, or corrupt, or the disk reports an I/O error
└── StoreUnreachable (Transient)  the PostgreSQL server does not answer
"""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from node.errors import NodeError, Permanent, Transient
from node.store.schema import metadata

BUSY_TIMEOUT_MS = 5_000
# Indexes by account or hash are written all over: what does not fit into memory is read and written many times.
CACHE_KIB = 64 * 1_024
# A page that many transactions change is carried from the log into the database once, not after each of them; the log
# may grow to this many pages of 4 KiB.
CHECKPOINT_PAGES = 16_384
_WRITES = "symgrid_writes"
# PostgreSQL: the advisory lock that a writer holds, so that there is one at a time, as with SQLite.
_WRITER = 0x5359_4D47


class StoreError(NodeError):
    """Base of what the store fails at; `url` names the database without its password."""

    def __init__(self, url: str, detail: str) -> None:
        super().__init__(f"store {url}: {detail}")
        self.url = url
        self.detail = detail


class StoreBusy(StoreError, Transient):
    """Another writer holds the database longer than the busy timeout."""


class StoreUnwritable(StoreError, Permanent):
    """The folder is missing or not writable, or the database is read-only."""


class StoreFull(StoreError, Permanent):
    """No space is left on the device; the transaction was rolled back."""


class StoreDamaged(StoreError, Permanent):
    """The file is not a database, is corrupt, or the disk reports an I/O error."""


class StoreUnreachable(StoreError, Transient):
    """The database server does not answer."""


# SQLite's primary result codes, https://www.sqlite.org/rescode.html
_BY_SQLITE_CODE: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_BUSY: (StoreBusy, "another process is writing; it held the database for too long"),
    sqlite3.SQLITE_LOCKED: (StoreBusy, "a table is locked by another connection"),
    sqlite3.SQLITE_READONLY: (StoreUnwritable, "the database file or its folder is read-only"),
    sqlite3.SQLITE_CANTOPEN: (StoreUnwritable, "the database file cannot be opened or created"),
    sqlite3.SQLITE_PERM: (StoreUnwritable, "access to the database file is denied"),
    sqlite3.SQLITE_FULL: (StoreFull, "the disk is full; free some space, nothing was written"),
    sqlite3.SQLITE_IOERR: (StoreDamaged, "the disk reports an I/O error"),
    sqlite3.SQLITE_CORRUPT: (StoreDamaged, "the database is corrupt; restore a backup"),
    sqlite3.SQLITE_NOTADB: (StoreDamaged, "the file is not an SQLite database"),
}
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_BY_SQLSTATE: dict[str, tuple[type[StoreError], str]] = {
    "53100": (StoreFull, "the server's disk is full; nothing was written"),
    "40001": (StoreBusy, "the transaction ran into another one; try again"),
    "40P01": (StoreBusy, "the transaction ran into a deadlock; try again"),
    "55P03": (StoreBusy, "another process is writing; it held the database for too long"),
    "25006": (StoreUnwritable, "the server is read-only"),
}


class Store:
    """One SQLite file or PostgreSQL database.

    Parameters
    ----------
    url : str or URL
        `sqlite:////var/lib/grid/store.db`, `sqlite://` (in memory, one thread, for studies and tests) or
        `postgresql+psycopg://user:password@host/name`.
    synchronous : str
        SQLite's durability: `FULL` syncs the disk at every commit; `NORMAL` outlives the process but may lose
        the newest transactions with the machine's power; `OFF` only for studies whose state may be lost.

    Raises
    ------
    StoreUnwritable
        If the folder of an SQLite file is missing or cannot be written.
    ValueError
        If the URL names another kind of database.
    """

    def __init__(self, url: str | URL, *, synchronous: str = "FULL") -> None:
        self._url = make_url(url)
        self.url = self._url.render_as_string(hide_password=True)
        kind = self._url.get_backend_name()
        if kind not in ("sqlite", "postgresql"):
            raise ValueError(f"store {self.url}: expected sqlite or postgresql, not {kind}")
        if synchronous not in ("FULL", "NORMAL", "OFF"):
            raise ValueError(f"synchronous {synchronous}: expected FULL, NORMAL or OFF")
        self.is_sqlite = kind == "sqlite"
        self.path = self._sqlite_path()
        if self.path is not None:
            _check_folder(self.path, self.url)
        self.engine = self._create_engine(synchronous)

    def _sqlite_path(self) -> Path | None:
        database = self._url.database
        if not self.is_sqlite or not database or database == ":memory:":
            return None
        return Path(database)

    def _create_engine(self, synchronous: str) -> Engine:
        if not self.is_sqlite:
            return _postgres_engine(self._url, self.url)
        options: dict[str, Any] = {"connect_args": {"check_same_thread": False}}
        if self.path is None:
            options["poolclass"] = StaticPool
        engine = create_engine(self._url, **options)

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            # The driver's own transaction handling starts writers late and commits behind our back.
            connection.isolation_level = None
            connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")

        @event.listens_for(engine, "begin")
        def start(connection: Connection) -> None:
            # A writer takes its lock at once: one that only upgrades at its first write can deadlock.
            immediate = connection.get_execution_options().get(_WRITES, False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

        return engine

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open one writing transaction: all of it is committed at the end, or none of it.

        Raises
        ------
        StoreError
            If the database cannot be written; nothing was changed then.
        """
        with self._errors(), self.engine.connect() as connection:
            connection = connection.execution_options(**{_WRITES: True})
            with connection.begin():
                if not self.is_sqlite:
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {BUSY_TIMEOUT_MS}")
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER})")
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open one reading transaction: all its queries see the same state.

        Raises
        ------
        StoreError
            If the database cannot be read.
        """
        with self._errors(), self.engine.connect() as connection:
            connection = connection.execution_options(**{_WRITES: False})
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin() as transaction:
                yield connection
                transaction.rollback()

    def create_tables(self, tables: MetaData = metadata) -> None:
        """Create every table that is missing, in one transaction."""
        with self.begin() as connection:
            tables.create_all(connection)

    def backup(self, target: Path) -> None:
        """Copy a running SQLite store into a new file, consistently.

        Raises
        ------
        ValueError
            If the store is not an SQLite file (PostgreSQL has `pg_dump`) or the target exists.
        """
        if self.path is None:
            raise ValueError(f"store {self.url}: only an SQLite file can be copied")
        if target.exists():
            raise ValueError(f"{target} exists; a backup never overwrites")
        _check_folder(target, str(target))
        with self._errors():
            source, copy = sqlite3.connect(self.path), sqlite3.connect(target)
            try:
                source.backup(copy)
            except sqlite3.Error as error:
                raise self._translated(error) or error from error
            finally:
                copy.close()
                source.close()

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            translated = self._translated(error.orig)
            if translated is None:
                raise
            raise translated from error

    def _translated(self, error: BaseException | None) -> StoreError | None:
        """Return the store's own error for a driver's, or None where the statement itself is at fault."""
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None:
            found = _BY_SQLITE_CODE.get(code & 0xFF)
        else:
            state = getattr(error, "sqlstate", None)
            found = _BY_SQLSTATE.get(state or "")
            if found is None and not self.is_sqlite and (state or "08000").startswith(("08", "57P")):
                found = (StoreUnreachable, str(error).strip())
        return found[0](self.url, found[1]) if found else None


def _postgres_engine(url: URL, name: str) -> Engine:
    try:
        engine = create_engine(url, pool_pre_ping=True)
        from psycopg.adapt import Loader  # optional: only communities on a server need the driver
    except ModuleNotFoundError as error:
        raise StoreUnwritable(
            name, f"{error.name} is not installed: pip install 'symbiotic-grid[postgres]'"
        ) from error

    class Integers(Loader):
        """NUMERIC as int: all of it is integers here, amounts and sums of what has 64 bits."""

        def load(self, data: Any) -> int:
            return int(bytes(data))

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.adapters.register_loader("numeric", Integers)

    return engine


def _check_folder(path: Path, url: str) -> None:
    """Refuse a file whose folder is missing or cannot be written, before SQLite says so in its own words."""
    folder = path.parent
    if not folder.is_dir():
        raise StoreUnwritable(url, f"the folder {folder} does not exist; create it or choose another one")
    try:
        descriptor, name = tempfile.mkstemp(prefix=".probe-", dir=folder)
    except OSError as error:
        raise StoreUnwritable(url, f"the folder {folder} cannot be written: {error.strerror}") from error
    os.close(descriptor)
    Path(name).unlink()
