"""One interval's bundle against the chain: everything recomputed, the first difference told in words.

What is checked, in this order: the file's form, the tariffs, every order (hash, agent's signature, operator's
receipt), every round (cut, book root, price, fills, trades), what the chunks on chain settled, readings,
curtailments, imbalance, balances and registers, and the file's hash.
"""

from collections import defaultdict
from collections.abc import Iterator

from market.imbalance import imbalance_milli_wh
from node.audit.bundle import Bundle, decode
from node.audit.commitment import BookNote, bundle_hash
from node.audit.line_text import BundleError
from node.audit.lines import CurtailmentLine, ImbalanceLine, Pico, ReadingLine
from node.audit.orders import OrderChecks, signed_by
from node.audit.record import CURTAILER, REGISTRAR, ChainRecord, OnChain
from node.audit.rounds import check_rounds
from node.chain import typed_data
from node.chain.calldata import SignedReading
from node.chain.typed_data import Message


class Auditor:
    """Checks bundles one after the other, in the order of intervals."""

    def __init__(self, record: ChainRecord) -> None:
        self.record = record
        self._orders = OrderChecks(record)

    def check(self, interval: int, data: bytes | None) -> str | None:
        """Return the first difference between an interval's bundle and the chain; None where all is right.

        Parameters
        ----------
        data : bytes or None
            The bundle's file; None if there is none.
        """
        self._orders.forget_before(interval)
        return _first_difference(self.record, self._orders, interval, data)

    def missing_receipts(self, until: int) -> list[str]:
        """Return which orders were held back, by gaps in the numbers of receipts, up to an interval."""
        return list(self._orders.missing(until))


def _first_difference(
    record: ChainRecord, orders: OrderChecks, interval: int, data: bytes | None
) -> str | None:
    found = record.by_interval.get(interval, OnChain())
    if data is None:
        return _missing(found)
    try:
        bundle = decode(data)
    except BundleError as error:
        return f"bundle: {error}"
    first = next(_differences(record, orders, interval, bundle, found), None)
    hashes = {note.note.bundle_hash for note in found.notes}
    is_committed = hashes == {bundle_hash(data)}
    if first is not None:
        aside = (
            "the operator committed to this bundle" if is_committed else "its hash is not the one on chain"
        )
        return f"{first} ({aside})"
    if is_committed:
        return None
    if not hashes:
        return "no hash of its bundle is on chain"
    if len(hashes) > 1:
        told = ", ".join(f"0x{one.hex()}" for one in sorted(hashes))
        return f"the operator committed to {len(hashes)} different bundles: {told}"
    return f"its hash is 0x{bundle_hash(data).hex()}, the one on chain 0x{hashes.pop().hex()}"


def _missing(found: OnChain) -> str:
    if found.notes:
        return f"missing bundle; its hash on chain is 0x{found.notes[0].note.bundle_hash.hex()}"
    return f"missing bundle, and no hash of it on chain, where {len(found.chunks)} chunks settled it"


def _differences(
    record: ChainRecord, orders: OrderChecks, interval: int, bundle: Bundle, found: OnChain
) -> Iterator[str]:
    """Yield differences; each step may rely on the steps before it having yielded none."""
    yield from _head(record, interval, bundle)
    yield from _tariffs(record, interval, bundle)
    yield from orders.check_all(interval, bundle.orders)
    yield from check_rounds(record, interval, bundle)
    yield from _notes(bundle, found)
    yield from _chunks(record, bundle, found)
    yield from _readings(record, interval, bundle, found)
    yield from _unread(record, interval, found)
    yield from _curtailments(record, interval, bundle)
    yield from _imbalances(record, interval, bundle)
    yield from found.differences


def _head(record: ChainRecord, interval: int, bundle: Bundle) -> Iterator[str]:
    domain = record.deployment.domain
    told = (bundle.head.interval, bundle.head.chain_id, bundle.head.settlement)
    if told != (interval, domain.chain_id, domain.contract):
        yield (
            f"the bundle is of interval {told[0]}, chain {told[1]}, contract 0x{told[2].hex()}: "
            f"expected {interval}, {domain.chain_id}, 0x{domain.contract.hex()}"
        )


def _tariffs(record: ChainRecord, interval: int, bundle: Bundle) -> Iterator[str]:
    told = tuple((t.short_micro_per_kwh, t.long_micro_per_kwh) for t in bundle.tariffs)
    on_chain = record.tariffs(interval)
    if [line.zone for line in bundle.tariffs] != list(range(len(bundle.tariffs))):
        yield "tariffs do not number the zones from 0 on"
    if on_chain is None:
        yield "no tariffs are published on chain"
    elif told != tuple(tuple(row) for row in on_chain):
        yield f"tariffs (short, long by zone) are {list(told)}, on chain {[tuple(row) for row in on_chain]}"


def _notes(bundle: Bundle, found: OnChain) -> Iterator[str]:
    told = tuple(BookNote(line.round, line.next_sequence, line.book_root) for line in bundle.rounds)
    for note in found.notes:
        if note.note.books != told:
            yield "rounds' cuts and book roots are not those on chain"


def _chunks(record: ChainRecord, bundle: Bundle, found: OnChain) -> Iterator[str]:
    """Compare fills with what the chunks on chain settled."""
    is_closed = record.head.timestamp_s >= _closes_s(record, bundle.head.interval)
    if not found.chunks:
        if not is_closed:
            yield "no chunk on chain settled it"
        elif bundle.fills:
            yield f"its {len(bundle.fills)} fills never reached the chain within its fill window: void"
        return  # nothing was to be filled, and readings count outside chunks too
    prices: defaultdict[int, list[int]] = defaultdict(list)
    for line in bundle.prices:
        prices[line.round].append(line.price_micro_per_kwh or 0)
    domain = record.deployment.domain
    settled: defaultdict[tuple[int, bytes], int] = defaultdict(int)
    accounts: dict[bytes, int] = {}
    for chunk in found.chunks:
        if list(chunk.prices_micro_per_kwh) != prices[chunk.round]:
            yield (
                f"round {chunk.round}: chunk {chunk.sequence} settled at {list(chunk.prices_micro_per_kwh)} "
                f"micro-credit per kWh, the bundle says {prices[chunk.round]}"
            )
        for fill in chunk.fills:
            name = typed_data.order_hash(domain, fill.order)
            settled[(chunk.round, name)] += fill.quantity_milli_wh
            accounts[name] = fill.order.account
    hashes = {line.sequence: line.hash for line in bundle.orders}
    for fill_line in bundle.fills:
        on_chain = settled.pop((fill_line.round, hashes[fill_line.sequence]), 0)
        missing = fill_line.quantity_milli_wh - on_chain
        if missing > 0 and is_closed:
            yield (
                f"round {fill_line.round}: {missing} mWh of {fill_line.quantity_milli_wh} mWh of order "
                f"{fill_line.sequence} never reached the chain within its fill window: void"
            )
        elif missing:
            yield (
                f"round {fill_line.round}: fill of order {fill_line.sequence} is {fill_line.quantity_milli_wh} "
                f"mWh, on chain {on_chain}"
            )
    for (number, name), quantity in settled.items():
        yield (
            f"round {number}: {quantity} mWh of account {accounts[name]} were settled on chain "
            f"that the bundle does not know (order 0x{name.hex()})"
        )


def _closes_s(record: ChainRecord, interval: int) -> int:
    """Return when the contract stops taking an interval's fills."""
    terms = record.ledger.terms
    return terms.end_s(interval) + terms.fill_window_s


def _readings(record: ChainRecord, interval: int, bundle: Bundle, found: OnChain) -> Iterator[str]:
    on_chain = dict(found.readings)
    for line in bundle.readings:
        if line.interval > interval:
            yield f"reading of account {line.account} is of interval {line.interval}, which is not over"
            continue
        yield from _reading_signature(record, line)
        if line.interval == interval:
            settled = on_chain.pop(line.account, None)
        else:
            settled = record.by_interval.get(line.interval, OnChain()).readings.get(line.account)
        told = (line.register_milli_wh, line.is_substitute)
        if settled is None:
            yield f"reading of account {line.account} is not on chain"
        elif told != (settled.register_milli_wh, settled.is_substitute) and not _is_superseded(line, settled):
            yield (
                f"reading of account {line.account} is {line.register_milli_wh} mWh, "
                f"on chain {settled.register_milli_wh}"
            )
    in_chunks = {reading.account for chunk in found.chunks for reading in chunk.readings}
    for account in sorted(in_chunks & on_chain.keys()):
        yield f"reading of account {account} is on chain, but not in the bundle"


def _is_superseded(line: ReadingLine, settled: SignedReading) -> bool:
    """Tell whether the meter's own reading took the place of the registrar's substitute before that was mined.

    It then stands in a later bundle too, and counts.
    """
    return line.is_substitute and not settled.is_substitute


def _unread(record: ChainRecord, interval: int, found: OnChain) -> Iterator[str]:
    """Yield whose meter was never read, though the registrar could have substituted it long ago."""
    terms = record.ledger.terms
    # two fill windows, and the settlement of the interval after that
    due_s = terms.end_s(interval) + 2 * terms.fill_window_s + 2 * terms.length_s
    if record.head.timestamp_s <= due_s:
        return
    for account in sorted(record.ledger.accounts):
        if record.meter(account, interval) is not None and account not in found.readings:
            yield f"account {account} was not read, nor its reading substituted by {due_s}"


def _reading_signature(record: ChainRecord, line: ReadingLine) -> Iterator[str]:
    message: Message
    if line.is_substitute:
        message = typed_data.Substitute(line.account, line.interval, line.register_milli_wh)
        closes_s = record.ledger.terms.end_s(line.interval)
        signer, who = record.holders.at(REGISTRAR, closes_s), "registrar"
    else:
        message = typed_data.Reading(line.account, line.interval, line.register_milli_wh)
        meter = record.meter(line.account, line.interval)
        if meter is None:
            yield f"reading of account {line.account}: it has no meter on chain"
            return
        signer, who = meter, f"meter of account {line.account}"
    if signed_by(record, message, line.signature) != signer:
        yield f"reading of account {line.account}: its signature is not by the {who}"


def _curtailments(record: ChainRecord, interval: int, bundle: Bundle) -> Iterator[str]:
    told = {line.account: line for line in bundle.curtailments}
    for account, state in sorted(record.ledger.accounts.items()):
        on_chain = state.curtailed_milli_wh.get(interval, 0)
        line = told.pop(account, None)
        quantity = 0 if line is None else line.quantity_milli_wh
        if quantity != on_chain:
            yield f"curtailment of account {account} is {quantity} mWh, on chain {on_chain}"
        elif line is not None:
            yield from _curtailment_signature(record, interval, line)
    for account in told:
        yield f"curtailment of account {account}, which is not on chain"


def _curtailment_signature(record: ChainRecord, interval: int, line: CurtailmentLine) -> Iterator[str]:
    message = typed_data.Curtailment(line.account, interval, line.quantity_milli_wh)
    end_s = record.ledger.terms.end_s(interval)
    if signed_by(record, message, line.signature) != record.holders.at(CURTAILER, end_s):
        yield f"curtailment of account {line.account}: its signature is not by the curtailer"


def _imbalances(record: ChainRecord, interval: int, bundle: Bundle) -> Iterator[str]:
    position: defaultdict[int, int] = defaultdict(int)
    for fill in bundle.fills:
        position[fill.account] += -fill.quantity_milli_wh if fill.is_buy else fill.quantity_milli_wh
    told = {(line.interval, line.account): line for line in bundle.imbalances}
    # what took the place of a substitute after this bundle was written is not what the next line went on from
    substituted = {
        (line.account, line.interval): line.register_milli_wh
        for line in bundle.readings
        if line.is_substitute
    }
    for reading in bundle.readings:
        account = reading.account
        name = f"imbalance of account {account}"
        late = "" if reading.interval == interval else f" in interval {reading.interval}"
        before = substituted.get(
            (account, reading.interval - 1), record.register_before(account, reading.interval)
        )
        tariffs = record.tariffs(reading.interval)
        line = told.pop((reading.interval, account), None)
        if before is None or tariffs is None:
            yield f"account {account}: its register before the interval is not on chain{late}"
            continue
        # an older interval's fills stand in its own bundle, and were compared with the chain there
        sold = position[account] if not late else record.position_milli_wh(account, reading.interval)
        state = record.ledger.accounts[account]
        tariff = tariffs[state.zone]
        imbalance = int(
            imbalance_milli_wh(
                reading.register_milli_wh,
                before,
                sold,
                state.curtailed_milli_wh.get(reading.interval, 0),
                tariff.short_micro_per_kwh,
            )
        )
        price = tariff.short_micro_per_kwh if imbalance < 0 else tariff.long_micro_per_kwh
        metered = reading.register_milli_wh - before
        expected = ImbalanceLine(reading.interval, account, sold, metered, imbalance, Pico(imbalance * price))
        if line is None:
            yield f"{name}{late} is missing, recomputed {imbalance} mWh"
        elif line != expected:
            for field in expected.__slots__:
                ours, theirs = getattr(expected, field), getattr(line, field)
                if ours != theirs:
                    yield f"{name}{late}: {field} is {theirs}, recomputed {ours}"
    for _, account in told:
        yield f"imbalance of account {account}, whose meter was not read"
