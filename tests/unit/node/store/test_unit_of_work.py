"""One transaction or nothing, and an error for each thing that disks do."""

import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from node.errors import Permanent, Transient
from node.store import unit_of_work
from node.store.schema import Address20, Amount, Hash32
from node.store.unit_of_work import Store, StoreBusy, StoreDamaged, StoreFull, StoreUnwritable

tables = MetaData()
money = Table("money", tables, Column("id", Integer, primary_key=True), Column("amount", Amount))
names = Table(
    "names",
    tables,
    Column("hash", Hash32, primary_key=True),
    Column("owner", Address20),
    Column("money_id", ForeignKey("money.id")),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(f"sqlite:///{tmp_path / 'a store.db'}")
    opened.create_tables(tables)
    return opened


@pytest.mark.parametrize("amount", [0, -1, 2**63, -(2**79), 10**40 - 1, 1 - 10**40])
def test_amounts_beyond_64_bits_come_back_as_they_went_in(store: Store, amount: int) -> None:
    with store.begin() as connection:
        connection.execute(insert(money).values(id=1, amount=amount))
    with store.read() as connection:
        found = connection.execute(select(money.c.amount)).scalar_one()
    assert found == amount
    assert type(found) is int


@pytest.mark.parametrize("amount", [1.0, "1", True, 10**40, -(10**40)])
def test_what_is_no_exact_amount_is_refused(store: Store, amount: object) -> None:
    with pytest.raises(Exception, match="amount"), store.begin() as connection:
        connection.execute(insert(money).values(id=1, amount=amount))


@pytest.mark.parametrize("value", [b"", bytes(31), bytes(33)])
def test_hashes_have_32_bytes(store: Store, value: bytes) -> None:
    with pytest.raises(Exception, match="expected 32 bytes"), store.begin() as connection:
        connection.execute(insert(names).values(hash=value))


def test_a_transaction_is_kept_whole_or_not_at_all(store: Store) -> None:
    class Unexpected(Exception):
        pass

    def fail_half_way() -> None:
        with store.begin() as connection:
            connection.execute(insert(money).values(id=1, amount=5))
            raise Unexpected

    with pytest.raises(Unexpected):
        fail_half_way()
    with store.read() as connection:
        assert connection.execute(select(money)).all() == []


def test_a_reader_sees_one_state_while_a_writer_goes_on(store: Store) -> None:
    with store.read() as reader:
        assert reader.execute(select(money)).all() == []
        with store.begin() as writer:
            writer.execute(insert(money).values(id=1, amount=5))
        assert reader.execute(select(money)).all() == []
    with store.read() as reader:
        assert len(reader.execute(select(money)).all()) == 1


def test_foreign_keys_are_enforced(store: Store) -> None:
    with pytest.raises(IntegrityError), store.begin() as connection:
        connection.execute(insert(names).values(hash=bytes(32), money_id=99))


def test_every_commit_reaches_the_disk(store: Store) -> None:
    with store.read() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_second_writer_waits_and_is_then_told_so(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(unit_of_work, "BUSY_TIMEOUT_MS", 50)
    impatient = Store(f"sqlite:///{tmp_path / 'a store.db'}")
    with store.begin() as connection:
        connection.execute(insert(money).values(id=1, amount=5))
        with pytest.raises(StoreBusy, match="another process is writing") as busy, impatient.begin():
            pass
    assert isinstance(busy.value, Transient)
    with impatient.begin() as connection:
        assert len(connection.execute(select(money)).all()) == 1


def test_two_threads_take_turns(store: Store) -> None:
    def write(start: int) -> None:
        for i in range(start, start + 20):
            with store.begin() as connection:
                connection.execute(insert(money).values(id=i, amount=i))

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as connection:
        assert len(connection.execute(select(money)).all()) == 40


def test_a_full_disk_is_told_and_nothing_was_written(store: Store) -> None:
    with store.begin() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

    def fill() -> None:
        with store.begin() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
            connection.execute(insert(money), [{"id": i, "amount": 10**39} for i in range(5_000)])

    with pytest.raises(StoreFull, match="disk is full") as full:
        fill()
    assert isinstance(full.value, Permanent)
    with store.read() as connection:
        assert connection.execute(select(money)).all() == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnwritable, match="does not exist"):
        Store(f"sqlite:///{tmp_path / 'none' / 'store.db'}")


def test_a_database_that_is_read_only_is_told(store: Store) -> None:
    with store.read() as connection:
        connection.exec_driver_sql("PRAGMA query_only=1")
    with pytest.raises(StoreUnwritable, match="read-only"), store.begin() as connection:
        connection.execute(insert(money).values(id=1, amount=1))


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"a diary, not a database" * 100)
    with pytest.raises(StoreDamaged, match="not an SQLite database"):
        Store(f"sqlite:///{tmp_path / 'store.db'}").create_tables(tables)


def test_a_wrong_statement_is_not_mistaken_for_a_disk_error(store: Store) -> None:
    with pytest.raises(OperationalError, match="no such table"), store.read() as connection:
        connection.exec_driver_sql("SELECT * FROM absent")


@pytest.mark.parametrize("url", ["mysql://host/name", "oracle://host/name"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected sqlite or postgresql"):
        Store(url)


def test_passwords_stay_out_of_messages() -> None:
    with pytest.raises(ValueError) as refused:
        Store("mysql://user:hunter2@host/name")
    assert "hunter2" not in str(refused.value)


def test_a_copy_is_taken_while_the_store_runs(store: Store, tmp_path: Path) -> None:
    with store.begin() as connection:
        connection.execute(insert(money).values(id=1, amount=5))
    copy = tmp_path / "copy.db"
    store.backup(copy)
    with store.begin() as connection:
        connection.execute(insert(money).values(id=2, amount=5))
    with sqlite3.connect(copy) as restored:
        assert restored.execute("SELECT count(*) FROM money").fetchone() == (1,)
    with pytest.raises(ValueError, match="never overwrites"):
        store.backup(copy)


def test_a_store_in_memory_lasts_as_long_as_it_is_open() -> None:
    store = Store("sqlite://")
    store.create_tables(tables)
    with store.begin() as connection:
        connection.execute(insert(money).values(id=1, amount=5))
    with store.read() as connection:
        assert connection.execute(select(money.c.amount)).scalar_one() == 5
    with pytest.raises(ValueError, match="only an SQLite file"):
        store.backup(Path("nowhere"))
    store.close()
