"""Chunks: what one settlement transaction holds, and how an interval's fills and readings are cut into them.

A chunk must balance: as much is sold as bought, and no more is received than paid. Sells and buys of a round
are therefore laid side by side along one axis of energy, both from the cheapest zone to the dearest, and cut
across both wherever a chunk is full. The contract lets the next chunk go on with the sell and with the buy
that were cut (a carry word each), so an order may meet any number of others, in any number of chunks.

```
sells  |--- a ---|-- b --|------ c ------|
buys   |-- d --|------ e ------|--- f ---|
cuts             ^             ^            chunks of three fills: a d e, b c e, c f
```
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market.errors import SettlementError
from market.orders import Order

IntArray = NDArray[np.int64]

MAX_ENTRIES: Final = 128
"""Fills, and readings, that fit one chunk (contracts/Settlement.vy)."""
TAG_BYTES: Final = 26
"""A carried order is known by the first 208 bits of its hash: the carry word has room for no more."""


class Tariff(NamedTuple):
    """The supplier's prices of a zone and interval: `short` is paid for what is missing, `long` received."""

    short_micro_per_kwh: int
    long_micro_per_kwh: int


@dataclass(frozen=True, slots=True)
class Fill:
    """What a round gives an order, or a part of it; the order's hash is its EIP-712 digest."""

    order: Order
    order_hash: bytes
    quantity_milli_wh: int


@dataclass(frozen=True, slots=True)
class Reading:
    """An account's cumulative net register at the end of the chunk's interval."""

    account: int
    register_milli_wh: int
    is_substitute: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """One settlement transaction: fills of one round of one interval, and readings of that interval."""

    sequence: int
    interval: int
    round: int
    prices_micro_per_kwh: tuple[int, ...]
    fills: Sequence[Fill]
    tariffs: tuple[Tariff, ...] = ()
    readings: Sequence[Reading] = ()


class Carry(NamedTuple):
    """The sell, or buy, filled last and how much of it is: its side's next fill may go on with it."""

    tag: bytes = bytes(TAG_BYTES)
    filled_milli_wh: int = 0

    def word(self) -> int:
        """Return the contract's carry word: hash (208 bits), filled (48 bits)."""
        return int.from_bytes(self.tag, "big") << 48 | self.filled_milli_wh


NO_CARRY: Final = Carry()

Carries = tuple[Carry, Carry]
"""The carries of sells and of buys: `carries[order.is_buy]`."""

NO_CARRIES: Final[Carries] = (NO_CARRY, NO_CARRY)
"""What a round begins with."""


@dataclass(frozen=True, slots=True)
class ChunkEffect:
    """What a chunk did: the figures of its event, and a carry word and energy sold per fill (for `done`)."""

    volume_milli_wh: int
    fee_pico: int
    rent_pico: int
    fills_done: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class RoundFills:
    """What a round gave the orders of one interval, as arrays `(n_fills,)`.

    `sold_milli_wh` is negative for a buyer and sums to zero; `zone_price_micro_per_kwh` is the round's price
    in the account's zone, before the fee.
    """

    round: int
    account: IntArray
    sold_milli_wh: IntArray
    zone_price_micro_per_kwh: IntArray


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """One chunk to be: rows of its round's fills with their quantities, and the accounts to read."""

    round: int
    rows: IntArray
    quantity_milli_wh: IntArray
    reading_accounts: IntArray


@dataclass(frozen=True, slots=True)
class GasModel:
    """Upper estimate of a chunk's gas.

    The steady-state costs measured by `scripts/bench gas` are below 18,000 a fill and 18,500 a reading; the
    allowance on top covers parked positions and first debts. `limit` keeps clear of EIP-7825's 16.7 M.
    """

    base: int = 150_000
    fill: int = 22_000
    reading: int = 24_000
    limit: int = 10_000_000

    def of(self, n_fills: int, n_readings: int) -> int:
        """Return the estimate for a chunk."""
        return self.base + self.fill * n_fills + self.reading * n_readings

    def room_for_readings(self, n_fills: int) -> int:
        """Return how many readings a chunk with so many fills can take."""
        return min(MAX_ENTRIES, (self.limit - self.of(n_fills, 0)) // self.reading)

    def max_fills(self) -> int:
        """Return how many fills a chunk without readings can take."""
        return min(MAX_ENTRIES, (self.limit - self.base) // self.fill)


DEFAULT_GAS: Final = GasModel()


def plan_chunks(
    rounds: Sequence[RoundFills],
    reading_accounts: IntArray,
    max_fills: int = 100,
    gas: GasModel = DEFAULT_GAS,
) -> list[ChunkPlan]:
    """Cut all rounds of an interval, and its readings, into chunks in the order they must be settled.

    Parameters
    ----------
    rounds : Sequence[RoundFills]
        In order of round number; at least one where there is anything to read.
    reading_accounts : IntArray
        Accounts whose meter was read, `(n_readings,)`, each once. A reading stands with the account's last
        fill, where its storage word is warm, or later if that chunk is full; other accounts' readings use
        the room that is left, and chunks of their own after that.
    max_fills : int
        Fills a chunk may hold; 2 at least, a sell and a buy.
    gas : GasModel
        Bounds fills and readings together.

    Raises
    ------
    SettlementError
        If a round's energy does not sum to zero, rounds do not grow, or an account is read twice.
    """
    most = min(max_fills, gas.max_fills())
    if most < 2:
        raise SettlementError(f"a chunk of {most} fills cannot balance: need 2 at least")
    numbers = [r.round for r in rounds]
    if any(b <= a for a, b in pairwise(numbers)):
        raise SettlementError(f"rounds {numbers}: need them in growing order")
    plans = [
        ChunkPlan(r.round, rows, quantity, np.zeros(0, np.int64))
        for r in rounds
        for rows, quantity in _cut(r, most)
    ]
    return _place_readings(plans, rounds, np.asarray(reading_accounts, np.int64), gas)


@dataclass(frozen=True, slots=True)
class _Side:
    """Sells, or buys, of a round in the order they are settled: rows, and where each begins and ends (mWh)."""

    rows: IntArray
    begins: IntArray
    ends: IntArray

    @classmethod
    def of(cls, fills: RoundFills, sign: int) -> "_Side":
        rows = np.flatnonzero(fills.sold_milli_wh * sign > 0)
        # an owner's orders stand side by side, where the second finds a warm account word
        rows = rows[np.lexsort((rows, fills.account[rows], fills.zone_price_micro_per_kwh[rows]))]
        sizes = np.abs(fills.sold_milli_wh[rows])
        ends = np.cumsum(sizes)
        return cls(rows, ends - sizes, ends)

    def between(self, start: int, stop: int) -> tuple[IntArray, IntArray]:
        """Return rows and quantities of what lies between two points."""
        first = np.searchsorted(self.ends, start, side="right")
        after = np.searchsorted(self.begins, stop)
        quantity = np.minimum(self.ends[first:after], stop) - np.maximum(self.begins[first:after], start)
        return self.rows[first:after], quantity


def _cut(fills: RoundFills, most: int) -> list[tuple[IntArray, IntArray]]:
    """Cut a round into parts of up to `most` fills, sells before buys: rows and quantities of each."""
    excess = int(fills.sold_milli_wh.sum())
    if excess:
        raise SettlementError(f"round {fills.round} sells {excess} mWh more than it buys")
    sells, buys = _Side.of(fills, 1), _Side.of(fills, -1)
    borders = np.union1d(sells.ends, buys.ends)
    # orders that have begun before each border, and that have ended there: from one border to another lie as
    # many pieces as have begun before the second and had not ended at the first
    begun = np.searchsorted(sells.begins, borders) + np.searchsorted(buys.begins, borders)
    ended = np.searchsorted(sells.ends, borders, "right") + np.searchsorted(buys.ends, borders, "right")
    parts, start, before = [], 0, 0
    while borders.size and start < borders[-1]:
        cut = int(np.searchsorted(begun, before + most, side="right")) - 1
        stop = int(borders[cut])
        (rows, quantity), (others, their_quantity) = sells.between(start, stop), buys.between(start, stop)
        parts.append((np.concatenate([rows, others]), np.concatenate([quantity, their_quantity])))
        start, before = stop, int(ended[cut])
    return parts


def _place_readings(
    plans: list[ChunkPlan], rounds: Sequence[RoundFills], accounts: IntArray, gas: GasModel
) -> list[ChunkPlan]:
    """Put each reading into the chunk of its account's last fill, or where there is room after that."""
    accounts = np.sort(accounts)
    if accounts.size and not rounds:
        raise SettlementError("readings need a round, even an empty one, to stand in")
    if (twice := accounts[1:][accounts[1:] == accounts[:-1]]).size:
        raise SettlementError(f"account {int(twice[0])} is read twice")
    by_round = {r.round: r.account for r in rounds}
    filled_in = [by_round[plan.round][plan.rows] for plan in plans]
    # of repeated indices the last assignment stays, which is the last chunk
    where = np.full(accounts.size, -1)
    for i, filled in enumerate(filled_in):
        at = np.searchsorted(accounts, filled)
        known = at < accounts.size
        known[known] = accounts[at[known]] == filled[known]
        where[at[known]] = i

    anywhere = accounts[where == -1].tolist()[::-1]
    waiting: list[int] = []
    placed = []
    for i, plan in enumerate(plans):
        waiting += accounts[where == i].tolist()
        room = gas.room_for_readings(plan.rows.size)
        here, waiting = waiting[:room], waiting[room:]
        # who has no fill uses the room that those who have will not need
        placed.append((plan, here, room - len(here)))
    done = []
    for plan, here, spare in placed:
        here += [anywhere.pop() for _ in range(min(spare, len(anywhere)))]
        done.append(ChunkPlan(plan.round, plan.rows, plan.quantity_milli_wh, np.array(here, np.int64)))
    rest = waiting + anywhere[::-1]
    room = gas.room_for_readings(0)
    nothing = np.zeros(0, np.int64)
    done += [
        ChunkPlan(rounds[-1].round, nothing, nothing, np.array(rest[i : i + room], np.int64))
        for i in range(0, len(rest), room)
    ]
    return done
