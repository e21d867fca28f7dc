"""Upkeep at interval ends: no false alarms from any kind under erratic use, faults found, readings reproducible."""

import dataclasses

import numpy as np

from devices import catalogue, fleet, health
from devices.checkpoint import to_bytes
from devices.parameters import FleetParameters, build_fleet
from devices.specification import Kind
from devices.state import FleetInputs, FleetState, initial_state
from devices.storage_tables import StorageKind
from devices.upkeep import Upkeep, end_of_interval


def everything(n: int) -> FleetParameters:
    specs = []
    for i in range(n):
        specs += [
            catalogue.fixed_load(f"load {i}"),
            catalogue.home_battery(f"home {i}"),
            catalogue.server_backup(f"backup {i}"),
            catalogue.supercapacitor_bank(f"bank {i}"),
            catalogue.flywheel_unit(f"wheel {i}"),
            catalogue.kinetic_module(f"kinetic {i}"),
            catalogue.vehicle(f"car {i}", p_discharge_max_w=11_000.0),
            catalogue.pdu_module(f"module {i}"),
            catalogue.pdu_module(f"capacitor {i}", storage=StorageKind.SUPERCAPACITOR),
        ]
    return build_fleet(specs)


def live(params: FleetParameters, days: int, seed: int, fault_row: int | None = None) -> Upkeep:
    """Use everything erratically, five unequal steps an interval; cars drive two hours a day."""
    rng = np.random.default_rng(seed)
    n = params.n_devices
    state: FleetState = initial_state(params)
    result = Upkeep(state, health.begin(params.units.table.size), np.ones(n, dtype=bool))
    is_car = params.kind == Kind.VEHICLE
    limit = np.where(params.is_storage, np.maximum(params.p_charge_max_w, params.p_discharge_max_w), 0.0)
    for interval in range(96 * days):
        begin = result.fleet
        is_away = is_car & (interval % 96 >= 30) & (interval % 96 < 38)
        inputs = dataclasses.replace(
            FleetInputs.quiet(n), is_present=~is_away, driving_w=np.where(is_away, 4_000.0, 0.0)
        )
        state = begin
        if fault_row is not None and interval >= 96:
            leak = np.zeros(n)
            leak[fault_row] = params.capacity_wh[fault_row] / 100.0
            state = begin = dataclasses.replace(state, leakage_w=leak)
        bias = 0.15 * np.sin(2.0 * np.pi * (interval / 48.0 + np.arange(n) / n))
        for dt_s in (1.0, 29.0, 270.0, 300.0, 300.0):
            share = np.where(rng.uniform(size=n) < 0.4, 0.0, rng.normal(bias, 0.15))
            state, _ = fleet.step(params, state, inputs, share * limit, dt_s)
        result = end_of_interval(params, begin, state, result.monitor, interval, seed, 900.0)
    return result


def test_erratic_use_of_every_kind_raises_at_most_one_false_alarm_in_a_thousand_device_days() -> None:
    params, days = everything(16), 8
    result = live(params, days, seed=1)
    storages = params.units.table.size
    names = [health.causes(int(a)) for a in result.monitor.alerts if a]
    assert len(names) <= storages * days / 1_000.0, names
    assert (result.fleet.capacity_factor[params.kind == Kind.BATTERY] < 1.0).all()


def test_a_shorted_unit_is_taken_out_and_nobody_else() -> None:
    params = everything(2)
    row = params.row_of("home 1")
    result = live(params, 5, seed=2, fault_row=row)
    assert np.flatnonzero(~result.is_fit).tolist() == [row]


def test_the_same_interval_reads_the_same_twice() -> None:
    params = everything(1)
    assert to_bytes(live(params, 1, seed=3).monitor) == to_bytes(live(params, 1, seed=3).monitor)
    assert to_bytes(live(params, 1, seed=3).monitor) != to_bytes(live(params, 1, seed=4).monitor)
