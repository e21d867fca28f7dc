"""Many storages as one battery: what they can do together, who runs, and who owes whom.

* `aggregate` states power, energy, duration and the losses of running at a power.
* `concentrate` chooses who runs: a tenth of the converters at half load loses a third of what all of them at a
  twentieth would. Fuller units discharge first and emptier ones charge first, so states of charge converge; who runs
  already goes on while its state of charge stays in the same step, so nothing hunts.
* `Loans` remembers energy that one owner's storage gave for another's need, until it is given back.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.fleet import deliverable_w
from devices.parameters import FleetParameters
from devices.state import FleetInputs, FleetState
from node.controller.errors import InvalidRequest
from node.controller.network import FloatArray, IntArray, sum_by

SECONDS_PER_HOUR = 3_600.0
# States of charge closer than this count as equal: balancing finer than that only moves energy around.
SOC_STEPS = 20
# Another unit joins when those that run would exceed their best load by half a unit: the loss is flat there.
JOIN_FROM_PU = 0.5

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class VirtualBattery:
    """What a set of storages can do together, above every owner's reserve.

    Parameters
    ----------
    p_charge_w, p_discharge_w : float
        Power all can hold for the horizon asked for, both >= 0.
    energy_wh, room_wh : float
        Energy above reserves, and energy until full, at the storages (before losses).
    duration_s : float
        How long `p_discharge_w` lasts, at least the horizon.
    """

    p_charge_w: float
    p_discharge_w: float
    energy_wh: float
    room_wh: float
    duration_s: float


def aggregate(
    params: FleetParameters, state: FleetState, inputs: FleetInputs, units: IntArray, horizon_s: float
) -> VirtualBattery:
    """Aggregate storages into one battery.

    Parameters
    ----------
    units : int64 (n_units,)
        Rows of the fleet.
    horizon_s : float
        For how long the powers have to hold, up to one hour.
    """
    low, high = deliverable_w(params, state, inputs, horizon_s)
    bottom = np.maximum(params.reserve_wh, params.floor_wh)[units]
    energy = np.maximum(state.energy_wh[units] - bottom, 0.0) * inputs.is_present[units]
    room = np.maximum(params.capacity_wh * state.capacity_factor - state.energy_wh, 0.0)[units]
    p_up = float(high[units].sum())
    # The energy at the terminal per energy stored, at this power: converter and resistance count.
    drawn_w = storage_power_w(params, units, high[units])
    lasts = float(energy.sum()) / float(drawn_w.sum()) * SECONDS_PER_HOUR if p_up > 0 else np.inf
    return VirtualBattery(
        p_charge_w=float(-low[units].sum()),
        p_discharge_w=p_up,
        energy_wh=float(energy.sum()),
        room_wh=float((room * inputs.is_present[units]).sum()),
        duration_s=max(lasts, horizon_s if p_up > 0 else 0.0),
    )


def storage_power_w(params: FleetParameters, units: IntArray, p_w: FloatArray) -> FloatArray:
    """Return the power on the storage side of the converters for terminal powers, (n_units,) W."""
    rows = np.searchsorted(np.flatnonzero(params.is_storage), units)
    fleet = params.units
    return params.converters.dc_power_w(p_w, fleet.rated_w[rows], fleet.converter[rows])


def best_load_w(params: FleetParameters) -> FloatArray:
    """Return the terminal power at which each storage's converter is most efficient, (n_devices,) W; 0 elsewhere."""
    units = params.units
    best_pu = np.zeros(units.converter.size)
    load = np.linspace(0.02, 1.0, 99)
    for converter in np.unique(units.converter):
        dc = params.converters.dc_power_w(load, np.ones(load.size), np.full(load.size, converter))
        best_pu[units.converter == converter] = load[int(np.argmax(load / dc))]
    best = np.zeros(params.n_devices)
    best[params.is_storage] = best_pu * units.rated_w
    return best


def concentrate(
    group: IntArray,
    total_w: FloatArray,
    p_min_w: FloatArray,
    p_max_w: FloatArray,
    best_w: FloatArray,
    soc_pu: FloatArray,
    is_running: BoolArray,
) -> FloatArray:
    """Share each group's power over as few of its storages as run well.

    Parameters
    ----------
    group : int64 (n_units,)
    total_w : float64 (n_groups,)
        > 0 discharges; must lie within the sums of the limits.
    p_min_w, p_max_w : float64 (n_units,)
        What each unit can do, p_min_w <= 0 <= p_max_w.
    best_w : float64 (n_units,)
        Power at which it loses least per energy.
    soc_pu : float64 (n_units,)
    is_running : bool (n_units,)

    Returns
    -------
    float64 (n_units,)
        Sums per group equal `total_w`.
    """
    is_up = total_w[group] > 0
    limit = np.where(is_up, p_max_w, -p_min_w)
    step = np.floor(soc_pu * SOC_STEPS)
    rank = np.lexsort((~is_running, np.where(is_up, -step, step), group))
    g, cap = group[rank], limit[rank]
    need = np.abs(total_w)[g]
    first = np.searchsorted(g, g)
    well = np.minimum(best_w[rank], cap)
    well_before = _before(well, first)
    cap_before = _before(cap, first)
    joins = (need > cap_before) | (need - well_before > JOIN_FROM_PU * well)
    used = np.where(joins, cap, 0.0)
    total_used = sum_by(g, used, total_w.size)
    share = np.minimum(need, total_used[g]) * used / np.where(total_used > 0, total_used, 1.0)[g]
    p_w = np.empty(group.size)
    p_w[rank] = np.where(is_up[rank], share, -share)
    return p_w


def _before(values: FloatArray, first: IntArray) -> FloatArray:
    running = np.cumsum(values) - values
    return running - running[first] if values.size else running


@dataclass(frozen=True, slots=True)
class Borrowing:
    """How a shortage is covered by others.

    Parameters
    ----------
    given_w : float64 (n_nodes,)
        What each lender's terminal gives.
    received_w : float64 (n_nodes,)
        What arrives at each borrower, after the loss on the way.
    short_w : float64 (n_nodes,)
        What is still missing.
    """

    given_w: FloatArray
    received_w: FloatArray
    short_w: FloatArray


def borrow(
    need_w: FloatArray, spare_w: FloatArray, priority: IntArray, delivery_efficiency: float
) -> Borrowing:
    """Cover needs from spare power: more important needs first, lenders in proportion to what they can spare.

    Parameters
    ----------
    need_w, spare_w : float64 (n_nodes,)
        Shortage and spare power of each node, >= 0; a node that is short itself lends nothing.
    priority : int64 (n_nodes,)
        0 is served first; equal priorities share in proportion to their needs.
    delivery_efficiency : float
        What arrives per what is given: two converters and the cable between them, in (0, 1].

    Raises
    ------
    InvalidRequest
        If a power is negative or the efficiency is none.
    """
    for name, values in (("need_w", need_w), ("spare_w", spare_w)):
        wrong = np.flatnonzero(~(values >= 0))
        if wrong.size:
            raise InvalidRequest(f"{name} of node {int(wrong[0])} is {values[wrong[0]]}: need >= 0 W")
    if not 0 < delivery_efficiency <= 1:
        raise InvalidRequest(f"delivery efficiency is {delivery_efficiency}: need > 0 and at most 1")
    spare = np.where(need_w > 0, 0.0, spare_w)
    left_w = float(spare.sum()) * delivery_efficiency
    received = np.zeros(need_w.size)
    for level in np.unique(priority[need_w > 0]):
        rows = np.flatnonzero((priority == level) & (need_w > 0))
        wanted = float(need_w[rows].sum())
        received[rows] = need_w[rows] * min(1.0, left_w / wanted)
        left_w -= min(left_w, wanted)
    given_total = float(received.sum()) / delivery_efficiency
    spare_total = float(spare.sum())
    given = spare * (given_total / spare_total) if spare_total > 0 else np.zeros(need_w.size)
    return Borrowing(given, received, need_w - received)


@dataclass(frozen=True, slots=True)
class Loans:
    """Energy that owners lent each other and have not got back.

    Parameters
    ----------
    owed_wh : float64 (n_owners, n_owners)
        `owed_wh[borrower, lender]`, >= 0: what the lender's terminals gave, losses included.
    """

    owed_wh: FloatArray

    @classmethod
    def none(cls, n_owners: int) -> "Loans":
        """Return the book before any loan."""
        return cls(np.zeros((n_owners, n_owners)))

    def lent(self, given_wh: FloatArray, received_wh: FloatArray) -> "Loans":
        """Return the book after a borrowing: each borrower owes its share of all that was given.

        Parameters
        ----------
        given_wh, received_wh : float64 (n_owners,)

        Notes
        -----
        Losses on the way are the borrowers': they owe what was given, not what arrived.
        """
        total = float(received_wh.sum())
        if total <= 0.0:
            return self
        return Loans(self.owed_wh + np.outer(received_wh / total, given_wh))

    def given_back(self, returned_wh: FloatArray) -> tuple["Loans", FloatArray]:
        """Return the book after borrowers gave energy back, and what each lender gets.

        Parameters
        ----------
        returned_wh : float64 (n_owners,)
            What arrives from each borrower; beyond what it owes nothing is taken.

        Returns
        -------
        (Loans, float64 (n_owners,))
            Each borrower's lenders get back in proportion to what they lent.
        """
        owed = self.owed_wh.sum(axis=1)
        share = np.minimum(returned_wh, owed) / np.where(owed > 0, owed, 1.0)
        paid = self.owed_wh * share[:, None]
        return Loans(self.owed_wh - paid), paid.sum(axis=0)

    def netted(self) -> "Loans":
        """Return the book with mutual loans set off against each other."""
        return Loans(np.maximum(self.owed_wh - self.owed_wh.T, 0.0))
