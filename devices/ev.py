"""Electric vehicles: when they are plugged in, what they need at departure, when charging can't wait.

| symbol | name in code | meaning |
|---|---|---|
| stay | `arrives_s`..`departs_s` | half-open time at the charger |
| E_req | `required_wh` | energy the owner wants in the battery at departure |
| slack | `slack_s` | time left until departure minus the time that charging at full power still takes |
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from devices.arrays import BoolArray, FloatArray, IntArray
from devices.errors import BadInput

SECONDS_PER_HOUR: Final = 3600.0
# The last part of a charge is slower (constant voltage, warm cells): plan longer than full power takes.
CHARGE_TIME_FACTOR: Final = 1.1


@dataclass(frozen=True, slots=True)
class Stays:
    """All stays of all vehicles; arrays (k,), sorted by (vehicle, arrives_s), not overlapping.

    Attributes
    ----------
    vehicle : int64, row of the device
    arrives_s, departs_s : float64, unix seconds
    required_wh : float64, energy wanted in the battery at departure
    driven_wh : float64, energy driven between the previous stay's departure (or the beginning) and arrival
    """

    vehicle: IntArray
    arrives_s: FloatArray
    departs_s: FloatArray
    required_wh: FloatArray
    driven_wh: FloatArray

    def __post_init__(self) -> None:
        wrong = np.flatnonzero(~(self.departs_s > self.arrives_s))
        if wrong.size:
            raise BadInput(
                "stay", "departing after it arrives", int(wrong[0]), float(self.departs_s[wrong[0]])
            )
        same = self.vehicle[1:] == self.vehicle[:-1]
        unsorted = np.flatnonzero(
            (self.vehicle[1:] < self.vehicle[:-1]) | (same & (self.arrives_s[1:] < self.departs_s[:-1]))
        )
        if unsorted.size:
            raise BadInput("stay", "sorted by vehicle and arrival, without overlap", int(unsorted[0]) + 1)
        for name in ("required_wh", "driven_wh"):
            values = getattr(self, name)
            bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0.0)))
            if bad.size:
                raise BadInput(name, "a finite energy >= 0 Wh", int(bad[0]), float(values[bad[0]]))


@dataclass(frozen=True, slots=True)
class VehicleInputs:
    """What the stays say at one time; arrays (n_devices,).

    Attributes
    ----------
    is_present : bool, True for everything that is no vehicle with stays
    departs_in_s : float64, inf while away
    required_wh : float64, 0 while away
    driving_w : float64, mean power of the trip under way, 0 while present
    """

    is_present: BoolArray
    departs_in_s: FloatArray
    required_wh: FloatArray
    driving_w: FloatArray


def inputs_at(stays: Stays, n_devices: int, now_s: float, begin_s: float) -> VehicleInputs:
    """Return presence, need and driving power at a time.

    Parameters
    ----------
    begin_s : float
        Start of the simulation: the first trip of a vehicle that arrives later began then.

    Notes
    -----
    A trip's energy is spread evenly over its time, so that any steps between departure and arrival sum to it.
    After its last departure a vehicle stays away and parks elsewhere: it draws nothing.
    """
    present = np.ones(n_devices, dtype=np.bool_)
    departs = np.full(n_devices, np.inf)
    required = np.zeros(n_devices)
    driving = np.zeros(n_devices)
    present[stays.vehicle] = False
    is_here = (stays.arrives_s <= now_s) & (now_s < stays.departs_s)
    rows = stays.vehicle[is_here]
    present[rows] = True
    departs[rows] = stays.departs_s[is_here] - now_s
    required[rows] = stays.required_wh[is_here]
    left_at = np.full(stays.arrives_s.shape, begin_s)
    left_at[1:] = np.where(stays.vehicle[1:] == stays.vehicle[:-1], stays.departs_s[:-1], begin_s)
    is_driving = (left_at <= now_s) & (now_s < stays.arrives_s)
    hours = (stays.arrives_s[is_driving] - left_at[is_driving]) / SECONDS_PER_HOUR
    driving[stays.vehicle[is_driving]] = stays.driven_wh[is_driving] / hours
    return VehicleInputs(present, departs, required, driving)


def next_change_s(stays: Stays, now_s: float) -> float:
    """Return when the next vehicle arrives or departs after `now_s`; inf if none does."""
    times = np.concatenate([stays.arrives_s, stays.departs_s])
    later = times[times > now_s]
    return float(later.min()) if later.size else np.inf


def slack_s(
    energy_wh: FloatArray, required_wh: FloatArray, departs_in_s: FloatArray, stored_w: FloatArray
) -> FloatArray:
    """Return how long charging can still wait, seconds; <= 0: it can't.

    Parameters
    ----------
    stored_w : (k,) float64
        Power that reaches the battery at full charging power, W.
    """
    missing = np.maximum(required_wh - energy_wh, 0.0)
    time_s = CHARGE_TIME_FACTOR * SECONDS_PER_HOUR * missing / np.maximum(stored_w, 1e-9)
    return np.where(missing > 0.0, departs_in_s - time_s, np.inf)
