"""Settlement: what a chunk of fills and readings does to accounts, as contracts/Settlement.vy does it.

The hub asks here whether the contract would take a chunk, the projection of the chain applies mined chunks
here, and an auditor recomputes balances here. Signatures are checked elsewhere (node/chain/typed_data).

Notes
-----
Money is energy times price without division: 1 mWh at 1 micro-credit per kWh is 1 pico-credit. A seller
receives `price - fee` and a buyer pays `price + fee`, so a chunk in which as much is sold as bought leaves
twice the fee per traded unit (FEES) and, where zones have different prices, the network's rent (GRID).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from market.chunks import (
    MAX_ENTRIES,
    NO_CARRIES,
    TAG_BYTES,
    Carries,
    Carry,
    Chunk,
    ChunkEffect,
    Fill,
    Reading,
    Tariff,
)
from market.errors import ChunkRefused
from market.ledger import FEES, GRID, AccountState, credit, exchange, recall
from market.metering import MAX_REGISTER_MILLI_WH
from market.orders import MAX_INTERVAL, MAX_LANES, Order
from market.units import MAX_BALANCE_PICO, MAX_PRICE_MICRO_PER_KWH

MAX_ROUNDS: Final = 4
MAX_UNREAD: Final = 480
"""Intervals an account may trade ahead of its readings."""
MAX_ZONES: Final = 32
_MAX_CARRIED_MILLI_WH: Final = 2**48 - 1


@dataclass(frozen=True, slots=True)
class Terms:
    """What the contract was deployed with."""

    fee_micro_per_kwh: int = 0
    price_cap_micro_per_kwh: int = MAX_PRICE_MICRO_PER_KWH
    length_s: int = 900
    notice: int = 160
    fill_window_s: int = 6 * 3600
    exit_delay_s: int = 4 * 86_400
    role_delay_s: int = 8 * 86_400

    def end_s(self, interval: int) -> int:
        """Return the first second after an interval.

        Raises
        ------
        ChunkRefused
            `ledger: interval`, if it would not fit its 24 bits.
        """
        if interval > MAX_INTERVAL:
            raise ChunkRefused("ledger: interval", f"{interval}: up to {MAX_INTERVAL}")
        return (interval + 1) * self.length_s


@dataclass(slots=True)
class Ledger:
    """The state of one Settlement contract, as far as money depends on it."""

    terms: Terms = field(default_factory=Terms)
    accounts: dict[int, AccountState] = field(
        default_factory=lambda: {GRID: AccountState(), FEES: AccountState()}
    )
    next_sequence: int = 0
    interval: int = 0
    round: int = 0
    prices_micro_per_kwh: tuple[int, ...] | None = None
    carries: Carries = NO_CARRIES
    tariffs: dict[int, tuple[Tariff, ...]] = field(default_factory=dict)

    def held_pico(self) -> int:
        """Return all the money the contract holds."""
        return sum(state.held_pico() for state in self.accounts.values())


def enter_round(ledger: Ledger, interval: int, round_: int, prices_micro_per_kwh: tuple[int, ...]) -> None:
    """Go on with a round, or enter the next: rounds only go forward, all chunks of one have the same prices.

    Raises
    ------
    ChunkRefused
        `settlement: round` or `settlement: price`.
    """
    if not 0 <= round_ < MAX_ROUNDS:
        raise ChunkRefused("settlement: round", f"round {round_}: need 0..{MAX_ROUNDS - 1}")
    here, there = (ledger.interval, ledger.round), (interval, round_)
    if there == here and prices_micro_per_kwh == ledger.prices_micro_per_kwh:
        return
    if there <= here:
        raise ChunkRefused("settlement: round", f"{there} after {here}, or with other prices")
    cap = ledger.terms.price_cap_micro_per_kwh
    for price in prices_micro_per_kwh:
        if abs(price) > cap:
            raise ChunkRefused("settlement: price", f"{price} micro-credit per kWh: cap {cap}")
    ledger.interval, ledger.round = there
    ledger.prices_micro_per_kwh = prices_micro_per_kwh
    ledger.carries = NO_CARRIES


def apply_fill(
    state: AccountState,
    fill: Fill,
    interval: int,
    price_micro_per_kwh: int,
    fee_micro_per_kwh: int,
    carry: Carry,
) -> tuple[int, int, Carry]:
    """Fill an order at its zone's price, in place; `carry` tells what its side filled last.

    Returns
    -------
    tuple[int, int, Carry]
        Energy sold in mWh and money received in pico-credit (both negative for a buyer), and its side's new
        carry.

    Raises
    ------
    ChunkRefused
        With the contract's reason: epoch, validity, in debt, read, unread, lane, quantity, limit, capacity,
        funds, balance.
    """
    order = fill.order
    if order.epoch != (state.epoch if interval >= state.epoch_since else state.epoch - 1):
        raise _refused("epoch", order, f"order has {order.epoch}, the account {state.epoch}")
    if not order.first <= interval <= order.last:
        raise _refused("validity", order, f"interval {interval} is not in {order.first}..{order.last}")
    if state.owed_pico > 0:
        raise _refused("in debt", order, f"owes {state.owed_pico} pico-credit")
    if interval <= state.read:
        raise _refused("read", order, f"interval {interval}, read up to {state.read}")
    if interval - state.read > MAX_UNREAD:
        raise _refused("unread", order, f"interval {interval}, read up to {state.read}")
    if state.filled != interval:
        if state.position_milli_wh != 0:
            state.parked_milli_wh[state.filled] = state.position_milli_wh
        state.filled = interval
        state.position_milli_wh = 0
        state.lanes = 0

    quantity = filled = fill.quantity_milli_wh
    if quantity <= 0:
        raise _refused("quantity", order, f"{quantity} mWh")
    tag = fill.order_hash[:TAG_BYTES]
    if tag == carry.tag:
        filled += carry.filled_milli_wh
    else:
        if order.lane >= MAX_LANES or state.lanes >> order.lane & 1:
            raise _refused("lane", order, f"lane {order.lane} is used in interval {interval}")
        state.lanes |= 1 << order.lane
    if filled > order.quantity_milli_wh or filled > _MAX_CARRIED_MILLI_WH:
        raise _refused("quantity", order, f"{filled} mWh filled, {order.quantity_milli_wh} ordered")

    if order.is_buy:
        sold = -quantity
        all_in = price_micro_per_kwh + fee_micro_per_kwh
        if all_in > order.limit_micro_per_kwh:
            raise _refused("limit", order, f"pays {all_in}, at most {order.limit_micro_per_kwh}")
    else:
        sold = quantity
        all_in = price_micro_per_kwh - fee_micro_per_kwh
        if all_in < order.limit_micro_per_kwh:
            raise _refused("limit", order, f"receives {all_in}, at least {order.limit_micro_per_kwh}")
    state.position_milli_wh += sold
    if abs(state.position_milli_wh) > state.capacity_milli_wh:
        raise _refused(
            "capacity", order, f"position {state.position_milli_wh} of {state.capacity_milli_wh} mWh"
        )
    received_pico = sold * all_in
    balance_pico = state.balance_pico + received_pico
    if balance_pico < 0:
        balance_pico += recall(state, -balance_pico, interval)
    if balance_pico < 0:
        raise _refused("funds", order, f"{-balance_pico} pico-credit are missing")
    if balance_pico > MAX_BALANCE_PICO:
        raise _refused("balance", order, f"{balance_pico} pico-credit would not fit 79 bits")
    state.balance_pico = balance_pico
    return sold, received_pico, Carry(tag, filled)


def apply_reading(
    state: AccountState,
    grid: AccountState,
    reading: Reading,
    interval: int,
    tariff: Tariff,
    *,
    substitutes_count: bool = True,
) -> int:
    """Read an account's meter and exchange its imbalance with GRID, in place; return the imbalance in mWh.

    The imbalance returned is net of a shortfall that was forgiven: negative means bought at `short`.
    `substitutes_count` tells whether two fill windows have passed, before which no substitute counts.

    Raises
    ------
    ChunkRefused
        With the contract's reason: order of readings, substitute, signature (no meter), register, balance.
    """
    register = reading.register_milli_wh
    if interval != state.read + 1:
        raise _unread("order of readings", reading, f"interval {interval} after {state.read}")
    if state.next_meter_first and interval >= state.next_meter_first:
        state.register_milli_wh += state.next_meter_offset_milli_wh
        state.next_meter_first = state.next_meter_offset_milli_wh = 0
    if reading.is_substitute and not substitutes_count:
        raise _unread("substitute", reading, "two fill windows after the interval at the earliest")
    if not state.is_metered:
        raise ChunkRefused("registry: signature", f"account {reading.account} has no meter", reading.account)
    imbalance = register - state.register_milli_wh
    if abs(imbalance) > state.capacity_milli_wh or abs(register) > MAX_REGISTER_MILLI_WH:
        raise _unread("register", reading, f"moved by {imbalance} of {state.capacity_milli_wh} mWh")
    if interval < state.filled:
        imbalance -= state.parked_milli_wh.pop(interval, 0)
    else:
        imbalance -= state.position_milli_wh
        state.position_milli_wh = 0
    state.register_milli_wh = register
    state.read = interval
    if imbalance < 0 and tariff.short_micro_per_kwh > 0 and interval <= state.curtailed_newest:
        imbalance = min(imbalance + state.curtailed_milli_wh.get(interval, 0), 0)
    price = tariff.short_micro_per_kwh if imbalance < 0 else tariff.long_micro_per_kwh
    exchange(state, grid, imbalance * price, interval)
    return imbalance


def settle(ledger: Ledger, chunk: Chunk, now_s: int) -> ChunkEffect:
    """Apply a chunk, wholly or not at all.

    Parameters
    ----------
    ledger : Ledger
        Changed in place; if the chunk is refused, not at all.
    chunk : Chunk
        What to apply.
    now_s : int
        The block's time, unix seconds.

    Raises
    ------
    ChunkRefused
        With the contract's reason.
    """
    terms = ledger.terms
    if chunk.sequence != ledger.next_sequence:
        raise ChunkRefused("settlement: sequence", f"{chunk.sequence}: expected {ledger.next_sequence}")
    end_s = terms.end_s(chunk.interval)
    if now_s < end_s:
        raise ChunkRefused("settlement: early", f"at {now_s}, the interval ends at {end_s}")
    if now_s >= end_s + terms.fill_window_s:
        raise ChunkRefused("settlement: late", f"at {now_s}, the interval ended at {end_s}")
    if len(chunk.fills) > MAX_ENTRIES or len(chunk.readings) > MAX_ENTRIES:
        raise ChunkRefused("abi", f"more than {MAX_ENTRIES} fills or readings do not fit a chunk")
    work = _Draft(ledger)
    enter_round(work.ledger, chunk.interval, chunk.round, chunk.prices_micro_per_kwh)

    carries = list(work.ledger.carries)
    fee, prices = terms.fee_micro_per_kwh, chunk.prices_micro_per_kwh
    energy = volume = income_pico = 0
    fills_done = []
    for fill in chunk.fills:
        state = work.account(fill.order.account)
        if state.zone >= len(prices):
            raise _refused("zone", fill.order, f"zone {state.zone} has no price")
        side = fill.order.is_buy
        sold, received_pico, carry = apply_fill(
            state, fill, chunk.interval, prices[state.zone], fee, carries[side]
        )
        carries[side] = carry
        fills_done.append((carry.word(), sold))
        energy += sold
        volume += abs(sold)
        income_pico += received_pico
    work.ledger.carries = carries[0], carries[1]
    fee_pico = volume * fee
    rent_pico = -income_pico - fee_pico
    if energy != 0:
        raise ChunkRefused("settlement: energy", f"{energy} mWh more sold than bought")
    if rent_pico < 0:
        raise ChunkRefused("settlement: rent", f"{-rent_pico} pico-credit more received than paid")
    credit(work.account(FEES), fee_pico)
    credit(work.account(GRID), rent_pico)

    work.read(chunk.interval, chunk.tariffs, chunk.readings, now_s)
    work.ledger.next_sequence = chunk.sequence + 1
    work.keep()
    return ChunkEffect(volume, fee_pico, rent_pico, tuple(fills_done))


def read(
    ledger: Ledger, interval: int, tariffs: tuple[Tariff, ...], readings: Sequence[Reading], now_s: int
) -> None:
    """Apply readings outside a chunk, as anyone may once the interval cannot be filled any more.

    Raises
    ------
    ChunkRefused
        With the contract's reason; then nothing is changed.
    """
    closes_s = ledger.terms.end_s(interval) + ledger.terms.fill_window_s
    if not (interval < ledger.interval or now_s >= closes_s):
        raise ChunkRefused("settlement: fills first", f"interval {interval} may be filled until {closes_s}")
    if tariffs != ledger.tariffs.get(interval):
        raise ChunkRefused("settlement: tariffs", f"not those published for interval {interval}")
    work = _Draft(ledger)
    work.read(interval, tariffs, readings, now_s)
    work.keep()


def publish_tariffs(ledger: Ledger, interval: int, tariffs: tuple[Tariff, ...]) -> None:
    """Publish an interval's tariffs, once.

    Raises
    ------
    ChunkRefused
        `settlement: published` or `settlement: tariff`.
    """
    if interval in ledger.tariffs:
        raise ChunkRefused("settlement: published", f"interval {interval} has its tariffs")
    cap = ledger.terms.price_cap_micro_per_kwh
    for zone, tariff in enumerate(tariffs):
        if not -cap <= tariff.long_micro_per_kwh <= tariff.short_micro_per_kwh <= cap:
            raise ChunkRefused(
                "settlement: tariff", f"zone {zone}: {tariff}, need -cap <= long <= short <= cap"
            )
    ledger.tariffs[interval] = tariffs


class _Draft:
    """Copies of what a call touches, so that a refusal leaves the ledger as it was."""

    __slots__ = ("_base", "_touched", "ledger")

    def __init__(self, base: Ledger) -> None:
        self._base = base
        self._touched: dict[int, AccountState] = {}
        self.ledger = Ledger(
            base.terms,
            {},
            base.next_sequence,
            base.interval,
            base.round,
            base.prices_micro_per_kwh,
            base.carries,
            base.tariffs,
        )

    def account(self, number: int) -> AccountState:
        state = self._touched.get(number)
        if state is None:
            known = self._base.accounts.get(number)
            state = self._touched[number] = AccountState() if known is None else known.draft()
        return state

    def read(
        self, interval: int, tariffs: tuple[Tariff, ...], readings: Sequence[Reading], now_s: int
    ) -> None:
        if readings and tariffs != self.ledger.tariffs.get(interval):
            raise ChunkRefused("settlement: tariffs", f"not those published for interval {interval}")
        terms = self.ledger.terms
        late = now_s >= terms.end_s(interval) + 2 * terms.fill_window_s
        grid = self.account(GRID)
        for reading in readings:
            state = self.account(reading.account)
            if state.zone >= len(tariffs):
                raise _unread("zone", reading, f"zone {state.zone} has no tariff")
            apply_reading(state, grid, reading, interval, tariffs[state.zone], substitutes_count=late)

    def keep(self) -> None:
        base, done = self._base, self.ledger
        base.accounts.update(self._touched)
        base.next_sequence, base.interval, base.round = done.next_sequence, done.interval, done.round
        base.prices_micro_per_kwh, base.carries = done.prices_micro_per_kwh, done.carries


def _refused(reason: str, order: Order, detail: str) -> ChunkRefused:
    return ChunkRefused(f"settlement: {reason}", f"account {order.account}: {detail}", order.account)


def _unread(reason: str, reading: Reading, detail: str) -> ChunkRefused:
    return ChunkRefused(f"settlement: {reason}", f"account {reading.account}: {detail}", reading.account)
