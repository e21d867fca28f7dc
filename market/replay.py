"""Replay: clear stored rounds again from the stored book, and say where the record first differs.

An auction is a pure function of the orders it saw, and the book is a pure function of the orders received, so
whoever has the orders can recompute every price and fill. Nothing may differ, not in a single unit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.book import Book, Selection
from market.zones import ZonalResult, Zoning, clear


@dataclass(frozen=True, slots=True)
class ClearedRound:
    """What the record says of one round.

    Attributes
    ----------
    interval, round : int
        Which auction.
    next_sequence : int
        Orders from this sequence on came after its gate.
    prices_micro_per_kwh : tuple[int | None, ...]
        By zone, before the fee; None if nothing was traded.
    fills_milli_wh : Mapping[int, int]
        Quantity by sequence of the filled order.
    cut_zones : int
        Bit z is set where zone z was cut off from its parent.
    """

    interval: int
    round: int
    next_sequence: int
    prices_micro_per_kwh: tuple[int | None, ...]
    fills_milli_wh: Mapping[int, int]
    cut_zones: int = 0


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
    book: Book,
    rounds: Iterable[ClearedRound],
    fee_micro_per_kwh: int = 0,
    zoning: Zoning | None = None,
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
    zoning : Zoning, optional
        Price zones and the network between them.
    """
    traded: dict[int, NDArray[np.int64]] = {}
    for recorded in rounds:
        selection = book.select(recorded.interval, before=recorded.next_sequence)
        before = traded.get(recorded.interval)
        here = None if zoning is None else zoning.without(recorded.cut_zones)
        result = clear(selection.orders, fee_micro_per_kwh, here, before)
        difference = _compare(recorded, selection, result)
        if difference is not None:
            return difference
        net = result.net_export_milli_wh
        traded[recorded.interval] = net if before is None else before + net
        book.close_round(recorded.interval, recorded.next_sequence)
    return None


def _compare(recorded: ClearedRound, selection: Selection, result: ZonalResult) -> Difference | None:
    where = recorded.interval, recorded.round
    replayed_prices = result.prices_micro_per_kwh
    if not result.volume_milli_wh:
        replayed_prices = (None,) * len(replayed_prices)
    if len(recorded.prices_micro_per_kwh) != len(replayed_prices):
        counts = len(recorded.prices_micro_per_kwh), len(replayed_prices)
        return Difference(*where, "the number of prices", *counts)
    for zone, (told, price) in enumerate(zip(recorded.prices_micro_per_kwh, replayed_prices, strict=True)):
        if told != price:
            what = "the price" if len(replayed_prices) == 1 else f"the price of zone {zone}"
            return Difference(*where, what, told, price)
    fills = zip(selection.sequence.tolist(), result.fills_milli_wh.tolist(), strict=True)
    replayed = {sequence: quantity for sequence, quantity in fills if quantity}
    for sequence in sorted(replayed.keys() | recorded.fills_milli_wh.keys()):
        was, now = recorded.fills_milli_wh.get(sequence, 0), replayed.get(sequence, 0)
        if was != now:
            return Difference(*where, f"the fill of order {sequence}", was, now)
    return None
