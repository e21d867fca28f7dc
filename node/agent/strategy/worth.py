"""What charging and discharging is worth, interval by interval: the concave steps that a plan optimises.

Seen from its terminal, a storage meets a falling staircase of prices. Discharging first avoids its owner's
own purchases, then sells to the community as far as that needs energy, then to the supplier. Charging first
forgoes sales of the owner's surplus, then takes a share of the community's surplus, then the supplier's
energy. Behind the meter, a withdrawal that is avoided also saves the levy on metered import.
"""

from dataclasses import dataclass

import numpy as np

from node.agent.strategy.outlook import Floats, Outlook
from node.agent.strategy.storages import StorageCalendar, StorageFleet

N_STEPS = 4


@dataclass(frozen=True, slots=True)
class WorthSteps:
    """Steps per interval and storage, `(n_intervals, n_storages, N_STEPS)`, of terminal energy and price.

    Attributes
    ----------
    discharge_wh, discharge_micro_per_kwh : Floats
        Energy that can be injected at each price, best price first; wear is not yet deducted.
    charge_wh, charge_micro_per_kwh : Floats
        Energy that can be withdrawn at each price, cheapest first.
    """

    discharge_wh: Floats
    discharge_micro_per_kwh: Floats
    charge_wh: Floats
    charge_micro_per_kwh: Floats


def worth_steps(fleet: StorageFleet, calendar: StorageCalendar, outlook: Outlook) -> WorthSteps:
    """Return the steps that each storage meets, given what its account expects and has already traded.

    Notes
    -----
    With account `a`, `g = net export`, `m = g - position` (what is left to sell, if positive) and `x` the
    storage's injection, the price of the next unit is

        sell price if m + x > 0 else buy price, plus levy if g + x < 0, else what of it is paid back,

    the prices being those of the account's zone, the sell price falling to the supplier's long tariff beyond the
    storage's share of its area's deficit (or its owner's own need, if larger), the buy price rising to the short
    tariff beyond its share of the surplus. Storages of an area share in proportion to the energy they can move in
    one hour. Without the shares, every storage would plan for all of the surplus and none would see how scarce
    it is. What all storages of a zone inject, or take from others' surplus, must find room on its area's edges.
    """
    hours = outlook.hours
    a = fleet.account
    own_pu, zone_pu, area_pu = _shares(fleet, outlook)
    room_pu = _power_shares(fleet, outlook.n_accounts)
    net_wh = outlook.net_export_wh[a]
    untraded_wh = net_wh - outlook.position_milli_wh[a] / 1_000.0
    zone = outlook.zone[a]
    can_discharge_wh = np.clip(
        room_pu[:, None] * (outlook.export_cap_w[a, None] * hours - net_wh),
        0.0,
        (fleet.p_discharge_max_w * hours)[:, None] * calendar.is_present,
    )
    can_charge_wh = np.clip(
        room_pu[:, None] * (outlook.import_cap_w[a, None] * hours + net_wh),
        0.0,
        (fleet.p_charge_max_w * hours)[:, None] * calendar.is_present,
    )
    own_net = (own_pu[:, None] * net_wh).T
    own_untraded = (own_pu[:, None] * untraded_wh).T
    can_discharge_wh = np.minimum(can_discharge_wh, _share_of(outlook.room_out_wh[zone], zone_pu[:, None]))
    deficit_share = _share_of(outlook.deficit_wh[zone].T, area_pu)
    surplus_share = np.minimum(
        _share_of(outlook.surplus_wh[zone].T, area_pu),
        _share_of(outlook.room_in_wh[zone].T, zone_pu[None, :]),
    )
    short, long = outlook.short_micro_per_kwh[a].T, outlook.long_micro_per_kwh[a].T
    price = outlook.price_micro_per_kwh[zone].T
    when = np.arange(outlook.n_intervals)[:, None, None]
    buy = np.clip(price + outlook.fee_micro_per_kwh, long, short)
    sell = np.clip(price - outlook.fee_micro_per_kwh, long, short)

    discharge_wh, middle = _cut(
        (-own_untraded, -own_net, np.maximum(deficit_share, -own_untraded)), can_discharge_wh.T
    )
    limit = np.maximum(deficit_share, -own_untraded)[..., None]
    market = np.where(own_untraded[..., None] + middle < 0, buy[..., None], sell[..., None])
    discharge_price = np.where(middle > limit, long[..., None], market)
    discharge_price = discharge_price + outlook.levy_at(a[None, :, None], when, own_net[..., None] + middle)

    charge_wh, middle = _cut(
        (own_untraded, own_net, np.maximum(surplus_share, own_untraded)), can_charge_wh.T
    )
    limit = np.maximum(surplus_share, own_untraded)[..., None]
    market = np.where(own_untraded[..., None] - middle < 0, buy[..., None], sell[..., None])
    charge_price = np.where(middle > limit, short[..., None], market)
    charge_price = charge_price + outlook.levy_at(a[None, :, None], when, own_net[..., None] - middle)
    return WorthSteps(discharge_wh, discharge_price, charge_wh, charge_price)


def _cut(kinks: tuple[Floats, Floats, Floats], end: Floats) -> tuple[Floats, Floats]:
    """Return lengths and middles of the `N_STEPS` pieces into which kinks cut `[0, end]`."""
    edges = np.empty((*end.shape, N_STEPS + 1))
    edges[..., 0] = 0.0
    edges[..., 1:-1] = np.stack(np.broadcast_arrays(*kinks), axis=-1)
    edges[..., -1] = end
    np.clip(edges, 0.0, end[..., None], out=edges)
    edges.sort(axis=-1)
    return np.diff(edges, axis=-1), 0.5 * (edges[..., 1:] + edges[..., :-1])


def _share_of(depth_wh: Floats, share: Floats) -> Floats:
    """Return each storage's part of its area's depth, infinite where the market is deep."""
    is_deep = np.isinf(depth_wh)
    return np.where(is_deep, np.inf, np.where(is_deep, 0.0, depth_wh) * share)


def _shares(fleet: StorageFleet, outlook: Outlook) -> tuple[Floats, Floats, Floats]:
    """Return each storage's part of its account's hourly storage movement, of its zone's, and of its area's.

    Shapes are `(n_storages,)` twice and `(n_intervals, n_storages)`.
    """
    movable_wh = np.minimum(
        np.maximum(fleet.p_charge_max_w, fleet.p_discharge_max_w), fleet.capacity_wh - fleet.reserve_wh
    )
    movable_wh = np.maximum(movable_wh, 1e-9)
    of_account = np.bincount(fleet.account, weights=movable_wh, minlength=outlook.n_accounts)
    zone = outlook.zone[fleet.account]
    n_zones, horizon = outlook.area.shape
    of_area = np.zeros((horizon, n_zones))
    for z in range(n_zones):
        of_area[np.arange(horizon), outlook.area[z]] += movable_wh[zone == z].sum()
    in_area = np.take_along_axis(of_area, outlook.area.T, axis=1)[:, zone]
    in_zone = np.bincount(zone, weights=movable_wh, minlength=n_zones)[zone]
    return movable_wh / of_account[fleet.account], movable_wh / in_zone, movable_wh[None, :] / in_area


def _power_shares(fleet: StorageFleet, n_accounts: int) -> Floats:
    """Return each storage's part of the power behind its connection: they may all act at once."""
    p_w = np.maximum(np.maximum(fleet.p_charge_max_w, fleet.p_discharge_max_w), 1e-9)
    return p_w / np.bincount(fleet.account, weights=p_w, minlength=n_accounts)[fleet.account]


def penalty_micro_per_kwh(outlook: Outlook) -> float:
    """Return the price put on energy that is owed (a trip, a reserve) and not there: ten short tariffs."""
    highest = max(
        float(outlook.short_micro_per_kwh.max(initial=0.0)),
        float(outlook.price_micro_per_kwh.max(initial=0.0)),
    )
    return 10.0 * (max(highest, 0.0) + float(outlook.levy_micro_per_kwh.max(initial=0.0))) + 1_000_000.0
