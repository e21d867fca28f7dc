"""Orders for timeslots: what an account would order interval by interval, as one quantity and limit for each run."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np

from market.orders import Source
from node.agent.strategy.bidding import MIN_QUANTITY_MILLI_WH, OrderBatch


def in_timeslots(
    batch: OrderBatch, slot_of: Callable[[int], range], min_quantity_milli_wh: int = MIN_QUANTITY_MILLI_WH
) -> OrderBatch:
    """Return the batch with one quantity and limit for all intervals of each timeslot, by account and lane.

    Parameters
    ----------
    slot_of : Callable[[int], range]
        The timeslot of an interval; the batch has either all of its intervals or none.

    Notes
    -----
    The quantity is the mean over the timeslot: the energy stays the same, and what differs inside is calm, or the
    timeslot would be shorter. The limit is the least eager of the run: nobody pays more, or gets less, than in any of
    its intervals. An offer says what it delivers from only where all of the run does.
    """
    if not len(batch):
        return batch
    slots = [slot_of(interval) for interval in batch.interval.tolist()]
    start = np.array([slot.start for slot in slots], np.int64)
    length = np.array([len(slot) for slot in slots], np.int64)
    if np.all(length == 1):
        return batch
    order = np.lexsort((start, batch.lane, batch.account))
    keys = np.stack([batch.account, batch.lane, start])[:, order]
    first = np.flatnonzero(np.r_[True, np.any(np.diff(keys, axis=1) != 0, axis=0)])
    quantity = np.add.reduceat(batch.quantity_milli_wh[order], first) // length[order][first]
    limits, is_buy = batch.limit_micro_per_kwh[order], batch.is_buy[order][first]
    limit = np.where(is_buy, np.minimum.reduceat(limits, first), np.maximum.reduceat(limits, first))
    lowest, highest = (f.reduceat(batch.source[order], first) for f in (np.minimum, np.maximum))
    source = np.where(lowest == highest, lowest, int(Source.ANY))
    keep = quantity >= min_quantity_milli_wh
    rows, runs = order[first][keep], length[order][first][keep]
    many = np.repeat(np.arange(rows.size), runs)
    within = np.arange(many.size) - np.repeat(np.cumsum(runs) - runs, runs)
    return replace(
        batch,
        account=batch.account[rows][many],
        lane=batch.lane[rows][many],
        is_buy=is_buy[keep][many],
        interval=start[rows][many] + within,
        quantity_milli_wh=quantity[keep][many],
        limit_micro_per_kwh=limit[keep][many],
        source=source[keep][many],
    )


def joined(batches: list[OrderBatch]) -> OrderBatch:
    """Return several batches as one; at least one."""
    return OrderBatch(
        **{f.name: np.concatenate([getattr(batch, f.name) for batch in batches]) for f in fields(OrderBatch)}
    )
