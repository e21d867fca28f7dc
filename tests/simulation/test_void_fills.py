"""Fills that did not reach the chain in time are void, and everything goes on without them.

The chain's file is replaced by a copy from the morning: what was settled since is sent again, and the contract
takes fills for four hours only.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Connection, func, select

from node import profiles
from node.api.app import create_app
from node.audit.bundle import file_name
from node.audit.intervals import Auditor
from node.chain.reconcile import reconcile
from node.chain.sender import ContractCall, Sender
from node.community import FIRST_ACCOUNT, Community, open_community
from node.hub.replaying import replay
from node.report.summary import summarise
from node.report.terminal import figures
from node.scenario import load
from node.simulation import Simulation
from node.store.tables_chain import chain_accounts, outbox
from node.store.tables_market import fills, flex_members, imbalances, readings, trades, voided_fills
from tests.serving import serve
from tests.simulation.conftest import CORNER, Ran, run_corner
from tests.simulation.test_backups import STATE, restore
from tests.simulation.test_verify import replayed

# the copy has intervals 0..9; of 10..17, sent again at the end of 17, four are in time
COPIED, LOST = 10, 18
VOID = range(COPIED, LOST - 4)


@pytest.fixture(scope="module")
def voided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("void")
    data = folder / "data"
    first = run_corner(data, stop=COPIED)
    first.chain.backup(folder / "old.sqlite")
    first.close()
    run_corner(data, stop=LOST).close()
    restore(folder / "old.sqlite", data / STATE / "chain.sqlite")
    begin = load(CORNER).delivery_intervals().start
    for n in range(COPIED, LOST):  # as if they had not been published yet
        (data / "bundles" / file_name(begin + n)).unlink()
    community = run_corner(data)
    yield Ran(community, data)
    community.close()


def rows(community: Community, table) -> list:
    with community.store.read() as connection:
        return connection.execute(select(table)).all()


def first_of(ran: Ran) -> int:
    return ran.scenario.delivery_intervals().start


def test_the_day_ends_and_store_and_chain_agree_in_everything(voided: Ran) -> None:
    community = voided.community
    with community.store.read() as connection:
        found = reconcile(
            connection, community.chain, community.contracts, community.deployment, is_full=True
        )
        assert set(connection.execute(select(outbox.c.state)).scalars()) == {"final"}
        read = connection.execute(
            select(func.min(chain_accounts.c.read)).where(chain_accounts.c.account >= FIRST_ACCOUNT)
        ).scalar_one()
    assert found == []
    assert read == voided.scenario.delivery_intervals().stop - 1


def test_the_fills_of_the_late_intervals_are_void_and_no_others(voided: Ran, ran: Ran) -> None:
    first = first_of(voided)
    before = {(row.interval, row.round, row.sequence): row for row in rows(ran.community, fills)}
    void = {(row.interval, row.round, row.sequence): row for row in rows(voided.community, voided_fills)}
    assert void == {key: row for key, row in before.items() if key[0] - first in VOID}
    assert void
    intervals = {row.interval - first for row in rows(voided.community, fills)}
    assert intervals.isdisjoint(VOID)
    assert max(intervals) > max(VOID)
    assert {row.interval - first for row in rows(voided.community, trades)} == intervals


def test_every_register_is_the_meters_own(voided: Ran, ran: Ran) -> None:
    assert rows(voided.community, readings) == rows(ran.community, readings)


def test_what_was_metered_is_settled_as_imbalance(voided: Ran) -> None:
    first = first_of(voided)
    for row in rows(voided.community, imbalances):
        if row.interval - first in VOID:
            assert row.position_milli_wh == 0
            assert row.imbalance_milli_wh >= row.metered_milli_wh


@pytest.mark.parametrize("name", ["voided", "ran"])
def test_what_the_store_says_each_account_received_is_what_it_has_on_chain(
    name: str, request: pytest.FixtureRequest
) -> None:
    one: Ran = request.getfixturevalue(name)
    received: defaultdict[int, int] = defaultdict(int)
    delivered = one.scenario.delivery_intervals()
    for table in (fills, imbalances):
        for row in rows(one.community, table):
            if row.interval in delivered:  # the day after is traded already
                received[row.account] += row.amount_pico
    for row in rows(one.community, flex_members):
        received[row.account] += row.paid_pico or 0
    deposits = [int(p.deposit_credits * 10**12) for p in one.scenario.participants]
    held = {row.account: row.balance_pico - row.owed_pico for row in rows(one.community, chain_accounts)}
    for number, deposit in enumerate(deposits, FIRST_ACCOUNT):
        assert held[number] == deposit + received[number]


def test_an_auditor_is_told_which_fills_are_void_and_finds_the_rest_in_order(voided: Ran) -> None:
    auditor, first = Auditor(replayed(voided.community)), first_of(voided)
    for interval in voided.scenario.delivery_intervals():
        data = (voided.data / "bundles" / file_name(interval)).read_bytes()
        found = auditor.check(interval, data)
        if interval - first in VOID:
            assert found is not None
            assert "never reached the chain within its fill window: void" in found
        else:
            assert found is None
    assert auditor.record.general == []


def test_what_was_committed_to_is_published_as_it_was(voided: Ran, ran: Ran) -> None:
    first = first_of(voided)
    for n in range(COPIED, LOST):
        name = file_name(first + n)
        assert (voided.data / "bundles" / name).read_bytes() == (ran.data / "bundles" / name).read_bytes()


def test_the_report_and_the_statement_say_so(voided: Ran, ran: Ran) -> None:
    for one, is_said in ((voided, True), (ran, False)):
        with one.community.store.read() as connection:
            told = dict(figures(summarise(connection, one.scenario)))
        assert ("void" in told) == is_said
    with serve(create_app(voided.community)) as url:
        lines = httpx.get(f"{url}/v1/participants/{FIRST_ACCOUNT}/statement").json()["items"]
    why = {line["interval"] for line in lines if "void" in line["reason"]}
    assert why == {
        row.interval for row in rows(voided.community, voided_fills) if row.account == FIRST_ACCOUNT
    }


def test_clearing_again_finds_what_the_auctions_gave(voided: Ran) -> None:
    with voided.community.store.read() as connection:
        assert replay(connection)[1] is None


def test_no_margin_is_held_for_what_is_void(voided: Ran, ran: Ran) -> None:
    for account in range(FIRST_ACCOUNT, FIRST_ACCOUNT + len(voided.scenario.participants)):
        assert voided.community.desk.exposure_pico(account) == ran.community.desk.exposure_pico(account)


def test_a_crash_while_giving_up_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    first = run_corner(data, stop=10)
    first.chain.backup(tmp_path / "old.sqlite")
    first.close()
    run_corner(data, stop=16).close()
    restore(tmp_path / "old.sqlite", data / STATE / "chain.sqlite")
    shutil.copytree(data, tmp_path / "undisturbed")
    undisturbed = run_corner(tmp_path / "undisturbed", stop=17)
    enqueue = Sender.enqueue

    class Gone(Exception):
        """The process is no more."""

    def dies(sender: Sender, connection: Connection, call: ContractCall) -> int:
        if call.ref.startswith("void/"):
            raise Gone
        return enqueue(sender, connection, call)

    scenario = load(CORNER)
    dying = open_community(scenario, profiles.load(scenario), data)
    with monkeypatch.context() as patched:
        patched.setattr(Sender, "enqueue", dies)
        with pytest.raises(Gone):
            Simulation(dying).run(scenario.delivery_intervals().stop)
    dying.close()
    again = run_corner(data, stop=17)
    for table in (fills, voided_fills, trades, imbalances, readings):
        assert rows(again, table) == rows(undisturbed, table)
    assert rows(again, voided_fills)
    again.close()
    undisturbed.close()
