"""An EVM in memory, one transaction at a time: for measuring and attacking contracts, never for running them.

There are no blocks, no fees and no signatures of transactions; the time is whatever is set. Each transaction
costs exactly what it would on a chain of the same fork, intrinsic gas and refunds included.
"""

from dataclasses import dataclass
from typing import Any, Final

from eth.abc import AtomicDatabaseAPI
from eth.chains.base import ChainContext
from eth.constants import BLANK_ROOT_HASH, CREATE_CONTRACT_ADDRESS
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth.vm.message import Message
from eth.vm.spoof import SpoofTransaction
from eth_typing import Address as EthAddress

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

    def __init__(
        self,
        chain_id: int = 1,
        time_s: int = 0,
        *,
        database: AtomicDatabaseAPI | None = None,
        root: bytes = BLANK_ROOT_HASH,
    ) -> None:
        self.chain_id = chain_id
        self._database = AtomicDB() if database is None else database
        new_header: Any = PragueBlockHeader
        header = new_header(0, 1, GAS_LIMIT, time_s, state_root=root, base_fee_per_gas=0, excess_blob_gas=0)
        self._state: Any = PragueVM.build_state(self._database, header, ChainContext(chain_id), ())

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
        return Evm(self.chain_id, self.time_s, database=self._database, root=self._state.state_root)

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
