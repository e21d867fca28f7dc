"""The store on PostgreSQL is the same store: a day in it, and what goes wrong with it."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, select

from node import profiles
from node.bench.live_community import LiveCommunity
from node.chain.embedded import EmbeddedChain, Genesis
from node.community import open_community
from node.data_folder import WrongCommunity
from node.report import export
from node.report.summary import summarise
from node.scenario import load
from node.simulation import Simulation
from node.store import layout, location, unit_of_work
from node.store.tables_chain import nonces
from node.store.tables_market import meta, voided_fills
from node.store.unit_of_work import Store, StoreBusy, StoreUnreachable
from tests.simulation.conftest import CORNER, Ran
from tests.simulation.postgres import Server, server
from tests.unit.node.chain.live import CHAIN_ID, START_S, Node, contracts

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with server() as started:
        yield started


@pytest.fixture
def url(running: Server, request: pytest.FixtureRequest) -> str:
    return running.create(request.node.name[:60])


def _run(data: Path, url: str | None, stop: int | None = None, seed: int | None = None):
    scenario = load(CORNER, seed=seed)
    data.mkdir(exist_ok=True)
    community = open_community(scenario, profiles.load(scenario), data, url)
    delivery = scenario.delivery_intervals()
    try:
        Simulation(community).run(delivery.stop if stop is None else delivery.start + stop)
    except BaseException:
        community.close()
        raise
    return community


def _tables(community, folder: Path) -> dict[str, str]:
    with community.store.read() as connection:
        paths = export.write_tables(connection, folder)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _summary(community) -> tuple[dict[str, object], dict[str, float]]:
    """Return every figure of the summary by its path, floats for themselves."""
    with community.store.read() as connection:
        content = summarise(connection, community.scenario).as_json()
    leaves = dict(_leaves("", json.loads(json.dumps(content))))
    floats = {path: leaf for path, leaf in leaves.items() if isinstance(leaf, float)}
    return {path: leaf for path, leaf in leaves.items() if path not in floats}, floats


def _leaves(path: str, content: object) -> Iterator[tuple[str, object]]:
    if isinstance(content, dict | list):
        parts = content.items() if isinstance(content, dict) else enumerate(content)
        for name, part in parts:
            yield from _leaves(f"{path}/{name}", part)
    else:
        yield path, content


def test_a_day_on_postgresql_is_byte_for_byte_the_day_on_sqlite(url: str, ran: Ran, tmp_path: Path) -> None:
    """Also across a restart that is told nothing: the folder remembers where its database is."""
    _run(tmp_path / "data", url, stop=9).close()
    with closing(_run(tmp_path / "data", None)) as community:
        assert not community.store.is_sqlite
        assert _tables(community, tmp_path / "there") == _tables(ran.community, tmp_path / "here")
        assert community.chain.head() == ran.community.chain.head()
        exact, floats = _summary(community)
    assert exact == _summary(ran.community)[0]
    # The two databases add floats in another order.
    assert floats == pytest.approx(_summary(ran.community)[1], rel=1e-12)


def test_a_database_in_which_somebody_lives_is_refused(url: str, tmp_path: Path) -> None:
    _run(tmp_path / "first", url, stop=1).close()
    for seed in (None, 5):  # the same scenario in another folder would be another chain
        with pytest.raises(WrongCommunity, match="choose an empty one"):
            _run(tmp_path / f"second {seed}", url, stop=1, seed=seed)
    with pytest.raises(WrongCommunity, match="the data folder's database is"):
        _run(tmp_path / "first", url + "&application_name=other", stop=1)


def test_what_a_founding_that_was_stopped_left_in_the_database_goes(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_self: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stop)
        with pytest.raises(KeyboardInterrupt):
            _run(tmp_path / "data", url, stop=1)
    community = _run(tmp_path / "data", url, stop=1)
    assert community.chain is not None and community.chain.head().number > 0
    community.close()


def test_the_pipeline_runs_and_recovers_on_postgresql(url: str, tmp_path: Path) -> None:
    chain = EmbeddedChain(tmp_path / "chain.db", Genesis(CHAIN_ID, START_S))
    community, store = LiveCommunity(chain, contracts(), 4), Store(url)
    store.create_tables()
    node = Node(store, chain, community, *Node.services(store, chain, community))
    for i in range(3):
        node.settle(i, community.first + i)
    node.plan(community.whole_interval(3, community.first + 3))
    node.recover()
    node.mine(community.first + 3)
    node.recover()
    assert node.differences() == []
    with store.read() as connection:
        assert connection.execute(select(nonces.c.next)).scalars().all() == [8]
    node.close()


def test_an_older_layout_is_brought_up_to_date_or_left_as_it_was(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(url)
    store.create_tables()
    with store.begin() as connection:
        voided_fills.drop(connection)
        connection.execute(meta.insert().values(key="name", value="old"))

    def tables() -> list[str]:
        with store.read() as connection:
            return inspect(connection).get_table_names()

    def fails(connection: Connection) -> None:
        voided_fills.create(connection)
        raise OSError("the machine went away")

    with monkeypatch.context() as patched:
        patched.setattr(layout, "STEPS", {1: fails})
        with pytest.raises(OSError, match="went away"):
            layout.bring_up_to_date(store)
    assert "voided_fills" not in tables()
    assert layout.bring_up_to_date(store) == 1
    assert "voided_fills" in tables()
    layout.check(store)
    store.close()


def test_one_process_writes_at_a_time_and_the_second_is_told(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_of_work, "BUSY_TIMEOUT_MS", 50)
    first, second = Store(url), Store(url)
    first.create_tables()
    with first.begin(), pytest.raises(StoreBusy, match="another process is writing"), second.begin():
        pass
    with second.begin() as connection:
        connection.execute(nonces.insert().values(sender=b"\x01" * 20, next=2**60))
    with first.read() as connection:
        assert connection.execute(select(nonces.c.next)).scalar_one() == 2**60
    first.close()
    second.close()


def test_a_reader_sees_one_state_while_a_writer_goes_on(url: str) -> None:
    store = Store(url)
    store.create_tables()
    with store.read() as reader:
        assert reader.execute(select(nonces)).all() == []
        with store.begin() as writer:
            writer.execute(nonces.insert().values(sender=b"\x01" * 20, next=1))
        assert reader.execute(select(nonces)).all() == []
    with store.read() as reader:
        assert len(reader.execute(select(nonces)).all()) == 1
    store.close()


def test_a_server_that_is_not_there_is_unreachable_and_worth_another_try() -> None:
    with server() as short:
        store = Store(short.create("short"))
        store.create_tables()
        short.process.kill()
        short.process.wait()
        with pytest.raises(StoreUnreachable), store.read():
            pass
        store.close()


@pytest.mark.parametrize("url", ["sqlite:///x", "not a url", "postgresql+psycopg://me:secret@host/db"])
def test_a_store_that_may_not_be_written_down_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="store") as refused:
        location.checked(url)
    assert "secret" not in str(refused.value)


def test_the_command_refuses_a_store_without_a_folder() -> None:
    command = [sys.executable, "-m", "node.cli", "demo", "--store", "postgresql+psycopg://me@/db", "--once"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "--store needs --data" in done.stderr) == (2, True)
