"""Racks on a feeder, joined by ties: the plant that tests of predicted overloads share."""

from dataclasses import replace

import numpy as np

from devices.catalogue import fixed_load, home_battery
from devices.specification import DeviceSpec, Kind, Priority
from node.controller.forecast import ForecastTerms
from node.controller.kinetic import KineticTerms
from node.controller.paths import TieNetwork
from node.controller.ties import TiePlan
from node.hub.dispatch import Dispatch
from node.hub.dispatch_racks import RackControl
from tests.unit.node.hub.small_plant import INTERVAL, START_S, Community

STEP_S = 300
PER_HOUR = 12


class TiedRacks(Community):
    """Racks a, b, c.. in a row, each with `load-x`, `port-x` and, where its battery has power, `battery-x`."""

    def __init__(
        self, battery_w, limit_w, *, terms=None, port_w=5_000.0, history_w=None, length_m=10.0, lends=True
    ):
        names = "abcdefgh"[: len(battery_w)]
        homes = []
        for name, p_w in zip(names, battery_w, strict=True):
            home = [
                fixed_load(f"load-{name}", Priority.CRITICAL),
                DeviceSpec(name=f"port-{name}", kind=Kind.TIE_PORT),
            ]
            if p_w:
                home.append(
                    home_battery(f"battery-{name}", capacity_wh=10_000.0, initial_pu=0.6, p_max_w=p_w)
                )
            homes.append(home)
        super().__init__(homes, lends=lends)
        n = len(names)
        limits = np.array(limit_w, float)
        self.tree = replace(self.tree, import_cap_w=np.r_[np.inf, limits])
        ties = TiePlan(
            network=TieNetwork(
                n, np.array([[k, k + 1] for k in range(n - 1)]), np.full(n - 1, length_m), np.full(n - 1, 0.002),
                np.full(n - 1, 50.0), 380.0,
            ),
            account=np.arange(n), node=np.arange(1, n + 1),
            port=np.array([self.row(f"port-{name}") for name in names]), rated_w=np.full(n, port_w),
            limit_w=limits, lends=np.full(len(self.specs), lends) & self.params.is_storage,
            rack_of_device=self.account,
        )  # fmt: skip
        terms = KineticTerms(horizon_s=900.0, hold_s=30.0, stage_w=20.0) if terms is None else terms
        self.control = RackControl(ties, self.params, terms, ForecastTerms(STEP_S))
        connections = np.arange(1, n + 1)
        self.dispatch = Dispatch(
            self.tree, self.params, connections[self.account], self.account, connections,
            lends=np.full(len(self.specs), lends), racks=self.control,
        )  # fmt: skip
        self.names = names
        past = np.full((1, n), 0.0) if history_w is None else np.asarray(history_w, float)
        first = self.dispatch.first_world()
        self.world = replace(first, racks=self.control.first_memory(past, START_S // STEP_S - 1))

    def quarter(self, *loads_w, **kwargs):
        """Run an interval of three steps; `loads_w` has one tuple of racks' loads a step."""
        steps = [
            (
                k * float(STEP_S),
                self.inputs(**{f"load-{n}": w for n, w in zip(self.names, step, strict=True)}),
            )
            for k, step in enumerate(loads_w)
        ]
        return self.run(steps, **kwargs)


def hourly_job(hours, idle_w, busy_w, others_w=()):
    """Return the loads of the hours before `INTERVAL`: rack a is busy in the second step of every hour."""
    first = START_S // STEP_S - hours * PER_HOUR
    a = [busy_w if (first + k) % PER_HOUR == 1 else idle_w for k in range(hours * PER_HOUR)]
    return np.column_stack([a, *([w] * len(a) for w in others_w)])


assert INTERVAL * 900 % 3_600 == 0  # tests count on an interval that begins with its hour
