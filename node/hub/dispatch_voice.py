"""The controller's voice in an interval: leased setpoints in sequence, and the log of what was new in them."""

import numpy as np
from numpy.typing import NDArray

from devices.firmware import Verdict, receive, setpoints
from devices.parameters import FleetParameters
from devices.specification import Permission
from devices.state import FleetState
from node.controller.control_plan import ControlPlan
from node.controller.decision import Decision
from node.controller.reasons import Reason, one_of
from node.hub.dispatch_clock import MS_PER_S
from node.hub.dispatch_ledger import Ledger
from node.hub.dispatch_state import DispatchState

# Firmware falls back to the safe state this long after the last word of the controller.
LEASE_MS = 300_000
DEADBAND_PU = 1e-3
DEADBAND_W = 0.05
LIMIT_DEADBAND_W = 1.0
_IS_OFF = one_of(Reason.NO_VOLTAGE, Reason.SHED, Reason.PICK_UP)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def deadband_w(params: FleetParameters) -> FloatArray:
    """Return how far a setpoint or power has to move to count as moved, (n_devices,) W."""
    rating_w = np.where(params.is_storage, params.p_charge_max_w + params.p_discharge_max_w, 0.0)
    return np.where(params.is_storage, np.maximum(DEADBAND_W, DEADBAND_PU * rating_w), LIMIT_DEADBAND_W)


class Voice:
    """What was said last to each device, and the next word's number."""

    def __init__(self, memory: DispatchState, ledger: Ledger, start_s: int, dead_w: FloatArray) -> None:
        self._sequence, self._fence = memory.sequence, memory.fence
        self._setpoint_w = memory.setpoint_w.copy()
        self._logged_w = memory.logged_w.copy()
        self._reason, self._node = memory.reason.copy(), memory.node.copy()
        self._ledger = ledger
        self._start_s = start_s
        self._deadband_w = dead_w

    def memory(self) -> DispatchState:
        """Return what the next interval continues from."""
        return DispatchState(
            self._sequence,
            self._fence,
            self._setpoint_w.copy(),
            self._logged_w.copy(),
            self._reason.copy(),
            self._node.copy(),
        )

    def take_over(self) -> int:
        """Go on as the standby: return its fencing number."""
        self._fence += 1
        return self._fence

    def change_w(self, decision: Decision) -> FloatArray:
        """Return how far a decision is from what was said last, (n_devices,) W; inf where it is news whatever it is."""
        change = _change_w(decision.setpoint_w, self._setpoint_w)
        # Zero for another reason is news: dark, waiting for its turn, or shed.
        is_retold = _IS_OFF[decision.reason] & (decision.reason != self._reason)
        if is_retold.any():
            change[is_retold] = np.inf
        return change

    def send(
        self,
        plan: ControlPlan,
        fleet: FleetState,
        rows: IntArray,
        is_changed: BoolArray,
        decision: Decision,
        now_ms: int,
    ) -> FleetState:
        """Send one batch of leased setpoints and log those that say something new; return the fleet that got it."""
        params = plan.params
        now_s, until_s = self._span_s(now_ms)
        self._sequence += 1
        permission: IntArray | int = Permission.KEEP_RESERVE
        if plan.in_island.any():
            may_empty = plan.in_island[rows] & params.is_storage[rows]
            permission = np.where(may_empty, Permission.EMERGENCY, Permission.KEEP_RESERVE)
        # A renewal within the deadband repeats the setpoint in force.
        wanted = np.where(is_changed, decision.setpoint_w[rows], self._setpoint_w[rows])
        batch = setpoints(
            rows, wanted, self._sequence, now_s, until_s, self._fence, params.issuer[rows], permission
        )
        fleet, verdict = receive(params, fleet, batch, now_s)
        is_accepted = verdict == Verdict.ACCEPTED
        told = rows[is_accepted & is_changed]
        was_limited = np.isfinite(self._setpoint_w[told])
        self._setpoint_w[told] = decision.setpoint_w[told]
        reason = decision.reason[told]
        is_lifted = ~np.isfinite(decision.setpoint_w[told]) & was_limited
        reason = np.where(is_lifted, Reason.RELEASED, reason)
        self._logged_w[told] = decision.granted_w[told]
        self._reason[told], self._node[told] = reason, decision.node[told]
        # Who was never limited and still is not has nothing to report.
        news = np.isfinite(decision.setpoint_w[told]) | is_lifted
        if news.any():
            said = told[news]
            self._ledger.add_setpoints(
                said, self._logged_w[said], now_s, self._sequence, until_s, reason[news], self._node[said]
            )
        return fleet

    def log_answers(self, rows: IntArray, told_w: FloatArray, now_ms: int) -> None:
        """Log what units (k,) do that answer the frequency, (k,) W, where it is new."""
        is_news = _change_w(told_w, self._logged_w[rows]) > self._deadband_w[rows]
        if is_news.any():
            self._sequence += 1
            said = rows[is_news]
            self._logged_w[said] = told_w[is_news]
            self._reason[said], self._node[said] = Reason.FREQUENCY, -1
            now_s, until_s = self._span_s(now_ms)
            self._ledger.add_setpoints(
                said, told_w[is_news], now_s, self._sequence, until_s, self._reason[said], self._node[said]
            )

    def _span_s(self, now_ms: int) -> tuple[float, float]:
        return self._start_s + now_ms / MS_PER_S, self._start_s + (now_ms + LEASE_MS) / MS_PER_S


def _change_w(new: FloatArray, old: FloatArray) -> FloatArray:
    """Return how far setpoints moved; inf where a limit appeared, vanished, or nothing was said before."""
    change = np.zeros(new.size)
    np.subtract(new, old, out=change, where=new != old)
    np.abs(change, out=change)
    is_first = np.isnan(change)
    if is_first.any():
        change[is_first] = np.inf
    return change
