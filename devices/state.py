"""What changes of a fleet: struct of arrays, inputs of a step, its flows, and bytes for checkpoints."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from devices.arrays import BoolArray, FloatArray, IntArray
from devices.checkpoint import from_bytes, to_bytes
from devices.errors import BadInput
from devices.parameters import FleetParameters

AMBIENT_C: Final = 20.0


@dataclass(frozen=True, slots=True)
class FleetState:
    """State of n devices; all arrays (n,), float64 unless noted.

    Attributes
    ----------
    energy_wh : stored energy of the main storage, counted from 0 V or standstill
    buffer_wh : of a kinetic module's supercapacitor bank
    fuel_wh : in a generator's tank
    p_w : power at the terminal at the end of the last step, W, > 0 injects
    main_p_w : the part of it that a kinetic module's flywheel carries; otherwise equal to `p_w` of storages
    temp_c : temperature of the main storage, °C
    buffer_temp_c : temperature of the bank, °C
    deferred_wh : need that a thermostatic load was denied and still has, Wh electric
    capacity_factor, resistance_factor : ageing, 1 when new
    calendar_fade_pu, cycle_fade_pu, calendar_rise_pu, cycle_rise_pu : the parts of ageing
    turning_wh, extreme_wh, half_cycle_s : the half cycle under way: where it began, how far it came, how long
    leakage_w : loss of an internal short, W; 0 for a sound device
    throughput_wh : energy moved through the storage so far, both ways
    lease_p_w, lease_from_s, lease_until_s : the lease in force
    next_p_w, next_from_s, next_until_s : an accepted lease that has not begun
    lease_permission, next_permission : int64, `Permission`
    fence, sequence : int64, of the last accepted setpoint; -1 before any
    mode : int64, `Mode`
    """

    energy_wh: FloatArray
    buffer_wh: FloatArray
    fuel_wh: FloatArray
    p_w: FloatArray
    main_p_w: FloatArray
    temp_c: FloatArray
    buffer_temp_c: FloatArray
    deferred_wh: FloatArray
    capacity_factor: FloatArray
    resistance_factor: FloatArray
    calendar_fade_pu: FloatArray
    cycle_fade_pu: FloatArray
    calendar_rise_pu: FloatArray
    cycle_rise_pu: FloatArray
    turning_wh: FloatArray
    extreme_wh: FloatArray
    half_cycle_s: FloatArray
    leakage_w: FloatArray
    throughput_wh: FloatArray
    lease_p_w: FloatArray
    lease_from_s: FloatArray
    lease_until_s: FloatArray
    next_p_w: FloatArray
    next_from_s: FloatArray
    next_until_s: FloatArray
    lease_permission: IntArray
    next_permission: IntArray
    fence: IntArray
    sequence: IntArray
    mode: IntArray

    def soc_pu(self, params: FleetParameters) -> FloatArray:
        """Return the state of charge between floor and full, (n,); 0 for devices without storage."""
        usable = params.capacity_wh * self.capacity_factor - params.floor_wh
        safe = np.where(params.is_storage, usable, 1.0)
        soc: FloatArray = np.where(
            params.is_storage, np.clip((self.energy_wh - params.floor_wh) / safe, 0.0, 1.0), 0.0
        )
        return soc

    def stored_wh(self) -> FloatArray:
        """Return the energy in a device, bank included, (n,) Wh."""
        return self.energy_wh + self.buffer_wh


def initial_state(params: FleetParameters, temp_c: float = AMBIENT_C) -> FleetState:
    """Return the fleet at rest, without leases, at its initial energies."""
    n = params.n_devices

    def full(value: float) -> FloatArray:
        return np.full(n, value, dtype=np.float64)

    def whole(value: int) -> IntArray:
        return np.full(n, value, dtype=np.int64)

    return FleetState(
        energy_wh=params.initial_wh.copy(),
        buffer_wh=params.buffer_initial_wh.copy(),
        fuel_wh=params.initial_fuel_wh.copy(),
        p_w=full(0.0),
        main_p_w=full(0.0),
        temp_c=full(temp_c),
        buffer_temp_c=full(temp_c),
        deferred_wh=full(0.0),
        capacity_factor=full(1.0),
        resistance_factor=full(1.0),
        calendar_fade_pu=full(0.0),
        cycle_fade_pu=full(0.0),
        calendar_rise_pu=full(0.0),
        cycle_rise_pu=full(0.0),
        turning_wh=params.initial_wh.copy(),
        extreme_wh=params.initial_wh.copy(),
        half_cycle_s=full(0.0),
        leakage_w=full(0.0),
        throughput_wh=full(0.0),
        lease_p_w=full(0.0),
        lease_from_s=full(-np.inf),
        lease_until_s=full(-np.inf),
        next_p_w=full(0.0),
        next_from_s=full(np.inf),
        next_until_s=full(np.inf),
        lease_permission=whole(0),
        next_permission=whole(0),
        fence=whole(-1),
        sequence=whole(-1),
        mode=whole(0),
    )


@dataclass(frozen=True, slots=True)
class FleetInputs:
    """What the world does to n devices during a step; arrays (n,).

    Attributes
    ----------
    load_demand_w : float64
        Demand of loads at nominal voltage, >= 0.
    solar_available_w : float64
        Power that sources could inject at their terminal, >= 0.
    is_present : bool
        False: unplugged, driving away or its relay open; nothing flows at the terminal.
    driving_w : float64
        What an absent vehicle draws from its battery, >= 0.
    departs_in_s : float or (n,) float64
        Time until a present vehicle departs, s; inf: not known.
    required_wh : float or (n,) float64
        Energy a vehicle must hold then.
    ambient_c : float or (n,) float64
    v_pu : float or (n,) float64
        Voltage at the terminal, for voltage-dependent loads.
    """

    load_demand_w: FloatArray
    solar_available_w: FloatArray
    is_present: BoolArray
    driving_w: FloatArray
    departs_in_s: FloatArray | float = np.inf
    required_wh: FloatArray | float = 0.0
    ambient_c: FloatArray | float = AMBIENT_C
    v_pu: FloatArray | float = 1.0

    @classmethod
    def quiet(cls, n_devices: int) -> "FleetInputs":
        """Return inputs under which nobody demands, the sun does not shine and all are plugged in."""
        zeros = np.zeros(n_devices)
        return cls(zeros, zeros, np.ones(n_devices, dtype=np.bool_), zeros)


def check_inputs(params: FleetParameters, inputs: FleetInputs) -> None:
    """Refuse inputs that are no numbers, negative or of the wrong shape.

    Raises
    ------
    BadInput
        Naming the input and the first offending row.

    Notes
    -----
    Call it at the door (when profiles are loaded or messages arrive); `step` trusts its inputs.
    """
    n = params.n_devices
    for name in ("load_demand_w", "solar_available_w", "driving_w"):
        values = getattr(inputs, name)
        if values.shape != (n,):
            raise BadInput(name, f"of shape ({n},)", got=values.shape)
        bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0.0)))
        if bad.size:
            raise BadInput(name, "a finite power >= 0 W", int(bad[0]), float(values[bad[0]]))
    if inputs.is_present.shape != (n,):
        raise BadInput("is_present", f"of shape ({n},)", got=inputs.is_present.shape)
    for name, low, high in (("ambient_c", -60.0, 90.0), ("v_pu", 0.0, 2.0)):
        values = np.atleast_1d(np.asarray(getattr(inputs, name), dtype=np.float64))
        bad = np.flatnonzero(~((values >= low) & (values <= high)))
        if bad.size:
            raise BadInput(name, f"in {low}..{high}", int(bad[0]), float(values[bad[0]]))


@dataclass(frozen=True, slots=True)
class StepFlows:
    """Energies of one step, Wh, (n,) each.

    Attributes
    ----------
    terminal_wh : net export at the terminal
    stored_delta_wh : gain of stored energy
    loss_wh : converter, resistance and standing loss, >= 0
    source_wh : generated by sources, >= 0
    curtailed_wh : available to sources but not generated, >= 0
    sink_wh : used by loads and by driving, >= 0
    unserved_wh : demanded by loads or driving but not served, >= 0
    undelivered_wh : of storages: energy asked for at the terminal minus what flowed, signed

    Notes
    -----
    source_wh - sink_wh - stored_delta_wh - loss_wh - terminal_wh == 0 for every device and step.
    What a thermostatic load was denied counts as unserved once, when it is denied; caught up later it is
    part of `sink_wh` like any other.
    """

    terminal_wh: FloatArray
    stored_delta_wh: FloatArray
    loss_wh: FloatArray
    source_wh: FloatArray
    curtailed_wh: FloatArray
    sink_wh: FloatArray
    unserved_wh: FloatArray
    undelivered_wh: FloatArray

    def residual_wh(self) -> FloatArray:
        """Return what the books fail to close by, (n,): rounding only."""
        return self.source_wh - self.sink_wh - self.stored_delta_wh - self.loss_wh - self.terminal_wh


def state_to_bytes(state: FleetState) -> bytes:
    """Return the state as bytes; equal states give equal bytes on every platform."""
    return to_bytes(state)


def state_from_bytes(data: bytes) -> FleetState:
    """Return the state that `state_to_bytes` wrote.

    Raises
    ------
    BadCheckpoint
        If the bytes are no state of this version.
    """
    return from_bytes(FleetState, data, {"fuel_wh": _empty})


def _empty(arrays: dict[str, FloatArray]) -> FloatArray:
    """Return the tanks of fleets from before generators burnt fuel: nobody knows, so nobody counts on them."""
    return np.zeros_like(arrays["energy_wh"])
