"""A meter that is silent for hours: others go on, the registrar substitutes, the next true register puts it right."""

from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from node import profiles, verify
from node.api.app import create_app
from node.audit.bundle import decode, file_name
from node.audit.intervals import Auditor
from node.audit.record import ChainRecord
from node.chain.contracts import cache_folder
from node.community import FIRST_ACCOUNT, Community, open_community
from node.hub.settled import not_on_chain
from node.report.silent_meters import silent_meters
from node.scenario import Scenario, load
from node.scenario.shipped import FOLDER
from node.simulation import Simulation
from node.store.tables_chain import chain_accounts
from node.store.tables_market import imbalances, readings, substitutes
from tests.serving import serve
from tests.simulation.conftest import CORNER

SILENT_FROM, SILENT_HOURS = 9, 4
# two fill windows of an hour: the interval that ended at 10:00 may be substituted from 12:00 on
WINDOWS = 2


def scenario_with_a_silent_meter(folder: Path) -> Scenario:
    """Return the corner in which Sun's meter is silent, with fill windows of an hour."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "silent.yaml"
    told = CORNER.read_text().replace("fill_window_s: 14_400", "fill_window_s: 3_600")
    what = f"start: '{SILENT_FROM:02d}:00', duration_s: {SILENT_HOURS * 3_600}"
    path.write_text(f"{told}\nfailures:\n  - {{kind: meter, participant: sun, {what}}}\n")
    return load(path)


def run(data: Path, *stops: int) -> Community:
    """Run to the stops one after the other, each time from what the folder holds."""
    scenario = scenario_with_a_silent_meter(data)
    first = scenario.delivery_intervals().start
    for stop in stops:
        community = open_community(scenario, profiles.load(scenario), data)
        Simulation(community).run(first + stop)
        if stop != stops[-1]:
            community.close()
    return community


@pytest.fixture(scope="module")
def silent(tmp_path_factory):
    data = tmp_path_factory.mktemp("silent")
    community = run(data, 24)
    yield community, data
    community.close()


def rows_of(community: Community, table, account: int = FIRST_ACCOUNT) -> list:
    with community.store.read() as connection:
        query = select(table).where(table.c.account == account).order_by(table.c.interval)
        return connection.execute(query).all()


def test_missing_hours_are_substituted_after_two_fill_windows(silent):
    community, _ = silent
    first = community.scenario.delivery_intervals().start
    found = rows_of(community, substitutes)
    # a register at the border where silence begins is missing, the one where it ends is not
    missing = range(first + SILENT_FROM - 1, first + SILENT_FROM - 1 + SILENT_HOURS)
    assert [row.interval for row in found] == list(missing)
    assert {row.reason for row in found} == {"silent"}
    by_interval = {row.interval: row for row in rows_of(community, readings)}
    for interval in missing:
        assert by_interval[interval].is_substitute
        assert by_interval[interval].settled_in == interval + WINDOWS


def test_true_registers_wait_for_the_substitutes_and_then_count(silent):
    community, _ = silent
    back = community.scenario.delivery_intervals().start + SILENT_FROM - 1 + SILENT_HOURS
    waited = {row.interval - back: row.settled_in - row.interval for row in rows_of(community, readings)}
    # the first true one waits until the last missing one is substituted, the next comes in time again
    assert [waited[n] for n in range(-SILENT_HOURS - 1, 4)] == [0, *[WINDOWS] * SILENT_HOURS, 1, 0, 0, 0]


def test_what_is_metered_adds_up_to_the_meters_own_register(silent):
    community, _ = silent
    metered = sum(row.metered_milli_wh for row in rows_of(community, imbalances))
    assert metered == community.meters.registers.register_milli_wh[0]
    with community.store.read() as connection:
        assert not_on_chain(connection) is None
        on_chain = connection.execute(
            select(chain_accounts.c.register_milli_wh).where(chain_accounts.c.account == FIRST_ACCOUNT)
        ).scalar_one()
    assert on_chain == metered


def test_nobody_else_notices(silent, ran):
    community, _ = silent
    for account in range(FIRST_ACCOUNT + 1, FIRST_ACCOUNT + len(community.scenario.participants)):
        mine, undisturbed = rows_of(community, readings, account), rows_of(ran.community, readings, account)
        assert [row.register_milli_wh for row in mine] == [row.register_milli_wh for row in undisturbed]
        assert all(row.settled_in == row.interval for row in mine)


def test_a_substitute_assumes_no_export_and_at_least_what_was_bought(silent):
    community, _ = silent
    told = {row.interval: row for row in rows_of(community, imbalances)}
    for row in rows_of(community, substitutes):
        line = told[row.interval]
        assert line.metered_milli_wh == min(line.position_milli_wh, -row.expected_import_milli_wh)
        assert line.imbalance_milli_wh <= 0


def test_an_auditor_finds_every_interval_right_and_every_late_line_that_was_changed(silent):
    community, data = silent
    record = ChainRecord(community.chain, community.contracts, community.deployment)
    record.replay()
    auditor = Auditor(record)
    late = 0
    for interval in community.scenario.delivery_intervals():
        file = verify.read_bundle(data / "bundles", interval)
        assert auditor.check(interval, file) is None
        late += sum(line.interval < interval for line in decode(file).readings)
    assert late == SILENT_HOURS + 1
    assert record.ledger.accounts[FIRST_ACCOUNT].read == interval


def test_the_command_verifies_it(silent):
    community, data = silent
    state, said = data / "state", []
    options = verify.Options(
        data / "bundles", state / "contracts.json", None, state / "chain.sqlite", cache_folder()
    )
    assert verify.run(options, said.append), said
    assert (data / "bundles" / file_name(community.scenario.delivery_intervals().start)).exists()


@pytest.mark.parametrize("stop", [SILENT_FROM + 1, SILENT_FROM + SILENT_HOURS])
def test_a_restart_in_the_silence_ends_with_the_same_rows(silent, tmp_path, stop):
    community, _ = silent
    again = run(tmp_path / "again", stop, 24)
    try:
        for table in (readings, imbalances, substitutes):
            assert rows_of(again, table) == rows_of(community, table)
        here, there = again.chain.head(), community.chain.head()
        assert (here.number, here.hash) == (there.number, there.hash)
    finally:
        again.close()


def test_the_report_and_the_statement_say_why(silent):
    community, _ = silent
    with community.store.read() as connection:
        (told,) = silent_meters(connection, community.scenario.delivery_intervals())
    assert (told.participant, told.substituted, told.late, told.waiting) == ("Sun", {"silent": 4}, 1, 0)
    assert told.in_words().startswith("Sun: 4 registers substituted (no reading came: no export assumed")
    with serve(create_app(community)) as url:
        statement = httpx.get(f"{url}/v1/participants/{FIRST_ACCOUNT}/statement").json()["items"]
    why = [line["interval"] for line in statement if "the registrar signed for the meter" in line["reason"]]
    assert why == [row.interval for row in rows_of(community, substitutes)]


def test_the_shipped_scenario_is_silent_long_enough_before_its_day_ends_to_show_substitutes():
    scenario = load(FOLDER / "silence.yaml")
    (failure,) = scenario.failures
    ends_s = failure.duration_s + 9 * 3_600
    assert failure.kind == "meter"
    assert ends_s + 2 * scenario.chain.fill_window_s < 86_400
