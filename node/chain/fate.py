"""What became of a transaction that was sent: mined, reverted, or reverted because somebody else had done its work."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from node.chain import fee_bids
from node.chain.carried import Carriage, Carried, CarriedOtherwise
from node.chain.late import is_late
from node.chain.outbox import ANEW, NOT_MINED, OutboxState, raw_of
from node.chain.ports import Chain, ChainError, Receipt
from node.chain.transactions import transaction_data
from node.store.tables_chain import outbox
from node.store.unit_of_work import Store


@dataclass(frozen=True, slots=True)
class Fate:
    """What the chain says of a transaction; with `carried`, the newer of both transactions' blocks.

    A transaction may revert only because one before it has to be done anew (in part): then so has it.
    """

    state: OutboxState
    receipt: Receipt
    block_number: int
    block_hash: bytes
    reason: str | None = None
    carried: Carried | None = None
    rest: bytes | None = None  # calldata of what is to be done anew


class Fates:
    """Reads the fate of outbox rows from a chain.

    Parameters
    ----------
    store : Store
        Holds the rows' bytes and bids.
    chain : Chain
        Where they were sent.
    carriage : Carriage or None
        Knows what others may carry in; with None every revert is one.
    """

    def __init__(self, store: Store, chain: Chain, carriage: Carriage | None) -> None:
        self._store = store
        self._chain = chain
        self._carriage = carriage

    def find(self, rows: list[Row[Any]]) -> list[tuple[Row[Any], Fate]]:
        """Return the rows that are mined, each by whichever of its bids."""
        receipts = {row.id: self._chain.receipt(row.hash) for row in rows}
        missing = [row for row in rows if receipts[row.id] is None]
        if missing:
            with self._store.read() as connection:
                bids = fee_bids.bids_of(connection, missing)
            for row in missing:
                others = (
                    self._chain.receipt(bid.hash) for bid in bids.get(row.id, ()) if bid.hash != row.hash
                )
                receipts[row.id] = next((receipt for receipt in others if receipt is not None), None)
        found = []
        behind = False
        for row in rows:
            receipt = receipts[row.id]
            if receipt is not None:
                behind = behind or (not receipt.is_success and self._is_behind(row))
                fate = self._of(row, receipt, is_behind=behind)
                behind = behind or fate.rest is not None or is_late(row, fate.state, fate.reason)
                found.append((row, fate))
        return found

    def _is_behind(self, row: Row[Any]) -> bool:
        """Tell whether what one before it left is still to be done; what is done anew stands where the first did."""
        left = select(outbox.c.kind, outbox.c.ref).where(
            outbox.c.ref.endswith(ANEW), outbox.c.state.in_(NOT_MINED)
        )
        with self._store.read() as connection:
            rests = connection.execute(left).all()
            if not rests:
                return False
            ours = _first(connection, row.kind, row.ref)
            return any(_first(connection, kind, ref) < ours for kind, ref in rests)

    def is_known(self, row: Row[Any]) -> bool:
        """Tell whether the chain has the transaction, mined or waiting, in any of its bids."""
        with self._store.read() as connection:
            bids = fee_bids.bids_of(connection, [row]).get(row.id, [])
        hashes = {row.hash, *(bid.hash for bid in bids)}
        return any(self._chain.transaction(transaction_hash) is not None for transaction_hash in hashes)

    def _of(self, row: Row[Any], receipt: Receipt, *, is_behind: bool) -> Fate:
        newest = (receipt.block_number, receipt.block_hash)
        carried, rest, reason = None, None, None
        if not receipt.is_success:
            carried, otherwise = self._carried(row)
            if carried is not None:
                newest, rest = max(newest, (carried.block_number, carried.block_hash)), carried.rest
            else:
                reason = self._reason(receipt) + otherwise
                # what is late has its turn: nothing before it is missing
                if otherwise or not is_behind or is_late(row, OutboxState.REVERTED, reason):
                    return Fate(OutboxState.REVERTED, receipt, *newest, reason)
                rest = transaction_data(raw_of(self._store, row.id))
        # Where blocks are final at once, the two steps are one write.
        is_final = newest[0] <= self._chain.finalized()
        state = OutboxState.FINAL if is_final else OutboxState.MINED
        return Fate(state, receipt, *newest, reason, carried, rest)

    def _carried(self, row: Row[Any]) -> tuple[Carried | None, str]:
        """Return whose transaction did what this one wanted; or what stands in its place."""
        if self._carriage is None:
            return None, ""
        try:
            return self._carriage.find(row.to, transaction_data(raw_of(self._store, row.id))), ""
        except CarriedOtherwise as error:
            return None, f"; {error}"

    def _reason(self, receipt: Receipt) -> str:
        try:
            return self._chain.revert_reason(receipt.transaction_hash) or "no reason given"
        except ChainError as error:
            return f"reason unknown ({error})"


def _first(connection: Connection, kind: str, ref: str) -> int:
    """Return the outbox number of what a row does anew; its own where it does nothing anew."""
    query = select(outbox.c.id).where(outbox.c.kind == kind, outbox.c.ref == ref.rstrip(ANEW))
    return connection.execute(query).scalar_one()
