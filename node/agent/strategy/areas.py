"""Areas of one price: what to expect of zones on a network of limited capacities, before anybody has traded.

Surplus and deficit of a zone's subtree flow to its parent as far as the edge carries. Where it carries all, the
subtree belongs to its parent's area and differs in price only by the grid fee of the edge; where it does not, the
subtree is an area of its own, whose long side sets the price.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.network_auction_tree import MarketTree, lay_out
from market.units import MILLI_WH_PER_WH

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Width of the zone in which an area counts as balanced, relative to its load plus solar: forecasts of single
# intervals are not better than that (seasonal-naive errors of aggregated homes are 10 to 20 %).
BALANCED_ZONE_PU = 0.1


@dataclass(frozen=True, slots=True)
class Areas:
    """Expectations by zone, all `(n_zones, n_intervals)`.

    Attributes
    ----------
    price_micro_per_kwh : Floats
        Net clearing price to expect.
    surplus_wh, deficit_wh : Floats
        How much the storages of the zone's area together can buy, and sell, at about that price.
    room_in_wh, room_out_wh : Floats
        How much more can be withdrawn and injected in the zone before an edge of its area is full.
    kept_pu : Floats
        Share of what a seller in the zone sends out that the network takes; the rest is curtailed.
    area : Ints
        The area to which the zone belongs, named by its topmost zone.
    """

    price_micro_per_kwh: Floats
    surplus_wh: Floats
    deficit_wh: Floats
    room_in_wh: Floats
    room_out_wh: Floats
    kept_pu: Floats
    area: Ints


def expect(net_wh: Floats, gross_wh: Floats, short: Floats, long: Floats, tree: MarketTree | None) -> Areas:
    """Return what to expect of every zone.

    Parameters
    ----------
    net_wh, gross_wh : Floats
        Expected net export, and load plus solar, of each zone, `(n_zones, n_intervals)`.
    short, long : Floats
        The supplier's tariffs in each zone, `(n_zones, n_intervals)`.
    tree : MarketTree | None
        Zones as nodes with capacities and fees; None where there is one zone.

    Notes
    -----
    In a uniform-price auction the long side of the market sets the price: surplus pushes it to what the supplier
    pays, deficit to what the supplier charges. Between the two it moves linearly over a zone of
    `BALANCED_ZONE_PU` around balance. An edge that is too small by so much as that has parted its ends entirely;
    in between the subtree's price moves from its parent's to that of an area of its own. What nothing takes is
    curtailed from all who send in equal parts, so behind a full edge a seller cannot count on all of what the
    supplier pays: its worth there is the long tariff times the share that goes through.
    """
    if tree is None:
        price = _scarce(net_wh, gross_wh, short, long)
        deep = np.full_like(net_wh, np.inf)
        area = np.zeros(net_wh.shape, np.int64)
        return Areas(
            price, np.maximum(net_wh, 0.0), np.maximum(-net_wh, 0.0), deep, deep, np.ones_like(net_wh), area
        )
    layout = lay_out(tree.parent)
    order = layout.node_at.tolist()  # parents stand before their children
    above = tree.parent.tolist()
    import_wh, export_wh = (
        tree.import_cap_milli_wh / MILLI_WH_PER_WH,
        tree.export_cap_milli_wh / MILLI_WH_PER_WH,
    )
    root = order[0]
    # What each subtree holds once its children have sent up what their edges carry.
    inside, around = net_wh.copy(), gross_wh.copy()
    excess = np.zeros_like(net_wh)
    for zone in reversed(order[1:]):
        sent = np.clip(inside[zone], -import_wh[zone], export_wh[zone])
        excess[zone] = inside[zone] - sent
        inside[above[zone]] += sent
        around[above[zone]] += around[zone]
    price = np.empty_like(net_wh)
    depth = np.empty_like(net_wh)
    kept = np.ones_like(net_wh)
    room_in, room_out = np.empty_like(net_wh), np.empty_like(net_wh)
    room_in[root] = np.maximum(import_wh[root] + inside[root], 0.0)
    room_out[root] = np.maximum(export_wh[root] - inside[root], 0.0)
    area = np.empty(net_wh.shape, np.int64)
    kept[root] = _kept(inside[root], np.minimum(inside[root], export_wh[root]))
    price[root] = _scarce(inside[root], around[root], short[root], long[root] * kept[root])
    depth[root], area[root] = inside[root], root
    for zone in order[1:]:
        parent = above[zone]
        fee = float(tree.fee_micro_per_kwh[zone])
        joined = np.clip(price[parent] - fee * np.sign(inside[zone]), long[zone] * kept[parent], short[zone])
        apart = np.minimum(np.abs(excess[zone]) / np.maximum(around[zone] * BALANCED_ZONE_PU, 1e-9), 1.0)
        kept[zone] = np.where(
            inside[zone] > 0, kept[parent] * _kept(inside[zone], inside[zone] - excess[zone]), 1.0
        )
        own = np.where(excess[zone] > 0, long[zone] * kept[zone], short[zone])
        price[zone] = joined + (own - joined) * apart
        is_parted = excess[zone] != 0
        depth[zone] = np.where(is_parted, inside[zone], depth[parent])
        area[zone] = np.where(is_parted, zone, area[parent])
        into = np.maximum(import_wh[zone] + inside[zone], 0.0)
        out = np.maximum(export_wh[zone] - inside[zone], 0.0)
        room_in[zone] = np.where(is_parted, into, np.minimum(room_in[parent], into))
        room_out[zone] = np.where(is_parted, out, np.minimum(room_out[parent], out))
    return Areas(price, np.maximum(depth, 0.0), np.maximum(-depth, 0.0), room_in, room_out, kept, area)


def _kept(surplus_wh: Floats, taken_wh: Floats) -> Floats:
    """Return which share of a surplus is taken; all where there is none."""
    is_some = surplus_wh > 0
    return np.where(is_some, taken_wh / np.where(is_some, surplus_wh, 1.0), 1.0)


def _scarce(net_wh: Floats, gross_wh: Floats, short: Floats, long: Floats) -> Floats:
    """Return the price of an area by how scarce energy is in it."""
    zone = np.maximum(gross_wh * BALANCED_ZONE_PU, 1e-9)
    scarcity = np.clip(0.5 - net_wh / (2 * zone), 0.0, 1.0)
    price: Floats = long + (short - long) * scarcity
    return price
