"""A row of the hub's database that was touched is found in the bundle it is rendered to, and named."""

import re
from dataclasses import fields as fields_of
from dataclasses import replace

import pytest
from sqlalchemy import insert, select, update

from node.audit.bundle import decode, encode, file_name
from node.audit.commitment import bundle_hash
from node.audit.intervals import Auditor
from node.audit.lines import (
    KINDS,
    CurtailmentLine,
    FillLine,
    Network,
    OrderLine,
    Pico,
    RoundLine,
    Trailer,
    ZoneLine,
)
from node.bus.messages import CurtailmentNotice
from node.chain import typed_data
from node.simulation import Simulation
from node.store.tables_market import (
    curtailments,
    fills,
    imbalances,
    orders,
    prices,
    readings,
    rounds,
    tariffs,
    trades,
)
from tests.simulation.auditing import Audit, one_key, records, replayed

CHANGES = [
    (
        "an order's limit",
        orders,
        {"limit_micro_per_kwh": orders.c.limit_micro_per_kwh + 1},
        "order .*hashes to",
    ),
    (
        "an order's quantity",
        orders,
        {"quantity_milli_wh": orders.c.quantity_milli_wh - 1},
        "order .*hashes to",
    ),
    ("an order's account", orders, {"account": orders.c.account + 1}, "order .*hashes to"),
    (
        "an order's place",
        orders,
        {"received_at_s": orders.c.received_at_s - 1},
        "receipt .* is not signed by",
    ),
    ("a signature", orders, {"signature": bytes(64)}, "signature is not by the agent"),
    ("a receipt", orders, {"receipt": bytes(64)}, "receipt .* is not signed by the operator"),
    ("a fill", fills, {"quantity_milli_wh": fills.c.quantity_milli_wh + 1}, "fill of order .* recomputed"),
    ("a fill's money", fills, {"amount_pico": 7}, "fill of order .*: amount_pico is 7, recomputed"),
    ("a price", prices, {"price_micro_per_kwh": prices.c.price_micro_per_kwh + 1}, "price is .* recomputed"),
    ("a bound", prices, {"high_micro_per_kwh": prices.c.high_micro_per_kwh + 1}, "high is .* recomputed"),
    ("a trade", trades, {"quantity_milli_wh": trades.c.quantity_milli_wh - 1}, "trade .* recomputed"),
    ("whose wish a trade was", trades, {"met": trades.c.met + 1}, "trade .*: met is .* recomputed"),
    ("an order's wish", orders, {"partner": 2**33}, "order .*: partner .* is out of range"),
    ("a book root", rounds, {"book_root": bytes(32)}, "book root is .* recomputed"),
    ("a cut", rounds, {"next_sequence": 0}, "but its cut leaves it out"),
    ("a volume", rounds, {"volume_milli_wh": rounds.c.volume_milli_wh + 1}, "volume .* recomputed"),
    ("a register", readings, {"register_milli_wh": readings.c.register_milli_wh + 1}, "not by the meter"),
    ("a substitute", readings, {"is_substitute": True}, "not by the registrar"),
    ("a tariff", tariffs, {"short_micro_per_kwh": tariffs.c.short_micro_per_kwh + 1}, "tariffs .* on chain"),
    ("an imbalance", imbalances, {"amount_pico": 7}, "imbalance of account .*: amount_pico is 7, recomputed"),
]


@pytest.mark.parametrize(
    ("table", "values", "expected"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_a_row_that_the_hub_changed_is_found_and_named(audit, bent, table, values, expected) -> None:
    interval = audit.busiest
    key = one_key(audit, table, interval)
    assert bent(interval) == audit.file(interval)
    found = audit.check(interval, bent(interval, update(table).where(*key).values(**values)))
    assert found is not None
    assert re.search(expected, found), found


def test_a_curtailment_that_the_hub_invents_is_found(audit: Audit, bent) -> None:
    row = {"account": 3, "quantity_milli_wh": 9, "reason": "supply", "signature": bytes(64)}
    invented = insert(curtailments).values(interval=audit.busiest, **row)
    assert "curtailment of account 3 is 9 mWh, on chain 0" in audit.check(
        audit.busiest, bent(audit.busiest, invented)
    )


def test_a_curtailment_that_was_signed_is_in_the_bundle_and_on_chain(corner, tmp_path) -> None:
    community = corner(tmp_path / "curtailed", stop=1)
    interval = community.scenario.delivery_intervals().start + 1
    r, vs = typed_data.sign(
        community.keys.role("curtailer"), community.domain, typed_data.Curtailment(3, interval, 5_000)
    )
    with community.store.begin() as connection:
        community.metering.curtail(connection, [CurtailmentNotice(3, interval, 5_000, "supply", r, vs)])
    Simulation(community).run(interval + 1)
    data = (tmp_path / "curtailed" / "bundles" / file_name(interval)).read_bytes()
    bundle = decode(data)
    assert [line.quantity_milli_wh for line in bundle.curtailments] == [5_000]
    record = replayed(community)
    assert Auditor(record).check(interval, data) is None
    more = replace(bundle.curtailments[0], quantity_milli_wh=5_001)
    for lines, expected in (([], "is 0 mWh, on chain 5000"), ([more], "is 5001 mWh, on chain 5000")):
        told = encode(records(replace(bundle, curtailments=tuple(lines))))
        assert expected in (Auditor(record).check(interval, told) or "")
    forged = replace(bundle.curtailments[0], signature=bytes(64))
    told = encode(records(replace(bundle, curtailments=(forged,))))
    assert "not by the curtailer" in (Auditor(record).check(interval, told) or "")


def test_a_hub_that_bends_an_auction_before_it_commits_is_found_too(corner, tmp_path) -> None:
    """It moves energy from one order to another: signatures, limits, chunk and hash on chain are all right."""
    community = corner(tmp_path / "bent", stop=10)
    start = community.scenario.delivery_intervals().start
    with community.store.begin() as connection:
        interval, giver, taker = _movable(connection, start + 10)
        for sequence, energy_milli_wh in ((giver, -1), (taker, 1)):
            key = [fills.c.interval == interval, fills.c.round == 0, fills.c.sequence == sequence]
            changed = fills.c.quantity_milli_wh + energy_milli_wh
            assert connection.execute(update(fills).where(*key).values(quantity_milli_wh=changed)).rowcount
    Simulation(community).run(interval + 1)
    data = (tmp_path / "bent" / "bundles" / file_name(interval)).read_bytes()
    record = replayed(community)
    assert bundle_hash(data) == record.by_interval[interval].notes[0].note.bundle_hash
    found = Auditor(record).check(interval, data)
    assert found is not None
    assert "round 0: fill of order" in found
    assert found.endswith("(the operator committed to this bundle)")


def _movable(connection, first: int) -> tuple[int, int, int]:
    """Return an interval and two filled orders of one side, of which the second is not filled whole."""
    rows = connection.execute(
        select(fills, orders.c.quantity_milli_wh.label("ordered"))
        .join(orders, orders.c.sequence == fills.c.sequence)
        .where(fills.c.interval >= first, fills.c.round == 0, fills.c.quantity_milli_wh > 1)
        .order_by(fills.c.interval, fills.c.sequence)
    ).all()
    return next(
        (taker.interval, giver.sequence, taker.sequence)
        for taker in rows
        for giver in rows
        if (taker.interval, taker.is_buy) == (giver.interval, giver.is_buy)
        and taker.sequence != giver.sequence
        and taker.quantity_milli_wh < taker.ordered
    )


def test_a_fill_moved_from_one_order_to_another_is_found(audit: Audit, bent) -> None:
    """The sum stays the same: only clearing again shows it."""
    for interval in audit.community.scenario.delivery_intervals():
        bundle = decode(audit.file(interval))
        sells = [fill for fill in bundle.fills if not fill.is_buy and fill.quantity_milli_wh > 1]
        if len({fill.round for fill in sells[:2]}) == 1 and len(sells) >= 2:
            break
    moves = [_moved(interval, sells[0], -1), _moved(interval, sells[1], 1)]
    assert "fill of order" in audit.check(interval, bent(interval, *moves))


def _moved(interval: int, fill: FillLine, energy_milli_wh: int):
    return (
        update(fills)
        .where(fills.c.interval == interval, fills.c.round == fill.round, fills.c.sequence == fill.sequence)
        .values(quantity_milli_wh=fill.quantity_milli_wh + energy_milli_wh)
    )


# ------------------------------------------------------------------ every field of every kind of line

# What only the hash on chain shows: names, groups, wishes that met nobody, a gate moved to where nothing arrived.
TOLD_ONLY = {
    (RoundLine, "cleared_at_s"),
    *((Network, told) for told in ("name", "member_of", "sources")),
    *((OrderLine, wish) for wish in ("source", "partner", "group")),
}


def _other(value, name: str):
    """Return another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, tuple):
        return (*value[:-1], _other(value[-1], name)) if value else None
    return Pico(value + 1) if name == "amount_pico" else (value or 0) + 1


def _fields(audit: Audit) -> dict[str, list]:
    """Return every kind of line with every field, in an interval in which as much as possible happened."""
    bundle = decode(audit.file(audit.busiest))
    of_kind = {type(line): line for line in reversed(records(bundle))}
    filled = {fill.sequence for fill in bundle.fills}
    of_kind[OrderLine] = next(line for line in bundle.orders if line.sequence in filled)
    return [(line, field.name) for line in of_kind.values() for field in fields_of(line)]


def test_any_field_of_any_kind_of_line_that_is_changed_is_found_by_its_meaning(audit: Audit) -> None:
    interval = audit.busiest
    lines = records(decode(audit.file(interval)))
    kinds = set()
    for line, name in _fields(audit):
        changed = replace(line, **{name: _other(getattr(line, name), name)})
        told = encode([changed if one is line or one == line else one for one in lines])
        found = audit.check(interval, told)
        assert found is not None, f"{type(line).__name__}.{name}"
        if (type(line), name) not in TOLD_ONLY:
            assert not found.startswith("its hash"), f"only the hash shows {type(line).__name__}.{name}"
        kinds.add(type(line))
    assert kinds == set(KINDS.values()) - {Trailer, ZoneLine, CurtailmentLine}, (
        "those have tests of their own"
    )


# ------------------------------------------------------------------ times and gaps


def _with_round(audit: Audit, interval: int, **changes: int) -> str:
    bundle = decode(audit.file(interval))
    last = replace(bundle.rounds[-1], **changes)
    return audit.check(interval, encode(records(replace(bundle, rounds=(*bundle.rounds[:-1], last))))) or ""


def test_an_order_that_came_after_its_rounds_gate_is_found(audit: Audit) -> None:
    interval = audit.busiest
    bundle = decode(audit.file(interval))
    last = max(line.received_at_s for line in bundle.orders)
    found = _with_round(audit, interval, cleared_at_s=last)
    assert re.search(
        rf"order \d+ arrived at {last}, not before its gate closed at {last}, but was let in", found
    )


def test_a_round_that_was_cleared_after_delivery_began_is_found(audit: Audit) -> None:
    start_s = audit.community.scenario.grid.start_s(audit.busiest)
    found = _with_round(audit, audit.busiest, cleared_at_s=start_s + 1)
    assert f"cleared at {start_s + 1}, after the interval began at {start_s}" in found


def test_a_round_that_was_cleared_before_the_one_before_it_is_found(audit: Audit) -> None:
    bundle = decode(audit.file(audit.busiest))
    found = _with_round(audit, audit.busiest, cleared_at_s=bundle.rounds[0].cleared_at_s - 1)
    assert "before the round before it" in found


def _receipt(audit: Audit, line: OrderLine, **changes: int) -> OrderLine:
    """Return an order whose receipt the operator signed again with another number or time."""
    line = replace(line, **changes)
    message = typed_data.Receipt(line.hash, line.sequence, line.received_at_s)
    operator = audit.community.keys.role("operator")
    signature = typed_data.sign(operator, audit.community.domain, message)
    return replace(line, receipt=signature.to_bytes())


def test_receipts_whose_times_run_backwards_are_found(audit: Audit) -> None:
    bundle = decode(audit.file(audit.busiest))
    older = _receipt(audit, bundle.orders[-1], received_at_s=bundle.orders[0].received_at_s - 60)
    told = records(replace(bundle, orders=(*bundle.orders[:-1], older)))
    assert "receipts are numbered as orders arrive" in (audit.check(audit.busiest, encode(told)) or "")


def test_an_interval_without_bundle_chunk_and_hash_is_missing(audit: Audit) -> None:
    """Nobody can leave out an interval between two others without a trace."""
    interval = audit.busiest
    record = replayed(audit.community)
    del record.by_interval[interval]
    assert "missing bundle, and no hash of it on chain" in (Auditor(record).check(interval, None) or "")


def test_a_chunk_that_never_reached_the_chain_is_found(audit: Audit) -> None:
    record = replayed(audit.community)
    interval = audit.busiest
    last = record.by_interval[interval].chunks.pop()
    assert last.fills
    found = Auditor(record).check(interval, audit.file(interval)) or ""
    assert "never reached the chain within its fill window: void" in found


def test_an_interval_without_fills_needs_no_chunk_once_it_cannot_have_one(audit: Audit) -> None:
    """Its readings came in outside chunks, as after an outage longer than the fill window."""
    community = audit.community
    record = replayed(community)
    quiet = [
        interval
        for interval in community.scenario.delivery_intervals()
        if not decode(audit.file(interval)).fills
    ]
    assert quiet
    closed, fresh = Auditor(record), replayed(community)
    record.by_interval[quiet[0]].chunks.clear()
    assert closed.check(quiet[0], audit.file(quiet[0])) is None
    fresh.by_interval[quiet[0]].chunks.clear()
    ends_s = fresh.ledger.terms.end_s(quiet[0])
    fresh.head = replace(fresh.head, timestamp_s=ends_s + fresh.ledger.terms.fill_window_s - 1)
    found = Auditor(fresh).check(quiet[0], audit.file(quiet[0])) or ""
    assert "no chunk on chain settled it" in found
