"""A chunk is shown to nobody before the curtailments that it must not overtake are final."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.chain.ports import CallReverted
from node.chain.sender import OutboxState, Sender
from tests.unit.node.chain.live import Node
from tests.unit.node.chain.stranger import carry
from tests.unit.node.chain.test_carried import _curtail, _end, _finish, _states


class Overheard:
    """A chain that remembers what was sent to it, and whose blocks are final `depth` later."""

    def __init__(self, chain: Any, depth: int = 0) -> None:
        self._chain = chain
        self.depth = depth
        self.sent: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def finalized(self) -> int:
        return self._chain.finalized() - self.depth

    def send_raw(self, raw: bytes) -> bytes:
        self.sent.append(raw)
        return self._chain.send_raw(raw)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    started = Node.start(tmp_path)
    started.watcher.ingest()
    yield started
    started.close()


def _planned(node: Node, sequence: int, interval: int, *, curtailed: bool) -> list[Any]:
    tariffs, chunk = node.community.whole_interval(sequence, interval)
    calls = [tariffs, *([_curtail(node, 3, interval, 500)] if curtailed else []), chunk]
    node.plan(calls)
    return calls


def test_a_chunk_waits_until_its_curtailments_are_mined(node: Node) -> None:
    first = node.community.first
    _planned(node, 0, first, curtailed=True)
    _planned(node, 1, first + 1, curtailed=False)
    _end(node, first + 1)
    node.follow(Overheard(node.chain))
    node.sender.drive()
    assert len(node.chain.sent) == 2  # tariffs and curtailment; all that follows has later nonces
    node.mine(first + 1)
    node.sender.drive()
    assert len(node.chain.sent) == 5
    _finish(node)


def test_a_chunk_waits_until_no_reorganisation_can_take_its_curtailments_back(node: Node) -> None:
    first = node.community.first
    _planned(node, 0, first, curtailed=True)
    node.follow(Overheard(node.chain, depth=3))
    node.sender.drive()
    for _ in range(3):
        node.mine(first)
        node.sender.drive()
        assert len(node.chain.sent) == 2
    node.mine(first)
    node.sender.drive()
    assert len(node.chain.sent) == 3
    node.chain.depth = 0
    _finish(node)


def test_whoever_listens_cannot_carry_the_chunk_in_before_the_curtailment(node: Node) -> None:
    """Without the barrier he could: then the curtailment reverts, and the member pays for what was ordered."""
    first = node.community.first
    calls = _planned(node, 0, first, curtailed=True)
    node.follow(Overheard(node.chain))
    node.sender.drive()
    assert all(calls[2].data not in raw for raw in node.chain.sent)
    _finish(node)
    assert set(_states(node)) == {OutboxState.FINAL}


def test_what_the_barrier_is_against(node: Node) -> None:
    community, first = node.community, node.community.first
    tariffs, chunk = community.whole_interval(0, first)
    _end(node, first)
    carry(node, tariffs.to, tariffs.data)
    carry(node, chunk.to, chunk.data)
    late = _curtail(node, 3, first, 500)
    with pytest.raises(CallReverted, match="registry: read"):
        carry(node, late.to, late.data)


def test_an_interval_without_curtailments_waits_for_nothing(node: Node) -> None:
    first = node.community.first
    _planned(node, 0, first, curtailed=False)
    node.follow(Overheard(node.chain))
    node.sender.drive()
    assert len(node.chain.sent) == 2


def test_where_we_make_the_blocks_all_is_sent_at_once_and_mined_in_this_order(node: Node) -> None:
    first = node.community.first
    node.follow(Overheard(node.chain))
    keys = {"operator": node.community.keys["operator"]}
    node.sender = Sender(node.store, node.chain, keys, makes_blocks=True)
    _planned(node, 0, first, curtailed=True)
    node.sender.drive()
    assert len(node.chain.sent) == 3
    _finish(node)


def test_a_restart_goes_on_behind_the_barrier(node: Node, tmp_path: Path) -> None:
    first = node.community.first
    _planned(node, 0, first, curtailed=True)
    node.sender.drive()
    again = node.restart(tmp_path)
    again.follow(Overheard(node.chain))
    again.sender.drive()
    assert again.chain.sent == []  # what was sent waits there, the chunk waits here
    _finish(again)
    again.store.close()
