"""One control period of an island: what the leader adds to the controller's decision.

Storages below the switch form its voltage: together they carry at once what loads and sun leave (`balance`). Cars that
are plugged in and can discharge carry their share as far as they ramp, with what they hold beyond their next trip; they
do not charge, and plans do not count on them: they may leave. Loads that
are shed, wait for their turn or have no voltage are held at zero, each with its reason. What a plan or the sun could
not export counts as taken by the failure.
"""

from dataclasses import dataclass, replace

import numpy as np

from devices.needs import required_wh
from devices.specification import Kind
from node.controller.control_plan import FIRMWARE_STEP_S, ControlPlan
from node.controller.decision import Decision, Period, decide, wanted_load_w
from node.controller.microgrid import BoolArray
from node.controller.microgrid_balance import MILLI, balance
from node.controller.network import FloatArray, IntArray
from node.controller.reasons import Reason

# Powers closer than this are the same to whoever reads a reason.
SPILL_W = 1.0


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
    can_act = ~(orders.is_dark & params.is_storage)
    balanced = replace(
        period,
        inputs=replace(
            period.inputs,
            load_demand_w=np.where(is_off, 0.0, period.inputs.load_demand_w),
            solar_available_w=np.where(orders.is_dark, 0.0, period.inputs.solar_available_w),
        ),
        p_min_w=np.where(can_act, period.p_min_w, 0.0),
        p_max_w=np.where(can_act, period.p_max_w, 0.0),
        planned_w=np.where(is_planned, 0.0, period.planned_w),
        request_wh=np.where(orders.is_inside, 0.0, period.request_wh),
        must_charge=period.must_charge & ~orders.is_inside,
    )
    for node in np.unique(orders.node[orders.is_inside & ~orders.is_dark]).tolist():
        balanced = _balance(plan, balanced, orders.node == node)
    decision = decide(plan, balanced)
    is_sun = params.kind == Kind.SOLAR
    return _with_orders(period, decision, orders, is_off, is_planned, is_load, is_sun)


def _balance(plan: ControlPlan, period: Period, is_inside: BoolArray) -> Period:
    """Return the period with one island's sun, loads and storages wanting what they can do together."""
    params = plan.params
    can = period.is_healthy & period.inputs.is_present & is_inside
    storages = np.flatnonzero(params.is_storage & (params.kind != Kind.VEHICLE) & can)
    suns = np.flatnonzero((params.kind == Kind.SOLAR) & can)
    loads = np.flatnonzero(~params.is_storage & (params.kind != Kind.SOLAR) & can)
    solar_w = period.inputs.solar_available_w.copy()
    planned_w = period.planned_w.copy()
    load_w = wanted_load_w(plan, period)[loads]
    low_w, high_w = np.minimum(period.p_min_w, 0.0), np.maximum(period.p_max_w, 0.0)
    held_wh = period.state.energy_wh[storages] - params.floor_wh[storages]
    room_wh = (
        params.capacity_wh[storages] * period.state.capacity_factor[storages]
        - period.state.energy_wh[storages]
    )
    limits = (low_w[storages], high_w[storages], held_wh, room_wh)
    cars, car_w = _cars_w(plan, period, can, load_w, solar_w[suns], limits)
    # Nobody curtails what a car still gives: for the others it is load that is not there.
    done = balance(np.append(load_w, -car_w.sum()), solar_w[suns], *limits)
    solar_w[suns], planned_w[storages], planned_w[cars] = done.sun_w, done.storage_w, car_w
    inputs = replace(period.inputs, solar_available_w=solar_w)
    # Who forms the voltage is no ramp: its power is what the others leave, in the same instant.
    p_w = period.state.p_w.copy()
    p_w[storages] = done.storage_w
    low_w, high_w = period.p_min_w.copy(), period.p_max_w.copy()
    low_w[storages] = high_w[storages] = done.storage_w  # nothing is left for relief to move
    low_w[cars] = high_w[cars] = car_w
    return replace(
        period,
        state=replace(period.state, p_w=p_w),
        inputs=inputs,
        planned_w=planned_w,
        p_min_w=low_w,
        p_max_w=high_w,
    )


def _cars_w(
    plan: ControlPlan, period: Period, can: BoolArray, load_w: FloatArray, sun_w: FloatArray,
    limits: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
) -> tuple[IntArray, FloatArray]:  # fmt: skip
    """Return the rows of cars that can feed an island, and what they give in this period, whole milliwatts in W."""
    params, state = plan.params, period.state
    cars = np.flatnonzero((params.kind == Kind.VEHICLE) & (params.p_discharge_max_w > 0.0) & can)
    kept_wh = np.zeros(params.n_devices)
    kept_wh[params.vehicle_rows] = required_wh(params, period.inputs)
    spare_wh = np.maximum(state.energy_wh[cars] - np.maximum(params.floor_wh, kept_wh)[cars], 0.0)
    most_w = np.minimum(np.maximum(period.p_max_w[cars], 0.0), spare_wh * (3_600.0 / period.left_s))
    low_w, high_w, held_wh, room_wh = limits
    nothing = np.zeros(cars.size)
    shared = balance(
        load_w, sun_w, np.append(low_w, nothing), np.append(high_w, most_w), np.append(held_wh, spare_wh),
        np.append(room_wh, nothing),
    )  # fmt: skip
    reach_w = params.ramp_w_per_s[cars] * FIRMWARE_STEP_S
    car_w = np.clip(shared.storage_w[low_w.size :], state.p_w[cars] - reach_w, state.p_w[cars] + reach_w)
    return cars, np.floor(np.maximum(car_w, 0.0) * MILLI + 1e-6) / MILLI


def _with_orders(
    period: Period, decision: Decision, orders: IslandOrders, is_off: BoolArray, is_planned: BoolArray,
    is_load: BoolArray, is_sun: BoolArray,
) -> Decision:  # fmt: skip
    setpoint, reason, node = decision.setpoint_w.copy(), decision.reason.copy(), decision.node.copy()
    # Sun that nobody can take is limited, with what is granted as its limit.
    is_spilled = orders.is_inside & (decision.granted_w < period.inputs.solar_available_w - SPILL_W) & is_sun
    setpoint[is_spilled] = decision.granted_w[is_spilled]
    reason[is_spilled], node[is_spilled] = Reason.SUPPLY_FAILURE, orders.node[is_spilled]
    carries = is_planned & (np.abs(decision.granted_w) > SPILL_W) & ~orders.is_dark
    reason[carries], node[carries] = Reason.SUPPLY_FAILURE, orders.node[carries]
    is_held = is_off | orders.is_dark
    setpoint[is_held] = 0.0
    node[is_held] = orders.node[is_held]
    reason[is_held] = Reason.SUPPLY_FAILURE
    reason[is_held & is_load] = Reason.NO_VOLTAGE
    reason[orders.is_shed & ~orders.is_dark] = Reason.SHED
    reason[orders.is_waiting & ~orders.is_dark] = Reason.PICK_UP
    can = np.clip(period.planned_w, period.p_min_w, period.p_max_w)
    lost = np.where(is_planned, can, period.inputs.solar_available_w)
    taken = np.where(
        is_planned | (orders.is_inside & is_sun),
        np.maximum(lost - decision.granted_w, 0.0),
        decision.taken_w,
    )
    return replace(decision, setpoint_w=setpoint, reason=reason, node=node, taken_w=taken)
