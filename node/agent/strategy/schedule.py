"""Schedule: after the last round, decide what to do about what the market left open.

Every step of the account's merit order that is worth less than what the supplier charges for the shortfall
it avoids, or pays for the surplus it makes, is taken; the rest is deliberately left to the supplier.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from node.agent.strategy.merit import deliverable_room, merit_order, position_wh
from node.agent.strategy.outlook import Floats, Outlook
from node.agent.strategy.storage_plan import StoragePlan
from node.agent.strategy.storages import StorageFleet


@dataclass(frozen=True, slots=True)
class Schedule:
    """Targets of one interval.

    Attributes
    ----------
    target_export_wh : Floats
        Net export that each account aims at, `(n_accounts,)`.
    left_to_supplier_wh : Floats
        Target minus position: what the account means to settle as imbalance, `(n_accounts,)`.
    power_w : Floats
        Mean power planned per storage, > 0 injects, `(n_storages,)`.
    """

    target_export_wh: Floats
    left_to_supplier_wh: Floats
    power_w: Floats


def schedule(
    fleet: StorageFleet,
    outlook: Outlook,
    plan: StoragePlan,
    place: int,
    energy_wh: Floats,
    is_present: NDArray[np.bool_],
) -> Schedule:
    """Return the targets of the interval at `place` of the outlook, whose positions are final.

    Parameters
    ----------
    energy_wh : Floats
        Level that each storage will have when the interval starts, `(n_storages,)`.
    is_present : NDArray[np.bool_]
        Whether it is plugged in for the whole interval.
    """
    places = np.array([place], dtype=np.int64)
    room = deliverable_room(fleet, plan, outlook, place, energy_wh, is_present)
    merit = merit_order(fleet, outlook, places, room)
    position = position_wh(outlook, places)
    owner = merit.key
    cuts = (
        merit.low_wh,
        np.clip(np.minimum(position, 0.0)[owner], merit.low_wh, merit.high_wh),
        np.clip(np.maximum(position, 0.0)[owner], merit.low_wh, merit.high_wh),
        merit.high_wh,
    )
    taken_wh = np.zeros_like(merit.worth)
    for low, high in pairwise(cuts):
        middle = 0.5 * (low + high)
        supplier = np.where(
            middle < position[owner],
            outlook.short_micro_per_kwh[owner, place],
            outlook.long_micro_per_kwh[owner, place],
        )
        levy = outlook.levy_at(owner, place, middle)
        taken_wh += np.where(merit.worth < supplier + levy, high - low, 0.0)
    net_wh = merit.lowest_wh + np.bincount(owner, weights=taken_wh, minlength=outlook.n_accounts)
    # A charge step that is not taken is charging; a discharge step that is taken is discharging.
    moved_wh = np.where(merit.is_charge, taken_wh - (merit.high_wh - merit.low_wh), taken_wh)
    power_w = np.bincount(merit.storage, weights=moved_wh, minlength=len(fleet)) / outlook.hours
    return Schedule(net_wh, net_wh - position, power_w)
