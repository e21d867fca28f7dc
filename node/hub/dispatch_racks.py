"""Tied racks inside an interval: measure, predict, decide transfers, keep the book of loans.

| moment | what happens |
|---|---|
| a load step begins | the step's load is measured; warnings are judged; the next steps are predicted |
| one control period later | transfers are decided on what was measured: a surprise is answered, not foreseen |
| `lead_s` before the next step | transfers are decided on what is predicted for it |
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from devices.fleet import deliverable_w
from devices.parameters import FleetParameters
from devices.state import FleetInputs, FleetState, StepFlows
from node.controller import forecast
from node.controller.decision import SAME_GRANT_W, Decision
from node.controller.forecast import ForecastTerms, Prediction
from node.controller.kinetic import KineticTerms, Transfers, balance
from node.controller.network import sum_by
from node.controller.ties import (
    SECONDS_PER_HOUR,
    TieOrder,
    TiePlan,
    bus_power_w,
    give_back,
    module_power_w,
    order,
    owed_change_w,
    without_racks,
)
from node.hub.dispatch_clock import MS_PER_S
from node.hub.rack_records import Overload, RackBook, RackMemory, RackOutcome, TransferRecord

PERIOD_MS = 100
LEAST_WH = 0.1

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RackControl:
    """What does not change: ties, terms, and which rows are a rack's load."""

    ties: TiePlan
    params: FleetParameters
    kinetic: KineticTerms
    terms: ForecastTerms

    def load_w(self, demand_w: FloatArray) -> FloatArray:
        """Return the racks' loads, (n_racks,) W, of a demand by device."""
        rows = np.flatnonzero(self.ties.rack_of_device >= 0)
        rows = rows[~self.params.is_storage[rows]]
        return sum_by(self.ties.rack_of_device[rows], demand_w[rows], self.ties.n_racks)

    def first_memory(self, history_w: FloatArray, last_number: int) -> RackMemory:
        """Return the memory after past loads, (n_steps, n_racks) W, the last of step `last_number`; one at least."""
        memory = forecast.begin(history_w[0], self.terms)
        first = last_number - len(history_w) + 1
        for k in range(1, len(history_w)):
            memory = forecast.observe(memory, history_w[k], first + k, self.terms)
        n, ring = self.ties.n_racks, self.terms.n_ahead + 1
        book = RackBook(
            np.zeros((n, n)),
            np.full((ring, n), np.nan),
            np.full((ring, n), np.nan),
            np.zeros(self.params.n_devices),
        )
        return RackMemory(memory, Transfers.none(n, self.ties.network.length_m.size), book)

    def stops_ms(self, start_s: int, length_s: int) -> tuple[int, ...]:
        """Return when transfers are decided in an interval: after each step's start and before the next."""
        step_ms = self.terms.step_s * MS_PER_S
        lead_ms = min(round(self.kinetic.lead_s * MS_PER_S), step_ms - 2 * PERIOD_MS)
        end_ms = length_s * MS_PER_S
        starts = range(-(start_s * MS_PER_S) % step_ms, end_ms + step_ms, step_ms)
        stops = {at for start in starts for at in (start, start + PERIOD_MS, start - lead_ms)}
        return tuple(sorted(at for at in stops if 0 < at < end_ms))


class RackRun:
    """The running interval's part for racks."""

    def __init__(
        self, control: RackControl, memory: RackMemory, start_s: int, end_ms: int, is_healthy: BoolArray
    ) -> None:
        self._control = control
        self._memory = memory
        self._start_s = start_s
        self._end_ms = end_ms
        self._is_healthy = is_healthy
        self.tie: TieOrder | None = None
        self._ahead: Prediction | None = None
        self._load_w = memory.forecast.load_w
        self._moving_w = memory.book.moving_w
        self._owed_wh = memory.book.owed_wh.copy()
        self._lent_wh, self._returned_wh = np.zeros_like(self._owed_wh), np.zeros_like(self._owed_wh)
        self._overloads: list[Overload] = []
        self._open: dict[tuple[int, int, bool], TransferRecord] = {}
        self._closed: list[TransferRecord] = []
        self._switches_before = memory.transfers.n_switches

    @property
    def memory(self) -> RackMemory:
        """What the next interval continues from."""
        moving_w = self._moving_w if self.tie is None else self.tie.storage_w
        book = replace(self._memory.book, owed_wh=self._owed_wh, moving_w=moving_w)
        return replace(self._memory, book=book)

    def _step_of(self, now_ms: int) -> tuple[int, int]:
        """Return the number of the load step that holds now, and how long it has lasted, ms."""
        return divmod(self._start_s * MS_PER_S + now_ms, self._control.terms.step_s * MS_PER_S)

    def measure(self, now_ms: int, inputs: FleetInputs) -> None:
        """Measure a load step where one begins: judge what was said of it, and look ahead again."""
        number, since_ms = self._step_of(now_ms)
        if since_ms != 0:
            return
        control, memory = self._control, self._memory
        load_w = control.load_w(inputs.load_demand_w)
        at_s = float(number * control.terms.step_s)
        limit_w, book = control.ties.limit_w, memory.book
        slot, ring = number % (control.terms.n_ahead + 1), control.terms.n_ahead + 1
        for rack in np.flatnonzero((load_w > limit_w) | ~np.isnan(book.warned_s[slot])).tolist():
            self._overloads.append(
                Overload(
                    rack, at_s, float(book.warned_s[slot, rack]), float(book.warned_w[slot, rack]),
                    float(load_w[rack]), float(limit_w[rack]),
                )
            )  # fmt: skip
        remembered = forecast.observe(memory.forecast, load_w, number, control.terms)
        ahead = forecast.predict(remembered, number)
        warned_s, warned_w = book.warned_s.copy(), book.warned_w.copy()
        warned_s[slot], warned_w[slot] = np.nan, np.nan
        for k in range(control.terms.n_ahead):
            later = (number + k + 1) % ring
            is_over = ahead.upper_w[k] > control.kinetic.start_pu * limit_w
            since = np.where(np.isnan(warned_s[later]), at_s, warned_s[later])
            warned_s[later] = np.where(is_over, since, np.nan)
            warned_w[later] = np.where(is_over, ahead.upper_w[k], np.nan)
        self._ahead = ahead
        self._memory = replace(
            memory, forecast=remembered, book=replace(book, warned_s=warned_s, warned_w=warned_w)
        )

    def decide(
        self, now_ms: int, until_ms: int, inputs: FleetInputs, fleet: FleetState, island: BoolArray
    ) -> None:
        """Decide transfers until the next stop.

        Parameters
        ----------
        until_ms : int
            The next stop.
        island : bool (n_nodes,)
            Nodes without supply: racks there neither give nor get, for their ports have no feed to lean on.
        """
        control, plan, terms = self._control, self._control.ties, self._control.kinetic
        params, (number, since_ms) = control.params, self._step_of(now_ms)
        is_out = island[plan.node]
        if since_ms == 0 and self.tie is not None and not is_out.any():
            return  # nobody has measured the new step yet
        before = without_racks(self._memory.transfers, is_out)
        low, high = deliverable_w(params, fleet, inputs, terms.horizon_s)
        own_w = fleet.p_w - (self._moving_w if self.tie is None else self.tie.storage_w)
        down_w, up_w, all_w = module_power_w(plan, low, high, own_w, self._is_healthy)
        down_w, up_w = np.where(is_out, 0.0, down_w), np.where(is_out, 0.0, up_w)
        ahead = forecast.predict(self._memory.forecast, number) if self._ahead is None else self._ahead
        up_w = np.maximum(up_w - self._own_need_w(ahead), 0.0)
        step_ms = control.terms.step_s * MS_PER_S
        is_lead = since_ms + round(terms.lead_s * MS_PER_S) >= step_ms
        upper_w = self._load_w
        if since_ms >= PERIOD_MS:
            self._load_w = self._memory.forecast.load_w
            upper_w = np.maximum(self._load_w, ahead.upper_w[0]) if is_lead else self._load_w
        if since_ms == 0:
            helping = before
        else:
            known = np.where(is_out, 0.0, upper_w)
            helping = balance(
                plan.network, known, plan.limit_w, all_w, bus_power_w(plan, params, up_w), before,
                self._start_s + now_ms / MS_PER_S, terms,
            )  # fmt: skip
        sent, lost = give_back(
            plan, helping, self._owed_wh, np.where(is_out, np.inf, upper_w), down_w,
            max(until_ms - now_ms, PERIOD_MS) / MS_PER_S, terms,
        )  # fmt: skip
        free = plan.lends & self._is_healthy
        headroom = (
            np.where(free, np.maximum(np.minimum(own_w, 0.0) - low, 0.0), 0.0),
            np.where(free, np.maximum(high - np.maximum(own_w, 0.0), 0.0), 0.0),
        )
        self.tie = order(plan, params, helping, sent, lost, headroom)
        self._memory = replace(self._memory, transfers=helping)
        for_s = (
            float((number + 1) * control.terms.step_s) if is_lead else float(number * control.terms.step_s)
        )
        self._follow(now_ms, upper_w, for_s)

    def _own_need_w(self, ahead: Prediction) -> FloatArray:
        """Return what each rack's modules may be needed for at home while a donor has to hold, (n_racks,) W."""
        terms = self._control.kinetic
        n_held = min(max(1, round(terms.horizon_s / self._control.terms.step_s)), len(ahead.upper_w))
        highest_w = ahead.upper_w[:n_held].max(axis=0)
        return np.maximum(highest_w - terms.stop_pu * self._control.ties.limit_w, 0.0)

    def _follow(self, now_ms: int, upper_w: FloatArray, for_s: float) -> None:
        """Open and close the records of transfers."""
        assert self.tie is not None
        at_s = self._start_s + now_ms / MS_PER_S
        moving = {
            (int(a), int(b), bool(self.tie.is_back[a, b])) for a, b in np.argwhere(self.tie.given_w > 0.0)
        }
        for key in sorted(set(self._open) - moving):
            self._closed.append(replace(self._open.pop(key), end_s=at_s))
        for source, target, is_back in sorted(moving - set(self._open)):
            expected = np.nan if is_back else float(upper_w[target])
            self._open[source, target, is_back] = TransferRecord(
                source, target, is_back, at_s, at_s, 0.0, 0.0, expected, np.nan if is_back else for_s
            )

    def add_step(self, decision: Decision, fleet: FleetState, flows: StepFlows, dt_s: float) -> None:
        """Enter what moved in a step, if the decision let the transfers through, and what ties lost in the flows."""
        tie = self.tie
        if tie is None or tie.is_idle:
            return
        ports = self._control.ties.port
        if np.any(np.abs(decision.granted_w[ports] - tie.port_w[ports]) > SAME_GRANT_W):
            return
        dt_h = dt_s / SECONDS_PER_HOUR
        # A port hands over what arrives; what stages and cables lose on the way is the sender's loss.
        lost_wh = (tie.given_w - tie.arrived_w).sum(axis=1) * dt_h
        flows.sink_wh[ports] -= lost_wh
        flows.loss_wh[ports] += lost_wh
        for (source, target, is_back), record in self._open.items():
            self._open[source, target, is_back] = replace(
                record,
                given_wh=record.given_wh + float(tie.given_w[source, target]) * dt_h,
                arrived_wh=record.arrived_wh + float(tie.arrived_w[source, target]) * dt_h,
            )
        mean_w = flows.terminal_wh / dt_h
        grows, falls = owed_change_w(self._control.ties, self._control.params, fleet, tie, mean_w)
        returned = np.minimum(falls * dt_h, self._owed_wh)
        self._lent_wh += grows * dt_h
        self._returned_wh += returned
        self._owed_wh = self._owed_wh + grows * dt_h - returned

    def outcome(self) -> RackOutcome:
        """Return what happened until now; called at the interval's end."""
        end_s = self._start_s + self._end_ms / MS_PER_S
        # What ended with its first control period moved nothing worth a line.
        still = [replace(record, end_s=end_s) for _, record in sorted(self._open.items())]
        return RackOutcome(
            overloads=tuple(self._overloads),
            transfers=tuple(r for r in (*self._closed, *still) if r.given_wh > LEAST_WH),
            lent_wh=self._lent_wh,
            returned_wh=self._returned_wh,
            owed_wh=self._owed_wh,
            n_switches=self._memory.transfers.n_switches - self._switches_before,
        )
