"""The outbox's driver: what we owe the chain gets there exactly once, whatever fails in between.

```
PLANNED -> SIGNED -> SENT -> MINED -> FINAL
             ^         |       |
             |         |       +--> REVERTED: settlement halts
             +- ORPHANED <-----+
```

A transaction that reverted because somebody else had carried the same content in (node/chain/carried) counts as
mined with the later of both; `carriers` remembers whose it was.

Nonce, raw bytes and hash are stored in one transaction with SIGNED, before anything is broadcast; every attempt
sends the same bytes. So a transaction can be lost or doubled on the way, but mined only once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from node.chain.carried import Carriage, Carried, CarriedOtherwise
from node.chain.keys import LocalSigner, checksum
from node.chain.ports import Address, Chain, ChainError, Receipt, RejectionReason, TransactionRejected
from node.chain.transactions import sign_transaction, transaction_data
from node.errors import Permanent
from node.store.tables_chain import carriers, nonces, outbox
from node.store.unit_of_work import Store

# Above what the engine's largest chunk takes (10 Mgas), below EIP-7825's cap; gas that is left comes back.
DEFAULT_GAS = 12_000_000


class OutboxState(StrEnum):
    """How far a transaction is; the value is stored."""

    PLANNED = "planned"
    SIGNED = "signed"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"
    ORPHANED = "orphaned"
    REVERTED = "reverted"


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


@dataclass(frozen=True, slots=True)
class Driven:
    """What one drive moved, and what is still under way."""

    signed: int
    sent: int
    mined: int
    final: int
    open: int


@dataclass(frozen=True, slots=True)
class _Fate:
    """What a receipt, and the chain behind it, say of a transaction."""

    state: OutboxState
    receipt: Receipt
    block_number: int
    block_hash: bytes
    reason: str | None = None
    carried: Carried | None = None


# A chunk has 50 kB of calldata: most steps do without it.
_SMALL = tuple(column for column in outbox.c if column.name not in ("data", "raw"))


class Sender:
    """Drives the outbox of one chain.

    Parameters
    ----------
    store : Store
        Holds the outbox.
    chain : Chain
        Where the transactions go.
    signers : Mapping[str, LocalSigner]
        Keys by the names that calls use. Nothing else may send with these keys.
    carriage : Carriage or None
        Knows what others may carry in; with None every revert halts.
    """

    def __init__(
        self,
        store: Store,
        chain: Chain,
        signers: Mapping[str, LocalSigner],
        carriage: Carriage | None = None,
    ) -> None:
        self._store = store
        self._chain = chain
        self._signers = dict(signers)
        self._carriage = carriage

    def enqueue(self, connection: Connection, call: ContractCall) -> int:
        """Plan a transaction inside the caller's own database transaction; return its id.

        Raises
        ------
        KeyError
            If nobody of that name signs here.
        sqlalchemy.exc.IntegrityError
            If (kind, ref) was planned before.
        """
        if call.signer_name not in self._signers:
            raise KeyError(f"outbox: no signer {call.signer_name!r}, have {sorted(self._signers)}")
        done = connection.execute(
            insert(outbox).values(
                kind=call.kind,
                ref=call.ref,
                signer=call.signer_name,
                to=call.to,
                data=call.data,
                gas=call.gas,
                state=OutboxState.PLANNED,
            )
        )
        key = done.inserted_primary_key
        assert key is not None
        return int(key[0])

    def drive(self) -> Driven:
        """Move every transaction as far as it goes now; call again after each block.

        Raises
        ------
        SettlementHalted
            If a transaction reverted, now or before, or can never be mined as it is.
        ChainUnavailable
            If the chain does not answer: nothing is lost, drive again later.
        """
        self._look_again()
        signed = self._sign()
        sent = self._send()
        mined, final = self._confirm()
        final += self._finalize()
        return Driven(signed, sent, mined, final, self.open())

    def address(self, signer_name: str) -> Address:
        """Return whose transactions those of a signer are."""
        return self._signers[signer_name].address

    def open(self) -> int:
        """Return how many transactions are not final yet."""
        query = select(func.count()).select_from(outbox).where(outbox.c.state != OutboxState.FINAL)
        with self._store.read() as connection:
            return connection.execute(query).scalar_one()

    # -------------------------------------------------------------- signing

    def _sign(self) -> int:
        query = select(outbox).where(outbox.c.state == OutboxState.PLANNED).order_by(outbox.c.id)
        with self._store.read() as connection:
            names = sorted({row.signer for row in connection.execute(query)})
        if not names:
            return 0
        # The chain is asked before the transaction begins: no lock waits for a network.
        mined = {name: self._chain.nonce(self._signer(name).address) for name in names}
        fees = self._chain.fees()
        with self._store.begin() as connection:
            rows = connection.execute(query).all()
            for row in rows:
                signer = self._signer(row.signer)
                nonce = self._take_nonce(connection, signer.address, mined.get(row.signer, 0))
                raw, transaction_hash = sign_transaction(
                    signer,
                    chain_id=self._chain.chain_id,
                    nonce=nonce,
                    to=row.to,
                    data=row.data,
                    gas=row.gas,
                    fees=fees,
                )
                _set(
                    connection,
                    row.id,
                    state=OutboxState.SIGNED,
                    data=None,
                    sender=signer.address,
                    nonce=nonce,
                    raw=raw,
                    hash=transaction_hash,
                )
        return len(rows)

    def _signer(self, name: str) -> LocalSigner:
        try:
            return self._signers[name]
        except KeyError:
            raise SettlementHalted("signer", name, "its key is not loaded") from None

    def _take_nonce(self, connection: Connection, sender: Address, mined: int) -> int:
        found = connection.execute(select(nonces.c.next).where(nonces.c.sender == sender)).scalar()
        if found is None:
            connection.execute(insert(nonces).values(sender=sender, next=mined + 1))
            return mined
        connection.execute(update(nonces).where(nonces.c.sender == sender).values(next=found + 1))
        return found

    # -------------------------------------------------------------- sending

    def _send(self) -> int:
        rows = self._rows(OutboxState.SIGNED, OutboxState.ORPHANED)
        for row in rows:
            self._broadcast(row)  # a crash from here on sends the same bytes again
        self._mark(rows, OutboxState.SENT)
        return len(rows)

    def _broadcast(self, row: Row[Any]) -> None:
        with self._store.read() as connection:
            raw = connection.execute(select(outbox.c.raw).where(outbox.c.id == row.id)).scalar_one()
        try:
            self._chain.send_raw(raw)
        except TransactionRejected as error:
            # A transaction that got through before is no fault; the next step finds its receipt.
            if error.reason == RejectionReason.KNOWN or self._chain.receipt(row.hash) is not None:
                return
            raise SettlementHalted(row.kind, row.ref, f"{error} (nonce {row.nonce})") from error

    # -------------------------------------------------------------- confirming

    def _confirm(self) -> tuple[int, int]:
        """Look for receipts of what is sent; return how many were mined, and how many are final at once."""
        found: list[tuple[Row[Any], _Fate]] = []
        for row in self._rows(OutboxState.SENT):
            receipt = self._chain.receipt(row.hash)
            if receipt is not None:
                found.append((row, self._fate(row, receipt)))
            elif self._chain.transaction(row.hash) is None:
                self._broadcast(row)  # dropped on the way: the same bytes again
        self._record(found)
        for row, fate in found:
            if fate.state == OutboxState.REVERTED:
                raise SettlementHalted(row.kind, row.ref, fate.reason or "reverted")
        return len(found), sum(fate.state == OutboxState.FINAL for _, fate in found)

    def _fate(self, row: Row[Any], receipt: Receipt) -> _Fate:
        newest, carried = (receipt.block_number, receipt.block_hash), None
        if not receipt.is_success:
            carried, otherwise = self._carried(row)
            if carried is None:
                reason = self._reason(row) + otherwise
                return _Fate(OutboxState.REVERTED, receipt, *newest, reason)
            newest = max(newest, (carried.block_number, carried.block_hash))
        # Where blocks are final at once, the two steps are one write.
        is_final = newest[0] <= self._chain.finalized()
        return _Fate(OutboxState.FINAL if is_final else OutboxState.MINED, receipt, *newest, None, carried)

    def _carried(self, row: Row[Any]) -> tuple[Carried | None, str]:
        """Return whose transaction did what this one wanted; or what stands in its place."""
        if self._carriage is None:
            return None, ""
        with self._store.read() as connection:
            raw = connection.execute(select(outbox.c.raw).where(outbox.c.id == row.id)).scalar_one()
        try:
            return self._carriage.find(row.to, transaction_data(raw)), ""
        except CarriedOtherwise as error:
            return None, f"; {error}"

    def _record(self, found: list[tuple[Row[Any], _Fate]]) -> None:
        if not found:
            return
        with self._store.begin() as connection:
            for row, fate in found:
                _set(
                    connection,
                    row.id,
                    state=fate.state,
                    block_number=fate.block_number,
                    block_hash=fate.block_hash,
                    gas_used=fate.receipt.gas_used,
                    reason=fate.reason,
                )
                connection.execute(delete(carriers).where(carriers.c.outbox_id == row.id))
                if fate.carried is not None:
                    values = {"outbox_id": row.id, "hash": fate.carried.hash}
                    connection.execute(insert(carriers).values(values))
                    if fate.carried.rest is not None:
                        self._enqueue_rest(connection, row, fate.carried.rest)

    def _enqueue_rest(self, connection: Connection, row: Row[Any], rest: bytes) -> None:
        """Plan what others left of a transaction as one of its own, under the next name that is free."""
        ref, known = f"{row.ref}+", select(outbox.c.ref).where(outbox.c.kind == row.kind)
        taken = set(connection.execute(known).scalars())
        while ref in taken:
            ref += "+"
        self.enqueue(connection, ContractCall(row.kind, ref, row.signer, row.to, rest, row.gas))

    def _reason(self, row: Row[Any]) -> str:
        try:
            return self._chain.revert_reason(row.hash) or "no reason given"
        except ChainError as error:
            return f"reason unknown ({error})"

    def _finalize(self) -> int:
        rows = self._rows(OutboxState.MINED)
        if not rows:
            return 0
        final = self._chain.finalized()
        hashes: dict[int, bytes | None] = {}
        for number in {row.block_number for row in rows}:
            block = self._chain.block(number)
            hashes[number] = None if block is None else block.hash
        lost = [row for row in rows if hashes[row.block_number] != row.block_hash]
        kept = [row for row in rows if hashes[row.block_number] == row.block_hash]
        done = [row for row in kept if row.block_number <= final]
        self._mark(lost, OutboxState.ORPHANED)
        self._mark(done, OutboxState.FINAL)
        return len(done)

    # -------------------------------------------------------------- recovery

    def resume(self) -> int:
        """Compare the outbox with the chain at start; return how many transactions have to be sent again.

        Raises
        ------
        SettlementHalted
            If a key has sent transactions that this outbox does not know: the store is older than the chain,
            or the key is used elsewhere. Signing on would reuse nonces.
        """
        with self._store.read() as connection:
            known = {row.sender: row.next for row in connection.execute(select(nonces))}
        for sender, next_nonce in sorted(known.items()):
            mined = self._chain.nonce(sender)
            if mined > next_nonce:
                raise SettlementHalted(
                    "signer",
                    checksum(sender),
                    f"has sent {mined} transactions, the outbox knows {next_nonce}: "
                    "the store is older than the chain, or the key is used elsewhere",
                )
        lost = self._lost_from_chain()
        self._mark(lost, OutboxState.ORPHANED)
        return len(lost)

    def _lost_from_chain(self) -> list[Row[Any]]:
        """Return mined or final transactions that the chain no longer has, as after a restored backup."""
        newest_first = (
            select(*_SMALL)
            .where(outbox.c.state.in_((OutboxState.MINED, OutboxState.FINAL)))
            .order_by(outbox.c.block_number.desc(), outbox.c.id.desc())
        )
        lost = []
        with self._store.read() as connection:
            for row in connection.execute(newest_first):
                block = self._chain.block(row.block_number)
                if block is not None and block.hash == row.block_hash:
                    break  # so are all blocks before it
                if self._chain.receipt(row.hash) is None:
                    lost.append(row)
        return lost

    # -------------------------------------------------------------- rows

    def _look_again(self) -> None:
        """Halt at what reverted, unless its block was replaced or somebody has carried it in since."""
        for row in self._rows(OutboxState.REVERTED):
            receipt = self._chain.receipt(row.hash)
            if receipt is None or receipt.is_success:
                self._mark([row], OutboxState.ORPHANED)
                continue
            fate = self._fate(row, receipt)
            if fate.state == OutboxState.REVERTED:
                raise SettlementHalted(row.kind, row.ref, fate.reason or row.reason or "reverted")
            self._record([(row, fate)])

    def _rows(self, *states: OutboxState) -> list[Row[Any]]:
        """Return rows of these states, each sender's in the order of their nonces (which is that of ids)."""
        query = select(*_SMALL).where(outbox.c.state.in_(states)).order_by(outbox.c.id)
        with self._store.read() as connection:
            return list(connection.execute(query))

    def _mark(self, rows: list[Row[Any]], state: OutboxState) -> None:
        if rows:
            with self._store.begin() as connection:
                for row in rows:
                    _set(connection, row.id, state=state)


def _set(connection: Connection, row_id: int, **values: Any) -> None:
    connection.execute(update(outbox).where(outbox.c.id == row_id).values(**values))
