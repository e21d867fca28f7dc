"""A chunk that came too late: what the outbox does once somebody says what is sent in its place."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from node.bench.live_community import OPERATOR, TARIFF
from node.chain import calldata
from node.chain.calldata import ReadCall, read_calldata
from node.chain.carried import Carriage
from node.chain.late import VOID, GivenUp, GiveUp
from node.chain.sender import OutboxState, Sender, SettlementHalted
from node.store.tables_chain import outbox
from tests.unit.node.chain.live import Node, contracts
from tests.unit.node.chain.stranger import carry
from tests.unit.node.chain.test_barrier import Overheard
from tests.unit.node.chain.test_carried import _curtail, _finish


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    started = Node.start(tmp_path)
    started.watcher.ingest()
    yield started
    started.close()


class Given:
    """Gives up the first `n` chunks, each with its readings, in the place of the chunk after them."""

    def __init__(self, node: Node, n: int) -> None:
        self._node, self._n = node, n
        self.asked: list[int] = []

    def __call__(self, _connection: Connection, late: bytes, _now_s: int) -> GivenUp | None:
        self.asked.append(calldata.decode_settle(late).sequence)
        if self._n == 0:
            return None
        community, first = self._node.community, self._node.community.first
        calls = []
        for sequence in range(self._n):
            _, chunk = community.whole_interval(sequence, first + sequence)
            full = calldata.decode_settle(chunk.data)
            calls.append(community.chunk(sequence, first + self._n, (), ()))
            read = read_calldata(ReadCall(full.interval, full.tariffs, full.readings))
            calls.append(replace(chunk, kind="late-readings", ref=f"void/{sequence}", data=read))
        return GivenUp(tuple(range(self._n)), tuple(calls))


def _with(node: Node, given: GiveUp) -> None:
    deployment = node.community.deployment
    carriage = Carriage(node.chain, contracts(), deployment)
    keys = {OPERATOR: node.community.keys[OPERATOR]}
    node.sender = Sender(node.store, node.chain, keys, carriage, give_up=given)


def _rows(node: Node) -> list[tuple[str, str, str, str | None]]:
    query = select(outbox.c.kind, outbox.c.ref, outbox.c.state, outbox.c.reason).order_by(outbox.c.id)
    with node.store.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def _plan(node: Node, n_late: int) -> None:
    """Plan intervals of which the first `n_late` are too late when the last one is not."""
    first = node.community.first
    window = node.community.deployment.parameters.fill_window_s // node.community.length_s
    for sequence in range(n_late + 1):
        _, chunk = node.community.whole_interval(sequence, first + sequence)
        node.plan([node.community.tariffs(first + sequence), chunk])
    node.chain.produce_block(node.community.end_s(first + n_late - 1 + window))


def test_what_is_given_up_is_final_and_what_follows_is_done_anew_behind_it(node: Node) -> None:
    given = Given(node, 3)
    _with(node, given)
    _plan(node, 3)
    _finish(node)
    assert given.asked == [0]  # once, for all of them
    chunks = [row[1:] for row in _rows(node) if row[0] == "chunk"]
    assert chunks[:3] == [(f"{n}", "final", VOID) for n in range(3)]
    assert [(ref, state) for ref, state, _ in chunks[3:]] == [
        ("3", "final"), ("0+", "final"), ("1+", "final"), ("2+", "final"), ("3+", "final"),
    ]  # fmt: skip
    node.recover()
    node.settle(4, node.community.first + 4)
    _finish(node)


def test_it_waits_halted_until_there_is_something_to_send(node: Node) -> None:
    given = Given(node, 0)
    _with(node, given)
    _plan(node, 2)
    node.sender.drive()
    node.mine(node.community.first)
    for _ in range(2):
        with pytest.raises(SettlementHalted, match="chunk 0: settlement: late"):
            node.sender.drive()
    given._n = 2
    _finish(node)
    assert {row[2] for row in _rows(node)} == {OutboxState.FINAL}


def test_nothing_is_given_up_before_the_refusal_is_final(node: Node) -> None:
    node.follow(Overheard(node.chain, depth=2))
    given = Given(node, 2)
    _with(node, given)
    _plan(node, 2)
    node.sender.drive()
    node.mine(node.community.first)
    for _ in range(2):
        with pytest.raises(SettlementHalted, match="settlement: late"):
            node.sender.drive()
        assert given.asked == []
        node.mine(node.community.first)
    node.sender.drive()
    assert given.asked == [0]
    node.chain.depth = 0
    for _ in range(4):  # what was sent anew too early is sent once more behind it
        node.mine(node.community.first)
        node.sender.drive()
    _finish(node)


def test_without_anybody_to_give_it_up_it_halts(node: Node) -> None:
    _plan(node, 1)
    node.sender.drive()
    node.mine(node.community.first)
    with pytest.raises(SettlementHalted, match="settlement: late"):
        node.sender.drive()


def test_a_curtailment_after_its_reading_is_given_up_and_all_goes_on(node: Node) -> None:
    """After an outage longer than the fill window a member brings his own reading in before our curtailment."""
    community, first = node.community, node.community.first
    asked: list[bytes] = []

    def give_up(_connection: Connection, late: bytes, _now_s: int) -> GivenUp:
        asked.append(late)
        return GivenUp((), ())

    _with(node, give_up)
    node.plan([community.tariffs(first)])
    node.sender.drive()
    node.chain.produce_block(community.end_s(first) + community.deployment.parameters.fill_window_s)
    read = ReadCall(first, (TARIFF,), tuple(community.readings(first)))
    carry(node, community.deployment.settlement, read_calldata(read))
    late = _curtail(node, 3, first, 500)
    node.plan([late])
    _finish(node)
    assert asked == [late.data]
    assert _rows(node)[-1][2:] == ("final", VOID)
