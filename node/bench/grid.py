"""Measure grid services: the swarm's answer, messages of an election, a blackout's hour of a hundred devices.

| figure | what it is |
|---|---|
| `swarm_100k_ms`, `swarm_answer_100k_ms` | see `node/bench/grid_swarm.py` |
| `election_messages_per_s` | messages that members of an island handle per second of one core, all their answers made |
| `island_realtime_factor` | simulated over processor seconds: 100 devices in 10 ms steps, the leader every 100 ms |

Elections and islands are measured in processor seconds, not wall-clock seconds: others may use the machine.
`--minutes` shortens the hour.
"""

import argparse
import heapq
import json
import sys
import time
from random import Random
from typing import Final

import numpy as np

from devices.catalogue import fixed_load, home_battery, solar_roof
from devices.firmware import command, receive, setpoints
from devices.fleet import deliverable_w, step
from devices.parameters import FleetParameters, build_fleet
from devices.specification import DeviceSpec, Permission, Priority
from devices.state import FleetInputs, FleetState, initial_state
from node.bench.grid_swarm import swarm_figures
from node.controller import election
from node.controller.control_plan import ControlPlan, islanded, plan_control
from node.controller.decision import Period
from node.controller.microgrid import MicrogridTerms, first_states, lay_out
from node.controller.microgrid_decision import decide_with_islands
from node.controller.network import CapacityTree
from node.hub.dispatch_islands import IslandRun

N_MEMBERS: Final = 9
ELECTIONS_S: Final = 600.0  # of the members' own time
N_HOMES: Final = 25  # three loads and a roof or a battery each: 100 devices
STEP_MS: Final = 10
PERIOD_MS: Final = 100
LEASE_S: Final = 300.0


def election_messages_per_s(seconds: float) -> float:
    """Let nine members elect, follow, and lose their leader every two seconds, at 30 % loss; return the rate."""
    random = Random(7)
    component = frozenset(range(N_MEMBERS))
    members = {row: election.member(row, 7, component, 0) for row in component}
    queue: list[tuple[int, int, election.Message]] = []
    handled = number = 0
    next_crash_ms = 2_000
    started = time.process_time()
    for now_ms in range(0, round(seconds * 1_000), 5):
        if now_ms >= next_crash_ms:
            next_crash_ms += 2_000
            for row, state in members.items():
                if state.role is election.Role.LEADER:
                    members[row] = election.restarted(state, component, now_ms)
        sent: list[election.Message] = []
        while queue and queue[0][0] <= now_ms:
            message = heapq.heappop(queue)[2]
            members[message.receiver], more = election.received(members[message.receiver], message, now_ms)
            handled += 1
            sent += more
        for row, state in members.items():
            if state.due_ms <= now_ms:
                members[row], more = election.ticked(state, now_ms)
                sent += more
        for one in sent:
            if random.random() >= 0.3:
                number += 1
                heapq.heappush(queue, (now_ms + random.randint(2, 40), number, one))
    return handled / (time.process_time() - started)


def street() -> tuple[ControlPlan, FleetParameters]:
    """Return 25 homes on a feeder, with 100 devices: loads of three classes, and a roof or a battery."""
    specs: list[DeviceSpec] = []
    account = []
    for home in range(N_HOMES):
        for priority in (Priority.CRITICAL, Priority.NORMAL, Priority.DEFERRABLE):
            specs.append(fixed_load(f"load-{home}-{priority.name}", priority=priority))
            account.append(home)
        specs.append(home_battery(f"battery-{home}") if home % 2 else solar_roof(f"roof-{home}"))
        account.append(home)
    params = build_fleet(specs)
    parent = np.r_[-1, np.zeros(N_HOMES, np.int64)]
    caps = np.r_[69_000.0, np.full(N_HOMES, 17_250.0)]
    names = ("feeder", *(f"home-{home}" for home in range(N_HOMES)))
    owner = np.array(account, np.int64)
    tree = CapacityTree(names, parent, caps, caps)
    return plan_control(tree, params, 1 + owner, owner, np.arange(1, N_HOMES + 1)), params


def island_realtime_factor(minutes: float = 60.0) -> float:
    """Run a blackout of a street in 10 ms steps; return simulated seconds per processor second."""
    plan, params = street()
    rng = np.random.default_rng(5)
    grids = (lay_out(plan, MicrogridTerms(0, 50.0, 0.05, 0.3, 5)),)
    healthy = np.ones(params.n_devices, np.bool_)
    run = IslandRun(grids, plan, first_states(grids), 0, round(minutes * 60), None, healthy)
    cut = islanded(run.sharing(plan), np.array([0], np.int64))
    fleet, inputs = initial_state(params), _inputs(rng, params)
    end_ms = round(minutes * 60_000)
    started = time.process_time()
    for now_ms in range(0, end_ms, PERIOD_MS):
        if now_ms % 1_000 == 0:  # what devices can hold is asked when something changes, as in dispatch
            inputs = _inputs(rng, params)
            limits = deliverable_w(params, fleet, inputs, 900.0)
        fleet = _lead(run, cut, params, now_ms, inputs, fleet, healthy, limits)
        for at_ms in range(now_ms, now_ms + PERIOD_MS, STEP_MS):
            fleet, told = command(params, fleet, inputs, at_ms / 1_000)
            fleet, flows = step(params, fleet, inputs, told.setpoint_w, STEP_MS / 1_000)
            run.add_step(at_ms, STEP_MS, fleet, flows)
    return minutes * 60 / (time.process_time() - started)


def _lead(
    run: IslandRun, plan: ControlPlan, params: FleetParameters, now_ms: int, inputs: FleetInputs,
    fleet: FleetState, healthy: np.ndarray, limits: tuple[np.ndarray, np.ndarray],
) -> FleetState:  # fmt: skip
    """Let the leader decide one period and send what it decided."""
    fleet = run.follow(now_ms, (0,), now_ms // 1_000 // 60, inputs, fleet)
    orders = run.orders()
    assert orders is not None
    n = params.n_devices
    low, high = limits
    period = Period(
        state=fleet, inputs=inputs, p_min_w=low, p_max_w=high, planned_w=np.zeros(n), request_wh=np.zeros(n),
        target_wh=np.full(N_HOMES, np.nan), delivered_wh=np.zeros(N_HOMES), left_s=60.0,
        must_charge=np.zeros(n, np.bool_), calls=(), is_healthy=healthy,
    )  # fmt: skip
    decision = decide_with_islands(plan, period, orders)
    fleet = run.formed(fleet, decision)
    batch = setpoints(
        np.arange(n), decision.setpoint_w, now_ms, now_ms / 1_000, now_ms / 1_000 + LEASE_S, 0, params.issuer,
        Permission.EMERGENCY,
    )  # fmt: skip
    return receive(params, fleet, batch, now_ms / 1_000)[0]


def _inputs(rng: np.random.Generator, params: FleetParameters) -> FleetInputs:
    """Return what a street wants in a second: loads that flicker, an evening's sun."""
    n = params.n_devices
    demand = np.zeros(n)
    demand[params.load_rows] = rng.uniform(50.0, 250.0, demand[params.load_rows].size)
    sun = np.zeros(n)
    sun[params.solar_rows] = rng.uniform(300.0, 700.0, sun[params.solar_rows].size)
    return FleetInputs(demand, sun, np.ones(n, np.bool_), np.zeros(n))


def main(arguments: list[str]) -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="bench grid", description="grid services: elections, islands")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the blackout; default the whole hour")
    options = parser.parse_args(arguments)
    figures = swarm_figures() | {
        "election_messages_per_s": election_messages_per_s(ELECTIONS_S),
        "island_realtime_factor": island_realtime_factor(options.minutes),
    }
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:28} {value:,.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
