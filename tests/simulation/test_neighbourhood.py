"""The shipped neighbourhood's day: nobody is worse off than with the supplier alone."""

from pathlib import Path

import pytest

from node import profiles
from node.community import open_community
from node.report.summary import summarise
from node.scenario import load, shipped
from node.simulation import Simulation


@pytest.mark.slow
def test_no_member_of_the_neighbourhood_pays_more_than_with_the_supplier_alone(tmp_path: Path) -> None:
    scenario = load(shipped.FOLDER / "neighbourhood.yaml")
    community = open_community(scenario, profiles.load(scenario), tmp_path)
    try:
        Simulation(community).run(scenario.delivery_intervals().stop)
        with community.store.read() as connection:
            summary = summarise(connection, scenario)
    finally:
        community.close()
    assert len(summary.bills) == 24
    assert {bill.name: bill.saving_pico for bill in summary.bills if bill.saving_pico < 0} == {}
    assert summary.share_not_worse_off == 1.0
