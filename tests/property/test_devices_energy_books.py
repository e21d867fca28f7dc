"""Energy books of every kind of device close for any sequence of setpoints, steps and inputs."""

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from devices import catalogue, firmware, fleet
from devices.parameters import FleetParameters, build_fleet
from devices.specification import DeviceSpec, Kind, Mode
from devices.state import FleetInputs, FleetState, initial_state
from devices.storage_tables import StorageKind

SPECS = (
    catalogue.fixed_load("load", impedance_share=0.3, current_share=0.2),
    catalogue.thermostatic_load("heat pump", 3_000.0),
    catalogue.solar_roof("roof"),
    catalogue.home_battery("home"),
    catalogue.home_battery("home nmc", storage=StorageKind.NMC),
    catalogue.server_backup("backup"),
    catalogue.supercapacitor_bank("bank"),
    catalogue.flywheel_unit("wheel"),
    catalogue.kinetic_module("kinetic"),
    catalogue.vehicle("car", p_discharge_max_w=11_000.0),
    catalogue.pdu_module("module"),
    catalogue.pdu_module("capacitor module", storage=StorageKind.SUPERCAPACITOR),
    DeviceSpec(name="diesel", kind=Kind.GENERATOR, p_max_w=5_000.0, fuel_wh=4_000.0),
    DeviceSpec(name="port", kind=Kind.TIE_PORT),
)
PARAMS: FleetParameters = build_fleet(SPECS)
N = PARAMS.n_devices

powers = st.one_of(
    st.floats(-40_000.0, 40_000.0),
    st.floats(-10.0, 10.0),
    st.sampled_from([0.0, np.inf, -np.inf, 1e-9, -1e-9]),
)
step_lengths = st.one_of(st.sampled_from([0.01, 0.1, 1.0, 60.0, 900.0]), st.floats(0.01, 900.0))


@st.composite
def steps(draw: st.DrawFn) -> tuple[np.ndarray, FleetInputs, float, bool]:
    setpoint = draw(hnp.arrays(np.float64, N, elements=powers))
    present = draw(hnp.arrays(np.bool_, N, elements=st.booleans(), fill=st.just(True)))
    inputs = FleetInputs(
        load_demand_w=np.full(N, draw(st.floats(0.0, 5_000.0))),
        solar_available_w=np.full(N, draw(st.floats(0.0, 9_000.0))),
        is_present=present,
        driving_w=np.full(N, draw(st.floats(0.0, 20_000.0))),
        ambient_c=draw(st.floats(-20.0, 45.0)),
        v_pu=draw(st.floats(0.9, 1.1)),
    )
    return setpoint, inputs, draw(step_lengths), draw(st.booleans())


def start(fill: float, temp_c: float) -> FleetState:
    state = initial_state(PARAMS, temp_c)
    energy = PARAMS.floor_wh + fill * (PARAMS.capacity_wh - PARAMS.floor_wh)
    return dataclasses.replace(state, energy_wh=energy)


@given(st.lists(steps(), min_size=1, max_size=8), st.floats(0.0, 1.0), st.floats(-10.0, 50.0))
@settings(max_examples=150, deadline=None)
def test_books_close_and_storage_stays_inside_its_bounds_for_any_setpoints(
    sequence: list[tuple[np.ndarray, FleetInputs, float, bool]], fill: float, temp_c: float
) -> None:
    state = start(fill, temp_c)
    for setpoint, inputs, dt_s, is_emergency in sequence:
        mode = Mode.EMERGENCY if is_emergency else Mode.LEASED
        state = dataclasses.replace(state, mode=np.full(N, mode, dtype=np.int64))
        after, flows = fleet.step(PARAMS, state, inputs, setpoint, dt_s)

        assert np.abs(flows.residual_wh()).max() <= 1e-9
        # What the books say is what the storages hold.
        np.testing.assert_allclose(
            after.stored_wh() - state.stored_wh(), flows.stored_delta_wh, rtol=0.0, atol=1e-9
        )
        for name in ("loss_wh", "source_wh", "curtailed_wh", "sink_wh", "unserved_wh"):
            assert getattr(flows, name).min() >= -1e-12, name
        assert (after.energy_wh >= -1e-9).all()
        assert (after.energy_wh <= np.maximum(PARAMS.capacity_wh, state.energy_wh) + 1e-9).all()
        # Discharging never goes below the reserve; standing loss and driving may.
        is_plugged = inputs.is_present | ~PARAMS.is_storage
        bottom = PARAMS.floor_wh if is_emergency else PARAMS.reserve_wh
        exported = (flows.terminal_wh > 1e-12) & PARAMS.is_storage & (np.asarray(PARAMS.kind) != 7)
        assert (after.energy_wh[exported] >= bottom[exported] - 1e-9).all()
        # Nothing flows through an open relay.
        assert np.abs(flows.terminal_wh[~is_plugged]).max(initial=0.0) <= 1e-12
        limit = np.maximum(PARAMS.p_charge_max_w, PARAMS.p_discharge_max_w)
        storages = PARAMS.is_storage
        assert (np.abs(flows.terminal_wh) * 3600.0 / dt_s <= limit * (1.0 + 1e-9) + 1e-6)[storages].all()
        assert np.isfinite(after.temp_c).all()
        state = after


@given(st.floats(0.0, 1.0), st.floats(0.0, 40.0), st.sampled_from([0.1, 10.0, 300.0, 900.0, 3600.0]))
@example(0.0, 0.203125, 300.0)
@settings(max_examples=80, deadline=None)
def test_what_a_storage_promises_for_a_horizon_it_delivers_in_full(
    fill: float, temp_c: float, horizon_s: float
) -> None:
    state = start(fill, temp_c)
    inputs = FleetInputs.quiet(N)
    low, high = fleet.deliverable_w(PARAMS, state, inputs, horizon_s)
    assert (low <= 0.0).all() and (high >= 0.0).all()
    for promise in (low, high):
        # Already at that power: the ramp is not part of the promise.
        running = dataclasses.replace(state, p_w=promise, main_p_w=promise)
        _, flows = fleet.step(PARAMS, running, inputs, promise, horizon_s)
        is_main = PARAMS.is_storage & (np.asarray(PARAMS.kind) != 7)
        wanted = promise * horizon_s / 3600.0
        scale = np.maximum(np.abs(wanted), 1e-6)
        assert (np.abs(flows.terminal_wh - wanted) <= 2e-6 * scale + 1e-9)[is_main].all()


@given(st.lists(steps(), min_size=1, max_size=4), st.permutations(range(N)))
@settings(max_examples=40, deadline=None)
def test_a_device_alone_does_what_it_does_in_a_fleet_of_any_order(
    sequence: list[tuple[np.ndarray, FleetInputs, float, bool]], order: list[int]
) -> None:
    shuffled = build_fleet([SPECS[i] for i in order])
    state, other = initial_state(PARAMS), initial_state(shuffled)
    for setpoint, inputs, dt_s, _ in sequence:
        state, flows = fleet.step(PARAMS, state, inputs, setpoint, dt_s)
        mixed = dataclasses.replace(
            inputs,
            is_present=inputs.is_present[order],
            load_demand_w=inputs.load_demand_w[order],
        )
        other, other_flows = fleet.step(shuffled, other, mixed, setpoint[order], dt_s)
        for field in dataclasses.fields(flows):
            np.testing.assert_array_equal(
                getattr(flows, field.name)[order], getattr(other_flows, field.name), err_msg=field.name
            )
    np.testing.assert_array_equal(state.energy_wh[order], other.energy_wh)


@pytest.mark.parametrize("permission", [0, 1, 2])
@given(
    st.lists(
        st.tuples(
            st.floats(-5e3, 5e3),
            st.integers(0, 6),
            st.integers(0, 2),
            st.floats(0.0, 50.0),
            st.floats(1.0, 30.0),
        ),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=60, deadline=None)
def test_accepted_setpoints_only_ever_grow_in_fence_and_sequence(
    permission: int, messages: list[tuple[float, int, int, float, float]]
) -> None:
    state = initial_state(PARAMS)
    row = PARAMS.row_of("home")
    last = (-1, -1)
    for now, (p_w, sequence, fence, begin, length) in enumerate(messages):
        batch = firmware.setpoints(
            np.asarray([row]),
            np.asarray([p_w]),
            sequence,
            begin,
            begin + length,
            fence,
            permission=permission,
        )
        state, verdicts = firmware.receive(PARAMS, state, batch, float(now))
        if verdicts[0] == firmware.Verdict.ACCEPTED:
            assert (fence, sequence) > last
            last = (fence, sequence)
        assert (state.fence[row], state.sequence[row]) == last
        state, command = firmware.command(PARAMS, state, FleetInputs.quiet(N), float(now))
        is_leased = state.lease_until_s[row] > now
        assert is_leased or command.setpoint_w[row] == 0.0
        if permission == 1:
            assert command.setpoint_w[row] <= 0.0
