"""Merit order of an account: at which worth it would rather export more, storage by storage.

For one account and interval, `g` is its net export. With every storage charging all it can, `g` is lowest;
each storage first stops charging (worth: the value of what it would have stored), then discharges (worth: the
value of what it gives up, plus wear). Sorted by worth these steps are the account's supply curve: what
bidding turns into orders, and what the schedule follows after the last round.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.units import MILLI_WH_PER_WH
from node.agent.strategy.outlook import Floats, Outlook
from node.agent.strategy.storage_plan import StoragePlan
from node.agent.strategy.storages import StorageFleet

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StorageRoom:
    """What each storage can or will do in some intervals, and from which worth on: `(n_storages, n_chosen)`.

    Attributes
    ----------
    must_charge_wh : Floats
        Energy that is needed whatever it costs: below the reserve, or for a departure.
    charge_wh, discharge_wh : Floats
        Energy at the terminal, both >= 0.
    charge_worth, discharge_worth : Floats
        Highest price to charge at, lowest price to discharge at, micro-credit per kWh at the terminal.
    """

    must_charge_wh: Floats
    charge_wh: Floats
    discharge_wh: Floats
    charge_worth: Floats
    discharge_worth: Floats


@dataclass(frozen=True, slots=True)
class MeritOrder:
    """Steps of all accounts and chosen intervals, sorted by (key, worth), each `(n_steps,)`.

    Attributes
    ----------
    key : Ints
        Account row times number of chosen intervals plus the interval's place among them.
    worth : Floats
        Price from which on the account takes this step, micro-credit per kWh, levy not deducted.
    low_wh, high_wh : Floats
        Net export before and after the step.
    storage : Ints
        Row of the storage that makes the step.
    is_charge : NDArray[np.bool_]
        Whether the step is to stop charging (else: to discharge).
    lowest_wh, highest_wh : Floats
        Net export with all storages charging, and with all discharging, `(n_keys,)`.
    """

    key: Ints
    worth: Floats
    low_wh: Floats
    high_wh: Floats
    storage: Ints
    is_charge: NDArray[np.bool_]
    lowest_wh: Floats
    highest_wh: Floats


def planned_room(fleet: StorageFleet, plan: StoragePlan, places: Ints) -> StorageRoom:
    """Return what the plan moves in the intervals `places` (n_chosen,) of its horizon.

    Whatever of it is traded, the storage can deliver: the plan keeps levels, powers and reserve, and energy
    that the market does not give in time comes from the supplier.
    """
    energy_wh = plan.power_w[:, places] * plan.hours
    before, after = plan.energy_wh[:, places], plan.energy_wh[:, places + 1]
    low, high = np.minimum(before, after), np.maximum(before, after)
    worth = np.stack(
        [plan.value.mean_between(int(k) + 1, low[:, i], high[:, i]) for i, k in enumerate(places)], axis=1
    )
    nothing = np.zeros_like(energy_wh)
    return _room(fleet, plan, nothing, np.maximum(-energy_wh, 0.0), np.maximum(energy_wh, 0.0), worth, worth)


def deliverable_room(
    fleet: StorageFleet,
    plan: StoragePlan,
    outlook: Outlook,
    place: int,
    energy_wh: Floats,
    is_present: NDArray[np.bool_],
    n_intervals: int = 1,
) -> StorageRoom:
    """Return all that storages can do in one interval that they start with `energy_wh` (n_storages,).

    `place` counts from the start of the outlook, which may be newer than the plan but not beyond it.
    Energy worth more than the supplier's short tariff is not on offer, and charging stops where stored
    energy is worth less than the long tariff; both are priced at their mean worth. What has to last for several
    intervals (`n_intervals`) is shared among them.
    """
    eta_in, eta_out = plan.charge_efficiency_pu, plan.discharge_efficiency_pu
    owner, hours = fleet.account, plan.hours
    after = outlook.first + place - plan.first + 1
    drain_wh = fleet.self_discharge_w * hours * n_intervals
    short = outlook.short_micro_per_kwh[owner, place] + outlook.levy_micro_per_kwh[owner, place]
    long = outlook.long_micro_per_kwh[owner, place] + outlook.levy_back_micro_per_kwh[owner, place]
    never_sold = plan.value.level_worth(
        after, (short - fleet.wear_micro_per_kwh - fleet.markup_micro_per_kwh) * eta_out
    )
    floor_wh = np.maximum(np.maximum(fleet.reserve_wh, never_sold), 0.0)
    ceiling_wh = np.minimum(
        fleet.capacity_wh, plan.value.level_worth(after, (long + fleet.markup_micro_per_kwh) / eta_in)
    )
    given_wh = np.minimum(
        np.maximum(energy_wh - drain_wh - floor_wh, 0.0) / n_intervals,
        fleet.p_discharge_max_w * hours / eta_out,
    )
    taken_wh = np.minimum(
        np.maximum(ceiling_wh - energy_wh + drain_wh, 0.0) / n_intervals,
        fleet.p_charge_max_w * hours * eta_in,
    )
    given_wh, taken_wh = given_wh * is_present, taken_wh * is_present
    needed = plan.value.level_worth(after, (short + fleet.markup_micro_per_kwh) / eta_in)
    needed_wh = np.maximum(fleet.reserve_wh, needed) - energy_wh + drain_wh
    must_wh = np.clip(needed_wh / n_intervals, 0.0, taken_wh)
    value_out = plan.value.mean_between(after, energy_wh - n_intervals * given_wh, energy_wh)
    value_in = plan.value.mean_between(
        after, energy_wh + n_intervals * must_wh, energy_wh + n_intervals * taken_wh
    )
    net_wh = outlook.net_export_wh[owner, place]
    p_w = np.maximum(np.maximum(fleet.p_charge_max_w, fleet.p_discharge_max_w), 1e-9)
    share = p_w / np.bincount(owner, weights=p_w, minlength=outlook.n_accounts)[owner]
    discharge_wh = np.minimum(
        given_wh * eta_out, np.maximum(share * (outlook.export_cap_w[owner] * hours - net_wh), 0.0)
    )
    charge_wh = np.minimum(
        taken_wh / eta_in, np.maximum(share * (outlook.import_cap_w[owner] * hours + net_wh), 0.0)
    )
    must_charge_wh = np.minimum(must_wh / eta_in, charge_wh)
    columns = (must_charge_wh, charge_wh - must_charge_wh, discharge_wh, value_in, value_out)
    return _room(fleet, plan, *(column[:, None] for column in columns))


def _room(
    fleet: StorageFleet,
    plan: StoragePlan,
    must_charge_wh: Floats,
    charge_wh: Floats,
    discharge_wh: Floats,
    value_in: Floats,
    value_out: Floats,
) -> StorageRoom:
    """Price stored energy at the terminal: value * eta - markup in, value / eta + wear + markup out."""
    markup = fleet.markup_micro_per_kwh[:, None]
    charge_worth = value_in * plan.charge_efficiency_pu[:, None] - markup
    discharge_worth = (
        value_out / plan.discharge_efficiency_pu[:, None] + fleet.wear_micro_per_kwh[:, None] + markup
    )
    return StorageRoom(
        must_charge_wh, charge_wh, discharge_wh, charge_worth, np.maximum(discharge_worth, charge_worth)
    )


def merit_order(fleet: StorageFleet, outlook: Outlook, places: Ints, room: StorageRoom) -> MeritOrder:
    """Sort the storages' steps of every account and chosen interval by worth."""
    n_chosen = places.size
    key = (fleet.account[:, None] * n_chosen + np.arange(n_chosen)[None, :]).ravel()
    always = np.full(key.size, np.inf)
    is_charge = np.repeat([True, True, False], key.size)
    storage = np.tile(np.repeat(np.arange(len(fleet)), n_chosen), 3)
    key = np.tile(key, 3)
    length = np.concatenate([room.must_charge_wh.ravel(), room.charge_wh.ravel(), room.discharge_wh.ravel()])
    worth = np.concatenate([always, room.charge_worth.ravel(), room.discharge_worth.ravel()])
    keep = length > 0
    order = np.flatnonzero(keep)[np.lexsort((storage[keep], ~is_charge[keep], worth[keep], key[keep]))]
    key, storage, is_charge = key[order], storage[order], is_charge[order]
    length, worth = length[order], worth[order]
    n_keys = outlook.n_accounts * n_chosen
    before_wh = outlook.net_export_wh[:, places].ravel()
    lowest = before_wh - np.bincount(key, weights=length * is_charge, minlength=n_keys)
    total = np.bincount(key, weights=length, minlength=n_keys)
    running = np.cumsum(length)
    first = np.searchsorted(key, np.arange(n_keys))
    start = np.concatenate([[0.0], running])[first]
    high = lowest[key] + running - start[key]
    return MeritOrder(key, worth, high - length, high, storage, is_charge, lowest, lowest + total)


def position_wh(outlook: Outlook, places: Ints) -> Floats:
    """Return what each account has sold minus bought in the chosen intervals, `(n_keys,)`."""
    return outlook.position_milli_wh[:, places].ravel() / MILLI_WH_PER_WH
