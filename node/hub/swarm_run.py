"""The swarm in a running interval: it wakes when the frequency leaves its deadband, and follows it in fine steps.

| when | how long a step is | what happens |
|---|---|---|
| frequency inside the deadband | to the next second outside it | nothing: dispatch coasts |
| recorded frequency outside it | 1 s, the record's own resolution | units follow their curve |
| incident | 100 ms | the same, and the area answers what the units gave |

The coordinator sends each unit what it is good for, again and again until it was heard; units act alone in between.
The same seed loses the same messages.
"""

from math import inf

import numpy as np

from devices.fleet import deliverable_w
from devices.frequency_area import AreaState, advance
from devices.frequency_response import INITIATION_S, response_w
from devices.kinetic import ramped
from devices.state import FleetInputs, FleetState, StepFlows
from node.controller.control_plan import ControlPlan
from node.controller.decision import Decision
from node.controller.network import sum_by
from node.controller.swarm_gain import DelayMeter, stable_gain_pu
from node.controller.swarm_mode import ModeState, SwarmMode, next_mode
from node.controller.swarm_promise import Promise, heard, promise, takes_part, within_capacities
from node.hub.dispatch_clock import MS_PER_S
from node.hub.frequency_records import (
    BoolArray,
    FloatArray,
    FrequencyInterval,
    FrequencyOutcome,
    Incident,
    IntArray,
)

INCIDENT_STEP_MS = 100
RECORD_STEP_MS = 1_000
# How often promises are made anew while units answer: what they gave since is a small part of what they promised.
REFRESH_MS = 60_000
# An answer that changed by less is no news to people.
NEWS_PU = 0.1
# A message lost so many times in a row is a unit that is not there.
MOST_REPEATS = 10
# An answer takes its delay, give or take what networks and inverters vary.
JITTER_PU = 0.2
# Below this a unit-step's reserve is missed by rounding only.
RESERVE_TOLERANCE_WH = 1e-6


class SwarmRun:
    """The swarm of one interval."""

    def __init__(
        self, plan: ControlPlan, frequency: FrequencyInterval, start_s: int, fleet: FleetState
    ) -> None:
        self._plan = plan
        self._world = frequency
        self._service = frequency.service
        self._rows: IntArray = np.flatnonzero(frequency.service.members & plan.params.is_storage)
        self._random = np.random.Generator(np.random.PCG64([frequency.seed, start_s]))
        self._is_out = self._busy_seconds()
        self._wakes: IntArray = np.flatnonzero(self._is_out)
        self._record: list[float] = frequency.deviation_hz.tolist()
        self._area = AreaState()
        self._incident: Incident | None = None
        self._past_hz: list[float] = []
        self._mode = ModeState()
        self._delays = DelayMeter()
        self._sent = self._known = Promise.none(self._rows.size)
        self._is_behind = np.zeros(self._rows.size, np.bool_)
        self._serves = np.zeros(self._rows.size, np.bool_)
        self._base_w = np.zeros(plan.params.n_devices)
        self._ramp_w_per_s = plan.params.ramp_w_per_s[self._rows]
        # What units would do without the answer; what they did in the interval before is taken for that.
        self._alone_w = fleet.p_w[self._rows].copy()
        self._gain_pu = 1.0
        self._refresh_ms = 0
        self._has_news, self._told_w = False, 0.0
        self._steps: list[tuple[float, ...]] = []
        self._asked_wh = 0.0
        self._delivered_wh = np.zeros(plan.n_accounts)
        self._n_violations = 0

    @property
    def rows(self) -> IntArray:
        """Rows of the units that serve."""
        return self._rows

    def held_w(self) -> tuple[FloatArray, FloatArray]:
        """Return what plans must leave free for the service, down and up, (n_devices,)."""
        return self._service.down_w, self._service.up_w

    # -------------------------------------------------------------- time

    def _busy_seconds(self) -> list[bool]:
        """Return in which seconds of the interval something happens."""
        size = np.abs(self._world.deviation_hz)
        is_out = np.maximum(size[:-1], size[1:]) > self._service.curve.deadband_hz
        for incident in self._world.incidents:
            is_out[incident.from_ms // MS_PER_S : -(-incident.until_ms // MS_PER_S)] = True
        return [bool(is_busy) for is_busy in is_out.tolist()]

    def is_awake(self, now_ms: int) -> bool:
        """Return whether something happens in this second."""
        return self._is_out[now_ms // MS_PER_S]

    def step_ms(self, now_ms: int, end_ms: int) -> int:
        """Return how long the next fine step is; to `end_ms` or the next waking second where nothing happens."""
        if not self.is_awake(now_ms):
            at = int(np.searchsorted(self._wakes, now_ms // MS_PER_S, side="right"))
            return min(end_ms, int(self._wakes[at]) * MS_PER_S if at < self._wakes.size else end_ms) - now_ms
        in_second = RECORD_STEP_MS - now_ms % RECORD_STEP_MS
        length = INCIDENT_STEP_MS if self._incident_at(now_ms) is not None else in_second
        return min(length, in_second, end_ms - now_ms)

    def _incident_at(self, now_ms: int) -> Incident | None:
        for incident in self._world.incidents:
            if incident.from_ms <= now_ms < incident.until_ms:
                return incident
        return None

    # -------------------------------------------------------------- coordinator

    def is_due(self, now_ms: int) -> bool:
        """Return whether promises have to be made anew."""
        is_first = self._refresh_ms == 0
        return now_ms >= self._refresh_ms and (is_first or self.is_awake(now_ms))

    def refresh(
        self, now_ms: int, fleet: FleetState, inputs: FleetInputs, decision: Decision, is_healthy: BoolArray,
        plan: ControlPlan,
    ) -> None:  # fmt: skip
        """Promise anew around what units are told to do now, within what they and the wires can carry."""
        self._refresh_ms = now_ms + REFRESH_MS
        params, rows = plan.params, self._rows
        self._base_w = decision.granted_w
        served = ~plan.in_island[rows]
        self._serves = takes_part(
            np.ones(rows.size, np.bool_), is_healthy[rows], inputs.is_present[rows], served
        )
        low, high = deliverable_w(params, fleet, inputs, self._service.sustain_s)
        is_emergency = self._mode.mode is SwarmMode.EMERGENCY
        up_w, down_w = float(self._service.up_w.sum()), float(self._service.down_w.sum())
        made = promise(
            inf if is_emergency else up_w,
            inf if is_emergency and down_w > 0 else down_w,
            self._base_w[rows],
            low[rows],
            high[rows],
            self._ramp_w_per_s,
            # A network too slow for the service is not cured by promising less: it helps late, and the score says so.
            min(self._world.delay_s * (1.0 + JITTER_PU), INITIATION_S),
            self._serves,
        )
        self._sent = within_capacities(plan.net, plan.weight, self._base_w, rows, made)
        self._is_behind = self._serves.copy()
        self._gain_pu = self._stable_gain()
        self._has_news = True

    def has_news(self, answer_w: FloatArray) -> bool:
        """Return whether an answer is worth a line: under new promises, or a tenth of what was sold off the last."""
        told_w = float(answer_w.sum())
        sold_w = max(float(self._service.up_w.sum()), float(self._service.down_w.sum()))
        has_changed = abs(told_w - self._told_w) >= NEWS_PU * sold_w
        if not (has_changed or (self._has_news and told_w)):
            return False
        self._has_news, self._told_w = False, told_w
        return True

    def _stable_gain(self) -> float:
        area = self._world.area
        return stable_gain_pu(
            self._service.curve,
            float(self._sent.up_w.sum()) / area.base_w,
            area.inertia_s,
            area.f0_hz,
            self._delays.delay_s,
        )

    def _talk(self) -> None:
        """Send what was not heard yet; whoever hears says when it acted."""
        if not self._is_behind.any():
            return
        reaches = self._random.random(self._rows.size) >= self._world.message_loss_pu
        is_heard = self._is_behind & reaches
        self._known = heard(self._known, self._sent, is_heard, self._serves)
        self._is_behind &= ~is_heard
        spread = 1.0 + JITTER_PU * (2.0 * self._random.random(int(is_heard.sum())) - 1.0)
        self._delays = self._delays.note(*(self._world.delay_s * spread).tolist())
        self._gain_pu = self._stable_gain()

    # -------------------------------------------------------------- units

    def response_w(self, now_ms: int, dt_ms: int) -> FloatArray:
        """Return what units add to their setpoints in a fine step, (n_devices,)."""
        response = np.zeros(self._plan.params.n_devices)
        if not self.is_awake(now_ms):
            self._incident = None
            for _ in range(min(dt_ms // INCIDENT_STEP_MS, MOST_REPEATS)):
                self._talk()
            return response
        self._talk()
        measured = self._measured_hz(now_ms, dt_ms)
        response[self._rows] = response_w(
            self._service.curve, measured, self._known.up_w, self._known.down_w, self._gain_pu
        )
        return response

    def _measured_hz(self, now_ms: int, dt_ms: int) -> float:
        """Return the deviation that units answer now: as it was one delay ago, in the middle of the step."""
        incident = self._incident_at(now_ms)
        if incident is None:
            return self._record_hz(now_ms / MS_PER_S + dt_ms / MS_PER_S / 2 - self._world.delay_s)
        if incident is not self._incident:
            self._incident, self._area, self._past_hz = incident, AreaState(), []
        late = round(self._world.delay_s * MS_PER_S / INCIDENT_STEP_MS)
        self._past_hz.append(self._area.speed_pu * self._world.area.f0_hz)
        return self._past_hz[-1 - late] if late < len(self._past_hz) else 0.0

    def _record_hz(self, at_s: float) -> float:
        at_s = max(at_s, 0.0)
        second = int(at_s)
        here, there = self._record[second], self._record[min(second + 1, len(self._record) - 1)]
        return here + (there - here) * (at_s - second)

    def _actual_hz(self, now_ms: int, dt_ms: int) -> float:
        if self._incident is not None and self._incident_at(now_ms) is self._incident:
            return self._area.speed_pu * self._world.area.f0_hz
        return self._record_hz(now_ms / MS_PER_S + dt_ms / MS_PER_S / 2)

    def after_step(
        self, now_ms: int, dt_ms: int, told_w: FloatArray, fleet: FleetState, flows: StepFlows
    ) -> FloatArray:
        """Enter what flowed in a fine step; return what flowed beyond the plans, W, (n_devices,).

        Parameters
        ----------
        told_w : float64 (n_devices,)
            Setpoints without the answer.
        """
        given = np.zeros(self._plan.params.n_devices)
        alone_w, self._alone_w = ramped(
            self._alone_w, told_w[self._rows], self._ramp_w_per_s, dt_ms / MS_PER_S
        )
        if not self.is_awake(now_ms):
            return given
        rows, dt_h = self._rows, dt_ms / MS_PER_S / 3_600.0
        given[rows] = flows.terminal_wh[rows] / dt_h - alone_w
        deviation = self._actual_hz(now_ms, dt_ms)
        share = float(self._service.curve.response_pu(deviation))
        sold_w = float((self._service.up_w if share > 0 else self._service.down_w).sum())
        asked_w, given_w = share * sold_w, float(given.sum())
        incident = self._incident_at(now_ms)
        self._steps.append(
            (now_ms, dt_ms, deviation, asked_w, given_w, incident is not None, self._mode.mode, self._gain_pu)
        )
        self._asked_wh += abs(asked_w) * dt_h
        if share:
            as_asked = np.maximum(given * np.sign(share), 0.0)
            by_account = sum_by(self._plan.account_of_device, as_asked, self._plan.n_accounts)
            total = float(by_account.sum())
            # What flowed beyond what was asked is nobody's delivery.
            self._delivered_wh += by_account * (dt_h * min(1.0, abs(asked_w) / total if total else 0.0))
        floor_wh = self._plan.params.reserve_wh[rows] - RESERVE_TOLERANCE_WH
        self._n_violations += int(np.count_nonzero(fleet.energy_wh[rows] < floor_wh))
        before = self._mode.mode
        self._mode = next_mode(self._mode, self._service.curve, deviation, dt_ms / MS_PER_S)
        if self._mode.mode is SwarmMode.EMERGENCY and before is not SwarmMode.EMERGENCY:
            self._refresh_ms = now_ms + dt_ms  # all that is there is needed now
        if incident is not None:
            support = given_w / self._world.area.base_w
            self._area = advance(self._world.area, self._area, support, incident.loss_pu, dt_ms / MS_PER_S)
        return given

    def outcome(self) -> FrequencyOutcome:
        """Return what the swarm did."""
        columns = np.array(self._steps, np.float64).reshape(len(self._steps), 8).T
        at, length, deviation, asked, given, is_incident, mode, gain = columns
        return FrequencyOutcome(
            self._service.name, at.astype(np.int64), length.astype(np.int64), deviation, asked, given,
            is_incident > 0, mode.astype(np.int64), gain, self._asked_wh, self._delivered_wh, self._n_violations,
        )  # fmt: skip
