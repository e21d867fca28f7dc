"""An older store becomes today's wholly or not at all; a newer one is refused; nothing is ever guessed."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, update

import node.data_folder  # noqa: F401  (tables register themselves)
from node.store import layout
from node.store.layout import KEY, LAYOUT, StoreTooNew, StoreTooOld, bring_up_to_date, copy_of
from node.store.tables_market import accounts, carried_readings, meta, readings
from node.store.unit_of_work import Store

DUMPS = Path(__file__).parents[3] / "data" / "store"


def store_of_layout(number: int, folder: Path) -> Store:
    path = folder / "store.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript((DUMPS / f"layout-{number}.sql").read_text())
    connection.close()
    return Store(f"sqlite:///{path}")


def fresh(folder: Path) -> Store:
    store = Store(f"sqlite:///{folder / 'fresh.sqlite'}")
    store.create_tables()
    with store.begin() as connection:
        layout.number(connection)
    return store


def described(store: Store) -> dict[str, list[str]]:
    """Return every table's columns, keys and indexes as the database has them."""
    found = {}
    with store.read() as connection:
        look = inspect(connection)
        for table in look.get_table_names():
            columns = {
                f"{one['name']} {one['type']}{'' if one['nullable'] else ' not null'}"
                for one in look.get_columns(table)
            }
            keys = [
                f"primary key {look.get_pk_constraint(table)['constrained_columns']}",
                *(f"index {one['column_names']}" for one in look.get_indexes(table)),
                *(f"unique {one['column_names']}" for one in look.get_unique_constraints(table)),
                *(
                    f"{one['constrained_columns']} of {one['referred_table']}"
                    for one in look.get_foreign_keys(table)
                ),
            ]
            found[table] = sorted({*columns, *keys})
    return found


def layout_in(store: Store) -> str | None:
    with store.read() as connection:
        return connection.execute(select(meta.c.value).where(meta.c.key == KEY)).scalar()


@pytest.mark.parametrize("number", range(1, LAYOUT))
def test_a_migrated_store_has_the_tables_of_a_fresh_one(tmp_path: Path, number: int) -> None:
    """If this fails you have changed a table: give LAYOUT a new number and STEPS what leads there."""
    store = store_of_layout(number, tmp_path)
    expected = described(fresh(tmp_path))
    assert described(store) != expected
    assert bring_up_to_date(store) == number
    assert described(store) == expected
    assert layout_in(store) == str(LAYOUT)


def test_every_layout_has_a_step_to_the_next_and_a_dump_to_try_it_on() -> None:
    assert sorted(layout.STEPS) == list(range(1, LAYOUT))
    assert sorted(path.name for path in DUMPS.glob("*.sql")) == [f"layout-{n}.sql" for n in range(1, LAYOUT)]


def test_what_was_in_an_old_store_is_in_the_migrated_one_and_in_the_copy_of_the_old(tmp_path: Path) -> None:
    store = store_of_layout(1, tmp_path)
    bring_up_to_date(store)
    assert store.path is not None
    copy = Store(f"sqlite:///{copy_of(store.path, 1)}")
    for one in (store, copy):
        with one.read() as connection:
            (account,) = connection.execute(select(accounts)).all()
            (reading,) = connection.execute(select(readings)).all()
        assert (account.node, reading.register_milli_wh, reading.settled_in) == ("street", -5, 7)
    assert layout_in(copy) is None
    assert "carried_readings" not in described(copy)


def test_a_store_that_is_up_to_date_is_left_alone_and_not_copied(tmp_path: Path) -> None:
    store = store_of_layout(1, tmp_path)
    bring_up_to_date(store)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert bring_up_to_date(store) == LAYOUT
    layout.check(store)
    assert sorted(path.name for path in tmp_path.iterdir()) == files


def test_a_newer_store_is_refused_and_not_touched(tmp_path: Path) -> None:
    store = fresh(tmp_path)
    with store.begin() as connection:
        connection.execute(update(meta).where(meta.c.key == KEY).values(value=str(LAYOUT + 1)))
        carried_readings.drop(connection)
    before = described(store)
    for act in (bring_up_to_date, layout.check):
        with pytest.raises(StoreTooNew, match=f"has layout {LAYOUT + 1}, .* knows {LAYOUT}"):
            act(store)
    assert described(store) == before


def test_who_only_reads_refuses_an_older_store(tmp_path: Path) -> None:
    with pytest.raises(StoreTooOld, match="start the hub on its folder once"):
        layout.check(store_of_layout(1, tmp_path))


def test_a_migration_that_fails_half_way_leaves_the_store_as_it_was_and_the_next_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of_layout(1, tmp_path)
    before = described(store)

    def half(connection) -> None:
        carried_readings.create(connection)
        connection.exec_driver_sql("ALTER TABLE meta ADD COLUMN extra TEXT")
        raise OSError("the machine went away")

    with monkeypatch.context() as patched:
        patched.setattr(layout, "STEPS", {1: half})
        with pytest.raises(OSError, match="went away"):
            bring_up_to_date(store)
    assert described(store) == before
    assert layout_in(store) is None
    bring_up_to_date(store)
    assert described(store) == described(fresh(tmp_path))
