"""Orders for timeslots keep the energy of what they join, and nobody loses by a limit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.orders import Source
from node.agent.strategy import to_orders
from node.agent.strategy.bidding import OrderBatch
from node.agent.strategy.timeslot_orders import in_timeslots, joined

SLOTS = {i: range(i // 4 * 4, i // 4 * 4 + 4) for i in range(400, 440)}


def batch(rows):
    account, lane, is_buy, interval, quantity, limit = (np.array(c) for c in zip(*rows, strict=True))
    return OrderBatch(
        account=account,
        lane=lane,
        is_buy=is_buy.astype(bool),
        interval=interval,
        quantity_milli_wh=quantity,
        limit_micro_per_kwh=limit,
        source=np.full(account.size, int(Source.ANY)),
    )


def rows(b):
    columns = (b.account, b.lane, b.is_buy, b.interval, b.quantity_milli_wh, b.limit_micro_per_kwh)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def test_a_run_becomes_one_order_with_mean_quantity_and_the_least_eager_limit():
    given_rows = [(2, 0, True, 400 + k, 1_000_000 + 1_000 * k, 200_000 + k) for k in range(4)]
    given_rows += [(2, 4, False, 400 + k, 2_000_000, 300_000 + k) for k in range(4)]
    slotted = in_timeslots(batch(given_rows), SLOTS.__getitem__)
    orders = to_orders(slotted, np.ones(len(slotted), np.int64))
    assert [
        (o.lane, o.is_buy, o.first, o.last, o.quantity_milli_wh, o.limit_micro_per_kwh) for o, _ in orders
    ] == [
        (0, True, 400, 403, 1_001_500, 200_000),
        (4, False, 400, 403, 2_000_000, 300_003),
    ]


def test_what_is_wanted_in_a_part_is_spread_over_the_whole():
    slotted = in_timeslots(batch([(2, 0, True, 401, 4_000_000, 100)]), SLOTS.__getitem__)
    assert rows(slotted) == [(2, 0, True, 400 + k, 1_000_000, 100) for k in range(4)]


def test_crumbs_are_not_ordered_and_single_intervals_stay_as_they_are():
    assert not len(in_timeslots(batch([(2, 0, True, 401, 3_000, 100)]), SLOTS.__getitem__))
    alone = batch([(2, 0, True, 401, 3_000, 100)])
    assert in_timeslots(alone, lambda i: range(i, i + 1)) is alone


@given(st.integers(0, 10**6))
def test_energy_is_kept_but_for_rounding(seed):
    rng = np.random.default_rng(seed)
    made = [
        (account, lane, lane < 4, interval, int(rng.integers(4_000, 10**7)), int(rng.integers(1, 10**6)))
        for account in (2, 3)
        for lane in (0, 1, 4)
        for interval in range(400, 412)
        if rng.random() < 0.8
    ]
    if not made:
        return
    slotted = in_timeslots(batch(made), SLOTS.__getitem__)
    for account in (2, 3):
        for lane in (0, 1, 4):
            before = sum(r[4] for r in made if r[:2] == (account, lane))
            after = sum(r[4] for r in rows(slotted) if r[:2] == (account, lane))
            # Three timeslots, each rounded down by less than its four intervals.
            assert before - 3 * 4 < after <= before
    by_cell = {(r[0], r[1], r[3]): r for r in made}
    for account, lane, is_buy, interval, _, limit in rows(slotted):
        own = by_cell.get((account, lane, interval))
        assert own is None or (limit <= own[5] if is_buy else limit >= own[5])


def test_batches_are_joined_in_order():
    one, two = batch([(2, 0, True, 400, 5, 6)]), batch([(3, 4, False, 401, 7, 8)])
    assert rows(joined([one, two])) == rows(one) + rows(two)
