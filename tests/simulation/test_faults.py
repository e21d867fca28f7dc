"""What goes wrong between a node, its chain and its disk, from a seed: nothing is lost, twice or different."""

import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, func, select

from node.chain.embedded import EmbeddedChain
from node.chain.embedded_file import ChainFileError
from node.chain.mirror import ProjectionError
from node.chain.outbox import OutboxState, SettlementHalted
from node.chain.reconcile import reconcile_or_halt
from node.community import Community
from node.errors import Transient
from node.store import unit_of_work
from node.store.tables_chain import chain_events, nonces, outbox
from node.store.unit_of_work import StoreBusy, StoreFull
from tests.simulation.test_restart import fingerprint
from tests.simulation.unreliable import Disagreeing, Unreliable
from tests.unit.node.chain.live import Node, contracts

SEEDS = range({"faults": 200, "nightly": 40}.get(os.environ.get("SYMGRID_TEST_PROFILE", "ci"), 6))
INTERVALS = 3


@pytest.fixture
def node(tmp_path: Path):
    started = Node.start(tmp_path)
    yield started
    started.close()


def _try(steps: list[Callable[[], object]], expected: tuple[type[Exception], ...]) -> int:
    """Do what can be done; return how much failed."""
    failed = 0
    for step in steps:
        try:
            step()
        except expected:
            failed += 1
    return failed


def _settle_all(node: Node, true: EmbeddedChain, expected: tuple[type[Exception], ...]) -> int:
    """Plan and drive some intervals through whatever fails; return how much did. Blocks come from the true chain."""
    failed = 0
    where = node.store, node.chain, contracts(), node.community.deployment
    for i in range(INTERVALS):
        interval = node.community.first + i
        node.plan(node.community.whole_interval(i, interval))
        for _ in range(6):
            failed += _try(
                [node.sender.drive, node.watcher.ingest, lambda: reconcile_or_halt(*where)], expected
            )
            node.chain.produce_block(max(node.community.end_s(interval), true.head().timestamp_s + 1))
    return failed


def _is_whole(node: Node) -> None:
    for _ in range(5):
        node.sender.drive()
        node.mine(node.community.first + INTERVALS)
    node.recover()
    assert node.differences() == []
    with node.store.read() as connection:
        settled = select(func.count()).where(chain_events.c.name == "ChunkSettled")
        assert connection.execute(settled).scalar_one() == INTERVALS
        assert set(connection.execute(select(outbox.c.state)).scalars()) == {OutboxState.FINAL}
        (used,) = connection.execute(select(nonces.c.next)).scalars()
    operator = node.community.keys["operator"].address
    assert used == node.chain.nonce(operator) == 2 * INTERVALS


def test_a_chain_that_is_down_half_answers_and_drops_what_it_took_loses_nothing(tmp_path: Path) -> None:
    failed = 0
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        folder.mkdir()
        node = Node.start(folder)
        chain = node.chain
        node.watcher.ingest()
        node.follow(Unreliable(chain, random.Random(seed)))
        failed += _settle_all(node, chain, (Transient,))
        node.follow(chain)
        _is_whole(node)
        node.close()
    assert failed > len(SEEDS), "nothing went wrong"


def test_two_nodes_that_disagree_may_stop_settlement_but_never_bend_it(tmp_path: Path) -> None:
    failed = 0
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        folder.mkdir()
        node = Node.start(folder)
        chain = node.chain
        node.watcher.ingest()
        both = Disagreeing(chain, random.Random(seed), folder)
        node.follow(both)
        failed += _settle_all(node, chain, (Transient, SettlementHalted, ProjectionError))
        both.agree()
        node.follow(chain)
        _is_whole(node)
        node.close()
    assert failed > len(SEEDS), "nothing went wrong"


def test_a_stalled_chain_keeps_everything_waiting_and_then_takes_it(node: Node) -> None:
    node.watcher.ingest()
    for i in range(INTERVALS):
        node.plan(node.community.whole_interval(i, node.community.first + i))
        for _ in range(5):
            assert node.sender.drive().mined == 0
    node.mine(node.community.first + INTERVALS)
    assert node.sender.drive().final == 2 * INTERVALS
    _is_whole(node)


def test_a_locked_database_is_tried_again_and_nothing_was_half_done(
    node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(unit_of_work, "BUSY_TIMEOUT_MS", 1)
    node = node.restart(tmp_path)
    node.watcher.ingest()
    for i in range(INTERVALS):
        interval = node.community.first + i
        node.plan(node.community.whole_interval(i, interval))
        for step in (
            node.sender.drive,
            lambda t=interval: node.mine(t),
            node.sender.drive,
            node.watcher.ingest,
        ):
            holder = sqlite3.connect(node.store.path, isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            with_block = step not in (node.sender.drive, node.watcher.ingest)
            if not with_block:  # a block is the chain's affair
                with pytest.raises(StoreBusy):
                    step()
            holder.execute("ROLLBACK")
            holder.close()
            step()
    _is_whole(node)
    node.store.close()


# ------------------------------------------------------------------ the live community


def _limit_store(community: Community, more_pages: int) -> None:
    """Leave the store's file so much room: SQLite itself then finds its disk full."""

    with community.store.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + more_pages

    @event.listens_for(community.store.engine, "begin")
    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")


def _limit_chain(community: Community, more_pages: int) -> None:
    connection = community.chain._file._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages + more_pages}")


@pytest.mark.parametrize(
    ("limit", "full"),
    [
        pytest.param(_limit_store, StoreFull, id="store"),
        pytest.param(_limit_chain, ChainFileError, id="chain", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_stops_the_day_and_with_room_it_ends_as_if_nothing_had_happened(
    limit, full, corner, ran, tmp_path, monkeypatch
):
    from tests.simulation import conftest

    undisturbed = fingerprint(ran.community)
    opened = []
    open_community = conftest.open_community

    def open_with_little_room(*arguments):
        opened.append(open_community(*arguments))
        limit(opened[-1], 40)
        return opened[-1]

    with monkeypatch.context() as patch:
        patch.setattr(conftest, "open_community", open_with_little_room)
        with pytest.raises(full, match="full"):
            corner(tmp_path / "data")
    opened[0].close()
    assert fingerprint(corner(tmp_path / "data")) == undisturbed
