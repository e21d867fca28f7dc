"""A receipt against the bundles: proof for anyone that a received order was left out.

Three signatures make the proof: the agent's on the order, the operator's on its receipt (number and time), and
the operator's on the transaction that committed to the bundle. No step trusts whoever shows the proof.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from market.errors import MarketError
from market.orders import Order, Source
from node.audit.bundle import Bundle, decode
from node.audit.commitment import bundle_hash
from node.audit.line_text import BundleError, parse
from node.audit.lines import OrderLine, RoundLine
from node.audit.orders import order_of, signed_by
from node.audit.record import OPERATOR, ChainRecord, OnChain
from node.audit.rounds import Cleared, clear_rounds
from node.chain import typed_data
from node.errors import Permanent

_ORDER_FIELDS = (
    "account",
    "epoch",
    "is_buy",
    "lane",
    "first",
    "last",
    "quantity_milli_wh",
    "limit_micro_per_kwh",
)


class BadReceipt(Permanent):
    """A receipt that proves nothing: no JSON, a field missing, or a signature that is not whose it should be."""


class Verdict(StrEnum):
    """What a receipt shows about one interval."""

    OMITTED = "omitted"
    INCLUDED = "included"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one interval, in words."""

    interval: int
    verdict: Verdict
    words: str


def read_receipt(text: str, record: ChainRecord) -> OrderLine:
    """Read `{"order": what was handed in, "receipt": what was answered}` and check both signatures.

    Fields are those of the API (`POST /v1/orders`); `received_at` may also be unix seconds.

    Raises
    ------
    BadReceipt
        Naming the field or signature that is wrong.
    """
    try:
        content = parse(text)
        told, answer = content["order"], content["receipt"]
        order = Order(**{name: _typed(told, name) for name in _ORDER_FIELDS})
        order.check()
        line = OrderLine(
            sequence=_typed(answer, "sequence"),
            hash=typed_data.order_hash(record.deployment.domain, order),
            **{name: getattr(order, name) for name in _ORDER_FIELDS},
            source=Source[str(told.get("source", "any")).upper()],
            partner=int(told.get("partner", 0)),
            group=int(told.get("group", 0)),
            signature=bytes.fromhex(told["signature"].removeprefix("0x")),
            received_at_s=_time_s(answer["received_at"]),
            receipt=bytes.fromhex(answer["signature"].removeprefix("0x")),
        )
    except MarketError as error:
        raise BadReceipt(f"receipt: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadReceipt(
            f"receipt: expected an order and its receipt as the API gives them: {error!r}"
        ) from error
    agent = record.agent(line.account, line.epoch)
    if agent is None or signed_by(record, order, line.signature) != agent:
        raise BadReceipt(f"receipt: the order is not signed by the agent of account {line.account}")
    receipt = typed_data.Receipt(line.hash, line.sequence, line.received_at_s)
    if signed_by(record, receipt, line.receipt) != record.holders.at(OPERATOR, line.received_at_s):
        raise BadReceipt("receipt: not signed by the operator of that time")
    return line


def _typed(told: Mapping[str, Any], name: str) -> Any:
    wanted = bool if name == "is_buy" else int
    if type(told[name]) is not wanted:
        raise TypeError(f"{name} is {told[name]!r}")
    return told[name]


def _time_s(told: Any) -> int:
    return told if type(told) is int else int(datetime.fromisoformat(told).timestamp())


def prove(record: ChainRecord, line: OrderLine, interval: int, data: bytes | None) -> Finding:
    """Say what a received order's receipt shows about an interval that it covers.

    Returns
    -------
    Finding
        OMITTED where the operator committed to a bundle that does not hold the order as received although its
        round had to see it; the words say what the order would have got.
    """
    found = record.by_interval.get(interval, OnChain())
    if data is None:
        return Finding(
            interval, Verdict.UNKNOWN, "no bundle: ask the operator for the one whose hash is on chain"
        )
    if all(note.note.bundle_hash != bundle_hash(data) for note in found.notes):
        return Finding(interval, Verdict.UNKNOWN, "the operator did not commit to this bundle")
    try:
        bundle = decode(data)
    except BundleError as error:
        return Finding(
            interval, Verdict.UNKNOWN, f"the operator committed to a bundle that cannot be read: {error}"
        )
    listed = [other for other in bundle.orders if other.sequence == line.sequence]
    if listed and listed[0].hash == line.hash:
        return _included(record, bundle, line, interval)
    due = next((round_ for round_ in bundle.rounds if _had_to_see(round_, line)), None)
    if due is None:
        return Finding(interval, Verdict.INCLUDED, "received after the last round: no round had to see it")
    newer = _amended_by(bundle, line, due)
    if newer is not None:
        words = f"order {newer.sequence} of the same lane took its place before round {due.round}"
        return Finding(interval, Verdict.INCLUDED, words)
    if listed:
        return Finding(
            interval,
            Verdict.OMITTED,
            f"the operator signed number {line.sequence} for order 0x{line.hash.hex()} and published another "
            f"order, 0x{listed[0].hash.hex()}, under that number; {_lost(record, bundle, line, interval, due)}",
        )
    return Finding(
        interval,
        Verdict.OMITTED,
        f"the operator received order {line.sequence} at {line.received_at_s}, before round {due.round} was "
        f"cleared at {due.cleared_at_s}, and left it out; {_lost(record, bundle, line, interval, due)}",
    )


def _had_to_see(round_: RoundLine, line: OrderLine) -> bool:
    return line.sequence < round_.next_sequence or line.received_at_s < round_.cleared_at_s


def _amended_by(bundle: Bundle, line: OrderLine, due: RoundLine) -> OrderLine | None:
    """Return the order that took the lane over before the round, if one did."""
    newer = [
        other
        for other in bundle.orders
        if (other.account, other.lane) == (line.account, line.lane)
        and line.sequence < other.sequence < due.next_sequence
    ]
    return newer[-1] if newer else None


def _included(record: ChainRecord, bundle: Bundle, line: OrderLine, interval: int) -> Finding:
    got = [fill for fill in bundle.fills if fill.sequence == line.sequence]
    late = [
        r for r in bundle.rounds if line.received_at_s < r.cleared_at_s and line.sequence >= r.next_sequence
    ]
    if late:
        words = f"it stands in the bundle, but behind the cut of round {late[0].round}, before which it was received"
        lost = _lost(record, bundle, line, interval, late[0])
        return Finding(interval, Verdict.OMITTED, f"{words}; {lost}")
    if got:
        words = f"it is in the book and got {got[0].quantity_milli_wh} mWh at {got[0].price_micro_per_kwh}"
        return Finding(interval, Verdict.INCLUDED, f"{words} micro-credit per kWh")
    return Finding(
        interval, Verdict.INCLUDED, "it is in the book and got nothing at the price; see symgrid verify"
    )


def _lost(record: ChainRecord, bundle: Bundle, line: OrderLine, interval: int, due: RoundLine) -> str:
    """Say what the round would have given the order, and how it compares with the published price."""
    fee = record.deployment.parameters.fee_micro_per_kwh
    others = [other for other in bundle.orders if other.sequence != line.sequence]
    book = sorted([*others, line], key=lambda other: other.sequence)
    # a cut that was drawn before the order is drawn behind it
    widened = replace(due, next_sequence=max(due.next_sequence, line.sequence + 1))
    rounds = tuple(widened if r.round == due.round else r for r in bundle.rounds)
    try:
        cleared = clear_rounds(record, interval, replace(bundle, rounds=rounds), book)
    except (MarketError, OverflowError):
        return "the other orders of the bundle cannot be cleared"
    with_it = next(one for one in cleared if one.line.round == due.round)
    zone = record.ledger.accounts[line.account].zone
    told = next(
        (p.price_micro_per_kwh for p in bundle.prices if (p.round, p.zone) == (due.round, zone)), None
    )
    return f"{''.join(_compared(line, told, fee))}; with it, it would have got {_share(with_it, line, zone)}"


def _compared(line: OrderLine, price: int | None, fee: int) -> Iterator[str]:
    side = "bid" if line.is_buy else "offer"
    yield f"its {side} of {line.limit_micro_per_kwh} micro-credit per kWh"
    if price is None:
        yield " met no price"
        return
    all_in = price + fee if line.is_buy else price - fee
    gap = line.limit_micro_per_kwh - all_in if line.is_buy else all_in - line.limit_micro_per_kwh
    rank = "better than" if gap > 0 else "equal to" if gap == 0 else "worse than"
    yield f" is {rank} the round's price with the fee, {all_in}"


def _share(cleared: Cleared, line: OrderLine, zone: int) -> str:
    rows = (cleared.selection.sequence == line.sequence).nonzero()[0]
    filled = int(cleared.result.fills_milli_wh[rows[0]]) if rows.size else 0
    return (
        f"{filled} of {order_of(line).quantity_milli_wh} mWh at {cleared.result.prices_micro_per_kwh[zone]}"
    )
