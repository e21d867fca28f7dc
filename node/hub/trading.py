"""The door: orders are checked one by one, answered with a signed receipt or a reason, and enter the book.

A batch is one transaction: what got a receipt is durable before the receipt leaves. Handing in the same
signed order again is harmless and gets the first receipt again, so an agent may retry whenever it is unsure;
unless a newer order has taken its place meanwhile: then it is refused, for it is in force no more.
"""

import hashlib
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from market.book import Book
from market.errors import OrderRefused, RefusalReason
from market.intervals import IntervalGrid
from market.orders import NO_WISH, Order
from market.rounds import RoundSchedule
from node.bus.messages import OrderBatch, Receipt, Receipts, Refusal, SignedOrder
from node.chain import typed_data
from node.chain.keys import LocalSigner
from node.chain.typed_data import CompactSignature, Domain
from node.clock import Clock
from node.hub.known_orders import known_answers, other_wish, superseded
from node.hub.margin_desk import MarginDesk
from node.hub.registry import Registry
from node.hub.wishes import WishDesk
from node.store.bulk import insert_columns
from node.store.tables_market import order_refusals, orders, rounds
from node.store.unit_of_work import Store


@dataclass(frozen=True, slots=True)
class DoorPolicy:
    """What the market accepts, beyond what fits into an order.

    `horizon_intervals` is how far ahead of the current interval an order may reach (the contract's notice);
    `is_signed` is False only in studies without signatures.
    """

    price_cap_micro_per_kwh: int
    horizon_intervals: int
    is_signed: bool = True


class Trading:
    """The hub's service for orders."""

    def __init__(
        self,
        store: Store,
        domain: Domain,
        operator: LocalSigner,
        registry: Registry,
        schedule: RoundSchedule,
        grid: IntervalGrid,
        clock: Clock,
        policy: DoorPolicy,
        book: Book,
        desk: MarginDesk,
    ) -> None:
        self._store = store
        self._domain = domain
        self._operator = operator
        self._registry = registry
        self._schedule = schedule
        self._grid = grid
        self._clock = clock
        self._policy = policy
        self._book = book
        self._desk = desk
        self._wishes = WishDesk(registry)
        with store.read() as connection:
            newest = connection.execute(select(func.max(orders.c.sequence))).scalar()
        self._next_sequence = 0 if newest is None else newest + 1

    @property
    def next_sequence(self) -> int:
        """Return the number that the next accepted order will get."""
        return self._next_sequence

    def forget_before(self, interval: int) -> None:
        """Drop from the book what is settled; the store keeps it."""
        self._book.forget_before(interval)

    def submit(self, batches: Sequence[OrderBatch]) -> list[Receipts]:
        """Check and accept orders of several accounts in one durable transaction.

        Returns
        -------
        list[Receipts]
            One per batch, with a signed receipt or a refusal per order, in the batch's order.
        """
        flat = [signed for batch in batches for signed in batch.orders]
        owners = [batch.account for batch in batches for _ in batch.orders]
        try:
            answers = self._submit(flat, owners, is_new=True)
        except IntegrityError:  # some of it came in before: ask which, and answer again
            answers = self._submit(flat, owners, is_new=False)
        result = []
        at = 0
        for batch in batches:
            result.append(Receipts(batch.account, tuple(answers[at : at + len(batch.orders)])))
            at += len(batch.orders)
        return result

    def _submit(self, flat: list[SignedOrder], owners: list[int], *, is_new: bool) -> list[Receipt | Refusal]:
        """Answer in one transaction. If all is taken for new and is not, nothing happened: IntegrityError."""
        with self._desk.transaction():
            with self._store.begin() as connection:
                answers, rows = self._answer(connection, flat, owners, is_new=is_new)
            # durable now: only then may the book know them
            self._book.submit(**{name: np.array(rows[name]) for name in BOOK_COLUMNS})
            self._next_sequence += len(rows["sequence"])
        return answers

    def _answer(
        self, connection: Connection, flat: list[SignedOrder], owners: list[int], *, is_new: bool
    ) -> tuple[list[Receipt | Refusal], dict[str, list[Any]]]:
        """Return the answers, and by column what entered the table of orders."""
        hashes = [self._hash(signed.order) for signed in flat]
        wishes = [signed.wish for signed in flat]
        known = {} if is_new else known_answers(connection, hashes, wishes)
        answers = [known.get(order_hash) for order_hash in hashes]
        moment = _Moment.of(self._clock.now_s(), self._grid, self._policy)
        received_at_s = int(moment.now_s)
        accepted: list[tuple[int, SignedOrder]] = []
        seen: dict[bytes, int] = {}
        repeats: list[tuple[int, int]] = []
        for i, signed in enumerate(flat):
            if answers[i] is not None:
                continue
            if hashes[i] in seen:
                repeats.append((i, seen[hashes[i]]))
                continue
            try:
                self._check(signed, owners[i], hashes[i], moment)
                self._desk.admit(signed.order)
            except OrderRefused as error:
                answers[i] = Refusal(hashes[i].hex(), error.reason, error.detail)
                continue
            seen[hashes[i]] = i
            accepted.append((i, signed))
        placed = _in_tie_order(accepted, hashes)
        for sequence, (i, _) in enumerate(placed, self._next_sequence):
            answers[i] = self._receipt(hashes[i], sequence, received_at_s)
        if repeats:
            self._answer_repeats(answers, repeats, accepted, flat)
        if is_new:  # what would be refused now may have been accepted when it came in first
            again = [i for i, answer in enumerate(answers) if isinstance(answer, Refusal)]
            known = known_answers(connection, [hashes[i] for i in again], [wishes[i] for i in again])
            answers = [
                known.get(order_hash, answer) for order_hash, answer in zip(hashes, answers, strict=True)
            ]
        self._refuse(connection, answers, owners, received_at_s)
        rows = _columns([signed for _, signed in placed])
        rows["hash"] = [hashes[i] for i, _ in placed]
        receipts = [answer for i, _ in placed if isinstance(answer := answers[i], Receipt)]
        rows["sequence"] = [receipt.sequence for receipt in receipts]
        rows["receipt"] = [CompactSignature(receipt.r, receipt.vs).to_bytes() for receipt in receipts]
        insert_columns(connection, orders, {**rows, "received_at_s": received_at_s})
        return [answer for answer in answers if answer is not None], rows

    def _answer_repeats(
        self,
        answers: list[Receipt | Refusal | None],
        repeats: list[tuple[int, int]],
        accepted: list[tuple[int, SignedOrder]],
        flat: list[SignedOrder],
    ) -> None:
        """Answer orders that stand twice in one batch as if they had come in two."""
        by_lane: defaultdict[tuple[int, int], list[tuple[int, Order]]] = defaultdict(list)
        for at, signed in accepted:
            by_lane[(signed.order.account, signed.order.lane)].append((at, signed.order))
        order_at = {at: signed.order for at, signed in accepted}
        for i, first in repeats:
            order, answer = order_at[first], answers[first]
            assert isinstance(answer, Receipt)
            newer = [
                at
                for at, other in by_lane[(order.account, order.lane)]
                if first < at < i and other.first <= order.last and other.last >= order.first
            ]
            if newer:
                newest = answers[newer[-1]]
                assert isinstance(newest, Receipt)
                answers[i] = superseded(bytes.fromhex(answer.order_hash), answer.sequence, newest.sequence)
            elif flat[i].wish != flat[first].wish:
                answers[i] = other_wish(bytes.fromhex(answer.order_hash), answer.sequence)
            else:
                answers[i] = answer

    def _hash(self, order: Order) -> bytes:
        if not self._policy.is_signed:  # nobody signs it, so any name will do, and this one costs little
            fields = (
                f"{order.account} {order.epoch} {order.is_buy:d} {order.lane} {order.first} {order.last} "
                f"{order.quantity_milli_wh} {order.limit_micro_per_kwh}"
            )
            return hashlib.blake2b(fields.encode(), digest_size=32).digest()
        try:
            return typed_data.order_hash(self._domain, order)
        except typed_data.BadMessage:
            return bytes(32)  # no such order can exist; `check` says which field is wrong

    def _check(self, signed: SignedOrder, owner: int, order_hash: bytes, moment: "_Moment") -> None:
        """Refuse an order that may not enter the book; the cheapest checks come first."""
        order = signed.order
        order.check()
        cap = self._policy.price_cap_micro_per_kwh
        if abs(order.limit_micro_per_kwh) > cap:
            raise OrderRefused(
                RefusalReason.LIMIT, f"limit {order.limit_micro_per_kwh} micro-credit/kWh: need -{cap}..{cap}"
            )
        row = self._registry.row(order.account)
        if row is None or order.account != owner:
            raise OrderRefused(
                RefusalReason.UNKNOWN_ACCOUNT, f"account {order.account} is not connected here"
            )
        epoch = int(self._registry.epoch[row])
        if order.epoch != epoch:
            raise OrderRefused(
                RefusalReason.WRONG_EPOCH, f"epoch {order.epoch}: the agent's key has epoch {epoch}"
            )
        self._check_gate(order, moment)
        if signed.wish != NO_WISH:
            self._wishes.check(signed.wish, row, is_buy=order.is_buy)
        if self._policy.is_signed:
            try:
                signer = typed_data.recover_digest(order_hash, CompactSignature(signed.r, signed.vs))
            except typed_data.BadSignature as error:
                raise OrderRefused(RefusalReason.BAD_SIGNATURE, str(error)) from error
            if signer != self._registry.agent[row]:
                raise OrderRefused(
                    RefusalReason.BAD_SIGNATURE,
                    f"signed by 0x{signer.hex()}, account {order.account} has agent "
                    f"0x{self._registry.agent[row].hex()} (other chain, contract or key?)",
                )

    def _check_gate(self, order: Order, moment: "_Moment") -> None:
        if (order.first, order.last) not in moment.open:
            self._check_time(order, moment)
            moment.open.add((order.first, order.last))
        for interval in range(order.first, order.last + 1):
            if self._book.is_closed(interval, order.account, order.lane):
                raise OrderRefused(
                    RefusalReason.LANE_CLOSED,
                    f"lane {order.lane} of interval {interval} already took part in a round: use another lane",
                )

    def _check_time(self, order: Order, moment: "_Moment") -> None:
        """Refuse what is too late, too early, or cuts a timeslot: the same for all orders of these intervals."""
        gate_s = moment.gate_s.get(order.first)
        if gate_s is None:
            gate_s = moment.gate_s[order.first] = self._schedule.gate_closure_s(order.first)
        if moment.now_s >= gate_s:
            raise OrderRefused(
                RefusalReason.GATE_CLOSED,
                f"interval {order.first} closed at {gate_s:.0f} s, it is {moment.now_s:.0f} s (unix time)",
            )
        if order.last > moment.furthest:
            raise OrderRefused(
                RefusalReason.TOO_EARLY,
                f"interval {order.last} is too far ahead: up to {moment.furthest} today",
            )
        head, tail = self._slot_of(order.first, moment), self._slot_of(order.last, moment)
        if head.start != order.first or tail.stop != order.last + 1:
            raise OrderRefused(
                RefusalReason.TIMESLOT,
                f"intervals {order.first}..{order.last} cut a timeslot: the first is traded in "
                f"{head.start}..{head.stop - 1}, the last in {tail.start}..{tail.stop - 1}",
            )

    def _slot_of(self, interval: int, moment: "_Moment") -> range:
        slot = moment.slot.get(interval)
        if slot is None:
            slot = moment.slot[interval] = self._schedule.slot_of(interval)
        return slot

    def _receipt(self, order_hash: bytes, sequence: int, received_at_s: int) -> Receipt:
        if not self._policy.is_signed:
            return Receipt(order_hash.hex(), sequence, received_at_s, 0, 0)
        message = typed_data.Receipt(order_hash, sequence, received_at_s)
        r, vs = typed_data.sign(self._operator, self._domain, message)
        return Receipt(order_hash.hex(), sequence, received_at_s, r, vs)

    def _refuse(
        self,
        connection: Connection,
        answers: Sequence[Receipt | Refusal | None],
        owners: list[int],
        at_s: int,
    ) -> None:
        rows = [
            {
                "at_s": at_s,
                "account": owner,
                "hash": bytes.fromhex(answer.order_hash),
                "reason": answer.reason,
                "detail": answer.detail,
            }
            for answer, owner in zip(answers, owners, strict=True)
            # what was accepted once and asked for again is no refused order
            if isinstance(answer, Refusal) and answer.reason != RefusalReason.SUPERSEDED
        ]
        if rows:
            connection.execute(insert(order_refusals), rows)


@dataclass(slots=True)
class _Moment:
    """When a batch is answered: one moment for all its orders, and the gates and timeslots looked up for it."""

    now_s: float
    furthest: int
    gate_s: dict[int, int]
    slot: dict[int, range]
    open: set[tuple[int, int]]  # first and last interval of orders that are in time

    @classmethod
    def of(cls, now_s: float, grid: IntervalGrid, policy: DoorPolicy) -> "_Moment":
        return cls(now_s, grid.index_at(now_s) + policy.horizon_intervals, {}, {}, set())


def _in_tie_order(
    accepted: list[tuple[int, SignedOrder]], hashes: list[bytes]
) -> list[tuple[int, SignedOrder]]:
    """Return orders that came at one moment in the order of their hashes: who asks first among them gains nothing.

    Orders of one lane keep the order in which they came, because the last one counts.
    """
    lanes = [(signed.order.account, signed.order.lane) for _, signed in accepted]
    waiting: defaultdict[tuple[int, int], deque[tuple[int, SignedOrder]]] = defaultdict(deque)
    for lane, entry in zip(lanes, accepted, strict=True):
        waiting[lane].append(entry)
    by_hash = sorted(range(len(accepted)), key=lambda k: hashes[accepted[k][0]])
    return [waiting[lanes[k]].popleft() for k in by_hash]


def _columns(accepted: Sequence[SignedOrder]) -> dict[str, list[Any]]:
    """Return what the table of orders holds of signed orders themselves, by column."""
    found = [signed.order for signed in accepted]
    return {
        "account": [order.account for order in found],
        "epoch": [order.epoch for order in found],
        "is_buy": [order.is_buy for order in found],
        "lane": [order.lane for order in found],
        "first": [order.first for order in found],
        "last": [order.last for order in found],
        "quantity_milli_wh": [order.quantity_milli_wh for order in found],
        "limit_micro_per_kwh": [order.limit_micro_per_kwh for order in found],
        "source": [int(signed.wish.source) for signed in accepted],
        "partner": [signed.wish.partner for signed in accepted],
        "group": [signed.wish.group for signed in accepted],
        "signature": [CompactSignature(signed.r, signed.vs).to_bytes() for signed in accepted],
    }


BOOK_COLUMNS = (
    "sequence",
    "account",
    "is_buy",
    "lane",
    "first",
    "last",
    "quantity_milli_wh",
    "limit_micro_per_kwh",
    "source",
    "partner",
    "group",
)


def load_orders(connection: Connection, from_interval: int) -> Book:
    """Rebuild the book of every order that still reaches `from_interval`, as if no round had been held."""
    book = Book()
    rows = connection.execute(
        select(*(orders.c[name] for name in BOOK_COLUMNS))
        .where(orders.c.last >= from_interval)
        .order_by(orders.c.sequence)
    ).all()
    if rows:
        columns = zip(*(tuple(row) for row in rows), strict=True)
        book.submit(**{name: np.array(values) for name, values in zip(BOOK_COLUMNS, columns, strict=True)})
    return book


def load_book(connection: Connection, from_interval: int) -> Book:
    """Rebuild the book of open orders: those that reach `from_interval` and have not had their round."""
    book = load_orders(connection, from_interval)
    for row in connection.execute(
        select(rounds.c.interval, func.max(rounds.c.next_sequence).label("next_sequence"))
        .where(rounds.c.interval >= from_interval)
        .group_by(rounds.c.interval)
    ):
        book.close_round(row.interval, row.next_sequence)
    return book
