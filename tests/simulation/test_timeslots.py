"""A day traded in timeslots: announced in time, cleared as one, never cut by an order, the same after a restart."""

import json
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from market.errors import RefusalReason
from market.orders import Order
from node import profiles
from node.api.app import create_app
from node.bus.messages import OrderBatch, Receipt, SignedOrder
from node.community import open_community
from node.report.summary import summarise
from node.report.terminal import figures
from node.scenario import Scenario, load
from node.simulation import Simulation
from node.store.tables_market import fills, orders, prices
from node.store.tables_timeslots import timeslots
from tests.serving import serve

CORNER = Path(__file__).parents[1] / "data" / "scenarios" / "corner.yaml"


def corner():
    content = load(CORNER).model_dump(mode="json")
    content["market"]["timeslots"] = {"volatility_max": 0.25}
    content |= {"interval_s": 900, "study": {"chain": False, "signing": False}}
    return Scenario.model_validate_json(json.dumps(content))


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    scenario = corner()
    community = open_community(scenario, profiles.load(scenario), tmp_path_factory.mktemp("slots"))
    Simulation(community).run(scenario.delivery_intervals().stop)
    yield community
    community.close()


def rows(community, query):
    with community.store.read() as connection:
        return connection.execute(query).all()


def test_the_days_timeslots_cover_it_adapt_and_were_announced_an_hour_before_the_gate(day):
    delivery = day.scenario.delivery_intervals()
    slots = [row for row in rows(day, select(timeslots).order_by(timeslots.c.first)) if row.first in delivery]
    assert [i for row in slots for i in range(row.first, row.last + 1)] == list(delivery)
    lengths = {row.last - row.first + 1 for row in slots}
    assert lengths == {1, 2, 3, 4}, "calm and volatile hours"
    for row in slots:
        assert row.gate_s - row.announced_at_s >= 3_600
        if row.last > row.first:
            assert max(row.price_spread_pu, row.demand_spread_pu) <= 0.25


def test_every_order_covers_whole_timeslots_and_each_clears_at_one_price(day):
    slot_of = day.schedule.slot_of
    placed = rows(day, select(orders))
    assert placed
    for row in placed:
        assert slot_of(row.first).start == row.first and slot_of(row.last).stop == row.last + 1
    price = {(row.interval, row.round): row.price_micro_per_kwh for row in rows(day, select(prices))}
    compared = 0
    for interval, number in price:
        first = slot_of(interval).start
        if interval > first and (first, number) in price:
            assert price[interval, number] == price[first, number]
            compared += 1
    assert compared > 40
    got = {}
    for row in rows(day, select(fills)):
        got.setdefault((row.account, row.lane, row.round, slot_of(row.interval).start), set()).add(
            row.quantity_milli_wh
        )
    assert all(len(quantities) == 1 for quantities in got.values()), (
        "the same fill in every interval of a run"
    )


def test_an_order_that_cuts_a_timeslot_is_refused_at_the_door(day):
    day_after = day.scenario.delivery_intervals().stop
    day.timeslots.announce(range(day_after, day_after + 96), day_after - 1, day.clock.now_s())
    long = next(s for s in day.schedule.slots.values() if len(s) > 1 and s.start > day_after + 8)
    account = int(day.registry.account[0])

    def answer(first, last):
        order = Order(account, 1, True, 31, first, last, 10_000, 100_000)
        (receipts,) = day.trading.submit([OrderBatch(account, (SignedOrder(order, 0, 0),))])
        return receipts.answers[0]

    refused = answer(long.start, long.start)
    assert refused.reason == RefusalReason.TIMESLOT and "cut a timeslot" in refused.detail
    assert isinstance(answer(long.start, long.stop - 1), Receipt), "what covers it is welcome"


def test_report_and_api_show_them(day):
    with day.store.read() as connection:
        shown = dict(figures(summarise(connection, day.scenario)))
    assert "of 60 min" in shown["timeslots"] and "before the gate" in shown["timeslots"]
    with serve(create_app(day)) as url, httpx.Client(base_url=url) as client:
        page = client.get("/v1/timeslots", params={"limit": 5}).json()
    assert len(page["items"]) == 5 and page["items"][0]["announced_at"] < page["items"][0]["start"]


def test_a_restarted_day_is_the_same_day(day, tmp_path):
    scenario = corner()
    first = scenario.delivery_intervals()
    for stop in (first.start + 30, first.stop):
        community = open_community(scenario, profiles.load(scenario), tmp_path)
        Simulation(community).run(stop)
        if stop < first.stop:
            community.close()
    try:
        query = select(fills).order_by(fills.c.interval, fills.c.round, fills.c.account, fills.c.lane)
        assert rows(community, query) == rows(day, query)
    finally:
        community.close()
