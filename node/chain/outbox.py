"""The outbox's rows: transactions that we owe the chain, and how far each of them is."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select, update

from node.chain.ports import Address
from node.errors import Permanent
from node.store.tables_chain import outbox
from node.store.unit_of_work import Store

# Above what the engine's largest chunk takes (10 Mgas), below EIP-7825's cap; gas that is left comes back.
DEFAULT_GAS = 12_000_000

# Ends the ref of a transaction that does anew, or finishes, what the one of the ref before it could not.
ANEW = "+"


class OutboxState(StrEnum):
    """How far a transaction is; the value is stored."""

    PLANNED = "planned"
    SIGNED = "signed"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"
    ORPHANED = "orphaned"
    REVERTED = "reverted"


NOT_MINED = (OutboxState.PLANNED, OutboxState.SIGNED, OutboxState.SENT, OutboxState.ORPHANED)


class SettlementHalted(Permanent):
    """Settlement must stop: what we owe the chain cannot get there as it is. Exits go on.

    `kind` and `ref` name the transaction, `reason` is the contract's own where it reverted.
    """

    def __init__(self, kind: str, ref: str, reason: str) -> None:
        super().__init__(f"settlement halted at {kind} {ref}: {reason}")
        self.kind = kind
        self.ref = ref
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ContractCall:
    """A transaction to be: `kind` and `ref` together name it, once for ever.

    `to` None creates a contract; `signer_name` is a key of the sender's signers.
    """

    kind: str
    ref: str
    signer_name: str
    to: Address | None
    data: bytes
    gas: int = DEFAULT_GAS


# A chunk has 50 kB of calldata: most steps do without it.
_SMALL = tuple(column for column in outbox.c if column.name not in ("data", "raw"))


def rows_in(store: Store, *states: OutboxState) -> list[Row[Any]]:
    """Return rows of these states without their bytes, each sender's in the order of nonces (that of ids)."""
    query = select(*_SMALL).where(outbox.c.state.in_(states)).order_by(outbox.c.id)
    with store.read() as connection:
        return list(connection.execute(query))


def newest_first(connection: Connection, *states: OutboxState) -> Iterable[Row[Any]]:
    """Return rows of these states without their bytes, those of the newest blocks first."""
    query = select(*_SMALL).where(outbox.c.state.in_(states))
    return connection.execute(query.order_by(outbox.c.block_number.desc(), outbox.c.id.desc()))


def raw_of(store: Store, row_id: int) -> bytes:
    """Return the signed transaction of a row."""
    with store.read() as connection:
        return raw_in(connection, row_id)


def raw_in(connection: Connection, row_id: int) -> bytes:
    """Return the signed transaction of a row, in the caller's transaction."""
    raw: bytes = connection.execute(select(outbox.c.raw).where(outbox.c.id == row_id)).scalar_one()
    return raw


def change(connection: Connection, row_id: int, **values: Any) -> None:
    """Change columns of one row."""
    connection.execute(update(outbox).where(outbox.c.id == row_id).values(**values))


def free_ref(connection: Connection, kind: str, ref: str) -> str:
    """Return the next name that no transaction of this kind has: the ref itself, or with signs for anew."""
    taken = set(connection.execute(select(outbox.c.ref).where(outbox.c.kind == kind)).scalars())
    while ref in taken:
        ref += ANEW
    return ref


def mark(store: Store, rows: list[Row[Any]], state: OutboxState) -> None:
    """Move rows to a state, all in one transaction."""
    if rows:
        with store.begin() as connection:
            for row in rows:
                change(connection, row.id, state=state)
