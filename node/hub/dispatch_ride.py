"""Islands ride through: which loads stay on, when a generator takes over, when servers shut down in order.

| phase | what happens |
|---|---|
| failed | the plan is made: classes that storages can carry stay on, the others go off at once |
| riding | storages carry what stays on; the plan is made again at every stop, and never switches a class on again |
| generator | from `start_s` after the failure on it carries what it can; everything is on again as far as it reaches |
| dry | its tank is empty: storages carry on, and what they last for is planned as if there had been no generator |
| shutting down | fuel and storages would not last: servers end their work, at full load, for `shutdown_s` |
| off | everything below the failed node is off until its supply is back |

All storages of an island count as one battery: the plan is for communities whose storages lend.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from devices.fleet import LONGEST_STEP_S, deliverable_w
from devices.generator import FUEL_PU, lasts_s
from devices.parameters import FleetParameters
from devices.specification import Kind
from devices.state import FleetInputs, FleetState
from node.controller.control_plan import ControlPlan, ImportClass
from node.controller.kinetic import RideThrough, lasts_for_s, ride_through
from node.controller.network import FloatArray, IntArray, sum_by
from node.controller.reasons import Reason
from node.controller.virtual_battery import storage_power_w
from node.hub.dispatch_clock import MS_PER_S
from node.hub.dispatch_records import Incident, IncidentKind
from node.hub.ridden_island import Island

BoolArray = NDArray[np.bool_]
N_LOAD_CLASSES = ImportClass.DEFERRABLE + 1
# What a storage can give is asked for this long: ratings count, its energy is counted apart.
SURGE_S = 10.0
SECONDS_PER_HOUR = 3_600.0
TAKEOVER_MS = 2_000
# A tank that would not last this long at full load is taken for empty, and the engine is stopped.
DRY_S = 1.0


@dataclass(frozen=True, slots=True)
class RideTerms:
    """How islands are ridden through.

    Parameters
    ----------
    shutdown_s : float
        What an orderly shutdown of all servers takes.
    start_s : float64 (n_devices,)
        How long each generator needs from the failure until it carries load; inf for what is none.
    """

    shutdown_s: float
    start_s: FloatArray


class RideRun:
    """The running interval's islands."""

    def __init__(
        self,
        terms: RideTerms,
        plan: ControlPlan,
        start_s: int,
        islands: tuple[Island, ...],
        is_healthy: BoolArray,
    ) -> None:
        self._terms = terms
        self._plan = plan
        self._is_healthy = is_healthy
        self._start_ms = start_s * MS_PER_S
        self._above = plan.tree.ancestors()
        self._islands = {island.node: island for island in islands}
        # When a tank may be empty at the earliest, ms as all moments; looked at again then.
        self._look_ms: dict[int, float] = {}
        self.incidents: list[Incident] = []

    @property
    def islands(self) -> tuple[Island, ...]:
        """What the next interval continues from."""
        return tuple(self._islands[node] for node in sorted(self._islands))

    def next_stop_ms(self, now_ms: int, stop_ms: int) -> int:
        """Return the next moment at which an island changes by itself, `stop_ms` at the latest."""
        moments = [
            at - self._start_ms
            for island in self._islands.values()
            for at in (
                island.generator_ms,
                island.generator_ms + TAKEOVER_MS,
                island.shutdown_ms,
                self._off_ms(island),
                self._look_ms.get(island.node, np.inf),
            )
            if now_ms < at - self._start_ms < stop_ms
        ]
        return min((int(np.ceil(at)) for at in moments), default=stop_ms)

    def follow(self, now_ms: int, failed: dict[int, int], inputs: FleetInputs, fleet: FleetState) -> None:
        """Take up new islands, drop those whose supply is back, and plan again.

        Parameters
        ----------
        failed : dict of int to int
            Nodes without supply, and since when, ms after the interval's start.
        fleet : FleetState
            With storages of islands in emergency mode: they may use the owners' reserves.
        """
        at_ms = self._start_ms + now_ms
        horizon_s = self.horizon_s(now_ms, LONGEST_STEP_S)
        surge_w, held_w = (
            deliverable_w(self._plan.params, fleet, inputs, s)[1] for s in (SURGE_S, horizon_s)
        )
        energy_wh = self._energy_wh(fleet, surge_w, held_w, horizon_s)
        for node in sorted(set(self._islands) - set(failed)):
            del self._islands[node]
        for node, since in sorted(failed.items()):
            since_ms = self._start_ms + since
            before = self._islands.get(node)
            if before is None or at_ms < min(before.shutdown_ms, before.generator_ms):
                self._islands[node] = self._planned(
                    node, at_ms, since_ms, before, inputs, surge_w, energy_wh, fleet
                )
            elif at_ms >= before.generator_ms:
                self._islands[node] = self._fuelled(at_ms, before, inputs, surge_w, energy_wh, fleet)
            self._tell_phase(self._islands[node], at_ms)

    def _planned(
        self,
        node: int,
        at_ms: int,
        since_ms: int,
        before: Island | None,
        inputs: FleetInputs,
        surge_w: FloatArray,
        energy_wh: FloatArray,
        fleet: FleetState,
    ) -> Island:
        _, start_s = self._generator(node, fleet)
        ride = self._ride(node, at_ms - since_ms, inputs, surge_w, energy_wh, fleet)
        keeps = ride.keeps_class if before is None else min(ride.keeps_class, before.keeps_class)
        if before is None or keeps != before.keeps_class:
            self._say(IncidentKind.RIDE_THROUGH, at_ms, node, _sentence(ride, keeps))
        shutdown_ms = at_ms + ride.shutdown_at_s * MS_PER_S
        return Island(node, since_ms, keeps, shutdown_ms, since_ms + start_s * MS_PER_S)

    def _fuelled(
        self,
        at_ms: int,
        before: Island,
        inputs: FleetInputs,
        surge_w: FloatArray,
        energy_wh: FloatArray,
        fleet: FleetState,
    ) -> Island:
        """Plan an island whose generator carries it, or has carried it until its tank was empty."""
        node = before.node
        rows, _ = self._generator(node, fleet)
        rated_w = float(self._plan.params.p_max_w[rows].sum())
        fuel_wh = float(fleet.fuel_wh[rows].sum())
        self._look_ms.pop(node, None)
        if not rows.size:
            dry_ms = min(before.dry_ms, float(at_ms))
            if np.isinf(before.dry_ms):
                self._say(IncidentKind.GENERATOR_DRY, at_ms, node, "")
            if at_ms >= before.shutdown_ms:
                return replace(before, dry_ms=dry_ms)
            since_ms = before.since_ms
            planned = self._planned(node, at_ms, since_ms, before, inputs, surge_w, energy_wh, fleet)
            return replace(planned, generator_ms=before.generator_ms, dry_ms=dry_ms)
        if not np.isfinite(fuel_wh):
            return replace(before, keeps_class=N_LOAD_CLASSES - 1, shutdown_ms=np.inf)
        self._look_ms[node] = at_ms + max(lasts_s(fuel_wh, rated_w, rated_w) - DRY_S, DRY_S) * MS_PER_S
        if before.generator_ms <= before.shutdown_ms <= at_ms:
            return before
        by_class, units = self._loads_and_units(node, inputs)
        load_w = min(float(by_class.sum()), rated_w)
        left_s = lasts_s(fuel_wh, load_w, rated_w) + lasts_for_s(load_w, surge_w[units], energy_wh[units])
        shutdown_ms = at_ms + max(left_s - self._terms.shutdown_s, 0.0) * MS_PER_S
        return replace(before, keeps_class=N_LOAD_CLASSES - 1, shutdown_ms=shutdown_ms)

    def _off_ms(self, island: Island) -> float:
        """Return when an orderly shutdown is done."""
        return island.shutdown_ms + self._terms.shutdown_s * MS_PER_S

    def horizon_s(self, now_ms: int, stop_s: float) -> float:
        """Return how long islands' storages have to last: what each is asked for, it must hold until then."""
        at_ms = self._start_ms + now_ms
        ends = [
            min(island.generator_ms if at_ms < island.generator_ms else np.inf, self._off_ms(island))
            for island in self._islands.values()
            if not island.is_supplied(at_ms)
        ]
        left_s = min(((end - at_ms) / MS_PER_S for end in ends), default=stop_s)
        return min(max(left_s, stop_s), LONGEST_STEP_S)

    def with_generators(self, now_ms: int, inputs: FleetInputs) -> FleetInputs:
        """Return the inputs with the generators that run now.

        At first a generator takes over the loads and nothing more, so that storages come to rest before they charge;
        then its whole rating is available.
        """
        at_ms = self._start_ms + now_ms
        running = [i for i in self._islands.values() if i.is_supplied(at_ms) and at_ms < self._off_ms(i)]
        if not running:
            return inputs
        available = inputs.solar_available_w.copy()
        for island in running:
            rows = self._engines(island.node)
            rated_w = self._plan.params.p_max_w[rows]
            if at_ms < island.generator_ms + TAKEOVER_MS:
                loads = self._below(island.node) & self._is_load()
                rated_w = rated_w * min(1.0, float(inputs.load_demand_w[loads].sum() / rated_w.sum()))
            available[rows] = rated_w
        return replace(inputs, solar_available_w=available)

    def kept_off(self, now_ms: int) -> tuple[BoolArray, IntArray, IntArray]:
        """Return which loads are kept off, why (`Reason`), and the failed node, (n_devices,) each."""
        n = self._plan.params.n_devices
        off, reason, about = np.zeros(n, np.bool_), np.zeros(n, np.int64), np.full(n, -1, np.int64)
        at_ms = self._start_ms + now_ms
        for island in self._islands.values():
            if island.is_supplied(at_ms) and at_ms < self._off_ms(island):
                continue
            loads = self._below(island.node) & self._is_load()
            is_over = at_ms >= self._off_ms(island)
            rows = loads & (is_over | (self._plan.params.priority > island.keeps_class))
            off |= rows
            reason[rows] = Reason.SHUTDOWN if is_over else Reason.RIDE_THROUGH
            about[rows] = island.node
        return off, reason, about

    def _energy_wh(
        self, fleet: FleetState, surge_w: FloatArray, held_w: FloatArray, horizon_s: float
    ) -> FloatArray:
        """Return what each storage has to give at its terminal, (n_devices,) Wh.

        Where its energy limits it over the horizon, that is what it promises to hold; else what is left in it, at the
        efficiency of full power.
        """
        params = self._plan.params
        left_wh = np.zeros(params.n_devices)
        units = np.flatnonzero(params.is_storage & (surge_w > 0.0))
        stored_wh = np.maximum(fleet.energy_wh[units] - params.floor_wh[units], 0.0)
        left_wh[units] = stored_wh * surge_w[units] / storage_power_w(params, units, surge_w[units])
        return np.where(held_w < surge_w, held_w * (horizon_s / SECONDS_PER_HOUR), left_wh)

    def _ride(
        self,
        node: int,
        elapsed_ms: int,
        inputs: FleetInputs,
        surge_w: FloatArray,
        energy_wh: FloatArray,
        fleet: FleetState,
    ) -> RideThrough:
        by_class, units = self._loads_and_units(node, inputs)
        rows, start_s = self._generator(node, fleet)
        is_enough = float(self._plan.params.p_max_w[rows].sum()) >= float(by_class.sum())
        comes_s = max(start_s - elapsed_ms / MS_PER_S, 0.0) if is_enough and rows.size else np.inf
        return ride_through(by_class, surge_w[units], energy_wh[units], self._terms.shutdown_s, comes_s)

    def _loads_and_units(self, node: int, inputs: FleetInputs) -> tuple[FloatArray, BoolArray]:
        """Return an island's load by class, W, and which devices are storages to count on, (n_devices,)."""
        params, below = self._plan.params, self._below(node)
        loads = below & self._is_load()
        by_class = sum_by(params.priority[loads], inputs.load_demand_w[loads], N_LOAD_CLASSES)
        return by_class, below & params.is_storage & (params.kind != Kind.VEHICLE) & self._is_healthy

    def _generator(self, node: int, fleet: FleetState) -> tuple[IntArray, float]:
        """Return the generators of an island that have fuel, and when the last of them carries load, s; inf: none."""
        rows = self._engines(node)
        least_wh = FUEL_PU[-1] * self._plan.params.p_max_w[rows] * (DRY_S / SECONDS_PER_HOUR)
        rows = rows[fleet.fuel_wh[rows] > least_wh]
        return rows, float(self._terms.start_s[rows].max()) if rows.size else np.inf

    def _engines(self, node: int) -> IntArray:
        return np.flatnonzero(self._below(node) & (self._plan.params.kind == Kind.GENERATOR))

    def _below(self, node: int) -> BoolArray:
        below: BoolArray = self._above[self._plan.tree.depth[node], self._plan.node_of_device] == node
        return below

    def _is_load(self) -> BoolArray:
        params: FleetParameters = self._plan.params
        return np.isin(params.kind, (Kind.LOAD, Kind.THERMOSTATIC_LOAD))

    def _tell_phase(self, island: Island, at_ms: int) -> None:
        for kind, change_ms in (
            (IncidentKind.GENERATOR_ON, island.generator_ms),
            (IncidentKind.SHUTDOWN_BEGUN, island.shutdown_ms),
            (IncidentKind.SHUTDOWN_DONE, self._off_ms(island)),
        ):
            if change_ms <= at_ms < change_ms + 1:
                self._say(kind, at_ms, island.node, "")

    def _say(self, kind: IncidentKind, at_ms: int, node: int, text: str) -> None:
        name = self._plan.tree.names[node]
        self.incidents.append(Incident(kind, at_ms / MS_PER_S, f"{name}: {text}" if text else name))


def _sentence(ride: RideThrough, keeps: int) -> str:
    if keeps < 0:
        return "nothing can stay on"
    stays = f"loads up to {ImportClass(keeps).name.lower()} stay on"
    if ride.waits_for_generator:
        return f"{stays}: storages carry them for {ride.lasts_s:,.0f} s, the generator comes before"
    return f"{stays} for {ride.lasts_s:,.0f} s: orderly shutdown begins after {ride.shutdown_at_s:,.0f} s"
