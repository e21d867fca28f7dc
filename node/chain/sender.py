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
sends the same bytes. So a transaction can be lost or doubled on the way, but mined only once. Where a chain takes
fees, a transaction that waits too long is replaced by one of the same nonce and payload (node/chain/fee_bids).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from node.chain import fee_bids
from node.chain.barrier import CHUNK, first_open_curtailment
from node.chain.carried import Carriage
from node.chain.fate import Fate, Fates
from node.chain.fee_bids import FeePolicy
from node.chain.keys import LocalSigner, checksum
from node.chain.late import VOID, GiveUp, is_late, is_void, mark_void
from node.chain.outbox import (
    ContractCall,
    OutboxState,
    SettlementHalted,
    change,
    free_ref,
    mark,
    newest_first,
    raw_in,
    raw_of,
    rows_in,
)
from node.chain.ports import Address, Chain, Fees, Hash, RejectionReason, TransactionRejected
from node.chain.transactions import sign_transaction, transaction_data
from node.store.tables_chain import carriers, nonces, outbox
from node.store.unit_of_work import Store


@dataclass(frozen=True, slots=True)
class Driven:
    """What one drive moved, and what is still under way."""

    signed: int
    sent: int
    mined: int
    final: int
    outbid: int
    open: int


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
    policy : FeePolicy
        What to offer where the chain takes fees.
    give_up : GiveUp or None
        Says what is sent in the place of a chunk that came too late (node/hub/voiding); with None it halts.
    makes_blocks : bool
        Whether transactions are mined in the order in which they are sent here, because nobody else makes
        blocks; otherwise a chunk waits for its curtailments (node/chain/barrier).
    """

    def __init__(
        self,
        store: Store,
        chain: Chain,
        signers: Mapping[str, LocalSigner],
        carriage: Carriage | None = None,
        policy: FeePolicy = FeePolicy(),  # noqa: B008  (frozen)
        *,
        give_up: GiveUp | None = None,
        makes_blocks: bool = False,
    ) -> None:
        self._store = store
        self._chain = chain
        self._signers = dict(signers)
        self._fates = Fates(store, chain, carriage)
        self._policy = policy
        self._give_up = give_up
        self._makes_blocks = makes_blocks
        self._too_low: set[int] = set()  # rows whose newest bid the chain does not even let wait

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
        mined, final = self._confirm()
        final += self._finalize()
        signed = self._sign()
        sent = self._send()
        outbid = self._outbid()
        return Driven(signed, sent, mined, final, outbid, self.open())

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
        fees, head = self._policy.first(self._chain.fees()), self._chain.head().number
        with self._store.begin() as connection:
            rows = connection.execute(query).all()
            for row in rows:
                signer = self._signer(row.signer)
                nonce = self._take_nonce(connection, signer.address, mined.get(row.signer, 0))
                raw, name = self._signed(row, nonce, row.data, fees)
                change(
                    connection,
                    row.id,
                    state=OutboxState.SIGNED,
                    data=None,
                    sender=signer.address,
                    nonce=nonce,
                    raw=raw,
                    hash=name,
                )
                if fees != fee_bids.NO_FEES:
                    fee_bids.record(connection, row.id, raw, name, fees, head)
        return len(rows)

    def _signed(self, row: Row[Any], nonce: int, data: bytes, fees: Fees) -> tuple[bytes, Hash]:
        return sign_transaction(
            self._signer(row.signer),
            chain_id=self._chain.chain_id,
            nonce=nonce,
            to=row.to,
            data=data,
            gas=row.gas,
            fees=fees,
        )

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
        """Send what the chain does not have, in the order of nonces: a gap would keep back what follows it."""
        held_back: set[Address] = set()
        fresh = []
        barrier = None if self._makes_blocks else first_open_curtailment(self._store)
        for row in rows_in(self._store, OutboxState.SIGNED, OutboxState.ORPHANED, OutboxState.SENT):
            # What was sent may have been dropped on the way; a crash from here on sends the same bytes again.
            is_there = row.state == OutboxState.SENT and self._chain.transaction(row.hash) is not None
            if is_there or row.sender in held_back:
                continue
            waits = barrier is not None and row.kind == CHUNK and row.id > barrier
            if waits or not self._broadcast(row):
                held_back.add(row.sender)
            elif row.state != OutboxState.SENT:
                fresh.append(row)
        mark(self._store, fresh, OutboxState.SENT)
        return len(fresh)

    def _broadcast(self, row: Row[Any]) -> bool:
        """Send a transaction; tell whether it needs no second try before those that follow it."""
        try:
            self._chain.send_raw(raw_of(self._store, row.id))
        except TransactionRejected as error:
            # A transaction that got through before is no fault; the next step finds its receipt.
            if error.reason == RejectionReason.KNOWN or self._fates.is_known(row):
                return True
            if error.reason == RejectionReason.NONCE_TOO_HIGH:
                return False  # the one before was dropped meanwhile: the next drive sends it again
            if error.reason != RejectionReason.UNDERPRICED:
                raise SettlementHalted(row.kind, row.ref, f"{error} (nonce {row.nonce})") from error
            self._too_low.add(row.id)
        else:
            self._too_low.discard(row.id)
        return True

    def _outbid(self) -> int:
        """Offer more for what waits too long; return for how many."""
        waiting = rows_in(self._store, OutboxState.SENT)
        if not waiting or (asked := self._chain.fees()) == fee_bids.NO_FEES:
            return 0
        head, n_outbid = self._chain.head().number, 0
        with self._store.read() as connection:
            bids = fee_bids.bids_of(connection, waiting)
        for row in waiting:
            last = bids.get(row.id, [None])[0]
            offered = fee_bids.NO_FEES if last is None else fee_bids.offered(last)
            is_late = last is None or head - last.made_at_block >= self._policy.patience_blocks
            offer = self._policy.next(offered, asked) if is_late or row.id in self._too_low else None
            if offer is None:
                continue
            raw, name = self._signed(row, row.nonce, transaction_data(raw_of(self._store, row.id)), offer)
            with self._store.begin() as connection:
                if last is None:  # signed when nothing had to be offered
                    first = raw_of(self._store, row.id)
                    fee_bids.record(connection, row.id, first, row.hash, offered, head)
                fee_bids.record(connection, row.id, raw, name, offer, head)
                change(connection, row.id, raw=raw, hash=name)
            self._broadcast(row)
            n_outbid += 1
        return n_outbid

    # -------------------------------------------------------------- confirming

    def _confirm(self) -> tuple[int, int]:
        """Look for receipts of what is sent; return how many were mined, and how many are final at once."""
        found = self._record(self._fates.find(rows_in(self._store, OutboxState.SENT)))
        for row, fate in found:
            if fate.state == OutboxState.REVERTED:
                raise SettlementHalted(row.kind, row.ref, fate.reason or "reverted")
        return len(found), sum(fate.state == OutboxState.FINAL for _, fate in found)

    def _record(self, found: list[tuple[Row[Any], Fate]]) -> list[tuple[Row[Any], Fate]]:
        """Write fates down; return them as they are then: what was given up is final."""
        if not found:
            return []
        now_s, final = self._chain.head().timestamp_s, self._chain.finalized()
        recorded = []
        with self._store.begin() as connection:
            for row, fate in found:
                if not fate.receipt.is_success and is_void(connection, row):
                    state = OutboxState.FINAL if fate.block_number <= final else OutboxState.MINED
                    fate = replace(fate, state=state, reason=VOID, rest=None)
                elif is_late(row, fate.state, fate.reason) and fate.block_number <= final:
                    fate = self._given_up(connection, row, fate, now_s)
                recorded.append((row, fate))
                change(
                    connection,
                    row.id,
                    state=fate.state,
                    block_number=fate.block_number,
                    block_hash=fate.block_hash,
                    gas_used=fate.receipt.gas_used,
                    reason=fate.reason,
                )
                mined = fate.receipt.transaction_hash
                if mined != row.hash:  # an earlier bid was taken
                    change(connection, row.id, hash=mined, raw=fee_bids.raw_of_bid(connection, mined))
                connection.execute(delete(carriers).where(carriers.c.outbox_id == row.id))
                if fate.carried is not None:
                    values = {"outbox_id": row.id, "hash": fate.carried.hash}
                    connection.execute(insert(carriers).values(values))
                if fate.rest is not None:
                    ref = free_ref(connection, row.kind, row.ref)
                    call = ContractCall(row.kind, ref, row.signer, row.to, fate.rest, row.gas)
                    self.enqueue(connection, call)
        return recorded

    def _given_up(self, connection: Connection, row: Row[Any], fate: Fate, now_s: int) -> Fate:
        """Give a late chunk up, with all that are, and plan what is sent in their place, if anything can be."""
        if self._give_up is None:
            return fate
        given_up = self._give_up(connection, transaction_data(raw_in(connection, row.id)), now_s)
        if given_up is None:
            return fate
        mark_void(connection, given_up.sequences)
        for call in given_up.instead:
            self.enqueue(connection, replace(call, ref=free_ref(connection, call.kind, call.ref)))
        return replace(fate, state=OutboxState.FINAL, reason=VOID)

    def _finalize(self) -> int:
        rows = rows_in(self._store, OutboxState.MINED)
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
        mark(self._store, lost, OutboxState.ORPHANED)
        mark(self._store, done, OutboxState.FINAL)
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
        mark(self._store, lost, OutboxState.ORPHANED)
        return len(lost)

    def _lost_from_chain(self) -> list[Row[Any]]:
        """Return mined or final transactions that the chain no longer has, as after a restored backup."""
        lost = []
        with self._store.read() as connection:
            for row in newest_first(connection, OutboxState.MINED, OutboxState.FINAL):
                block = self._chain.block(row.block_number)
                if block is not None and block.hash == row.block_hash:
                    break  # so are all blocks before it
                if self._chain.receipt(row.hash) is None:
                    lost.append(row)
        return lost

    # -------------------------------------------------------------- rows

    def _look_again(self) -> None:
        """Halt at what reverted, unless its block was replaced or somebody has carried it in since."""
        for row in rows_in(self._store, OutboxState.REVERTED):
            found = self._fates.find([row])
            if not found:
                mark(self._store, [row], OutboxState.ORPHANED)
                continue
            ((_, fate),) = self._record(found)
            if fate.state == OutboxState.REVERTED:
                raise SettlementHalted(row.kind, row.ref, fate.reason or row.reason or "reverted")
