"""One step of a whole fleet of any kinds: loads, solar, storages, vehicles and kinetic modules, books closed.

| kind | terminal | books |
|---|---|---|
| load | -served | sink = served; the rest of the demand is unserved |
| solar, generator | generated (while there is fuel) | source = generated; the rest of what is available is curtailed |
| storage | follows the setpoint as far as ratings and energy allow | -stored_delta = terminal + loss |
| absent vehicle | 0 | driving: sink, from its battery |
| port of a tie | its setpoint | received: source, handed over: sink |
| kinetic module | flywheel + bank | both storages' books together |

A setpoint is the power asked of a storage, the largest withdrawal allowed to a load (-inf: all) and the
largest injection allowed to a source (inf: all). A port of a direct-current tie passes on exactly its setpoint:
whoever sets the ports of one tie sees to it that they agree.
"""

from dataclasses import replace
from typing import Any, Final

import numpy as np

from devices.arrays import BoolArray, FloatArray, Rows
from devices.errors import BadInput
from devices.generator import burn, sustained_w
from devices.kinetic import FLYWHEEL_RAMP_TIME_S, ramped, restoring_w
from devices.load import deferred_after_wh, thermostatic_demand_w, thermostatic_power_w, zip_power_w
from devices.parameters import FleetParameters
from devices.promise import sustainable_w
from devices.specification import Kind, Mode
from devices.state import FleetInputs, FleetState, StepFlows
from devices.storage import StorageUnits, UnitState, source_at, transfer

SECONDS_PER_HOUR: Final = 3600.0
SHORTEST_STEP_S: Final = 0.001
LONGEST_STEP_S: Final = 3600.0


def step(
    params: FleetParameters,
    state: FleetState,
    inputs: FleetInputs,
    setpoint_w: FloatArray,
    dt_s: float,
) -> tuple[FleetState, StepFlows]:
    """Advance a fleet by `dt_s` seconds.

    Parameters
    ----------
    setpoint_w : (n,) float64
        See the module's docstring; `firmware.command` gives it. Ramps are applied here.
    dt_s : float
        1 ms to 1 h.

    Returns
    -------
    (FleetState, StepFlows)

    Raises
    ------
    BadInput
        If the step's length is out of range or a setpoint is not a number.
    """
    if not SHORTEST_STEP_S <= dt_s <= LONGEST_STEP_S:
        raise BadInput("dt_s", f"in {SHORTEST_STEP_S}..{LONGEST_STEP_S} s", got=dt_s)
    n = params.n_devices
    _check_setpoints(setpoint_w, n)
    flows = StepFlows(*np.zeros((8, n)))
    deferred = _step_loads(params, state, inputs, setpoint_w, dt_s, flows)
    _step_solar(params, inputs, setpoint_w, dt_s, flows)
    fuel = _step_generators(params, state, inputs, dt_s, flows)
    _step_ports(params, setpoint_w, dt_s, flows)
    p_w = flows.terminal_wh * (SECONDS_PER_HOUR / dt_s)
    changed: dict[str, Any] = {"p_w": p_w, "deferred_wh": deferred, "fuel_wh": fuel}
    if params.units.table.size:
        _step_storages(params, changed, state, inputs, setpoint_w, dt_s, flows)
    return replace(state, **changed), flows


def _check_setpoints(setpoint_w: FloatArray, n: int) -> None:
    if setpoint_w.shape != (n,):
        raise BadInput("setpoint_w", f"of shape ({n},)", got=setpoint_w.shape)
    is_bad = np.isnan(setpoint_w)
    if is_bad.any():
        raise BadInput("setpoint_w", "a number", int(np.argmax(is_bad)), float("nan"))


def _step_loads(
    params: FleetParameters,
    state: FleetState,
    inputs: FleetInputs,
    setpoint_w: FloatArray,
    dt_s: float,
    flows: StepFlows,
) -> FloatArray:
    rows = params.load_rows
    base = inputs.load_demand_w[rows]
    if base.size == 0:
        return state.deferred_wh
    demand = wanted_load_w(params, state, inputs, dt_s)
    served = np.maximum(-setpoint_w[rows], 0.0)
    np.minimum(served, demand, out=served)
    served *= inputs.is_present[rows]
    dt_h = dt_s / SECONDS_PER_HOUR
    flows.sink_wh[rows] = served * dt_h
    flows.terminal_wh[rows] = -flows.sink_wh[rows]
    flows.unserved_wh[rows] = (demand - served) * dt_h
    if not params.has_thermostats:
        return state.deferred_wh
    is_thermostatic = params.kind[rows] == Kind.THERMOSTATIC_LOAD
    deferred = state.deferred_wh.copy()
    after = deferred_after_wh(deferred[rows], base, served, params.thermal_time_s[rows], dt_s)
    deferred[rows] = np.where(is_thermostatic, after, 0.0)
    # What a thermostat is denied it catches up: unserved is only what its baseline lacks now, and what its
    # element cannot draw at a low voltage nobody denied.
    able = base * np.minimum(_voltage_share(params, inputs), 1.0)
    lacking = np.maximum(able - served, 0.0) * dt_h
    flows.unserved_wh[rows] = np.where(is_thermostatic, lacking, flows.unserved_wh[rows])
    return deferred


def wanted_load_w(params: FleetParameters, state: FleetState, inputs: FleetInputs, dt_s: float) -> FloatArray:
    """Return what loads would draw over a step without any limit, (n_loads,) W, in the order of `load_rows`."""
    rows = params.load_rows
    base = inputs.load_demand_w[rows]
    share = _voltage_share(params, inputs)
    demand = base * share
    if not params.has_thermostats:
        return demand
    deferred = state.deferred_wh[rows]
    catching_up = thermostatic_demand_w(
        base, deferred, params.recovery_time_s[rows], params.p_max_w[rows], dt_s
    )
    drawn = thermostatic_power_w(catching_up, base, deferred, share, dt_s)
    return np.where(params.kind[rows] == Kind.THERMOSTATIC_LOAD, drawn, demand)


def _voltage_share(params: FleetParameters, inputs: FleetInputs) -> FloatArray | float:
    """Return the power of loads at their voltage over that at nominal voltage, (n_loads,)."""
    if not params.has_zip_loads:
        return 1.0
    rows = params.load_rows
    v = np.broadcast_to(np.asarray(inputs.v_pu, dtype=np.float64), (params.n_devices,))[rows]
    return zip_power_w(np.ones_like(v), v, params.impedance_share[rows], params.current_share[rows])


def _step_solar(
    params: FleetParameters, inputs: FleetInputs, setpoint_w: FloatArray, dt_s: float, flows: StepFlows
) -> None:
    rows = params.solar_rows
    available = inputs.solar_available_w[rows]
    if available.size == 0:
        return
    generated = np.minimum(available, np.maximum(setpoint_w[rows], 0.0))
    generated = np.where(inputs.is_present[rows], generated, 0.0)
    dt_h = dt_s / SECONDS_PER_HOUR
    flows.source_wh[rows] = generated * dt_h
    flows.terminal_wh[rows] = flows.source_wh[rows]
    flows.curtailed_wh[rows] = (available - generated) * dt_h


def _step_generators(
    params: FleetParameters, state: FleetState, inputs: FleetInputs, dt_s: float, flows: StepFlows
) -> FloatArray:
    """Burn the fuel of what generators give; an empty tank gives nothing. The heat is no part of the books."""
    rows = params.generator_rows
    if rows.size == 0:
        return state.fuel_wh
    is_running = inputs.is_present[rows] & (inputs.solar_available_w[rows] > 0.0)
    asked_w = flows.source_wh[rows] * (SECONDS_PER_HOUR / dt_s)
    generated_wh, left_wh = burn(asked_w, is_running, state.fuel_wh[rows], params.p_max_w[rows], dt_s)
    flows.source_wh[rows] = flows.terminal_wh[rows] = generated_wh
    return _with(state.fuel_wh, rows, left_wh)


def _step_ports(params: FleetParameters, setpoint_w: FloatArray, dt_s: float, flows: StepFlows) -> None:
    rows = params.port_rows
    told_w = setpoint_w[rows]
    # Without a finite power nothing is passed on: a limit is no command to a port.
    passed_wh = np.where(np.isfinite(told_w), told_w, 0.0) * (dt_s / SECONDS_PER_HOUR)
    flows.terminal_wh[rows] = passed_wh
    flows.source_wh[rows] = np.maximum(passed_wh, 0.0)
    flows.sink_wh[rows] = np.maximum(-passed_wh, 0.0)


def _step_storages(
    params: FleetParameters,
    changed: dict[str, Any],
    before: FleetState,
    inputs: FleetInputs,
    setpoint_w: FloatArray,
    dt_s: float,
    flows: StepFlows,
) -> None:
    """Step the storages; put what changes of the state into `changed`, which has `p_w` of the others."""
    rows = params.storage_rows
    units = params.units
    dt_h = dt_s / SECONDS_PER_HOUR
    is_present = inputs.is_present[rows]
    are_all_present = is_present.all()
    unit_state = _unit_state(params, before)
    wanted = np.maximum(setpoint_w[rows], -units.p_charge_max_w)
    np.minimum(wanted, units.p_discharge_max_w, out=wanted)
    mean, end = ramped(before.p_w[rows], wanted, params.ramp_w_per_s[rows], dt_s)
    if not are_all_present:
        mean *= is_present
        end *= is_present
    kinetic = params.kinetic_in_storage
    main_mean, main_end = mean, end
    if kinetic.size:
        main_mean, main_end = mean.copy(), end.copy()
        main_mean[kinetic], main_end[kinetic] = _flywheel_share(
            params, before, end[kinetic], is_present[kinetic], dt_s
        )
    ambient = _ambient_c(inputs, rows)
    done = transfer(params.tables, params.converters, units, unit_state, main_mean, ambient, dt_s)

    # At the end the power is the ramp's end, unless a bound stopped it or a limit held it down.
    p_end = np.where(done.is_limited, done.p_w, main_end)
    p_end[done.is_bound] = 0.0
    energy, terminal, loss = done.energy_wh, done.terminal_wh, done.loss_wh
    flows.stored_delta_wh[rows] = -(done.source_wh + done.standing_wh)
    flows.terminal_wh[rows] = terminal
    flows.loss_wh[rows] = loss
    flows.undelivered_wh[rows] = mean * dt_h - terminal
    if not are_all_present:
        energy = _drive(params, inputs, energy, dt_h, flows)
    changed["p_w"][rows] = p_end
    changed["energy_wh"] = _with(before.energy_wh, rows, energy)
    changed["temp_c"] = _with(before.temp_c, rows, done.temp_c)
    changed["main_p_w"] = _with(before.main_p_w, rows, p_end)
    throughput = before.throughput_wh.copy()
    throughput[rows] += np.abs(done.source_wh)
    changed["throughput_wh"] = throughput
    if kinetic.size:
        _step_buffers(params, changed, before, inputs, mean[kinetic], end[kinetic], dt_s, flows)


def _with(array: FloatArray, rows: Rows, values: FloatArray) -> FloatArray:
    changed = array.copy()
    changed[rows] = values
    return changed


def _ambient_c(inputs: FleetInputs, rows: Rows) -> FloatArray | float:
    ambient = np.asarray(inputs.ambient_c, dtype=np.float64)
    return float(ambient) if ambient.ndim == 0 else ambient[rows]


def _unit_state(params: FleetParameters, state: FleetState) -> UnitState:
    rows = params.storage_rows
    units = params.units
    bottom = np.where(state.mode[rows] == Mode.EMERGENCY, units.floor_wh, params.reserve_wh[rows])
    return UnitState(
        energy_wh=state.energy_wh[rows],
        temp_c=state.temp_c[rows],
        capacity_wh=units.capacity_wh * state.capacity_factor[rows],
        resistance_factor=state.resistance_factor[rows],
        bottom_wh=bottom,
        leakage_w=state.leakage_w[rows],
    )


def _drive(
    params: FleetParameters, inputs: FleetInputs, energy_wh: FloatArray, dt_h: float, flows: StepFlows
) -> FloatArray:
    """Take what absent vehicles drive from their batteries, down to empty: reserves are for driving."""
    rows = params.storage_rows
    is_driving = ~inputs.is_present[rows] & (params.kind[rows] == Kind.VEHICLE)
    wanted = np.where(is_driving, inputs.driving_w[rows] * dt_h, 0.0)
    driven = np.minimum(wanted, np.maximum(energy_wh - params.units.floor_wh, 0.0))
    flows.sink_wh[rows] = driven
    flows.unserved_wh[rows] = wanted - driven
    flows.stored_delta_wh[rows] -= driven
    return energy_wh - driven


def _flywheel_share(
    params: FleetParameters, before: FleetState, p_end_w: FloatArray, is_present: BoolArray, dt_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return mean and final power of the flywheels of kinetic modules; an unplugged one stops at once."""
    rows = params.kinetic_rows
    units = params.units.take(params.kinetic_in_storage)
    restore = restoring_w(before.buffer_wh[rows], params.buffers.capacity_wh, units.rated_w, dt_s)
    wanted = np.clip(p_end_w + restore, -units.p_charge_max_w, units.p_discharge_max_w)
    mean, end = ramped(before.main_p_w[rows], wanted, units.rated_w / FLYWHEEL_RAMP_TIME_S, dt_s)
    return mean * is_present, end * is_present


def _step_buffers(
    params: FleetParameters,
    changed: dict[str, Any],
    before: FleetState,
    inputs: FleetInputs,
    mean_w: FloatArray,
    end_w: FloatArray,
    dt_s: float,
    flows: StepFlows,
) -> None:
    """Let the banks give what the flywheels did not; add their books to the modules'."""
    rows = params.kinetic_rows
    banks = params.buffers
    bank_state = UnitState(
        energy_wh=before.buffer_wh[rows],
        temp_c=before.buffer_temp_c[rows],
        capacity_wh=banks.capacity_wh,
        resistance_factor=np.ones(banks.capacity_wh.size),
        bottom_wh=banks.floor_wh,
        leakage_w=np.zeros(banks.capacity_wh.size),
    )
    dt_h = dt_s / SECONDS_PER_HOUR
    missing = mean_w - flows.terminal_wh[rows] / dt_h
    ambient = _ambient_c(inputs, rows)
    done = transfer(params.tables, params.converters, banks, bank_state, missing, ambient, dt_s)
    flows.stored_delta_wh[rows] -= done.source_wh + done.standing_wh
    flows.terminal_wh[rows] += done.terminal_wh
    flows.loss_wh[rows] += done.loss_wh
    flows.undelivered_wh[rows] = mean_w * dt_h - flows.terminal_wh[rows]
    is_short = np.abs(flows.undelivered_wh[rows]) > 1e-6 * dt_h * np.maximum(np.abs(mean_w), 1.0)
    changed["p_w"][rows] = np.where(is_short, flows.terminal_wh[rows] / dt_h, end_w)
    changed["buffer_wh"] = _with(before.buffer_wh, rows, done.energy_wh)
    changed["buffer_temp_c"] = _with(before.buffer_temp_c, rows, done.temp_c)


def source_power_w(params: FleetParameters, state: FleetState, p_w: FloatArray) -> FloatArray:
    """Return what terminal powers take out of the stores now, converter and resistance included, (n,) W.

    Parameters
    ----------
    p_w : (n,) float64
        At the terminals; of a kinetic module the flywheel's part. What is no storage: 0.
    """
    drawn = np.zeros(params.n_devices)
    if params.units.table.size:
        rows = params.storage_rows
        now = _unit_state(params, state)
        drawn[rows], _ = source_at(
            params.tables,
            params.converters,
            params.units,
            now.capacity_wh,
            now.energy_wh,
            now.temp_c,
            now.resistance_factor,
            np.clip(p_w[rows], -params.units.rated_w, params.units.rated_w),
        )
    return drawn


def deliverable_w(
    params: FleetParameters, state: FleetState, inputs: FleetInputs, horizon_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return the terminal power that every device can hold for the whole horizon.

    Parameters
    ----------
    horizon_s : float
        1 ms to 1 h.

    Returns
    -------
    (p_min_w, p_max_w) : (n,) float64 each
        Loads: (-demand, 0). Solar: (0, available), generators as far as their fuel goes. Storages: from energy,
        reserve, ratings, temperature and losses, without the ramp; a kinetic module promises its flywheel's power
        only (the bank is for surges).

    Notes
    -----
    No promise of energy that is not there: a step of the horizon's length at either power is delivered in
    full.
    """
    if not SHORTEST_STEP_S <= horizon_s <= LONGEST_STEP_S:
        raise BadInput("horizon_s", f"in {SHORTEST_STEP_S}..{LONGEST_STEP_S} s", got=horizon_s)
    low = np.zeros(params.n_devices)
    high = np.zeros(params.n_devices)
    low[params.load_rows] = -inputs.load_demand_w[params.load_rows]
    high[params.solar_rows] = inputs.solar_available_w[params.solar_rows]
    tanks = params.generator_rows
    if tanks.size:
        held_w = sustained_w(state.fuel_wh[tanks], params.p_max_w[tanks], horizon_s)
        high[tanks] = np.minimum(high[tanks], held_w)
    units: StorageUnits = params.units
    if units.table.size:
        unit_state = _unit_state(params, state)
        rows = params.storage_rows
        arguments = (params.tables, params.converters, units, unit_state, horizon_s)
        low[rows], high[rows] = sustainable_w(*arguments)
    is_present: BoolArray = inputs.is_present
    return low * is_present, high * is_present
