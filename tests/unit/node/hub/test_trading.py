"""The door: every refusal leaves no trace, every receipt is durable, and retrying is harmless."""

import pytest
from sqlalchemy import event, update

from market.errors import OrderRefused, RefusalReason
from market.orders import Source, Wish
from node.bus.messages import OrderBatch, Receipt, Refusal, SignedOrder
from node.chain import typed_data
from node.chain.signatures import HALF_N
from node.chain.typed_data import CompactSignature, Domain
from node.store.tables_chain import chain_accounts
from node.store.tables_market import order_refusals, orders
from tests.unit.node.hub.small_hub import CAP, CAPACITY, DOMAIN, LENGTH_S, Hub, T, key, order


@pytest.fixture
def hub() -> Hub:
    return Hub.open()


def digest(signed):
    return typed_data.order_hash(DOMAIN, signed).hex()


def test_every_order_of_several_batches_gets_its_answer_in_order(hub):
    good, bad = order(2), order(3, lane=40)
    answers = hub.trading.submit(
        [
            OrderBatch(2, (hub.signed(good), hub.signed(order(2, lane=1)))),
            OrderBatch(3, (SignedOrder(bad, 1, 1), hub.signed(order(3)))),
        ]
    )
    assert [answer.account for answer in answers] == [2, 3]
    first, second = answers[0].answers
    assert [answer.order_hash for answer in (first, second)] == [digest(order(2)), digest(order(2, lane=1))]
    refused, accepted = answers[1].answers
    assert isinstance(refused, Refusal)
    assert refused.reason == RefusalReason.LANE
    assert accepted.order_hash == digest(order(3))
    assert sorted(answer.sequence for answer in (first, second, accepted)) == [0, 1, 2]
    assert sorted(hub.seen()) == [(2, 0, 500_000), (2, 1, 500_000), (3, 0, 500_000)]


@pytest.mark.parametrize("comes_first", [2, 3])
def test_orders_of_one_moment_stand_in_the_order_of_their_hashes_whoever_comes_first(hub, comes_first):
    asked = [order(account, lane=lane) for account in (comes_first, 5 - comes_first) for lane in (0, 1)]
    batches = [
        OrderBatch(a, tuple(hub.signed(o) for o in asked if o.account == a))
        for a in (comes_first, 5 - comes_first)
    ]
    receipts = [receipt for answer in hub.trading.submit(batches) for receipt in answer.answers]
    by_sequence = [receipt.order_hash for receipt in sorted(receipts, key=lambda r: r.sequence)]
    assert by_sequence == sorted(digest(o) for o in asked)
    later = hub.submit(order(4))
    assert later[0].sequence == 4  # a later moment comes after, whatever its hash


@pytest.mark.parametrize("quantities", [(500_000, 400_000, 300_000), (300_000, 400_000, 500_000)])
def test_of_one_lanes_orders_of_one_moment_the_last_one_counts_whatever_its_hash(hub, quantities):
    receipts = hub.submit(*(order(2, quantity_milli_wh=quantity) for quantity in quantities), order(3))
    assert [r.sequence for r in receipts[:3]] == sorted(r.sequence for r in receipts[:3])
    assert (2, 0, quantities[-1]) in hub.seen()
    assert len(hub.seen()) == 2


def test_a_receipt_is_the_operators_word_about_hash_place_and_time(hub):
    (receipt,) = hub.submit(order())
    digest = typed_data.order_hash(DOMAIN, order())
    assert receipt.order_hash == digest.hex()
    message = typed_data.Receipt(digest, 0, int(hub.clock.now_s()))
    assert (
        typed_data.recover(DOMAIN, message, CompactSignature(receipt.r, receipt.vs))
        == key("operator").address
    )


def test_handing_in_a_batch_again_gives_the_same_receipts_and_changes_nothing(hub):
    batch = [order(2), order(3), order(3, lane=1)]
    first = hub.submit(*batch)
    before = hub.state()
    hub.clock.advance_to(hub.clock.now_s() + 60)
    assert hub.submit(*batch) == first
    assert hub.state() == before


def test_a_retry_that_carries_more_gets_old_and_new_receipts(hub):
    (first,) = hub.submit(order(2))
    again, new = hub.submit(order(2), order(2, lane=1))
    assert again == first
    assert new.sequence == 1


def test_the_same_order_twice_in_one_batch_is_one_order(hub):
    first, second = hub.submit(order(2), order(2))
    assert first == second
    assert hub.count(orders) == 1


def test_a_retry_after_a_restart_gets_the_first_receipt(hub):
    (first,) = hub.submit(order(2))
    assert hub.restart().submit(order(2)) == [first]


def test_a_retry_after_gate_closure_still_gets_its_receipt(hub):
    (first,) = hub.submit(order(2))
    hub.clock.advance_to((T + 1) * LENGTH_S)
    assert hub.submit(order(2)) == [first]


def test_an_older_order_is_refused_once_a_newer_one_holds_its_lane(hub):
    hub.submit(order(quantity_milli_wh=500_000))
    hub.submit(order(quantity_milli_wh=100_000))
    before = hub.state()
    (answer,) = hub.submit(order(quantity_milli_wh=500_000))
    assert answer.reason == RefusalReason.SUPERSEDED
    assert "number 1 has taken its place" in answer.detail
    assert hub.seen() == [(2, 0, 100_000)]
    assert hub.state() == before, "what was accepted once is no refused order"


def test_an_old_cancel_within_one_batch_does_not_pretend_to_cancel_a_newer_order(hub):
    cancel = order(quantity_milli_wh=0)
    answers = hub.submit(order(), cancel, order(quantity_milli_wh=100_000), cancel)
    assert [isinstance(a, Receipt) for a in answers] == [True, True, True, False]
    assert answers[3].reason == RefusalReason.SUPERSEDED
    assert hub.seen() == [(2, 0, 100_000)]


def test_an_order_of_another_lane_or_interval_supersedes_nothing(hub):
    (first,) = hub.submit(order())
    hub.submit(order(lane=1), order(first=T + 1, last=T + 1), order(3))
    assert hub.submit(order()) == [first]


def test_an_amend_frees_the_margin_of_what_it_replaces(hub):
    hub.submit(order(quantity_milli_wh=400_000, limit_micro_per_kwh=CAP - 1))
    small = hub.desk.exposure_pico(2)
    hub.submit(order(quantity_milli_wh=4_000_000, limit_micro_per_kwh=CAP))
    assert hub.desk.exposure_pico(2) > small
    hub.submit(order(quantity_milli_wh=400_000, limit_micro_per_kwh=CAP))
    assert hub.desk.exposure_pico(2) == small + 400_000
    hub.submit(order(quantity_milli_wh=0))
    assert hub.desk.exposure_pico(2) == 0


REFUSALS = {
    "account of the supplier": (order(0), RefusalReason.MALFORMED),
    "account beyond 32 bits": (order(2**32), RefusalReason.MALFORMED),
    "unknown account": (order(9), RefusalReason.UNKNOWN_ACCOUNT),
    "epoch zero": (order(epoch=0), RefusalReason.WRONG_EPOCH),
    "another epoch": (order(epoch=2), RefusalReason.WRONG_EPOCH),
    "lane 32": (order(lane=32), RefusalReason.LANE),
    "last before first": (order(last=T - 1), RefusalReason.VALIDITY),
    "interval beyond 24 bits": (order(last=2**24), RefusalReason.VALIDITY),
    "negative quantity": (order(quantity_milli_wh=-1), RefusalReason.QUANTITY),
    "quantity of 2**63": (order(quantity_milli_wh=2**63), RefusalReason.QUANTITY),
    "limit above the cap": (order(limit_micro_per_kwh=CAP + 1), RefusalReason.LIMIT),
    "limit below the cap": (order(limit_micro_per_kwh=-CAP - 1), RefusalReason.LIMIT),
    "limit of 2**63": (order(limit_micro_per_kwh=2**63), RefusalReason.LIMIT),
    "beyond the horizon": (order(last=T + 90), RefusalReason.TOO_EARLY),
    "capacity": (order(quantity_milli_wh=CAPACITY + 1), RefusalReason.CAPACITY),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_order_is_recorded_with_its_reason_and_changes_nothing_else(hub, name):
    bad, reason = REFUSALS[name]
    hub.submit(order(3))
    before = hub.state()
    try:
        signed = hub.signed(bad)
    except typed_data.BadMessage:  # no such message can be signed: somebody sends it anyway
        signed = SignedOrder(bad, 1, 1)
    (answer,) = hub.trading.submit([OrderBatch(bad.account, (signed,))])[0].answers
    assert isinstance(answer, Refusal)
    assert answer.reason == reason
    (row,) = hub.rows(order_refusals)
    assert (row.reason, row.account, row.detail) == (reason, bad.account, answer.detail)
    before["rows"]["order_refusals"] += 1
    assert hub.state() == before


def test_an_order_for_another_account_than_the_batchs_is_refused(hub):
    (answer,) = hub.trading.submit([OrderBatch(3, (hub.signed(order(2)),))])[0].answers
    assert answer.reason == RefusalReason.UNKNOWN_ACCOUNT


@pytest.mark.parametrize(
    ("how", "wrong"),
    [
        ("another key", {"by": "agent/3"}),
        ("the operator's key", {"by": "operator"}),
        ("another chain", {"domain": Domain(DOMAIN.chain_id + 1, DOMAIN.contract)}),
        ("another contract", {"domain": Domain(DOMAIN.chain_id, bytes(20))}),
    ],
)
def test_a_signature_with_is_refused(hub, how, wrong):  # noqa: ARG001
    (answer,) = hub.submit(order(), **wrong)
    assert answer.reason == RefusalReason.BAD_SIGNATURE
    assert hub.seen() == []


def test_a_malleable_or_impossible_signature_is_refused(hub):
    signed = hub.signed(order())
    s, parity = signed.vs & 2**255 - 1, signed.vs >> 255
    high = (2 * HALF_N + 1 - s) | (1 - parity) << 255
    for r, vs in ((signed.r, high), (0, 0), (2**256 - 1, 2**256 - 1), (2**300, signed.vs), (-1, signed.vs)):
        (answer,) = hub.trading.submit([OrderBatch(2, (SignedOrder(order(), r, vs),))])[0].answers
        assert answer.reason == RefusalReason.BAD_SIGNATURE


def test_the_gate_closes_with_the_last_round_to_the_second(hub):
    gate_s = T * LENGTH_S - 300
    hub.clock.advance_to(gate_s - 1)
    assert isinstance(hub.submit(order())[0], Receipt)
    hub.clock.advance_to(gate_s)
    (answer,) = hub.submit(order(lane=1))
    assert answer.reason == RefusalReason.GATE_CLOSED
    assert isinstance(hub.submit(order(first=T + 1, last=T + 1))[0], Receipt)


def test_a_lane_that_took_part_in_a_round_is_closed_even_if_nothing_was_filled(hub):
    hub.submit(order())
    hub.clearing.clear(0, [T])
    (answer,) = hub.submit(order(quantity_milli_wh=1_000))
    assert answer.reason == RefusalReason.LANE_CLOSED
    (answer,) = hub.submit(order(first=T - 0, last=T + 2, limit_micro_per_kwh=1))
    assert answer.reason == RefusalReason.LANE_CLOSED, "one closed cell closes the whole order"
    assert isinstance(hub.submit(order(lane=1))[0], Receipt)


def test_a_cancel_after_the_round_is_refused_because_it_could_not_take_the_fill_back(hub):
    hub.submit(order(2), order(3))
    hub.clearing.clear(0, [T])
    assert hub.submit(order(quantity_milli_wh=0))[0].reason == RefusalReason.LANE_CLOSED


def test_orders_of_one_batch_share_the_margin(hub):
    poor = Hub.open(balance_pico=2 * 10**12)
    bids = [order(lane=lane, quantity_milli_wh=1_000_000, limit_micro_per_kwh=CAP) for lane in range(3)]
    answers = poor.submit(*bids)
    # capacity 4 kWh at 25.5 ct is 1.02 credits by itself; each bid may cost 1 credit less the 25.5 ct it saves
    assert [isinstance(answer, Receipt) for answer in answers] == [True, False, False]
    assert {answer.reason for answer in answers[1:]} == {RefusalReason.MARGIN}
    assert hub.desk.exposure_pico(3) == 0


def test_who_is_in_debt_may_cancel_and_nothing_else(hub):
    hub.submit(order())
    with hub.store.begin() as connection:
        connection.execute(update(chain_accounts).where(chain_accounts.c.account == 2).values(owed_pico=1))
    with hub.store.read() as connection:
        hub.desk.refresh(connection)
    (answer,) = hub.submit(order(lane=1))
    assert answer.reason == RefusalReason.IN_DEBT
    assert isinstance(hub.submit(order(quantity_milli_wh=0))[0], Receipt)
    assert hub.seen() == []


class Unplugged(Exception):
    """The machine stops in the middle of a statement."""


def test_a_crash_inside_the_transaction_leaves_book_desk_and_store_as_they_were(hub):
    hub.submit(order(3), order(2))
    before = hub.state()

    def unplug(_connection, _cursor, statement, *_rest):
        if statement.startswith("INSERT INTO orders"):
            raise Unplugged

    event.listen(hub.store.engine, "after_cursor_execute", unplug)
    with pytest.raises(Unplugged):
        hub.submit(order(2, quantity_milli_wh=2_000_000), order(4), order(5, lane=40))
    event.remove(hub.store.engine, "after_cursor_execute", unplug)
    assert hub.state() == before
    answers = hub.submit(order(2, quantity_milli_wh=2_000_000), order(4))
    assert sorted(answer.sequence for answer in answers) == [2, 3]


def test_what_got_a_receipt_is_in_the_book_after_a_restart(hub):
    hub.submit(order(2), order(3), order(2, lane=3))
    hub.submit(order(2, quantity_milli_wh=200_000))
    hub.clearing.clear(0, [T])
    hub.submit(order(4))
    again = hub.restart()
    assert again.seen() == hub.seen() == [(4, 0, 500_000)]
    assert again.trading.next_sequence == hub.trading.next_sequence == 5
    assert again.desk.exposure_pico(2) == hub.desk.exposure_pico(2)
    assert again.submit(order(2, lane=3, quantity_milli_wh=1))[0].reason == RefusalReason.LANE_CLOSED


def test_a_wish_is_kept_in_store_and_book_also_after_a_restart(hub):
    hub.submit(order(), wish=Wish(Source.SOLAR, partner=3, group=1))
    (row,) = hub.rows(orders)
    assert (row.source, row.partner, row.group) == (Source.SOLAR, 3, 1)
    for one in (hub, hub.restart()):
        seen = one.clearing._book.select(T)
        assert (seen.source.tolist(), seen.partner.tolist(), seen.group.tolist()) == ([1], [3], [1])


@pytest.mark.parametrize(
    ("account", "wish", "told"),
    [
        (2, Wish(partner=9), "partner 9 is not connected here"),
        (2, Wish(partner=2), "account 2 wishes to trade with itself"),
        (2, Wish(group=7), "group 7 has no other member here"),
        (5, Wish(group=2), "group 2 has no other member here"),
        (3, Wish(Source.STORAGE), "account 3 has no storage to deliver from"),
        (5, Wish(Source.SOLAR), "account 5 has no solar to deliver from"),
    ],
)
def test_a_wish_that_nobody_here_can_meet_is_refused_and_leaves_no_trace(hub, account, wish, told):
    before = hub.state()
    (refusal,) = hub.submit(order(account), wish=wish)
    assert (refusal.reason, refusal.detail) == (RefusalReason.WISH, told)
    assert hub.state() | {"rows": 0} == before | {"rows": 0}
    assert [row.reason for row in hub.rows(order_refusals)] == [RefusalReason.WISH]


def test_a_bid_for_what_only_its_owner_sells_is_refused(hub):
    bid = order(4, is_buy=True, limit_micro_per_kwh=200_000)
    (refusal,) = hub.submit(bid, wish=Wish(Source.STORAGE))
    assert refusal.detail == "no other account can sell from storage"
    (receipt,) = hub.submit(bid, wish=Wish(Source.SOLAR))
    assert isinstance(receipt, Receipt)


@pytest.mark.parametrize("is_one_batch", [False, True])
def test_the_same_order_with_another_wish_is_refused_instead_of_ignoring_the_wish(hub, is_one_batch):
    first, second = hub.signed(order()), hub.signed(order(), wish=Wish(partner=3))
    batches = (
        [OrderBatch(2, (first, second))] if is_one_batch else [OrderBatch(2, (x,)) for x in (first, second)]
    )
    answers = [a for batch in batches for a in hub.trading.submit([batch])[0].answers]
    assert isinstance(answers[0], Receipt)
    assert answers[1].reason == RefusalReason.WISH
    assert "arrived before as number 0 with another wish" in answers[1].detail
    assert hub.count(orders) == 1


@pytest.mark.parametrize("wish", [{"partner": -1}, {"partner": 2**32}, {"group": 2**16}])
def test_a_wish_out_of_range_is_refused_before_it_travels(wish):
    with pytest.raises(OrderRefused, match=r"wish: partner -?\d+ or group \d+ is out of range"):
        Wish(**wish)


def test_an_empty_batch_is_answered_with_nothing(hub):
    assert hub.trading.submit([]) == []
    assert hub.trading.submit([OrderBatch(2, ())])[0].answers == ()
