"""Insert many rows at once, without the per-value work that an ordinary insert spends on types it need not touch.

A community of a thousand homes writes some fifteen thousand rows an interval; compiling and converting each value
takes longer than storing it. Only amounts are converted here, because only they are stored as something else.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, insert
from sqlalchemy.engine import Dialect

from node.store.schema import Amount


@lru_cache(maxsize=256)
def _statement(table: Table, names: tuple[str, ...], dialect: Dialect) -> tuple[str, tuple[str, ...], bool]:
    """Return the SQL, the order of its parameters, and whether they are positional (else named)."""
    compiled = insert(table).compile(dialect=dialect, column_keys=list(names))
    order = compiled.positiontup
    return str(compiled), names if order is None else tuple(order), order is not None


def insert_columns(connection: Connection, table: Table, columns: Mapping[str, Any]) -> None:
    """Insert rows given column by column: sequences or arrays of one length, and scalars for what all share.

    Bytes, integers, floats, booleans and text go in as they are: their lengths and ranges are the caller's to
    check. At least one column is a sequence; columns of no rows are fine.

    Raises
    ------
    ValueError
        If sequences differ in length.
    """
    sql, order, is_positional = _statement(table, tuple(columns), connection.dialect)
    values = [_listed(table, name, columns[name], connection.dialect) for name in order]
    lengths = {len(column) for column in values if isinstance(column, list)}
    if len(lengths) != 1:
        raise ValueError(f"columns of {table.name} have lengths {sorted(lengths)}: need one")
    if lengths == {0}:
        return
    (n,) = lengths
    rows = list(zip(*(c if isinstance(c, list) else repeat(c.value, n) for c in values), strict=True))
    if is_positional:
        connection.exec_driver_sql(sql, rows)
    else:
        connection.exec_driver_sql(sql, [dict(zip(order, row, strict=True)) for row in rows])


def insert_all(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that all have the same columns; none is fine. See `insert_columns`."""
    if rows:
        insert_columns(connection, table, {name: [row[name] for row in rows] for name in rows[0]})


class _Same:
    """A value that all rows share."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _listed(table: Table, name: str, values: Any, dialect: Dialect) -> list[Any] | _Same:
    """Return a column as plain Python values, amounts as the database stores them."""
    is_amount = isinstance(table.c[name].type, Amount)
    convert = Amount().process_bind_param
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, list | tuple):
        return [convert(value, dialect) for value in values] if is_amount else list(values)
    return _Same(convert(values, dialect) if is_amount else values)
