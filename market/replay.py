"""Replay: clear stored rounds again from the stored book, and say where the record first differs.

An auction is a pure function of the orders it saw, and the book is a pure function of the orders received, so
whoever has the orders can recompute every price and fill. Nothing may differ, not in a single unit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from market.auction import clear
from market.book import Book, Selection


@dataclass(frozen=True, slots=True)
class ClearedRound:
    """What the record says of one round.

    Attributes
    ----------
    interval, round : int
        Which auction.
    next_sequence : int
        Orders from this sequence on came after its gate.
    price_micro_per_kwh : int | None
        Before the fee; None if nothing was traded.
    fills_milli_wh : Mapping[int, int]
        Quantity by sequence of the filled order.
    """

    interval: int
    round: int
    next_sequence: int
    price_micro_per_kwh: int | None
    fills_milli_wh: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference between the record and its replay."""

    interval: int
    round: int
    what: str
    recorded: int | None
    replayed: int | None

    def __str__(self) -> str:
        where = f"interval {self.interval}, round {self.round}"
        return f"{where}: {self.what} is recorded as {self.recorded}, replayed as {self.replayed}"


def first_difference(
    book: Book, rounds: Iterable[ClearedRound], fee_micro_per_kwh: int = 0
) -> Difference | None:
    """Clear all rounds again; return the first difference, None if there is none.

    Parameters
    ----------
    book : Book
        Every order received, and no round closed; the replay closes them.
    rounds : Iterable[ClearedRound]
        In the order in which they were cleared.
    fee_micro_per_kwh : int
        The operator's fee at the time.
    """
    for recorded in rounds:
        selection = book.select(recorded.interval, before=recorded.next_sequence)
        difference = _compare(recorded, selection, fee_micro_per_kwh)
        if difference is not None:
            return difference
        book.close_round(recorded.interval, recorded.next_sequence)
    return None


def _compare(recorded: ClearedRound, selection: Selection, fee_micro_per_kwh: int) -> Difference | None:
    result = clear(selection.orders, fee_micro_per_kwh)
    where = recorded.interval, recorded.round
    price = result.price_micro_per_kwh if result.volume_milli_wh else None
    if price != recorded.price_micro_per_kwh:
        return Difference(*where, "the price", recorded.price_micro_per_kwh, price)
    fills = zip(selection.sequence.tolist(), result.fills_milli_wh.tolist(), strict=True)
    replayed = {sequence: quantity for sequence, quantity in fills if quantity}
    for sequence in sorted(replayed.keys() | recorded.fills_milli_wh.keys()):
        was, now = recorded.fills_milli_wh.get(sequence, 0), replayed.get(sequence, 0)
        if was != now:
            return Difference(*where, f"the fill of order {sequence}", was, now)
    return None
