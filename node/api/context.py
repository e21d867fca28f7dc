"""What every endpoint works with: the community, its store, and a door that takes one order at a time."""

import threading
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Query, Request
from sqlalchemy import Connection

from node.api.forms import moment
from node.api.pages import MAX_LIMIT
from node.community import Community


@dataclass(slots=True)
class Context:
    """The running community behind the API."""

    community: Community
    door: threading.Lock = field(default_factory=threading.Lock)

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


def get_connection(request: Request):  # type: ignore[no-untyped-def]
    """Yield a reading transaction: all queries of a request see the same state."""
    with get_context(request).community.store.read() as connection:
        yield connection


Here = Annotated[Context, Depends(get_context)]
Db = Annotated[Connection, Depends(get_connection)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="items on a page")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]
Start = Annotated[
    str | None, Query(description="RFC 3339; intervals from then on", examples=["2026-04-16T10:00:00Z"])
]
End = Annotated[
    str | None, Query(description="RFC 3339; intervals before it", examples=["2026-04-16T12:00:00Z"])
]
