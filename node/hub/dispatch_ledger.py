"""The books of one interval while it runs: energies, peaks, what was taken from whom, and every setpoint."""

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.state import StepFlows
from node.controller.control_plan import ControlPlan, ExportClass, ImportClass
from node.controller.decision import Decision
from node.controller.network import net_flows_w, sum_by
from node.controller.reasons import Reason, one_of
from node.hub.dispatch_records import Curtailment, NodeFlows, SetpointLog

SECONDS_PER_HOUR = 3_600.0
MILLI_WH_PER_WH = 1_000
# A peak is a mean over at least a minute. Where a load jumps, what has to give way still ramps for a second: no
# cable heats in that time, and no fuse trips (IEC 60269 gG fuses bear 1.6 times their rating for an hour).
PEAK_WINDOW_S = 60.0

_BINDING = one_of(Reason.CAPACITY, Reason.PRIORITY)
_KEPT_CAUSES = one_of(Reason.GRID_EVENT, Reason.SUPPLY_FAILURE, Reason.VOLTAGE)
_ABOUT_A_NODE = one_of(Reason.CAPACITY, Reason.VOLTAGE)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Ledger:
    """Accumulates what steps did; everything in it is a sum or a maximum."""

    def __init__(self, plan: ControlPlan) -> None:
        self._plan = plan
        n_nodes = plan.tree.n_nodes
        self._names = tuple(f.name for f in fields(StepFlows))
        self._sums = np.zeros((len(self._names), plan.params.n_devices))
        self.event_wh = np.zeros(plan.n_accounts)
        self.ordered_wh = np.zeros(plan.n_accounts)
        self.lent_wh = np.zeros(plan.n_accounts)
        self.borrowed_wh = np.zeros(plan.n_accounts)
        self.delivered_wh = np.zeros(plan.n_accounts)
        self._answered_wh = np.zeros(plan.n_accounts)
        self._peak_import_w = np.zeros(n_nodes)
        self._peak_export_w = np.zeros(n_nodes)
        self._import_binds = np.zeros(n_nodes, np.bool_)
        self._export_binds = np.zeros(n_nodes, np.bool_)
        self._window_wh = np.zeros(n_nodes)
        self._window_s = 0.0
        self._ancestors = plan.tree.ancestors()
        self._taken: list[tuple[IntArray, IntArray, IntArray, FloatArray]] = []
        self._setpoints: list[tuple[IntArray, FloatArray, float, int, float, IntArray, IntArray]] = []
        self._export_cut_wh = np.zeros(len(ExportClass))
        self.n_periods = 0
        self.n_coasts = 0

    def add_step(self, flows: StepFlows, decision: Decision, dt_s: float) -> None:
        """Enter one step of the fleet under a decision."""
        plan = self._plan
        dt_h = dt_s / SECONDS_PER_HOUR
        for row, name in enumerate(self._names):
            self._sums[row] += getattr(flows, name)
        self.delivered_wh += sum_by(plan.account_of_device, flows.terminal_wh, plan.n_accounts)
        self.ordered_wh += sum_by(plan.account_of_device, decision.ordered_w, plan.n_accounts) * dt_h
        if decision.event_w.any():
            self.event_wh += sum_by(plan.account_of_device, decision.event_w, plan.n_accounts) * dt_h
        self._window_wh += net_flows_w(plan.tree, plan.node_of_device, flows.terminal_wh)
        self._window_s += dt_s
        if self._window_s >= PEAK_WINDOW_S:
            self._close_window()
        self._add_taken(decision, dt_h)
        if decision.lent_w.any():
            self._add_loans(decision, dt_h)

    def add_answer(self, given_w: FloatArray, dt_s: float) -> None:
        """Enter what units gave beyond their setpoints to answer the grid's frequency, (n_devices,), signed."""
        net_wh = sum_by(self._plan.account_of_device, given_w, self._plan.n_accounts)
        net_wh *= dt_s / SECONDS_PER_HOUR
        self.ordered_wh += net_wh
        self.event_wh += net_wh
        self._answered_wh += net_wh

    def _add_answers_taken(self) -> None:
        """Enter what answers took from positions: an account's whole interval counts, not each swing."""
        taken = np.flatnonzero(self._answered_wh < 0.0)
        if taken.size:
            cause = np.full(taken.size, Reason.FREQUENCY, np.int64)
            self._taken.append((taken, cause, np.full(taken.size, -1, np.int64), -self._answered_wh[taken]))

    def _close_window(self) -> None:
        mean_w = self._window_wh * (SECONDS_PER_HOUR / self._window_s)
        np.maximum(self._peak_import_w, -mean_w, out=self._peak_import_w)
        np.maximum(self._peak_export_w, mean_w, out=self._peak_export_w)
        self._window_wh = np.zeros_like(self._window_wh)
        self._window_s = 0.0

    def _add_taken(self, decision: Decision, dt_h: float) -> None:
        taken = np.flatnonzero(decision.taken_w > 0.0)
        if taken.size:
            account = self._plan.account_of_device[taken]
            cause = _cause(decision.reason[taken])
            node = np.where(_ABOUT_A_NODE[cause], decision.node[taken], -1)
            self._taken.append((account, cause, node, decision.taken_w[taken] * dt_h))

    def _add_loans(self, decision: Decision, dt_h: float) -> None:
        """Enter who lent, and who needed it: accounts that import below the relieved node, by their import."""
        plan = self._plan
        lenders = np.flatnonzero(decision.lent_w > 0.0)
        lent = sum_by(plan.account_of_device, decision.lent_w, plan.n_accounts)
        net_import = np.maximum(
            lent - sum_by(plan.account_of_device, decision.granted_w, plan.n_accounts), 0.0
        )
        for node in np.unique(decision.node[lenders]).tolist():
            given_wh = float(decision.lent_w[lenders[decision.node[lenders] == node]].sum()) * dt_h
            is_below = self._ancestors[plan.tree.depth[node], plan.connection_of_account] == node
            needed = np.where(is_below, net_import, 0.0)
            if needed.any():
                self.borrowed_wh += needed * (given_wh / needed.sum())
        self.lent_wh += lent * dt_h

    def add_decision(self, decision: Decision) -> None:
        """Note which nodes bind in this period."""
        cut = np.flatnonzero((decision.node >= 0) & _BINDING[decision.reason])
        if cut.size:
            is_import = decision.wanted_w[cut] < 0
            self._import_binds[decision.node[cut[is_import]]] = True
            self._export_binds[decision.node[cut[~is_import]]] = True

    def add_setpoints(
        self, device: IntArray, p_w: FloatArray, at_s: float, sequence: int, expires_s: float,
        reason: IntArray, node: IntArray,
    ) -> None:  # fmt: skip
        """Log one batch of changed setpoints."""
        self._setpoints.append((device, p_w, at_s, sequence, expires_s, reason, node))

    def energies(self) -> StepFlows:
        """Return the sums over the interval."""
        return StepFlows(*self._sums)

    def nodes(self) -> NodeFlows:
        """Return peaks and which capacities bound."""
        if self._window_s > 0:
            self._close_window()
        return NodeFlows(self._peak_import_w, self._peak_export_w, self._import_binds, self._export_binds)

    def unserved_wh_by_class(self) -> FloatArray:
        """Return what loads and drivers wanted and did not get, by `ImportClass`."""
        return sum_by(self._plan.import_class, self.energies().unserved_wh, len(ImportClass))

    def curtailed_wh_by_class(self) -> FloatArray:
        """Return what was available to sources and not taken, by `ExportClass`."""
        return sum_by(self._plan.export_class, self.energies().curtailed_wh, len(ExportClass))

    def curtailments(self, position_wh: FloatArray) -> tuple[Curtailment, ...]:
        """Return what was taken from positions: never more than an account's shortfall.

        Parameters
        ----------
        position_wh : float64 (n_accounts,)
            Sold minus bought; nan where unknown.
        """
        self._add_answers_taken()
        if not self._taken:
            return ()
        account, cause, node, energy_wh = (np.concatenate(c) for c in zip(*self._taken, strict=True))
        keys, at = np.unique(np.stack([account, cause, node]), axis=1, return_inverse=True)
        per_key = sum_by(at.ravel(), energy_wh, keys.shape[1])
        total = sum_by(account, energy_wh, position_wh.size)
        shortfall = np.maximum(np.nan_to_num(position_wh - self.delivered_wh), 0.0)
        granted = np.floor(np.minimum(total, shortfall) * MILLI_WH_PER_WH)
        # One curtailment an account: its largest cause.
        largest: dict[int, tuple[float, int, int]] = {}
        for (who, why, where), wh in zip(keys.T.tolist(), per_key.tolist(), strict=True):
            if who not in largest or wh > largest[who][0]:
                largest[who] = (wh, why, where)
        return tuple(
            Curtailment(who, int(granted[who]), Reason(why), where)
            for who, (_, why, where) in sorted(largest.items())
            if granted[who] > 0
        )

    def setpoint_log(self, events: tuple[str, ...]) -> SetpointLog:
        """Return all batches as one log."""
        batches = self._setpoints
        counts = [b[0].size for b in batches]

        def spread(column: int, kind: type) -> NDArray[Any]:
            return np.repeat(np.array([b[column] for b in batches], kind), counts)

        def joined(column: int, kind: type) -> NDArray[Any]:
            return np.concatenate([b[column] for b in batches]) if batches else np.zeros(0, kind)

        return SetpointLog(
            device=joined(0, np.int64),
            p_w=joined(1, np.float64),
            at_s=spread(2, np.float64),
            sequence=spread(3, np.int64),
            expires_s=spread(4, np.float64),
            reason=joined(5, np.int64),
            node=joined(6, np.int64),
            event=events,
        )


def _cause(reason: IntArray) -> IntArray:
    """Return the cause of a curtailment: grid event, failed supply, voltage, or else a capacity."""
    return np.where(_KEPT_CAUSES[reason], reason, Reason.CAPACITY).astype(np.int64)
