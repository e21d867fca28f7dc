"""Rounds of a bundle: cleared again from its orders, paired again, compared line by line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from eth_hash.auto import keccak

from market import pairing
from market.book import COLUMNS, Book, Selection
from market.network_auction_tree import MarketTree
from market.orders import Source
from market.zones import ZonalResult, Zoning, clear
from node.audit.bundle import Bundle
from node.audit.lines import FillLine, OrderLine, Pico, PriceLine, RoundLine, TradeLine, columns
from node.audit.record import ChainRecord

_SEQUENCES: Final = 2**63


@dataclass(frozen=True, slots=True)
class Cleared:
    """A round cleared again from the bundle's orders."""

    line: RoundLine
    selection: Selection
    result: ZonalResult


def book_of(lines: Sequence[OrderLine]) -> Book:
    """Return the book of a bundle's orders."""
    book = Book()
    if lines:
        values = columns(lines, *COLUMNS)
        book.submit(
            **{
                name: np.array(column, kind)
                for (name, kind), column in zip(COLUMNS.items(), values, strict=True)
            }
        )
    return book


def zoning_of(record: ChainRecord, bundle: Bundle) -> Zoning | None:
    """Return the zones of a bundle, with each account's as the chain has it; None where there is one price."""
    if not bundle.zones:
        return None
    accounts = sorted(record.ledger.accounts)
    names = ("parent", "import_cap_milli_wh", "export_cap_milli_wh", "fee_micro_per_kwh")
    return Zoning(
        np.array(accounts, np.int64),
        np.array([record.ledger.accounts[account].zone for account in accounts], np.int64),
        MarketTree(*(np.array(column, np.int64) for column in columns(bundle.zones, *names))),
    )


def clear_rounds(
    record: ChainRecord, interval: int, bundle: Bundle, orders: Sequence[OrderLine] | None = None
) -> list[Cleared]:
    """Clear every round of a bundle again, one after the other.

    Parameters
    ----------
    orders : Sequence[OrderLine], optional
        Instead of the bundle's own, in the order of arrival.
    """
    fee = record.deployment.parameters.fee_micro_per_kwh
    book = book_of(bundle.orders if orders is None else orders)
    zoning, traded = zoning_of(record, bundle), None
    cleared = []
    for line in bundle.rounds:
        selection = book.select(interval, before=line.next_sequence)
        here = None if zoning is None else zoning.without(line.cut_zones)
        result = clear(selection.orders, fee, here, traded)
        net = result.net_export_milli_wh
        traded = net if traded is None else traded + net
        cleared.append(Cleared(line, selection, result))
        book.close_round(interval, line.next_sequence)
    return cleared


def check_rounds(record: ChainRecord, interval: int, bundle: Bundle) -> Iterator[str]:
    """Yield where a round's record differs from its recomputation; the orders must have been checked."""
    for round_line in bundle.rounds:
        if not 0 <= round_line.next_sequence < _SEQUENCES:
            yield f"round {round_line.round}: its cut is order {round_line.next_sequence}"
        if round_line.cut_zones >> len(bundle.zones):
            yield f"round {round_line.round}: zones {round_line.cut_zones:b} cut off, of {len(bundle.zones)} there are"
    for account, state in record.ledger.accounts.items():
        if bundle.zones and state.zone >= len(bundle.zones):
            yield f"account {account} is in zone {state.zone} on chain, the bundle has {len(bundle.zones)}"
    sources = dict(zip(bundle.network.account, bundle.network.sources, strict=True))
    for order in bundle.orders:
        if order.account not in sources:
            yield f"account {order.account} of order {order.sequence} is missing in the network"
        elif (
            not order.is_buy and order.source != Source.ANY and not sources[order.account] >> order.source & 1
        ):
            yield f"order {order.sequence} offers energy from a source that account {order.account} does not have"
    fee = record.deployment.parameters.fee_micro_per_kwh
    by_sequence = {line.sequence: line for line in bundle.orders}
    known = {line.round for line in bundle.rounds}
    before, before_s = 0, 0
    for cleared in clear_rounds(record, interval, bundle):
        line = cleared.line
        name = f"round {line.round}"
        if line.cleared_at_s < before_s:
            yield f"{name}: cleared at {line.cleared_at_s}, before the round before it at {before_s}"
        before_s = line.cleared_at_s
        if line.next_sequence < before:
            yield f"{name}: its cut, order {line.next_sequence}, lies before the cut of the round before it"
        before = line.next_sequence
        yield from _cut(name, line, bundle.orders)
        yield from _gate(record, name, interval, cleared, by_sequence)
        hashes = [by_sequence[number].hash for number in cleared.selection.sequence.tolist()]
        pairs = (
            ("number of orders", line.n_orders, len(hashes)),
            ("volume (mWh)", line.volume_milli_wh, cleared.result.volume_milli_wh),
        )
        for what, told, recomputed in pairs:
            if told != recomputed:
                yield f"{name}: {what} is {told}, recomputed {recomputed}"
        root = keccak(b"".join(hashes))
        if root != line.book_root:
            yield f"{name}: book root is 0x{line.book_root.hex()}, recomputed 0x{root.hex()}"
        yield from _prices(name, line.round, bundle, cleared.result)
        expected = _fill_lines(cleared, fee)
        told_fills = [fill for fill in bundle.fills if fill.round == line.round]
        yield from _same_lines(name, "fill of order", "sequence", told_fills, expected)
        told_trades = [trade for trade in bundle.trades if trade.round == line.round]
        yield from _same_lines(name, "trade", "number", told_trades, _trade_lines(cleared, bundle))
    named = (
        [x.round for x in bundle.prices] + [x.round for x in bundle.fills] + [x.round for x in bundle.trades]
    )
    for number in named:
        if number not in known:
            yield f"a price, fill or trade is of round {number}, which the bundle does not have"


def _cut(name: str, line: RoundLine, orders: Sequence[OrderLine]) -> Iterator[str]:
    for order in orders:
        if order.sequence >= line.next_sequence and order.received_at_s < line.cleared_at_s:
            yield (
                f"{name}: order {order.sequence} arrived at {order.received_at_s}, before it was cleared at "
                f"{line.cleared_at_s}, but its cut leaves it out"
            )
            return


def _gate(
    record: ChainRecord, name: str, interval: int, cleared: Cleared, orders: dict[int, OrderLine]
) -> Iterator[str]:
    """Yield what was let in too late: receipts say when an order came, the round when its gate closed."""
    line = cleared.line
    start_s = interval * record.ledger.terms.length_s
    if line.cleared_at_s > start_s:
        yield f"{name}: it was cleared at {line.cleared_at_s}, after the interval began at {start_s}"
    for number in cleared.selection.sequence.tolist():
        order = orders[number]
        if order.received_at_s >= line.cleared_at_s:
            yield (
                f"{name}: order {number} arrived at {order.received_at_s}, not before its gate closed at "
                f"{line.cleared_at_s}, but was let in"
            )
            return


def _prices(name: str, number: int, bundle: Bundle, result: ZonalResult) -> Iterator[str]:
    told = [line for line in bundle.prices if line.round == number]
    n_zones = len(result.prices_micro_per_kwh)
    if [line.zone for line in told] != list(range(n_zones)):
        wanted = "one price, of zone 0" if n_zones == 1 else f"a price of each of {n_zones} zones"
        yield f"{name}: expected {wanted}, found {len(told)}"
        return
    columns_of = (result.prices_micro_per_kwh, result.low_micro_per_kwh, result.high_micro_per_kwh)
    for line, values in zip(told, zip(*columns_of, strict=True), strict=True):
        expected = PriceLine(number, line.zone, *values)
        where = f" in zone {line.zone}" if n_zones > 1 else ""
        for field in ("price_micro_per_kwh", "low_micro_per_kwh", "high_micro_per_kwh"):
            ours, theirs = getattr(expected, field), getattr(line, field)
            if ours != theirs:
                what = f"{field.split('_')[0]}{where}"
                yield f"{name}: {what} is {theirs} micro-credit per kWh, recomputed {ours}"


def _fill_lines(cleared: Cleared, fee: int) -> list[FillLine]:
    orders = cleared.selection.orders
    lines = []
    for i in np.flatnonzero(cleared.result.fills_milli_wh).tolist():
        price = cleared.result.price_of(i)
        is_buy, quantity = bool(orders.is_buy[i]), int(cleared.result.fills_milli_wh[i])
        lines.append(
            FillLine(
                cleared.line.round,
                int(cleared.selection.sequence[i]),
                int(orders.account[i]),
                is_buy,
                int(cleared.selection.lane[i]),
                quantity,
                price,
                Pico(-(price + fee) * quantity if is_buy else (price - fee) * quantity),
            )
        )
    return lines


def _trade_lines(cleared: Cleared, bundle: Bundle) -> list[TradeLine]:
    """Pair the fills again."""
    filled = np.flatnonzero(cleared.result.fills_milli_wh)
    if not filled.size:
        return []
    orders = cleared.selection.orders
    is_buy, chosen = orders.is_buy[filled], cleared.selection
    network = bundle.network
    where = dict(zip(network.account, zip(network.node, network.member_of, strict=True), strict=True))
    node, member_of = np.array([where[account] for account in orders.account[filled].tolist()], np.int64).T
    wishes = pairing.Preferences.of(
        is_buy, chosen.source[filled], chosen.partner[filled], chosen.group[filled], member_of
    )
    paired = pairing.pair(
        orders.account[filled],
        is_buy,
        cleared.result.fills_milli_wh[filled],
        node,
        np.array(bundle.network.parent, np.int64),
        wishes,
    )
    rows = zip(
        paired.buyer.tolist(),
        paired.seller.tolist(),
        paired.quantity_milli_wh.tolist(),
        paired.met_at.tolist(),
        paired.met.tolist(),
        chosen.source[filled][paired.seller_row].tolist(),
        strict=True,
    )
    price_of = {int(orders.account[i]): cleared.result.price_of(i) for i in filled.tolist()}
    return [
        TradeLine(cleared.line.round, number, buyer, seller, quantity, price_of[buyer], met_at, met, source)
        for number, (buyer, seller, quantity, met_at, met, source) in enumerate(rows)
    ]


def _same_lines(
    where: str,
    what: str,
    key: str,
    told: Sequence[FillLine | TradeLine],
    expected: Sequence[FillLine | TradeLine],
) -> Iterator[str]:
    by_key = {getattr(line, key): line for line in told}
    for line in expected:
        number = getattr(line, key)
        found = by_key.pop(number, None)
        if found is None:
            yield f"{where}: {what} {number} is missing, recomputed {line.quantity_milli_wh} mWh"
        elif found != line:
            for field in line.__slots__:
                ours, theirs = getattr(line, field), getattr(found, field)
                if ours != theirs:
                    yield f"{where}: {what} {number}: {field} is {theirs}, recomputed {ours}"
    for number in sorted(by_key):
        yield f"{where}: {what} {number} is too much: recomputed, it got nothing"
