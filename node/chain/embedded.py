"""The embedded chain: a durable private Ethereum chain in this process, block by block on one SQLite file.

Fees: gas is free. The base fee of every block is zero and a transaction may offer zero, so members need no
faucet to open an account, approve, deposit or request an exit. What a fee would hold off is held off by
bounds: gas per block and transaction, and how many transactions of one sender may wait.

The chain's owner is its only validator: the file is evidence (signatures and a hash chain), not consensus.
"""

import json
import threading
from pathlib import Path

import rlp
from eth.abc import BlockHeaderAPI, SignedTransactionAPI
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth_utils import ValidationError

from node.chain.embedded_file import ChainFile, TransactionRow
from node.chain.embedded_genesis import Genesis
from node.chain.embedded_machine import ExecutedBlock, Machine, decode_transaction
from node.chain.ports import (
    Address,
    Block,
    ChainUnavailable,
    Fees,
    Hash,
    Head,
    Log,
    MinedCall,
    Receipt,
    RejectionReason,
    Transaction,
    TransactionRejected,
    WrongChain,
)
from node.chain.revert import revert_reason

# EIP-7825 caps a transaction at 2**24 gas on public chains; staying below keeps chunks portable.
TRANSACTION_GAS_LIMIT = 2**24
WAITING_PER_SENDER = 4_096
NOBODY = bytes(20)


class EmbeddedChain:
    """A `ProducingChain` on one file.

    Parameters
    ----------
    path : Path or None
        The chain's file; it is created with its genesis if missing. None: in memory, for studies and tests.
    genesis : Genesis or None
        Must match the file's own; None takes whatever the file has.
    is_durable : bool
        False trades the fsync per block for speed, in studies whose chain may be lost with the power.

    Raises
    ------
    ChainLocked
        If the chain already has a writer.
    WrongChain
        If the file's genesis is another one, or there is neither a file nor a genesis.
    """

    def __init__(self, path: Path | None, genesis: Genesis | None = None, *, is_durable: bool = True) -> None:
        if path is not None and genesis is None and not path.exists():
            raise WrongChain(f"chain {path}: no such file, and no genesis to create it with")
        self._lock = threading.RLock()
        self._file = ChainFile(path, is_durable=is_durable)
        try:
            self._chain_id = self._open_genesis(genesis)
            self._machine = Machine(self._file, self._chain_id)
            if self._file.newest_header() is None and genesis is not None:
                self._write_genesis(genesis)
            self._header = self._newest_header()
        except BaseException:
            self._file.close()
            raise
        self._waiting: dict[Hash, SignedTransactionAPI] = {}
        self._waiting_of: dict[Address, int] = {}
        self.dropped: dict[Hash, str] = {}  # what the newest block could not take, and why

    def _open_genesis(self, genesis: Genesis | None) -> int:
        stored = self._file.fact("genesis")
        if stored is None:
            if genesis is None:
                raise WrongChain(
                    f"chain {self._file.path}: the file holds no chain, and no genesis was given"
                )
            return genesis.chain_id
        if genesis is not None and genesis.as_json() != stored:
            raise WrongChain(
                f"chain {self._file.path}: its genesis is {stored.decode()}, "
                f"expected {genesis.as_json().decode()}"
            )
        return json.loads(stored)["chain_id"]

    def _write_genesis(self, genesis: Genesis) -> None:
        header = self._machine.genesis(
            genesis.timestamp_s, genesis.gas_limit, genesis.note.encode(), dict(genesis.funded)
        )
        self._file.append(0, header.hash, rlp.encode(header), facts=[("genesis", genesis.as_json())])

    def _newest_header(self) -> BlockHeaderAPI:
        found = self._file.newest_header()
        if found is None:
            raise WrongChain(f"chain {self._file.path}: no blocks")
        block_hash, encoded = found
        header = rlp.decode(encoded, PragueBlockHeader)
        if header.hash != block_hash or not self._file.has_state(header.state_root):
            raise WrongChain(
                f"chain {self._file.path}: block {header.block_number} is damaged; restore a backup"
            )
        return header

    # -------------------------------------------------------------- blocks

    @property
    def chain_id(self) -> int:
        """Return the id that every signature for this chain carries."""
        return self._chain_id

    def head(self) -> Head:
        """Return the newest block."""
        header = self._header
        return Head(header.block_number, header.hash, header.timestamp)

    def finalized(self) -> int:
        """Return the head's number: a block that is on disk is never replaced."""
        return self._header.block_number

    def block(self, number: int) -> Block | None:
        """Return a block, or None beyond the head."""
        with self._lock:
            header = self._header_of(number)
            if header is None:
                return None
            hashes = tuple(row.hash for row in self._file.transactions_of(number))
        return Block(number, header.hash, header.parent_hash, header.timestamp, hashes)

    def header(self, number: int) -> BlockHeaderAPI | None:
        """Return a block's full header (state root, gas used), for tools and auditors."""
        with self._lock:
            return self._header_of(number)

    def _header_of(self, number: int) -> BlockHeaderAPI | None:
        if number == self._header.block_number:
            return self._header
        found = self._file.header(number) if number >= 0 else None
        return None if found is None else rlp.decode(found[1], PragueBlockHeader)

    def _state_header(self, number: int | None) -> BlockHeaderAPI:
        if number is None:
            return self._header
        header = self._header_of(number)
        if header is None:
            raise ValueError(f"block {number} does not exist; the head is {self._header.block_number}")
        return header

    def produce_block(self, timestamp_s: int) -> Head:
        """Execute all waiting transactions, once, into one durable block.

        Raises
        ------
        ValueError
            If the time is not after the head's.
        ChainFileError
            If the disk is full or fails: the block is not made and its transactions go on waiting.
        """
        with self._lock:
            if timestamp_s <= self._header.timestamp:
                raise ValueError(
                    f"block time {timestamp_s} is not after the head's, {self._header.timestamp}"
                )
            try:
                done = self._machine.execute(self._header, timestamp_s, list(self._waiting.values()))
                self._append(done)
            except BaseException:
                self._file.discard()
                raise
            self._header = done.header
            self._waiting = {x.hash: x for x in done.left}
            self._waiting_of = {}
            self.dropped = {x.hash: reason for x, reason in done.dropped}
            for transaction in done.left:
                self._waiting_of[transaction.sender] = self._waiting_of.get(transaction.sender, 0) + 1
            return self.head()

    def _append(self, done: ExecutedBlock) -> None:
        number = done.header.block_number
        rows = [
            TransactionRow(
                x.transaction.hash,
                number,
                position,
                x.transaction.sender,
                x.transaction.encode(),
                x.is_success,
                x.gas_used,
                x.contract,
                x.output,
            )
            for position, x in enumerate(done.executed)
        ]
        self._file.append(number, done.header.hash, rlp.encode(done.header), rows, done.logs)

    # -------------------------------------------------------------- state

    def nonce(self, address: Address, *, is_pending: bool = False) -> int:
        """Return how many transactions of this address are mined (or also wait)."""
        with self._lock:
            mined = self._machine.state(self._header).get_nonce(address)
            return mined + (self._waiting_of.get(address, 0) if is_pending else 0)

    def balance(self, address: Address) -> int:
        """Return the address's native balance in wei."""
        with self._lock:
            return self._machine.state(self._header).get_balance(address)

    def code(self, address: Address) -> bytes:
        """Return the runtime bytecode at an address."""
        with self._lock:
            return self._machine.state(self._header).get_code(address)

    def storage(self, address: Address, slot: int) -> int:
        """Return one storage word."""
        with self._lock:
            return self._machine.state(self._header).get_storage(address, slot)

    def call(
        self, to: Address, data: bytes, *, sender: Address | None = None, block: int | None = None
    ) -> bytes:
        """Execute on the state after a block and return the output; nothing is kept.

        Raises
        ------
        CallReverted
            With the contract's reason.
        ValueError
            If the block does not exist.
        """
        with self._lock:
            return self._machine.call(self._state_header(block), sender or NOBODY, to, data)

    def estimate_gas(self, sender: Address, to: Address | None, data: bytes) -> int:
        """Return a gas limit with which the transaction would succeed now, a quarter above what it takes.

        Raises
        ------
        CallReverted
            If it would not succeed.
        """
        with self._lock:
            used = self._machine.gas_for(self._header, sender, to, data)
        return min(used * 5 // 4, TRANSACTION_GAS_LIMIT)

    def fees(self) -> Fees:
        """Return zero: gas is free here."""
        return Fees(0, 0)

    # -------------------------------------------------------------- transactions

    def send_raw(self, raw: bytes) -> Hash:
        """Let a signed transaction wait for the next block and return its hash.

        Raises
        ------
        TransactionRejected
            If it can never be mined as it is. Bytes that wait or are mined already are no error.
        """
        transaction = decode_transaction(raw, self._chain_id)
        with self._lock:
            if transaction.hash in self._waiting or self._file.transaction(transaction.hash) is not None:
                return transaction.hash
            self._admit(transaction)
            self._waiting[transaction.hash] = transaction
            self._waiting_of[transaction.sender] = self._waiting_of.get(transaction.sender, 0) + 1
        return transaction.hash

    def _admit(self, transaction: SignedTransactionAPI) -> None:
        """Refuse what could not be executed after all that waits already."""
        sender = transaction.sender
        waiting = self._waiting_of.get(sender, 0)
        state = self._machine.state(self._header)
        expected = state.get_nonce(sender) + waiting
        who = f"sender 0x{sender.hex()}"
        if waiting >= WAITING_PER_SENDER:
            raise TransactionRejected(RejectionReason.OTHER, f"{who}: {waiting} transactions wait already")
        if transaction.nonce < expected:
            raise TransactionRejected(
                RejectionReason.NONCE_TOO_LOW,
                f"{who}: nonce {transaction.nonce} is taken, next is {expected}",
            )
        if transaction.nonce > expected:
            raise TransactionRejected(
                RejectionReason.NONCE_TOO_HIGH,
                f"{who}: nonce {transaction.nonce} leaves a gap, next is {expected}",
            )
        limit = min(TRANSACTION_GAS_LIMIT, self._header.gas_limit)
        if not transaction.intrinsic_gas <= transaction.gas <= limit:
            raise TransactionRejected(
                RejectionReason.GAS_LIMIT,
                f"gas {transaction.gas}: expected {transaction.intrinsic_gas} .. {limit}",
            )
        try:
            cost = transaction.gas * state.get_gas_price(transaction) + transaction.value
        except ValidationError as error:
            raise TransactionRejected(RejectionReason.MALFORMED, str(error)) from error
        if cost > state.get_balance(sender):
            raise TransactionRejected(
                RejectionReason.FUNDS, f"{who}: has {state.get_balance(sender)} wei, offers {cost}"
            )

    def waiting(self) -> int:
        """Return how many transactions wait for the next block."""
        return len(self._waiting)

    def transaction(self, transaction_hash: Hash) -> Transaction | None:
        """Return a mined or waiting transaction, or None."""
        with self._lock:
            found = self._waiting.get(transaction_hash)
            number = None
            if found is None:
                row = self._file.transaction(transaction_hash)
                if row is None:
                    return None
                found, number = decode_transaction(row.raw, self._chain_id), row.block
        to = found.to or None
        return Transaction(transaction_hash, found.sender, to, found.nonce, found.data, found.gas, number)

    def receipt(self, transaction_hash: Hash) -> Receipt | None:
        """Return what became of a transaction, or None while it is not mined."""
        with self._lock:
            row = self._file.transaction(transaction_hash)
            found = None if row is None else self._file.header(row.block)
            if row is None or found is None:
                return None
            logs = tuple(self._file.logs(row.block, row.block, (), row.position))
        return Receipt(
            row.hash,
            row.block,
            found[0],
            row.position,
            bool(row.is_success),
            row.gas_used,
            row.contract,
            logs,
        )

    def revert_reason(self, transaction_hash: Hash) -> str:
        """Return why a mined transaction reverted; empty if it did not, or gave no reason."""
        with self._lock:
            row = self._file.transaction(transaction_hash)
        return "" if row is None else revert_reason(row.output)

    def number_of(self, block_hash: Hash) -> int:
        """Return the number of the block with this hash; ChainUnavailable if there is none."""
        number = self._file.number_of(block_hash)
        if number is None:
            raise ChainUnavailable(f"chain {self._file.path}: there is no block 0x{block_hash.hex()}")
        return number

    def calls(self, block: Block, contracts: tuple[Address, ...]) -> list[MinedCall]:
        """Return a block's transactions to these contracts, in order."""
        with self._lock:
            rows = self._file.transactions_of(self.number_of(block.hash))
        found = []
        for row in rows:
            # Decoded without its checks: it passed them when it was mined.
            transaction = PragueTransactionBuilder.decode(row.raw)
            if transaction.to in contracts:
                success = bool(row.is_success)
                found.append(
                    MinedCall(row.hash, row.position, row.sender, transaction.to, transaction.data, success)
                )
        return found

    def block_logs(self, block: Block, addresses: tuple[Address, ...]) -> list[Log]:
        """Return the events of a block by these contracts, in order."""
        with self._lock:
            number = self.number_of(block.hash)
            return self._file.logs(number, number, addresses)

    def logs(self, first: int, last: int, addresses: tuple[Address, ...] = ()) -> list[Log]:
        """Return the events of blocks `first..last` (both included), in order."""
        with self._lock:
            return self._file.logs(first, last, addresses)

    # -------------------------------------------------------------- the file

    def backup(self, target: Path) -> None:
        """Copy the running chain into a new file from which an `EmbeddedChain` can go on."""
        with self._lock:
            self._file.backup(target)

    def close(self) -> None:
        """Close the file; what waits is forgotten, as by any node (the outbox sends it again)."""
        with self._lock:
            self._file.close()
