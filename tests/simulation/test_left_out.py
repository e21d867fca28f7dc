"""A report draws no empty picture: what is left out is named with its reason."""

import json

import pytest

from node import profiles
from node.community import open_community
from node.report import writing
from node.report.summary import summarise
from node.scenario import Scenario, load
from node.simulation import Simulation
from tests.simulation.conftest import CORNER, Ran

HOURS = 2


@pytest.fixture
def without_storages():
    """Return the first hours of the corner with nothing in it that stores."""
    content = load(CORNER).model_dump(mode="json") | {"study": {"chain": False, "signing": False}}
    content |= {"events": [], "participants": content["participants"][:2]}
    for participant in content["participants"]:
        participant |= {"devices": [], "strategy": {}}
    scenario = Scenario.model_validate_json(json.dumps(content))
    community = open_community(scenario, profiles.load(scenario), None)
    Simulation(community).run(scenario.delivery_intervals().start + HOURS)
    yield community
    community.close()


def test_a_scenario_without_storages_has_no_empty_state_of_charge_but_its_reason(without_storages, tmp_path):
    scenario = without_storages.scenario
    with without_storages.store.read() as connection:
        summary = summarise(connection, scenario)
        drawn = writing.figures(connection, scenario, summary.span)
        page = writing.write(connection, scenario, summary, tmp_path).read_text()
    assert "storage" not in drawn and "prices" in drawn
    assert writing.left_out(drawn)["Pictures left out"][1][0] == (
        "State of charge",
        "nothing here stores energy",
    )
    assert '<div class="figure" id="storage">' not in page and '<div class="figure" id="prices">' in page
    assert "nothing here stores energy" in page


def test_a_full_day_leaves_nothing_out(ran: Ran) -> None:
    with ran.community.store.read() as connection:
        drawn = writing.figures(connection, ran.scenario, ran.scenario.delivery_intervals())
    assert "storage" in drawn and writing.left_out(drawn) == {}
