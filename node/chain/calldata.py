"""Calldata of a settlement chunk, in both directions, and the operator's seal on it.

A chunk of 100 fills is 1,100 words. They are all static, so they are written and read here as words instead
of through a general ABI codec, which takes a hundred times as long. Anyone may carry a chunk in, encoded as he
likes, so decoding reads what the contract would: arrays lie where their offsets say, offsets wrap at 2**256, and
beyond the end of the data everything is zero. What the contract refuses is refused.

References
----------
Contract ABI specification (docs.soliditylang.org/en/latest/abi-spec.html).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from market.orders import Order
from node.chain import typed_data
from node.chain.typed_data import Chunk, CompactSignature, Domain, LocalSigner, Tariff
from node.chain.words import NO_CARRIES, Carries, RoundWord

_ORDER: Final = "(uint256,uint256,bool,uint256,uint256,uint256,uint256,int256)"
SETTLE: Final = (
    "settle(uint256,uint256,uint256,uint256,uint256,int256[],"
    f"({_ORDER},uint256,uint256,uint256)[],(int256,int256)[],(uint256,int256,bool,uint256,uint256)[])"
)
SETTLE_SELECTOR: Final = keccak(SETTLE.encode())[:4]
READ: Final = "read(uint256,(int256,int256)[],(uint256,int256,bool,uint256,uint256)[])"
READ_SELECTOR: Final = keccak(READ.encode())[:4]

_MASK: Final = 2**256 - 1
_HEAD: Final = 4  # bytes of the selector
_FILL_WORDS: Final = 11
_READING_WORDS: Final = 5
# bounds of the contract's arrays (contracts/Settlement.vy, MAX_FILLS; registry.vy, MAX_ZONES)
MAX_FILLS: Final = 128
MAX_ZONES: Final = 32


class BadCalldata(ValueError):
    """Bytes that are no call of the expected function."""


@dataclass(frozen=True, slots=True)
class SignedFill:
    """What an auction gave an order, with the agent's signature of the order."""

    order: Order
    quantity_milli_wh: int
    signature: CompactSignature

    @property
    def sold_milli_wh(self) -> int:
        """Energy sold; negative for a buyer."""
        return -self.quantity_milli_wh if self.order.is_buy else self.quantity_milli_wh


@dataclass(frozen=True, slots=True)
class SignedReading:
    """A register at the end of the chunk's interval, with the meter's signature (or the registrar's)."""

    account: int
    register_milli_wh: int
    is_substitute: bool
    signature: CompactSignature


@dataclass(frozen=True, slots=True)
class SettleCall:
    """The arguments of `settle`: one chunk."""

    signature: CompactSignature
    sequence: int
    interval: int
    round: int
    prices_micro_per_kwh: tuple[int, ...]
    fills: tuple[SignedFill, ...] = ()
    tariffs: tuple[Tariff, ...] = ()
    readings: tuple[SignedReading, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadCall:
    """The arguments of `read`: readings without the operator."""

    interval: int
    tariffs: tuple[Tariff, ...]
    readings: tuple[SignedReading, ...]


def seal(
    signer: LocalSigner,
    domain: Domain,
    *,
    sequence: int,
    interval: int,
    round_: int,
    prices_micro_per_kwh: Sequence[int],
    fills: Sequence[SignedFill] = (),
    order_hashes: Sequence[bytes] | None = None,
    tariffs: Sequence[Tariff] = (),
    readings: Sequence[SignedReading] = (),
    carries: Carries = NO_CARRIES,
) -> tuple[SettleCall, Carries]:
    """Sign a chunk as the operator.

    Parameters
    ----------
    order_hashes : Sequence[bytes], optional
        The hashes of the fills' orders where they are known; computed otherwise.
    carries : Carries, optional
        The carry words that the chunk before left in the same round; none at a round's first chunk.

    Returns
    -------
    tuple[SettleCall, Carries]
        The chunk, and the carry words that it leaves.
    """
    done = typed_data.NOTHING_DONE
    if order_hashes is None:
        order_hashes = [typed_data.order_hash(domain, fill.order) for fill in fills]
    carried = list(carries)
    for fill, name in zip(fills, order_hashes, strict=True):
        carry = carried[fill.order.is_buy].after(name, fill.quantity_milli_wh)
        carried[fill.order.is_buy] = carry
        done = typed_data.done_fill(done, carry.pack(), fill.sold_milli_wh)
    for reading in readings:
        done = typed_data.done_reading(done, reading.account, reading.register_milli_wh)
    word = RoundWord.of(interval, round_, typed_data.prices_hash(prices_micro_per_kwh)).pack()
    signature = typed_data.sign(signer, domain, Chunk(sequence, word, done))
    call = SettleCall(
        signature,
        sequence,
        interval,
        round_,
        tuple(prices_micro_per_kwh),
        tuple(fills),
        tuple(tariffs),
        tuple(readings),
    )
    return call, (carried[0], carried[1])


def settle_calldata(call: SettleCall) -> bytes:
    """Encode a call of `settle`."""
    head = (*call.signature, call.sequence, call.interval, call.round)
    arrays = (
        (len(call.prices_micro_per_kwh), list(call.prices_micro_per_kwh)),
        (len(call.fills), [word for fill in call.fills for word in _fill_words(fill)]),
        _tariff_array(call.tariffs),
        _reading_array(call.readings),
    )
    return SETTLE_SELECTOR + _encode(head, arrays)


def read_calldata(call: ReadCall) -> bytes:
    """Encode a call of `read`."""
    arrays = (_tariff_array(call.tariffs), _reading_array(call.readings))
    return READ_SELECTOR + _encode((call.interval,), arrays)


def decode_settle(calldata: bytes) -> SettleCall:
    """Decode a call of `settle`.

    Raises
    ------
    BadCalldata
        If it is another function's, too short, or has an array longer than the contract takes.
    """
    words = _Words(calldata, SETTLE_SELECTOR)
    r, vs, sequence, interval, round_ = (words.at(row) for row in range(5))
    return SettleCall(
        CompactSignature(r, vs),
        sequence,
        interval,
        round_,
        tuple(_signed(row[0]) for row in words.array(5, 1, MAX_ZONES)),
        tuple(_fill(row) for row in words.array(6, _FILL_WORDS, MAX_FILLS)),
        tuple(Tariff(_signed(row[0]), _signed(row[1])) for row in words.array(7, 2, MAX_ZONES)),
        tuple(_reading(row) for row in words.array(8, _READING_WORDS, MAX_FILLS)),
    )


def decode_read(calldata: bytes) -> ReadCall:
    """Decode a call of `read`.

    Raises
    ------
    BadCalldata
        If it is another function's, too short, or has an array longer than the contract takes.
    """
    words = _Words(calldata, READ_SELECTOR)
    return ReadCall(
        words.at(0),
        tuple(Tariff(_signed(row[0]), _signed(row[1])) for row in words.array(1, 2, MAX_ZONES)),
        tuple(_reading(row) for row in words.array(2, _READING_WORDS, MAX_FILLS)),
    )


def _encode(head: Sequence[int], arrays: Sequence[tuple[int, list[int]]]) -> bytes:
    """Lay out static words and then arrays of static rows, as the ABI does."""
    offset = 32 * (len(head) + len(arrays))
    words = list(head)
    tail: list[int] = []
    for length, rows in arrays:
        words.append(offset + 32 * len(tail))
        tail.append(length)
        tail.extend(rows)
    return b"".join([(word & _MASK).to_bytes(32, "big") for word in words + tail])


def _fill_words(fill: SignedFill) -> tuple[int, ...]:
    order = fill.order
    return (
        order.account,
        order.epoch,
        int(order.is_buy),
        order.lane,
        order.first,
        order.last,
        order.quantity_milli_wh,
        order.limit_micro_per_kwh,
        fill.quantity_milli_wh,
        *fill.signature,
    )


def _tariff_array(tariffs: Sequence[Tariff]) -> tuple[int, list[int]]:
    return len(tariffs), [price for tariff in tariffs for price in tariff]


def _reading_array(readings: Sequence[SignedReading]) -> tuple[int, list[int]]:
    words: list[int] = []
    for x in readings:
        words.extend((x.account, x.register_milli_wh, int(x.is_substitute), *x.signature))
    return len(readings), words


class _Words:
    """Calldata as words, read by offset as the contract reads them."""

    def __init__(self, calldata: bytes, selector: bytes) -> None:
        if calldata[:4] != selector:
            raise BadCalldata(f"the call is of 0x{calldata[:4].hex()}, not of 0x{selector.hex()}")
        self._data = calldata

    def at(self, row: int) -> int:
        at = _HEAD + 32 * row
        if at + 32 > len(self._data):  # the contract wants its arguments' heads
            raise BadCalldata(f"no word at byte {at} of {len(self._data)}")
        return self._word(at)

    def array(self, row: int, width: int, most: int) -> list[tuple[int, ...]]:
        """Read the array whose offset stands in head word `row`, as rows of `width` words."""
        start = (_HEAD + self.at(row)) & _MASK
        length = self._word(start)
        if length > most:
            raise BadCalldata(f"an array of {length} rows at byte {start}: the contract takes {most}")
        end = start + 32 * (1 + length * width)
        if end <= len(self._data):  # nearly always
            words = [int.from_bytes(self._data[at : at + 32], "big") for at in range(start + 32, end, 32)]
        else:
            words = [self._word(at & _MASK) for at in range(start + 32, end, 32)]
        return list(zip(*(words[column::width] for column in range(width)), strict=True))

    def _word(self, at: int) -> int:
        return int.from_bytes(self._data[at : at + 32].ljust(32, b"\0"), "big")


def _signed(word: int) -> int:
    return word - (1 << 256) if word >> 255 else word


def _flag(word: int) -> bool:
    if word > 1:
        raise BadCalldata(f"{word} is neither true nor false")
    return bool(word)


def _fill(row: tuple[int, ...]) -> SignedFill:
    account, epoch, is_buy, lane, first, last, quantity, limit, filled, r, vs = row
    order = Order(account, epoch, _flag(is_buy), lane, first, last, quantity, _signed(limit))
    return SignedFill(order, filled, CompactSignature(r, vs))


def _reading(row: tuple[int, ...]) -> SignedReading:
    account, register, substitute, r, vs = row
    return SignedReading(account, _signed(register), _flag(substitute), CompactSignature(r, vs))
