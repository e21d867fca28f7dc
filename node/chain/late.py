"""What came too late, and which the contract refuses for good.

A chunk whose fill window is over, and all chunks after it wait for its number; a curtailment whose interval
somebody has read by then.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from node.chain.barrier import CHUNK, CURTAILMENT
from node.chain.outbox import ANEW, ContractCall, OutboxState, change
from node.store.tables_chain import outbox

# By kind, the contract's own reason (contracts/Settlement.vy, registry.vy).
LATE = {CHUNK: "settlement: late", CURTAILMENT: "registry: read"}

# Stands in an outbox row that was given up: when it reverts, nothing is left to do.
VOID = "came too late, and is void"


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Chunks that will never be mined, by their sequences, and what is sent in the place of all, in this order."""

    sequences: tuple[int, ...]
    instead: tuple[ContractCall, ...]


# Given the calldata of what came too late and the chain's time: what is given up, recorded in the same transaction;
# None as long as there is nothing that could be sent.
GiveUp = Callable[[Connection, bytes, int], GivenUp | None]


def mark_void(connection: Connection, sequences: Iterable[int]) -> None:
    """Note in the outbox which chunks are given up, whatever they were sent as."""
    wanted = set(sequences)
    query = select(outbox.c.id, outbox.c.ref).where(
        outbox.c.kind == CHUNK, outbox.c.state != OutboxState.FINAL
    )
    for row_id, ref in connection.execute(query).all():
        if int(ref.rstrip(ANEW)) in wanted:
            change(connection, row_id, reason=VOID)


def is_void(connection: Connection, row: Row[Any]) -> bool:
    """Tell whether a row was given up, as the store knows it now."""
    query = select(outbox.c.reason).where(outbox.c.id == row.id)
    return row.kind == CHUNK and connection.execute(query).scalar() == VOID


def is_late(row: Row[Any], state: OutboxState, reason: str | None) -> bool:
    """Tell whether an outbox row came too late for good."""
    return state == OutboxState.REVERTED and reason is not None and LATE.get(row.kind) == reason
