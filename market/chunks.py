"""Chunks: what one settlement transaction holds, and how an interval's fills and readings are cut into them.

A chunk must balance: as much is sold as bought, and no more is received than paid. Sells and buys of a round
are therefore laid side by side along one axis of energy, both from the cheapest zone to the dearest, and cut
where an order of either side ends. At such a point at most one order is cut in two, and the contract lets the
next chunk go on with it (its carry word).

```
sells  |--- a ---|-- b --|------ c ------|
buys   |-- d --|------ e ------|--- f ---|
cuts           ^ ^       ^     ^           every border of an order is a possible cut
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
    """The order filled last and how much of it is: the next fill may go on with it."""

    tag: bytes = bytes(TAG_BYTES)
    filled_milli_wh: int = 0

    def word(self) -> int:
        """Return the contract's carry word: hash (208 bits), filled (48 bits)."""
        return int.from_bytes(self.tag, "big") << 48 | self.filled_milli_wh


NO_CARRY: Final = Carry()


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
        Fills a chunk may hold; 3 at least, so that any two orders and a rest can stand together.
    gas : GasModel
        Bounds fills and readings together.

    Raises
    ------
    SettlementError
        If a round's energy does not sum to zero, rounds do not grow, an account is read twice, or an order
        meets so many others that it would have to appear in more than two chunks.
    """
    most = min(max_fills, gas.max_fills())
    if most < 3:
        raise SettlementError(f"a chunk of {most} fills cannot balance: need 3 at least")
    numbers = [r.round for r in rounds]
    if any(b <= a for a, b in pairwise(numbers)):
        raise SettlementError(f"rounds {numbers}: need them in growing order")
    plans = [
        ChunkPlan(r.round, rows, quantity, np.zeros(0, np.int64))
        for r in rounds
        for rows, quantity in _cut(r, most, gas.max_fills())
    ]
    return _place_readings(plans, rounds, np.asarray(reading_accounts, np.int64), gas)


class _OrderTooWide(SettlementError):
    """An order meets so many others that it would have to appear in more than two chunks."""


@dataclass(frozen=True, slots=True)
class _Side:
    """Sells, or buys, of a round in the order they are settled: rows, where each begins and ends (mWh)."""

    rows: IntArray
    begins: IntArray
    ends: IntArray

    @classmethod
    def of(cls, fills: RoundFills, sign: int, *, largest_first: bool = False) -> "_Side":
        rows = np.flatnonzero(fills.sold_milli_wh * sign > 0)
        # an owner's orders stand side by side, where the second finds a warm account word
        within_zone = -np.abs(fills.sold_milli_wh[rows]) if largest_first else fills.account[rows]
        order = np.lexsort((rows, within_zone, fills.zone_price_micro_per_kwh[rows]))
        rows = rows[order]
        sizes = np.abs(fills.sold_milli_wh[rows])
        ends = np.cumsum(sizes)
        return cls(rows, ends - sizes, ends)

    def part(self, start: int, stop: int) -> tuple[IntArray, IntArray, bool, bool]:
        """Return rows and quantities between two points, and whether the first and the last are cut there."""
        a, b = np.searchsorted(self.ends, (start, stop), side="right")
        if b < self.ends.size and self.begins[b] < stop:
            b += 1
        quantity = np.minimum(self.ends[a:b], stop) - np.maximum(self.begins[a:b], start)
        return self.rows[a:b], quantity, bool(self.begins[a] < start), bool(self.ends[b - 1] > stop)

    def around(self, point: int) -> tuple[int, int] | None:
        """Return begin and end of the order that a cut at this point would split, if it splits one."""
        i = int(np.searchsorted(self.ends, point, side="right"))
        if i < self.ends.size and self.begins[i] < point:
            return int(self.begins[i]), int(self.ends[i])
        return None


def _cut(fills: RoundFills, most: int, most_ever: int) -> list[tuple[IntArray, IntArray]]:
    """Cut a round into parts of `most` fills: rows and quantities of each.

    Where an order would need a third part, all is laid out anew, large orders beside large ones, and cut into
    parts of `most_ever` fills.
    """
    excess = int(fills.sold_milli_wh.sum())
    if excess:
        raise SettlementError(f"round {fills.round} sells {excess} mWh more than it buys")
    try:
        return _cut_sides(_Side.of(fills, 1), _Side.of(fills, -1), most)
    except _OrderTooWide:
        sells = _Side.of(fills, 1, largest_first=True)
        buys = _Side.of(fills, -1, largest_first=True)
        return _cut_sides(sells, buys, most_ever)


def _cut_sides(sells: _Side, buys: _Side, most: int) -> list[tuple[IntArray, IntArray]]:
    """Cut at borders of orders."""
    borders = np.union1d(sells.ends, buys.ends)
    # pieces that end, and that have begun before, up to each border: their difference counts a chunk's fills
    ended = np.searchsorted(sells.ends, borders) + np.searchsorted(buys.ends, borders) + 2
    begun = np.searchsorted(sells.ends, borders, "right") + np.searchsorted(buys.ends, borders, "right")
    parts, start, before = [], 0, 0
    while borders.size and start < borders[-1]:
        cut = int(np.searchsorted(ended, before + most, side="right")) - 1
        stop = _spare_wide_orders(int(borders[cut]), start, most, (sells, buys), borders, ended, begun)
        parts.append(_laid_out(sells.part(start, stop), buys.part(start, stop)))
        start, before = stop, int(begun[np.searchsorted(borders, stop)])
    return parts


def _spare_wide_orders(
    stop: int,
    start: int,
    most: int,
    sides: tuple[_Side, _Side],
    borders: IntArray,
    ended: IntArray,
    begun: IntArray,
) -> int:
    """Return the last point up to `stop` at which the order split there can be finished in the next chunk.

    The carry word remembers one order, so an order can be last in one chunk and first in the next, no more.
    """
    while True:
        split = next((found for side in sides if (found := side.around(stop))), None)
        if split is None:
            return stop
        begin, end = split
        left = int(ended[np.searchsorted(borders, end)] - begun[np.searchsorted(borders, stop)])
        if left <= most:
            return stop
        if begin <= start:
            raise _OrderTooWide(
                f"an order of {end - begin} mWh meets more than {2 * (most - 1)} others: "
                "it cannot be settled in two chunks, so its agent must offer it on several lanes"
            )
        stop = begin


def _laid_out(
    sells: tuple[IntArray, IntArray, bool, bool], buys: tuple[IntArray, IntArray, bool, bool]
) -> tuple[IntArray, IntArray]:
    """Put the order that the chunk before began first, and the one that the next goes on with last."""
    buys_first = buys[2] or (sells[3] and not sells[2])
    (rows, quantity, _, is_cut), (others, their_quantity, _, _) = (
        (buys, sells) if buys_first else (sells, buys)
    )
    keep = rows.size - 1 if is_cut else rows.size
    return (
        np.concatenate([rows[:keep], others, rows[keep:]]),
        np.concatenate([quantity[:keep], their_quantity, quantity[keep:]]),
    )


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
