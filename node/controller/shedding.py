"""Which loads of an island stay on: by priority, with the energy in view that has to last until sun or grid return.

A slot serves whole classes from the most important on, and of the next one some loads: no load is off while a less
important one is on. Which slot serves how much is a search along the one thing that ties slots together, the energy
in the storages:

1. backwards, on a grid of energies: the most that can still be served from there (`_worth_ahead`);
2. forwards, with exact energies: of all beginnings the `BEAM` most promising by what they served and what is ahead
   are carried on (`_search`). Only what power and energy allow is ever tried, so every plan can be kept.

The energy served counts `CLASS_WORTH` times that of the next class, whatever the number of classes. What comes sooner
counts a trifle more: later slots rest on forecasts, and nobody wants to be dark now for a few watt hours more in the
morning. Work is bounded: slots x choices x (`LEVELS` + `BEAM`).

| symbol | name | meaning |
|---|---|---|
| U(t, e) | `_worth_ahead` | most worth served from slot t on, with e Wh in the storages |
| e'(e, p) | `_after_wh` | energy after a slot that serves p |

U(t, e) = max over the slot's choices of worth(p) + U(t + 1, e'(e, p)).

References
----------
R. Bellman, Dynamic Programming, 1957. B. Lowerre, The Harpy Speech Recognition System, 1976 (beam search).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.controller.errors import InvalidRequest
from node.controller.network import FloatArray, IntArray

BoolArray = NDArray[np.bool_]
CLASS_WORTH: Final = 10.0  # a watt hour of a class in those of the next
SOONER_PU: Final = 0.003  # the last slot counts this much less than the first
LEVELS: Final = 512  # energies on the grid, denser where little is left: there whole loads weigh most
BEAM: Final = 64  # beginnings that are carried on
SUBSETS: Final = 64  # sums of a class's loads that are tried in a slot, evenly spread
SLACK_WH: Final = 1e-6


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
    """Decide which loads are on; loads without demand are.

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
    everything = np.ones(demand_w.shape, np.bool_)
    levels_wh = _levels_wh(demand_w.sum(axis=0), supply)
    if levels_wh.min() >= 0 and np.all(demand_w.sum(axis=0) <= supply.sun_w + supply.p_discharge_w):
        return Service(everything, levels_wh)
    choices = tuple(_choices(demand_w[:, slot], priority, supply, slot) for slot in range(n_slots))
    is_on = _search(choices, _worth_ahead(choices, supply), supply)
    return Service(is_on, _levels_wh((demand_w * is_on).sum(axis=0), supply))


@dataclass(frozen=True, slots=True)
class _Choices:
    """What a slot can serve.

    Parameters
    ----------
    load_w, worth : float64 (n_choices,)
    is_on : bool (n_choices, n_loads)
    """

    load_w: FloatArray
    worth: FloatArray
    is_on: BoolArray


def _choices(demand_w: FloatArray, priority: IntArray, supply: Supply, slot: int) -> _Choices:
    """Return what the power of a slot allows: whole classes, and of the next one any of its subsets."""
    room_w = float(supply.sun_w[slot]) + supply.p_discharge_w
    is_on = demand_w == 0.0
    load_w, worth = 0.0, 0.0
    found = [_Choices(np.zeros(1), np.zeros(1), is_on[None])]
    for klass in np.unique(priority[demand_w > 0]).tolist():
        rows = np.flatnonzero((priority == klass) & (demand_w > 0))
        sums_w, subsets = _subsets(demand_w[rows], room_w - load_w)
        chosen = np.repeat(is_on[None], sums_w.size, axis=0)
        chosen[:, rows] = subsets
        each = (1.0 - SOONER_PU * slot / supply.sun_w.size) / CLASS_WORTH**klass
        found.append(_Choices(load_w + sums_w, worth + each * sums_w, chosen))
        if not subsets[-1].all():
            break
        is_on, load_w, worth = chosen[-1], load_w + float(sums_w[-1]), worth + each * float(sums_w[-1])
    return _Choices(
        np.concatenate([one.load_w for one in found]),
        np.concatenate([one.worth for one in found]),
        np.vstack([one.is_on for one in found]),
    )


def _subsets(demand_w: FloatArray, room_w: float) -> tuple[FloatArray, BoolArray]:
    """Return sums of loads within the room in rising order, (n,), and who is in them, (n, n_loads).

    Notes
    -----
    Load by load every sum is kept with and without it. Where there are more than `SUBSETS`, those next below evenly
    spread ones are; the smallest and the largest always. Of equal sums the one with earlier rows is kept.
    """
    sums_w, subsets = np.zeros(1), np.zeros((1, demand_w.size), np.bool_)
    for row, p_w in enumerate(demand_w.tolist()):
        larger = subsets.copy()
        larger[:, row] = True
        sums_w, subsets = np.concatenate((sums_w, sums_w + p_w)), np.vstack((subsets, larger))
        order = np.argsort(sums_w, kind="stable")
        order = order[sums_w[order] <= room_w + 1e-9]
        keep = order[np.diff(sums_w[order], prepend=-1.0) > 1e-9]
        if keep.size > SUBSETS:
            spread_w = np.linspace(0.0, sums_w[keep[-1]], SUBSETS)
            keep = keep[np.unique(np.searchsorted(sums_w[keep], spread_w + 1e-9, side="right") - 1)]
        sums_w, subsets = sums_w[keep], subsets[keep]
    return sums_w, subsets


def _energies_wh(supply: Supply) -> FloatArray:
    """Return the grid of energies, (LEVELS,): from none to the most that the storages can come to hold."""
    hours = supply.slot_s / 3_600.0
    stored_wh = supply.efficiency_pu * float(np.minimum(supply.sun_w, supply.p_charge_w).sum()) * hours
    most_wh = supply.energy_wh + min(stored_wh, supply.room_wh)
    grid: FloatArray = max(most_wh, 1.0) * np.linspace(0.0, 1.0, LEVELS) ** 2
    return grid


def _worth_ahead(choices: tuple[_Choices, ...], supply: Supply) -> FloatArray:
    """Return the most worth that can be served from each slot on with each energy, (n_slots + 1, LEVELS)."""
    grid_wh = _energies_wh(supply)
    ahead = np.zeros((len(choices) + 1, LEVELS))
    for slot in range(len(choices) - 1, -1, -1):
        one = choices[slot]
        after_wh = _after_wh(one.load_w, grid_wh[:, None], supply, slot)
        total = one.worth + np.interp(after_wh, grid_wh, ahead[slot + 1])
        ahead[slot] = np.where(after_wh >= -SLACK_WH, total, -np.inf).max(axis=1)
    return ahead


def _search(choices: tuple[_Choices, ...], ahead: FloatArray, supply: Supply) -> BoolArray:
    """Return the best plan found, bool (n_loads, n_slots)."""
    grid_wh = _energies_wh(supply)
    energy_wh, worth = np.array([supply.energy_wh]), np.zeros(1)
    steps: list[tuple[IntArray, IntArray]] = []  # (beginning that is carried on, choice) of each that is kept
    for slot, one in enumerate(choices):
        after_wh = _after_wh(one.load_w, energy_wh[:, None], supply, slot).ravel()
        total = (worth[:, None] + one.worth).ravel()
        promise = total + np.interp(after_wh, grid_wh, ahead[slot + 1])
        promise[after_wh < -SLACK_WH] = -np.inf
        kept = _most_promising(after_wh, total, promise)
        steps.append((kept // one.load_w.size, kept % one.load_w.size))
        energy_wh, worth = after_wh[kept], total[kept]
    at = int(np.argmax(worth))
    is_on = np.zeros((choices[0].is_on.shape[1], len(choices)), np.bool_)
    for slot in range(len(choices) - 1, -1, -1):
        before, choice = steps[slot]
        is_on[:, slot] = choices[slot].is_on[choice[at]]
        at = int(before[at])
    return is_on


def _most_promising(energy_wh: FloatArray, worth: FloatArray, promise: FloatArray) -> IntArray:
    """Return the rows of at most `BEAM` beginnings; none has less worth and less energy than another."""
    order = np.argsort(-promise, kind="stable")[: 4 * BEAM]
    order = order[np.isfinite(promise[order])]
    by_energy = order[np.lexsort((-worth[order], -energy_wh[order]))]
    best_so_far = np.maximum.accumulate(worth[by_energy])
    kept = by_energy[np.diff(best_so_far, prepend=-1.0) > 0]
    return kept[np.argsort(-promise[kept], kind="stable")[:BEAM]]


def _levels_wh(load_w: FloatArray, supply: Supply) -> FloatArray:
    """Return the deliverable energy at the start of each slot and at the end, (n_slots + 1,)."""
    levels = [supply.energy_wh]
    for slot in range(load_w.size):
        levels.append(float(_after_wh(load_w[slot : slot + 1], np.array([levels[-1]]), supply, slot)[0]))
    return np.array(levels)


def _after_wh(load_w: FloatArray, energy_wh: FloatArray, supply: Supply, slot: int) -> FloatArray:
    """Return the deliverable energy after a slot with this load; shapes are broadcast."""
    hours = supply.slot_s / 3_600.0
    spare_w = float(supply.sun_w[slot]) - load_w
    stored_wh = supply.efficiency_pu * np.minimum(np.maximum(spare_w, 0.0), supply.p_charge_w) * hours
    full_wh = supply.energy_wh + supply.room_wh
    return np.minimum(energy_wh + stored_wh - np.maximum(-spare_w, 0.0) * hours, full_wh)
