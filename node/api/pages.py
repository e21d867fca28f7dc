"""Cursor pagination: a page ends with an opaque cursor that names its last row.

No row is skipped or repeated while new ones arrive.
"""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field
from sqlalchemy import Column, Select, tuple_

from node.api.problems import BadRequest

MAX_LIMIT = 1_000
MAX_CURSOR = 200

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """Some rows, and where to go on."""

    items: list[T]
    next_cursor: str | None = Field(
        default=None,
        description="pass as `cursor` to read on; null on the last page",
        examples=["WzE5NzM3MDAsMCw3XQ"],
    )


def after(query: Select[Any], key: Sequence[Column[Any]], cursor: str | None, limit: int) -> Select[Any]:
    """Return the query for one page (and one row more), ordered by `key`, after the cursor."""
    if cursor is not None:
        query = query.where(tuple_(*key) > tuple_(*_decode(cursor, len(key))))
    return query.order_by(*key).limit(limit + 1)


def page(rows: Sequence[Any], limit: int, key: Sequence[Column[Any]], make: Callable[[Any], T]) -> Page[T]:
    """Return a page of at most `limit` items; one row more than that says there is a next page."""
    shown = rows[:limit]
    cursor = None
    if len(rows) > limit:
        cursor = _encode([getattr(shown[-1], column.name) for column in key])
    return Page(items=[make(row) for row in shown], next_cursor=cursor)


def _encode(values: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _decode(cursor: str, length: int) -> list[int]:
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError) as error:
        raise BadRequest(_NOT_OURS) from error
    is_key = isinstance(values, list) and len(values) == length
    if not is_key or not all(type(value) is int and abs(value) < 2**63 for value in values):
        raise BadRequest(_NOT_OURS)
    return list(values)


_NOT_OURS = "cursor: not one that this endpoint gave out; start again without it"
