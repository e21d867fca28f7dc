"""What people, meters and roles sign: EIP-712 messages of the Settlement contract, compact signatures.

| message | signed by | checked by |
|---|---|---|
| `Order` (of market.orders) | the account's agent | hub and contract |
| `Chunk` | operator | contract |
| `Reading` | meter | hub and contract |
| `Substitute` | registrar | contract |
| `Tariffs` | oracle | contract |
| `Curtailment` | curtailer (the grid role) | contract |
| `Receipt` | operator | whoever holds it: proof that an order was received |

All share the domain `Settlement`, version 1, of one chain and one contract, so a signature means nothing
elsewhere. The type strings below are those of contracts/Settlement.vy and registry.vy, to the letter.

References
----------
EIP-712 (typed structured data).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from eth_hash.auto import keccak

from market.orders import Order
from node.chain.ports import Address
from node.chain.signatures import BadSignature, CompactSignature, LocalSigner, recover_digest

_WORD_MASK: Final = 2**256 - 1


class BadMessage(ValueError):
    """A message whose field does not fit its EIP-712 type; `.message` is the message."""

    def __init__(self, message: object) -> None:
        super().__init__(f"a field does not fit its EIP-712 type: {message!r}")
        self.message = message


@dataclass(frozen=True, slots=True)
class Domain:
    """Where a signature counts: one contract on one chain.

    Raises
    ------
    ValueError
        If the chain id is not positive or the contract's address has not 20 bytes.
    """

    chain_id: int
    contract: Address
    separator: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.chain_id <= 0:
            raise ValueError(f"chain id {self.chain_id}: need a positive integer")
        if not isinstance(self.contract, bytes) or len(self.contract) != 20:
            raise ValueError(f"contract {self.contract!r}: need the 20 bytes of an address")
        packed = _DOMAIN_TYPE + _NAME + _VERSION + self.chain_id.to_bytes(32, "big")
        object.__setattr__(self, "separator", keccak(packed + bytes(12) + self.contract))


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a settlement transaction did: `round_word` holds interval, round and the hash of its prices
    (node.chain.words.RoundWord), `done` chains every fill and reading (`done_fill`, `done_reading`)."""

    sequence: int
    round_word: int
    done: bytes


@dataclass(frozen=True, slots=True)
class Reading:
    """A meter's cumulative net register (export minus import, mWh) at the end of an interval."""

    account: int
    interval: int
    register_milli_wh: int


@dataclass(frozen=True, slots=True)
class Substitute:
    """An estimated register where the meter's is missing."""

    account: int
    interval: int
    register_milli_wh: int


class Tariff(NamedTuple):
    """The supplier's prices of a zone: `short` is paid for what is missing, `long` received for too much."""

    short_micro_per_kwh: int
    long_micro_per_kwh: int


@dataclass(frozen=True, slots=True)
class Tariffs:
    """The supplier's prices of an interval, by zone."""

    interval: int
    table: tuple[Tariff, ...]


@dataclass(frozen=True, slots=True)
class Curtailment:
    """Up to so much of an account's shortfall was ordered by the controller and is forgiven."""

    account: int
    interval: int
    quantity_milli_wh: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """The operator's word that it received an order: the order's hash, its place in the queue, when."""

    order_hash: bytes
    sequence: int
    received_at_s: int


Message = Order | Chunk | Reading | Substitute | Tariffs | Curtailment | Receipt


def _type_hash(signature: str) -> bytes:
    return keccak(signature.encode())


_DOMAIN_TYPE: Final = _type_hash(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_NAME: Final = keccak(b"Settlement")
_VERSION: Final = keccak(b"1")
ORDER_TYPE: Final = (
    "Order(uint32 account,uint24 epoch,bool buy,uint8 lane,uint24 first,uint24 last,"
    "uint40 quantity,int64 limit)"
)
CHUNK_TYPE: Final = "Chunk(uint64 seq,uint256 round,bytes32 done)"
READING_TYPE: Final = "Reading(uint32 account,uint24 interval,int56 register)"
SUBSTITUTE_TYPE: Final = "Substitute(uint32 account,uint24 interval,int56 register)"
TARIFFS_TYPE: Final = "Tariffs(uint24 interval,bytes32 table)"
CURTAILMENT_TYPE: Final = "Curtailment(uint32 account,uint24 interval,uint40 quantity)"
RECEIPT_TYPE: Final = "Receipt(bytes32 order,uint64 sequence,uint64 receivedAt)"
_ORDER_HASH: Final = _type_hash(ORDER_TYPE)
_CHUNK_HASH: Final = _type_hash(CHUNK_TYPE)
_READING_HASH: Final = _type_hash(READING_TYPE)
_SUBSTITUTE_HASH: Final = _type_hash(SUBSTITUTE_TYPE)
_TARIFFS_HASH: Final = _type_hash(TARIFFS_TYPE)
_CURTAILMENT_HASH: Final = _type_hash(CURTAILMENT_TYPE)
_RECEIPT_HASH: Final = _type_hash(RECEIPT_TYPE)
# ABI head of a single dynamic array: where its length stands.
_ARRAY_HEAD: Final = (32).to_bytes(32, "big")
_PADDING: Final = [bytes(32 - size) for size in range(33)]


def _uint(value: int, size: int) -> bytes:
    """Encode an unsigned integer of `size` bytes as a word; OverflowError if it does not fit."""
    return _PADDING[size] + int(value).to_bytes(size, "big")


def _int(value: int, size: int) -> bytes:
    """Encode a signed integer of `size` bytes as a word; OverflowError if it does not fit."""
    value = int(value)
    value.to_bytes(size, "big", signed=True)
    return (value & _WORD_MASK).to_bytes(32, "big")


def _bytes32(value: bytes) -> bytes:
    if len(value) != 32:
        raise OverflowError(f"need 32 bytes, have {len(value)}")
    return value


def _encode_order(order: Order) -> bytes:
    return (
        _ORDER_HASH
        + _uint(order.account, 4)
        + _uint(order.epoch, 3)
        + _uint(bool(order.is_buy), 1)
        + _uint(order.lane, 1)
        + _uint(order.first, 3)
        + _uint(order.last, 3)
        + _uint(order.quantity_milli_wh, 5)
        + _int(order.limit_micro_per_kwh, 8)
    )


def _encode_chunk(chunk: Chunk) -> bytes:
    return _CHUNK_HASH + _uint(chunk.sequence, 8) + _uint(chunk.round_word, 32) + _bytes32(chunk.done)


def _encode_reading(reading: Reading) -> bytes:
    return _READING_HASH + _register(reading)


def _encode_substitute(substitute: Substitute) -> bytes:
    return _SUBSTITUTE_HASH + _register(substitute)


def _register(reading: Reading | Substitute) -> bytes:
    return _uint(reading.account, 4) + _uint(reading.interval, 3) + _int(reading.register_milli_wh, 7)


def _encode_tariffs(tariffs: Tariffs) -> bytes:
    return _TARIFFS_HASH + _uint(tariffs.interval, 3) + table_hash(tariffs.table)


def _encode_curtailment(curtailment: Curtailment) -> bytes:
    return (
        _CURTAILMENT_HASH
        + _uint(curtailment.account, 4)
        + _uint(curtailment.interval, 3)
        + _uint(curtailment.quantity_milli_wh, 5)
    )


def _encode_receipt(receipt: Receipt) -> bytes:
    return (
        _RECEIPT_HASH
        + _bytes32(receipt.order_hash)
        + _uint(receipt.sequence, 8)
        + _uint(receipt.received_at_s, 8)
    )


_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    Order: _encode_order,
    Chunk: _encode_chunk,
    Reading: _encode_reading,
    Substitute: _encode_substitute,
    Tariffs: _encode_tariffs,
    Curtailment: _encode_curtailment,
    Receipt: _encode_receipt,
}


def struct_hash(message: Message) -> bytes:
    """Return the EIP-712 hashStruct of a message.

    Raises
    ------
    BadMessage
        If a field does not fit its type.
    """
    try:
        return keccak(_ENCODERS[type(message)](message))
    except OverflowError:
        raise BadMessage(message) from None


def digest(domain: Domain, message: Message) -> bytes:
    """Return the 32 bytes that are signed."""
    return keccak(b"\x19\x01" + domain.separator + struct_hash(message))


def digests(domain: Domain, messages: Iterable[Message]) -> list[bytes]:
    """Return the digest of each message."""
    return [digest(domain, message) for message in messages]


def order_hash(domain: Domain, order: Order) -> bytes:
    """Return an order's name everywhere in the system: its EIP-712 digest."""
    return digest(domain, order)


def sign(signer: LocalSigner, domain: Domain, message: Message) -> CompactSignature:
    """Sign a message for a domain."""
    return CompactSignature(*signer.sign_digest(digest(domain, message)))


def sign_all(
    signers: Sequence[LocalSigner], domain: Domain, messages: Sequence[Message]
) -> list[CompactSignature]:
    """Sign each message with the signer of the same row."""
    return [sign(signer, domain, message) for signer, message in zip(signers, messages, strict=True)]


def recover(domain: Domain, message: Message, signature: CompactSignature) -> bytes:
    """Return the address (20 bytes) that signed a message.

    Raises
    ------
    BadMessage
        If a field does not fit its type.
    BadSignature
        If the signature is malleable or no public key answers to it.
    """
    return recover_digest(digest(domain, message), signature)


def recover_all(
    domain: Domain, messages: Sequence[Message], signatures: Sequence[CompactSignature]
) -> list[bytes | None]:
    """Return who signed each message; None where nobody can have signed it."""
    signers: list[bytes | None] = []
    for message, signature in zip(messages, signatures, strict=True):
        try:
            signers.append(recover(domain, message, signature))
        except (BadMessage, BadSignature):
            signers.append(None)
    return signers


def table_hash(table: Sequence[Tariff]) -> bytes:
    """Return the contract's hash of a tariff table: keccak256 of its ABI encoding."""
    rows = b"".join(_int(t[0], 32) + _int(t[1], 32) for t in table)
    return keccak(_ARRAY_HEAD + _uint(len(table), 32) + rows)


def prices_hash(prices_micro_per_kwh: Sequence[int]) -> bytes:
    """Return the contract's hash of a round's prices, one per zone: keccak256 of their ABI encoding."""
    rows = b"".join(_int(price, 32) for price in prices_micro_per_kwh)
    return keccak(_ARRAY_HEAD + _uint(len(prices_micro_per_kwh), 32) + rows)


NOTHING_DONE: Final = bytes(32)


def done_fill(done: bytes, carry_word: int, sold_milli_wh: int) -> bytes:
    """Add a fill to a chunk's chain of deeds.

    Parameters
    ----------
    done : bytes
        The chain so far; `NOTHING_DONE` at the start of a chunk.
    carry_word : int
        The carry word after this fill (node.chain.words.CarryWord): the order and how much of it is filled.
    sold_milli_wh : int
        Energy sold; negative for a buyer.
    """
    return keccak(done + _uint(carry_word, 32) + _int(sold_milli_wh, 32))


def done_reading(done: bytes, account: int, register_milli_wh: int) -> bytes:
    """Add a reading to a chunk's chain of deeds."""
    return keccak(done + _uint(account, 32) + _int(register_milli_wh, 32))
