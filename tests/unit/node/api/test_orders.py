"""An order's life through the API, and everything it may be refused for."""

import json

import pytest
from sqlalchemy import func, select

from node.chain import typed_data
from node.chain.signatures import HALF_N
from node.chain.typed_data import CompactSignature, Domain
from node.store.tables_market import orders

N = 2 * HALF_N + 1


def post(served, body):
    return served.client.post("/v1/orders", json=body)


def problem(answer, status, kind):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["type"] == f"urn:symbiotic-grid:problem:{kind}", body
    assert body["detail"]
    return body


def n_orders(served):
    with served.community.store.read() as connection:
        return connection.execute(select(func.count()).select_from(orders)).scalar_one()


def open_orders(served, order):
    """Return what the next auction of the order's interval sees in its lane."""
    seen = served.community.trading._book.select(order.first)
    return [
        (int(seen.orders.quantity_milli_wh[i]), int(seen.orders.limit_micro_per_kwh[i]))
        for i in range(len(seen.orders))
        if seen.lane[i] == order.lane and seen.orders.account[i] == order.account
    ]


def test_an_accepted_order_gets_a_receipt_that_the_operator_signed(served, agent):
    order = agent.order()
    answer = post(served, agent.body(order))
    assert answer.status_code == 201
    receipt = answer.json()
    digest = typed_data.order_hash(agent.domain, order)
    assert receipt["order_hash"] == f"0x{digest.hex()}"
    received_at_s = int(served.community.clock.now_s())
    message = typed_data.Receipt(digest, receipt["sequence"], received_at_s)
    signature = CompactSignature.from_bytes(bytes.fromhex(receipt["signature"][2:]))
    operator = served.community.keys.role("operator").address
    assert typed_data.recover(agent.domain, message, signature) == operator
    stored = served.get(f"/v1/orders/{receipt['order_hash']}")
    assert stored["receipt"] == receipt["signature"]
    assert stored["received_at"] == receipt["received_at"]
    assert stored["quantity_milli_wh"] == order.quantity_milli_wh
    assert open_orders(served, order) == [(500_000, 210_000)]


def test_a_wish_beside_the_signed_order_is_kept_and_shown(served, agent):
    answer = post(served, agent.body(agent.order()) | {"partner": 3, "group": 1})
    assert answer.status_code == 201, answer.text
    stored = served.get(f"/v1/orders/{answer.json()['order_hash']}")
    assert (stored["source"], stored["partner"], stored["group"]) == ("any", 3, 1)


@pytest.mark.parametrize(
    "wish",
    [{"partner": 99}, {"partner": 2}, {"partner": -1}, {"group": 9}, {"group": 70_000}, {"source": "solar"}],
)
def test_a_wish_that_the_market_cannot_honour_is_refused(served, agent, wish):
    count = n_orders(served)
    problem(post(served, agent.body(agent.order()) | wish), 422, "wish")
    assert n_orders(served) == count


def test_the_same_bytes_again_get_the_same_receipt_and_change_nothing(served, agent):
    body = agent.body(agent.order())
    first = post(served, body)
    count = n_orders(served)
    assert post(served, body).json() == first.json()
    assert n_orders(served) == count


def test_a_wallets_signature_of_65_bytes_is_taken_too(served, agent):
    order = agent.order()
    r, vs = agent.signature(order)
    for v in (vs >> 255, 27 + (vs >> 255)):
        raw = r.to_bytes(32, "big") + (vs & 2**255 - 1).to_bytes(32, "big") + bytes([v])
        assert post(served, agent.body(order) | {"signature": f"0x{raw.hex()}"}).status_code == 201


def test_signing_a_lane_again_amends_it(served, agent):
    order = agent.order()
    post(served, agent.body(order))
    amended = agent.order(quantity_milli_wh=300_000, limit_micro_per_kwh=190_000)
    assert post(served, agent.body(amended)).status_code == 201
    assert open_orders(served, order) == [(300_000, 190_000)]


def test_delete_is_a_signed_amend_to_zero(served, agent):
    order = agent.order()
    digest = post(served, agent.body(order)).json()["order_hash"]
    nothing = agent.body(agent.order(quantity_milli_wh=0))
    answer = served.client.request("DELETE", f"/v1/orders/{digest}", json={"signature": nothing["signature"]})
    assert answer.status_code == 200, answer.text
    assert open_orders(served, order) == []
    assert served.get(f"/v1/orders/{answer.json()['order_hash']}")["quantity_milli_wh"] == 0
    assert served.get(f"/v1/orders/{digest}")["quantity_milli_wh"] == 500_000, "history stays"


def test_delete_with_the_signature_of_the_order_itself_is_refused(served, agent):
    order = agent.order()
    body = agent.body(order)
    digest = post(served, body).json()["order_hash"]
    answer = served.client.request("DELETE", f"/v1/orders/{digest}", json={"signature": body["signature"]})
    problem(answer, 403, "bad-signature")
    assert open_orders(served, order) == [(500_000, 210_000)]


def test_a_second_cancel_of_a_lane_needs_and_takes_another_limit(served, agent):
    nothing = agent.order(quantity_milli_wh=0)
    for quantity in (500_000, 400_000):
        order = agent.order(quantity_milli_wh=quantity)
        digest = post(served, agent.body(order)).json()["order_hash"]
        answer = served.client.request(
            "DELETE", f"/v1/orders/{digest}", json={"signature": agent.body(nothing)["signature"]}
        )
    problem(answer, 409, "superseded")
    assert open_orders(served, order) == [(400_000, 210_000)], "the old cancel must not pretend to work"
    other = agent.order(quantity_milli_wh=0, limit_micro_per_kwh=210_001)
    body = {"signature": agent.body(other)["signature"], "limit_micro_per_kwh": 210_001}
    assert served.client.request("DELETE", f"/v1/orders/{digest}", json=body).status_code == 200
    assert open_orders(served, order) == []


def test_a_replayed_older_order_does_not_come_back_to_life(served, agent):
    first, second = agent.order(), agent.order(quantity_milli_wh=100_000)
    post(served, agent.body(first))
    post(served, agent.body(second))
    answer = post(served, agent.body(first))
    body = problem(answer, 409, "superseded")
    assert "another limit or quantity" in body["detail"]
    assert open_orders(served, first) == [(100_000, 210_000)]


def test_a_cancelled_order_cannot_be_replayed(served, agent):
    order = agent.order()
    post(served, agent.body(order))
    post(served, agent.body(agent.order(quantity_milli_wh=0)))
    problem(post(served, agent.body(order)), 409, "superseded")
    assert open_orders(served, order) == []


def test_quantity_zero_where_nothing_is_open_changes_no_auction(served, agent):
    order = agent.order(quantity_milli_wh=0)
    assert post(served, agent.body(order)).status_code == 201
    assert open_orders(served, order) == []


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("quantity_milli_wh", -1, "quantity"),
        ("quantity_milli_wh", 2**40, "quantity"),
        ("quantity_milli_wh", 2**63, "quantity"),
        ("quantity_milli_wh", 2**256, "quantity"),
        ("limit_micro_per_kwh", 1_000_001, "limit"),
        ("limit_micro_per_kwh", -1_000_001, "limit"),
        ("limit_micro_per_kwh", 2**63, "limit"),
        ("lane", 32, "lane"),
        ("lane", -1, "lane"),
        ("first", -1, "validity"),
        ("last", 2**24, "validity"),
        ("last", 0, "validity"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_its_bounds(served, agent, field, value, kind):
    body = agent.body(agent.order()) | {field: value}
    found = problem(post(served, body), 422, kind)
    assert str(value) in found["detail"]


@pytest.mark.parametrize(
    "text", ["0.5", "500000.0", "NaN", "Infinity", "1e6", '"500000"', "null", "true", "[]"]
)
def test_a_quantity_that_is_no_integer_is_refused(served, agent, text):
    body = json.dumps(agent.body(agent.order()) | {"quantity_milli_wh": 12345}).replace("12345", text)
    answer = served.client.post("/v1/orders", content=body, headers={"content-type": "application/json"})
    found = problem(answer, 422, "invalid")
    assert found["errors"][0]["pointer"] == "/body/quantity_milli_wh"


@pytest.mark.parametrize("field", ["price", "Quantity_milli_wh", "note", "__class__"])
def test_an_unknown_field_is_refused_by_name(served, agent, field):
    found = problem(post(served, agent.body(agent.order()) | {field: 1}), 422, "invalid")
    assert [e["pointer"] for e in found["errors"]] == [f"/body/{field}"]


def test_every_missing_field_is_named(served):
    found = problem(post(served, {}), 422, "invalid")
    assert len(found["errors"]) == 9


@pytest.mark.parametrize("body", ["", "{", "[]", "3", '"x"', "null", "{]", "9" * 5_000])
def test_a_body_that_is_no_object_is_refused(served, body):
    answer = served.client.post("/v1/orders", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_signature_for_another_chain_is_refused(served, agent):
    order = agent.order()
    foreign = Domain(agent.domain.chain_id + 1, agent.domain.contract)
    signature = agent.signature(order, domain=foreign)
    found = problem(post(served, agent.body(order, signature=signature)), 403, "bad-signature")
    assert "other chain, contract or key" in found["detail"]


def test_a_signature_for_another_contract_is_refused(served, agent):
    order = agent.order()
    signature = agent.signature(order, domain=Domain(agent.domain.chain_id, bytes(19) + b"\x01"))
    problem(post(served, agent.body(order, signature=signature)), 403, "bad-signature")


@pytest.mark.parametrize("other", ["owner of the account", "neighbour's agent", "operator"])
def test_a_signature_by_another_key_is_refused(served, agent, other):
    keys = served.community.keys
    key = {
        "owner of the account": keys.owner("sun"),
        "neighbour's agent": keys.agent("shade"),
        "operator": keys.role("operator"),
    }[other]
    order = agent.order()
    signature = agent.signature(order, key=key)
    problem(post(served, agent.body(order, signature=signature)), 403, "bad-signature")


@pytest.mark.parametrize(
    "field", ["is_buy", "lane", "first", "last", "quantity_milli_wh", "limit_micro_per_kwh"]
)
def test_no_field_can_be_changed_after_signing(served, agent, field):
    order = agent.order(last=agent.draft.first + 1)
    body = agent.body(order)
    body[field] = (
        not body[field] if field == "is_buy" else body[field] - 1 if field == "lane" else body[field] + 1
    )
    if field == "first":
        body["last"] = body["first"]
    problem(post(served, body), 403, "bad-signature")


def test_the_malleable_twin_of_a_signature_is_refused(served, agent):
    order = agent.order()
    r, vs = agent.signature(order)
    s, parity = vs & 2**255 - 1, vs >> 255
    high = r.to_bytes(32, "big") + (N - s).to_bytes(32, "big") + bytes([27 + 1 - parity])
    problem(post(served, agent.body(order) | {"signature": f"0x{high.hex()}"}), 403, "bad-signature")


@pytest.mark.parametrize(
    "signature",
    ["0x" + "00" * 64, "0x" + "ff" * 64, "0x" + "00" * 65, "0x" + "ff" * 65, "0x" + "11" * 64 + "05"],
)
def test_a_signature_that_no_key_can_have_made_is_refused(served, agent, signature):
    problem(post(served, agent.body(agent.order()) | {"signature": signature}), 403, "bad-signature")


@pytest.mark.parametrize("signature", ["", "0x", "0x" + "5e" * 63, "5e" * 64, "0x" + "zz" * 64, 7, None])
def test_a_text_that_is_no_signature_is_refused(served, agent, signature):
    problem(post(served, agent.body(agent.order()) | {"signature": signature}), 422, "invalid")


def test_an_old_key_is_refused(served, agent):
    problem(post(served, agent.body(agent.order(epoch=2))), 403, "wrong-epoch")


def test_an_account_that_nobody_has_is_refused(served, agent):
    problem(post(served, agent.body(agent.order(account=99))), 404, "unknown-account")


@pytest.mark.parametrize("account", [0, 1])
def test_the_suppliers_and_the_operators_accounts_do_not_trade(served, agent, account):
    problem(post(served, agent.body(agent.order(account=account))), 422, "malformed")


def test_an_order_after_gate_closure_is_refused(served, agent):
    gone = served.community.scenario.delivery_intervals().stop - 1
    found = problem(post(served, agent.body(agent.order(first=gone, last=gone))), 409, "gate-closed")
    assert "closed at" in found["detail"]


def test_an_order_that_begins_before_an_open_gate_is_refused_as_a_whole(served, agent):
    gone = served.community.scenario.delivery_intervals().stop - 1
    order = agent.order(first=gone, last=gone + 3)
    problem(post(served, agent.body(order)), 409, "gate-closed")
    assert open_orders(served, agent.order(first=gone + 3, last=gone + 3)) == []


def test_an_order_beyond_the_horizon_is_refused(served, agent):
    far = served.get("/v1/terms")["interval"] + served.get("/v1/terms")["horizon_intervals"] + 1
    problem(post(served, agent.body(agent.order(last=far))), 409, "too-early")


def test_a_lane_that_took_part_in_a_round_is_closed(served, agent):
    stop = served.community.scenario.delivery_intervals().stop
    book = served.community.trading._book
    closed = [
        (interval, lane) for interval in range(stop + 1, stop + 24) for lane in range(32)
        if book.is_closed(interval, 2, lane)
    ]  # fmt: skip
    interval, lane = closed[0]
    order = agent.order(first=interval, last=interval, lane=lane)
    problem(post(served, agent.body(order)), 409, "lane-closed")


def test_an_order_beyond_the_connections_capacity_is_refused(served, agent):
    capacity = served.get("/v1/participants/2")["capacity_milli_wh"]
    order = agent.order(quantity_milli_wh=capacity + 1)
    problem(post(served, agent.body(order)), 409, "capacity")
    assert open_orders(served, order) == []


def test_an_order_that_could_cost_more_than_the_balance_is_refused(served, agent):
    balance = served.get("/v1/participants/2/balance")
    first = agent.draft.first
    order = agent.order(last=first + 60, quantity_milli_wh=17_000_000, limit_micro_per_kwh=1_000_000)
    found = problem(post(served, agent.body(order)), 409, "margin")
    assert str(balance["balance_pico"]) in found["detail"]
    after = served.get("/v1/participants/2/balance")
    assert after["exposure_pico"] == balance["exposure_pico"], "a refused order binds nothing"


def test_a_refused_order_is_not_in_the_list(served, agent):
    count = n_orders(served)
    post(served, agent.body(agent.order(epoch=2)))
    assert n_orders(served) == count


def test_an_order_that_nobody_sent_is_not_found(served):
    problem(served.client.get("/v1/orders/0x" + "00" * 32), 404, "not-found")
    answer = served.client.request(
        "DELETE", "/v1/orders/0x" + "00" * 32, json={"signature": "0x" + "5e" * 64}
    )
    problem(answer, 404, "not-found")


@pytest.mark.parametrize("text", ["0x12", "latest", "0x" + "zz" * 32, "0x" + "0" * 66])
def test_a_hash_that_is_none_is_refused(served, text):
    problem(served.client.get(f"/v1/orders/{text}"), 422, "invalid")
