"""Microgrids in a running interval: when the supply goes they find out, elect, form, shed, go dark, and come back.

The decisions are pure (node/controller: microgrid, election, shedding, droop, pick-up, reconnection); here is when
they are asked, and what devices, books and the list of incidents are told.
"""

from dataclasses import replace
from math import ceil
from random import Random

import numpy as np
from numpy.typing import NDArray

from devices.specification import Priority
from devices.state import FleetInputs, FleetState, StepFlows
from node.controller import election
from node.controller.control_plan import ControlPlan
from node.controller.decision import Decision
from node.controller.microgrid import (
    NEVER_MS,
    Microgrid,
    MicrogridState,
    Phase,
    plan_hours,
    stopped,
    usable_wh,
)
from node.controller.microgrid_decision import IslandOrders
from node.controller.microgrid_detection import detect, drift
from node.controller.microgrid_pickup import sequence
from node.controller.microgrid_reconnection import (
    ENTER_SERVICE_S,
    GridWatch,
    Terminal,
    angle_between_deg,
    frequency_to_turn_hz,
    may_close,
)
from node.controller.network import NO_NODE, FloatArray, sum_by
from node.hub.dispatch_records import Incident, IncidentKind
from node.hub.island_election import able_members, hold_election
from node.hub.island_records import IslandAhead, IslandOutcome, counted_loads, expected
from node.hub.island_voltage import FINE_MS, IslandVoltage

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

PERIOD_MS = 100
N_CLASSES = len(Priority)


class IslandRun:
    """The microgrids of a community while an interval runs.

    Parameters
    ----------
    states : tuple of MicrogridState
        At the interval's start, in the order of `grids`.
    ahead : IslandAhead or None
        Forecasts; None: as it is now, for this interval only.
    """

    def __init__(
        self,
        grids: tuple[Microgrid, ...],
        plan: ControlPlan,
        states: tuple[MicrogridState, ...],
        start_s: int,
        length_s: int,
        ahead: IslandAhead | None,
        is_healthy: BoolArray,
    ) -> None:
        self._grids = grids
        self._plan = plan
        self.states = list(states)
        self._start_s, self._length_s = start_s, length_s
        self._ahead = ahead
        self._is_healthy = is_healthy
        self._paths = [frozenset(plan.tree.path_to_root(grid.node)) for grid in grids]
        self._reviewed = [-1 for _ in grids]  # input step of the newest plan
        self._voltage = [
            IslandVoltage(grid, plan.params, is_healthy, state)
            for grid, state in zip(grids, states, strict=True)
        ]
        self._cut_s = [0.0 for _ in grids]
        self._served_wh = [np.zeros(grid.loads.size) for grid in grids]
        self._unserved_wh = [np.zeros(grid.loads.size) for grid in grids]
        self.incidents: list[Incident] = []

    # -------------------------------------------------------------- what the controller asks

    def cut_nodes(self) -> frozenset[int]:
        """Return the nodes whose switch is open."""
        return frozenset(
            grid.node for grid, state in zip(self._grids, self.states, strict=True) if state.is_cut
        )

    def sharing(self, plan: ControlPlan) -> ControlPlan:
        """Return the plan in which all storages of an island serve all of it."""
        lends = plan.lends.copy()
        for grid, state in zip(self._grids, self.states, strict=True):
            if state.is_cut:
                lends[grid.storages] = True
        return replace(plan, lends=lends)

    def next_stop_ms(self, now_ms: int, stop_ms: int) -> int:
        """Return when an island needs the controller, at most `stop_ms`; ms after the interval's start."""
        base = self._start_s * 1_000
        for state in self.states:
            if not state.is_cut:
                continue
            due = state.due_ms
            if state.phase is not Phase.SYNCHRONISING:
                due = min(due, state.back_ms + round(ENTER_SERVICE_S * 1_000))
            due -= base
            if state.recent:
                due = min(due, now_ms + PERIOD_MS)
            stop_ms = min(stop_ms, max(due, now_ms + 1))
        return stop_ms

    def orders(self) -> IslandOrders | None:
        """Return what islands ask of devices; None while nothing is cut off."""
        if not any(state.is_cut for state in self.states):
            return None
        n = self._plan.params.n_devices
        is_inside, is_dark, is_shed, is_waiting = (np.zeros(n, np.bool_) for _ in range(4))
        node = np.full(n, NO_NODE, np.int64)
        for grid, state in zip(self._grids, self.states, strict=True):
            if not state.is_cut:
                continue
            is_inside[grid.devices] = True
            node[grid.devices] = grid.node
            is_dark[grid.devices] = not state.has_voltage
            waiting = [row for row, _ in state.waiting]
            is_waiting[waiting] = True
            is_shed[np.setdiff1d(grid.loads, np.r_[state.on, waiting].astype(np.int64))] = True
        return IslandOrders(is_inside, is_dark, is_shed, is_waiting, node)

    def formed(self, fleet: FleetState, decision: Decision) -> FleetState:
        """Return the fleet with forming storages at their power: a voltage source has no ramp."""
        p_w = fleet.p_w.copy()
        for grid, state in zip(self._grids, self.states, strict=True):
            if state.is_cut and state.has_voltage:
                p_w[grid.storages] = decision.granted_w[grid.storages]
        return replace(fleet, p_w=p_w)

    def v_pu(self) -> FloatArray:
        """Return the voltage that islands give their devices, (n_devices,); 1 for all others."""
        v_pu = np.ones(self._plan.params.n_devices)
        for grid, state in zip(self._grids, self.states, strict=True):
            if state.is_cut and state.has_voltage:
                v_pu[grid.devices] = state.v_pu
        return v_pu

    # -------------------------------------------------------------- what happens

    def follow(
        self, now_ms: int, failed: tuple[int, ...], input_step: int, inputs: FleetInputs, fleet: FleetState
    ) -> FleetState:
        """Let everything happen that is due; return the fleet, stopped where its voltage went."""
        at_ms = self._start_s * 1_000 + now_ms
        for k, grid in enumerate(self._grids):
            is_lost = bool(self._paths[k] & set(failed))
            before = self.states[k]
            if not before.is_cut:
                if not is_lost:
                    continue
                self._lose(k, at_ms, fleet)
            else:
                self._watch_grid(k, is_lost, at_ms)
            for _ in range(10_000):
                state = self.states[k]
                if not (state.is_cut and self._happens(k, at_ms, input_step, inputs, fleet)):
                    break
            if before.has_voltage and not self.states[k].has_voltage:
                fleet = stopped(fleet, grid.devices)
        return fleet

    def add_step(self, now_ms: int, dt_ms: int, fleet: FleetState, flows: StepFlows) -> None:
        """Enter one step of the fleet: voltage and frequency, and who was served."""
        at_ms = self._start_s * 1_000 + now_ms
        for k, (grid, state) in enumerate(zip(self._grids, self.states, strict=True)):
            if not state.is_cut:
                continue
            self._cut_s[k] += dt_ms / 1_000
            self._served_wh[k] += flows.sink_wh[grid.loads]
            self._unserved_wh[k] += flows.unserved_wh[grid.loads]
            self.states[k] = self._voltage[k].step(state, at_ms, dt_ms, fleet, flows)

    def outcomes(self, fleet: FleetState) -> tuple[IslandOutcome, ...]:
        """Return what each microgrid that was cut off did."""
        params, found = self._plan.params, []
        for k, (grid, state) in enumerate(zip(self._grids, self.states, strict=True)):
            if self._cut_s[k] <= 0.0:
                continue
            klass = params.priority[grid.loads]
            served = sum_by(klass, self._served_wh[k], N_CLASSES)
            wanted = served + sum_by(klass, self._unserved_wh[k], N_CLASSES)
            left_wh = usable_wh(grid, params, fleet, self._is_healthy)
            found.append(
                IslandOutcome(
                    grid.name, state.phase, state.leader, state.term, self._cut_s[k], wanted, served, left_wh,
                    tuple(self._voltage[k].samples),
                )
            )  # fmt: skip
        return tuple(found)

    def _happens(self, k: int, at_ms: int, input_step: int, inputs: FleetInputs, fleet: FleetState) -> bool:
        """Do the next thing that is due; return whether there was any."""
        state = self.states[k]
        if at_ms >= state.back_ms + round(ENTER_SERVICE_S * 1_000) and state.phase is not Phase.SYNCHRONISING:
            self._return(k, at_ms)
            return True
        if state.phase in (Phase.FORMING, Phase.ISLANDED, Phase.DARK) and self._reviewed[k] != input_step:
            self._reviewed[k] = input_step
            if state.phase is not Phase.DARK:
                self._succeed(k, at_ms)
            self._review(k, at_ms, inputs, fleet)
            return True
        if at_ms < state.due_ms:
            return False
        match state.phase:
            case Phase.LOST:
                self._tell(IncidentKind.ISLAND_DETECTED, k, state.due_ms, state.pending)
                self._elect(k, state.due_ms)
            case Phase.ELECTING:
                self._reviewed[k] = input_step
                self._take_lead(k, state.due_ms, inputs, fleet)
            case Phase.FORMING | Phase.ISLANDED:
                self._pick_up(k, at_ms)
            case Phase.SYNCHRONISING:
                self._synchronise(k, at_ms)
            case _:
                self.states[k] = replace(state, due_ms=NEVER_MS)
        return True

    def _lose(self, k: int, at_ms: int, fleet: FleetState) -> None:
        """The switch sees no supply: what devices measure from now on decides when they know."""
        grid = self._grids[k]
        p_w = fleet.p_w[grid.devices]
        t_s, v_pu, f_hz = drift(float(p_w[p_w > 0].sum()), float(-p_w[p_w < 0].sum()), grid.nominal_hz)
        trip = detect(t_s, v_pu, f_hz, grid.nominal_hz)
        assert trip is not None  # a part without supply leaves the windows by itself
        self._voltage[k].record_drift(at_ms, t_s, v_pu, f_hz, trip.at_s)
        self.states[k] = MicrogridState(
            phase=Phase.LOST,
            since_ms=at_ms,
            due_ms=at_ms + round(trip.at_s * 1_000),
            terms=self.states[k].terms,
            began_ms=at_ms,
            pending=f"{trip.cause.name.lower().replace('_', ' ')} after {trip.at_s:.2f} s",
        )

    def _watch_grid(self, k: int, is_lost: bool, at_ms: int) -> None:
        state = self.states[k]
        if is_lost:
            if state.phase is Phase.SYNCHRONISING:
                state = replace(state, phase=Phase.ISLANDED, since_ms=at_ms, due_ms=NEVER_MS)
                self._voltage[k].set_hz = self._grids[k].nominal_hz
            self.states[k] = replace(state, back_ms=NEVER_MS)
        elif state.back_ms == NEVER_MS:
            # Nobody kept the phase while there was nothing to compare with.
            angle = Random(self._grids[k].seed * 1_000_003 + at_ms).uniform(-180.0, 180.0)
            self.states[k] = replace(state, back_ms=at_ms, angle_deg=angle)
            self._tell(IncidentKind.GRID_HEALTHY, k, at_ms, f"waits {ENTER_SERVICE_S:.0f} s")

    def _elect(self, k: int, at_ms: int) -> None:
        able = able_members(self._grids[k], self._plan, self._is_healthy)
        found = hold_election(self._grids[k], self.states[k], able, at_ms)
        self.states[k] = replace(
            self.states[k], phase=Phase.ELECTING, since_ms=at_ms, due_ms=at_ms + found.took_ms,
            leader=found.leader, term=found.term, terms=found.terms, pending=found.told, on=(), waiting=(), recent=(),
        )  # fmt: skip

    def _succeed(self, k: int, at_ms: int) -> None:
        """Let a leader whose storages have become unhealthy hand over; what it ordered holds meanwhile."""
        grid, state = self._grids[k], self.states[k]
        able = able_members(grid, self._plan, self._is_healthy)
        if state.leader in able or not able:
            return
        found = hold_election(grid, state, able, at_ms, is_resigning=True)
        if found.leader < 0:
            return  # nobody hears anybody: the next review tries again
        self.states[k] = replace(state, leader=found.leader, term=found.term, terms=found.terms)
        self._tell(
            IncidentKind.LEADER_ELECTED, k, at_ms + found.took_ms,
            f"account {found.leader} term {election.count_of(found.term)}, account {state.leader} handed over: "
            f"its storage is unhealthy, {found.told}",
        )  # fmt: skip

    def _take_lead(self, k: int, at_ms: int, inputs: FleetInputs, fleet: FleetState) -> None:
        state = self.states[k]
        if state.leader < 0:
            self._go_dark(k, at_ms, "nobody can form it")
            return
        term = election.count_of(state.term)
        self._tell(
            IncidentKind.LEADER_ELECTED, k, at_ms, f"account {state.leader} term {term}, {state.pending}"
        )
        self.states[k] = replace(state, phase=Phase.FORMING, since_ms=at_ms, due_ms=NEVER_MS)
        self._review(k, at_ms, inputs, fleet)

    def _review(self, k: int, at_ms: int, inputs: FleetInputs, fleet: FleetState) -> None:
        """Plan the hours ahead again: who is on now, who goes off, who is picked up."""
        grid, state, params = self._grids[k], self.states[k], self._plan.params
        demand_w, sun_w = expected(self._ahead, grid, inputs)
        service = plan_hours(grid, params, fleet, demand_w, sun_w, self._is_healthy, float(self._length_s))
        now_on = service.is_on[:, 0] & (demand_w[:, 0] > 0)
        if state.phase is Phase.DARK:
            # Forming pays only where somebody stays on: a flicker at dawn is no service.
            lasts = service.is_on[:, : min(2, service.is_on.shape[1])].all(axis=1) & (demand_w[:, 0] > 0)
            if lasts.any() and sun_w[0] > 0.0:
                self._tell(IncidentKind.BLACK_START, k, at_ms, f"sun {sun_w[0] / 1e3:.1f} kW")
                self.states[k] = replace(state, began_ms=at_ms)
                self._elect(k, at_ms)
            return
        if not now_on.any() and np.any(demand_w[:, 0] > 0):
            left = usable_wh(grid, params, fleet, self._is_healthy) / 1e3
            self._go_dark(k, at_ms, f"energy is gone, {max(left, 0.0):.2f} kWh above the black-start reserve")
            return
        wanted = set(grid.loads[service.is_on[:, 0]].tolist())
        on = tuple(row for row in state.on if row in wanted)
        shed = len(state.on) - len(on)
        new = np.array(sorted(wanted - set(on)), np.int64)
        load_w = dict(zip(grid.loads.tolist(), demand_w[:, 0].tolist(), strict=True))
        rated_w = float(params.p_discharge_max_w[grid.storages[self._is_healthy[grid.storages]]].sum())
        picked = sequence(
            np.array([load_w[row] for row in new.tolist()]), params.priority[new],
            rated_w + float(sun_w[0]), sum(load_w[row] for row in on),
        )  # fmt: skip
        waiting = tuple(
            (int(new[row]), at_ms + ceil(s * 100) * FINE_MS)
            for row, s in zip(picked.row.tolist(), picked.at_s.tolist(), strict=True)
        )
        if shed:
            self._tell(IncidentKind.LOADS_SHED, k, at_ms, counted_loads(shed))
        self.states[k] = replace(state, on=on, waiting=waiting, due_ms=waiting[0][1] if waiting else at_ms)

    def _pick_up(self, k: int, at_ms: int) -> None:
        state = self.states[k]
        now = tuple((row, due) for row, due in state.waiting if due <= at_ms)
        later = tuple((row, due) for row, due in state.waiting if due > at_ms)
        changed = replace(
            state,
            on=(*state.on, *(row for row, _ in now)),
            recent=(*state.recent, *((row, at_ms) for row, _ in now)),
            waiting=later,
            due_ms=later[0][1] if later else NEVER_MS,
        )
        if state.phase is Phase.FORMING and not later:
            changed = replace(changed, phase=Phase.ISLANDED, since_ms=at_ms)
            after_s = (at_ms - state.began_ms) / 1_000
            self._tell(
                IncidentKind.ISLAND_FORMED, k, at_ms,
                f"{counted_loads(len(changed.on))} on after {after_s:.1f} s",
            )  # fmt: skip
        self.states[k] = changed

    def _go_dark(self, k: int, at_ms: int, why: str) -> None:
        self._tell(IncidentKind.ISLAND_DARK, k, at_ms, why)
        self.states[k] = replace(
            self.states[k], phase=Phase.DARK, since_ms=at_ms, due_ms=NEVER_MS, leader=-1,
            on=(), waiting=(), recent=(), f_hz=0.0, v_pu=0.0,
        )  # fmt: skip

    def _return(self, k: int, at_ms: int) -> None:
        """The grid has been healthy long enough: bring the island in phase, or close onto a dead bus."""
        state = self.states[k]
        if state.has_voltage:
            self._tell(IncidentKind.SYNCHRONISING, k, at_ms, f"{state.angle_deg:+.0f} degrees")
            self.states[k] = replace(
                state, phase=Phase.SYNCHRONISING, since_ms=at_ms, due_ms=at_ms + PERIOD_MS
            )
            return
        self._close(k, at_ms, "onto a dead bus")

    def _synchronise(self, k: int, at_ms: int) -> None:
        grid, state = self._grids[k], self.states[k]
        outside = Terminal(1.0, grid.nominal_hz)
        watch = GridWatch(grid.nominal_hz, state.back_ms / 1_000)
        inside = Terminal(state.v_pu, state.f_hz, state.angle_deg)
        if may_close(inside, outside, watch, at_ms / 1_000):
            self._close(
                k, at_ms,
                f"{inside.f_hz - outside.f_hz:+.2f} Hz, {(inside.v_pu - outside.v_pu) * 100:+.1f} %, "
                f"{angle_between_deg(inside, outside):+.1f} degrees",
            )  # fmt: skip
            return
        turning_hz = frequency_to_turn_hz(inside, outside) - outside.f_hz
        self._voltage[k].set_hz = grid.nominal_hz + turning_hz
        self.states[k] = replace(state, due_ms=at_ms + PERIOD_MS)

    def _close(self, k: int, at_ms: int, how: str) -> None:
        state = self.states[k]
        self._tell(IncidentKind.RECONNECTED, k, at_ms, how)
        self.states[k] = MicrogridState(since_ms=at_ms, terms=state.terms)
        self._voltage[k].set_hz = self._grids[k].nominal_hz

    def _tell(self, kind: IncidentKind, k: int, at_ms: int, what: str) -> None:
        self.incidents.append(Incident(kind, at_ms / 1_000, f"{self._grids[k].name}: {what}"))
