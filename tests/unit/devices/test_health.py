"""Health: recall of injected faults and false alarms over thousands of device-days, causes, repair."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from devices import catalogue, fleet, health
from devices.checkpoint import from_bytes, to_bytes
from devices.errors import BadCheckpoint
from devices.health import Cause
from devices.parameters import FleetParameters, build_fleet
from devices.sensors import Readings, SensorErrors, true_readings, with_errors
from devices.state import FleetInputs, FleetState, initial_state
from devices.storage_tables import StorageKind

DT_S = 900.0
FAULT_FROM_DAY = 2.0


def mixed(n: int) -> FleetParameters:
    makers: list[Callable[[str], object]] = [
        lambda name: catalogue.home_battery(name),
        lambda name: catalogue.home_battery(name, storage=StorageKind.NMC),
        lambda name: catalogue.server_backup(name, reserve_pu=0.1),
        lambda name: catalogue.pdu_module(name),
    ]
    return build_fleet([makers[i % 4](f"unit {i}") for i in range(n)])  # type: ignore[misc]


def watch(
    params: FleetParameters,
    days: float,
    seed: int,
    fault: Callable[[FleetState], FleetState] | None = None,
    stuck: str | None = None,
) -> health.HealthState:
    """Run a fleet on random cycles with noisy sensors and watch it; a fault begins after two days."""
    rng = np.random.default_rng(seed)
    n = params.n_devices
    state, monitor = initial_state(params), health.begin(n)
    constants = rng.standard_normal((3, n))
    phase = rng.uniform(0.0, 1.0, n)
    frozen: np.ndarray | None = None
    for k in range(round(days * 86_400.0 / DT_S)):
        day = k * DT_S / 86_400.0
        ambient = 20.0 + 5.0 * float(np.sin(2.0 * np.pi * day))
        wave = np.sin(2.0 * np.pi * (2.0 * day + phase)) * params.capacity_wh * 0.25
        setpoint = np.where(rng.uniform(size=n) < 0.3, 0.0, wave * rng.uniform(0.3, 1.5, n))
        is_faulty = day >= FAULT_FROM_DAY
        if fault is not None and is_faulty:
            state = fault(state)
        before = state
        inputs = dataclasses.replace(FleetInputs.quiet(n), ambient_c=ambient)
        state, _ = fleet.step(params, state, inputs, setpoint, DT_S)
        readings = true_readings(params, before, state, DT_S)
        readings = with_errors(readings, SensorErrors(), rng.standard_normal((4, n)), constants, DT_S)
        if stuck is not None and is_faulty:
            frozen = getattr(readings, stuck).copy() if frozen is None else frozen
            readings = dataclasses.replace(readings, **{stuck: frozen})
        monitor = health.observe(params, monitor, readings, np.ones(n), ambient, DT_S)
    return monitor


def test_healthy_units_raise_at_most_one_false_alarm_in_a_thousand_device_days() -> None:
    params, days = mixed(300), 10
    monitor = watch(params, days, seed=11)
    assert np.count_nonzero(monitor.alerts) <= params.n_devices * days / 1_000.0
    assert health.is_healthy(monitor).mean() > 0.99


def thirty_percent_more_resistance(state: FleetState) -> FleetState:
    return dataclasses.replace(state, resistance_factor=np.full(state.resistance_factor.size, 1.3))


def internal_short(params: FleetParameters) -> Callable[[FleetState], FleetState]:
    """A soft short that would empty the unit in a hundred hours."""
    return lambda state: dataclasses.replace(state, leakage_w=params.capacity_wh / 100.0)


def test_thirty_percent_more_resistance_is_found_within_five_days() -> None:
    monitor = watch(mixed(60), FAULT_FROM_DAY + 5.0, seed=3, fault=thirty_percent_more_resistance)
    found = (monitor.alerts & Cause.RESISTANCE.value) > 0
    assert found.mean() >= 0.95
    assert (monitor.alerts == Cause.RESISTANCE.value).mean() >= 0.9  # and nothing else is blamed


def test_an_internal_short_is_found_within_five_days() -> None:
    params = mixed(60)
    monitor = watch(params, FAULT_FROM_DAY + 5.0, seed=4, fault=internal_short(params))
    assert ((monitor.alerts & Cause.INTERNAL_SHORT.value) > 0).mean() >= 0.95


@pytest.mark.parametrize(
    ("channel", "cause"),
    [
        ("voltage_pu", Cause.STUCK_VOLTAGE),
        ("current_per_h", Cause.STUCK_CURRENT),
        ("temp_c", Cause.STUCK_TEMPERATURE),
        ("energy_pu", Cause.STUCK_ENERGY),
    ],
)
def test_a_stuck_sensor_is_found_within_a_day(channel: str, cause: Cause) -> None:
    monitor = watch(mixed(60), FAULT_FROM_DAY + 1.0, seed=5, stuck=channel)
    assert ((monitor.alerts & cause.value) > 0).mean() >= 0.95


@pytest.mark.parametrize(
    ("channel", "value", "cause"),
    [
        ("voltage_pu", 1.2, Cause.VOLTAGE),
        ("voltage_pu", 0.2, Cause.VOLTAGE),
        ("voltage_pu", float("nan"), Cause.VOLTAGE),
        ("current_per_h", 50.0, Cause.CURRENT),
        ("temp_c", 75.0, Cause.TEMPERATURE),
        ("temp_c", -40.0, Cause.TEMPERATURE),
        ("energy_pu", 1.2, Cause.ENERGY),
    ],
)
def test_readings_outside_the_limits_alert_when_seen_twice(channel: str, value: float, cause: Cause) -> None:
    params = build_fleet([catalogue.home_battery("home")])
    state = initial_state(params)
    good = true_readings(params, state, state, 60.0)
    bad = dataclasses.replace(good, **{channel: np.asarray([value])})
    monitor = health.observe(params, health.begin(1), bad, np.ones(1), 20.0, 60.0)
    assert monitor.alerts[0] == 0
    monitor = health.observe(params, monitor, bad, np.ones(1), 20.0, 60.0)
    assert monitor.alerts[0] & cause.value
    assert cause.name is not None and cause.name.lower() in health.causes(int(monitor.alerts[0]))


def test_a_unit_hotter_than_its_current_explains_is_reported() -> None:
    params = build_fleet([catalogue.home_battery("home")])
    state = initial_state(params)
    good = true_readings(params, state, state, 60.0)
    monitor = health.observe(params, health.begin(1), good, np.ones(1), 20.0, 60.0)
    hot = dataclasses.replace(good, temp_c=np.asarray([38.0]))
    for _ in range(2):
        monitor = health.observe(params, monitor, hot, np.ones(1), 20.0, 60.0)
    assert monitor.alerts[0] == Cause.OVERHEATING.value


def test_resistance_that_ageing_explains_is_no_alert() -> None:
    """The monitor is told what ageing explains; a unit a third higher, but old, is healthy."""
    params = mixed(20)
    rng = np.random.default_rng(1)
    state = thirty_percent_more_resistance(initial_state(params))
    monitor = health.begin(20)
    for k in range(192):
        before = state
        setpoint = params.capacity_wh * 0.3 * np.sin(0.2 * k + np.arange(20.0))
        state, _ = fleet.step(params, state, FleetInputs.quiet(20), setpoint, DT_S)
        readings = true_readings(params, before, state, DT_S)
        readings = with_errors(
            readings, SensorErrors(), rng.standard_normal((4, 20)), np.zeros((3, 20)), DT_S
        )
        monitor = health.observe(params, monitor, readings, np.full(20, 1.3), 20.0, DT_S)
    assert not monitor.alerts.any()


def test_a_repaired_unit_starts_afresh_and_others_keep_their_alerts() -> None:
    monitor = dataclasses.replace(
        health.begin(2), alerts=np.asarray([16, 32]), elapsed_s=np.asarray([9.0, 9.0])
    )
    monitor = health.cleared(monitor, np.asarray([True, False]))
    assert monitor.alerts.tolist() == [0, 32] and monitor.elapsed_s.tolist() == [0.0, 9.0]
    assert health.is_healthy(monitor).tolist() == [True, False]


def test_only_unhealthy_storages_are_unfit_and_the_monitor_survives_bytes() -> None:
    params = build_fleet(
        [
            catalogue.fixed_load("load"),
            catalogue.home_battery("a"),
            catalogue.solar_roof("s"),
            catalogue.home_battery("b"),
        ]
    )
    monitor = dataclasses.replace(health.begin(2), alerts=np.asarray([0, 32]))
    assert health.is_fit(params, monitor).tolist() == [True, True, True, False]
    again = from_bytes(health.HealthState, to_bytes(monitor))
    assert to_bytes(again) == to_bytes(monitor)
    assert again.alerts.tolist() == [0, 32] and again.last.shape == (4, 2)
    with pytest.raises(BadCheckpoint, match="HealthState"):
        from_bytes(health.HealthState, to_bytes(initial_state(params)))


def test_perfect_sensors_read_the_model() -> None:
    """Idle at 25 °C: voltage is the source's, current zero; the charge counter sees only what passed."""
    params = build_fleet([catalogue.home_battery("home", initial_pu=1.0)])
    state = initial_state(params)
    after, _ = fleet.step(params, state, FleetInputs.quiet(1), np.zeros(1), 3600.0)
    readings: Readings = true_readings(params, state, after, 3600.0)
    assert readings.current_per_h[0] == 0.0
    assert readings.moved_pu[0] == pytest.approx(0.0, abs=1e-15)
    assert readings.voltage_pu[0] == pytest.approx(1.0, abs=1e-2)
