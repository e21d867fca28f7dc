"""The fleet's step: what each kind does, refusals, checkpoints, and how little the step's length matters."""

import dataclasses

import numpy as np
import pytest

from devices import catalogue, fleet
from devices.errors import BadCheckpoint, BadInput, BadSpecification
from devices.parameters import FleetParameters, build_fleet
from devices.specification import DeviceSpec, Kind, Mode, StorageSpec
from devices.state import (
    FleetInputs,
    FleetState,
    check_inputs,
    initial_state,
    state_from_bytes,
    state_to_bytes,
)
from devices.storage_tables import StorageKind


def one(spec: DeviceSpec) -> tuple[FleetParameters, FleetState, FleetInputs]:
    params = build_fleet([spec])
    return params, initial_state(params), FleetInputs.quiet(1)


def at(state: FleetState, **values: float) -> FleetState:
    return dataclasses.replace(state, **{k: np.asarray([v]) for k, v in values.items()})


def test_a_load_takes_its_demand_up_to_its_setpoint_and_the_rest_is_unserved() -> None:
    params, state, inputs = one(catalogue.fixed_load("load"))
    inputs = dataclasses.replace(inputs, load_demand_w=np.asarray([2_000.0]))
    after, flows = fleet.step(params, state, inputs, np.asarray([-1_500.0]), 900.0)
    assert flows.sink_wh[0] == 375.0 and flows.terminal_wh[0] == -375.0
    assert flows.unserved_wh[0] == 125.0
    assert after.p_w[0] == -1_500.0


def test_a_roof_generates_up_to_its_setpoint_and_the_rest_is_curtailed() -> None:
    params, state, inputs = one(catalogue.solar_roof("roof"))
    inputs = dataclasses.replace(inputs, solar_available_w=np.asarray([4_000.0]))
    _, flows = fleet.step(params, state, inputs, np.asarray([3_000.0]), 900.0)
    assert (flows.source_wh[0], flows.curtailed_wh[0], flows.terminal_wh[0]) == (750.0, 250.0, 750.0)


def test_a_storage_that_reaches_its_reserve_inside_the_step_delivers_what_is_there() -> None:
    params, state, inputs = one(catalogue.home_battery("home", initial_pu=0.15))
    state = at(state, p_w=5_000.0)
    after, flows = fleet.step(params, state, inputs, np.asarray([5_000.0]), 900.0)
    assert after.energy_wh[0] == pytest.approx(1_000.0, abs=1e-9)  # the reserve of 10 %
    assert 0.0 < flows.terminal_wh[0] < 500.0
    assert flows.undelivered_wh[0] == pytest.approx(1_250.0 - flows.terminal_wh[0])
    assert after.p_w[0] == 0.0


def test_only_emergency_mode_uses_the_reserve() -> None:
    params, state, inputs = one(catalogue.home_battery("home", initial_pu=0.1))
    _, kept = fleet.step(params, state, inputs, np.asarray([3_000.0]), 60.0)
    assert kept.terminal_wh[0] == 0.0
    urgent = dataclasses.replace(state, mode=np.asarray([int(Mode.EMERGENCY)]))
    _, given = fleet.step(params, urgent, inputs, np.asarray([3_000.0]), 60.0)
    assert given.terminal_wh[0] > 40.0


def test_ramps_are_exact_for_any_step() -> None:
    """0 to 5 kW in 1 s: the energy of the first second is half of 5 kW·s, in one step or in a hundred."""
    params, state, inputs = one(catalogue.home_battery("home"))
    _, coarse = fleet.step(params, state, inputs, np.asarray([5_000.0]), 2.0)
    total = 0.0
    for _ in range(200):
        state, fine = fleet.step(params, state, inputs, np.asarray([5_000.0]), 0.01)
        total += fine.terminal_wh[0]
    assert coarse.terminal_wh[0] * 3600.0 == pytest.approx(7_500.0, rel=1e-9)
    assert total * 3600.0 == pytest.approx(7_500.0, rel=1e-9)


def test_a_vehicle_away_drives_on_its_battery_and_can_run_flat() -> None:
    params, state, inputs = one(catalogue.vehicle("car", initial_pu=0.01))
    away = dataclasses.replace(inputs, is_present=np.asarray([False]), driving_w=np.asarray([6_000.0]))
    after, flows = fleet.step(params, state, away, np.asarray([-11_000.0]), 600.0)
    assert flows.terminal_wh[0] == 0.0
    assert after.energy_wh[0] == 0.0
    assert flows.sink_wh[0] + flows.unserved_wh[0] == pytest.approx(1_000.0)
    assert flows.unserved_wh[0] == pytest.approx(400.0, abs=1.0)


@pytest.mark.parametrize("kind", [StorageKind.LFP, StorageKind.SUPERCAPACITOR])
def test_modules_of_a_pdu_are_storages_behind_a_dc_dc_stage(kind: StorageKind) -> None:
    params, state, inputs = one(catalogue.pdu_module("module", storage=kind))
    _, flows = fleet.step(params, at(state, p_w=50.0), inputs, np.asarray([50.0]), 60.0)
    efficiency = flows.terminal_wh[0] / (flows.terminal_wh[0] + flows.loss_wh[0])
    assert 0.88 < efficiency < 0.98


def test_small_powers_waste_more_than_concentrated_ones() -> None:
    """Ten modules at 2 W each lose several times what one at 20 W loses: why shares must not be spread thin."""
    params = build_fleet([catalogue.pdu_module(f"m{i}") for i in range(10)])
    state, inputs = initial_state(params), FleetInputs.quiet(10)
    spread = np.full(10, 2.0)
    single = np.zeros(10)
    single[0] = 20.0
    losses = []
    for setpoint in (spread, single):
        _, flows = fleet.step(params, dataclasses.replace(state, p_w=setpoint), inputs, setpoint, 60.0)
        losses.append(flows.loss_wh.sum())
    assert losses[0] > 3.0 * losses[1]


def _day_cost(dt_s: float) -> tuple[float, float, float]:
    """Return cost, energy moved and final energy of a day of many storages under a price and a schedule."""
    specs = [
        catalogue.home_battery("lfp", initial_pu=0.4),
        catalogue.home_battery("nmc", storage=StorageKind.NMC, initial_pu=0.4),
        catalogue.server_backup("backup", initial_pu=0.8),
        catalogue.vehicle("car", p_discharge_max_w=11_000.0, initial_pu=0.5),
        catalogue.pdu_module("module", initial_pu=0.5),
        catalogue.flywheel_unit("wheel", initial_pu=0.6),
        catalogue.supercapacitor_bank("bank", initial_pu=0.6),
        catalogue.kinetic_module("kinetic", initial_pu=0.6),
        catalogue.thermostatic_load("heat", 3_000.0),
    ]
    params = build_fleet(specs)
    state, inputs = initial_state(params), FleetInputs.quiet(params.n_devices)
    limit = np.where(params.is_storage, np.minimum(params.p_charge_max_w, params.p_discharge_max_w), 0.0)
    cost = moved = 0.0
    for interval in range(96):
        hour = interval / 4.0
        price = 0.25 + 0.1 * np.sin(2.0 * np.pi * (hour - 14.0) / 24.0)
        wave = np.sin(2.0 * np.pi * (hour - 13.0) / 12.0)
        usable = np.maximum(params.capacity_wh - params.floor_wh, 1.0)
        setpoint = np.where(params.is_storage, np.clip(wave * usable / 5.0, -limit, limit), -np.inf)
        # The heat pump is throttled for an hour twice a day and catches up afterwards.
        setpoint[-1] = -300.0 if interval % 48 in (20, 21, 22, 23) else -np.inf
        now = dataclasses.replace(inputs, load_demand_w=np.where(params.is_storage, 0.0, 1_200.0))
        for _ in range(round(900.0 / dt_s)):
            state, flows = fleet.step(params, state, now, setpoint, dt_s)
            cost -= price * float(flows.terminal_wh.sum()) / 1000.0
            moved += float(np.abs(flows.terminal_wh).sum())
    return cost, moved, float(state.stored_wh().sum())


def test_halving_the_step_changes_a_days_cost_by_less_than_half_a_percent() -> None:
    cost, moved, stored = _day_cost(900.0)
    for dt_s in (450.0, 30.0):
        finer, finer_moved, finer_stored = _day_cost(dt_s)
        assert abs(finer - cost) < 0.005 * abs(cost)
        assert abs(finer_moved - moved) < 0.005 * moved
        assert abs(finer_stored - stored) < 0.005 * stored


def test_state_survives_bytes_and_equal_states_give_equal_bytes() -> None:
    params = build_fleet(
        [catalogue.home_battery("a"), catalogue.kinetic_module("b"), catalogue.fixed_load("c")]
    )
    state = initial_state(params)
    state, _ = fleet.step(params, state, FleetInputs.quiet(3), np.asarray([1e3, -2e3, -np.inf]), 60.0)
    data = state_to_bytes(state)
    again = state_from_bytes(data)
    assert state_to_bytes(again) == data
    for field in dataclasses.fields(state):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(state, field.name))
    # And it goes on as if nothing had happened.
    setpoint = np.asarray([-1e3, 2e3, -np.inf])
    first, _ = fleet.step(params, state, FleetInputs.quiet(3), setpoint, 900.0)
    second, _ = fleet.step(params, again, FleetInputs.quiet(3), setpoint, 900.0)
    assert state_to_bytes(first) == state_to_bytes(second)


@pytest.mark.parametrize("cut", [0, 5, 11, 40, -8])
def test_bytes_that_are_no_state_are_refused(cut: int) -> None:
    params = build_fleet([catalogue.home_battery("a")])
    data = state_to_bytes(initial_state(params))
    with pytest.raises(BadCheckpoint):
        state_from_bytes(data[:cut])
    with pytest.raises(BadCheckpoint, match="version"):
        state_from_bytes(data.replace(b'"version":1', b'"version":9'))


def test_a_step_without_numbers_or_of_impossible_length_is_refused() -> None:
    params, state, inputs = one(catalogue.home_battery("home"))
    for dt_s in (0.0, -1.0, float("nan"), 1e6):
        with pytest.raises(BadInput, match="dt_s"):
            fleet.step(params, state, inputs, np.zeros(1), dt_s)
        with pytest.raises(BadInput, match="horizon_s"):
            fleet.deliverable_w(params, state, inputs, dt_s)
    with pytest.raises(BadInput, match="row 0"):
        fleet.step(params, state, inputs, np.asarray([np.nan]), 1.0)
    with pytest.raises(BadInput, match="shape"):
        fleet.step(params, state, inputs, np.zeros(2), 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"load_demand_w": np.asarray([-1.0])}, "load_demand_w at row 0"),
        ({"solar_available_w": np.asarray([np.nan])}, "solar_available_w at row 0"),
        ({"driving_w": np.asarray([np.inf])}, "driving_w at row 0"),
        ({"load_demand_w": np.zeros(3)}, "shape"),
        ({"is_present": np.ones(2, dtype=bool)}, "is_present"),
        ({"ambient_c": 200.0}, "ambient_c"),
        ({"v_pu": float("nan")}, "v_pu"),
    ],
)
def test_inputs_that_no_world_has_are_refused(change: dict[str, object], message: str) -> None:
    params, _, inputs = one(catalogue.home_battery("home"))
    with pytest.raises(BadInput, match=message):
        check_inputs(params, dataclasses.replace(inputs, **change))  # type: ignore[arg-type]


BATTERY = catalogue.home_battery("x").storage
assert BATTERY is not None


@pytest.mark.parametrize(
    "change",
    [
        {"storage": None},
        {"kind": Kind.LOAD},
        {"kind": Kind.KINETIC_MODULE},
        {"buffer": BATTERY},
        {"reserve_wh": -1.0},
        {"reserve_wh": 1e9},
        {"initial_wh": 1e9},
        {"low_threshold_pu": 0.9},
        {"ramp_w_per_s": 0.0},
        {"impedance_share": 0.7, "current_share": 0.7},
        {"recovery_time_s": 0.0},
        {"storage": dataclasses.replace(BATTERY, rated_w=0.0)},
        {"storage": dataclasses.replace(BATTERY, p_charge_max_w=9e9)},
        {"storage": dataclasses.replace(BATTERY, capacity_wh=float("inf"))},
        {"storage": dataclasses.replace(BATTERY, floor_wh=2e4)},
    ],
)
def test_a_device_that_cannot_be_is_refused_by_name(change: dict[str, object]) -> None:
    with pytest.raises(BadSpecification, match="'x'"):
        dataclasses.replace(catalogue.home_battery("x"), **change)  # type: ignore[arg-type]


def test_two_devices_of_one_name_are_refused() -> None:
    with pytest.raises(BadSpecification, match="unique"):
        build_fleet([catalogue.home_battery("x"), catalogue.fixed_load("x")])


def test_rows_are_found_by_name() -> None:
    params = build_fleet([catalogue.fixed_load("a"), catalogue.solar_roof("b")])
    assert params.row_of("b") == 1
    with pytest.raises(KeyError):
        params.row_of("c")


def test_a_unit_with_an_internal_short_empties_itself_and_its_books_close() -> None:
    params, state, inputs = one(catalogue.home_battery("home", initial_pu=0.5))
    after, flows = fleet.step(params, at(state, leakage_w=100.0), inputs, np.zeros(1), 900.0)
    sound, _ = fleet.step(params, state, inputs, np.zeros(1), 900.0)
    assert sound.energy_wh[0] - after.energy_wh[0] == pytest.approx(25.0)
    assert flows.loss_wh[0] == pytest.approx(25.0, abs=0.1)
    assert abs(flows.residual_wh()[0]) < 1e-12


def test_ambient_temperature_is_one_number_or_one_for_each_device() -> None:
    params = build_fleet(
        [catalogue.fixed_load("l"), catalogue.home_battery("a"), catalogue.kinetic_module("k")]
    )
    state, inputs = initial_state(params, 20.0), FleetInputs.quiet(3)
    for ambient in (30, 30.0, np.float64(30.0), np.full(3, 30.0)):
        warm = dataclasses.replace(inputs, ambient_c=ambient)
        after, _ = fleet.step(params, state, warm, np.asarray([-np.inf, 0.0, 0.0]), 3600.0)
        # Cooling time 2 h; standing losses add next to nothing.
        assert after.temp_c[1] == pytest.approx(30.0 - 10.0 * np.exp(-0.5), abs=0.01)
        assert after.temp_c[2] > after.temp_c[1]


def test_state_of_charge_counts_from_the_floor_to_what_ageing_left() -> None:
    params = build_fleet(
        [
            catalogue.flywheel_unit("w", initial_pu=0.625),
            catalogue.home_battery("b"),
            catalogue.fixed_load("l"),
        ]
    )
    state = initial_state(params)
    assert state.soc_pu(params).tolist() == pytest.approx([0.5, 0.5, 0.0])
    old = dataclasses.replace(state, capacity_factor=np.asarray([1.0, 0.8, 1.0]))
    assert old.soc_pu(params)[1] == pytest.approx(0.625)
    assert old.stored_wh().tolist() == state.energy_wh.tolist()


def test_a_flywheel_of_no_size_is_refused_by_name() -> None:
    with pytest.raises(BadSpecification, match="'w'"):
        catalogue.flywheel_unit("w", units=0.0)


def test_an_empty_fleet_steps() -> None:
    params = build_fleet([])
    state, flows = fleet.step(params, initial_state(params), FleetInputs.quiet(0), np.zeros(0), 1.0)
    assert flows.terminal_wh.size == 0 and state.energy_wh.size == 0


def test_storage_spec_is_what_the_catalogue_says() -> None:
    spec = catalogue.kinetic_module("k")
    assert isinstance(spec.storage, StorageSpec) and isinstance(spec.buffer, StorageSpec)
    assert spec.storage.rated_w == spec.buffer.rated_w == 25_000.0
