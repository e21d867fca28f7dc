"""An auditor with bundles, address book and chain finds whatever is not as it was signed, cleared and settled."""

import json
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text, update

from node import verify
from node.audit.bundle import Bundle, decode, encode, file_name
from node.audit.commitment import bundle_hash, decode_note, encode_note, noticeboard
from node.audit.intervals import Auditor
from node.audit.lines import FillLine, columns
from node.audit.publishing import BundleChanged, Frame, Publisher, network_of, render
from node.audit.record import ChainRecord
from node.bus.messages import CurtailmentNotice
from node.chain import typed_data
from node.chain.contracts import cache_folder
from node.chain.direct import DirectCall, transact
from node.community import Community
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
from tests.simulation.conftest import Ran


@dataclass(frozen=True, slots=True)
class Audit:
    """What an auditor holds: a replayed chain and the files; and, for the tests, the community behind them."""

    record: ChainRecord
    bundles: Path
    community: Community

    def file(self, interval: int) -> bytes:
        return (self.bundles / file_name(interval)).read_bytes()

    def check(self, interval: int, data: bytes | None) -> str | None:
        return Auditor(self.record).check(interval, data)

    @property
    def busiest(self) -> int:
        """An interval in which as much as possible happened."""
        with self.community.store.read() as connection:
            traded = connection.execute(
                text("select interval from fills group by interval order by count(*) desc, interval limit 1")
            ).scalar_one()
        return int(traded)


@pytest.fixture(scope="session")
def audit(ran: Ran) -> Audit:
    community = ran.community
    return Audit(replayed(community), ran.data / "bundles", community)


def replayed(community: Community) -> ChainRecord:
    record = ChainRecord(community.chain, community.contracts, community.deployment)
    record.replay()
    return record


def frame(community: Community) -> Frame:
    topology, account = community.plant.topology, community.registry.account
    known = community.registry
    network = network_of(
        topology.ids, topology.parent, account, topology.node_of_participant, known.member_of, known.sources
    )
    return Frame(community.domain, network)


# ------------------------------------------------------------------ all is well


def test_every_interval_of_an_honest_day_verifies(audit: Audit) -> None:
    auditor = Auditor(audit.record)
    delivery = audit.community.scenario.delivery_intervals()
    assert verify.bundle_files(audit.bundles) == set(delivery)
    assert {t: auditor.check(t, audit.file(t)) for t in delivery} == dict.fromkeys(delivery)
    assert audit.record.general == []
    assert audit.record.is_historical


def test_the_day_had_something_to_verify(audit: Audit) -> None:
    bundles = [decode(audit.file(t)) for t in audit.community.scenario.delivery_intervals()]
    assert sum(len(b.fills) for b in bundles) > 50
    assert {r.round for b in bundles for r in b.rounds} == {0, 1}


def test_the_command_needs_only_public_files(audit: Audit, ran: Ran, tmp_path: Path) -> None:
    for name in ("chain.sqlite", "contracts.json"):
        shutil.copy(ran.data / "state" / name, tmp_path / name)
    wal = ran.data / "state" / "chain.sqlite-wal"
    if wal.exists():
        shutil.copy(wal, tmp_path / wal.name)
    shutil.copytree(audit.bundles, tmp_path / "bundles")
    said: list[str] = []
    assert verify.run(_options(tmp_path), said.append)
    assert sum(line.endswith(": ok") for line in said) == 24
    first = audit.community.scenario.delivery_intervals().start
    damaged = tmp_path / "bundles" / file_name(first)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (tmp_path / "bundles" / file_name(first + 1)).unlink()
    said.clear()
    assert not verify.run(_options(tmp_path), said.append)
    assert f"interval {first}: bundle: the file does not end with a line: it was cut short" in said
    assert any(
        line.startswith(f"interval {first + 1}: missing bundle; its hash on chain is 0x") for line in said
    )


def _options(folder: Path) -> verify.Options:
    book, chain = folder / "contracts.json", folder / "chain.sqlite"
    return verify.Options(folder / "bundles", book, None, chain, cache_folder())


def test_a_chain_that_is_being_written_can_be_verified(ran: Ran) -> None:
    """The community of the session is open: its chain file has a writer."""
    state = ran.data / "state"
    options = verify.Options(
        ran.data / "bundles", state / "contracts.json", None, state / "chain.sqlite", cache_folder()
    )
    assert verify.run(options, lambda _line: None)


# ------------------------------------------------------------------ a file that was touched


def test_any_flipped_byte_is_found(audit: Audit) -> None:
    """One bit each at 300 places: every one changes what the file says, or how it says it."""
    interval = audit.busiest
    data = audit.file(interval)
    chance = random.Random(493_425)
    for at in sorted(chance.sample(range(len(data)), min(300, len(data)))):
        bent = bytearray(data)
        bent[at] ^= 1 << chance.randrange(8)
        assert audit.check(interval, bytes(bent)) is not None, f"byte {at}"


def test_any_line_dropped_doubled_or_moved_is_found(audit: Audit) -> None:
    interval = audit.busiest
    lines = audit.file(interval).splitlines(keepends=True)
    for i in range(len(lines)):
        assert audit.check(interval, b"".join(lines[:i] + lines[i + 1 :])) is not None
        assert audit.check(interval, b"".join(lines[: i + 1] + lines[i:])) is not None
        if i:
            swapped = [*lines[: i - 1], lines[i], lines[i - 1], *lines[i + 1 :]]
            assert audit.check(interval, b"".join(swapped)) is not None


def test_a_line_dropped_with_its_count_is_found_by_its_meaning(audit: Audit) -> None:
    interval = audit.busiest
    bundle = decode(audit.file(interval))
    records = _records(bundle)
    for i, record in enumerate(records):
        found = audit.check(interval, encode(records[:i] + records[i + 1 :]))
        assert found is not None, f"without {record}"
        assert not found.startswith("its hash"), f"only the hash shows that {record} is missing"


def test_a_bundle_of_another_interval_is_found(audit: Audit) -> None:
    interval = audit.busiest
    assert "the bundle is of interval" in (audit.check(interval, audit.file(interval - 1)) or "")


def _records(bundle: Bundle) -> list:
    return [
        bundle.head,
        bundle.network,
        *bundle.tariffs,
        *bundle.orders,
        *bundle.rounds,
        *bundle.prices,
        *bundle.fills,
        *bundle.trades,
        *bundle.curtailments,
        *bundle.readings,
        *bundle.imbalances,
    ]


# ------------------------------------------------------------------ a row of the hub's database was touched

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
    ("an order's account", orders, {"account": 5}, "order .*hashes to"),
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


@pytest.fixture
def bent(audit: Audit) -> Callable[..., bytes]:
    """Render a bundle from a store in which something was changed, which is then undone."""

    def render_bent(interval: int, *statements) -> bytes:
        class Undo(Exception):
            pass

        rendered = []
        try:
            with audit.community.store.begin() as connection:
                for statement in statements:
                    assert connection.execute(statement).rowcount == 1
                rendered.append(render(connection, frame(audit.community), interval))
                raise Undo
        except Undo:
            return rendered[0]

    return render_bent


@pytest.mark.parametrize(
    ("table", "values", "expected"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_a_row_that_the_hub_changed_is_found_and_named(audit, bent, table, values, expected) -> None:
    interval = audit.busiest
    key = _one_key(audit, table, interval)
    assert bent(interval) == audit.file(interval)
    found = audit.check(interval, bent(interval, update(table).where(*key).values(**values)))
    assert found is not None
    assert re.search(expected, found), found


def _one_key(audit: Audit, table, interval: int) -> list:
    """Return the primary key of one row of the interval: a filled order, the first of everything else."""
    with audit.community.store.read() as connection:
        if table is orders:
            number = connection.execute(
                select(fills.c.sequence)
                .where(fills.c.interval == interval)
                .order_by(fills.c.sequence)
                .limit(1)
            ).scalar_one()
            return [orders.c.sequence == number]
        columns_of = list(table.primary_key.columns)
        row = connection.execute(
            select(*columns_of).where(table.c.interval == interval).order_by(*columns_of).limit(1)
        ).one()
    return [column == value for column, value in zip(columns_of, row, strict=True)]


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
        told = encode(_records(replace(bundle, curtailments=tuple(lines))))
        assert expected in (Auditor(record).check(interval, told) or "")
    forged = replace(bundle.curtailments[0], signature=bytes(64))
    told = encode(_records(replace(bundle, curtailments=(forged,))))
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


def test_an_honest_hub_does_not_publish_what_was_changed_after_settlement(audit, tmp_path) -> None:
    community, interval = audit.community, audit.busiest
    publisher = Publisher(community.store, community.sender, frame(community), tmp_path)
    key = _one_key(audit, readings, interval)
    with community.store.read() as connection:
        before = connection.execute(select(readings.c.register_milli_wh).where(*key)).scalar_one()
    try:
        with community.store.begin() as connection:
            connection.execute(update(readings).where(*key).values(register_milli_wh=before + 1))
        with pytest.raises(BundleChanged, match=f"interval {interval} .* the store was changed"):
            publisher.publish()
    finally:
        with community.store.begin() as connection:
            connection.execute(update(readings).where(*key).values(register_milli_wh=before))
    assert not (tmp_path / file_name(interval)).exists()
    assert interval in publisher.publish()


def test_bundles_are_published_once_and_after_a_crash_again_with_the_same_bytes(audit, tmp_path) -> None:
    community = audit.community
    (tmp_path / f"{file_name(audit.busiest)}.partial").write_bytes(b"half a bundle")
    publisher = Publisher(community.store, community.sender, frame(community), tmp_path)
    assert publisher.publish() == list(community.scenario.delivery_intervals())
    assert publisher.publish() == []
    for path in audit.bundles.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


# ------------------------------------------------------------------ the chain


class LyingChain:
    """A chain whose contract says another balance than it computed."""

    def __init__(self, chain, contracts, deployment, account: int, more_pico: int) -> None:
        self._chain, self._contract, self._deployment = chain, contracts.settlement, deployment
        self._account, self._more = account, more_pico

    def __getattr__(self, name: str):
        return getattr(self._chain, name)

    def call(self, to, data, **options):
        returned = self._chain.call(to, data, **options)
        if data[:4] != self._contract.selector("words"):
            return returned
        asked = self._contract.arguments("words", data)[0]
        words = list(self._contract.result("words", returned))
        if self._account in asked:
            words[asked.index(self._account)] += self._more
        length = len(words).to_bytes(32, "big")
        return (32).to_bytes(32, "big") + length + b"".join(word.to_bytes(32, "big") for word in words)


def test_a_balance_that_is_not_what_follows_from_the_chunks_is_found(audit: Audit) -> None:
    community = audit.community
    chain = LyingChain(community.chain, community.contracts, community.deployment, 3, 7)
    record = ChainRecord(chain, community.contracts, community.deployment)
    record.replay()
    interval = audit.busiest
    found = Auditor(record).check(interval, audit.file(interval))
    assert found is not None
    assert found.startswith("account 3: balance on chain is ")
    assert any(line.startswith("account 3: balance on chain is ") for line in record.general)


def test_only_the_operators_notes_count_and_a_second_story_is_evidence(corner, tmp_path) -> None:
    community = corner(tmp_path / "two", stop=2)
    first = community.scenario.delivery_intervals().start
    board = noticeboard(community.deployment.settlement)
    data = (tmp_path / "two" / "bundles" / file_name(first)).read_bytes()
    record = replayed(community)
    note = record.by_interval[first].notes[0].note
    assert note.bundle_hash == bundle_hash(data)
    other = type(note)(first, bytes(31) + b"\1", note.books)

    def tell(role: str) -> str | None:
        call = DirectCall(community.keys.role(role), board, encode_note(other))
        mine = lambda: community.chain.produce_block(community.chain.head().timestamp_s + 1)  # noqa: E731
        transact(community.chain, call, mine)
        return Auditor(replayed(community)).check(first, data)

    assert tell("fees") is None, "anybody may write to the noticeboard, and is not heard"
    assert "committed to 2 different bundles" in (tell("operator") or "")


def test_notes_are_read_as_written_or_not_at_all(audit: Audit) -> None:
    note = audit.record.by_interval[audit.busiest].notes[0].note
    assert decode_note(encode_note(note)) == note
    assert decode_note(encode_note(note) + b"\0") is None
    assert decode_note(encode_note(note)[:-1]) is None
    assert decode_note(b"") is None


def test_columns_keep_the_order_of_lines(audit: Audit) -> None:
    bundle = decode(audit.file(audit.busiest))
    sequence, account = columns(bundle.orders, "sequence", "account")
    assert sequence == sorted(sequence)
    assert len(account) == len(bundle.orders)
    assert json.loads(audit.file(audit.busiest).splitlines()[0])["kind"] == "interval"


def test_a_stop_before_publication_leaves_nothing_unpublished_and_the_same_bytes(
    audit: Audit, corner, tmp_path: Path
) -> None:
    data = tmp_path / "stopped"
    corner(data, stop=2).close()
    delivery = audit.community.scenario.delivery_intervals()
    lost = data / "bundles" / file_name(delivery.start + 1)
    lost.unlink()
    corner(data, stop=2).close()
    assert lost.read_bytes() == audit.file(delivery.start + 1)
    corner(data, stop=4)
    for interval in delivery[:4]:
        assert (data / "bundles" / file_name(interval)).read_bytes() == audit.file(interval)
