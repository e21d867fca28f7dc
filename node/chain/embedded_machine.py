"""py-evm as a plain function: parent header, time and transactions in, executed block out. Each runs once.

The rules are Ethereum's of the `prague` fork with three differences that a chain of one operator has: no
proof of work or stake, a base fee that is always zero, no system contracts (no beacon chain, no withdrawals).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import rlp
from eth.abc import BlockHeaderAPI, ComputationAPI, SignedTransactionAPI
from eth.chains.base import ChainContext
from eth.consensus import NoProofConsensus
from eth.constants import BLANK_ROOT_HASH, CREATE_CONTRACT_ADDRESS, ZERO_ADDRESS, ZERO_HASH32
from eth.db.trie import make_trie_root_and_nodes
from eth.exceptions import PyEVMError, VMError
from eth.vm.forks.cancun.constants import BLOB_TX_TYPE
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.state import PragueState
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth.vm.message import Message
from eth.vm.spoof import SpoofTransaction
from eth_utils import ValidationError
from eth_utils.exceptions import ValidationError as EthValidationError

from node.chain.embedded_file import ChainFile, LogRow
from node.chain.embedded_frame import TranslatedComputation
from node.chain.embedded_state import FlatAccounts
from node.chain.keys import GROUP_ORDER
from node.chain.ports import Address, CallReverted, Hash, RejectionReason, TransactionRejected
from node.chain.revert import revert_reason

BLOCKHASH_DEPTH = 256
CALL_GAS = 2**40  # a view may compute for as long as it likes: nobody else waits for it

# What py-evm types as addresses and block numbers of its own are plain bytes and integers to us.
_Header: Any = PragueBlockHeader
_Message: Any = Message
_Builder: Any = PragueTransactionBuilder
_Spoof: Any = SpoofTransaction


@dataclass(frozen=True, slots=True)
class Executed:
    """A transaction with what its one execution did; `output` only if it reverted."""

    transaction: SignedTransactionAPI
    is_success: bool
    gas_used: int
    contract: Address | None
    output: bytes


@dataclass(frozen=True, slots=True)
class ExecutedBlock:
    """A finished block whose state waits in the file's write buffer.

    `dropped` can never be mined (say, its sender's funds are gone); `left` waits for the next block.
    """

    header: BlockHeaderAPI
    executed: list[Executed]
    logs: list[LogRow]
    dropped: list[tuple[SignedTransactionAPI, str]]
    left: list[SignedTransactionAPI]


class TranslatedState(PragueState):
    """Prague's state on dictionaries, whose frames run translated code."""

    computation_class = TranslatedComputation
    account_db_class = FlatAccounts


class _Machine(PragueVM):
    """Prague without a chain database: ancestors' hashes come from a function."""

    consensus_class = NoProofConsensus
    _state_class = TranslatedState
    ancestors: Callable[[], Iterable[Hash]]

    @property
    def previous_hashes(self) -> Any:
        return self.ancestors()

    @classmethod
    def validate_receipt(cls, receipt: Any) -> None:
        """Skip: the filter it would check was computed from the same events a moment ago."""


class Machine:
    """Executes on one chain file."""

    def __init__(self, file: ChainFile, chain_id: int) -> None:
        self._file = file
        self._context = ChainContext(chain_id)
        self.chain_id = chain_id

    def _at(self, header: BlockHeaderAPI) -> Any:
        nodes: Any = _Nodes(self._file)
        no_consensus: Any = None
        machine = _Machine(header, nodes, self._context, no_consensus)
        machine.ancestors = lambda: iter(self._file.hashes_before(header.block_number, BLOCKHASH_DEPTH))
        return machine

    # -------------------------------------------------------------- blocks

    def genesis(
        self, timestamp_s: int, gas_limit: int, note: bytes, funded: dict[Address, int]
    ) -> BlockHeaderAPI:
        """Return the header of block 0, with the funded addresses in its state."""
        machine = self._at(_Header(0, 0, gas_limit, timestamp_s, extra_data=note))
        for address, amount in sorted(funded.items()):
            machine.state.set_balance(address, amount)
        machine.state.persist()
        return machine.get_header().copy(state_root=machine.state.state_root)

    def execute(
        self, parent: BlockHeaderAPI, timestamp_s: int, transactions: Sequence[SignedTransactionAPI]
    ) -> ExecutedBlock:
        """Execute transactions in order on top of a block, as far as its gas limit goes."""
        header = _Header(
            difficulty=0,
            block_number=parent.block_number + 1,
            gas_limit=parent.gas_limit,
            timestamp=timestamp_s,
            coinbase=ZERO_ADDRESS,
            parent_hash=parent.hash,
            state_root=parent.state_root,
        )
        machine = self._at(header)
        result = ExecutedBlock(header, [], [], [], [])
        receipts: list[Any] = []
        bloom, held = 0, set()
        for transaction in transactions:
            if header.gas_used + transaction.gas > header.gas_limit:
                held.add(transaction.sender)
            if transaction.sender in held:
                result.left.append(transaction)
                continue
            try:
                machine.validate_transaction_against_header(header, transaction)
                machine.state.validate_transaction(transaction)
            except EthValidationError as error:
                result.dropped.append((transaction, str(error)))
                held.add(transaction.sender)
                continue
            receipt, computation = machine.apply_transaction(header, transaction)
            for log in receipt.logs:
                topics = tuple(topic.to_bytes(32, "big") for topic in log.topics)
                result.logs.append(LogRow(len(result.logs), log.address, topics, log.data, len(receipts)))
            result.executed.append(
                Executed(
                    transaction,
                    computation.is_success,
                    receipt.gas_used - header.gas_used,
                    _created(computation),
                    b"" if computation.is_success else bytes(computation.output),
                )
            )
            receipts.append(receipt)
            bloom |= receipt.bloom
            header = header.copy(gas_used=receipt.gas_used)
        machine.state.persist()
        header = header.copy(
            bloom=bloom,
            state_root=machine.state.state_root,
            transaction_root=_root([x.transaction for x in result.executed]),
            receipt_root=_root(receipts),
        )
        return ExecutedBlock(header, result.executed, result.logs, result.dropped, result.left)

    # -------------------------------------------------------------- views

    def state(self, header: BlockHeaderAPI) -> Any:
        """Return the state after a block, for reading."""
        return self._at(header).state

    def call(self, header: BlockHeaderAPI, sender: Address, to: Address, data: bytes) -> bytes:
        """Execute a message on the state after a block and return its output; nothing is kept."""
        state = self.state(header)
        message = _Message(gas=CALL_GAS, to=to, sender=sender, value=0, data=data, code=state.get_code(to))
        context = state.get_transaction_context_class()(gas_price=0, origin=sender)
        computation = state.computation_class.apply_message(state, message, context)
        if computation.is_error:
            raise _reverted(computation)
        return bytes(computation.output)

    def gas_for(self, header: BlockHeaderAPI, sender: Address, to: Address | None, data: bytes) -> int:
        """Return the gas that a transaction takes on the state after a block, before refunds."""
        state = self.state(header)
        unsigned = _Builder.create_unsigned_transaction(
            nonce=state.get_nonce(sender),
            gas_price=0,
            gas=header.gas_limit,
            to=CREATE_CONTRACT_ADDRESS if to is None else to,
            value=0,
            data=data,
        )
        transaction = _Spoof(unsigned, from_=sender)
        computation = state.apply_transaction(transaction)
        if computation.is_error:
            raise _reverted(computation)
        used = transaction.intrinsic_gas + computation.get_gas_used()
        return max(used, used + computation.data_floor_cost)


class _Nodes:
    """What a virtual machine asks of its chain database: the state's nodes."""

    def __init__(self, file: ChainFile) -> None:
        self.db = file


def decode_transaction(raw: bytes, chain_id: int) -> SignedTransactionAPI:
    """Decode a signed transaction of any type and check all that does not depend on the state.

    Raises
    ------
    TransactionRejected
        If it is malformed, for another chain (py-evm itself would take it), or its signature is bad.
    """
    try:
        transaction = PragueTransactionBuilder.decode(raw)
        if transaction.encode() != raw:
            raise TransactionRejected(RejectionReason.MALFORMED, "not in canonical encoding")
    except (
        PyEVMError,
        rlp.RLPException,
        EthValidationError,
        ValidationError,
        ValueError,
        TypeError,
        IndexError,
    ) as error:
        raise TransactionRejected(RejectionReason.MALFORMED, str(error)) from error
    # Legacy transactions carry the chain id in v (EIP-155); older ones carry none and replay anywhere.
    if transaction.chain_id != chain_id:
        raise TransactionRejected(
            RejectionReason.WRONG_CHAIN_ID,
            f"signed for chain {transaction.chain_id}, this is chain {chain_id}",
        )
    if transaction.type_id == BLOB_TX_TYPE:
        raise TransactionRejected(RejectionReason.MALFORMED, "this chain has no blobs (type 3)")
    if transaction.s > GROUP_ORDER // 2:
        raise TransactionRejected(RejectionReason.BAD_SIGNATURE, "s is in the upper half (EIP-2)")
    try:
        transaction.validate()
        transaction.check_signature_validity()
    except EthValidationError as error:
        raise TransactionRejected(RejectionReason.BAD_SIGNATURE, str(error)) from error
    return transaction


def _created(computation: ComputationAPI) -> Address | None:
    if computation.is_success and computation.msg.is_create:
        return computation.msg.storage_address
    return None


def _reverted(computation: ComputationAPI) -> CallReverted:
    output = bytes(computation.output)
    error: VMError = computation.error
    return CallReverted(revert_reason(output) or str(error), output)


def _root(items: Sequence[Any]) -> Hash:
    return make_trie_root_and_nodes(tuple(items))[0] if items else BLANK_ROOT_HASH


__all__ = ["ZERO_HASH32", "Executed", "ExecutedBlock", "Machine", "TranslatedState", "decode_transaction"]
