"""The corner with a price zone at every node: positions keep the cable's capacity, and its ends have two prices."""

from collections import defaultdict

import httpx
import pytest
from sqlalchemy import func, select

from node import profiles
from node.api.app import create_app
from node.audit.bundle import file_name
from node.audit.intervals import Auditor
from node.audit.record import ChainRecord
from node.chain.reconcile import reconcile
from node.community import open_community
from node.hub.replaying import replay
from node.report import writing
from node.report.summary import summarise
from node.scenario import Scenario, load
from node.simulation import Simulation
from node.store.tables_chain import chain_accounts
from node.store.tables_devices import device_intervals
from node.store.tables_market import accounts, fills, prices, rounds, trades, zones
from tests.serving import serve
from tests.simulation.conftest import CORNER, Ran

CABLE = 1
CAP_W = 600  # less than the rack would buy from the roof behind the cable
GRID_FEE_MICRO_PER_KWH = 3_000
OPERATOR_FEE_MICRO_PER_KWH = 2_500


def zoned() -> Scenario:
    scenario = load(CORNER)
    root, cable = scenario.network
    edge = {"export_cap_w": float(CAP_W), "grid_fee_micro_per_kwh": GRID_FEE_MICRO_PER_KWH}
    return scenario.model_copy(
        update={
            "market": scenario.market.model_copy(update={"mechanism": "network"}),
            "network": (root, cable.model_copy(update=edge)),
        }
    )


@pytest.fixture(scope="module")
def two_zones(tmp_path_factory):
    data, scenario = tmp_path_factory.mktemp("zones"), zoned()
    community = open_community(scenario, profiles.load(scenario), data)
    Simulation(community).run(scenario.delivery_intervals().stop)
    yield Ran(community, data)
    community.close()


def rows(ran, query):
    with ran.community.store.read() as connection:
        return connection.execute(query).all()


def flows_milli_wh(ran, *where):
    """What the cable's accounts sold less what they bought, by interval."""
    query = (
        select(fills.c.interval, fills.c.is_buy, func.sum(fills.c.quantity_milli_wh))
        .join(accounts, accounts.c.account == fills.c.account)
        .where(accounts.c.zone == CABLE, *where)
        .group_by(fills.c.interval, fills.c.is_buy)
    )
    flow = defaultdict(int)
    for interval, is_buy, quantity in rows(ran, query):
        flow[interval] += -quantity if is_buy else quantity
    return flow


def test_every_node_is_a_zone_in_store_and_on_chain(two_zones):
    found = rows(two_zones, select(zones).order_by(zones.c.zone))
    assert [(row.zone, row.node, row.parent) for row in found] == [(0, "substation", -1), (1, "cable", 0)]
    assert found[CABLE].export_cap_milli_wh == CAP_W * 1_000
    told = rows(two_zones, select(accounts.c.account, accounts.c.zone).order_by(accounts.c.account))
    assert [row.zone for row in told] == [1, 1, 1, 0]
    on_chain = dict(rows(two_zones, select(chain_accounts.c.account, chain_accounts.c.zone)))
    assert all(on_chain[row.account] == row.zone for row in told)


@pytest.mark.parametrize("where", [(fills.c.round == 0,), ()], ids=["day-ahead", "over all rounds"])
def test_positions_keep_the_cables_capacity(two_zones, where):
    flow = flows_milli_wh(two_zones, *where)
    cap = CAP_W * 1_000
    assert max(flow.values()) <= cap
    assert min(flow.values()) >= -20_000_000
    assert cap in flow.values(), "the cable must have bound"


def test_prices_differ_across_the_cable_where_it_binds_and_by_its_fee_where_it_does_not(two_zones):
    day_ahead = flows_milli_wh(two_zones, fills.c.round == 0)
    found = rows(two_zones, select(prices).where(prices.c.round == 0).order_by(prices.c.zone))
    by_interval = defaultdict(list)
    for row in found:
        by_interval[row.interval].append(row.price_micro_per_kwh)
    assert all(len(pair) == 2 for pair in by_interval.values())
    bound = free = 0
    for interval, (root, cable) in by_interval.items():
        flow = day_ahead.get(interval, 0)
        if flow == CAP_W * 1_000:
            assert root - cable >= GRID_FEE_MICRO_PER_KWH
            bound += root - cable > GRID_FEE_MICRO_PER_KWH
        elif flow:
            assert (root - cable) * (1 if flow > 0 else -1) == GRID_FEE_MICRO_PER_KWH
            free += 1
    assert bound
    assert free


def test_fills_stand_at_their_zones_price_and_trades_at_the_buyers(two_zones):
    zone_of = dict(rows(two_zones, select(accounts.c.account, accounts.c.zone)))
    price = {
        (row.interval, row.round, row.zone): row.price_micro_per_kwh
        for row in rows(two_zones, select(prices))
    }
    for row in rows(two_zones, select(fills)):
        assert row.price_micro_per_kwh == price[row.interval, row.round, zone_of[row.account]]
        fee = OPERATOR_FEE_MICRO_PER_KWH
        all_in = row.price_micro_per_kwh + (fee if row.is_buy else -fee)
        assert row.amount_pico == (-1 if row.is_buy else 1) * all_in * row.quantity_milli_wh
    for row in rows(two_zones, select(trades)):
        assert row.price_micro_per_kwh == price[row.interval, row.round, zone_of[row.buyer]]


def test_what_buyers_pay_beyond_sellers_and_fee_is_the_grids_rent(two_zones):
    rent_pico = 0
    for interval, round_ in rows(two_zones, select(rounds.c.interval, rounds.c.round)):
        mine = rows(two_zones, select(fills).where(fills.c.interval == interval, fills.c.round == round_))
        energy = sum(row.quantity_milli_wh for row in mine)
        rent = -sum(row.amount_pico for row in mine) - energy * OPERATOR_FEE_MICRO_PER_KWH
        assert rent >= 0
        rent_pico += rent
    assert rent_pico > 0


def test_device_books_close_as_at_one_price(two_zones):
    found = rows(two_zones, select(device_intervals))
    assert len(found) == 24 * two_zones.community.plant.fleet.n_devices
    for row in found:
        residual = row.source_wh - row.sink_wh - row.stored_delta_wh - row.loss_wh - row.terminal_wh
        assert abs(residual) <= 1e-6
    with two_zones.community.store.read() as connection:
        assert summarise(connection, two_zones.scenario).energy.gap_share < 1e-3


def test_store_and_chain_agree_in_every_account(two_zones):
    community = two_zones.community
    with community.store.read() as connection:
        assert (
            reconcile(connection, community.chain, community.contracts, community.deployment, is_full=True)
            == []
        )


def test_every_round_clears_again_as_recorded(two_zones):
    with two_zones.community.store.read() as connection:
        count, difference = replay(connection)
    assert count == len(rows(two_zones, select(rounds)))
    assert difference is None


def test_an_auditor_recomputes_every_interval(two_zones):
    community = two_zones.community
    record = ChainRecord(community.chain, community.contracts, community.deployment)
    record.replay()
    auditor = Auditor(record)
    for interval in two_zones.scenario.delivery_intervals():
        data = (two_zones.data / "bundles" / file_name(interval)).read_bytes()
        assert auditor.check(interval, data) is None
    bound = next(
        t for t, flow in flows_milli_wh(two_zones, fills.c.round == 0).items() if flow == CAP_W * 1_000
    )
    data = (two_zones.data / "bundles" / file_name(bound)).read_bytes()
    narrower = data.replace(b'"export_cap_milli_wh":600000', b'"export_cap_milli_wh":500000')
    assert "recomputed" in auditor.check(bound, narrower)
    beyond = data.replace(b'"parent":0', b'"parent":1', 1)
    assert "parents stand before their children" in auditor.check(bound, beyond)


def test_report_and_api_show_it(two_zones, tmp_path):
    community = two_zones.community
    with community.store.read() as connection:
        summary = summarise(connection, two_zones.scenario)
        assert writing.write(connection, two_zones.scenario, summary, tmp_path).exists()
    price = dict(
        rows(
            two_zones,
            select(prices.c.interval, prices.c.price_micro_per_kwh).where(
                prices.c.round == 0, prices.c.zone == 0
            ),
        )
    )
    with serve(create_app(community)) as url, httpx.Client(base_url=url, timeout=60) as client:
        for interval in two_zones.scenario.delivery_intervals():
            answer = client.get(f"/v1/intervals/{interval}")
            assert answer.status_code == 200, answer.text
            assert answer.json()["rounds"][0]["price_micro_per_kwh"] == price[interval]


def test_the_report_says_what_edges_carried_and_earned(two_zones) -> None:
    with two_zones.community.store.read() as connection:
        summary = summarise(connection, two_zones.scenario)
    root, cable = summary.zones
    assert summary.outcome.welfare_share == pytest.approx(1.0, abs=1e-9)
    assert summary.outcome.budget_gap_pico == 0
    span = (fills.c.interval >= summary.span.start, fills.c.interval < summary.span.stop)
    day = rows(two_zones, select(fills).where(*span))
    paid = sum(r.price_micro_per_kwh * r.quantity_milli_wh * (1 if r.is_buy else -1) for r in day)
    assert cable.fee_pico + cable.rent_pico == paid == summary.outcome.surplus.grid_pico
    assert (root.fee_pico, root.rent_pico) == (0, 0)
    assert cable.rent_pico > 0
    flow = flows_milli_wh(two_zones, *span)
    assert cable.use_out_pu == max(flow.values()) / (CAP_W * 1_000) == 1.0
    assert cable.intervals_full == sum(value == CAP_W * 1_000 for value in flow.values())
    bought = sum(r.quantity_milli_wh for r in day if r.is_buy)
    assert root.bought_milli_wh + cable.bought_milli_wh == root.sold_milli_wh + cable.sold_milli_wh == bought
    crossed = sum(abs(value) for value in flow.values())
    assert cable.fee_pico >= crossed * GRID_FEE_MICRO_PER_KWH  # rounds may cross back


def test_zones_and_quotes_are_served_by_zone(two_zones) -> None:
    interval = two_zones.scenario.delivery_intervals().start + 12
    price = {
        row.zone: row.price_micro_per_kwh
        for row in rows(two_zones, select(prices).where(prices.c.interval == interval, prices.c.round == 1))
    }
    with serve(create_app(two_zones.community)) as url, httpx.Client(base_url=url, timeout=60) as client:
        listed = client.get("/v1/zones").json()
        assert [(z["zone"], z["node"], z["parent"]) for z in listed] == [
            (0, "substation", None),
            (1, "cable", 0),
        ]
        assert listed[1]["fee_micro_per_kwh"] == GRID_FEE_MICRO_PER_KWH
        held = client.get(f"/v1/intervals/{interval}").json()
        told = [(one["zone"], one["price_micro_per_kwh"]) for one in held["rounds"][1]["zones"]]
        assert told == [(0, price[0]), (1, price[1])]
        assert [zone["is_island"] for zone in held["zones"]] == [False, False]
        for account, zone in ((3, 1), (5, 0)):
            asked = {"account": account, "interval": interval, "is_buy": True, "quantity_milli_wh": 1_000_000}
            quote = client.get("/v1/quote", params=asked).json()
            assert (quote["zone"], quote["price_micro_per_kwh"]) == (zone, price[zone])
