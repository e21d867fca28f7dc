"""One control period: what every device shall do now, and why.

| step | who decides |
|---|---|
| 1 | loads want their demand, the sun what is available, vehicles and storages their plans |
| 2 | storages move off their plans to keep their account on target (`tracking`) |
| 3 | a grid event adds its shares (`swarm`), ties their transfers (`ties`) |
| 4 | storages take an overload on themselves before anybody is cut (`relief`) |
| 5 | capacities and priorities cut the rest (`netting`, `allocation`) |
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from devices import fleet
from devices.state import FleetInputs, FleetState
from node.controller.control_plan import FIRMWARE_STEP_S, ControlPlan
from node.controller.granting import MILLI, grant_in_islands, why_cut
from node.controller.grid_events import Call, answer_calls
from node.controller.network import NO_NODE, FloatArray, IntArray, sum_by
from node.controller.reasons import Reason
from node.controller.relief import Relief, relieve
from node.controller.thresholds import serve_requests, take_offers
from node.controller.ties import TieOrder
from node.controller.tracking import required_power_w, track
from node.controller.virtual_battery import concentrate

PERIOD_S = 0.1
# Powers closer than this are the same to a person who reads a reason.
SAME_POWER_W = 1.0
# Allocation works in whole milliwatts.
SAME_GRANT_W = 5e-4

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class KeptOff:
    """Loads that are kept off, why (`Reason`), and the node it is about; arrays (n_devices,)."""

    is_off: BoolArray
    reason: IntArray
    node: IntArray


@dataclass(frozen=True, slots=True)
class Period:
    """What the controller measures and is asked for at the start of a period.

    Parameters
    ----------
    state, inputs : of the fleet, now
    p_min_w, p_max_w : float64 (n_devices,)
        What devices can hold until the interval's end.
    planned_w : float64 (n_devices,)
    request_wh : float64 (n_devices,)
        Energy that firmware below its low threshold asks for.
    target_wh, delivered_wh : float64 (n_accounts,)
        Net export; the target includes what the controller itself has ordered off the plan so far (events,
        relief, cuts), so that nobody runs after energy that was taken away; nan: no target.
    left_s : float
        Until the interval's end.
    must_charge : bool (n_devices,)
        Vehicles that would not be ready at departure if they waited for the next interval.
    calls : tuple of Call
    is_healthy : bool (n_devices,)
    tie : TieOrder or None
        Transfers over direct-current ties; made as a whole or not at all.
    surge_w : float64 (n_devices,) or None
        What islands' storages can give for some seconds, while slower ones ramp up; `p_max_w` is what they hold for as
        long as the island has to last. None: there is no island.
    off : KeptOff or None
        Loads that stay off while an island rides through.
    offer_wh : float64 (n_devices,) or None
        Energy that firmware above its high threshold offers; None: nobody does.
    """

    state: FleetState
    inputs: FleetInputs
    p_min_w: FloatArray
    p_max_w: FloatArray
    planned_w: FloatArray
    request_wh: FloatArray
    target_wh: FloatArray
    delivered_wh: FloatArray
    left_s: float
    must_charge: BoolArray
    calls: tuple[Call, ...]
    is_healthy: BoolArray
    tie: TieOrder | None = None
    off: KeptOff | None = None
    surge_w: FloatArray | None = None
    offer_wh: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Setpoints and their reasons; arrays (n_devices,).

    Parameters
    ----------
    setpoint_w : float64
        Power of a storage, limit of a load (-inf: none) or of the sun (inf: none).
    wanted_w, granted_w : float64
        Power before and after capacities cut it.
    reason : int64
        `Reason`.
    node : int64
        The node the reason is about, -1 if none.
    ordered_w : float64
        Power that the controller ordered beyond what the account wanted: events, relief, cuts; signed.
    event_w : float64
        The part of it that grid events ordered.
    taken_w : float64
        Export that the controller took away for the sake of others, >= 0.
    lent_w : float64
        Power that a storage gives beyond its own connection's need, to relieve `node`, >= 0.
    """

    setpoint_w: FloatArray
    wanted_w: FloatArray
    granted_w: FloatArray
    reason: IntArray
    node: IntArray
    ordered_w: FloatArray
    event_w: FloatArray
    taken_w: FloatArray
    lent_w: FloatArray


def decide(plan: ControlPlan, period: Period) -> Decision:
    """Decide one control period; see the module's table."""
    params, rows = plan.params, plan.storage
    reason = np.full(params.n_devices, Reason.FOLLOW, np.int64)
    wanted = period.inputs.solar_available_w - wanted_load_w(plan, period)
    wanted *= period.inputs.is_present & period.is_healthy
    if period.off is not None:
        wanted[period.off.is_off] = 0.0
    low, high = period.p_min_w, period.p_max_w
    are_all_healthy = period.is_healthy.all()
    if not are_all_healthy:
        low, high = np.where(period.is_healthy, low, 0.0), np.where(period.is_healthy, high, 0.0)
    base = _plan_storages(plan, period, wanted, low, high, reason)
    event = answer_calls(plan, period.calls, period.state, period.inputs, period.is_healthy, base, low, high)
    asked = base
    if period.calls:
        asked = base + event
        reason[event != 0.0] = Reason.GRID_EVENT
    if period.tie is not None:
        asked = _move(period.tie, asked, low, high, reason)
    can_wait = np.zeros(params.n_devices)
    can_wait[params.vehicle_rows] = np.maximum(-asked[params.vehicle_rows], 0.0)
    helper = plan.relief.helper
    relief = _relieve(plan, period, asked, low[helper], high[helper], can_wait)
    is_helping = relief.relieved_node != NO_NODE
    reason[is_helping] = Reason.RELIEF
    if not are_all_healthy:
        reason[rows[~period.is_healthy[rows]]] = Reason.UNHEALTHY
    reason[is_helping & plan.in_island] = Reason.SUPPLY_FAILURE
    grant = grant_in_islands(plan, relief.p_w, period.state.p_w)
    is_cut = grant.limiting_node != NO_NODE
    node = relief.relieved_node
    if is_cut.any():
        node = np.where(is_cut, grant.limiting_node, node)
        reason[is_cut] = why_cut(plan, relief.p_w, grant)[is_cut]
    granted = grant.p_milli_w / MILLI
    if period.tie is not None:
        moved = period.tie.port_w != 0.0
        if np.any(np.abs(granted - period.tie.port_w)[moved] > SAME_GRANT_W):
            # What one end cannot draw the other cannot get. Storages go on: where they have to ramp up first, because
            # the donor's feed has no room for both, ports follow once that flow is assured.
            waits = replace(period.tie, port_w=np.zeros_like(period.tie.port_w))
            return decide(plan, replace(period, tie=waits))
        node = np.where((node == NO_NODE) & (reason == period.tie.reason), period.tie.partner, node)
    is_free = ~(params.takes_power | is_cut)
    if period.off is not None:
        off = period.off.is_off
        is_free &= ~off
        node = node.copy()
        reason[off], node[off] = period.off.reason[off], period.off.node[off]
    return Decision(
        setpoint_w=np.where(is_free, plan.free_w, granted),
        wanted_w=relief.p_w,
        granted_w=granted,
        reason=reason,
        node=node,
        ordered_w=granted - base,
        event_w=_event_part(event, base, granted) if period.calls else event,
        taken_w=_taken(plan, node, base, granted, event),
        lent_w=_lent(plan, relief, asked, granted),
    )


def _taken(
    plan: ControlPlan, node: IntArray, base: FloatArray, granted: FloatArray, event: FloatArray
) -> FloatArray:
    """Return the export that was taken away for the sake of others, (n_devices,) W >= 0."""
    # An event that asks for less export takes from the position too; one that asks for more does not.
    is_shared = (node != NO_NODE) & (plan.tree.depth.take(node) < plan.shared_depth)
    return np.where(is_shared | plan.in_island, np.maximum(base - granted, 0.0), np.maximum(-event, 0.0))


def _lent(plan: ControlPlan, relief: Relief, asked: FloatArray, granted: FloatArray) -> FloatArray:
    """Return what storages give beyond their own connection's need, (n_devices,) W >= 0."""
    lent = np.zeros(asked.size)
    helping = np.flatnonzero(relief.relieved_node != NO_NODE)
    if helping.size:
        rows = helping[plan.tree.depth[relief.relieved_node[helping]] < plan.shared_depth[helping]]
        most = np.maximum(relief.p_w[rows] - asked[rows], 0.0)
        lent[rows] = np.minimum(np.maximum(granted[rows] - asked[rows], 0.0), most)
    return lent


def _relieve(
    plan: ControlPlan,
    period: Period,
    asked: FloatArray,
    low: FloatArray,
    high: FloatArray,
    can_wait: FloatArray,
) -> Relief:
    """Let storages take overloads on themselves; in an island fast ones bridge the time that slow ones need."""
    if period.surge_w is None:
        return relieve(plan.relief, asked, low, high, can_wait)
    helper, p_now = plan.relief.helper, period.state.p_w[plan.relief.helper]
    in_island = plan.in_island[helper]
    # What is assured of a slow one is all that loads may lean on now; it goes on from there in the next period.
    reach = p_now + plan.params.ramp_w_per_s[helper] * FIRMWARE_STEP_S
    lasting = relieve(plan.relief, asked, low, np.where(in_island, np.minimum(high, reach), high), can_wait)
    surge = np.where(period.is_healthy, period.surge_w, 0.0)[helper]
    more = np.where(in_island, np.minimum(surge, reach), high)
    bridged = relieve(plan.bridge, lasting.p_w, low, np.maximum(more, lasting.p_w[helper]), can_wait)
    return Relief(
        bridged.p_w,
        np.where(bridged.relieved_node != NO_NODE, bridged.relieved_node, lasting.relieved_node),
    )


def no_decision(n_devices: int) -> Decision:
    """Return the decision of a controller that is not there: devices go on as they were told."""
    zero, follow = np.zeros(n_devices), np.full(n_devices, Reason.FOLLOW, np.int64)
    return Decision(zero, zero, zero, follow, np.full(n_devices, NO_NODE, np.int64), zero, zero, zero, zero)


def wanted_load_w(plan: ControlPlan, period: Period) -> FloatArray:
    """Return what loads would draw now without any limit, (n_devices,) W, >= 0."""
    demand = np.zeros(plan.params.n_devices)
    demand[plan.params.load_rows] = fleet.wanted_load_w(plan.params, period.state, period.inputs, PERIOD_S)
    return demand


def _plan_storages(
    plan: ControlPlan, period: Period, wanted: FloatArray, low: FloatArray, high: FloatArray, reason: IntArray
) -> FloatArray:
    """Return wanted power with storages on plan or on target, and write their reasons."""
    rows, tracking = plan.storage, plan.tracking
    base = wanted.copy()
    base[rows] = np.minimum(np.maximum(period.planned_w[rows], low[rows]), high[rows])
    reason[rows] = Reason.SCHEDULE
    late = rows[period.must_charge[rows] & (low[rows] < base[rows])]
    base[late] = low[late]
    reason[late] = Reason.DEPARTURE
    in_island = plan.island[plan.connection_of_account]
    has_target = ~np.isnan(period.target_wh) & ~in_island
    account = plan.account_of_device[tracking]
    free = tracking[~has_target[account] & (period.planned_w[tracking] == 0.0)]
    serve_requests(free, period.request_wh, period.left_s, low, base, reason)
    if period.offer_wh is not None:
        free = free[~in_island[plan.account_of_device[free]]]
        take_offers(plan, free, period.offer_wh, high, base, reason)
    if not tracking.size:
        return base
    others = base.copy()
    others[tracking] = 0.0
    required = required_power_w(period.target_wh, period.delivered_wh, period.left_s)
    required = required - sum_by(plan.account_of_device, others, plan.n_accounts)
    required = np.where(has_target, required, 0.0)
    tracked = track(account, base[tracking], low[tracking], high[tracking], required, has_target)
    is_moved = np.abs(tracked.p_w - period.planned_w[tracking]) > SAME_POWER_W
    reason[tracking] = np.where(has_target[account] & is_moved, Reason.TRACKING, reason[tracking])
    missing = tracked.missing_w[account]
    at_top = (missing > SAME_POWER_W) & (tracked.p_w >= high[tracking])
    at_bottom = (missing < -SAME_POWER_W) & (tracked.p_w <= low[tracking])
    has_power_up = high[tracking] < plan.params.p_discharge_max_w[tracking] - SAME_POWER_W
    has_power_down = low[tracking] > SAME_POWER_W - plan.params.p_charge_max_w[tracking]
    why = reason[tracking]
    why[at_top | at_bottom] = Reason.POWER_LIMIT
    why[at_bottom & has_power_down] = Reason.FULL
    why[at_top & has_power_up] = Reason.RESERVE
    reason[tracking] = why
    base[tracking] = tracked.p_w
    _concentrate(plan, period, base, tracking[has_target[account]], low, high, reason)
    return base


def _concentrate(
    plan: ControlPlan,
    period: Period,
    base: FloatArray,
    units: IntArray,
    low: FloatArray,
    high: FloatArray,
    reason: IntArray,
) -> None:
    """Let each account's storages run as one battery: few converters, the fuller ones first."""
    account = plan.account_of_device[units]
    has_several = np.bincount(account, minlength=plan.n_accounts) > 1
    units = units[has_several[account]]
    if not units.size:
        return
    account, state, params = plan.account_of_device[units], period.state, plan.params
    usable = params.capacity_wh[units] * state.capacity_factor[units] - params.floor_wh[units]
    p_w = concentrate(
        account,
        sum_by(account, base[units], plan.n_accounts),
        low[units],
        high[units],
        plan.best_load_w[units],
        (state.energy_wh[units] - params.floor_wh[units]) / usable,
        np.abs(state.p_w[units]) > SAME_POWER_W,
    )
    is_moved = np.abs(p_w - base[units]) > SAME_POWER_W
    reason[units] = np.where(is_moved, Reason.BALANCED, reason[units])
    base[units] = p_w


def _move(
    tie: TieOrder, asked: FloatArray, low: FloatArray, high: FloatArray, reason: IntArray
) -> FloatArray:
    """Return powers with transfers over the ties, and write their reasons."""
    takes_part = tie.partner != NO_NODE
    reason[takes_part] = tie.reason[takes_part]
    with_it = np.where(tie.storage_w != 0.0, np.clip(asked + tie.storage_w, low, high), asked)
    return with_it + tie.port_w


def _event_part(event: FloatArray, base: FloatArray, granted: FloatArray) -> FloatArray:
    """Return the part of the events' shares that was granted: what was cut is no contribution."""
    return np.where(event > 0, np.clip(granted - base, 0.0, event), -np.clip(base - granted, 0.0, -event))
