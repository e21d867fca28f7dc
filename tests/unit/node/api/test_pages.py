"""Lists: every row once, whatever the page size; half-open ranges; cursors that cannot be bent."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from node.store.tables_chain import chain_accounts
from node.store.tables_devices import devices
from node.store.tables_market import accounts, fills, imbalances, orders, rounds, trades

LISTS = {
    "/v1/participants": (select(func.count()).select_from(accounts), ("account",)),
    "/v1/balances": (select(func.count()).select_from(chain_accounts), ("account",)),
    "/v1/orders": (select(func.count()).select_from(orders), ("sequence",)),
    "/v1/fills": (select(func.count()).select_from(fills), ("interval", "round", "sequence")),
    "/v1/trades": (select(func.count()).select_from(trades), ("interval", "round", "number")),
    "/v1/intervals": (select(func.count(rounds.c.interval.distinct())), ("interval",)),
    "/v1/devices": (select(func.count()).select_from(devices), ("id",)),
    "/v1/participants/2/statement": (
        select(func.count()).select_from(imbalances).where(imbalances.c.account == 2),
        ("interval",),
    ),
}


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", [7, 1000])
def test_walking_the_pages_gives_every_row_once_and_in_order(served, path, limit):
    count, key = LISTS[path]
    items = served.walk(path, limit)
    with served.community.store.read() as connection:
        assert len(items) == connection.execute(count).scalar_one() > 0
    keys = [tuple(item[name] for name in key) for item in items]
    assert keys == sorted(set(keys))


def test_a_page_of_one_row_gets_to_the_end_too(served):
    assert served.walk("/v1/devices", 1) == served.walk("/v1/devices", 1000)


def test_rows_that_arrive_between_two_pages_are_neither_skipped_nor_repeated(served, agent):
    before = served.walk("/v1/orders", 1000)
    first = served.get("/v1/orders", limit=len(before) - 1)
    assert served.client.post("/v1/orders", json=agent.body(agent.order())).status_code == 201
    rest = served.get("/v1/orders", limit=1000, cursor=first["next_cursor"])
    sequences = [item["sequence"] for item in first["items"] + rest["items"]]
    assert sequences == [*(item["sequence"] for item in before), before[-1]["sequence"] + 1]


@pytest.mark.parametrize("path", ["/v1/fills", "/v1/trades", "/v1/intervals", "/v1/participants/2/statement"])
def test_ranges_are_half_open_and_two_that_touch_are_the_whole(served, path):
    grid = served.community.scenario.grid
    day = served.community.scenario.delivery_intervals()
    middle = day.start + 9
    edges = [grid.start(t).strftime("%Y-%m-%dT%H:%M:%SZ") for t in (day.start, middle, day.stop)]
    early = served.walk(path, 50, start=edges[0], end=edges[1])
    late = served.walk(path, 50, start=edges[1], end=edges[2])
    assert early + late == served.walk(path, 50, start=edges[0], end=edges[2])
    assert {item["interval"] for item in early} <= set(range(day.start, middle))
    assert {item["interval"] for item in late} <= set(range(middle, day.stop))
    assert any(item["interval"] == middle for item in late)


def test_a_range_that_begins_inside_an_interval_begins_with_the_next_one(served):
    scenario = served.community.scenario
    at = scenario.grid.start(scenario.delivery_intervals().start + 3) + timedelta(seconds=1)
    found = served.walk("/v1/intervals", 100, start=at.isoformat())
    assert found[0]["interval"] == scenario.delivery_intervals().start + 4


def test_times_may_carry_any_offset(served):
    day = served.community.scenario.delivery_intervals()
    start = served.community.scenario.grid.start(day.start + 5)
    assert start.tzinfo is UTC
    local = start.astimezone(served.community.scenario.zone).isoformat()
    assert "+02:00" in local
    assert served.walk("/v1/fills", 100, start=local) == served.walk(
        "/v1/fills", 100, start=start.isoformat()
    )


def test_a_range_that_ends_before_it_begins_is_empty(served):
    assert served.walk("/v1/intervals", 10, start="2026-04-17T00:00:00Z", end="2026-04-16T00:00:00Z") == []


@pytest.mark.parametrize(
    "text", ["2026-04-16", "2026-04-16T10:00:00", "noon", "10:00Z", "2026-13-01T00:00:00Z", ""]
)
def test_a_time_without_zone_or_sense_is_refused_with_an_example(served, text):
    answer = served.client.get("/v1/fills", params={"start": text})
    assert answer.status_code == 400
    assert "start:" in answer.json()["detail"]


def test_the_outermost_times_are_taken(served):
    assert served.walk("/v1/intervals", 1000, start="0001-01-01T00:00:00+14:00") == served.walk(
        "/v1/intervals", 1000, end="9999-12-31T23:59:59-12:00"
    )


def cursor_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense",
        "€",
        "W",
        *map(cursor_of, ("{}", "[1]", "[1,2]", "[1,2,3,4]", '["a",1,2]', "[true,1,2]", "[1.5,1,2]")),
        *map(cursor_of, ("[1,2,9223372036854775808]", "[null,1,2]", "[NaN,1,2]", "[" * 140)),
    ],
)
def test_a_cursor_that_is_not_ours_is_refused(served, cursor):
    answer = served.client.get("/v1/fills", params={"cursor": cursor})
    assert answer.status_code == 400, answer.text
    assert "cursor" in answer.json()["detail"]


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "ten", "1.5", str(2**70)])
def test_a_page_size_out_of_bounds_is_refused(served, limit):
    answer = served.client.get("/v1/orders", params={"limit": limit})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/query/limit"


def test_lists_of_one_account_hold_nothing_of_others(served):
    assert {o["account"] for o in served.walk("/v1/orders", 100, account=3)} == {3}
    assert {f["account"] for f in served.walk("/v1/fills", 100, account=3)} == {3}
    assert {d["account"] for d in served.walk("/v1/devices", 100, account=4)} == {4}
    assert all(3 in (t["buyer"], t["seller"]) for t in served.walk("/v1/trades", 100, account=3))
    assert served.walk("/v1/orders", 100, account=77) == []


def test_every_time_is_rfc_3339_in_utc(served):
    for item in served.walk("/v1/intervals", 100):
        assert datetime.fromisoformat(item["start"]).tzinfo is UTC
        assert item["start"].endswith("Z")
        assert datetime.fromisoformat(item["end"]) - datetime.fromisoformat(item["start"]) == timedelta(
            hours=1
        )
