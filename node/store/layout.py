"""Which layout a store has, and how an older one becomes today's.

The layout's number stands in `meta`; stores from before layouts were numbered have none, and layout 1. A store of an
older layout is copied first (SQLite), then brought up step by step in one transaction: wholly or not at all. One
of a newer layout is refused before anything else of it is read.

Whoever changes tables: new ones need no step, because what is missing is created after the steps; for a column
that an old store lacks give LAYOUT the next number and STEPS what leads there.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy import Connection, insert, select, update

from node.errors import Permanent
from node.store.schema import metadata
from node.store.tables_market import meta
from node.store.unit_of_work import Store, StoreError

LAYOUT = 2
KEY = "layout"
# What changes a layout into the next, by its number.
STEPS: Mapping[int, Callable[[Connection], None]] = {
    1: lambda _connection: None,  # tables were added
}


class StoreTooNew(StoreError, Permanent):
    """The store was written by a newer version of the program."""

    def __init__(self, url: str, found: int) -> None:
        super().__init__(
            url,
            f"has layout {found}, this version of the program knows {LAYOUT}: use the version that wrote it, "
            "or a newer one",
        )
        self.found = found


class StoreTooOld(StoreError, Permanent):
    """The store has to be brought up to date by whoever may write it."""

    def __init__(self, url: str, found: int) -> None:
        super().__init__(
            url,
            f"has layout {found}, this version of the program needs {LAYOUT}: "
            "start the hub on its folder once, which brings it up to date",
        )
        self.found = found


def number(connection: Connection) -> None:
    """Write into a new store which layout it has."""
    connection.execute(insert(meta).values(key=KEY, value=str(LAYOUT)))


def layout_of(connection: Connection) -> int:
    """Return the layout of a founded store."""
    found = connection.execute(select(meta.c.value).where(meta.c.key == KEY)).scalar()
    return 1 if found is None else int(found)


def check(store: Store) -> None:
    """Make sure that a store can be read as it is.

    Raises
    ------
    StoreTooNew, StoreTooOld
        If not.
    """
    with store.read() as connection:
        found = layout_of(connection)
    if found > LAYOUT:
        raise StoreTooNew(store.url, found)
    if found < LAYOUT:
        raise StoreTooOld(store.url, found)


def bring_up_to_date(store: Store) -> int:
    """Migrate a store whose layout is older; return which it had.

    An SQLite file is copied beside itself first, under the number of its layout.

    Raises
    ------
    StoreTooNew
        If the store is of a newer version; nothing is changed.
    StoreError
        If it cannot be copied or written; it is as it was then.
    """
    with store.read() as connection:
        found = layout_of(connection)
    if found > LAYOUT:
        raise StoreTooNew(store.url, found)
    if found == LAYOUT:
        return found
    if store.path is not None and not (copy := copy_of(store.path, found)).exists():
        store.backup(copy)
    with store.begin() as connection:
        for step in range(found, LAYOUT):
            STEPS[step](connection)
        metadata.create_all(connection)
        if KEY in connection.execute(select(meta.c.key)).scalars().all():
            connection.execute(update(meta).where(meta.c.key == KEY).values(value=str(LAYOUT)))
        else:
            number(connection)
    return found


def copy_of(path: Path, layout: int) -> Path:
    """Return where a store's file is copied to before it is changed."""
    return path.with_name(f"{path.name}.layout-{layout}")
