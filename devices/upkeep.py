"""What is due at the end of every interval: batteries age, sensors are read, health is watched."""

from dataclasses import dataclass

import numpy as np

from devices.arrays import BoolArray, FloatArray
from devices.fleet_ageing import age
from devices.health import HealthState, is_fit, observe
from devices.parameters import FleetParameters
from devices.sensors import SensorErrors, true_readings, with_errors
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
    """
    aged = age(params, after, dt_s)
    rows = params.storage_rows
    m = params.units.table.size
    constants = np.random.default_rng((seed, _CONSTANTS_STREAM)).standard_normal((3, m))
    noise = np.random.default_rng((seed, interval)).standard_normal((4, m))
    true = true_readings(params, before, after, dt_s)
    readings = with_errors(true, errors or SensorErrors(), noise, constants, dt_s)
    explained: FloatArray = 1.0 + aged.calendar_rise_pu[rows] + aged.cycle_rise_pu[rows]
    watched = observe(params, monitor, readings, explained, ambient_c, dt_s)
    return Upkeep(aged, watched, is_fit(params, watched))
