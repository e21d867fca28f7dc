"""Bills with levies by rule, and intervals without the supplier: island prices on chain, no levies, told apart."""

import httpx
import numpy as np
import pytest
from sqlalchemy import select

from market.levies import LevyRule, levies_pico
from node import profiles
from node.api.app import create_app
from node.audit.bundle import file_name
from node.audit.intervals import Auditor
from node.audit.record import ChainRecord
from node.chain.reconcile import reconcile
from node.community import open_community
from node.report import queries, terminal
from node.report.summary import summarise
from node.scenario import Scenario, load
from node.scenario.disturbances import SupplyOutage
from node.scenario.models import IslandTariff
from node.simulation import Simulation
from node.store.tables_market import imbalances, tariffs
from tests.serving import serve
from tests.simulation.conftest import CORNER, Ran

SHORT, LONG = 700_000, 0
OUT = range(3, 5)  # hours of the day, from 02:30 to 05:00


def with_levies(scenario: Scenario, **rules: str) -> Scenario:
    people = [p.model_copy(update={"levies": rules.get(p.id, p.levies)}) for p in scenario.participants]
    return scenario.model_copy(update={"participants": tuple(people)})


def test_a_bill_owes_levies_by_its_rule(ran: Ran) -> None:
    with ran.community.store.read() as connection:
        on_import = summarise(connection, ran.scenario)
        netted = summarise(connection, with_levies(ran.scenario, sun="net_of_fed_back"))
        metered, reference = queries.net_exports(connection, on_import.span)
    rate = np.full(len(on_import.span), ran.scenario.tariff.levies_micro_per_kwh)
    for name, nets in (("market_pico", metered), ("supplier_only_pico", reference)):
        less = getattr(on_import.bills[0], name) - getattr(netted.bills[0], name)
        by_rule = {rule: levies_pico(nets[0], rate, rule) for rule in LevyRule}
        assert less == by_rule[LevyRule.IMPORT] - by_rule[LevyRule.NET_OF_FED_BACK]
    assert netted.bills[0].supplier_only_pico < on_import.bills[0].supplier_only_pico
    assert on_import.bills[1:] == netted.bills[1:]


@pytest.fixture(scope="module")
def blackout(tmp_path_factory):
    data, scenario = tmp_path_factory.mktemp("blackout"), load(CORNER)
    outage = SupplyOutage(kind="supply", node="substation", start="02:30", duration_s=9_000)
    island = IslandTariff(short_price_micro_per_kwh=SHORT, long_price_micro_per_kwh=LONG)
    changes = {"failures": (outage,), "tariff": scenario.tariff.model_copy(update={"island": island})}
    scenario = scenario.model_copy(update=changes)
    community = open_community(scenario, profiles.load(scenario), data)
    Simulation(community).run(scenario.delivery_intervals().start + 7)
    yield Ran(community, data)
    community.close()


def test_hours_without_any_supply_have_island_prices_and_the_hour_in_which_it_fails_has_not(blackout) -> None:
    start = blackout.scenario.delivery_intervals().start
    with blackout.community.store.read() as connection:
        found = connection.execute(select(tariffs).order_by(tariffs.c.interval)).all()
    told = {row.interval - start: (row.short_micro_per_kwh, row.long_micro_per_kwh) for row in found}
    assert {hour for hour, prices in told.items() if prices == (SHORT, LONG)} == set(OUT)
    assert {row.interval - start for row in found if row.is_island} == set(OUT)
    assert told[2] == told[5] == (125_000, 78_600)


def test_an_island_settles_on_chain_at_its_prices_and_verifies(blackout) -> None:
    community = blackout.community
    with community.store.read() as connection:
        assert (
            reconcile(connection, community.chain, community.contracts, community.deployment, is_full=True)
            == []
        )
        start = blackout.scenario.delivery_intervals().start
        rows = connection.execute(
            select(imbalances).where(imbalances.c.interval.in_([start + hour for hour in OUT]))
        ).all()
    assert any(row.imbalance_milli_wh for row in rows)
    for row in rows:
        assert row.amount_pico == row.imbalance_milli_wh * (SHORT if row.imbalance_milli_wh < 0 else LONG)
    record = ChainRecord(community.chain, community.contracts, community.deployment)
    record.replay()
    auditor = Auditor(record)
    for hour in range(7):
        data = (blackout.data / "bundles" / file_name(start + hour)).read_bytes()
        assert auditor.check(start + hour, data) is None


def test_no_levies_are_due_on_an_island(blackout) -> None:
    with blackout.community.store.read() as connection:
        summary = summarise(connection, blackout.scenario)
        islands = queries.island_intervals(connection, summary.span)
        metered, _ = queries.net_exports(connection, summary.span)
        days = queries.account_days(connection, summary.span)
    assert np.array_equal(np.flatnonzero(islands[0]), OUT)
    for row, bill in enumerate(summary.bills):
        on_the_grid = metered[row][~islands[row]]
        levied = -int(on_the_grid[on_the_grid < 0].sum()) * blackout.scenario.tariff.levies_micro_per_kwh
        assert bill.market_pico == levied - days[bill.account].received_pico


def test_a_statement_says_that_an_imbalance_was_settled_inside_the_island(blackout) -> None:
    with serve(create_app(blackout.community)) as url, httpx.Client(base_url=url, timeout=60) as client:
        lines = client.get("/v1/participants/3/statement").json()["items"]
    start = blackout.scenario.delivery_intervals().start
    reasons = {line["interval"] - start: line["reason"] for line in lines if line["imbalance_milli_wh"]}
    assert reasons.keys() & set(OUT)
    for hour, reason in reasons.items():
        assert ("inside the island at" in reason) == (hour in OUT), reason


def test_savings_of_who_was_not_served_are_said_with_what_was_missing(blackout) -> None:
    with blackout.community.store.read() as connection:
        summary = summarise(connection, blackout.scenario)
    unserved_kwh = sum(summary.unserved_wh.values()) / 1e3
    told = dict(terminal.figures(summary))["savings"]
    assert unserved_kwh > 0.05
    assert f"{unserved_kwh:,.1f} kWh less served than in the reference" in told
