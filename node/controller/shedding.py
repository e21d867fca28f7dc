"""Which loads of an island stay on: by priority, with the energy in view that has to last until sun or grid return.

Class by class, the most important first, and within a class from now on: a slot takes as many loads as its power
allows and as the energy allows beyond what more important classes still need later. What is left goes to the next
class, in slots in which everything above it is on. No load is off while a less important one is on.

Serving a class from now on loses nothing against any other order: what is drawn early makes room for sun to be stored.
Loads are switched whole; the best set of a slot is found exactly, to the watt.

| symbol | name | meaning |
|---|---|---|
| need(t) | `_needed_wh` | least stored energy at the start of slot t from which all that is promised can be kept |
| room(t) | `_room_w` | most power that a slot can give to the class without breaking a promise |
"""

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from node.controller.errors import InvalidRequest
from node.controller.network import FloatArray, IntArray

BoolArray = NDArray[np.bool_]
# How many slots before one with a load left out are tried together with it, for a better use of the energy left.
NEIGHBOURS = 4


@dataclass(frozen=True, slots=True)
class Supply:
    """What an island can live on.

    Parameters
    ----------
    sun_w : float64 (n_slots,)
        Expected, >= 0; what is not used or stored is curtailed.
    energy_wh, room_wh : float
        What storages can still deliver at their terminals, and what they could take, >= 0.
    p_discharge_w, p_charge_w : float
        Of all storages together.
    efficiency_pu : float
        Delivered later per energy that charges now.
    slot_s : float
    """

    sun_w: FloatArray
    energy_wh: float
    room_wh: float
    p_discharge_w: float
    p_charge_w: float
    efficiency_pu: float
    slot_s: float

    def __post_init__(self) -> None:
        numbers = (self.energy_wh, self.room_wh, self.p_discharge_w, self.p_charge_w)
        if not (
            min(numbers) >= 0 and np.all(self.sun_w >= 0) and 0 < self.efficiency_pu <= 1 and self.slot_s > 0
        ):
            raise InvalidRequest(f"an island's supply has a value out of range: {self}")


@dataclass(frozen=True, slots=True)
class Service:
    """Which loads are on in which slot, and what the storages then hold.

    Parameters
    ----------
    is_on : bool (n_loads, n_slots)
    energy_wh : float64 (n_slots + 1,)
        Deliverable energy at the start of each slot and at the end.
    """

    is_on: BoolArray
    energy_wh: FloatArray


def plan_service(demand_w: FloatArray, priority: IntArray, supply: Supply) -> Service:
    """Decide which loads are on.

    Parameters
    ----------
    demand_w : float64 (n_loads, n_slots)
        Expected, >= 0.
    priority : int64 (n_loads,)
        0 is the most important.

    Raises
    ------
    InvalidRequest
        If shapes differ or a demand is negative or no number.
    """
    n_loads, n_slots = demand_w.shape
    if priority.shape != (n_loads,) or supply.sun_w.shape != (n_slots,) or not np.all(demand_w >= 0):
        raise InvalidRequest(
            f"demand of {demand_w.shape}, priorities of {priority.shape}, sun of {supply.sun_w.shape}: "
            "need (n_loads, n_slots), (n_loads,), (n_slots,) and demands >= 0"
        )
    is_on = np.zeros(demand_w.shape, np.bool_)
    promised_w = np.zeros(n_slots)
    is_open = np.ones(n_slots, np.bool_)  # everything more important is on
    for klass in np.unique(priority).tolist():
        rows = np.flatnonzero(priority == klass)
        _fill(demand_w[rows], is_on, rows, is_open, promised_w, supply)
        _exchange(demand_w[rows], is_on, rows, is_open, promised_w, supply)
        is_open &= np.all(is_on[rows] | (demand_w[rows] == 0.0), axis=0)
    return Service(is_on, _levels_wh(promised_w, supply))


def _fill(
    demand_w: FloatArray, is_on: BoolArray, rows: IntArray, is_open: BoolArray, promised_w: FloatArray,
    supply: Supply,
) -> None:  # fmt: skip
    """Give a class, slot after slot, the best set that keeps every other promise; its own later ones too."""
    need_wh = _needed_wh(promised_w, supply)
    energy_wh = supply.energy_wh
    for slot in range(promised_w.size):
        if is_open[slot]:
            own_w = float(demand_w[:, slot][is_on[rows, slot]].sum())
            others_w = promised_w[slot] - own_w
            chosen = best_set(
                demand_w[:, slot], _room_w(others_w, energy_wh, need_wh[slot + 1], supply, slot)
            )
            if float(demand_w[:, slot][chosen].sum()) >= own_w:
                is_on[rows, slot] = chosen
                promised_w[slot] = others_w + float(demand_w[:, slot][chosen].sum())
        energy_wh = _after_wh(promised_w[slot], energy_wh, supply, slot)


def _exchange(
    demand_w: FloatArray, is_on: BoolArray, rows: IntArray, is_open: BoolArray, promised_w: FloatArray,
    supply: Supply,
) -> None:  # fmt: skip
    """Use energy too little for a whole load: choose anew for two slots together, one of them not fully on."""
    for slot in np.flatnonzero(is_open & ~np.all(is_on[rows] | (demand_w == 0.0), axis=0)).tolist():
        # What is on now stays on: the first slot is no neighbour.
        for other in range(max(slot - NEIGHBOURS, 1), slot):
            if not is_open[other]:
                continue
            both = np.concatenate((demand_w[:, other], demand_w[:, slot]))
            own_w = float(both[np.concatenate((is_on[rows, other], is_on[rows, slot]))].sum())
            need_wh, levels = _needed_wh(promised_w, supply), _levels_wh(promised_w, supply)
            left_w = (levels[slot + 1] - need_wh[slot + 1]) / (supply.slot_s / 3_600.0)
            if left_w < 1.0:
                break
            first, second = np.split(best_set(both, own_w + left_w), 2)
            changed_w = promised_w.copy()
            for at, chosen in ((other, first), (slot, second)):
                changed_w[at] += float(demand_w[chosen, at].sum() - demand_w[is_on[rows, at], at].sum())
            if changed_w.sum() > promised_w.sum() and _is_possible(changed_w, supply):
                promised_w[:] = changed_w
                is_on[rows, other], is_on[rows, slot] = first, second


def _levels_wh(load_w: FloatArray, supply: Supply) -> FloatArray:
    """Return the deliverable energy at the start of each slot and at the end, (n_slots + 1,)."""
    levels = [supply.energy_wh]
    for slot in range(load_w.size):
        levels.append(_after_wh(float(load_w[slot]), levels[-1], supply, slot))
    return np.array(levels)


def _is_possible(load_w: FloatArray, supply: Supply) -> bool:
    """Return whether power and energy suffice for a load in every slot."""
    has_power = np.all(load_w <= supply.sun_w + supply.p_discharge_w)
    return bool(has_power and _levels_wh(load_w, supply).min() >= -1e-6)


def best_set(demand_w: FloatArray, room_w: float) -> BoolArray:
    """Return the set of loads with the largest sum within the room, (n_loads,); loads without demand are on.

    Notes
    -----
    Sums to the watt, demands rounded up, as bits of one integer: bit s of row k is set where the first k loads have
    a subset of sum s.
    """
    whole = [ceil(p - 1e-9) for p in demand_w.tolist()]
    room = floor(max(room_w, 0.0) + 1e-9)
    if float(demand_w.sum()) <= room_w:
        return np.ones(demand_w.size, np.bool_)
    mask = (1 << (room + 1)) - 1
    reachable = [1]
    for p in whole:
        reachable.append(reachable[-1] | (reachable[-1] << p) & mask if p <= room else reachable[-1])
    left = reachable[-1].bit_length() - 1
    chosen = np.zeros(demand_w.size, np.bool_)
    for k in range(demand_w.size - 1, -1, -1):
        # Off wherever the rest reaches the sum without it: earlier rows are kept on.
        if not reachable[k] >> left & 1:
            chosen[k] = True
            left -= whole[k]
    result: BoolArray = chosen | (demand_w == 0.0)
    return result


def _needed_wh(promised_w: FloatArray, supply: Supply) -> FloatArray:
    """Return the least energy at the start of each slot that keeps all promises, (n_slots + 1,)."""
    hours = supply.slot_s / 3_600.0
    need = np.zeros(promised_w.size + 1)
    for slot in range(promised_w.size - 1, -1, -1):
        lacking_w = promised_w[slot] - supply.sun_w[slot]
        if lacking_w >= 0:
            need[slot] = need[slot + 1] + lacking_w * hours
        else:
            stored_wh = supply.efficiency_pu * min(-lacking_w, supply.p_charge_w) * hours
            need[slot] = max(need[slot + 1] - stored_wh, 0.0)
    return need


def _room_w(promised_w: float, energy_wh: float, need_after_wh: float, supply: Supply, slot: int) -> float:
    """Return the most that may be added to a slot's load."""
    hours = supply.slot_s / 3_600.0
    sun_w = float(supply.sun_w[slot])
    by_power = sun_w + supply.p_discharge_w - promised_w
    spare_wh = energy_wh - need_after_wh
    if spare_wh >= 0:
        by_energy = sun_w + spare_wh / hours - promised_w
    else:
        # Only what the sun stores in this slot reaches the need: that much of it is not to be used.
        by_energy = sun_w + spare_wh / (supply.efficiency_pu * hours) - promised_w
    return min(by_power, by_energy)


def _after_wh(load_w: float, energy_wh: float, supply: Supply, slot: int) -> float:
    """Return the deliverable energy after a slot with this load."""
    hours = supply.slot_s / 3_600.0
    lacking_w = load_w - float(supply.sun_w[slot])
    if lacking_w >= 0:
        return energy_wh - lacking_w * hours
    stored_wh = supply.efficiency_pu * min(-lacking_w, supply.p_charge_w) * hours
    return min(energy_wh + stored_wh, supply.energy_wh + supply.room_wh)
