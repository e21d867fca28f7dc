"""The world between two intervals: what the fleet is, and what the controller last said; as bytes."""

import json
import struct
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from devices.parameters import FleetParameters
from devices.state import FleetState, initial_state, state_from_bytes, state_to_bytes
from node.controller.microgrid import MicrogridState, states_from_bytes, states_to_bytes
from node.errors import Permanent
from node.hub.rack_records import RackMemory, memory_from_bytes
from node.hub.ridden_island import Island
from node.hub.voltage_records import VoltageState
from node.hub.voltage_records import state_from_bytes as voltage_from_bytes

_MAGIC = b"SYMWORLD"
_VERSION = 2
_ARRAYS = {"setpoint_w": "<f8", "logged_w": "<f8", "reason": "<i8", "node": "<i8"}


class BadWorld(Permanent):
    """A checkpoint that is no world of this fleet."""


@dataclass(frozen=True, slots=True)
class DispatchState:
    """What the controller remembers.

    Parameters
    ----------
    sequence : int
        Number of the last batch of setpoints; grows with every batch.
    fence : int
        Grows with every takeover; firmware refuses setpoints with a lower one.
    setpoint_w : float64 (n_devices,)
        Last setpoint sent; nan before any.
    logged_w : float64 (n_devices,)
        What the log shows of it: a lifted limit shows the power that flows instead.
    reason, node : int64 (n_devices,)
        Of the last setpoint; node -1 if it is about none.
    """

    sequence: int
    fence: int
    setpoint_w: NDArray[np.float64]
    logged_w: NDArray[np.float64]
    reason: NDArray[np.int64]
    node: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class World:
    """Everything that `Dispatch.run_interval` continues from."""

    fleet: FleetState
    dispatch: DispatchState
    voltage: VoltageState | None = None
    islands: tuple[MicrogridState, ...] = ()
    racks: RackMemory | None = None  # None: no racks are tied
    ridden: tuple[Island, ...] = ()  # islands without a leader, on their way to a generator or a shutdown

    def to_bytes(self) -> bytes:
        """Return the world as bytes; equal worlds give equal bytes."""
        fleet, state = state_to_bytes(self.fleet), self.dispatch
        voltage = b"" if self.voltage is None else self.voltage.to_bytes()
        islands = states_to_bytes(self.islands) if self.islands else b""
        racks = b"" if self.racks is None else self.racks.to_bytes()
        fields_of: dict[str, object] = {
            "fence": state.fence,
            "fleet_bytes": len(fleet),
            "n": int(state.setpoint_w.size),
            "sequence": state.sequence,
            "version": _VERSION,
        }
        if voltage:
            fields_of["voltage_bytes"] = len(voltage)
        if islands:
            fields_of["island_bytes"] = len(islands)
        if racks:
            fields_of["racks_bytes"] = len(racks)
        if self.ridden:
            fields_of["ridden"] = [astuple(island) for island in self.ridden]
        header = json.dumps(fields_of, separators=(",", ":")).encode()
        arrays = [np.ascontiguousarray(getattr(state, k), dtype=v).tobytes() for k, v in _ARRAYS.items()]
        start = [_MAGIC, struct.pack("<I", len(header)), header, fleet, *arrays]
        return b"".join([*start, islands, voltage, racks])


def first_world(params: FleetParameters) -> World:
    """Return the world before the first interval: everything at rest, nothing said."""
    n = params.n_devices
    silence = DispatchState(
        sequence=0,
        fence=0,
        setpoint_w=np.full(n, np.nan),
        logged_w=np.full(n, np.nan),
        reason=np.zeros(n, np.int64),
        node=np.full(n, -1, np.int64),
    )
    return World(initial_state(params), silence)


def world_from_bytes(data: bytes) -> World:
    """Return the world that `World.to_bytes` wrote.

    Raises
    ------
    BadWorld
        If the bytes are none, or of another version.
    """
    start = len(_MAGIC) + 4
    if data[: len(_MAGIC)] != _MAGIC or len(data) < start:
        raise BadWorld("checkpoint: does not begin as a world")
    end = start + struct.unpack("<I", data[len(_MAGIC) : start])[0]
    try:
        header = json.loads(data[start:end])
        n, fleet_bytes, version = int(header["n"]), int(header["fleet_bytes"]), header["version"]
        sequence, fence = int(header["sequence"]), int(header["fence"])
        sizes = [int(header.get(f"{part}_bytes", 0)) for part in ("island", "voltage", "racks")]
        ridden = tuple(Island(*one) for one in header.get("ridden", ()))
    except (ValueError, KeyError, TypeError) as error:
        raise BadWorld(f"checkpoint: header unreadable ({error})") from error
    length = end + fleet_bytes + 8 * n * len(_ARRAYS) + sum(sizes)
    if version != _VERSION or len(data) != length:
        raise BadWorld(f"checkpoint: version {version} with {len(data)} bytes does not fit this program")
    arrays = {}
    at = end + fleet_bytes
    for name, kind in _ARRAYS.items():
        arrays[name] = np.frombuffer(data[at : at + 8 * n], dtype=kind).astype(kind[1:])
        at += 8 * n
    fleet = state_from_bytes(data[end : end + fleet_bytes])
    parts = []
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    try:
        islands = states_from_bytes(parts[0]) if parts[0] else ()
        voltage = voltage_from_bytes(parts[1]) if parts[1] else None
        racks = memory_from_bytes(parts[2]) if parts[2] else None
    except ValueError as error:
        raise BadWorld(f"checkpoint: {error}") from error
    said = DispatchState(sequence=sequence, fence=fence, **arrays)
    return World(fleet, said, voltage, islands, racks, ridden)


assert set(_ARRAYS) | {"sequence", "fence"} == {f.name for f in fields(DispatchState)}
