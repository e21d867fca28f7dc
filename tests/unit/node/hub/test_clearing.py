"""Gate closure: one auction per interval and round, all of it stored, once."""

import pytest
from eth_hash.auto import keccak
from sqlalchemy import event

from market.orders import NO_WISH, Wish
from market.pairing import Met
from node.bus.messages import TOPIC_ROUNDS
from node.hub.clearing import positions_milli_wh
from node.store.tables_market import fills, orders, prices, rounds, trades
from tests.unit.node.hub.small_hub import FEE, Hub, T, order


@pytest.fixture
def hub() -> Hub:
    return Hub.open()


def cross(hub):
    """A bid at 20 ct all-in meets an offer at 10 ct all-in: any net price in 10.25..19.75 ct would do."""
    hub.submit(order(2), order(3, quantity_milli_wh=300_000), order(4, limit_micro_per_kwh=190_000))


def test_a_round_stores_price_fills_trades_and_root_together(hub):
    cross(hub)
    hub.clearing.clear(0, [T])
    (held,) = hub.rows(rounds)
    assert (held.n_orders, held.volume_milli_wh, held.next_sequence) == (3, 500_000, 3)
    assert held.book_root == keccak(b"".join(row.hash for row in hub.rows(orders)))
    (price,) = hub.rows(prices)
    assert price.low_micro_per_kwh <= price.price_micro_per_kwh <= price.high_micro_per_kwh
    by_account = {row.account: row for row in hub.rows(fills)}
    assert by_account[2].amount_pico == -500_000 * (price.price_micro_per_kwh + FEE)
    assert by_account[3].amount_pico == 300_000 * (price.price_micro_per_kwh - FEE)
    assert sum(row.quantity_milli_wh for row in hub.rows(trades)) == 500_000
    assert {(row.buyer, row.seller) for row in hub.rows(trades)} == {(2, 3), (2, 4)}


def test_nobody_pays_more_or_gets_less_than_the_limit_with_the_fee_inside(hub):
    cross(hub)
    hub.clearing.clear(0, [T])
    limits = {row.sequence: row for row in hub.rows(orders)}
    for fill in hub.rows(fills):
        limit = limits[fill.sequence].limit_micro_per_kwh
        all_in = fill.price_micro_per_kwh + (FEE if fill.is_buy else -FEE)
        assert all_in <= limit if fill.is_buy else all_in >= limit


def test_energy_of_a_round_adds_to_zero_and_money_to_the_fees(hub):
    cross(hub)
    hub.clearing.clear(0, [T])
    found = hub.rows(fills)
    assert sum(-row.quantity_milli_wh if row.is_buy else row.quantity_milli_wh for row in found) == 0
    assert sum(row.amount_pico for row in found) == -2 * FEE * 500_000


def test_clearing_twice_is_clearing_once(hub):
    cross(hub)
    heard = []
    hub.bus.subscribe(TOPIC_ROUNDS, heard.append)
    hub.clearing.clear(0, [T])
    before = hub.state()
    hub.clearing.clear(0, [T])
    hub.bus.deliver()
    assert hub.state() == before
    assert len(heard) == 1


def test_clearing_again_with_more_intervals_clears_only_the_new_ones(hub):
    cross(hub)
    hub.clearing.clear(0, [T])
    hub.clearing.clear(0, [T, T + 1, T + 2])
    assert [(row.interval, row.volume_milli_wh) for row in hub.rows(rounds)] == [
        (T, 500_000),
        (T + 1, 0),
        (T + 2, 0),
    ]


def test_an_interval_without_orders_has_a_round_without_price(hub):
    hub.clearing.clear(0, [T])
    (held,) = hub.rows(rounds)
    assert (held.n_orders, held.volume_milli_wh) == (0, 0)
    assert hub.rows(prices)[0].price_micro_per_kwh is None
    assert hub.count(fills) == hub.count(trades) == 0


def test_orders_that_do_not_cross_are_closed_without_fill(hub):
    hub.submit(order(2, limit_micro_per_kwh=100_000), order(3, limit_micro_per_kwh=100_000))
    hub.clearing.clear(0, [T])
    assert hub.count(fills) == 0
    assert hub.seen() == []


def test_a_second_round_sees_only_what_came_after_the_first(hub):
    cross(hub)
    hub.clearing.clear(0, [T])
    hub.submit(order(2, lane=1), order(5))
    hub.clearing.clear(1, [T])
    second = [row for row in hub.rows(fills) if row.round == 1]
    assert {row.account for row in second} == {2, 5}
    assert [row.n_orders for row in hub.rows(rounds)] == [3, 2]


def test_one_order_over_several_intervals_is_filled_in_each_for_itself(hub):
    hub.submit(order(2, last=T + 2), order(3, first=T + 1, last=T + 1, quantity_milli_wh=200_000))
    hub.clearing.clear(0, [T, T + 1, T + 2])
    assert [(row.interval, row.volume_milli_wh) for row in hub.rows(rounds)] == [
        (T, 0),
        (T + 1, 200_000),
        (T + 2, 0),
    ]


def test_positions_add_all_rounds(hub):
    cross(hub)
    hub.clearing.clear(0, [T])
    hub.submit(order(2, lane=1, quantity_milli_wh=100_000), order(5, quantity_milli_wh=100_000))
    hub.clearing.clear(1, [T])
    with hub.store.read() as connection:
        positions = positions_milli_wh(connection, T)
    assert positions == {2: -600_000, 3: 300_000, 4: 200_000, 5: 100_000}
    assert sum(positions.values()) == 0


def test_a_fill_keeps_its_margin_and_an_unfilled_order_gives_it_back(hub):
    hub.submit(order(2, quantity_milli_wh=1_000_000), order(3, quantity_milli_wh=300_000))
    hub.submit(order(4, limit_micro_per_kwh=999_999))
    hub.clearing.clear(0, [T])
    assert hub.desk.exposure_pico(4) == 0
    assert hub.desk.exposure_pico(2) > 0


class Unplugged(Exception):
    """The machine stops in the middle of a statement."""


@pytest.mark.parametrize("table", ["rounds", "prices", "fills", "trades"])
def test_a_crash_while_a_round_is_stored_leaves_everything_as_it_was(hub, table):
    cross(hub)
    before = hub.state()

    def unplug(_connection, _cursor, statement, *_rest):
        if statement.startswith(f"INSERT INTO {table}"):
            raise Unplugged

    event.listen(hub.store.engine, "after_cursor_execute", unplug)
    with pytest.raises(Unplugged):
        hub.clearing.clear(0, [T, T + 1])
    event.remove(hub.store.engine, "after_cursor_execute", unplug)
    assert hub.state() == before
    undisturbed = Hub.open()
    cross(undisturbed)
    for one in (hub, undisturbed):
        one.clearing.clear(0, [T, T + 1])
    assert hub.state() == undisturbed.state()
    assert [tuple(row) for row in hub.rows(fills)] == [tuple(row) for row in undisturbed.rows(fills)]


def test_a_hub_that_was_killed_after_storing_the_round_knows_it_when_it_starts(hub):
    cross(hub)
    hub.clearing.clear(0, [T])
    again = hub.restart()
    before = again.state()
    assert before["exposure"] == hub.state()["exposure"]
    again.clearing.clear(0, [T])
    assert again.state() == before


def test_a_wish_pairs_a_fill_with_whom_it_names_and_changes_neither_fills_nor_prices():
    told = []
    for wishes in ({}, {2: Wish(partner=4)}):
        hub = Hub.open()
        for one in (order(2), order(3), order(4), order(5, is_buy=True, limit_micro_per_kwh=200_000)):
            hub.submit(one, wish=wishes.get(one.account, NO_WISH))
        hub.clearing.clear(0, [T])
        money = [tuple(row) for table in (fills, prices, rounds) for row in hub.rows(table)]
        told.append((money, [(row.buyer, row.seller, Met(row.met), row.met_at) for row in hub.rows(trades)]))
    (money, without), (same_money, with_wish) = told
    assert money == same_money
    assert without == [(2, 3, Met.NEAREST, 0), (5, 4, Met.NEAREST, 0)]
    assert with_wish == [(2, 4, Met.BUYERS_PARTNER, 0), (5, 3, Met.NEAREST, 0)]
