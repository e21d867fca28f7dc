"""Measure the controller: allocation and device step at 100,000 devices, lateness of the live loop at 1,000.

| figure | what it is |
|---|---|
| `allocation_100k_p99_ms` | 100,000 claims on a tree of four levels in five classes, fresh demands every time |
| `device_step_100k_ms` | one 100 ms step of a mixed fleet of 100,000 devices, mean over many |
| `loop_lateness_p99_ms` | p99 of the time from when a period is due until 1,000 devices have acted, less bare ticks' |

Every tenth period has new demand and sun for all devices: limits are measured anew and all leases renewed, as the hub
does it then. The bare timer ticks are measured in turns with the control periods, so that both see the same machine.
"""

import argparse
import json
import sys
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from devices.catalogue import fixed_load, home_battery, pdu_module, solar_roof, vehicle
from devices.fleet import step
from devices.parameters import FleetParameters, build_fleet
from devices.specification import DeviceSpec, Priority
from devices.state import FleetInputs, initial_state
from devices.storage_tables import StorageKind
from node.controller.allocation import AllocationPlan, allocate, plan_allocation, usage_milli_w
from node.controller.network import CapacityTree
from node.hub.dispatch import Dispatch
from node.hub.dispatch_clock import timeline
from node.hub.dispatch_records import IntervalInputs, Schedule
from node.hub.dispatch_run import PERIOD_MS, IntervalRun

N_LARGE: Final = 100_000
N_LIVE: Final = 1_000
ALLOCATIONS: Final = 200
STEPS: Final = 50
LIVE_TICKS: Final = 400  # of each kind: 40 s in all; 40 of the periods have new inputs
PERIOD_S: Final = PERIOD_MS / 1_000
INTERVAL_S: Final = 900


def datacenter_tree(n: int) -> tuple[CapacityTree, NDArray[np.int64]]:
    """Return feeder, racks of 4 PDUs, PDUs of 12 outlets, outlets of 2 devices; and each device's outlet."""
    n_outlets, n_pdus, n_racks = -(-n // 2), -(-n // 24), -(-n // 96)
    parent = np.r_[
        -1,
        np.zeros(n_racks, np.int64),
        1 + np.arange(n_pdus) // 4,
        1 + n_racks + np.arange(n_outlets) // 12,
    ]
    free = np.full(parent.size, np.inf)
    tree = CapacityTree(tuple(f"node-{v}" for v in range(parent.size)), parent, free, free)
    return tree, 1 + n_racks + n_pdus + np.arange(n) // 2


def allocation_ms(
    rng: np.random.Generator, n: int = N_LARGE, rounds: int = ALLOCATIONS
) -> NDArray[np.float64]:
    """Return the milliseconds of each allocation; asserts that none overruns a capacity."""
    tree, node = datacenter_tree(n)
    plan: AllocationPlan = plan_allocation(
        tree, rng.permutation(node), rng.choice(5, n, p=[0.1, 0.2, 0.3, 0.25, 0.15])
    )
    demand = rng.integers(0, 3_000_000, n)
    weight = rng.choice([0.5, 1.0, 1.0, 2.0, 4.0], n)
    tightness = np.where(tree.depth == 0, 0.56, rng.uniform(0.42, 1.4, tree.n_nodes))
    capacity = (usage_milli_w(plan, demand) * tightness).astype(np.int64)
    took_ms = np.empty(rounds)
    for k in range(rounds):
        fresh = (demand * rng.uniform(0.3, 1.0, n)).astype(np.int64)
        start = time.perf_counter()
        granted = allocate(plan, fresh, weight, capacity).granted_milli_w
        took_ms[k] = (time.perf_counter() - start) * 1e3
        if np.any(usage_milli_w(plan, granted) > capacity):
            raise AssertionError(f"allocation {k} overran a capacity")
    return took_ms


def mixed_fleet(n: int) -> FleetParameters:
    """Return a fleet of half loads, a sixth solar, a third storage of several kinds, sorted by kind."""
    n_solar, n_storage = n // 6, n // 3
    specs: list[DeviceSpec] = [
        fixed_load(f"load-{k}", list(Priority)[k % len(Priority)]) for k in range(n - n_solar - n_storage)
    ]
    specs += [solar_roof(f"sun-{k}") for k in range(n_solar)]
    part = n_storage // 4
    specs += [home_battery(f"battery-{k}") for k in range(part)]
    specs += [vehicle(f"car-{k}") for k in range(part)]
    specs += [pdu_module(f"module-{k}") for k in range(part)]
    specs += [
        pdu_module(f"capacitor-{k}", storage=StorageKind.SUPERCAPACITOR) for k in range(n_storage - 3 * part)
    ]
    return build_fleet(specs)


def random_inputs(params: FleetParameters, rng: np.random.Generator) -> FleetInputs:
    """Return demands up to 2 kW and sun up to 5 kW."""
    n = params.n_devices
    load, solar = np.zeros(n), np.zeros(n)
    load[params.load_rows] = rng.uniform(0, 2_000, load[params.load_rows].size)
    solar[params.solar_rows] = rng.uniform(0, 5_000, solar[params.solar_rows].size)
    return FleetInputs(load, solar, np.ones(n, np.bool_), np.zeros(n))


def device_step_ms(rng: np.random.Generator, n: int = N_LARGE, steps: int = STEPS) -> float:
    """Return the mean milliseconds of one step of a mixed fleet under random setpoints."""
    params = mixed_fleet(n)
    state, inputs = initial_state(params), random_inputs(params, rng)
    finite_charge = np.where(np.isfinite(params.p_charge_max_w), params.p_charge_max_w, 2_000.0)
    finite_discharge = np.where(np.isfinite(params.p_discharge_max_w), params.p_discharge_max_w, 5_000.0)
    took_s = 0.0
    for _ in range(steps):
        setpoint = rng.uniform(-finite_charge, finite_discharge)
        start = time.perf_counter()
        state, _ = step(params, state, inputs, setpoint, PERIOD_S)
        took_s += time.perf_counter() - start
    return took_s / steps * 1e3


def live_run(rng: np.random.Generator, n: int = N_LIVE) -> IntervalRun:
    """Return an interval of 1,000 devices on a binding feeder whose inputs change every second."""
    params = mixed_fleet(n)
    n_accounts = n // 4
    parent = np.r_[-1, np.zeros(10, np.int64), 1 + np.arange(n_accounts) % 10]
    cap = np.r_[n * 150.0, np.full(10, n * 20.0), np.full(n_accounts, 11_000.0)]
    tree = CapacityTree(tuple(f"node-{v}" for v in range(parent.size)), parent, cap, cap)
    account = np.arange(n) % n_accounts
    connection = 11 + np.arange(n_accounts)
    dispatch = Dispatch(tree, params, connection[account], account, connection)
    inputs = IntervalInputs(
        tuple(float(s) for s in range(INTERVAL_S)),
        tuple(random_inputs(params, rng) for _ in range(INTERVAL_S)),
    )
    schedule = Schedule(rng.uniform(-300, 300, n_accounts), np.zeros(n))
    healthy = np.ones(n, np.bool_)
    stops = timeline(0, INTERVAL_S, inputs, schedule)
    return IntervalRun(dispatch.plan, 0, stops, dispatch.first_world(), inputs, schedule, healthy)


def loop_lateness_ms(
    rng: np.random.Generator, ticks: int = LIVE_TICKS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lateness of control periods and of bare ticks, in turns, in real time."""
    run = live_run(rng)
    run.advance(0, PERIOD_MS)
    live, bare = np.empty(ticks), np.empty(ticks)
    begin = time.monotonic() + PERIOD_S
    for tick in range(2 * ticks):
        due = begin + tick * PERIOD_S / 2
        time.sleep(max(0.0, due - time.monotonic()))
        if tick % 2:
            bare[tick // 2] = (time.monotonic() - due) * 1e3
        else:
            now_ms = (tick // 2 + 1) * PERIOD_MS
            run.advance(now_ms, now_ms + PERIOD_MS)
            live[tick // 2] = (time.monotonic() - due) * 1e3
    return live, bare


def measure(seed: int = 1) -> dict[str, float]:
    """Return all figures in milliseconds."""
    rng = np.random.default_rng(seed)
    took = allocation_ms(rng)
    live, bare = loop_lateness_ms(rng)
    return {
        "allocation_100k_p50_ms": round(float(np.percentile(took, 50)), 2),
        "allocation_100k_p99_ms": round(float(np.percentile(took, 99)), 2),
        "device_step_100k_ms": round(device_step_ms(rng), 2),
        "loop_lateness_p99_ms": round(float(np.percentile(live, 99) - np.percentile(bare, 99)), 2),
        "loop_lateness_bare_p99_ms": round(float(np.percentile(bare, 99)), 2),
    }


def main(argv: list[str]) -> int:
    """Print the figures; `--json` as one flat object."""
    parser = argparse.ArgumentParser(
        prog="bench control", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--json", action="store_true", help="print one flat JSON object")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    figures = measure(arguments.seed)
    if arguments.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        for name, value in figures.items():
            sys.stdout.write(f"{name:28} {value:10.2f}\n")
    return 0
