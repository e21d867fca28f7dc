"""Wishes of the test community's members through a whole day: signed, kept, paired, shown, and costing nothing."""

import pytest
from sqlalchemy import select

from market.orders import Source
from market.pairing import Met
from node.report.summary import summarise
from node.report.wishes import tables
from node.store.tables_market import orders, trades
from tests.simulation.conftest import Ran

SUN, SHADE, CAR, RACK = 2, 3, 4, 5


def rows(ran: Ran, query) -> list:
    with ran.community.store.read() as connection:
        return connection.execute(query).all()


@pytest.mark.parametrize(
    ("account", "is_buy", "wishes"),
    [
        (SHADE, True, {(Source.SOLAR, SUN, 0)}),
        (CAR, True, {(Source.ANY, 0, 1)}),
        (RACK, True, {(Source.STORAGE, 0, 0)}),
        (SUN, True, {(Source.ANY, 0, 0)}),
    ],
)
def test_bids_carry_their_owners_wish(ran: Ran, account, is_buy, wishes) -> None:
    found = rows(ran, select(orders).where(orders.c.account == account, orders.c.is_buy == is_buy))
    assert {(row.source, row.partner, row.group) for row in found} == wishes


def test_offers_say_what_they_deliver_from(ran: Ran) -> None:
    found = rows(ran, select(orders).where(orders.c.account == SUN, ~orders.c.is_buy))
    assert {Source.SOLAR, Source.STORAGE} <= {row.source for row in found}
    assert {row.partner for row in found} == {0}


def test_the_report_counts_what_came_from_whom(ran: Ran) -> None:
    with ran.community.store.read() as connection:
        summary = summarise(connection, ran.scenario)
    met = {(one.name, one.wish): one for one in summary.wishes}
    assert list(met) == [("Shade", "Sun"), ("Shade", "solar"), ("Car", "group yard"), ("Rack", "storage")]
    day = rows(ran, select(trades).where(trades.c.interval < summary.span.stop))
    for (name, wish), account, is_met in (
        (("Shade", "Sun"), SHADE, lambda t: t.seller == SUN),
        (("Shade", "solar"), SHADE, lambda t: t.source == Source.SOLAR),
        (("Car", "group yard"), CAR, lambda t: t.seller in (SUN, SHADE)),
        (("Rack", "storage"), RACK, lambda t: t.source == Source.STORAGE),
    ):
        bought = [t for t in day if t.buyer == account]
        assert met[name, wish].bought_milli_wh == sum(t.quantity_milli_wh for t in bought) > 0
        assert met[name, wish].met_milli_wh == sum(t.quantity_milli_wh for t in bought if is_met(t))
    assert met["Shade", "Sun"].met_milli_wh > 0
    assert {Met.NEAREST, Met.BUYERS_PARTNER} <= {t.met for t in day}


def test_a_report_without_wishes_has_no_table_of_them() -> None:
    assert tables(()) == {}
