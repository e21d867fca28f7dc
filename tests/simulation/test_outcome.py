"""How well a day's auctions did, from the store alone; and that the measure notices when they did worse."""

import pytest
from sqlalchemy import func, select, update

from node.report.outcome import outcome
from node.store.tables_market import fills
from tests.simulation.conftest import Ran

FEE = 2_500


class Undo(Exception):
    pass


def of(ran: Ran, *changes):
    """The outcome of the delivered day, after changes to the store that are taken back."""
    day = ran.scenario.delivery_intervals()
    found = []
    try:
        with ran.community.store.begin() as connection:
            for change in changes:
                assert connection.execute(change).rowcount == 1
            found.append(outcome(connection, day, FEE))
            raise Undo
    except Undo:
        return found[0]


def test_a_day_reaches_the_best_possible_and_its_money_adds_up(ran: Ran) -> None:
    result = of(ran)
    assert result.welfare_share == pytest.approx(1.0, abs=1e-9)
    assert result.budget_gap_pico == 0
    assert result.surplus.grid_pico == 0
    with ran.community.store.read() as connection:
        day = ran.scenario.delivery_intervals()
        bought = connection.execute(
            select(func.sum(fills.c.quantity_milli_wh)).where(
                fills.c.is_buy, fills.c.interval >= day.start, fills.c.interval < day.stop
            )
        ).scalar_one()
    assert result.surplus.operator_pico == 2 * FEE * bought
    for value in (result.sellers_hhi, result.buyers_hhi):
        assert value is not None and 1 / 4 <= value <= 1


def test_energy_that_was_withheld_shows_as_less_than_the_best_possible_and_as_a_gap(ran: Ran) -> None:
    with ran.community.store.read() as connection:
        row = connection.execute(
            select(fills).where(fills.c.is_buy).order_by(fills.c.quantity_milli_wh.desc(), fills.c.interval)
        ).first()
    where = (fills.c.interval == row.interval, fills.c.round == row.round, fills.c.sequence == row.sequence)
    half = update(fills).where(*where).values(quantity_milli_wh=row.quantity_milli_wh // 2)
    result = of(ran, half)
    assert result.welfare_share < 1.0
    assert result.budget_gap_pico != 0
