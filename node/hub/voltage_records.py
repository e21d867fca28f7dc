"""What voltage takes and gives in dispatch: the loads ahead, the tap changer's memory, and what an interval showed."""

import json
import struct
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from node.controller.network import FloatArray

BoolArray = NDArray[np.bool_]


class TapReason(IntEnum):
    """Why a tap was changed."""

    SAVES = 0
    TOO_LOW = 1
    TOO_HIGH = 2
    LOADS_RISE = 3
    LETS_SUN_THROUGH = 4


_SENTENCES = {
    TapReason.SAVES: "saves {watts:.0f} W, rebound counted, with {node} lowest at {v:.4f} pu",
    TapReason.TOO_LOW: "{node} would be at {v:.4f} pu, too near the lower limit",
    TapReason.TOO_HIGH: "{node} would be at {v:.4f} pu, too near the upper limit",
    TapReason.LETS_SUN_THROUGH: "lets {watts:.0f} W of sun through that {node} at its upper limit held back",
    TapReason.LOADS_RISE: "loads rise: switchings are kept for the hours that need them",
}


@dataclass(frozen=True, slots=True)
class Ahead:
    """What loads and sun of the running local day are expected to be, known before the day.

    Parameters
    ----------
    day : int
        Proleptic ordinal of the local date: switchings are counted by day.
    at : int
        Row of the running interval.
    load_w, solar_w : float64 (n_intervals_of_day, n_devices)
        At rated voltage, >= 0.
    """

    day: int
    at: int
    load_w: FloatArray
    solar_w: FloatArray

    def expects_the_same(self, other: "Ahead") -> bool:
        """Return whether another one expects the same of the same day."""
        return (
            self.day == other.day
            and np.array_equal(self.load_w, other.load_w)
            and np.array_equal(self.solar_w, other.solar_w)
        )


@dataclass(frozen=True, slots=True)
class TapChange:
    """One move of the tap changer and why."""

    at_s: float
    before: int
    after: int
    reason: TapReason
    node: str
    v_pu: float
    saved_w: float

    @property
    def text(self) -> str:
        """The sentence people read."""
        return _SENTENCES[self.reason].format(node=self.node, v=self.v_pu, watts=self.saved_w)


@dataclass(frozen=True, slots=True)
class VoltageState:
    """What the voltage control remembers between intervals.

    Parameters
    ----------
    position : int
        Of the taps.
    switchings : int
        In the day `day`.
    v_pu : float64 (n_devices,)
        Voltage the devices saw last.
    is_outside : bool (n_buses,)
        Whose voltage was outside the band in the last minute.
    """

    position: int
    switchings: int
    day: int
    v_pu: FloatArray
    is_outside: BoolArray

    def to_bytes(self) -> bytes:
        """Return the state as bytes; equal states give equal bytes."""
        header = json.dumps(
            [self.position, self.switchings, self.day, self.v_pu.size, self.is_outside.size],
            separators=(",", ":"),
        ).encode()
        return (
            struct.pack("<I", len(header))
            + header
            + np.ascontiguousarray(self.v_pu, "<f8").tobytes()
            + self.is_outside.tobytes()
        )


def state_from_bytes(data: bytes) -> VoltageState:
    """Return the state that `VoltageState.to_bytes` wrote.

    Raises
    ------
    ValueError
        If the bytes are none.
    """
    if len(data) < 4:
        raise ValueError("voltage checkpoint: too short")
    end = 4 + struct.unpack("<I", data[:4])[0]
    position, switchings, day, n_devices, n_buses = json.loads(data[4:end])
    if len(data) != end + 8 * n_devices + n_buses:
        raise ValueError(f"voltage checkpoint: {len(data)} bytes do not hold {n_devices} devices")
    v_pu = np.frombuffer(data[end : end + 8 * n_devices], "<f8").astype(np.float64)
    outside = np.frombuffer(data[end + 8 * n_devices :], np.bool_).copy()
    return VoltageState(position, switchings, day, v_pu, outside)


@dataclass(frozen=True, slots=True)
class VoltageOutcome:
    """What an interval showed; voltages are means of a minute, per unit of the rated voltage.

    Parameters
    ----------
    low_pu, high_pu : float64 (n_buses,)
        Extremes of each bus over its phases; nan where nobody is connected.
    outside_s : float
        Customers' time outside the band, summed over customers.
    source_wh, loss_wh : float
        What the source delivered (> 0) and what transformer and lines lost of it.
    position : int
        At the end.
    switchings : int
        Of the day so far.
    changes : tuple of TapChange
    options_w, options_low_pu, options_high_pu : float64 (n_positions,)
        What every position would have drawn and done, when loads had settled; for judging the choice.
    """

    low_pu: FloatArray
    high_pu: FloatArray
    outside_s: float
    source_wh: float
    loss_wh: float
    position: int
    switchings: int
    changes: tuple[TapChange, ...]
    options_w: FloatArray
    options_low_pu: FloatArray
    options_high_pu: FloatArray


def first_state(home: int, n_devices: int, n_buses: int) -> VoltageState:
    """Return the memory before the first interval."""
    return VoltageState(home, 0, 0, np.ones(n_devices), np.zeros(n_buses, np.bool_))
