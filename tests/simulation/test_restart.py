"""A process that is stopped anywhere continues where it was, and nothing is settled twice."""

import hashlib
from dataclasses import replace

import pytest
from sqlalchemy import select, text

from node import data_folder, profiles
from node.chain.contracts import cache_folder, compile_contracts
from node.chain.sender import SettlementHalted
from node.community import open_community
from node.data_folder import WrongCommunity
from node.hub.clearing import Clearing
from node.report import export
from node.scenario import load
from node.simulation import Simulation
from node.store import layout
from node.store.tables_chain import chain_accounts
from node.store.tables_market import meta
from node.store.unit_of_work import Store
from tests.simulation.conftest import CORNER


def fingerprint(community) -> dict[str, str]:
    """Return a hash per exported table, and the chain's final state root."""
    folder = community.store.path.parent / "tables"
    with community.store.read() as connection:
        paths = export.write_tables(connection, folder)
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    header = community.chain.header(community.chain.head().number)
    return found | {"state root": header.state_root.hex(), "block": header.hash.hex()}


@pytest.fixture(scope="session")
def undisturbed(ran) -> dict[str, str]:
    return fingerprint(ran.community)


def test_the_same_seed_gives_the_same_bytes(corner, undisturbed, tmp_path):
    assert fingerprint(corner(tmp_path / "again")) == undisturbed


def test_another_seed_gives_other_keys_and_another_state(corner, undisturbed, tmp_path):
    other = fingerprint(corner(tmp_path / "other", seed=4))
    assert other["state root"] != undisturbed["state root"]
    assert other["device_intervals.csv"] == undisturbed["device_intervals.csv"], "physics knows no keys"


@pytest.mark.parametrize("n_cleared", [13, 16, 21])
def test_stopped_behind_a_cleared_round_its_agents_decide_again_as_they_did(
    n_cleared, corner, undisturbed, tmp_path, monkeypatch
):
    clear, calls = Clearing.clear, []

    def clear_and_stop(self, *arguments):
        clear(self, *arguments)
        calls.append(self)
        if len(calls) == n_cleared:
            raise Stopped

    scenario = load(CORNER)
    community = open_community(scenario, profiles.load(scenario), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Clearing, "clear", clear_and_stop)
        with pytest.raises(Stopped):
            Simulation(community).run(scenario.delivery_intervals().stop)
    community.close()
    assert fingerprint(corner(tmp_path)) == undisturbed


@pytest.mark.parametrize("stops_at", [8, 21, 23])
def test_stopped_between_checkpoint_and_settlement_it_settles_first(
    stops_at, corner, undisturbed, tmp_path, monkeypatch
):
    """Also behind the last interval, when nothing is left to deliver."""
    scenario = load(CORNER)
    last = scenario.delivery_intervals().start + stops_at
    settle = Simulation._settle

    def stop_before_settling(self, interval):
        if interval == last:
            raise Stopped
        settle(self, interval)

    community = open_community(scenario, profiles.load(scenario), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Simulation, "_settle", stop_before_settling)
        with pytest.raises(Stopped):
            Simulation(community).run(scenario.delivery_intervals().stop)
    community.close()
    assert fingerprint(corner(tmp_path)) == undisturbed


class Stopped(BaseException):
    """The process ends here."""


def test_a_second_run_continues_the_same_chain_and_store(corner, tmp_path):
    data = tmp_path / "longer"
    first = corner(data)
    height = first.chain.head().number
    first.close()
    second = corner(data, days=2)
    assert second.chain.head().number > height
    with second.store.read() as connection:
        n = connection.execute(text("select count(*) from readings")).scalar_one()
    assert n == 2 * 24 * 4


def test_stopping_and_starting_at_every_third_interval_changes_nothing(corner, undisturbed, tmp_path):
    data = tmp_path / "steps"
    for stop in range(3, 24, 3):
        corner(data, stop=stop).close()
    assert fingerprint(corner(data)) == undisturbed


def test_a_changed_balance_halts_the_next_start_naming_account_and_amount(corner, tmp_path):
    data = tmp_path / "bent"
    corner(data, stop=3).close()
    store = Store(f"sqlite:///{data / 'state' / 'store.sqlite'}")
    with store.begin() as connection:
        before = connection.execute(
            select(chain_accounts.c.balance_pico).where(chain_accounts.c.account == 3)
        ).scalar_one()
        connection.execute(
            chain_accounts.update().where(chain_accounts.c.account == 3).values(balance_pico=before + 7)
        )
    store.close()
    with pytest.raises(SettlementHalted, match=r"account 3, balance_pico: .* by -7"):
        corner(data)


def test_a_data_folder_of_another_scenario_is_refused(corner, tmp_path):
    data = tmp_path / "mine"
    corner(data, stop=1).close()
    with pytest.raises(WrongCommunity, match="seed 3"):
        corner(data, stop=1, seed=5)


def test_half_a_founding_is_thrown_away(corner, undisturbed, tmp_path):
    data = tmp_path / "half"
    partial = data / "founding.partial"
    partial.mkdir(parents=True)
    (partial / "store.sqlite").write_bytes(b"left behind by a kill")
    assert fingerprint(corner(data)) == undisturbed


def test_a_data_folder_of_other_contracts_is_refused_and_left_as_it_is(corner, tmp_path, monkeypatch):
    """Contracts are never changed: a folder founded with other sources stays with the version that founded it."""
    data = tmp_path / "old"
    corner(data, stop=1).close()
    path = data / "state" / "store.sqlite"
    store = Store(f"sqlite:///{path}")
    with store.begin() as connection:
        connection.execute(meta.delete().where(meta.c.key == layout.KEY))
    store.close()
    token = compile_contracts(cache_folder()).token
    other = replace(compile_contracts(cache_folder()), token=replace(token, runtime=token.runtime + b"\xff"))
    with monkeypatch.context() as patched:
        patched.setattr(data_folder, "compile_contracts", lambda _cache: other)
        with pytest.raises(
            WrongCommunity, match=r"CreditToken .* other code .* another version of the program"
        ):
            corner(data)
    assert not layout.copy_of(path, 1).exists()
    corner(data, stop=2)  # the right version goes on, and brings the store up to date
    assert layout.copy_of(path, 1).exists()
