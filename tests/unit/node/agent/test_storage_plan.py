"""Plans against an independent programme, closed forms and the owner's conditions."""

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, milp

from node.agent.strategy import StorageCalendar, plan_myopically, plan_storages
from node.agent.strategy.storage_lp import plan_by_lp

PLANNERS = [plan_storages, plan_by_lp]


def always(n, horizon):
    return StorageCalendar.always_present(n, horizon)


def wholesale(outlook_of, price, **more):
    """A deep market without load, sun or fee, where the price is known."""
    return outlook_of(
        np.zeros((1, len(price))),
        short=1e9,
        long=-1e9,
        price_micro_per_kwh=price,
        price_trust_pu=1.0,
        is_deep=True,
        **more,
    )


def best_profit(price, eta, capacity_wh, p_wh, start_wh, end_value):
    """Mixed-integer programme with one direction per interval, written without the code under test."""
    n = len(price)
    one, none, before = np.eye(n), np.zeros((n, n)), np.eye(n, k=-1)
    start = np.zeros(n)
    start[0] = start_wh
    cost = np.concatenate([price, -np.asarray(price), np.zeros(2 * n)])
    cost[3 * n - 1] = -end_value
    solved = milp(
        cost,
        constraints=[
            LinearConstraint(np.hstack([-eta * one, one / eta, one - before, none]), start, start),
            LinearConstraint(np.hstack([one, none, none, -p_wh * one]), -np.inf, 0),
            LinearConstraint(np.hstack([none, one, none, p_wh * one]), -np.inf, p_wh),
        ],
        bounds=(0, np.concatenate([np.full(2 * n, p_wh), np.full(n, capacity_wh), np.ones(n)])),
        integrality=np.repeat([0, 1], [3 * n, n]),
        options={"mip_rel_gap": 0},
    )
    assert solved.status == 0
    return -solved.fun


def earned(plan, price, end_value):
    return (plan.power_w[0] * plan.hours * price).sum() + end_value * plan.energy_wh[0, -1]


@pytest.mark.parametrize(
    ("planner", "low", "floor"),
    [
        (plan_by_lp, 50_000.0, 1 - 1e-9),
        (plan_by_lp, -250_000.0, 1 - 1e-6),
        (plan_storages, 50_000.0, 0.985),
        (plan_storages, -250_000.0, 0.985),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_plan_earns_what_an_independent_programme_earns(fleet_of, outlook_of, planner, floor, low, seed):
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(96) / 96 * 4 * np.pi)
    price = low + 200_000.0 + 150_000.0 * wave + rng.normal(0, 30_000, 96)
    eta = 0.95
    outlook = wholesale(outlook_of, price)
    plan = planner(fleet_of([0], eta=eta), always(1, 96), outlook, np.array([3_000.0]))
    end_value = max(0.999 * price.min() / eta, 0.0)
    best = best_profit(price, eta, 10_000.0, 1_250.0, 3_000.0, end_value)
    reached = earned(plan, price, end_value)
    assert reached <= best * (1 + 1e-9)
    assert reached >= floor * best


@pytest.mark.parametrize("planner", PLANNERS)
def test_charging_and_discharging_never_happen_at_once_even_when_losing_energy_pays(
    fleet_of, outlook_of, planner
):
    price = np.where(np.arange(48) % 3 == 0, 200_000.0, -150_000.0)
    fleet = fleet_of([0], eta=0.8)
    plan = planner(fleet, always(1, 48), wholesale(outlook_of, price), np.array([5_000.0]))
    out, into = np.maximum(plan.power_w, 0), np.maximum(-plan.power_w, 0)
    # with both at once, levels would fall by more than the net power alone explains
    explained = (0.8 * into - out / 0.8) * plan.hours
    assert np.diff(plan.energy_wh, axis=1) == pytest.approx(explained, abs=1e-3)


@pytest.mark.parametrize("planner", PLANNERS)
def test_nothing_is_charged_only_to_be_held_at_the_end(fleet_of, outlook_of, planner):
    plan = planner(fleet_of([0]), always(1, 24), wholesale(outlook_of, np.full(24, 150_000.0)), np.zeros(1))
    assert np.abs(plan.power_w).max() < 1e-6


@pytest.mark.parametrize("planner", PLANNERS)
def test_a_spread_below_losses_and_wear_is_not_worth_a_cycle(fleet_of, outlook_of, planner):
    # 100 in, 0.81 of it out: break-even is 100 / 0.81 + 20 = 143.5
    for high, trades in ((143_000.0, False), (144_500.0, True)):
        price = np.repeat([100_000.0, high], 8)
        fleet = fleet_of([0], eta=0.9, wear=20_000.0)
        plan = planner(fleet, always(1, 16), wholesale(outlook_of, price), np.zeros(1))
        assert (np.abs(plan.power_w).sum() > 1) == trades


@pytest.mark.parametrize("planner", PLANNERS)
def test_the_reserve_stays_and_is_filled_up_again(fleet_of, outlook_of, planner):
    price = np.repeat([100_000.0, 400_000.0, 100_000.0], 16)
    fleet = fleet_of([0, 0], reserve_wh=2_000.0)
    plan = planner(fleet, always(2, 48), wholesale(outlook_of, price), np.array([5_000.0, 500.0]))
    assert plan.energy_wh[0].min() >= 2_000.0 - 1e-3
    assert plan.energy_wh[1, 1:].max() >= 2_000.0 - 1e-3
    assert plan.energy_wh[1, 2:].min() >= 2_000.0 - 1e-3


@pytest.mark.parametrize("planner", PLANNERS)
def test_a_car_is_ready_at_departure_and_drives_on_its_own_energy(fleet_of, outlook_of, planner):
    calendar = always(1, 48)
    calendar.is_present[0, 20:30] = False
    calendar.required_wh[0, 19] = 8_000.0
    calendar.trip_wh[0, 25] = 3_000.0
    price = 200_000.0 + 50_000.0 * np.sin(np.arange(48))
    fleet = fleet_of([0], p_w=3_000.0, eta=0.95)
    plan = planner(fleet, calendar, wholesale(outlook_of, price), np.array([1_000.0]))
    assert plan.energy_wh[0, 20] >= 8_000.0 - 1e-3
    assert not plan.power_w[0, 20:30].any()
    assert plan.energy_wh[0, 26] == pytest.approx(plan.energy_wh[0, 25] - 3_000.0)


def test_own_surplus_is_stored_for_own_evening(fleet_of, outlook_of):
    net = np.concatenate([np.full(8, 500.0), np.full(8, -400.0)])
    plan = plan_storages(fleet_of([0]), always(1, 16), outlook_of([net]), np.zeros(1))
    assert plan.energy_wh[0, 8] >= 3_200.0 - 1e-6
    assert (plan.power_w[0, 8:] * 0.25 >= 400.0 - 1e-6).all()


def test_the_connection_bounds_what_its_storages_do_together(fleet_of, outlook_of):
    price = np.repeat([100_000.0, 400_000.0], 8)
    outlook = wholesale(outlook_of, price, cap_w=4_000.0)
    plan = plan_storages(fleet_of([0, 0, 0]), always(3, 16), outlook, np.full(3, 5_000.0))
    assert np.abs(plan.power_w.sum(axis=0)).max() <= 4_000.0 + 1e-6


def test_stored_energy_is_worth_less_the_more_there_is(fleet_of, outlook_of):
    rng = np.random.default_rng(4)
    outlook = outlook_of(rng.normal(0, 400, (3, 48)))
    plan = plan_storages(fleet_of([0, 2], eta=0.9), always(2, 48), outlook, np.full(2, 4_000.0))
    assert (np.diff(plan.value.slopes_micro_per_kwh, axis=2) <= 1.0).all()


def test_self_discharge_drains_the_store(fleet_of, outlook_of):
    fleet = fleet_of([0], self_discharge_w=40.0)
    plan = plan_storages(fleet, always(1, 4), wholesale(outlook_of, [1e5, 1e5, 1e5, 1e5]), np.array([0.0]))
    assert (plan.energy_wh >= 0).all()


def test_a_storage_that_does_not_look_ahead_gives_at_the_first_need(fleet_of, outlook_of):
    # the dear hours come last, but it has nothing left by then
    net = np.full(8, -1_000.0)
    short = np.repeat([200_000.0, 400_000.0], 4)
    outlook = outlook_of([net], short=short)
    ahead = plan_storages(fleet_of([0]), always(1, 8), outlook, np.array([4_000.0]))
    myopic = plan_myopically(fleet_of([0]), always(1, 8), outlook, np.array([4_000.0]))
    assert (ahead.power_w[0, :4] <= 0).all()
    assert ahead.power_w[0, 4:] * 0.25 == pytest.approx(np.full(4, 1_000.0))
    assert myopic.power_w[0] * 0.25 == pytest.approx(np.repeat([1_000.0, 0.0], 4), abs=1e-6)


def test_a_community_without_storages_has_an_empty_plan(fleet_of, outlook_of):
    plan = plan_storages(fleet_of([]), always(0, 4), outlook_of([[1, 2, 3, 4]]), np.zeros(0))
    assert plan.power_w.shape == (0, 4)


@pytest.mark.parametrize(("back", "is_traded"), [(0.0, False), (237_000.0, True)])
def test_a_storage_alone_trades_surplus_into_the_evening_once_levies_are_due_on_what_it_keeps(
    fleet_of, outlook_of, back, is_traded
):
    """Bought at 8 ct, sold at 30: 22 ct between them cannot carry 23.7 ct of levies, but can carry them on losses."""
    outlook = outlook_of(
        [[0.0, 0.0], [4_000.0, -4_000.0]], levy_micro_per_kwh=237_000.0, levy_back_micro_per_kwh=[back, 0.0]
    )
    fleet = fleet_of([0], eta=0.95, wear=40_000, markup=5_000)
    plan = plan_storages(fleet, StorageCalendar.always_present(1, 2), outlook, np.zeros(1))
    assert (plan.power_w[0] != 0).all() == is_traded
    assert (plan.power_w[0, 0] < 0 < plan.power_w[0, 1]) == is_traded


def test_a_car_charges_when_levies_are_low_even_if_the_price_is_the_same(fleet_of, outlook_of):
    levy = np.array([[200_000.0, 50_000.0, 200_000.0]])
    outlook = outlook_of([[-100.0, -100.0, -100.0]], levy_micro_per_kwh=levy)
    calendar = StorageCalendar(np.ones((1, 3), bool), np.array([[0.0, 0.0, 1_000.0]]), np.zeros((1, 3)))
    plan = plan_storages(fleet_of([0]), calendar, outlook, np.zeros(1))
    assert plan.power_w[0, 1] <= -4_000.0  # 1 kWh in a quarter hour, and the load after it
    assert (plan.power_w[0, [0, 2]] >= 0).all()
