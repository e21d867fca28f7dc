"""The world between two intervals: what the fleet is, and what the controller last said; as bytes."""

import json
import struct
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from devices.parameters import FleetParameters
from devices.state import FleetState, initial_state, state_from_bytes, state_to_bytes
from node.controller.microgrid import MicrogridState, states_from_bytes, states_to_bytes
from node.errors import Permanent
from node.hub.voltage_records import VoltageState
from node.hub.voltage_records import state_from_bytes as voltage_from_bytes

_MAGIC = b"SYMWORLD"
_VERSION = 1
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

    def to_bytes(self) -> bytes:
        """Return the world as bytes; equal worlds give equal bytes."""
        fleet, state = state_to_bytes(self.fleet), self.dispatch
        voltage = b"" if self.voltage is None else self.voltage.to_bytes()
        islands = states_to_bytes(self.islands) if self.islands else b""
        fields_of = {
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
        header = json.dumps(fields_of, separators=(",", ":")).encode()
        arrays = [np.ascontiguousarray(getattr(state, k), dtype=v).tobytes() for k, v in _ARRAYS.items()]
        return b"".join([_MAGIC, struct.pack("<I", len(header)), header, fleet, *arrays, islands, voltage])


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
        island_bytes = int(header.get("island_bytes", 0))
        voltage_bytes = int(header.get("voltage_bytes", 0))
    except (ValueError, KeyError, TypeError) as error:
        raise BadWorld(f"checkpoint: header unreadable ({error})") from error
    length = end + fleet_bytes + 8 * n * len(_ARRAYS) + island_bytes + voltage_bytes
    if version != _VERSION or len(data) != length:
        raise BadWorld(f"checkpoint: version {version} with {len(data)} bytes does not fit this program")
    arrays = {}
    at = end + fleet_bytes
    for name, kind in _ARRAYS.items():
        arrays[name] = np.frombuffer(data[at : at + 8 * n], dtype=kind).astype(kind[1:])
        at += 8 * n
    fleet = state_from_bytes(data[end : end + fleet_bytes])
    try:
        islands = states_from_bytes(data[at : at + island_bytes]) if island_bytes else ()
        voltage = voltage_from_bytes(data[at + island_bytes :]) if voltage_bytes else None
    except ValueError as error:
        raise BadWorld(f"checkpoint: {error}") from error
    return World(fleet, DispatchState(sequence=sequence, fence=fence, **arrays), voltage, islands)


assert set(_ARRAYS) | {"sequence", "fence"} == {f.name for f in fields(DispatchState)}
