"""An EVM in memory, one transaction at a time: for measuring and attacking contracts, never for running them.

There are no blocks, no fees and no signatures of transactions; the time is whatever is set. Each transaction
costs exactly what it would on a chain of the same fork, intrinsic gas and refunds included.

`Evm` is py-evm's own loop and state, the reference; `TranslatedEvm` is what the embedded chain runs, many times
as fast. Which one a test acts on says which one it is about.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from eth.chains.base import ChainContext
from eth.constants import BLANK_ROOT_HASH, CREATE_CONTRACT_ADDRESS
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.state import PragueState
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth.vm.message import Message
from eth.vm.spoof import SpoofTransaction
from eth_typing import Address as EthAddress

from node.chain.embedded_machine import TranslatedState
from node.chain.embedded_state import KnownState
from node.chain.ports import Address
from node.chain.revert import revert_reason

GAS_LIMIT: Final = 100_000_000
VIEWER: Final = EthAddress(b"\1" * 20)


class Reverted(Exception):
    """A transaction or view reverted; `reason` is the contract's own, empty if it gave none."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason or "without a reason")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Mined:
    """What a successful transaction did."""

    output: bytes
    gas_used: int
    logs: tuple[tuple[Address, tuple[bytes, ...], bytes], ...]


class Evm:
    """A state, a time, and transactions on them."""

    state_class: ClassVar[Any] = PragueState

    def __init__(
        self, chain_id: int = 1, time_s: int = 0, *, database: Any = None, root: bytes = BLANK_ROOT_HASH
    ) -> None:
        self.chain_id = chain_id
        self._database = self._new_database() if database is None else database
        new_header: Any = PragueBlockHeader
        header = new_header(0, 1, GAS_LIMIT, time_s, state_root=root, base_fee_per_gas=0, excess_blob_gas=0)
        context = PragueVM.create_execution_context(header, (), ChainContext(chain_id))
        self._state: Any = self.state_class(self._database, context, root)

    def _new_database(self) -> Any:
        return AtomicDB()

    def _shared_database(self) -> Any:
        """Return what a fork may build on: nodes are found by their hash, so nobody overwrites another's."""
        return self._database

    @property
    def time_s(self) -> int:
        """The time that contracts see."""
        return self._state.timestamp

    @time_s.setter
    def time_s(self, time_s: int) -> None:
        context: Any = self._state.execution_context
        context._timestamp = time_s

    def fork(self) -> "Evm":
        """Return an independent copy of the state as it is now."""
        self._state.lock_changes()
        self._state.persist()
        database, root = self._shared_database(), self._state.state_root
        return type(self)(self.chain_id, self.time_s, database=database, root=root)

    def send(self, sender: Address, to: Address, data: bytes) -> Mined:
        """Execute a transaction.

        Raises
        ------
        Reverted
            With the contract's reason; nothing but the sender's nonce changed.
        """
        return self._transact(sender, to, data)

    def create(self, sender: Address, data: bytes) -> Address:
        """Deploy a contract and return its address.

        Raises
        ------
        Reverted
            With the constructor's reason.
        """
        return self._transact(sender, CREATE_CONTRACT_ADDRESS, data).output

    def view(self, to: Address, data: bytes) -> bytes:
        """Call without keeping anything.

        Raises
        ------
        Reverted
            With the contract's reason.
        """
        state = self._state
        message = Message(GAS_LIMIT, EthAddress(to), VIEWER, 0, data, state.get_code(to))
        context = state.get_transaction_context_class()(gas_price=0, origin=message.sender)
        snapshot = state.snapshot()
        computation = state.computation_class.apply_message(state, message, context)
        state.revert(snapshot)
        if computation.is_error:
            raise Reverted(revert_reason(bytes(computation.output)))
        return bytes(computation.output)

    def _transact(self, sender: Address, to: Address, data: bytes) -> Mined:
        state = self._state
        builder: Any = PragueTransactionBuilder
        unsigned = builder.create_unsigned_transaction(
            nonce=state.get_nonce(sender), gas_price=0, gas=GAS_LIMIT, to=to, value=0, data=data
        )
        transaction = SpoofTransaction(unsigned, from_=sender)
        state.lock_changes()
        computation = state.apply_transaction(transaction)
        if computation.is_error:
            raise Reverted(revert_reason(bytes(computation.output)))
        spent = transaction.intrinsic_gas + computation.get_gas_used()
        # no more than a fifth comes back: EIP-3529; the floor of calldata: EIP-7623
        spent -= min(computation.get_gas_refund(), spent // 5)
        floor = 21_000 + 10 * sum(4 if byte else 1 for byte in data)
        logs = tuple(
            (address, tuple(topic.to_bytes(32, "big") for topic in topics), log)
            for address, topics, log in computation.get_log_entries()
        )
        output = computation.msg.storage_address if to == CREATE_CONTRACT_ADDRESS else computation.output
        return Mined(bytes(output), max(spent, floor), logs)


class _Nodes(dict[bytes, bytes]):
    """Nodes of tries by hash, and what is known of the newest root."""

    known: KnownState | None = None


class TranslatedEvm(Evm):
    """The same on the embedded chain's interpreter and state."""

    state_class = TranslatedState

    def _new_database(self) -> Any:
        return _Nodes()

    def _shared_database(self) -> Any:
        nodes, known = _Nodes(self._database), self._database.known
        nodes.known = replace(known, accounts=dict(known.accounts), slots=dict(known.slots))
        return nodes
