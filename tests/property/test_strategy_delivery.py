"""Whatever the state and prices: no order or schedule needs energy, power or a connection that is not there."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from market.units import MILLI_WH_PER_WH
from node.agent.strategy import (
    Outlook,
    StorageCalendar,
    StorageFleet,
    day_ahead_orders,
    intraday_orders,
    plan_storages,
    schedule,
    to_orders,
)

HOURS = 0.25
N_ACCOUNTS = 4
HORIZON = 10
CRUMB_WH = 1e-3


def community(seed):
    """A random community: fleet, calendar, outlook, levels."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 6))
    capacity = rng.choice([20.0, 1_000.0, 10_000.0], n) * rng.uniform(0.5, 1.5, n)
    fleet = StorageFleet(
        account=rng.integers(0, N_ACCOUNTS, n),
        capacity_wh=capacity,
        reserve_wh=capacity * rng.choice([0.0, 0.1, 0.5], n),
        p_charge_max_w=rng.uniform(0, 6_000, n),
        p_discharge_max_w=rng.choice([0.0, 1.0], n, p=[0.2, 0.8]) * rng.uniform(0, 6_000, n),
        charge_efficiency_pu=rng.uniform(0.6, 1.0, n),
        discharge_efficiency_pu=rng.uniform(0.6, 1.0, n),
        wear_micro_per_kwh=rng.choice([0.0, 40_000.0], n),
        markup_micro_per_kwh=rng.choice([0.0, 5_000.0], n),
        self_discharge_w=rng.choice([0.0, 5.0], n),
        converter_load_pu=np.array([0.02, 0.1, 1.0]),
        converter_efficiency_pu=np.tile([0.74, 0.93, 1.0], (n, 1)),
    )
    calendar = StorageCalendar.always_present(n, HORIZON)
    calendar.is_present[:] = rng.random((n, HORIZON)) < 0.9
    calendar.required_wh[:] = (rng.random((n, HORIZON)) < 0.05) * capacity[:, None]
    net = rng.normal(0, 500, (N_ACCOUNTS, HORIZON))
    low = float(rng.choice([-50_000.0, 0.0, 80_000.0]))
    outlook = Outlook.of(
        500,
        900,
        np.arange(N_ACCOUNTS) + 2,
        rng.choice([1_000.0, 30_000.0], N_ACCOUNTS),
        rng.choice([0.0, 1_000.0, 30_000.0], N_ACCOUNTS),
        np.maximum(-net, 0),
        np.maximum(net, 0),
        low + rng.uniform(0, 400_000, HORIZON),
        low,
        price_micro_per_kwh=low + rng.uniform(-100_000, 500_000, HORIZON),
        price_trust_pu=float(rng.choice([0.0, 0.25, 1.0])),
        levy_micro_per_kwh=float(rng.choice([0.0, 30_000.0])),
        fee_micro_per_kwh=float(rng.choice([0.0, 2_000.0])),
        is_deep=bool(rng.random() < 0.3),
        position_milli_wh=rng.integers(-200_000, 200_000, (N_ACCOUNTS, HORIZON)) * (rng.random() < 0.5),
    )
    return fleet, calendar, outlook, capacity * rng.uniform(0, 1, n)


def per_account(batch, is_buy, interval):
    """Energy of one side in one interval, Wh."""
    rows = (batch.is_buy == is_buy) & (batch.interval == interval)
    return (
        np.bincount(batch.account[rows] - 2, weights=batch.quantity_milli_wh[rows], minlength=N_ACCOUNTS)
        / MILLI_WH_PER_WH
    )


def assert_sound(batch, outlook, round_index):
    """Bounds that hold for every batch."""
    for order, _ in to_orders(batch, np.ones(len(batch), np.int64)):
        order.check()
    assert (batch.lane // 8 == round_index).all()
    rows, columns = batch.account - 2, batch.interval - outlook.first
    limit = batch.limit_micro_per_kwh
    assert (limit[batch.is_buy] <= outlook.short_micro_per_kwh[rows, columns][batch.is_buy]).all()
    assert (limit[~batch.is_buy] >= outlook.long_micro_per_kwh[rows, columns][~batch.is_buy]).all()
    key = np.stack([batch.account, batch.lane, batch.interval])
    assert np.unique(key, axis=1).shape[1] == len(batch)


def assert_within_connection(batch, outlook, interval):
    position = outlook.position_milli_wh[:, interval - outlook.first] / MILLI_WH_PER_WH
    sells, buys = per_account(batch, False, interval), per_account(batch, True, interval)
    assert (sells <= np.maximum(outlook.export_cap_w * HOURS - position, 0) + CRUMB_WH).all()
    assert (buys <= np.maximum(outlook.import_cap_w * HOURS + position, 0) + CRUMB_WH).all()


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_plans_keep_levels_powers_and_absences(seed):
    fleet, calendar, outlook, levels = community(seed)
    plan = plan_storages(fleet, calendar, outlook, levels)
    assert (plan.energy_wh >= -1e-6).all()
    assert (plan.energy_wh <= fleet.capacity_wh[:, None] * (1 + 1e-9)).all()
    assert (plan.power_w <= fleet.p_discharge_max_w[:, None] + 1e-6).all()
    assert (plan.power_w >= -fleet.p_charge_max_w[:, None] - 1e-6).all()
    assert not plan.power_w[~calendar.is_present].any()
    drawn = np.diff(plan.energy_wh, axis=1) < -fleet.self_discharge_w[:, None] * HOURS - 1e-6
    below = plan.energy_wh[:, 1:] < fleet.reserve_wh[:, None] - fleet.self_discharge_w[:, None] * HOURS - 1e-6
    assert not (drawn & below).any()


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_orders_never_promise_what_storage_converter_or_connection_cannot_deliver(seed):
    fleet, calendar, outlook, levels = community(seed)
    plan = plan_storages(fleet, calendar, outlook, levels)
    batch = day_ahead_orders(fleet, outlook, plan, np.arange(HORIZON))
    assert_sound(batch, outlook, 0)
    for place in range(HORIZON):
        interval = outlook.first + place
        assert_within_connection(batch, outlook, interval)
        moved = np.bincount(fleet.account, weights=plan.power_w[:, place] * HOURS, minlength=N_ACCOUNTS)
        position = outlook.position_milli_wh[:, place] / MILLI_WH_PER_WH
        gives = np.bincount(
            fleet.account, weights=np.maximum(plan.power_w[:, place], 0) * HOURS, minlength=N_ACCOUNTS
        )
        most = np.maximum(outlook.net_export_wh[:, place] + gives - position, 0)
        assert (per_account(batch, False, interval) <= most + CRUMB_WH).all()
        assert moved.shape == most.shape

    place = int(seed % HORIZON)
    present = calendar.is_present[:, place]
    now = intraday_orders(fleet, outlook, plan, place, levels, present)
    assert_sound(now, outlook, 1)
    interval = outlook.first + place
    assert_within_connection(now, outlook, interval)
    can_give = np.minimum(
        np.maximum(levels - fleet.reserve_wh, 0) * plan.discharge_efficiency_pu,
        fleet.p_discharge_max_w * HOURS,
    )
    can_give = np.bincount(fleet.account, weights=can_give * present, minlength=N_ACCOUNTS)
    position = outlook.position_milli_wh[:, place] / MILLI_WH_PER_WH
    most = np.maximum(outlook.net_export_wh[:, place] + can_give - position, 0)
    assert (per_account(now, False, interval) <= most + CRUMB_WH).all()


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_schedule_is_feasible_and_adds_up(seed):
    fleet, calendar, outlook, levels = community(seed)
    plan = plan_storages(fleet, calendar, outlook, levels)
    place = int(seed % HORIZON)
    present = calendar.is_present[:, place]
    aim = schedule(fleet, outlook, plan, place, levels, present)
    out_wh, in_wh = np.maximum(aim.power_w, 0) * HOURS, np.maximum(-aim.power_w, 0) * HOURS
    left = levels - out_wh / plan.discharge_efficiency_pu + in_wh * plan.charge_efficiency_pu
    lost = fleet.self_discharge_w * HOURS
    assert (left <= fleet.capacity_wh + lost + 1e-6).all()
    assert (left[out_wh > 0] >= fleet.reserve_wh[out_wh > 0] - 1e-6).all()
    assert (aim.power_w <= fleet.p_discharge_max_w + 1e-6).all()
    assert (aim.power_w >= -fleet.p_charge_max_w - 1e-6).all()
    assert not aim.power_w[~present].any()
    storage_wh = np.bincount(fleet.account, weights=aim.power_w * HOURS, minlength=N_ACCOUNTS)
    np.testing.assert_allclose(aim.target_export_wh, outlook.net_export_wh[:, place] + storage_wh, atol=1e-6)
    # storages never push a connection beyond its capacity (load or sun alone may)
    net_wh = outlook.net_export_wh[:, place]
    assert (aim.target_export_wh <= np.maximum(outlook.export_cap_w * HOURS, net_wh) + 1e-6).all()
    assert (aim.target_export_wh >= np.minimum(-outlook.import_cap_w * HOURS, net_wh) - 1e-6).all()
