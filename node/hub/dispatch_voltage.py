"""Voltage in the running interval: power flow where something changed, taps, solar that would raise it too far.

| when | what |
|---|---|
| a control period in which powers moved | the feeder is solved for measured powers; devices see their voltage |
| loads have settled after a change | every tap position is tried; the best way to the day's end begins with the next |
| the delay has passed | the tap moves, and the reason is written down |
| somebody's voltage would pass the upper limit | all solar gives the same share, the largest that keeps everybody in |
"""

from dataclasses import replace

import numpy as np

from devices.fleet import SECONDS_PER_HOUR
from devices.specification import Kind
from devices.state import FleetInputs, FleetState, StepFlows
from node.controller.decision import Decision
from node.controller.network import FloatArray, IntArray
from node.controller.powerflow import DoesNotConverge, Flow
from node.controller.reasons import Reason
from node.controller.voltage import SOLAR_SHARES, Band, TapChanger, TapTable, plan_taps, tap_table
from node.controller.wires import Wires
from node.errors import Permanent
from node.hub.dispatch_records import Incident, IncidentKind
from node.hub.voltage_records import (
    Ahead,
    BoolArray,
    TapChange,
    TapReason,
    VoltageOutcome,
    VoltageState,
    first_state,
)

MS_PER_S = 1_000
# Powers that moved by less together do not change a voltage that matters.
SAME_POWER_W = 1.0
# A customer's voltage is a mean of a minute: ten times stricter than EN 50160's ten minutes.
WINDOW_S = 60.0


class FeederCollapsed(Permanent):
    """The scenario's lines cannot carry its loads."""


class VoltageControl:
    """What does not change from interval to interval.

    Parameters
    ----------
    wires : Wires
    changer : TapChanger
    band : Band
    is_optimising : bool
        False: the taps stay at home.
    margin_pu : float
        How far inside the band the optimiser aims.
    delay_s, fast_delay_s : float
        Before a move that saves, and before one that brings a customer back into the band.
    """

    def __init__(
        self,
        wires: Wires,
        changer: TapChanger,
        band: Band,
        *,
        is_optimising: bool,
        margin_pu: float,
        delay_s: float,
        fast_delay_s: float,
    ) -> None:
        self.wires, self.changer, self.band = wires, changer, band
        self.is_optimising = is_optimising
        self.aim = band.within(margin_pu)
        self.delay_ms, self.fast_delay_ms = round(delay_s * MS_PER_S), round(fast_delay_s * MS_PER_S)
        self._day: tuple[Ahead, TapTable] | None = None

    def first_state(self) -> VoltageState:
        """Return the memory before the first interval."""
        return first_state(self.changer.home, self.wires.n_devices, len(self.wires.bus_names))

    def options(self, rated_w: FloatArray) -> TapTable:
        """Return what every position would do, for powers at rated voltage, (n_devices, n_steps), > 0 injects.

        Solar gives way where it would lift somebody too high: no customer is pressed down for its sake.
        """
        wires = self.wires
        return tap_table(
            wires.feeder,
            wires.by_voltage(rated_w),
            self.changer,
            wires.rebound_ratio,
            is_solar=wires.is_solar[wires.device],
            high_pu=self.aim.high_pu,
        )

    def rest_of_day(self, ahead: Ahead) -> TapTable:
        """Return what every position is expected to do in the intervals after this one."""
        if self._day is None or not self._day[0].expects_the_same(ahead):
            self._day = ahead, self.options((ahead.solar_w - ahead.load_w).T)
        rows = slice(ahead.at + 1, None)
        whole = self._day[1]
        return TapTable(whole.drawn_w[rows], whole.low_pu[rows], whole.high_pu[rows])


class VoltageRun:
    """Voltage in one interval: solved, kept, recorded."""

    def __init__(
        self, control: VoltageControl, state: VoltageState, start_s: int, ahead: Ahead, length_s: float
    ) -> None:
        wires = control.wires
        self._control, self._start_s, self._ahead, self._length_s = control, start_s, ahead, length_s
        self._position = state.position
        self._switchings = state.switchings if state.day == ahead.day else 0
        self._v_pu, self._is_outside = state.v_pu, state.is_outside.copy()
        self._solved_w: FloatArray | None = None
        self._terminal_v = np.ones(wires.bus.size)
        self._loss_w = 0.0
        self._solar_share = 1.0
        self._is_planned = False
        self._due: tuple[int, TapChange] | None = None
        self._window_v, self._window_s = np.zeros(wires.bus.size), 0.0
        n_buses = len(wires.bus_names)
        self._low, self._high = np.full(n_buses, np.inf), np.full(n_buses, -np.inf)
        self._outside_s = self._source_wh = self._loss_wh = 0.0
        self._elapsed_s = 0.0
        self._options: TapTable | None = None
        self._changes: list[TapChange] = []
        self.incidents: list[Incident] = []

    def state(self) -> VoltageState:
        """Return the memory for the next interval."""
        return VoltageState(self._position, self._switchings, self._ahead.day, self._v_pu, self._is_outside)

    def see(
        self, inputs: FleetInputs, fleet: FleetState, in_island: BoolArray, island_v: FloatArray
    ) -> FleetInputs:
        """Return the inputs with the voltage that measured powers cause, (n_devices,) per unit.

        An island makes its own voltage, `island_v` (n_devices,): its devices are not on this feeder.
        """
        p_w = np.where(in_island, 0.0, fleet.p_w)
        if self._solved_w is None or np.abs(p_w - self._solved_w).sum() > SAME_POWER_W:
            wires = self._control.wires
            flow, terminal_v = self._solve(p_w)
            self._solved_w, self._terminal_v = p_w, terminal_v[:, 0]
            self._loss_w = float(flow.loss_w(wires.feeder).sum())
            self._limit_solar(inputs, p_w)
        self._v_pu = np.where(in_island, island_v, self._control.wires.mean(self._terminal_v))
        return replace(inputs, v_pu=self._v_pu)

    def _solve(self, p_w: FloatArray) -> tuple[Flow, FloatArray]:
        """Solve for measured powers; where these were drawn at a voltage that cannot last, as loads would follow it."""
        wires, ratio = self._control.wires, self._ratio()
        try:
            return wires.solve(wires.at_any_voltage(p_w[:, None]), ratio)
        except DoesNotConverge:
            pass
        try:
            return wires.solve(wires.by_voltage(self._at_rated_voltage(p_w)[:, None]), ratio)
        except DoesNotConverge as error:
            raise FeederCollapsed(
                f"the lines cannot carry {-p_w.sum() / 1e3:.1f} kW at {self._start_s + self._elapsed_s:.0f} s unix "
                "time: the voltage collapses. Shorter or thicker lines, or less load on one phase, would help"
            ) from error

    def _ratio(self) -> float:
        return float(self._control.changer.ratio_pu(self._position))

    def _limit_solar(self, inputs: FleetInputs, p_w: FloatArray) -> None:
        """Find the largest share of all solar that keeps everybody below the upper limit."""
        high = self._control.band.high_pu
        if self._terminal_v.max() <= high and self._solar_share == 1.0:
            return
        available = inputs.solar_available_w * inputs.is_present
        if not available.any():
            self._solar_share = 1.0
            return
        others = np.where(available > 0, 0.0, p_w)
        cases = others[:, None] + available[:, None] * SOLAR_SHARES
        wires = self._control.wires
        _, terminal_v = wires.solve(wires.at_any_voltage(cases), self._ratio())
        fits = np.flatnonzero(terminal_v.max(axis=0) <= high)
        self._solar_share = float(SOLAR_SHARES[fits[-1]]) if fits.size else 0.0

    def curtail(self, decision: Decision, inputs: FleetInputs, kind: IntArray) -> Decision:
        """Return the decision with solar held to the share that the voltage bears."""
        if self._solar_share == 1.0:
            return decision
        limit_w = inputs.solar_available_w * self._solar_share
        cut_w = np.where(kind == Kind.SOLAR, np.maximum(decision.granted_w - limit_w, 0.0), 0.0)
        is_cut = cut_w > 0
        worst = int(self._control.wires.bus[np.argmax(self._terminal_v)]) - 1
        granted = decision.granted_w - cut_w
        return replace(
            decision,
            setpoint_w=np.where(is_cut, granted, decision.setpoint_w),
            granted_w=granted,
            reason=np.where(is_cut, Reason.VOLTAGE, decision.reason),
            node=np.where(is_cut, worst, decision.node),
            ordered_w=decision.ordered_w - cut_w,
            taken_w=decision.taken_w + cut_w,
        )

    # -------------------------------------------------------------- taps

    def stopped(self) -> None:
        """Note that inputs changed: the choice is made anew when loads have settled."""
        self._is_planned = False
        self._solved_w = None

    def due_ms(self, end_ms: int) -> int:
        """Return when the tap will move, or the given end."""
        return end_ms if self._due is None else min(end_ms, self._due[0])

    def switch(self, now_ms: int) -> bool:
        """Move the tap if its time has come; return whether it moved."""
        if self._due is None or now_ms < self._due[0]:
            return False
        change = replace(self._due[1], at_s=self._start_s + now_ms / MS_PER_S)
        self._due = None
        self._changes.append(change)
        self._switchings += abs(change.after - change.before)
        self._position = change.after
        self._solved_w = None
        return True

    def settle(self, now_ms: int, inputs: FleetInputs, fleet: FleetState, in_island: BoolArray) -> None:
        """Choose the position for what flows now and is expected until the day ends."""
        if self._is_planned or not self._control.is_optimising:
            return
        self._is_planned = True
        control = self._control
        now = control.options(self._rated_w(inputs, fleet, in_island)[:, None])
        self._options = now
        later = control.rest_of_day(self._ahead)
        table = TapTable(
            np.concatenate([now.drawn_w, later.drawn_w]),
            np.concatenate([now.low_pu, later.low_pu]),
            np.concatenate([now.high_pu, later.high_pu]),
        )
        left = max(control.changer.max_switchings - self._switchings, 0)
        plan = plan_taps(table, control.changer, control.aim, self._position, left)
        target = int(plan.position[0])
        if target == self._position:
            self._due = None
            return
        change, is_urgent = self._explain(now, target)
        at_ms = now_ms + (control.fast_delay_ms if is_urgent else control.delay_ms)
        # A move that waits already goes on waiting from when it was first wanted.
        if self._due is not None and self._due[1].after == target:
            at_ms = min(at_ms, self._due[0])
        self._due = at_ms, change

    def _rated_w(self, inputs: FleetInputs, fleet: FleetState, in_island: BoolArray) -> FloatArray:
        """Return powers at rated voltage: of loads from what was measured, of solar all that is available."""
        available = inputs.solar_available_w * inputs.is_present
        rated = np.where(available > 0, available, self._at_rated_voltage(fleet.p_w))
        return np.where(in_island, 0.0, rated)

    def _at_rated_voltage(self, p_w: FloatArray) -> FloatArray:
        """Return what measured powers would be at rated voltage, (n_devices,).

        A thermostat above rated voltage draws its need already, so its share counts as one there.
        """
        wires = self._control.wires
        share = wires.voltage_share(wires.mean(self._terminal_v))
        is_thermostat = wires.mean(wires.rebound_ratio[:, 0]) > 0
        share = np.where(is_thermostat, np.minimum(share, 1.0), share)
        return p_w / np.maximum(share, 1e-6)

    def _explain(self, now: TapTable, target: int) -> tuple[TapChange, bool]:
        """Return the change with its reason, and whether somebody is outside the band or sun lost without it."""
        control = self._control
        here, there = self._position - control.changer.lowest, target - control.changer.lowest
        low, high = now.low_pu[0], now.high_pu[0]
        wires = control.wires
        lowest = wires.bus_names[int(wires.bus[np.argmin(self._terminal_v)])]
        highest = wires.bus_names[int(wires.bus[np.argmax(self._terminal_v)])]
        saved_w = float(now.drawn_w[0, here] - now.drawn_w[0, there])
        if low[here] < control.aim.low_pu and target > self._position:
            reason, node, v_pu = TapReason.TOO_LOW, lowest, float(low[here])
        elif self._solar_share < 1.0 and target < self._position:
            reason, node, v_pu = TapReason.LETS_SUN_THROUGH, highest, float(high[here])
        elif high[here] > control.aim.high_pu and target < self._position:
            reason, node, v_pu = TapReason.TOO_HIGH, highest, float(high[here])
        elif saved_w > 0:
            reason, node, v_pu = TapReason.SAVES, lowest, float(low[there])
        else:
            reason, node, v_pu = TapReason.LOADS_RISE, lowest, float(low[there])
        is_urgent = float(control.band.outside_pu(low[here], high[here])) > 0 or self._solar_share < 1.0
        return TapChange(0.0, self._position, target, reason, node, v_pu, saved_w), is_urgent

    # -------------------------------------------------------------- books

    def count(self, flows: StepFlows, dt_s: float) -> None:
        """Enter one step of the fleet."""
        loss_wh = self._loss_w * dt_s / SECONDS_PER_HOUR
        self._loss_wh += loss_wh
        self._source_wh += loss_wh - float(flows.terminal_wh.sum())
        self._window_v += self._terminal_v * dt_s
        self._window_s += dt_s
        self._elapsed_s += dt_s
        # What is left of the interval joins the window, if it is too short to be one.
        if self._window_s >= WINDOW_S and self._length_s - self._elapsed_s >= WINDOW_S:
            self._close_window()

    def _close_window(self) -> None:
        wires, band = self._control.wires, self._control.band
        mean_v = self._window_v / self._window_s
        n_buses = self._low.size
        low, high = np.full(n_buses, np.inf), np.full(n_buses, -np.inf)
        np.minimum.at(low, wires.bus, mean_v)
        np.maximum.at(high, wires.bus, mean_v)
        np.minimum(self._low, low, out=self._low)
        np.maximum(self._high, high, out=self._high)
        is_low, is_high = low < band.low_pu, high > band.high_pu
        at_s = self._start_s + self._elapsed_s
        for bus in np.flatnonzero((is_low | is_high) != self._is_outside).tolist():
            kind = (
                IncidentKind.VOLTAGE_LOW
                if is_low[bus]
                else IncidentKind.VOLTAGE_HIGH
                if is_high[bus]
                else IncidentKind.VOLTAGE_BACK
            )
            self.incidents.append(Incident(kind, at_s, wires.bus_names[bus]))
        self._is_outside = is_low | is_high
        self._outside_s += float(self._is_outside.sum()) * self._window_s
        self._window_v, self._window_s = np.zeros_like(self._window_v), 0.0

    def close(self) -> None:
        """Close the books at the interval's end."""
        if self._window_s > 0:
            self._close_window()

    def outcome(self) -> VoltageOutcome:
        """Return what the interval showed, once it is closed."""
        has_customer = np.isfinite(self._low)
        none = np.zeros(0)
        options = self._options
        return VoltageOutcome(
            low_pu=np.where(has_customer, self._low, np.nan),
            high_pu=np.where(has_customer, self._high, np.nan),
            outside_s=self._outside_s,
            source_wh=self._source_wh,
            loss_wh=self._loss_wh,
            position=self._position,
            switchings=self._switchings,
            changes=tuple(self._changes),
            options_w=none if options is None else options.drawn_w[0],
            options_low_pu=none if options is None else options.low_pu[0],
            options_high_pu=none if options is None else options.high_pu[0],
        )
