"""A chunk moves exactly the money its fills and readings say, or is refused with the contract's reason.

Expected amounts are worked out by hand: 1 mWh at 1 micro-credit per kWh is 1 pico-credit.
"""

from dataclasses import replace
from hashlib import sha256

import pytest

from market.chunks import Chunk, Fill, Reading, Tariff
from market.errors import ChunkRefused
from market.ledger import FEES, GRID, AccountState, collect, request_exit, withdraw
from market.orders import Order
from market.registry import curtail, install, open_account, raise_capacity, replace_meter, set_agent
from market.settlement import MAX_UNREAD, Ledger, Terms, publish_tariffs, read, settle

T = 2_000_000  # the interval that is settled
NOW_S = (T + 1) * 900
SELLER, BUYER = 2, 3
FEE = 5
PRICE = 200
TARIFFS = (Tariff(300, 80),)


@pytest.fixture
def ledger():
    ledger = Ledger(Terms(fee_micro_per_kwh=FEE))
    for account in (SELLER, BUYER):
        assert open_account(ledger) == account
        install(ledger, account, 0, zone=0, capacity_milli_wh=10_000, now_interval=T - 1)
        ledger.accounts[account].balance_pico = 1_000_000
    ledger.accounts[GRID].balance_pico = 5_000_000
    publish_tariffs(ledger, T, TARIFFS)
    return ledger


def order(account=SELLER, is_buy=False, quantity=1000, limit=None, **changes):
    limit = limit if limit is not None else (PRICE + FEE if is_buy else PRICE - FEE)
    return replace(Order(account, 1, is_buy, 0, T, T, quantity, limit), **changes)


def fill(order, quantity=None, salt=b""):
    return Fill(order, sha256(repr(order).encode() + salt).digest(), quantity or order.quantity_milli_wh)


SELL, BUY = order(), order(BUYER, True)


def chunk(*fills, sequence=0, round_=0, prices=(PRICE,), readings=(), interval=T, tariffs=TARIFFS):
    return Chunk(sequence, interval, round_, prices, fills, tariffs, readings)


def balances(ledger):
    return {account: state.balance_pico for account, state in ledger.accounts.items()}


def refuses(ledger, reason, *chunks, now_s=NOW_S):
    before = repr(ledger)
    for one in chunks[:-1]:
        settle(ledger, one, now_s)
        before = repr(ledger)
    with pytest.raises(ChunkRefused) as refused:
        settle(ledger, chunks[-1], now_s)
    assert refused.value.reason == reason
    assert repr(ledger) == before, "a refused chunk changes nothing"


def test_fill_moves_money_at_the_price_and_the_fee_from_both_sides(ledger):
    effect = settle(ledger, chunk(fill(SELL), fill(BUY)), NOW_S)
    assert balances(ledger) == {
        GRID: 5_000_000,
        FEES: 2 * 1000 * FEE,
        SELLER: 1_000_000 + 1000 * 195,
        BUYER: 1_000_000 - 1000 * 205,
    }
    assert (effect.volume_milli_wh, effect.fee_pico, effect.rent_pico) == (2000, 10_000, 0)
    assert ledger.accounts[SELLER].position_milli_wh == 1000
    assert ledger.accounts[BUYER].position_milli_wh == -1000


def test_difference_of_zone_prices_is_the_grid_accounts_rent(ledger):
    ledger.accounts[BUYER].zone = 1
    buy = order(BUYER, True, limit=500)
    effect = settle(ledger, chunk(fill(SELL), fill(buy), prices=(PRICE, 260)), NOW_S)
    assert effect.rent_pico == 1000 * 60
    assert ledger.accounts[GRID].balance_pico == 5_000_000 + 60_000


def test_negative_price_makes_the_seller_pay(ledger):
    sell, buy = order(limit=-100), order(BUYER, True, limit=0)
    settle(ledger, chunk(fill(sell), fill(buy), prices=(-50,)), NOW_S)
    assert ledger.accounts[SELLER].balance_pico == 1_000_000 - 1000 * 55
    assert ledger.accounts[BUYER].balance_pico == 1_000_000 + 1000 * 45


def test_delivery_as_sold_costs_nothing_more(ledger):
    settle(
        ledger,
        chunk(fill(SELL), fill(BUY), readings=(Reading(SELLER, 1000), Reading(BUYER, -1000))),
        NOW_S,
    )
    assert ledger.accounts[GRID].balance_pico == 5_000_000
    assert ledger.accounts[SELLER].read == T
    assert ledger.accounts[SELLER].position_milli_wh == 0


def test_shortfall_is_bought_short_and_surplus_is_paid_long(ledger):
    settle(ledger, chunk(fill(SELL), fill(BUY), readings=(Reading(SELLER, 900), Reading(BUYER, -700))), NOW_S)
    assert ledger.accounts[SELLER].balance_pico == 1_000_000 + 195_000 - 100 * 300
    assert ledger.accounts[BUYER].balance_pico == 1_000_000 - 205_000 + 300 * 80


def test_curtailment_forgives_a_shortfall_up_to_its_quantity_and_no_surplus(ledger):
    curtail(ledger, SELLER, T, 60, now_interval=T)
    curtail(ledger, BUYER, T, 60, now_interval=T)
    settle(ledger, chunk(fill(SELL), fill(BUY), readings=(Reading(SELLER, 900), Reading(BUYER, -990))), NOW_S)
    assert ledger.accounts[SELLER].balance_pico == 1_000_000 + 195_000 - 40 * 300
    assert ledger.accounts[BUYER].balance_pico == 1_000_000 - 205_000 + 10 * 80


def test_wrong_reading_is_put_right_by_the_next_true_one(ledger):
    publish_tariffs(ledger, T + 1, TARIFFS)
    settle(ledger, chunk(readings=(Reading(SELLER, 250),)), NOW_S)
    settle(
        ledger,
        chunk(sequence=1, interval=T + 1, readings=(Reading(SELLER, 100),)),
        NOW_S + 900,
    )
    assert ledger.accounts[SELLER].balance_pico == 1_000_000 + 250 * 80 - 150 * 300
    assert ledger.accounts[SELLER].register_milli_wh == 100


def test_position_of_an_unread_interval_is_parked_until_it_is_read(ledger):
    for account in (SELLER, BUYER):
        ledger.accounts[account].read = T - 1
    publish_tariffs(ledger, T + 1, (Tariff(900, 10),))
    late_sell, late_buy = (replace(o, first=T + 1, last=T + 1) for o in (SELL, BUY))
    settle(ledger, chunk(fill(SELL), fill(BUY)), NOW_S)
    settle(ledger, chunk(fill(late_sell), fill(late_buy), sequence=1, interval=T + 1), NOW_S + 900)
    assert ledger.accounts[SELLER].parked_milli_wh == {T: 1000}
    read(ledger, T, TARIFFS, [Reading(SELLER, 600)], NOW_S + 900)
    assert ledger.accounts[SELLER].balance_pico == 1_000_000 + 2 * 195_000 - 400 * 300
    assert ledger.accounts[SELLER].position_milli_wh == 1000
    assert ledger.accounts[SELLER].parked_milli_wh == {}


def test_account_that_cannot_pay_its_imbalance_owes_the_rest_and_cannot_trade(ledger):
    ledger.accounts[SELLER].balance_pico = 10_000
    publish_tariffs(ledger, T + 1, TARIFFS)
    settle(ledger, chunk(readings=(Reading(SELLER, -100),)), NOW_S)
    state = ledger.accounts[SELLER]
    assert (state.balance_pico, state.owed_pico, state.in_debt) == (0, 20_000, True)
    later = [fill(replace(o, first=T + 1, last=T + 1)) for o in (SELL, BUY)]
    refuses(ledger, "settlement: in debt", chunk(*later, sequence=1, interval=T + 1), now_s=NOW_S + 900)
    state.balance_pico = 25_000
    collect(state, ledger.accounts[GRID])
    assert (state.balance_pico, state.owed_pico, state.in_debt) == (5_000, 0, False)


def test_what_grid_cannot_pay_it_owes(ledger):
    ledger.accounts[GRID].balance_pico = 3_000
    settle(ledger, chunk(readings=(Reading(SELLER, 100),)), NOW_S)
    assert ledger.accounts[SELLER].owed_pico == -5_000
    ledger.accounts[GRID].balance_pico = 10_000
    collect(ledger.accounts[SELLER], ledger.accounts[GRID])
    assert ledger.accounts[SELLER].balance_pico == 1_000_000 + 8_000
    assert ledger.accounts[GRID].balance_pico == 5_000


@pytest.mark.parametrize(("last_interval", "owed"), [(T, 0), (T - 1, 20_000)])
def test_exit_answers_only_for_intervals_it_cannot_escape(ledger, last_interval, owed):
    state = ledger.accounts[SELLER]
    asked = request_exit(state, ledger.accounts[GRID], 990_000, ready_s=NOW_S, last_interval=last_interval)
    assert (asked, state.balance_pico) == (990_000, 10_000)
    settle(ledger, chunk(readings=(Reading(SELLER, -100),)), NOW_S)
    assert state is not ledger.accounts[SELLER]
    state = ledger.accounts[SELLER]
    assert (state.balance_pico, state.owed_pico) == (0, owed)
    assert state.exit_amount_pico == 990_000 - (0 if owed else 20_000)


def test_exit_is_paid_once_it_is_ready_and_not_before(ledger):
    state = ledger.accounts[SELLER]
    request_exit(state, ledger.accounts[GRID], 400, ready_s=NOW_S, last_interval=T)
    with pytest.raises(ChunkRefused, match="not ready"):
        withdraw(state, NOW_S - 1)
    assert withdraw(state, NOW_S) == 400
    with pytest.raises(ChunkRefused, match="not ready"):
        withdraw(state, NOW_S)


def test_new_request_replaces_the_old_one_and_the_balance_bounds_it(ledger):
    state, grid = ledger.accounts[SELLER], ledger.accounts[GRID]
    request_exit(state, grid, 400, ready_s=NOW_S, last_interval=T)
    assert request_exit(state, grid, 10**12, ready_s=NOW_S + 1, last_interval=T + 1) == 1_000_000
    assert (state.balance_pico, state.exit_ready_s, state.exit_last) == (0, NOW_S + 1, T + 1)


def test_fill_takes_from_an_exit_requested_too_late(ledger):
    state = ledger.accounts[BUYER]
    request_exit(state, ledger.accounts[GRID], 1_000_000, ready_s=NOW_S, last_interval=T)
    settle(ledger, chunk(fill(SELL), fill(BUY)), NOW_S)
    assert ledger.accounts[BUYER].exit_amount_pico == 1_000_000 - 205_000


def test_order_cut_at_a_chunks_border_counts_as_one_fill(ledger):
    a, b = order(quantity=400, lane=1), order(quantity=600)
    first = chunk(fill(a), fill(BUY, 400))
    effect = settle(ledger, first, NOW_S)
    assert effect.fills_done[-1] == (int.from_bytes(fill(BUY).order_hash[:26], "big") << 48 | 400, -400)
    settle(ledger, chunk(fill(BUY, 600), fill(b), sequence=1), NOW_S)
    assert ledger.accounts[BUYER].position_milli_wh == -1000
    assert [carry.filled_milli_wh for carry in ledger.carries] == [600, 1000]


def test_meter_exchange_goes_on_from_the_new_meters_register(ledger):
    first = replace_meter(ledger, SELLER, 7_000, now_interval=T - 1)
    ledger.accounts[SELLER].read = first - 1
    publish_tariffs(ledger, first, TARIFFS)
    now_s = (first + 1) * 900
    settle(ledger, chunk(readings=(Reading(SELLER, 7_100),), interval=first), now_s)
    assert ledger.accounts[SELLER].balance_pico == 1_000_000 + 100 * 80


def test_old_agent_signs_until_the_new_ones_first_interval(ledger):
    since = set_agent(ledger, SELLER, NOW_S)
    assert since == T + 1 + 1 + ledger.terms.notice
    settle(ledger, chunk(fill(SELL), fill(BUY)), NOW_S)
    ledger.accounts[SELLER].epoch_since = T
    refuses(
        ledger, "settlement: epoch", chunk(fill(order(lane=1)), fill(order(BUYER, True, lane=1)), sequence=1)
    )


WHOLE = chunk(fill(SELL), fill(BUY))


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("settlement: sequence", {"sequence": 1}),
        ("settlement: round", {"round": 4}),
        ("settlement: price", {"prices_micro_per_kwh": (2**38,)}),
        ("settlement: zone", {"prices_micro_per_kwh": ()}),
        ("settlement: energy", {"fills": (fill(SELL), fill(BUY, 999))}),
        ("settlement: epoch", {"fills": (fill(replace(SELL, epoch=2)), fill(BUY))}),
        ("settlement: epoch", {"fills": (fill(replace(SELL, account=9)), fill(BUY))}),
        ("settlement: validity", {"fills": (fill(replace(SELL, first=T + 1, last=T + 1)), fill(BUY))}),
        ("settlement: validity", {"fills": (fill(replace(SELL, first=T - 9, last=T - 1)), fill(BUY))}),
        ("settlement: lane", {"fills": (fill(SELL), fill(SELL, salt=b"2"), fill(BUY))}),
        ("settlement: lane", {"fills": (fill(replace(SELL, lane=32)), fill(BUY))}),
        ("settlement: quantity", {"fills": (fill(SELL, 1001), fill(BUY))}),
        ("settlement: quantity", {"fills": (fill(SELL, 600), fill(SELL, 401), fill(BUY))}),
        ("settlement: quantity", {"fills": (Fill(SELL, bytes(32), 0), fill(BUY))}),
        ("settlement: limit", {"fills": (fill(replace(SELL, limit_micro_per_kwh=196)), fill(BUY))}),
        ("settlement: limit", {"fills": (fill(SELL), fill(replace(BUY, limit_micro_per_kwh=204)))}),
        ("settlement: capacity", {"fills": (fill(replace(SELL, quantity_milli_wh=10_001)), fill(BUY))}),
        ("settlement: tariffs", {"readings": (Reading(SELLER, 0),), "tariffs": (Tariff(301, 80),)}),
        ("settlement: order of readings", {"readings": (Reading(SELLER, 0), Reading(SELLER, 0))}),
        ("settlement: register", {"readings": (Reading(SELLER, 10_001),)}),
        ("settlement: register", {"readings": (Reading(SELLER, -10_001),)}),
        ("settlement: substitute", {"readings": (Reading(SELLER, 0, is_substitute=True),)}),
    ],
)
def test_chunk_that_breaks_a_rule_is_refused_and_changes_nothing(ledger, reason, changes):
    refuses(ledger, reason, replace(WHOLE, **changes))


def test_account_without_a_meter_cannot_be_read(ledger):
    open_account(ledger)
    ledger.accounts[4].read = T - 1
    refuses(ledger, "registry: signature", chunk(readings=(Reading(4, 0),)))


def test_zone_without_a_tariff_cannot_be_read(ledger):
    ledger.accounts[SELLER].zone = 1
    refuses(ledger, "settlement: zone", chunk(readings=(Reading(SELLER, 0),)))


def test_spread_kept_by_paying_the_seller_more_than_the_buyer_pays_is_refused(ledger):
    ledger.accounts[SELLER].zone = 1
    refuses(ledger, "settlement: rent", chunk(fill(SELL), fill(BUY), prices=(PRICE, 260)))


def test_buyer_without_funds_is_refused(ledger):
    ledger.accounts[BUYER].balance_pico = 204_999
    refuses(ledger, "settlement: funds", WHOLE)


def test_balance_beyond_its_79_bits_is_refused(ledger):
    ledger.accounts[SELLER].balance_pico = 2**79 - 1
    refuses(ledger, "settlement: balance", WHOLE)
    ledger.accounts[SELLER].balance_pico = 0
    ledger.accounts[FEES].balance_pico = 2**79 - 1
    refuses(ledger, "ledger: balance", WHOLE)


@pytest.mark.parametrize(("now_s", "reason"), [(NOW_S - 1, "early"), (NOW_S + 6 * 3600, "late")])
def test_chunk_outside_the_fill_window_is_refused(ledger, now_s, reason):
    refuses(ledger, f"settlement: {reason}", WHOLE, now_s=now_s)


def test_prices_cannot_change_inside_a_round_and_rounds_only_go_forward(ledger):
    refuses(ledger, "settlement: round", WHOLE, chunk(sequence=1, prices=(PRICE + 1,)))
    settle(ledger, chunk(sequence=1, round_=2), NOW_S)
    refuses(ledger, "settlement: round", chunk(sequence=2, round_=1))


def test_interval_that_was_read_cannot_be_filled(ledger):
    ledger.accounts[SELLER].read = T
    refuses(ledger, "settlement: read", WHOLE)


def test_account_cannot_trade_too_far_ahead_of_its_readings(ledger):
    ledger.accounts[SELLER].read = T - MAX_UNREAD - 1
    refuses(ledger, "settlement: unread", WHOLE)
    ledger.accounts[SELLER].read = T - MAX_UNREAD
    settle(ledger, WHOLE, NOW_S)


def test_interval_beyond_24_bits_is_refused(ledger):
    refuses(ledger, "ledger: interval", chunk(interval=2**24))


def test_more_entries_than_a_chunk_holds_are_refused(ledger):
    refuses(ledger, "abi", chunk(*[fill(SELL)] * 129))


def test_reading_by_anyone_waits_until_the_interval_cannot_be_filled(ledger):
    with pytest.raises(ChunkRefused, match="fills first"):
        read(ledger, T, TARIFFS, [Reading(SELLER, 0)], NOW_S)
    with pytest.raises(ChunkRefused, match="tariffs"):
        read(ledger, T, (), [Reading(SELLER, 0)], NOW_S + 6 * 3600)
    read(ledger, T, TARIFFS, [Reading(SELLER, 0)], NOW_S + 6 * 3600)
    assert ledger.accounts[SELLER].read == T


def test_substitute_counts_after_two_fill_windows(ledger):
    late_s = NOW_S + 2 * 6 * 3600
    substitute = [Reading(SELLER, -50, is_substitute=True)]
    with pytest.raises(ChunkRefused, match="substitute"):
        read(ledger, T, TARIFFS, substitute, late_s - 1)
    read(ledger, T, TARIFFS, substitute, late_s)
    assert ledger.accounts[SELLER].balance_pico == 1_000_000 - 50 * 300


def test_tariffs_are_published_once_and_ordered(ledger):
    with pytest.raises(ChunkRefused, match="published"):
        publish_tariffs(ledger, T, TARIFFS)
    for wrong in (Tariff(10, 11), Tariff(2**38, 0), Tariff(0, -(2**38))):
        with pytest.raises(ChunkRefused, match="tariff"):
            publish_tariffs(ledger, T + 1, (wrong,))


def _registry_calls(ledger):
    yield "account", lambda: install(ledger, SELLER, 0, 0, 10, T)
    yield "account", lambda: install(ledger, 99, 0, 0, 10, T)
    fresh = open_account(ledger)
    yield "register", lambda: install(ledger, fresh, 2**55, 0, 10, T)
    yield "site", lambda: install(ledger, fresh, 0, 32, 10, T)
    yield "site", lambda: install(ledger, fresh, 0, 0, 2**39, T)
    yield "account", lambda: raise_capacity(ledger, fresh, 10)
    yield "site", lambda: raise_capacity(ledger, SELLER, 10_000)
    yield "account", lambda: replace_meter(ledger, fresh, 0, T)
    yield "register", lambda: replace_meter(ledger, SELLER, 2**55, T)
    yield "owner", lambda: set_agent(ledger, GRID, NOW_S)
    yield "account", lambda: curtail(ledger, fresh, T, 10, T)
    yield "quantity", lambda: curtail(ledger, SELLER, T, 0, T)
    yield "quantity", lambda: curtail(ledger, SELLER, T, 2**39, T)
    yield "notice", lambda: curtail(ledger, SELLER, T + 161, 1, T)
    yield "read", lambda: curtail(ledger, SELLER, T - 1, 1, T)
    curtail(ledger, SELLER, T, 5, T)
    yield "curtailed", lambda: curtail(ledger, SELLER, T, 1, T)
    replace_meter(ledger, SELLER, 0, T - 1000)
    yield "pending", lambda: replace_meter(ledger, SELLER, 0, T)
    set_agent(ledger, SELLER, NOW_S)
    yield "pending", lambda: set_agent(ledger, SELLER, NOW_S + 900)


def test_registry_refuses_with_the_contracts_reasons(ledger):
    for reason, call in _registry_calls(ledger):
        with pytest.raises(ChunkRefused) as refused:
            call()
        assert refused.value.reason == f"registry: {reason}"


def test_capacity_is_raised(ledger):
    raise_capacity(ledger, SELLER, 20_000)
    assert ledger.accounts[SELLER].capacity_milli_wh == 20_000


def test_draft_does_not_share_what_a_chunk_changes():
    state = AccountState(parked_milli_wh={1: 2})
    state.draft().parked_milli_wh[3] = 4
    assert state.parked_milli_wh == {1: 2}
