"""Packed storage words of the Settlement contract and what they say.

The layouts are those beside the contracts' storage (contracts/ledger.vy, registry.vy, Settlement.vy):

| word | fields from the top, bits |
|---|---|
| account | register 56 (signed), position 40 (signed), read 24, filled 24, lanes 32, in debt 1, balance 79 |
| key | agent 160, epoch 24, since 24, zone 8, capacity 40 |
| meter | unused 48, next meter's first interval or NEVER 24, newest curtailed interval 24, meter 160 |
| round | interval 24, round 8, hash of the prices 224 |
| carry, of sells and of buys | order hash 208, filled 48 |

Each class packs itself into an integer and reads itself from one; a field that does not fit is refused.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

from node.chain.ports import Address

REGISTER_BITS: Final = 56
POSITION_BITS: Final = 40
INTERVAL_BITS: Final = 24
EPOCH_BITS: Final = 24
LANE_BITS: Final = 32
BALANCE_BITS: Final = 79
ADDRESS_BITS: Final = 160
ZONE_BITS: Final = 8
CAPACITY_BITS: Final = 40
ROUND_BITS: Final = 8
PRICES_BITS: Final = 224
HASH_BITS: Final = 208
CARRIED_BITS: Final = 48
NEVER: Final = 2**INTERVAL_BITS - 1  # an interval that does not come


class WordError(ValueError):
    """A field that does not fit its place in a storage word."""


class _Packer:
    """Pushes fields into an integer, top first."""

    def __init__(self) -> None:
        self.word = 0

    def unsigned(self, name: str, value: int, bits: int) -> Self:
        if not 0 <= value < 1 << bits:
            raise WordError(f"{name} is {value}: need 0..2**{bits} - 1")
        self.word = self.word << bits | value
        return self

    def signed(self, name: str, value: int, bits: int) -> Self:
        bound = 1 << (bits - 1)
        if not -bound <= value < bound:
            raise WordError(f"{name} is {value}: need -2**{bits - 1}..2**{bits - 1} - 1")
        self.word = self.word << bits | value & ((1 << bits) - 1)
        return self


class _Unpacker:
    """Takes fields from an integer, bottom first."""

    def __init__(self, word: int) -> None:
        if not 0 <= word < 1 << 256:
            raise WordError(f"{word} is no word of 256 bits")
        self.word = word

    def unsigned(self, bits: int) -> int:
        value = self.word & ((1 << bits) - 1)
        self.word >>= bits
        return value

    def address(self) -> Address:
        return self.unsigned(ADDRESS_BITS).to_bytes(20, "big")

    def signed(self, bits: int) -> int:
        value = self.unsigned(bits)
        return value - (1 << bits) if value >> (bits - 1) else value


@dataclass(frozen=True, slots=True)
class AccountWord:
    """An account of the ledger.

    `position_milli_wh` is sold minus bought in interval `filled` until that is read; `lanes` is a bit set of
    the lanes filled in it; `register_milli_wh` is the meter's at the end of interval `read`.
    """

    balance_pico: int = 0
    is_in_debt: bool = False
    lanes: int = 0
    filled: int = 0
    read: int = 0
    position_milli_wh: int = 0
    register_milli_wh: int = 0

    def pack(self) -> int:
        """Return the storage word.

        Raises
        ------
        WordError
            If a field does not fit.
        """
        return (
            _Packer()
            .signed("register_milli_wh", self.register_milli_wh, REGISTER_BITS)
            .signed("position_milli_wh", self.position_milli_wh, POSITION_BITS)
            .unsigned("read", self.read, INTERVAL_BITS)
            .unsigned("filled", self.filled, INTERVAL_BITS)
            .unsigned("lanes", self.lanes, LANE_BITS)
            .unsigned("is_in_debt", int(self.is_in_debt), 1)
            .unsigned("balance_pico", self.balance_pico, BALANCE_BITS)
            .word
        )

    @classmethod
    def unpack(cls, word: int) -> Self:
        """Read a storage word."""
        bits = _Unpacker(word)
        return cls(
            balance_pico=bits.unsigned(BALANCE_BITS),
            is_in_debt=bool(bits.unsigned(1)),
            lanes=bits.unsigned(LANE_BITS),
            filled=bits.unsigned(INTERVAL_BITS),
            read=bits.unsigned(INTERVAL_BITS),
            position_milli_wh=bits.signed(POSITION_BITS),
            register_milli_wh=bits.signed(REGISTER_BITS),
        )


@dataclass(frozen=True, slots=True)
class KeyWord:
    """Who signs an account's orders from interval `since` on, and what its connection is.

    Before `since` the previous key word's agent and epoch count.
    """

    agent: Address
    epoch: int
    since: int = 0
    zone: int = 0
    capacity_milli_wh: int = 0

    def pack(self) -> int:
        """Return the storage word.

        Raises
        ------
        WordError
            If a field does not fit.
        """
        return (
            _Packer()
            .unsigned("agent", int.from_bytes(self.agent, "big"), ADDRESS_BITS)
            .unsigned("epoch", self.epoch, EPOCH_BITS)
            .unsigned("since", self.since, INTERVAL_BITS)
            .unsigned("zone", self.zone, ZONE_BITS)
            .unsigned("capacity_milli_wh", self.capacity_milli_wh, CAPACITY_BITS)
            .word
        )

    @classmethod
    def unpack(cls, word: int) -> Self:
        """Read a storage word."""
        bits = _Unpacker(word)
        capacity = bits.unsigned(CAPACITY_BITS)
        zone = bits.unsigned(ZONE_BITS)
        since = bits.unsigned(INTERVAL_BITS)
        epoch = bits.unsigned(EPOCH_BITS)
        return cls(bits.address(), epoch, since, zone, capacity)


@dataclass(frozen=True, slots=True)
class MeterWord:
    """Who signs an account's readings; `next_first` is `NEVER` where no replacement waits."""

    meter: Address
    curtailed: int = 0
    next_first: int = NEVER

    def pack(self) -> int:
        """Return the storage word.

        Raises
        ------
        WordError
            If a field does not fit.
        """
        return (
            _Packer()
            .unsigned("next_first", self.next_first, INTERVAL_BITS)
            .unsigned("curtailed", self.curtailed, INTERVAL_BITS)
            .unsigned("meter", int.from_bytes(self.meter, "big"), ADDRESS_BITS)
            .word
        )

    @classmethod
    def unpack(cls, word: int) -> Self:
        """Read a storage word.

        Raises
        ------
        WordError
            If the unused bits at the top are not zero.
        """
        bits = _Unpacker(word)
        meter = bits.address()
        found = cls(meter, bits.unsigned(INTERVAL_BITS), bits.unsigned(INTERVAL_BITS))
        if bits.word:
            raise WordError(f"{word:#x} has bits above a meter word")
        return found


@dataclass(frozen=True, slots=True)
class RoundWord:
    """The newest auction that has begun to settle; `prices` is the top of the hash of its prices."""

    interval: int
    round: int
    prices: int

    @classmethod
    def of(cls, interval: int, round_: int, prices_hash: bytes) -> Self:
        """Build it from the whole hash of the prices (node.chain.typed_data.prices_hash)."""
        return cls(interval, round_, int.from_bytes(prices_hash, "big") >> (256 - PRICES_BITS))

    def pack(self) -> int:
        """Return the storage word.

        Raises
        ------
        WordError
            If a field does not fit.
        """
        return (
            _Packer()
            .unsigned("interval", self.interval, INTERVAL_BITS)
            .unsigned("round", self.round, ROUND_BITS)
            .unsigned("prices", self.prices, PRICES_BITS)
            .word
        )

    @classmethod
    def unpack(cls, word: int) -> Self:
        """Read a storage word."""
        bits = _Unpacker(word)
        prices = bits.unsigned(PRICES_BITS)
        round_ = bits.unsigned(ROUND_BITS)
        return cls(bits.unsigned(INTERVAL_BITS), round_, prices)


@dataclass(frozen=True, slots=True)
class CarryWord:
    """The sell, or buy, that was filled last in a round, and how much of it: a chunk may go on with it."""

    tag: int = 0
    filled_milli_wh: int = 0

    @classmethod
    def of(cls, order_hash: bytes, filled_milli_wh: int) -> Self:
        """Build it from an order's hash."""
        return cls(int.from_bytes(order_hash, "big") >> (256 - HASH_BITS), filled_milli_wh)

    def after(self, order_hash: bytes, quantity_milli_wh: int) -> Self:
        """Return the word after a fill of its side: it goes on with the same order, or begins another."""
        filled = self.of(order_hash, quantity_milli_wh)
        if filled.tag != self.tag:
            return filled
        return replace(filled, filled_milli_wh=self.filled_milli_wh + quantity_milli_wh)

    def pack(self) -> int:
        """Return the storage word.

        Raises
        ------
        WordError
            If a field does not fit.
        """
        return (
            _Packer()
            .unsigned("tag", self.tag, HASH_BITS)
            .unsigned("filled_milli_wh", self.filled_milli_wh, CARRIED_BITS)
            .word
        )

    @classmethod
    def unpack(cls, word: int) -> Self:
        """Read a storage word."""
        bits = _Unpacker(word)
        filled = bits.unsigned(CARRIED_BITS)
        return cls(bits.unsigned(HASH_BITS), filled)


Carries = tuple[CarryWord, CarryWord]
"""The carry words of sells and of buys: `carries[order.is_buy]`."""

NO_CARRIES: Final[Carries] = (CarryWord(), CarryWord())
"""What a round begins with."""
