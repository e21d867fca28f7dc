"""What every endpoint works with: the community, its store, and a door that takes one order at a time."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from sqlalchemy import Connection

from market.orders import MAX_ACCOUNT, MAX_INTERVAL
from node.api.forms import moment
from node.api.pages import MAX_CURSOR, MAX_LIMIT
from node.community import Community


@dataclass(slots=True)
class Context:
    """The running community behind the API."""

    community: Community
    door: threading.Lock = field(default_factory=threading.Lock)
    _drawn: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def once(self, name: str, of: Any, make: Callable[[], Any]) -> Any:
        """Return what `make` makes; made again only when `of`, what it depends on, has changed."""
        known = self._drawn.get(name)
        if known is None or known[0] != of:
            known = self._drawn[name] = (of, make())
        return known[1]

    def span(self, start: str | None, end: str | None) -> range:
        """Return the intervals of a half-open time range; open ends reach everything."""
        grid = self.community.scenario.grid
        first = 0 if start is None else -int(-moment(start, "start") // grid.length_s)
        stop = 2**24 if end is None else -int(-moment(end, "end") // grid.length_s)
        return range(first, max(first, stop))


def get_context(request: Request) -> Context:
    """Return the application's context."""
    context: Context = request.app.state.context
    return context


def get_connection(request: Request) -> Iterator[Connection]:
    """Yield a reading transaction: all queries of a request see the same state."""
    with get_context(request).community.store.read() as connection:
        yield connection


Here = Annotated[Context, Depends(get_context)]
Db = Annotated[Connection, Depends(get_connection)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="items on a page", examples=[100])]
Cursor = Annotated[
    str | None,
    Query(
        max_length=MAX_CURSOR, description="`next_cursor` of the page before", examples=["WzE5NzM3MDAsMCw3XQ"]
    ),
]
_TIME = {"format": "date-time"}
Start = Annotated[
    str | None,
    Query(
        max_length=40,
        description="RFC 3339; intervals from then on",
        json_schema_extra=_TIME,
        examples=["2026-04-16T10:00:00Z"],
    ),
]
End = Annotated[
    str | None,
    Query(
        max_length=40,
        description="RFC 3339; intervals before it",
        json_schema_extra=_TIME,
        examples=["2026-04-16T12:00:00Z"],
    ),
]
AccountFilter = Annotated[
    int | None, Query(ge=0, le=MAX_ACCOUNT, description="only of this account", examples=[2])
]
AccountNumber = Annotated[int, Path(ge=0, le=MAX_ACCOUNT, description="number of the account", examples=[2])]
IntervalNumber = Annotated[
    int, Path(ge=0, le=MAX_INTERVAL, description="index of the interval", examples=[1973700])
]
DeviceNumber = Annotated[int, Path(ge=0, le=2**31 - 1, description="number of the device", examples=[0])]
OrderHash = Annotated[
    str,
    Path(
        pattern="^0x[0-9a-fA-F]{64}$", description="EIP-712 digest of the order", examples=["0x" + "ab" * 32]
    ),
]
