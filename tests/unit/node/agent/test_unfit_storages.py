"""Agents that know an unhealthy unit offer nothing that it would have to deliver, and plan nothing with it."""

from pathlib import Path

import numpy as np
import pytest

from node import profiles
from node.bus.messages import TOPIC_ORDERS
from node.community import open_community
from node.scenario import Study, load

SCENARIO = Path(__file__).parents[4] / "scripts" / "scenarios" / "neighbourhood.yaml"


@pytest.fixture
def community():
    scenario = load(SCENARIO)
    scenario = scenario.model_copy(update={"study": Study(chain=False, signing=False)})
    opened = open_community(scenario, profiles.load(scenario), None)
    yield opened
    opened.close()


def quantity_by_account(community, is_fit):
    """Return what each account orders day-ahead, either way, mWh."""
    messages = []
    community.bus.subscribe(TOPIC_ORDERS, messages.append)
    agents, delivery = community.agents, community.scenario.delivery_intervals()
    agents.take_out(is_fit)
    agents.day_ahead(delivery.start, delivery, community.dispatch.first_world().fleet)
    community.bus.deliver()
    total = {}
    for message in messages:
        for signed in message.orders:
            order = signed.order
            span = order.last - order.first + 1
            total[order.account] = total.get(order.account, 0) + span * order.quantity_milli_wh
    return total


def test_an_account_whose_only_unit_is_unhealthy_orders_nothing(community):
    rows = {p.id: row for row, p in enumerate(community.scenario.participants)}
    quarter = next(
        row for name, row in rows.items() if community.scenario.participants[row].name == "Quarter battery"
    )
    mine = community.plant.participant == quarter
    healthy = np.ones(community.plant.fleet.n_devices, np.bool_)
    assert quantity_by_account(community, healthy)[quarter + 2] > 0
    assert quarter + 2 not in quantity_by_account(community, healthy & ~mine)


def test_an_unhealthy_unit_has_no_part_in_the_plan_and_the_others_have(community):
    plant, first = community.plant, community.scenario.delivery_intervals().start
    state = community.dispatch.first_world().fleet
    well = community.agents.begin(first, state)
    busy = plant.storages[np.flatnonzero(np.abs(well.power_w) > 1.0)[0]]
    is_fit = np.ones(plant.fleet.n_devices, np.bool_)
    is_fit[busy] = False
    community.agents.take_out(is_fit)
    aim = community.agents.begin(first, state)
    place = np.searchsorted(plant.storages, busy)
    assert aim.power_w[place] == 0.0
    owner = plant.participant[busy]
    # Its account aims at what it can do without it.
    lost_wh = well.power_w[place] * community.scenario.interval_s / 3_600
    assert aim.target_export_wh[owner] == pytest.approx(well.target_export_wh[owner] - lost_wh, abs=1.0)
