"""What participants, auditors and operators read: the same figures as in the store, and why."""

import csv
import io
from collections import Counter

import pytest
from sqlalchemy import select, update

from node.api.routes_members import _amount
from node.chain.keys import checksum
from node.store.tables_chain import blocks, chain_accounts
from node.store.tables_devices import device_intervals, setpoints
from node.store.tables_market import fills, imbalances


def rows(served, query):
    with served.community.store.read() as connection:
        return connection.execute(query).all()


def test_participants_have_their_keys_addresses(served):
    keys = served.community.keys
    found = served.get("/v1/participants/2")
    assert found["name"] == "Sun"
    assert found["owner"] == checksum(keys.owner("sun").address)
    assert found["agent"] == checksum(keys.agent("sun").address)
    assert found["meter"] == checksum(keys.meter("sun").address)


def test_balances_are_the_chains_to_the_unit_and_name_their_block(served):
    community = served.community
    items = served.walk("/v1/balances", 100)
    assert [item["account"] for item in items] == [0, 1, 2, 3, 4, 5]
    contract, chain = community.contracts.settlement, community.chain
    for item in items:
        data = contract.encode("balance_of", item["account"])
        held = contract.result("balance_of", chain.call(community.deployment.settlement, data))
        assert item["balance_pico"] == held
        assert 0 < item["block"] <= chain.head().number
        assert served.get(f"/v1/participants/{item['account']}/balance") == item


def test_a_balance_is_what_was_deposited_and_what_all_statement_lines_add(served):
    for participant, account in zip(served.community.scenario.participants, (2, 3, 4, 5), strict=True):
        lines = served.walk(f"/v1/participants/{account}/statement", 100)
        assert len(lines) == 24
        paid = sum(
            m["paid_pico"] or 0 for m in served.get("/v1/events")[0]["members"] if m["account"] == account
        )
        balance = served.get(f"/v1/participants/{account}/balance")["balance_pico"]
        deposited = participant.deposit_credits * 10**12
        assert balance == deposited + paid + sum(line["total_pico"] for line in lines)


def test_a_statement_line_adds_up_and_agrees_with_fills_and_imbalance(served):
    lines = {line["interval"]: line for line in served.walk("/v1/participants/3/statement", 100)}
    for line in lines.values():
        assert line["total_pico"] == line["traded_pico"] + line["imbalance_pico"]
    traded = dict.fromkeys(lines, 0)
    for row in rows(served, select(fills).where(fills.c.account == 3, fills.c.interval.in_(lines))):
        traded[row.interval] += row.amount_pico
    assert traded == {t: line["traded_pico"] for t, line in lines.items()}


def test_the_csv_statement_is_the_json_statement(served):
    answer = served.client.get("/v1/participants/3/statement.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "statement-3.csv" in answer.headers["content-disposition"]
    table = list(csv.DictReader(io.StringIO(answer.text)))
    items = served.walk("/v1/participants/3/statement", 5)
    assert table == [{name: str(value) for name, value in item.items()} for item in items]


def test_the_csv_statement_of_a_range_is_that_range(served):
    grid = served.community.scenario.grid
    day = served.community.scenario.delivery_intervals()
    span = {"start": grid.start(day.start + 4).isoformat(), "end": grid.start(day.start + 6).isoformat()}
    text = served.client.get("/v1/participants/3/statement.csv", params=span).text
    found = [int(row["interval"]) for row in csv.DictReader(io.StringIO(text))]
    assert found == [day.start + 4, day.start + 5]


def test_reasons_name_every_part_of_the_sum_and_show_no_zeros(served):
    for account in (2, 3, 4, 5):
        for line in served.walk(f"/v1/participants/{account}/statement", 100):
            reason = line["reason"]
            assert ("sold" in reason.split(";")[0]) >= (
                line["sold_milli_wh"] > 0 and not line["bought_milli_wh"]
            )
            assert ("bought from the supplier" in reason) == (line["imbalance_milli_wh"] < 0)
            assert ("sold to the supplier" in reason) == (line["imbalance_milli_wh"] > 0)
            assert "0.000 kWh" not in reason


def test_small_remainders_are_said_in_words():
    assert _amount(1) == _amount(999) == "less than 1 Wh"
    assert _amount(1_000) == "0.001 kWh"
    assert _amount(1_234_567) == "1.235 kWh"


def test_forgiven_shortfalls_are_named(served):
    found = rows(
        served,
        select(imbalances).where(
            imbalances.c.imbalance_milli_wh > imbalances.c.metered_milli_wh - imbalances.c.position_milli_wh
        ),
    )
    for row in found:
        lines = served.walk(f"/v1/participants/{row.account}/statement", 100)
        line = next(line for line in lines if line["interval"] == row.interval)
        assert "forgiven: the controller ordered it" in line["reason"]


def test_an_interval_shows_its_rounds_its_tariff_and_its_books(served):
    interval = served.community.scenario.delivery_intervals().start + 12
    found = served.get(f"/v1/intervals/{interval}")
    assert [r["round"] for r in found["rounds"]] == [0, 1]
    assert found["short_micro_per_kwh"] == 125_000
    assert found["long_micro_per_kwh"] == 78_600
    for held in found["rounds"]:
        book = served.get(f"/v1/intervals/{interval}/book", round_number=held["round"])
        assert len(book["orders"]) == held["n_orders"]
        assert book["volume_milli_wh"] == held["volume_milli_wh"]
        bids = [o["limit_micro_per_kwh"] for o in book["orders"] if o["is_buy"]]
        offers = [o["limit_micro_per_kwh"] for o in book["orders"] if not o["is_buy"]]
        assert bids == sorted(bids, reverse=True)
        assert offers == sorted(offers)
        assert all("account" not in order for order in book["orders"])


def test_trades_of_a_round_are_its_volume(served):
    volume = Counter()
    for trade in served.walk("/v1/trades", 1000):
        volume[trade["interval"], trade["round"]] += trade["quantity_milli_wh"]
    for item in served.walk("/v1/intervals", 100):
        for held in item["rounds"]:
            assert volume[item["interval"], held["round"]] == held["volume_milli_wh"]


def test_an_interval_of_the_next_day_has_no_tariff_yet(served):
    stop = served.community.scenario.delivery_intervals().stop
    assert served.get(f"/v1/intervals/{stop}")["short_micro_per_kwh"] is None


def test_devices_show_their_newest_state_and_the_reason_of_the_last_setpoint(served):
    newest = served.community.scenario.delivery_intervals().stop - 1
    for item in served.walk("/v1/devices", 100):
        state = rows(
            served,
            select(device_intervals).where(
                device_intervals.c.device == item["id"], device_intervals.c.interval == newest
            ),
        )[0]
        assert item["mean_power_w"] == state.terminal_wh
        stores = item["parameters"].get("capacity_wh", 0) > 0
        assert item["energy_wh"] == (state.energy_wh if stores else None)
        last = rows(
            served,
            select(setpoints)
            .where(setpoints.c.device == item["id"])
            .order_by(setpoints.c.id.desc())
            .limit(1),
        )
        assert item["reason"] == (last[0].reason if last else None)
        assert served.get(f"/v1/devices/{item['id']}") == item


def test_the_event_lists_its_members_contributions_and_shares(served):
    event = served.get("/v1/events")[0]
    assert event["name"] == "evening"
    assert event["state"] == "paid"
    assert sum(m["paid_pico"] or 0 for m in event["members"]) == event["revenue_pico"] == 2 * 10**12


def test_the_chain_agrees_with_the_store(served):
    found = served.get("/v1/chain")
    assert found["differences"] == []
    assert found["open_transactions"] == 0
    assert found["height"] == served.community.chain.head().number
    assert found["settlement"] == checksum(served.community.deployment.settlement)


def test_a_bent_balance_is_shown_as_a_difference(served):
    store = served.community.store
    where = chain_accounts.c.account == 3
    before = rows(served, select(chain_accounts.c.balance_pico).where(where))[0][0]
    with store.begin() as connection:
        connection.execute(update(chain_accounts).where(where).values(balance_pico=before + 1))
    try:
        found = served.get("/v1/chain")["differences"]
    finally:
        with store.begin() as connection:
            connection.execute(update(chain_accounts).where(where).values(balance_pico=before))
    assert any("account 3, balance_pico" in text and "by -1" in text for text in found)


def test_terms_say_what_an_agent_needs(served):
    found = served.get("/v1/terms")
    assert found["chain_id"] == served.community.domain.chain_id
    assert found["verifying_contract"] == checksum(served.community.domain.contract)
    assert found["interval"] == served.community.scenario.delivery_intervals().stop
    assert found["order_type"].startswith("Order(uint32 account,")


def test_livez_and_readyz_answer(served):
    assert served.get("/livez") == {"status": "alive"}
    assert served.get("/readyz") == {"status": "ready"}


def test_readyz_says_when_the_store_is_behind_the_chain(served):
    store = served.community.store
    newest = rows(served, select(blocks).order_by(blocks.c.number.desc()).limit(1))[0]
    where = blocks.c.number == newest.number
    with store.begin() as connection:
        connection.execute(update(blocks).where(where).values(number=newest.number + 7))
    try:
        answer = served.client.get("/readyz")
    finally:
        with store.begin() as connection:
            connection.execute(
                update(blocks).where(blocks.c.number == newest.number + 7).values(number=newest.number)
            )
    assert answer.status_code == 503
    assert answer.json()["type"].endswith("not-ready")


def test_metrics_are_prometheus_text_with_the_stores_counts(served):
    answer = served.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    values = dict(line.split() for line in answer.text.splitlines() if line and not line.startswith("#"))
    assert float(values["symgrid_readings"]) == 24 * 4
    assert float(values["symgrid_outbox_open"]) == 0
    assert float(values["symgrid_carried_in"]) == float(values["symgrid_fee_bids"]) == 0
    assert float(values["symgrid_chain_height"]) == served.community.chain.head().number


@pytest.mark.parametrize(
    "path",
    [
        "/v1/participants/99",
        "/v1/participants/99/balance",
        "/v1/participants/99/statement",
        "/v1/participants/99/statement.csv",
        "/v1/intervals/1",
        "/v1/intervals/1/book",
        "/v1/devices/999",
        "/nowhere",
    ],
)
def test_what_does_not_exist_is_a_problem_404(served, path):
    answer = served.client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:symbiotic-grid:problem:not-found"


@pytest.mark.parametrize(
    "path",
    ["/v1/participants/two", "/v1/participants/-1", f"/v1/participants/{2**70}", f"/v1/intervals/{2**24}"],
)
def test_a_number_out_of_bounds_is_a_problem_422(served, path):
    answer = served.client.get(path)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("/path/")


def test_a_method_that_is_not_offered_is_a_problem_with_what_is(served):
    answer = served.client.put("/v1/orders", json={})
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert "GET" in answer.headers["allow"] or "POST" in answer.headers["allow"]


def test_a_quote_before_is_what_a_fill_shows_after(served):
    """The newest round's price, the fee on the right side, levies beside it, the supplier's offer for comparison."""
    interval = served.community.scenario.delivery_intervals().start + 12
    held = served.get(f"/v1/intervals/{interval}")["rounds"][-1]
    asked = {"account": 3, "interval": interval, "quantity_milli_wh": 1_000_000}
    buy, sell = (served.get("/v1/quote", **asked, is_buy=is_buy) for is_buy in (True, False))
    price = held["price_micro_per_kwh"]
    assert buy["price_micro_per_kwh"] == sell["price_micro_per_kwh"] == price
    assert buy["basis"] == f"price of round {held['round']} of this interval"
    assert (buy["all_in_micro_per_kwh"], sell["all_in_micro_per_kwh"]) == (price + 2_500, price - 2_500)
    assert (buy["amount_pico"], sell["amount_pico"]) == (-(price + 2_500) * 10**6, (price - 2_500) * 10**6)
    assert (buy["levies_micro_per_kwh"], sell["levies_micro_per_kwh"]) == (237_000, 0)
    assert (buy["supplier_pico"], sell["supplier_pico"]) == (-125_000 * 10**6, 78_600 * 10**6)
    filled = [f for f in served.walk("/v1/fills", 1_000, account=3) if f["is_buy"]]
    assert filled
    for fill in filled:
        assert fill["all_in_micro_per_kwh"] == fill["price_micro_per_kwh"] + 2_500
        assert fill["amount_pico"] == -fill["all_in_micro_per_kwh"] * fill["quantity_milli_wh"]


def test_a_quote_for_a_time_without_a_price_goes_by_the_days_before_or_says_that_there_is_none(served):
    day = served.community.scenario.delivery_intervals()
    asked = {"account": 3, "quantity_milli_wh": 1, "is_buy": True}
    tomorrow = served.get("/v1/quote", **asked, interval=day.start + 12 + 48)
    assert "of the same time " in tomorrow["basis"]
    nothing = served.get("/v1/quote", **asked, interval=day.start - 100)
    assert nothing["all_in_micro_per_kwh"] is nothing["amount_pico"] is None
    assert nothing["basis"].startswith("nobody has traded")
    missing = served.client.get("/v1/quote", params=asked | {"account": 99, "interval": day.start})
    assert missing.status_code == 404


def test_one_price_for_all_is_one_zone(served):
    (zone,) = served.get("/v1/zones")
    assert (zone["zone"], zone["node"], zone["parent"]) == (0, None, None)
