"""One interval on the event-driven clock: 100 ms periods while something changes, one coast when nothing does.

| phase | how long a step is | what happens |
|---|---|---|
| islanding | 10 ms, one firmware step | as a burst, for two seconds after a supply was lost (`dispatch_ride`) |
| burst | 100 ms, the controller's period | measure, decide, send what changed, firmware, devices |
| coast | to the next stop or renewal | the same code; setpoints are trimmed to the milliwatt first |

So the control period adapts between 10 ms and the lease's renewal (200 s), at once in both directions. A burst begins
at every stop (new inputs, grid event, failure, takeover) and whenever a decision moves a setpoint by more than a small
deadband; it ends when no setpoint moved and no power ramped in the last period. No storage can reach a bound inside a
coast: its power was promised by `deliverable_w` for longer than the coast lasts.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from devices.firmware import command
from devices.fleet import LONGEST_STEP_S, SHORTEST_STEP_S, deliverable_w, step
from devices.needs import contribution_wh, request_wh, vehicle_slack_s
from devices.specification import Mode
from devices.state import FleetInputs, FleetState
from node.controller.control_plan import ControlPlan, islanded
from node.controller.decision import Decision, KeptOff, Period, decide, no_decision
from node.controller.grid_events import Call
from node.controller.microgrid_decision import decide_with_islands
from node.hub.dispatch_clock import MS_PER_S, Timeline
from node.hub.dispatch_islands import IslandRun
from node.hub.dispatch_ledger import Ledger
from node.hub.dispatch_racks import RackRun
from node.hub.dispatch_records import Incident, IncidentKind, IntervalInputs, Schedule
from node.hub.dispatch_ride import SURGE_S, RideRun
from node.hub.dispatch_state import World
from node.hub.dispatch_voice import Voice, deadband_w
from node.hub.dispatch_voltage import VoltageRun
from node.hub.swarm_run import SwarmRun

PERIOD_MS = 100
# Well before a lease ends (`dispatch_voice.LEASE_MS`).
RENEW_MS = 200_000
# A burst that does not settle (a ramp of many minutes) goes on in coarse steps: ramps are exact in any step.
LONGEST_BURST_PERIODS = 50
# In an island slow storages advance by what is assured of them in each period, a tenth of their ramp.
LONGEST_ISLAND_BURST_PERIODS = 300
# The slowest inverters ramp for a second; until then an island's fast storages follow them step by step.
ISLANDING_MS = 2_000
FIRMWARE_MS = 10
TRIM_W = 0.01

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class IntervalRun:
    """The running interval: devices, the controller's memory, the books."""

    def __init__(
        self,
        plan: ControlPlan,
        start_s: int,
        timeline: Timeline,
        world: World,
        inputs: IntervalInputs,
        schedule: Schedule,
        is_healthy: BoolArray,
        grid: VoltageRun | None = None,
        islands: IslandRun | None = None,
        racks: RackRun | None = None,
        ride: RideRun | None = None,
    ) -> None:
        self._normal_plan = self._plan = plan
        self._islands = islands
        self._start_s = start_s
        self._timeline = timeline
        self._inputs = inputs
        self._schedule = schedule
        self._is_healthy = is_healthy
        self._grid = grid
        self._racks, self._ride = racks, ride
        self._fleet = world.fleet
        self._request_wh = self._offer_wh = np.zeros(plan.params.n_devices)
        self._must_charge = np.zeros(plan.params.n_devices, np.bool_)
        self._limits: tuple[FloatArray, FloatArray] | None = None
        self._calls: tuple[Call, ...] = ()
        self._off: KeptOff | None = None
        self._surge_w: FloatArray | None = None
        self._failed: tuple[int, ...] = ()
        cut = {*timeline.failed_before(), *(() if islands is None else islands.cut_nodes())}
        if cut:
            self._cut(tuple(sorted(cut)))
        self._decision = no_decision(plan.params.n_devices)
        self._was_silent = False
        self._is_settled = False
        self._burst_periods = 0
        self._renew_ms = 0
        self.swarm = (
            None if schedule.frequency is None else SwarmRun(plan, schedule.frequency, start_s, self._fleet)
        )
        self.ledger = Ledger(plan)
        self.incidents: list[Incident] = []
        self._deadband_w = deadband_w(plan.params)
        self._voice = Voice(world.dispatch, self.ledger, start_s, self._deadband_w)

    def run(self) -> World:
        """Run to the interval's end and return the world there."""
        now_ms = 0
        while now_ms < self._timeline.end_ms:
            now_ms = self.advance(now_ms, self._timeline.end_ms)
        if self._grid is not None:
            self._grid.close()
            self.incidents += self._grid.incidents
        return self.world()

    def world(self) -> World:
        """Return the world as it is now."""
        return World(
            self._fleet,
            self._voice.memory(),
            voltage=None if self._grid is None else self._grid.state(),
            islands=() if self._islands is None else tuple(self._islands.states),
            racks=None if self._racks is None else self._racks.memory,
            ridden=() if self._ride is None else self._ride.islands,
        )

    def advance(self, now_ms: int, until_ms: int) -> int:
        """Run one control period, coast or silence, no longer than until then; return when it ended."""
        stop_ms = self._next_stop_ms(now_ms)
        is_silent = self._timeline.is_silent(now_ms)
        if self._racks is not None:
            # Meters measure whoever commands: the standby has listened too.
            self._racks.measure(now_ms, self._inputs.steps[self._timeline.input_step(now_ms)])
        if self._was_silent and not is_silent:
            fence = self._voice.take_over()
            at_s = self._start_s + now_ms / MS_PER_S
            self.incidents.append(Incident(IncidentKind.TAKEOVER, at_s, str(fence)))
        self._was_silent = is_silent
        end_ms = min(stop_ms, until_ms)
        now_ms += self._wait(now_ms, end_ms) if is_silent else self._act(now_ms, end_ms)
        if now_ms == stop_ms:
            self._is_settled = False
            self._burst_periods = 0
            self._renew_ms = now_ms
            self._limits = None
            if self._grid is not None:
                self._grid.stopped()
        return now_ms

    def _next_stop_ms(self, now_ms: int) -> int:
        stop_ms = self._timeline.next_stop_ms(now_ms)
        if self._islands is not None:
            stop_ms = self._islands.next_stop_ms(now_ms, stop_ms)
        return stop_ms if self._ride is None else self._ride.next_stop_ms(now_ms, stop_ms)

    def _act(self, now_ms: int, stop_ms: int) -> int:
        """Run one control period or coast; return its length in milliseconds."""
        self._follow_failures(now_ms)
        self._follow_taps(now_ms)
        inputs = self._seen(now_ms)
        is_swarm_due = self.swarm is not None and self.swarm.is_due(now_ms)
        if self._limits is None:
            self._ride_through(now_ms, inputs)
            inputs = self._seen(now_ms)
            self._measure_limits(now_ms, stop_ms, inputs)
            if self._racks is not None:
                self._racks.decide(now_ms, stop_ms, inputs, self._fleet, self._plan.island)
        elif is_swarm_due:
            self._measure_limits(now_ms, stop_ms, inputs)
        period_ms = self._period_ms(now_ms)
        decision = self._decide(self._period(now_ms, inputs))
        if self._grid is not None:
            decision = self._grid.curtail(decision, inputs, self._plan.params.kind)
        self._decision = decision
        self.ledger.add_decision(decision)
        change = self._voice.change_w(decision)
        has_moved = change > self._deadband_w
        is_coast = self._is_settled and not has_moved.any()
        is_changed = change > TRIM_W if is_coast else has_moved
        if now_ms >= self._renew_ms:
            self._renew_ms = now_ms + RENEW_MS
            rows = np.arange(change.size)
            self._fleet = self._voice.send(self._plan, self._fleet, rows, is_changed, decision, now_ms)
        elif is_changed.any():
            rows = np.flatnonzero(is_changed)
            self._fleet = self._voice.send(self._plan, self._fleet, rows, is_changed[rows], decision, now_ms)
        if self.swarm is not None and is_swarm_due:
            self.swarm.refresh(now_ms, self._fleet, inputs, decision, self._is_healthy, self._plan)
        if is_coast and self._grid is not None:
            self._grid.settle(now_ms, inputs, self._fleet, self._plan.in_island)
            stop_ms = self._grid.due_ms(stop_ms)
        dt_ms = min(stop_ms, self._renew_ms) - now_ms if is_coast else min(period_ms, stop_ms - now_ms)
        is_quiet, dt_ms = self._step(now_ms, inputs, dt_ms)
        if is_coast:
            self.ledger.n_coasts += 1
            return dt_ms
        self.ledger.n_periods += 1
        self._burst_periods += 1
        longest = LONGEST_ISLAND_BURST_PERIODS if self._failed else LONGEST_BURST_PERIODS
        self._is_settled = (is_quiet and not has_moved.any()) or self._burst_periods >= longest
        return dt_ms

    def _ride_through(self, now_ms: int, inputs: FleetInputs) -> None:
        """Plan islands again."""
        if self._ride is None:
            return
        failed = self._timeline.failed_since_ms(now_ms)
        self._ride.follow(now_ms, failed, inputs, self._in_emergency())
        self.incidents += self._ride.incidents
        self._ride.incidents.clear()
        self._off = KeptOff(*self._ride.kept_off(now_ms)) if failed else None

    def _in_emergency(self) -> FleetState:
        """Return the fleet with islands' storages free to use the owners' reserves: that is what they are for."""
        in_island = self._plan.in_island & self._plan.params.is_storage
        return replace(self._fleet, mode=np.where(in_island, Mode.EMERGENCY, self._fleet.mode))

    def _decide(self, period: Period) -> Decision:
        orders = None if self._islands is None else self._islands.orders()
        if self._islands is None or orders is None:
            return decide(self._plan, period)
        decision = decide_with_islands(self._plan, period, orders)
        self._fleet = self._islands.formed(self._fleet, decision)
        return decision

    def _wait(self, now_ms: int, stop_ms: int) -> int:
        """Let devices go on alone: nobody commands."""
        return self._step(now_ms, self._seen(now_ms), stop_ms - now_ms)[1]

    def _seen(self, now_ms: int) -> FleetInputs:
        """Return what the world does to the devices now, the voltage they see with it."""
        inputs = self._inputs.steps[self._timeline.input_step(now_ms)]
        if self._ride is not None:
            inputs = self._ride.with_generators(now_ms, inputs)
        if self._grid is None:
            return inputs
        island_v = np.ones(self._plan.params.n_devices) if self._islands is None else self._islands.v_pu()
        return self._grid.see(inputs, self._fleet, self._plan.in_island, island_v)

    def _follow_taps(self, now_ms: int) -> None:
        if self._grid is not None and self._grid.switch(now_ms):
            self._is_settled = False
            self._burst_periods = 0

    def _follow_failures(self, now_ms: int) -> None:
        failed = self._timeline.failed_nodes(now_ms)
        if self._islands is not None:
            step_row = self._timeline.input_step(now_ms)
            inputs = self._inputs.steps[step_row]
            self._fleet = self._islands.follow(now_ms, failed, step_row, inputs, self._fleet)
            self.incidents += self._islands.incidents
            self._islands.incidents.clear()
            failed = tuple(sorted({*failed, *self._islands.cut_nodes()}))
        if failed == self._failed:
            return
        at_s = self._start_s + now_ms / MS_PER_S
        names = self._normal_plan.tree.names
        self.incidents += [
            Incident(IncidentKind.SUPPLY_FAILED, at_s, names[node])
            for node in failed
            if node not in self._failed
        ]
        self.incidents += [
            Incident(IncidentKind.SUPPLY_BACK, at_s, names[node])
            for node in self._failed
            if node not in failed
        ]
        self._cut(failed)

    def _cut(self, failed: tuple[int, ...]) -> None:
        """Plan anew with nothing flowing through some nodes."""
        plan = self._normal_plan if self._islands is None else self._islands.sharing(self._normal_plan)
        self._failed = failed
        self._plan = islanded(plan, np.array(failed, np.int64)) if failed else self._normal_plan

    def _measure_limits(self, now_ms: int, stop_ms: int, inputs: FleetInputs) -> None:
        """Ask what devices can hold until the interval ends, and until each active event ends.

        Asked at stops only: who holds no more than was promised keeps the promise alive.
        """
        fleet, params = self._fleet, self._plan.params
        if self._failed:
            fleet = self._in_emergency()
        self._request_wh = request_wh(params, fleet, inputs)
        self._offer_wh = contribution_wh(params, fleet, inputs)
        left_s = (self._timeline.end_ms - now_ms) / MS_PER_S
        if self._failed and self._ride is not None:
            stop_s = (stop_ms - now_ms) / MS_PER_S
            left_s = self._ride.horizon_s(now_ms, stop_s)
            self._surge_w = deliverable_w(params, fleet, inputs, SURGE_S)[1]
        self._limits = deliverable_w(params, fleet, inputs, left_s)
        # Vehicles that cannot wait for the next interval.
        self._must_charge[params.vehicle_rows] = vehicle_slack_s(params, self._fleet, inputs) < left_s
        calls = []
        for row in self._timeline.active_events(now_ms):
            event = self._schedule.events[row]
            horizon_s = (self._timeline.event_ms[row][1] - now_ms) / MS_PER_S
            low, high = deliverable_w(
                params, fleet, inputs, min(max(horizon_s, SHORTEST_STEP_S), LONGEST_STEP_S)
            )
            members = params.is_storage if event.members is None else event.members
            calls.append(Call(event.direction * event.requested_w, members, low, high, event.cap_w))
        self._calls = tuple(calls)

    def _period_ms(self, now_ms: int) -> int:
        """Return how long a control period is: as short as a firmware step where an island has to find its balance."""
        since = self._timeline.failed_since_ms(now_ms).values() if self._ride is not None else ()
        return FIRMWARE_MS if any(now_ms - at < ISLANDING_MS for at in since) else PERIOD_MS

    def _period(self, now_ms: int, inputs: FleetInputs) -> Period:
        assert self._limits is not None
        low, high = self._limits
        if self.swarm is not None:
            # Plans leave free what was sold as reserve.
            down_w, up_w = self.swarm.held_w()
            low = np.where(low < 0.0, np.minimum(low + down_w, 0.0), low)
            high = np.where(up_w > 0.0, np.maximum(high - up_w, 0.0), high)
        return Period(
            state=self._fleet,
            inputs=inputs,
            p_min_w=low,
            p_max_w=high,
            planned_w=self._schedule.planned_p_w,
            request_wh=self._request_wh,
            target_wh=self._schedule.target_export_wh + self.ledger.ordered_wh,
            delivered_wh=self.ledger.delivered_wh,
            left_s=(self._timeline.end_ms - now_ms) / MS_PER_S,
            must_charge=self._must_charge,
            calls=self._calls,
            is_healthy=self._is_healthy,
            tie=None if self._racks is None else self._racks.tie,
            off=self._off,
            surge_w=self._surge_w if self._failed else None,
            offer_wh=self._offer_wh,
        )

    def _step(self, now_ms: int, inputs: FleetInputs, dt_ms: int) -> tuple[bool, int]:
        """Run firmware and devices; return whether no power moved that the controller moved, and the time run.

        With a swarm the time is cut where the frequency asks for it, and ends early when promises are due.
        """
        # No lease begins or ends inside the time: firmware's setpoints are the same in every fine step.
        self._fleet, told = command(self._plan.params, self._fleet, inputs, self._start_s + now_ms / MS_PER_S)
        self._request_wh, self._offer_wh = told.request_wh, told.contribute_wh
        if self.swarm is None:
            return self._fine_step(now_ms, inputs, dt_ms, told.setpoint_w), dt_ms
        is_quiet, at_ms, end_ms = True, now_ms, now_ms + dt_ms
        while at_ms < end_ms:
            length_ms = self.swarm.step_ms(at_ms, end_ms)
            is_quiet &= self._fine_step(at_ms, inputs, length_ms, told.setpoint_w)
            at_ms += length_ms
            if at_ms < end_ms and self.swarm.is_due(at_ms):
                break
        return is_quiet, at_ms - now_ms

    def _fine_step(self, now_ms: int, inputs: FleetInputs, dt_ms: int, told_w: FloatArray) -> bool:
        before: FleetState = self._fleet
        dt_s = dt_ms / MS_PER_S
        setpoint_w = told_w
        if self.swarm is not None:
            answer_w = self.swarm.response_w(now_ms, dt_ms)
            setpoint_w = setpoint_w + answer_w
            if self.swarm.has_news(answer_w):
                self._voice.log_answers(self.swarm.rows, setpoint_w[self.swarm.rows], now_ms)
        self._fleet, flows = step(self._plan.params, before, inputs, setpoint_w, dt_s)
        if self._racks is not None:
            self._racks.add_step(self._decision, before, flows, dt_s)
        self.ledger.add_step(flows, self._decision, dt_s)
        if self._islands is not None:
            self._islands.add_step(now_ms, dt_ms, self._fleet, flows)
        if self._grid is not None:
            self._grid.count(flows, dt_s)
        moved = np.abs(self._fleet.p_w - before.p_w)
        if self.swarm is not None:
            given_w = self.swarm.after_step(now_ms, dt_ms, told_w, self._fleet, flows)
            self.ledger.add_answer(given_w, dt_s)
            moved[self.swarm.rows] = 0.0
        return not bool(np.any(moved > self._deadband_w))
