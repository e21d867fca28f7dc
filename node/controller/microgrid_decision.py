"""One control period of an island: what the leader adds to the controller's decision.

Storages below the switch serve everybody there and nothing else; loads that are shed, wait for their turn or have no
voltage are held at zero, each with its reason; what a plan or the sun could not export counts as taken by the failure.
"""

from dataclasses import dataclass, replace

import numpy as np

from devices.specification import Kind
from node.controller.control_plan import ControlPlan
from node.controller.decision import Decision, Period, decide
from node.controller.microgrid import BoolArray
from node.controller.network import IntArray
from node.controller.reasons import Reason


@dataclass(frozen=True, slots=True)
class IslandOrders:
    """What islands ask of devices; arrays (n_devices,).

    Parameters
    ----------
    is_inside : bool
        In a part that is cut off.
    is_dark : bool
        Without voltage.
    is_shed, is_waiting : bool
        Loads that the leader keeps off, and loads whose turn in the black start has not come.
    node : int64
        The switch they are behind, -1 outside.
    """

    is_inside: BoolArray
    is_dark: BoolArray
    is_shed: BoolArray
    is_waiting: BoolArray
    node: IntArray


def decide_with_islands(plan: ControlPlan, period: Period, orders: IslandOrders) -> Decision:
    """Decide a period while some parts are islands; see `decision.decide`."""
    params = plan.params
    is_load = ~params.is_storage & (params.kind != Kind.SOLAR)
    is_off = (orders.is_dark | orders.is_shed | orders.is_waiting) & is_load
    is_planned = params.is_storage & orders.is_inside
    inputs = replace(
        period.inputs,
        load_demand_w=np.where(is_off, 0.0, period.inputs.load_demand_w),
        solar_available_w=np.where(orders.is_dark, 0.0, period.inputs.solar_available_w),
    )
    can_act = ~(orders.is_dark & params.is_storage)
    decision = decide(
        plan,
        replace(
            period,
            inputs=inputs,
            p_min_w=np.where(can_act, period.p_min_w, 0.0),
            p_max_w=np.where(can_act, period.p_max_w, 0.0),
            planned_w=np.where(is_planned, 0.0, period.planned_w),
            request_wh=np.where(orders.is_inside, 0.0, period.request_wh),
            must_charge=period.must_charge & ~orders.is_inside,
        ),
    )
    return _with_orders(period, decision, orders, is_off, is_planned, is_load)


def _with_orders(
    period: Period, decision: Decision, orders: IslandOrders, is_off: BoolArray, is_planned: BoolArray,
    is_load: BoolArray,
) -> Decision:  # fmt: skip
    setpoint, reason, node = decision.setpoint_w.copy(), decision.reason.copy(), decision.node.copy()
    is_held = is_off | orders.is_dark
    setpoint[is_held] = 0.0
    node[is_held] = orders.node[is_held]
    reason[is_held] = Reason.SUPPLY_FAILURE
    reason[is_held & is_load] = Reason.NO_VOLTAGE
    reason[orders.is_shed & ~orders.is_dark] = Reason.SHED
    reason[orders.is_waiting & ~orders.is_dark] = Reason.PICK_UP
    # A cut at the open switch is the failure's doing, whatever capacity the switch has.
    at_switch = orders.is_inside & (decision.node == orders.node) & (reason == Reason.CAPACITY)
    reason[at_switch] = Reason.SUPPLY_FAILURE
    can = np.clip(period.planned_w, period.p_min_w, period.p_max_w)
    lost = np.where(is_planned, can, np.where(orders.is_dark, period.inputs.solar_available_w, 0.0))
    taken = np.where(
        is_planned | (orders.is_dark & ~is_load),
        np.maximum(lost - decision.granted_w, 0.0),
        decision.taken_w,
    )
    return replace(decision, setpoint_w=setpoint, reason=reason, node=node, taken_w=taken)
