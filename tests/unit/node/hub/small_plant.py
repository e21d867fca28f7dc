"""A feeder with one connection per account and a way to run intervals: the plant that dispatch tests share."""

import numpy as np

from devices.catalogue import fixed_load, home_battery, solar_roof
from devices.parameters import build_fleet
from devices.state import FleetInputs
from node.controller.network import CapacityTree
from node.controller.reasons import Reason
from node.hub.dispatch import Dispatch
from node.hub.dispatch_records import Direction, GridEvent, IntervalInputs, Schedule

INTERVAL = 2_000_000
START_S = INTERVAL * 900
QUARTER_H = 0.25


class Community:
    """A feeder (node 0) with one connection per account (nodes 1..), and a way to run intervals."""

    def __init__(self, homes, feeder_w=(np.inf, np.inf), connection_w=(20_000.0, 20_000.0), lends=False):
        self.specs = [spec for home in homes for spec in home]
        self.account = np.array([a for a, home in enumerate(homes) for _ in home])
        n = len(homes)
        self.n_accounts = n
        connections = np.arange(1, n + 1)
        caps = np.array([feeder_w, *[connection_w] * n], dtype=np.float64)
        self.tree = CapacityTree(
            ("feeder", *(f"home-{a}" for a in range(n))),
            np.array([-1] + [0] * n, np.int64),
            caps[:, 0].copy(),
            caps[:, 1].copy(),
        )
        self.params = build_fleet(self.specs)
        self.dispatch = Dispatch(
            self.tree,
            self.params,
            connections[self.account],
            self.account,
            connections,
            lends=np.full(len(self.specs), lends),
        )
        self.world = self.dispatch.first_world()
        self.interval = INTERVAL

    def row(self, name):
        return self.params.row_of(name)

    def inputs(self, present=None, **power_w):
        n = self.params.n_devices
        load, solar, is_present = np.zeros(n), np.zeros(n), np.ones(n, bool)
        for name, value in power_w.items():
            row = self.row(name)
            (solar if name.startswith("sun") else load)[row] = value
        for name in present or ():
            is_present[self.row(name)] = False
        return FleetInputs(load, solar, is_present, np.zeros(n))

    def run(self, steps, target_wh=None, planned=None, position_wh=None, events=(), disturbances=()):
        """Run one interval; `steps` is one FleetInputs or a list of (offset, FleetInputs)."""
        steps = steps if isinstance(steps, list) else [(0.0, steps)]
        plan = np.zeros(self.params.n_devices)
        for name, value in (planned or {}).items():
            plan[self.row(name)] = value
        schedule = Schedule(
            np.full(self.n_accounts, np.nan) if target_wh is None else np.array(target_wh, float),
            plan,
            None if position_wh is None else np.array(position_wh, float),
            tuple(events),
            tuple(disturbances),
        )
        inputs = IntervalInputs(tuple(o for o, _ in steps), tuple(i for _, i in steps))
        self.world, outcome = self.dispatch.run_interval(self.interval, self.world, inputs, schedule)
        self.interval += 1
        return outcome

    def reasons(self, outcome, name):
        log = outcome.setpoints
        return [Reason(r) for r, d in zip(log.reason, log.device, strict=True) if d == self.row(name)]


def battery_home(name="", **kwargs):
    return [fixed_load(f"load{name}"), solar_roof(f"sun{name}"), home_battery(f"battery{name}", **kwargs)]


def event(requested_w, start_s=0, end_s=900, direction=Direction.UP, **kwargs):
    return GridEvent("evening", START_S + start_s, START_S + end_s, requested_w, direction, **kwargs)
