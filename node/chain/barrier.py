"""What a chunk waits for: the curtailments planned before it, until no reorganisation can take them back.

A curtailment counts only before its interval is read, and a chunk reads it. On a chain whose blocks others make,
whoever sees our chunk may carry it in before our curtailment, and a validator may put them in that order: the
curtailed members would pay for what the controller ordered. So a chunk is not shown to anybody until the
curtailments before it are final.
"""

from sqlalchemy import func, select

from node.chain.outbox import NOT_MINED, OutboxState
from node.store.tables_chain import outbox
from node.store.unit_of_work import Store

CURTAILMENT = "curtailment"
CHUNK = "chunk"


def first_open_curtailment(store: Store) -> int | None:
    """Return the outbox number of the first curtailment that is not final, or None; what follows waits for it."""
    is_open = outbox.c.state.in_((*NOT_MINED, OutboxState.MINED, OutboxState.REVERTED))
    query = select(func.min(outbox.c.id)).where(outbox.c.kind == CURTAILMENT, is_open)
    with store.read() as connection:
        return connection.execute(query).scalar()
