"""Shedding: compared with a MILP (HiGHS through SciPy) on seeded instances, and never out of order of priority."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import lil_array

from node.controller.errors import InvalidRequest
from node.controller.shedding import Supply, plan_service

WEIGHT = np.array([1_000.0, 100.0, 10.0, 1.0])


def served_priority(demand_w, priority, is_on, slot_s):
    return float((WEIGHT[priority][:, None] * demand_w * is_on).sum() * slot_s / 3_600.0)


def solve_exactly(demand_w, priority, supply):
    """Return the largest served priority: loads on or off, one storage, no load off while a lower one is on."""
    n, m = demand_w.shape
    hours = supply.slot_s / 3_600.0
    # variables: on (n*m), discharge (m), charge (m), sun used (m), energy (m + 1)
    discharge, charge, sun = n * m, n * m + m, n * m + 2 * m
    energy = n * m + 3 * m
    size = energy + m + 1
    cost = np.zeros(size)
    cost[: n * m] = -(WEIGHT[priority][:, None] * demand_w * hours).ravel()
    low, high = np.zeros(size), np.ones(size)
    high[discharge:charge] = supply.p_discharge_w
    high[charge:sun] = supply.p_charge_w
    high[sun:energy] = supply.sun_w
    high[energy:] = supply.energy_wh + supply.room_wh
    low[energy] = high[energy] = supply.energy_wh
    rows, lower, upper = [], [], []

    def add(entries, at_least, at_most):
        rows.append(entries)
        lower.append(at_least)
        upper.append(at_most)

    for t in range(m):
        balance = {i * m + t: float(demand_w[i, t]) for i in range(n)}
        add(balance | {discharge + t: -1.0, charge + t: 1.0, sun + t: -1.0}, 0.0, 0.0)
        change = {energy + t + 1: 1.0, energy + t: -1.0, discharge + t: hours}
        add(change | {charge + t: -supply.efficiency_pu * hours}, 0.0, 0.0)
        for i in range(n):
            for j in range(n):
                if priority[i] < priority[j] and demand_w[i, t] > 0 and demand_w[j, t] > 0:
                    add({j * m + t: 1.0, i * m + t: -1.0}, -np.inf, 0.0)
    matrix = lil_array((len(rows), size))
    for row, entries in enumerate(rows):
        for column, value in entries.items():
            matrix[row, column] = value
    is_whole = np.zeros(size)
    is_whole[: n * m] = 1
    found = milp(
        cost, constraints=LinearConstraint(matrix.tocsr(), lower, upper), bounds=Bounds(low, high),
        integrality=is_whole, options={"mip_rel_gap": 1e-4, "time_limit": 60.0},
    )  # fmt: skip
    assert found.status == 0, found.message
    return -found.fun


@dataclass(frozen=True)
class Shape:
    """What differs between kinds of nights; shares of all demand or of its peak."""

    loads: tuple[int, int] = (6, 13)
    slots: tuple[int, int] = (6, 15)
    energy: tuple[float, float] = (0.1, 0.9)
    room: tuple[float, float] = (0.0, 0.5)
    discharge: tuple[float, float] = (0.4, 1.2)
    is_sunny: bool = False
    largest: float = 1.0  # how much larger one of the loads is than it would be


SHAPES = {
    "ordinary": Shape(),
    "few loads": Shape(loads=(2, 5), slots=(3, 8)),
    "many loads": Shape(loads=(14, 24), slots=(8, 16)),
    "long": Shape(slots=(24, 40)),
    "sunny": Shape(is_sunny=True),
    "little power": Shape(discharge=(0.1, 0.5)),
    "little energy": Shape(energy=(0.01, 0.12)),
    "hardly a storage": Shape(energy=(0.0, 0.05), room=(0.0, 0.08)),
    "one large load": Shape(largest=5.0),
}


def instance(seed, shape=SHAPES["ordinary"]):
    """A street's loads over a night of half hours, with sun at its end, and not enough of anything."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(*shape.loads)), int(rng.integers(*shape.slots))
    priority = np.sort(rng.integers(0, 4, n))
    demand = np.round(rng.uniform(100, 2_000, (n, 1)) * rng.uniform(0.6, 1.4, (n, m)))
    demand[rng.random((n, m)) < 0.05] = 0.0
    demand[seed % n] *= shape.largest
    peak = demand.sum(axis=0).max()
    sun = np.maximum(np.linspace(-1, rng.uniform(-0.5, 1.0), m), 0.0) * peak
    if shape.is_sunny:
        wave = np.sin(np.linspace(0.0, 2 * np.pi, m) + rng.uniform(0.0, 2 * np.pi))
        sun = np.maximum(wave, 0.0) * rng.uniform(0.5, 2.0) * rng.uniform(0.7, 1.3, m) * peak
    total_wh = demand.sum() * 0.5
    supply = Supply(
        sun_w=np.round(sun),
        energy_wh=float(np.round(total_wh * rng.uniform(*shape.energy))),
        room_wh=float(np.round(total_wh * rng.uniform(*shape.room))),
        p_discharge_w=float(np.round(peak * rng.uniform(*shape.discharge))),
        p_charge_w=float(np.round(peak * rng.uniform(0.2, 0.8))),
        efficiency_pu=0.9,
        slot_s=1_800.0,
    )
    return demand, priority, supply


def check_physics(demand, priority, supply, service):
    hours = supply.slot_s / 3_600.0
    load = (demand * service.is_on).sum(axis=0)
    energy = supply.energy_wh
    for slot in range(load.size):
        lacking = load[slot] - supply.sun_w[slot]
        assert lacking <= supply.p_discharge_w + 1e-6
        stored = supply.efficiency_pu * min(max(-lacking, 0.0), supply.p_charge_w) * hours
        energy = min(energy - max(lacking, 0.0) * hours + stored, supply.energy_wh + supply.room_wh)
        assert energy >= -1e-6
        assert energy == pytest.approx(service.energy_wh[slot + 1], abs=1e-6)
        off = priority[~service.is_on[:, slot] & (demand[:, slot] > 0)]
        on = priority[service.is_on[:, slot] & (demand[:, slot] > 0)]
        if off.size and on.size:
            assert on.max() <= off.min(), "nobody is off while somebody less important is on"


def compare(seeds, shape=SHAPES["ordinary"]):
    shares = []
    for seed in seeds:
        demand, priority, supply = instance(seed, shape)
        service = plan_service(demand, priority, supply)
        check_physics(demand, priority, supply, service)
        best = solve_exactly(demand, priority, supply)
        if best > 0:
            shares.append(served_priority(demand, priority, service.is_on, supply.slot_s) / best)
    return np.array(shares)


def test_served_priority_is_within_a_hundredth_of_the_milps_on_every_night():
    shares = compare(range(12))
    assert shares.size == 12
    assert shares.min() >= 0.99


@pytest.mark.parametrize("name", sorted(set(SHAPES) - {"ordinary"}))
def test_served_priority_is_within_a_hundredth_of_the_milps_on_other_nights(name):
    shares = compare(range(3), SHAPES[name])
    assert shares.size
    assert shares.min() >= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SHAPES))
def test_served_priority_of_the_worst_of_two_hundred_nights(name):
    shares = compare(range(200), SHAPES[name])
    assert shares.size > 150
    assert shares.min() >= 0.99


def test_a_night_with_enough_for_everybody_switches_nothing_off():
    demand, priority, supply = instance(3)
    enough = replace(supply, energy_wh=demand.sum(), p_discharge_w=demand.sum())
    assert plan_service(demand, priority, enough).is_on.all()


def test_of_two_hours_alike_the_sooner_is_served():
    """What is promised for later rests on forecasts."""
    service = plan_service(np.full((1, 3), 100.0), np.array([0]), supply_of([0, 0, 0], 200.0))
    assert service.is_on.tolist() == [[True, True, False]]


def supply_of(sun, energy, room=0.0, discharge=1e6, charge=1e6, efficiency=1.0):
    return Supply(np.array(sun, float), energy, room, discharge, charge, efficiency, 3_600.0)


def test_a_lower_load_waits_while_its_energy_is_needed_later_for_a_higher_one():
    demand = np.array([[100.0, 100.0, 100.0], [100.0, 100.0, 100.0]])
    service = plan_service(demand, np.array([0, 2]), supply_of([0, 0, 0], 400.0))
    assert service.is_on[0].all()
    assert service.is_on[1].tolist() == [True, False, False]
    assert service.energy_wh.tolist() == [400.0, 200.0, 100.0, 0.0]


def test_power_alone_would_serve_the_lower_load_and_lose_the_higher_one():
    """Without the look ahead 200 W are served for two hours and nothing in the third."""
    demand = np.full((2, 3), 100.0)
    service = plan_service(demand, np.array([0, 1]), supply_of([0, 0, 0], 300.0))
    assert service.is_on.tolist() == [[True] * 3, [False] * 3]


def test_sun_that_comes_back_frees_energy_before_it():
    demand = np.full((2, 4), 100.0)
    dark = plan_service(demand, np.array([0, 1]), supply_of([0, 0, 0, 0], 400.0))
    sunny = plan_service(demand, np.array([0, 1]), supply_of([0, 0, 200, 200], 400.0))
    assert not dark.is_on[1].any()
    assert sunny.is_on.all()


def test_while_a_critical_load_is_too_large_for_the_inverters_nothing_lower_runs():
    demand = np.array([[900.0], [400.0], [100.0]])
    service = plan_service(demand, np.array([0, 0, 1]), supply_of([0], 1e6, discharge=800.0))
    assert service.is_on[:, 0].tolist() == [False, True, False]


def test_the_best_set_of_a_slot_is_exact():
    """Against all subsets."""
    rng = np.random.default_rng(4)
    for _ in range(200):
        demand = rng.integers(1, 500, int(rng.integers(1, 7))).astype(float)
        room = float(rng.uniform(0, demand.sum()))
        service = plan_service(
            demand[:, None], np.zeros(demand.size, np.int64), supply_of([0], 1e6, discharge=room)
        )
        sums = [sum(p for k, p in enumerate(demand) if subset >> k & 1) for subset in range(1 << demand.size)]
        assert demand[service.is_on[:, 0]].sum() == max(one for one in sums if one <= room)


@pytest.mark.parametrize(
    "change", [{"energy": -1.0}, {"efficiency": 0.0}, {"discharge": -1.0}, {"sun": [-1.0, 0.0]}]
)
def test_a_supply_out_of_range_is_refused(change):
    with pytest.raises(InvalidRequest, match="out of range"):
        supply_of(**({"sun": [0.0, 0.0], "energy": 1.0} | change))


@pytest.mark.parametrize(
    ("demand", "priority"), [(np.ones((2, 3)), [0, 1]), (np.ones((2, 2)), [0]), (-np.ones((1, 2)), [0])]
)
def test_shapes_and_demands_that_do_not_fit_are_refused(demand, priority):
    with pytest.raises(InvalidRequest, match="need"):
        plan_service(demand, np.array(priority), supply_of([0.0, 0.0], 1.0))
