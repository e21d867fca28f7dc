"""A hub that stops between the sale of a reserve and its recovery goes on as if it had not stopped."""

from pathlib import Path

import pytest
from sqlalchemy import select

from node import profiles
from node.community import open_community
from node.report.export import EXPORTED
from node.scenario import load
from node.simulation import Simulation
from node.store.tables_market import flex_events, flex_members

SCENARIO = Path(__file__).parents[2] / "scripts" / "scenarios" / "swarm.yaml"
NIGHT = 60  # minutes after midnight
LAST = 9  # intervals: sold in the first, held in the third, bought back until the seventh


def scenario():
    """Return a night of three storage owners with one short incident, without a chain."""
    day = load(SCENARIO)
    grid = day.frequency
    assert grid is not None
    services = [one.model_copy(update={"start": NIGHT}) for one in grid.services if one.id == "containment"]
    services += [
        one.model_copy(update={"start": 3 * NIGHT, "duration_intervals": 2})
        for one in grid.services
        if one.id == "regulation-evening"
    ]
    incident = grid.incidents[0].model_copy(update={"start": NIGHT, "simulated_s": 30})
    return day.model_copy(
        update={
            "frequency": grid.model_copy(update={"services": tuple(services), "incidents": (incident,)}),
            "participants": tuple(p for p in day.participants if p.id.startswith(("valley", "mill", "shop"))),
            "study": day.study.model_copy(update={"chain": False, "signing": False}),
        }
    )


def run(folder, *stops):
    """Run to each stop with a fresh process' worth of objects, and return every exported row."""
    plan = scenario()
    first = plan.delivery_intervals().start
    for stop in stops:
        community = open_community(plan, profiles.load(plan), folder)
        Simulation(community).run(first + stop)
        with community.store.read() as connection:
            found = {
                table.name: connection.execute(select(table).order_by(*table.primary_key.columns)).all()
                for table in EXPORTED
            }
        community.close()
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"), LAST)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_wherever_it_stops_it_ends_with_the_same_rows(whole, tmp_path, stop):
    again = run(tmp_path, stop, LAST)
    for name, rows in whole.items():
        assert again[name] == rows, name


def test_without_a_chain_everything_happens_but_money(whole):
    columns = [column.name for column in flex_events.columns]
    events = {
        row[columns.index("name")]: dict(zip(columns, row, strict=True)) for row in whole["flex_events"]
    }
    assert events["containment"]["score_ppm"] > 900_000
    assert events["regulation-evening"]["state"] == "paid"
    columns = [column.name for column in flex_members.columns]
    assert all(row[columns.index("paid_pico")] is None for row in whole["flex_members"])
    assert all(row[columns.index("reserved_milli_wh")] > 0 for row in whole["flex_members"])
    assert len(whole["frequency_steps"]) > 300
