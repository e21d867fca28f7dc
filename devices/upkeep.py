"""What is due at the end of every interval: batteries age, sensors are read, health is watched."""

from dataclasses import dataclass, replace

import numpy as np

from devices.arrays import BoolArray, FloatArray
from devices.fleet_ageing import age
from devices.health import HealthState, is_fit, observe
from devices.parameters import FleetParameters
from devices.sensors import Readings, SensorErrors, true_readings, with_errors
from devices.state import FleetState

_CONSTANTS_STREAM = 2**31


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The fleet after its upkeep.

    Attributes
    ----------
    fleet : FleetState, aged
    monitor : HealthState, with this interval's readings
    is_fit : (n_devices,) bool, False: take it out of virtual battery and swarm
    """

    fleet: FleetState
    monitor: HealthState
    is_fit: BoolArray


def end_of_interval(
    params: FleetParameters,
    before: FleetState,
    after: FleetState,
    monitor: HealthState,
    interval: int,
    seed: int,
    dt_s: float,
    ambient_c: float = 20.0,
    errors: SensorErrors | None = None,
    is_stuck: BoolArray | None = None,
) -> Upkeep:
    """Age the fleet by an interval, read its sensors once and judge them.

    Parameters
    ----------
    before, after : FleetState
        At the interval's begin and end.
    monitor : HealthState
        `health.begin(number of storages)` at the very first interval.
    interval, seed : int
        Sensor noise is drawn from them alone: the same interval reads the same twice.
    errors : SensorErrors, optional
        Ordinary sensors by default.
    is_stuck : (4, m) bool, optional
        Channels (`Readings.channels`) whose sensor repeats its last reading for ever.
    """
    aged = age(params, after, dt_s)
    rows = params.storage_rows
    m = params.units.table.size
    constants = np.random.default_rng((seed, _CONSTANTS_STREAM)).standard_normal((3, m))
    noise = np.random.default_rng((seed, interval)).standard_normal((4, m))
    true = true_readings(params, before, after, dt_s)
    readings = with_errors(true, errors or SensorErrors(), noise, constants, dt_s)
    if is_stuck is not None:
        readings = _repeated(readings, is_stuck & ~np.isnan(monitor.last), monitor.last)
    explained: FloatArray = 1.0 + aged.calendar_rise_pu[rows] + aged.cycle_rise_pu[rows]
    watched = observe(params, monitor, readings, explained, ambient_c, dt_s)
    return Upkeep(aged, watched, is_fit(params, watched))


def _repeated(readings: Readings, which: BoolArray, last: FloatArray) -> Readings:
    """Return readings in which some channels say what they said before."""
    voltage, current, temp, energy = np.where(which, last, readings.channels())
    return replace(readings, voltage_pu=voltage, current_per_h=current, temp_c=temp, energy_pu=energy)
