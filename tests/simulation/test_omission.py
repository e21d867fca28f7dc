"""A hub that takes an order, signs its receipt, and drops it before the auction: the receipt convicts it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, select

from market.orders import Order
from node import profiles, verify
from node.audit.bundle import decode, file_name
from node.audit.omission import BadReceipt, Verdict, prove, read_receipt
from node.audit.record import ChainRecord
from node.bus.messages import OrderBatch, Receipt, SignedOrder
from node.chain.contracts import cache_folder
from node.chain.typed_data import CompactSignature
from node.community import Community, open_community
from node.scenario import load
from node.simulation import Simulation
from node.store.tables_market import fills, orders, prices
from tests.simulation.conftest import CORNER, Ran


@dataclass(frozen=True, slots=True)
class Dropped:
    """What is left of an order that a hub dropped: its receipt in the agent's hands, and the public data."""

    community: Community
    data: Path
    interval: int
    receipt: dict[str, Any]

    def record(self) -> ChainRecord:
        found = ChainRecord(self.community.chain, self.community.contracts, self.community.deployment)
        found.replay()
        return found

    def file(self, interval: int) -> bytes:
        return (self.data / "bundles" / file_name(interval)).read_bytes()


def best_bid(ran: Ran) -> tuple[int, bytes]:
    """Return interval and hash of a filled bid of one early interval that beats its price by most."""
    first = ran.scenario.delivery_intervals().start
    with ran.community.store.read() as connection:
        row = connection.execute(
            select(orders.c.first, orders.c.hash)
            .join(fills, fills.c.sequence == orders.c.sequence)
            .join(prices, (prices.c.interval == fills.c.interval) & (prices.c.round == fills.c.round))
            .where(orders.c.is_buy, orders.c.first == orders.c.last, fills.c.round == 0)
            .where(fills.c.interval < first + 12)
            .order_by((orders.c.limit_micro_per_kwh - prices.c.price_micro_per_kwh).desc())
            .limit(1)
        ).one()
    return row.first, row.hash


def paper(signed: SignedOrder, receipt: Receipt) -> dict[str, Any]:
    """Return what an agent keeps: the body it posted and the answer it got, as the API writes them."""
    order = signed.order
    body = {name: getattr(order, name) for name in Order.__slots__}
    body |= {"source": "any", "signature": f"0x{CompactSignature(signed.r, signed.vs).to_bytes().hex()}"}
    answer = {
        "order_hash": f"0x{receipt.order_hash}",
        "sequence": receipt.sequence,
        "received_at": receipt.received_at_s,
        "signature": f"0x{CompactSignature(receipt.r, receipt.vs).to_bytes().hex()}",
    }
    return {"order": body, "receipt": answer}


@pytest.fixture(scope="module")
def dropped(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dropped]:
    interval, wanted = best_bid(ran)
    data = tmp_path_factory.mktemp("dropping")
    scenario = load(CORNER)
    community = open_community(scenario, profiles.load(scenario), data)
    kept: list[dict[str, Any]] = []
    honest = community.trading.submit

    def submit(batches: list[OrderBatch]):
        answers = honest(batches)
        for batch, receipts in zip(batches, answers, strict=True):
            for signed, receipt in zip(batch.orders, receipts.answers, strict=True):
                if isinstance(receipt, Receipt) and bytes.fromhex(receipt.order_hash) == wanted:
                    drop(community, receipt.sequence)
                    kept.append(paper(signed, receipt))
        return answers

    community.trading.submit = submit
    Simulation(community).run(interval + 1)
    assert len(kept) == 1
    yield Dropped(community, data, interval, kept[0])
    community.close()


def drop(community: Community, sequence: int) -> None:
    """Take an accepted order out of book and database, as if it had never come."""
    book = community.clearing._book
    row = int(np.searchsorted(book.column("sequence"), sequence))
    book.column("quantity_milli_wh")[row] = 0
    with community.store.begin() as connection:
        connection.execute(delete(orders).where(orders.c.sequence == sequence))


def test_the_receipt_of_a_dropped_order_proves_that_it_was_left_out(dropped: Dropped, tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(dropped.receipt))
    state = dropped.data / "state"
    options = verify.Options(
        dropped.data / "bundles", state / "contracts.json", None, state / "chain.sqlite", cache_folder()
    )
    said: list[str] = []
    assert verify.prove_omission(options, path, said.append)
    words = said[-1]
    assert words.startswith(f"interval {dropped.interval}: omitted: the operator received order ")
    assert "and left it out" in words
    assert "is better than the round's price with the fee" in words


def test_what_it_would_have_got_is_the_auction_with_it(dropped: Dropped, ran: Ran) -> None:
    """In the honest run the same order was there: its fill is the independent answer."""
    record = dropped.record()
    line = read_receipt(json.dumps(dropped.receipt), record)
    with ran.community.store.read() as connection:
        got = connection.execute(
            select(fills.c.quantity_milli_wh, fills.c.price_micro_per_kwh)
            .join(orders, orders.c.sequence == fills.c.sequence)
            .where(orders.c.hash == line.hash, fills.c.interval == dropped.interval)
        ).one()
    words = prove(record, line, dropped.interval, dropped.file(dropped.interval)).words
    expected = f"{got.quantity_milli_wh} of {line.quantity_milli_wh} mWh at {got.price_micro_per_kwh}"
    assert words.endswith(f"with it, it would have got {expected}")


def test_an_order_that_was_let_in_is_no_omission(dropped: Dropped) -> None:
    record = dropped.record()
    bundle = decode(dropped.file(dropped.interval))
    filled = {fill.sequence for fill in bundle.fills}
    for line in bundle.orders:
        finding = prove(record, line, dropped.interval, dropped.file(dropped.interval))
        assert finding.verdict == Verdict.INCLUDED
        assert ("got nothing" in finding.words) == (line.sequence not in filled)


def test_no_bundle_or_one_the_operator_never_committed_to_proves_nothing(dropped: Dropped) -> None:
    record = dropped.record()
    line = read_receipt(json.dumps(dropped.receipt), record)
    missing = prove(record, line, dropped.interval, None)
    assert missing.verdict == Verdict.UNKNOWN
    other = prove(record, line, dropped.interval, dropped.file(dropped.interval).replace(b"sun", b"fun"))
    assert other.verdict == Verdict.UNKNOWN
    assert "did not commit" in other.words


def test_an_order_that_arrived_after_the_last_round_was_not_left_out(dropped: Dropped) -> None:
    record = dropped.record()
    line = read_receipt(json.dumps(dropped.receipt), record)
    last = decode(dropped.file(dropped.interval)).rounds[-1]
    late = replace(line, sequence=last.next_sequence + 1, received_at_s=last.cleared_at_s)
    assert prove(record, late, dropped.interval, dropped.file(dropped.interval)).verdict == Verdict.INCLUDED


def test_an_order_whose_lane_was_signed_anew_was_not_left_out(dropped: Dropped) -> None:
    record = dropped.record()
    bundle = decode(dropped.file(dropped.interval))
    newer = [line for line in bundle.orders if line.sequence < bundle.rounds[0].next_sequence][-1]
    listed = {line.sequence for line in bundle.orders}
    free = next(number for number in range(newer.sequence) if number not in listed)
    older = replace(newer, hash=bytes(32), sequence=free)
    finding = prove(record, older, dropped.interval, dropped.file(dropped.interval))
    assert finding.verdict == Verdict.INCLUDED
    assert f"order {newer.sequence} of the same lane took its place" in finding.words


def test_one_number_signed_for_two_orders_is_proof_by_itself(dropped: Dropped) -> None:
    record = dropped.record()
    line = read_receipt(json.dumps(dropped.receipt), record)
    listed = decode(dropped.file(dropped.interval)).orders[0]
    twin = replace(line, sequence=listed.sequence)
    finding = prove(record, twin, dropped.interval, dropped.file(dropped.interval))
    assert finding.verdict == Verdict.OMITTED
    assert "published another order" in finding.words


@pytest.mark.parametrize(
    ("part", "field", "value", "expected"),
    [
        ("order", "limit_micro_per_kwh", 1, "not signed by the agent"),
        ("order", "account", 4, "not signed by the agent"),
        ("order", "epoch", 2, "not signed by the agent"),
        ("order", "lane", 32, "lane is 32"),
        ("order", "is_buy", 1, "is_buy is 1"),
        ("receipt", "sequence", 0, "not signed by the operator"),
        ("receipt", "received_at", 1_700_000_000, "not signed by the operator"),
        ("receipt", "received_at", "yesterday", "expected an order and its receipt"),
        ("receipt", "signature", "0x00", "not signed by the operator"),
        ("receipt", "sequence", -1, "not signed by the operator"),
        ("receipt", "received_at", -1, "not signed by the operator"),
        ("receipt", "sequence", "7", "expected an order and its receipt"),
    ],
)
def test_a_receipt_that_was_tampered_with_is_refused(dropped, part, field, value, expected) -> None:
    bent = {key: dict(content) for key, content in dropped.receipt.items()}
    bent[part][field] = value
    with pytest.raises(BadReceipt, match=expected):
        read_receipt(json.dumps(bent), dropped.record())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"order": 1, "receipt": 2}', "[" * 100_000])
def test_what_is_no_receipt_is_refused(dropped: Dropped, text: str) -> None:
    with pytest.raises(BadReceipt, match="expected an order and its receipt"):
        read_receipt(text, dropped.record())
