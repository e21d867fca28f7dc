"""Dispatch at its capacities: who is shed first, who helps, what is a curtailment, what is lent."""

import numpy as np
import pytest

from devices.catalogue import (
    fixed_load,
    solar_roof,
)
from devices.specification import Priority
from devices.state import FleetInputs
from node.controller.control_plan import ImportClass
from node.controller.reasons import Reason
from tests.unit.node.hub.small_plant import QUARTER_H, Community, battery_home


def test_the_least_important_load_is_shed_first_at_a_full_connection():
    home = [
        fixed_load("critical", Priority.CRITICAL),
        fixed_load("normal", Priority.NORMAL),
        fixed_load("deferrable", Priority.DEFERRABLE),
    ]
    c = Community([home], connection_w=(5_000.0, 5_000.0))
    outcome = c.run(c.inputs(critical=2000, normal=2500, deferrable=1500))
    assert outcome.unserved_wh_by_class[ImportClass.CRITICAL] == 0
    assert outcome.unserved_wh_by_class[ImportClass.NORMAL] == 0
    assert outcome.unserved_wh_by_class[ImportClass.DEFERRABLE] == pytest.approx(1000 * QUARTER_H, abs=1e-3)
    assert outcome.net_export_wh == pytest.approx([-5000 * QUARTER_H], abs=1e-3)
    assert c.reasons(outcome, "deferrable") == [Reason.PRIORITY]
    assert outcome.nodes.is_import_binding.tolist() == [False, True]
    assert "home-0" in outcome.setpoints.reason_text(0, c.tree.names)


def test_own_storage_helps_before_own_load_is_shed():
    c = Community([battery_home()], connection_w=(5_000.0, 5_000.0))
    outcome = c.run(c.inputs(load=7000))
    # The battery ramps up within a second; the load waits for it that long and no longer.
    assert outcome.unserved_wh_by_class.sum() < 2000 * 1.5 / 3600
    assert outcome.net_export_wh[0] == pytest.approx(-5000 * QUARTER_H, rel=1e-3)
    assert Reason.RELIEF in c.reasons(outcome, "battery")


def test_what_is_lent_to_neighbours_is_remembered_with_who_needed_it():
    homes = [[fixed_load("load-a")], [fixed_load("load-b")], battery_home("-c")]
    c = Community(homes, feeder_w=(6_000.0, 6_000.0), lends=True)
    outcome = c.run(c.inputs(**{"load-a": 6000, "load-b": 2000}), target_wh=[-1500.0, -500.0, 0.0])
    # 8 kW of need, 6 kW of feeder: the battery lends 2 kW, three quarters of them to a.
    assert outcome.lent_wh == pytest.approx([0, 0, 500.0], rel=2e-3)
    assert outcome.borrowed_wh == pytest.approx([375.0, 125.0, 0.0], rel=2e-3)
    assert outcome.unserved_wh_by_class.sum() < 2000 * 1.5 / 3600
    assert outcome.net_export_wh[2] == pytest.approx(500.0, rel=2e-3)


def test_what_a_shared_node_takes_from_a_position_is_a_curtailment():
    c = Community([[solar_roof("sun-a")], [solar_roof("sun-b")]], feeder_w=(np.inf, 6_000.0))
    # Named sun-*: underscores would not do as keywords, so set rows by hand.
    n = c.params.n_devices
    inputs = FleetInputs(np.zeros(n), np.array([5000.0, 4000.0]), np.ones(n, bool), np.zeros(n))
    outcome = c.run(inputs, target_wh=[1250.0, 900.0])
    assert outcome.net_export_wh == pytest.approx([750.0, 750.0], abs=1e-3)
    assert outcome.curtailed_wh_by_class[0] == pytest.approx(750.0, abs=1e-2)
    # a: taken 500 Wh of a position of 1250; b: taken 250, but its shortfall is only 150.
    assert [(x.account, x.reason, x.node) for x in outcome.curtailments] == [
        (0, Reason.CAPACITY, 0),
        (1, Reason.CAPACITY, 0),
    ]
    assert outcome.curtailments[0].energy_milli_wh == pytest.approx(500_000, abs=1_000)
    assert outcome.curtailments[1].energy_milli_wh == pytest.approx(150_000, abs=1_000)


def test_what_the_accounts_own_connection_cuts_is_its_own_affair():
    c = Community([[solar_roof("sun")]], connection_w=(5_000.0, 3_000.0))
    outcome = c.run(c.inputs(sun=5000), target_wh=[1250.0])
    assert outcome.net_export_wh == pytest.approx([750.0], abs=1e-3)
    assert outcome.curtailments == ()


def test_a_limit_that_is_lifted_is_logged():
    c = Community([[solar_roof("sun")]], connection_w=(5_000.0, 3_000.0))
    outcome = c.run([(0.0, c.inputs(sun=5000)), (300.0, c.inputs(sun=2000))])
    assert c.reasons(outcome, "sun") == [Reason.CAPACITY, Reason.RELEASED]
    assert outcome.energies.source_wh[0] == pytest.approx(3000 * 300 / 3600 + 2000 * 600 / 3600, abs=1e-3)


def test_storage_takes_surplus_before_it_is_curtailed():
    c = Community([battery_home()], connection_w=(5_000.0, 3_000.0))
    outcome = c.run(c.inputs(sun=5000), target_wh=[750.0])
    assert outcome.curtailed_wh_by_class.sum() < 2000 * 1.5 / 3600
    # What was curtailed while the battery ramped up is gone.
    assert outcome.net_export_wh == pytest.approx([750.0], abs=0.3)
