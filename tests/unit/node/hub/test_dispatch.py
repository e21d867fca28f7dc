"""Dispatch on ordinary days: targets kept, loads followed, cars ready, requests served."""

from dataclasses import replace

import numpy as np
import pytest

from devices.catalogue import (
    fixed_load,
    home_battery,
    pdu_module,
    solar_roof,
    thermostatic_load,
    vehicle,
)
from devices.specification import Priority
from node.controller.control_plan import ImportClass
from node.controller.reasons import Reason
from tests.unit.node.hub.small_plant import QUARTER_H, Community, battery_home


def test_without_storage_the_account_follows_load_and_sun():
    c = Community([[fixed_load("load"), solar_roof("sun")]])
    steps = [(0.0, c.inputs(load=1000, sun=400)), (300.0, c.inputs(load=200, sun=500))]
    outcome = c.run(steps)
    assert outcome.net_export_wh == pytest.approx([-600 * 300 / 3600 + 300 * 600 / 3600], abs=1e-9)
    assert len(outcome.setpoints) == 0 and outcome.curtailments == ()


def test_storage_keeps_its_account_on_target_in_spite_of_a_forecast_error():
    c = Community([battery_home()])
    # Planned for 500 W of load; 1,400 W came. Target: export 100 Wh.
    outcome = c.run(c.inputs(load=1400), target_wh=[100.0], planned={"battery": 900.0})
    assert outcome.net_export_wh == pytest.approx([100.0], abs=0.01)
    assert Reason.TRACKING in c.reasons(outcome, "battery")


def test_an_error_early_in_the_interval_is_corrected_later():
    c = Community([battery_home()])
    # For five minutes the load exceeds what the battery can give; then it makes up for it.
    steps = [(0.0, c.inputs(load=7000)), (300.0, c.inputs(load=1000))]
    outcome = c.run(steps, target_wh=[-400.0])
    assert outcome.net_export_wh == pytest.approx([-400.0], abs=0.01)


def test_a_plan_that_holds_is_logged_as_the_schedule():
    c = Community([battery_home()])
    outcome = c.run(c.inputs(load=500), target_wh=[125.0], planned={"battery": 1000.0})
    assert c.reasons(outcome, "battery")[0] is Reason.SCHEDULE


def test_the_owners_reserve_is_kept_and_named_as_the_reason():
    c = Community([battery_home(capacity_wh=2_000.0, reserve_pu=0.4, initial_pu=0.45)])
    outcome = c.run(c.inputs(load=3000), target_wh=[0.0])
    assert c.world.fleet.energy_wh[c.row("battery")] >= 800.0 - 1e-6
    assert outcome.net_export_wh[0] < -500.0
    assert Reason.RESERVE in c.reasons(outcome, "battery")


def test_a_full_battery_lets_the_surplus_go_and_says_so():
    c = Community([battery_home(initial_pu=0.99)])
    outcome = c.run(c.inputs(sun=4000), target_wh=[0.0])
    assert outcome.net_export_wh[0] > 500.0
    assert Reason.FULL in c.reasons(outcome, "battery")


def test_a_car_waits_before_any_load_does():
    c = Community([[fixed_load("load"), vehicle("car", initial_pu=0.3)]], connection_w=(8_000.0, 8_000.0))
    outcome = c.run(c.inputs(load=3000), planned={"car": -11_000.0})
    assert outcome.unserved_wh_by_class.sum() == 0
    assert outcome.energies.terminal_wh[c.row("car")] == pytest.approx(-5000 * QUARTER_H, rel=2e-3)
    assert Reason.PRIORITY in c.reasons(outcome, "car")


def test_an_absent_car_is_left_alone():
    c = Community([[fixed_load("load"), vehicle("car", initial_pu=0.3)]])
    outcome = c.run(c.inputs(load=100, present=["car"]), planned={"car": -11_000.0})
    assert outcome.energies.terminal_wh[c.row("car")] == 0


def test_what_a_heat_pump_was_denied_is_caught_up_and_counts_as_demand():
    home = [fixed_load("load", Priority.CRITICAL), thermostatic_load("heat", 3_000.0)]
    c = Community([home], connection_w=(4_000.0, 4_000.0))
    denied = c.run(c.inputs(load=3500, heat=2000))
    assert denied.unserved_wh_by_class[ImportClass.LOW] == pytest.approx(1500 * QUARTER_H, rel=0.05)
    later = c.run(c.inputs(load=1500, heat=2000))
    # More than its profile now, and never more than the connection carries beside the load.
    assert -2_500 * QUARTER_H - 1e-6 <= later.energies.terminal_wh[c.row("heat")] < -2_000 * QUARTER_H
    assert later.nodes.peak_import_w[1] <= 4_000.0 + 1e-3


def test_a_load_that_falls_with_voltage_is_asked_for_less():
    c = Community([[fixed_load("lamp", impedance_share=1.0)]])
    outcome = c.run(replace(c.inputs(lamp=1000), v_pu=0.9))
    assert outcome.net_export_wh[0] == pytest.approx(-1000 * 0.81 * QUARTER_H)


def test_a_car_that_would_be_late_charges_whatever_its_plan_says():
    c = Community([[vehicle("car", initial_pu=0.5)]])
    # 5 kWh missing at 11 kW take about half an hour: with 40 minutes left it can wait no longer than this interval.
    waiting = replace(c.inputs(), required_wh=35_000.0, departs_in_s=3 * 3600.0)
    assert c.run(waiting).energies.terminal_wh[0] == pytest.approx(0.0, abs=1.0)
    late = replace(c.inputs(), required_wh=35_000.0, departs_in_s=2400.0)
    outcome = c.run(late)
    assert outcome.energies.terminal_wh[0] == pytest.approx(-11_000 * QUARTER_H, rel=0.01)
    assert c.reasons(outcome, "car")[0] is Reason.DEPARTURE


def test_a_module_below_its_low_threshold_asks_for_energy_and_gets_it():
    c = Community([[home_battery("battery", reserve_pu=0.05, initial_pu=0.1)]])
    outcome = c.run(c.inputs())
    # Low threshold 0.2 of 10 kWh: 1 kWh is missing and asked for within the quarter hour.
    assert outcome.energies.terminal_wh[0] < -900.0
    assert c.reasons(outcome, "battery")[0] is Reason.REQUEST


def test_a_pdu_runs_few_of_its_modules_and_keeps_their_charge_even():
    modules = [pdu_module(f"module-{k}", initial_pu=0.9 - 0.05 * k) for k in range(10)]
    c = Community([[fixed_load("load"), *modules]])
    outcome = c.run(c.inputs(load=30), target_wh=[0.0])
    moved = np.abs(outcome.energies.terminal_wh[1:]) > 1e-3
    assert outcome.net_export_wh == pytest.approx([0.0], abs=0.01)
    assert 1 <= moved.sum() <= 3 and moved[0]
    assert Reason.BALANCED in c.reasons(outcome, "module-0")
    charge = c.world.fleet.soc_pu(c.params)[1:]
    assert charge.max() - charge.min() < 0.45


def test_the_duty_of_an_unhealthy_unit_is_taken_over_by_the_accounts_others():
    c = Community([[fixed_load("load"), home_battery("battery-1"), home_battery("battery-2")]])
    healthy = np.array([True, False, True])
    run = c.dispatch.run_interval
    c.dispatch.run_interval = lambda i, w, x, s: run(i, w, x, s, healthy)  # type: ignore[method-assign]
    outcome = c.run(
        c.inputs(load=2_000), target_wh=[0.0], planned={"battery-1": 1_000.0, "battery-2": 1_000.0}
    )
    assert outcome.net_export_wh == pytest.approx([0.0], abs=0.01)
    assert outcome.energies.terminal_wh[c.row("battery-1")] == 0.0
    assert outcome.energies.terminal_wh[c.row("battery-2")] == pytest.approx(500.0, abs=0.01)
    assert c.reasons(outcome, "battery-1")[0] is Reason.UNHEALTHY
