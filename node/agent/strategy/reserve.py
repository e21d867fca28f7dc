"""Reserve: what storages can hold ready for the grid, at which price, and what that leaves of them for the market.

| quantity | what it is |
|---|---|
| up | power that energy above the owner's reserve holds for the service's duration |
| down | power for whose duration there is room below full |
| price | the owner's margin, and the cost of being called for the share of time in which it is expected to be |

A storage that sold reserve keeps energy and room for it: what the service takes, its agent buys again in the next
round, like anything else below a reserve. That is how stored energy recovers: by orders, which settle.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from node.agent.strategy.errors import InvalidStorage
from node.agent.strategy.storages import Floats, StorageFleet

# Mean share of the promised power that a frequency day calls, either way: 0.03 of a linear droop with a deadband.
EXPECTED_USE_PU: Final = 0.03
# Owners keep at least half of a converter for their own market: what is held for the grid cannot trade.
MOST_OF_RATING_PU: Final = 0.5


@dataclass(frozen=True, slots=True)
class Held:
    """Reserve that storages have sold for the intervals `first..last`, arrays (n_storages,).

    Attributes
    ----------
    up_w, down_w : Floats
        Power kept free of the market, each way.
    up_wh, down_wh : Floats
        Energy and room at the terminal kept for it.
    """

    first: int
    last: int
    up_w: Floats
    down_w: Floats
    up_wh: Floats
    down_wh: Floats


@dataclass(frozen=True, slots=True)
class Recovery:
    """Levels, (n_storages,), to which energy is bought back in the intervals `first..last`; 0 where none is."""

    first: int
    last: int
    level_wh: Floats


def reserve_room_w(
    fleet: StorageFleet, energy_wh: Floats, duration_h: float, most_w: Floats, *, is_symmetric: bool
) -> Floats:
    """Return the power that each storage can offer as reserve now, (n_storages,), >= 0.

    Parameters
    ----------
    energy_wh : Floats
        Level now, above the floor, (n_storages,).
    duration_h : float
        For how long full power must be held, > 0.
    most_w : Floats
        What a unit can reach in time and its owner lets it offer, (n_storages,).
    is_symmetric : bool
        Whether it must withdraw as well as inject.

    Raises
    ------
    InvalidStorage
        If the duration is not positive.
    """
    if not duration_h > 0:
        raise InvalidStorage(f"a reserve for {duration_h} h: need more than 0")
    up_w = np.maximum(energy_wh - fleet.reserve_wh, 0.0) * fleet.discharge_efficiency_pu / duration_h
    room = np.minimum(np.minimum(up_w, MOST_OF_RATING_PU * fleet.p_discharge_max_w), most_w)
    if is_symmetric:
        down_w = np.maximum(fleet.capacity_wh - energy_wh, 0.0) / fleet.charge_efficiency_pu / duration_h
        room = np.minimum(np.minimum(room, down_w), MOST_OF_RATING_PU * fleet.p_charge_max_w)
    return np.maximum(room, 0.0)


def reserve_price_micro_per_kwh(fleet: StorageFleet, energy_price_micro_per_kwh: Floats) -> Floats:
    """Return the least price per kWh of availability, (n_storages,).

    Parameters
    ----------
    energy_price_micro_per_kwh : Floats
        What energy lost on the way through the storage costs its owner, (n_storages,).
    """
    lost_pu = 1.0 - fleet.charge_efficiency_pu * fleet.discharge_efficiency_pu
    use = EXPECTED_USE_PU * (fleet.wear_micro_per_kwh + lost_pu * energy_price_micro_per_kwh)
    return np.ceil(fleet.markup_micro_per_kwh + use)


def narrowed(fleet: StorageFleet, held: Held) -> StorageFleet:
    """Return the storages as the market may use them while a reserve is held.

    Energy for the service is added to the owner's reserve, its room is taken off the top, and its power off both
    ratings.
    """
    floor_wh = np.minimum(fleet.reserve_wh + held.up_wh / fleet.discharge_efficiency_pu, fleet.capacity_wh)
    top_wh = np.maximum(fleet.capacity_wh - held.down_wh * fleet.charge_efficiency_pu, floor_wh)
    return replace(
        fleet,
        reserve_wh=floor_wh,
        capacity_wh=np.maximum(top_wh, 1e-6),
        p_charge_max_w=np.maximum(fleet.p_charge_max_w - held.down_w, 0.0),
        p_discharge_max_w=np.maximum(fleet.p_discharge_max_w - held.up_w, 0.0),
    )


def recovering(fleet: StorageFleet, recovery: Recovery) -> StorageFleet:
    """Return the storages while they buy back what a service took: below its old level a storage must charge."""
    floor_wh = np.maximum(fleet.reserve_wh, recovery.level_wh)
    return replace(fleet, reserve_wh=np.minimum(floor_wh, fleet.capacity_wh))
