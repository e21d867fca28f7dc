"""What an island's devices shall do together so that nothing is left over: whole milliwatts that sum to zero.

Loads take what they want, sun gives what there is; storages carry the difference in proportion to the energy that each
holds or has room for, within its power: so none is empty or full long before the others, and the power of all stays at
hand as long as there is energy. This is what lets a plan count them as one battery. What they cannot store is curtailed
at the sun, in proportion; what they cannot give is left to allocation, which cuts loads by priority.
"""

from dataclasses import dataclass

import numpy as np

from node.controller.network import FloatArray, IntArray
from node.controller.swarm import share_event

MILLI = 1_000.0
LEAST_WH = 1e-6  # whoever can give power shares in it, however little energy its model says it has


@dataclass(frozen=True, slots=True)
class Balance:
    """Powers of an island's devices, whole milliwatts in W.

    Parameters
    ----------
    sun_w : float64
        Injected, >= 0.
    storage_w : float64
        > 0 discharges.
    """

    sun_w: FloatArray
    storage_w: FloatArray


def balance(
    load_w: FloatArray, sun_w: FloatArray, low_w: FloatArray, high_w: FloatArray, held_wh: FloatArray,
    room_wh: FloatArray,
) -> Balance:  # fmt: skip
    """Return powers that sum to zero, unless storages cannot give enough.

    Parameters
    ----------
    load_w, sun_w : float64 (n_loads,), (n_suns,)
        Wanted and available, >= 0.
    low_w, high_w : float64 (n_storages,)
        What each storage can hold, low <= 0 <= high.
    held_wh, room_wh : float64 (n_storages,)
        What it could still give and take.
    """
    load = np.rint(load_w * MILLI).astype(np.int64)
    sun = np.floor(sun_w * MILLI + 1e-6).astype(np.int64)
    lacking = int(load.sum() - sun.sum())
    if lacking >= 0:
        storage = _carried(lacking, high_w, held_wh)
    else:
        storage = -_carried(-lacking, -low_w, room_wh)
        sun = shares(int(load.sum()) - int(storage.sum()), sun / MILLI)
    return Balance(sun / MILLI, storage / MILLI)


def _carried(total: int, room_w: FloatArray, energy_wh: FloatArray) -> IntArray:
    """Return what each storage carries of a total, in proportion to its energy and within its power."""
    room = np.floor(np.maximum(room_w, 0.0) * MILLI + 1e-6).astype(np.int64)
    return share_event(total, room, np.maximum(energy_wh, LEAST_WH), np.ones(room.size, np.bool_))


def shares(total: int, room_w: FloatArray) -> IntArray:
    """Return whole milliwatts in proportion to the room, each within it, that sum to the total exactly."""
    room = np.floor(np.maximum(room_w, 0.0) * MILLI + 1e-6).astype(np.int64)
    whole = int(room.sum())
    if not whole:
        return np.zeros(room.size, np.int64)
    # Cumulative rounding: differences of floors are at most one above a share, and never above the room.
    border = [total * int(c) // whole for c in np.cumsum(room).tolist()]
    shares: IntArray = np.diff(np.array([0, *border], np.int64)).astype(np.int64)
    return shares
