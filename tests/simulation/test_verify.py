"""An auditor with bundles, address book and chain finds whatever is not as it was signed, cleared and settled."""

import json
import random
import shutil
from pathlib import Path

import pytest
from sqlalchemy import select, update

from node import verify
from node.audit.bundle import decode, encode, file_name
from node.audit.commitment import bundle_hash, decode_note, encode_note, noticeboard
from node.audit.intervals import Auditor
from node.audit.lines import columns
from node.audit.publishing import BundleChanged, Publisher
from node.audit.record import ChainRecord
from node.chain.contracts import cache_folder
from node.chain.direct import DirectCall, transact
from node.store.tables_market import (
    readings,
)
from tests.simulation.auditing import Audit, frame, one_key, records, replayed
from tests.simulation.conftest import Ran

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
    lines = records(bundle)
    for i, record in enumerate(lines):
        found = audit.check(interval, encode(lines[:i] + lines[i + 1 :]))
        assert found is not None, f"without {record}"
        assert not found.startswith("its hash"), f"only the hash shows that {record} is missing"


def test_a_bundle_of_another_interval_is_found(audit: Audit) -> None:
    interval = audit.busiest
    assert "the bundle is of interval" in (audit.check(interval, audit.file(interval - 1)) or "")


# ------------------------------------------------------------------ what is published, and what is told


def test_an_honest_hub_does_not_publish_what_was_changed_after_settlement(audit, tmp_path) -> None:
    community, interval = audit.community, audit.busiest
    publisher = Publisher(community.store, community.sender, frame(community), tmp_path)
    key = one_key(audit, readings, interval)
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
