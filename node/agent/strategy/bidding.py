"""Bidding: turn an account's merit order into signed-to-be orders on a few lanes.

The account's supply curve is cut at its position (left of it the account buys, right of it it sells) and
at zero net export (an import pays the levy, whoever sold the energy, so it is worth that much less; a storage
that gets levies back on what it feeds back asks for that much less).
What no storage can move is bid just below the supplier's short tariff as far as it is surely needed (see `doubt`),
or offered just above the long one.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from market.orders import Order, Source
from market.units import MILLI_WH_PER_WH
from node.agent.strategy.doubt import worth_bidding
from node.agent.strategy.errors import InvalidOutlook
from node.agent.strategy.merit import MeritOrder, deliverable_room, merit_order, planned_room, position_wh
from node.agent.strategy.outlook import Floats, Outlook
from node.agent.strategy.storage_plan import StoragePlan
from node.agent.strategy.storages import StorageFleet

Ints = NDArray[np.int64]

_SOURCES = tuple(Source)
LANES_PER_SIDE = 4
LANES_PER_ROUND = 2 * LANES_PER_SIDE
# Share of the supplier's spread by which loads undercut its short tariff, and surplus its long one: what the
# market must at least save to be worth an order.
EDGE_PU = 0.01
# Orders smaller than this are left to imbalance: a watt-hour at 0.30 is 0.0003 credits, less than the gas.
MIN_QUANTITY_MILLI_WH = 1_000


@dataclass(frozen=True, slots=True)
class OrderBatch:
    """Orders of one round, sorted by (account, interval, lane), each `(n_orders,)`.

    Attributes
    ----------
    account, lane, interval, quantity_milli_wh, limit_micro_per_kwh : Ints
        As in `market.orders.Order`; the limit is all-in.
    is_buy : NDArray[np.bool_]
        Side.
    source : Ints
        `market.orders.Source` that an offer delivers from; ANY for bids, and for what comes from several.
    """

    account: Ints
    lane: Ints
    is_buy: NDArray[np.bool_]
    interval: Ints
    quantity_milli_wh: Ints
    limit_micro_per_kwh: Ints
    source: Ints

    def __len__(self) -> int:
        return int(self.account.size)


def day_ahead_orders(
    fleet: StorageFleet,
    outlook: Outlook,
    plan: StoragePlan,
    places: Ints,
    min_quantity_milli_wh: int = MIN_QUANTITY_MILLI_WH,
) -> OrderBatch:
    """Return the orders of round 0: forecasts and planned storage moves of the intervals `places`.

    Parameters
    ----------
    places : Ints
        Intervals to trade, counted from the start of the outlook, `(n_chosen,)`.

    Raises
    ------
    InvalidOutlook
        If a place lies outside outlook or plan, or they do not start together.
    """
    if plan.first != outlook.first:
        raise InvalidOutlook(
            f"outlook starts at interval {outlook.first}, plan at {plan.first}: need the same"
        )
    _check_places(outlook, plan, places)
    room = planned_room(fleet, plan, places)
    merit = merit_order(fleet, outlook, places, room)
    return _orders(outlook, places, merit, 0, min_quantity_milli_wh)


def intraday_orders(
    fleet: StorageFleet,
    outlook: Outlook,
    plan: StoragePlan,
    place: int,
    energy_wh: Floats,
    is_present: NDArray[np.bool_],
    round_index: int = 1,
    min_quantity_milli_wh: int = MIN_QUANTITY_MILLI_WH,
    n_intervals: int = 1,
) -> OrderBatch:
    """Return the orders of a later round of one interval: all that is still untraded, on that round's lanes.

    Parameters
    ----------
    place : int
        The interval, counted from the start of the outlook; its positions must be up to date.
    energy_wh : Floats
        Level that each storage will have when the interval starts, `(n_storages,)`.
    is_present : NDArray[np.bool_]
        Whether it is plugged in for the whole interval.
    round_index : int
        1 to 3: chooses the lanes.
    n_intervals : int
        For how many intervals, this one among them, storages have to keep up what they offer.

    Raises
    ------
    InvalidOutlook
        If the place lies outside outlook or plan, or the round has no lanes.
    """
    if not 1 <= round_index <= 3:
        raise InvalidOutlook(f"round_index is {round_index}: need 1..3, round 0 is day_ahead_orders")
    places = np.array([place], dtype=np.int64)
    _check_places(outlook, plan, places)
    room = deliverable_room(fleet, plan, outlook, place, energy_wh, is_present, n_intervals)
    merit = merit_order(fleet, outlook, places, room)
    return _orders(outlook, places, merit, round_index, min_quantity_milli_wh)


def to_orders(batch: OrderBatch, epoch: Ints) -> list[tuple[Order, Source]]:
    """Return orders and what they deliver from; neighbours that differ only in time become one order.

    Parameters
    ----------
    epoch : Ints
        Key epoch of each order's account, `(n_orders,)`.
    """
    order = np.lexsort((batch.interval, batch.lane, batch.account))
    columns = [
        values[order]
        for values in (
            batch.account,
            epoch,
            batch.is_buy,
            batch.lane,
            batch.quantity_milli_wh,
            batch.limit_micro_per_kwh,
            batch.source,
        )
    ]
    interval = batch.interval[order]
    is_new = np.ones(interval.size, dtype=bool)
    if interval.size:
        is_new[1:] = np.diff(interval) != 1
        for values in columns:
            is_new[1:] |= values[1:] != values[:-1]
    first = np.flatnonzero(is_new)
    last = np.append(first[1:], interval.size) - 1
    return [
        (Order(account, epoch_, is_buy, lane, start, end, quantity, limit), _SOURCES[source])
        for account, epoch_, is_buy, lane, quantity, limit, source, start, end in zip(
            *(values[first].tolist() for values in columns),
            interval[first].tolist(),
            interval[last].tolist(),
            strict=True,
        )
    ]


def _orders(
    outlook: Outlook, places: Ints, merit: MeritOrder, round_index: int, min_milli_wh: int
) -> OrderBatch:
    """Cut the merit order at position and zero export, price the pieces, number the lanes."""
    n_chosen = places.size
    position = position_wh(outlook, places)
    rows = np.repeat(np.arange(outlook.n_accounts), n_chosen)
    columns = np.tile(places, outlook.n_accounts)
    import_cap = -outlook.import_cap_w[rows] * outlook.hours
    export_cap = outlook.export_cap_w[rows] * outlook.hours
    short = outlook.short_micro_per_kwh[rows, columns]
    long = outlook.long_micro_per_kwh[rows, columns]
    edge = EDGE_PU * (short - long)

    must = np.arange(position.size)
    lowest = np.clip(merit.lowest_wh, import_cap, export_cap)
    highest = np.clip(merit.highest_wh, import_cap, export_cap)
    step_low = np.clip(merit.low_wh, import_cap[merit.key], export_cap[merit.key])
    step_high = np.clip(merit.high_wh, import_cap[merit.key], export_cap[merit.key])
    low_cut, high_cut = np.minimum(position, 0.0)[merit.key], np.maximum(position, 0.0)[merit.key]
    cuts = [
        step_low,
        np.clip(low_cut, step_low, step_high),
        np.clip(high_cut, step_low, step_high),
        step_high,
    ]
    need, need_limit = worth_bidding(outlook, rows, columns, highest, position, short - edge)
    # What is left over while all storages charge is sun; so is what they leave by not charging.
    is_surplus = position >= 0
    keys, quantities, limits, sides, sources = (
        [must, must],
        [position - need, lowest - position],
        [need_limit, long + edge],
        [True, False],
        [np.zeros(must.size, np.int64), np.where(is_surplus, int(Source.SOLAR), int(Source.ANY))],
    )
    for low, high in pairwise(cuts):
        middle = 0.5 * (low + high)
        worth = merit.worth - outlook.levy_at(rows[merit.key], columns[merit.key], middle)
        is_buy = middle < position[merit.key]
        delivered = np.where(merit.is_charge, int(Source.SOLAR), int(Source.STORAGE))
        delivered = np.where(middle > 0, delivered, int(Source.ANY))
        for side in (True, False):
            keys.append(merit.key)
            quantities.append(np.where(is_buy == side, high - low, 0.0))
            limits.append(worth)
            sides.append(side)
            sources.append(np.where(side, int(Source.ANY), delivered))
    key = np.concatenate(keys)
    quantity = np.concatenate(quantities)
    source = np.concatenate(sources)
    limit = np.concatenate(limits)
    is_buy = np.repeat(np.array(sides), [k.size for k in keys])
    # No one sells below the long tariff or buys above the short one, so such orders could never fill.
    can_fill = np.where(is_buy, limit > long[key], limit < short[key])
    keep = (quantity * MILLI_WH_PER_WH >= min_milli_wh) & can_fill
    key, quantity, limit = key[keep], quantity[keep], limit[keep]
    is_buy, source = is_buy[keep], source[keep]
    limit = np.where(is_buy, np.minimum(limit, (short - edge)[key]), np.maximum(limit, (long + edge)[key]))
    return _on_lanes(outlook, places, key, quantity, limit, is_buy, source, round_index)


def _on_lanes(
    outlook: Outlook,
    places: Ints,
    key: Ints,
    quantity_wh: Floats,
    limit: Floats,
    is_buy: NDArray[np.bool_],
    source: Ints,
    round_index: int,
) -> OrderBatch:
    """Number pieces of each account, interval and side by eagerness; merge what has no lane of its own."""
    # Nobody buys dearer or sells cheaper than the limit by rounding it.
    limit_micro = np.where(is_buy, np.floor(limit), np.ceil(limit)).astype(np.int64)
    order = np.lexsort((np.where(is_buy, -limit_micro, limit_micro), ~is_buy, key))
    group, limit_micro = (2 * key + ~is_buy)[order], limit_micro[order]
    milli_wh = np.floor(quantity_wh[order] * MILLI_WH_PER_WH + 1e-6).astype(np.int64)
    is_first, is_new = np.ones(group.size, dtype=bool), np.ones(group.size, dtype=bool)
    is_first[1:] = group[1:] != group[:-1]
    is_new[1:] = is_first[1:] | (limit_micro[1:] != limit_micro[:-1])
    number = np.cumsum(is_new)
    rank = number - number[np.maximum.accumulate(np.where(is_first, np.arange(group.size), 0))]
    rank = np.minimum(rank, LANES_PER_SIDE - 1)
    slot = group * LANES_PER_SIDE + rank
    first = (
        np.flatnonzero(np.append(True, slot[1:] != slot[:-1])) if slot.size else np.empty(0, dtype=np.int64)
    )
    # The least eager limit of a merged lane is the one that no part of it loses by.
    last = np.append(first[1:], slot.size) - 1
    lowest, highest = (
        f.reduceat(source[order], first) if first.size else first for f in (np.minimum, np.maximum)
    )
    chosen = key[order][first]
    side = is_buy[order][first]
    lane = round_index * LANES_PER_ROUND + np.where(side, 0, LANES_PER_SIDE) + rank[first]
    return OrderBatch(
        account=outlook.account[chosen // places.size],
        lane=lane,
        is_buy=side,
        interval=outlook.first + places[chosen % places.size],
        quantity_milli_wh=np.add.reduceat(milli_wh, first) if first.size else np.empty(0, dtype=np.int64),
        limit_micro_per_kwh=limit_micro[last] if first.size else np.empty(0, dtype=np.int64),
        source=np.where(lowest == highest, lowest, int(Source.ANY)),
    )


def _check_places(outlook: Outlook, plan: StoragePlan, places: Ints) -> None:
    offset = outlook.first - plan.first
    if places.size == 0 or places.min() < 0 or places.max() >= outlook.n_intervals:
        raise InvalidOutlook(
            f"places {places.tolist()[:4]}...: need places of the outlook, 0..{outlook.n_intervals - 1}"
        )
    if offset < 0 or places.max() + offset >= plan.n_intervals:
        raise InvalidOutlook(
            f"interval {outlook.first + int(places.max())} is not in the plan, "
            f"{plan.first}..{plan.first + plan.n_intervals - 1}: plan again"
        )
