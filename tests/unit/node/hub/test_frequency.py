"""Frequency services as the hub keeps them: bought, held, opened, and what becomes of none."""

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from node import profiles
from node.community import open_community
from node.scenario import load
from node.store.tables_market import flex_events, flex_members

SCENARIO = Path(__file__).parents[4] / "scripts" / "scenarios" / "swarm.yaml"


def community(**service):
    """Return a community without a chain, with one service at 01:00 changed as told."""
    day = load(SCENARIO)
    grid = day.frequency
    assert grid is not None
    one = next(s for s in grid.services if s.id == "containment").model_copy(update={"start": 60} | service)
    return open_community(
        found := day.model_copy(
            update={
                "frequency": grid.model_copy(update={"services": (one,), "incidents": ()}),
                "study": day.study.model_copy(update={"chain": False, "signing": False}),
            }
        ),
        profiles.load(found),
        None,
    )


def sold(opened):
    """Sell what is due at the end of the first interval, and return the event with its members."""
    first = opened.scenario.delivery_intervals().start
    state = opened.dispatch.first_world().fleet
    opened.agents.begin(first, state)
    with opened.store.begin() as connection:
        opened.frequency.after(connection, first, state, None)
        event = connection.execute(select(flex_events)).one_or_none()
        members = connection.execute(select(flex_members).order_by(flex_members.c.account)).all()
    return first, event, members


@pytest.fixture(scope="module")
def opened():
    found = community(power_w=9_000.0)
    yield found, *sold(found)
    found.close()


def test_the_cheapest_storages_hold_what_was_asked_for_to_the_milliwatt_hour(opened):
    _, first, event, members = opened
    assert (event.first, event.last, event.split) == (first + 2, first + 2, "contract")
    assert sum(m.reserved_milli_wh for m in members) == 9_000 * 1_000 // 2
    # One price for all: what the dearest that is needed asked for; nobody holds more than half of its rating.
    assert event.revenue_pico % (9_000 * 1_000 // 2) == 0
    rating = {7: 12_000, 8: 8_000, 9: 10_000}
    assert all(m.reserved_milli_wh <= rating[m.account] * 1_000 // 4 for m in members)


def test_the_controller_hears_of_it_in_its_intervals_only(opened):
    found, first, event, _ = opened
    assert found.frequency.during(first + 1) is None
    assert found.frequency.during(event.last + 1) is None
    told = found.frequency.during(first + 2)
    assert told.service.up_w.sum() == pytest.approx(9_000.0, abs=1e-3)
    assert not told.service.down_w.any(), "it injects only"
    assert told.deviation_hz.size == found.scenario.interval_s + 1
    assert np.abs(told.deviation_hz).max() < 0.1


def test_nobody_who_was_not_asked_serves(opened):
    found, _, _, members = opened
    names = {found.scenario.participants[m.account - 2].id for m in members}
    assert names <= {"valley-battery", "mill-battery", "mill-wheel"}


def test_what_nobody_sells_at_the_buyers_price_is_not_opened():
    found = community(most_micro_per_kwh=1)
    first, event, members = sold(found)
    assert event is None and members == []
    assert found.frequency.during(first + 2) is None
    found.close()


def test_members_without_storage_offer_nothing():
    found = community(members=("claus",))
    _, event, _ = sold(found)
    assert event is None
    found.close()
