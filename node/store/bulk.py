"""Insert many rows at once, without the per-value work that an ordinary insert spends on types it need not touch.

A community of a thousand homes writes some ten thousand rows an interval; compiling and converting each value
takes longer than storing it. Only amounts are converted here, because only they are stored as something else.
"""

from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, insert
from sqlalchemy.engine import Dialect

from node.store.schema import Amount


@lru_cache(maxsize=256)
def _statement(table: Table, names: tuple[str, ...], dialect: Dialect) -> tuple[str, tuple[str, ...] | None]:
    """Return the SQL, and the order of its positional parameters (None where they are named)."""
    compiled = insert(table).compile(dialect=dialect, column_keys=list(names))
    order = compiled.positiontup
    return str(compiled), None if order is None else tuple(order)


def insert_all(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that all have the same columns; none is fine.

    Bytes, integers, floats, booleans and text go in as they are: their lengths and ranges are the caller's to
    check.
    """
    if not rows:
        return
    names = tuple(rows[0])
    sql, order = _statement(table, names, connection.dialect)
    amounts = [name for name in names if isinstance(table.c[name].type, Amount)]
    if amounts:
        convert = Amount().process_bind_param
        rows = [row | {name: convert(row[name], connection.dialect) for name in amounts} for row in rows]
    if order is None:
        connection.exec_driver_sql(sql, list(rows))
    elif len(order) == 1:
        connection.exec_driver_sql(sql, [(row[order[0]],) for row in rows])
    else:
        connection.exec_driver_sql(sql, list(map(itemgetter(*order), rows)))
