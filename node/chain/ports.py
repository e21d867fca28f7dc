"""The chain as the rest of the node sees it: one protocol, its values and its errors.

ChainError
├── ChainUnavailable     (Transient)  the node does not answer, or answers nonsense
├── WrongChain           (Permanent)  another chain id or another genesis than expected
├── ChainLocked          (Permanent)  the embedded chain already has a writer
├── TransactionRejected  (Permanent)  refused at the door: `.reason`; it will never be mined as it is
└── CallReverted         (Permanent)  a call or transaction reverted: `.reason`, `.data`
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from node.errors import NodeError, Permanent, Transient

Address = bytes  # 20 bytes
Hash = bytes  # 32 bytes


class ChainError(NodeError):
    """Base of what goes wrong between us and a chain."""


class ChainUnavailable(ChainError, Transient):
    """The node does not answer, or answers something that is no JSON-RPC."""


class WrongChain(ChainError, Permanent):
    """The chain's id or genesis is not the one that was expected."""


class ChainLocked(ChainError, Permanent):
    """The embedded chain already has a writer."""


class RejectionReason(StrEnum):
    """Why a chain refused a raw transaction."""

    MALFORMED = "malformed"
    WRONG_CHAIN_ID = "wrong-chain-id"
    BAD_SIGNATURE = "bad-signature"
    NONCE_TOO_LOW = "nonce-too-low"
    NONCE_TOO_HIGH = "nonce-too-high"
    GAS_LIMIT = "gas-limit"
    FUNDS = "funds"
    UNDERPRICED = "underpriced"
    KNOWN = "known"
    OTHER = "other"


class TransactionRejected(ChainError, Permanent):
    """A raw transaction was refused; nothing was changed."""

    def __init__(self, reason: RejectionReason, detail: str) -> None:
        super().__init__(f"transaction refused, {reason}: {detail}")
        self.reason = reason
        self.detail = detail


class CallReverted(ChainError, Permanent):
    """A call or transaction reverted; `reason` is the contract's own string where it gave one."""

    def __init__(self, reason: str, data: bytes = b"") -> None:
        super().__init__(f"reverted: {reason}")
        self.reason = reason
        self.data = data


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block."""

    number: int
    hash: Hash
    timestamp_s: int


@dataclass(frozen=True, slots=True)
class Block:
    """A block without its transactions' bodies."""

    number: int
    hash: Hash
    parent: Hash
    timestamp_s: int
    transactions: tuple[Hash, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """One event of a mined transaction; `index` counts within the block."""

    address: Address
    topics: tuple[Hash, ...]
    data: bytes
    block_number: int
    block_hash: Hash
    transaction_hash: Hash
    transaction_index: int
    index: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a mined transaction."""

    transaction_hash: Hash
    block_number: int
    block_hash: Hash
    transaction_index: int
    is_success: bool
    gas_used: int
    contract: Address | None
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction the chain knows; `block_number` is None while it waits."""

    hash: Hash
    sender: Address
    to: Address | None
    nonce: int
    data: bytes
    gas: int
    block_number: int | None


@dataclass(frozen=True, slots=True)
class MinedCall:
    """A mined transaction to a contract, with what became of it."""

    hash: Hash
    index: int
    sender: Address
    to: Address
    data: bytes
    is_success: bool


@dataclass(frozen=True, slots=True)
class Fees:
    """What a transaction has to offer to be mined; all zero on a chain without fees."""

    max_fee_per_gas: int
    max_priority_fee_per_gas: int


class Chain(Protocol):
    """What every chain offers: embedded, or behind a JSON-RPC URL.

    Every method may raise `ChainUnavailable`. Blocks are numbers, or None for the newest one.
    """

    @property
    def chain_id(self) -> int:
        """Return the id that every signature for this chain carries."""
        ...

    def head(self) -> Head:
        """Return the newest block."""
        ...

    def finalized(self) -> int:
        """Return the number of the newest block that can no longer be replaced."""
        ...

    def block(self, number: int) -> Block | None:
        """Return the canonical block of a number, or None beyond the head."""
        ...

    def nonce(self, address: Address, *, is_pending: bool = False) -> int:
        """Return how many transactions of this address are mined (or also wait)."""
        ...

    def balance(self, address: Address) -> int:
        """Return the address's native balance in wei."""
        ...

    def code(self, address: Address) -> bytes:
        """Return the runtime bytecode at an address."""
        ...

    def storage(self, address: Address, slot: int) -> int:
        """Return one storage word."""
        ...

    def call(
        self, to: Address, data: bytes, *, sender: Address | None = None, block: int | None = None
    ) -> bytes:
        """Execute without a trace and return what the contract returned.

        Raises
        ------
        CallReverted
            With the contract's reason.
        """
        ...

    def estimate_gas(self, sender: Address, to: Address | None, data: bytes) -> int:
        """Return a gas limit with which the transaction would succeed now.

        Raises
        ------
        CallReverted
            If it would not.
        """
        ...

    def fees(self) -> Fees:
        """Return what a transaction sent now has to offer."""
        ...

    def send_raw(self, raw: bytes) -> Hash:
        """Hand a signed transaction over and return its hash; sending known bytes again is harmless.

        Raises
        ------
        TransactionRejected
            If it can never be mined as it is; nothing was changed.
        """
        ...

    def transaction(self, transaction_hash: Hash) -> Transaction | None:
        """Return a mined or waiting transaction, or None if the chain does not know it."""
        ...

    def receipt(self, transaction_hash: Hash) -> Receipt | None:
        """Return what became of a transaction, or None while it is not mined."""
        ...

    def revert_reason(self, transaction_hash: Hash) -> str:
        """Return why a mined transaction reverted; empty if it did not, or gave no reason."""
        ...

    def calls(self, block: Block, contracts: tuple[Address, ...]) -> list[MinedCall]:
        """Return a block's transactions to these contracts, in order.

        Raises
        ------
        ChainUnavailable
            If whoever answers does not have this very block: another node of several may be behind, or on
            another branch, and must not pass nothing off as everything.
        """
        ...

    def block_logs(self, block: Block, addresses: tuple[Address, ...]) -> list[Log]:
        """Return the events of a block by these contracts, in order.

        Raises
        ------
        ChainUnavailable
            As `calls`.
        """
        ...

    def logs(self, first: int, last: int, addresses: tuple[Address, ...] = ()) -> list[Log]:
        """Return the events of blocks `first..last` (both included) in order; all addresses if none given."""
        ...


class ProducingChain(Chain, Protocol):
    """A chain whose blocks we make ourselves, at times of our clock."""

    def produce_block(self, timestamp_s: int) -> Head:
        """Put all waiting transactions into one durable block and return it.

        Raises
        ------
        ValueError
            If the time is not after the head's: a chain's time only goes forward.
        """
        ...
