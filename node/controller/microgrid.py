"""A part of the network that can live alone: its phases, what it remembers, and how it plans its hours.

```
CONNECTED -supply lost-> LOST -trip-> ELECTING -leader-> FORMING -all picked up-> ISLANDED -energy gone-> DARK
DARK -sun-> ELECTING         FORMING, ISLANDED -grid healthy for 300 s-> SYNCHRONISING -in phase-> CONNECTED
DARK, LOST, ELECTING -grid healthy for 300 s-> CONNECTED (onto a dead bus: nothing to bring in phase)
```

Powers of devices: `p_w > 0` injects. Moments are whole milliseconds of unix time, so that no float decides.
"""

import json
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from devices.parameters import FleetParameters
from devices.specification import Kind, Priority
from devices.state import FleetState
from node.controller.control_plan import ControlPlan
from node.controller.network import FloatArray, IntArray, sum_by
from node.controller.shedding import Service, Supply, plan_service

BoolArray = NDArray[np.bool_]

NEVER_MS: Final = 2**62
# Charging and discharging once through a home inverter and its cells (SimSES' Sony LFP behind a Sinamics S120).
ROUND_TRIP_PU: Final = 0.88
ONE_WAY_PU: Final = 0.94


class Phase(IntEnum):
    """What a microgrid is doing."""

    CONNECTED = 0
    LOST = 1
    ELECTING = 2
    FORMING = 3
    ISLANDED = 4
    DARK = 5
    SYNCHRONISING = 6


HAS_VOLTAGE: Final = frozenset({Phase.CONNECTED, Phase.FORMING, Phase.ISLANDED, Phase.SYNCHRONISING})


@dataclass(frozen=True, slots=True)
class MicrogridTerms:
    """What somebody decided about a microgrid; see `Microgrid` for the meaning.

    Parameters
    ----------
    loss_pu : float
        Share of messages that its members lose among each other, 0..1.
    seed : int
        Of timeouts and losses.
    """

    node: int
    nominal_hz: float
    reserve_pu: float
    loss_pu: float
    seed: int


@dataclass(frozen=True, slots=True)
class Microgrid:
    """What does not change; build with `lay_out`.

    Parameters
    ----------
    node : int
        Whose switch to the parent opens.
    devices, loads, suns, storages : int64
        Rows of devices at or below it; storages without vehicles: they form the voltage.
    members : int64 (n_members,)
        Accounts that elect.
    is_candidate : bool (n_members,)
        Accounts with a storage that can form.
    reserve_pu : float
        Share of the usable energy kept for the next black start.
    """

    node: int
    name: str
    devices: IntArray
    loads: IntArray
    suns: IntArray
    storages: IntArray
    members: IntArray
    is_candidate: BoolArray
    nominal_hz: float
    reserve_pu: float
    loss_pu: float
    seed: int


@dataclass(frozen=True, slots=True)
class MicrogridState:
    """What a microgrid remembers.

    Parameters
    ----------
    since_ms, due_ms : int
        Unix ms: when the phase began, and when something is due; `NEVER_MS` if nothing is.
    leader, term : int
        Account that leads, -1 if nobody does, and its term; `terms` are the members' highest ones.
    on : rows of loads that are picked up
    waiting : (row, unix ms) of loads whose turn is still to come
    recent : (row, unix ms) of loads picked up a moment ago: their inrush still flows
    back_ms : int
        Since when the grid has been healthy again; `NEVER_MS` if it is not.
    f_hz, v_pu, angle_deg : float
        Of the island; the angle against the grid's.
    began_ms : int
        When the supply was lost, or the newest black start began.
    pending : str
        What is to be told when the phase ends.
    """

    phase: Phase = Phase.CONNECTED
    since_ms: int = 0
    due_ms: int = NEVER_MS
    leader: int = -1
    term: int = 0
    terms: tuple[int, ...] = ()
    on: tuple[int, ...] = ()
    waiting: tuple[tuple[int, int], ...] = ()
    recent: tuple[tuple[int, int], ...] = ()
    back_ms: int = NEVER_MS
    f_hz: float = 0.0
    v_pu: float = 0.0
    angle_deg: float = 0.0
    began_ms: int = 0
    pending: str = ""

    @property
    def is_cut(self) -> bool:
        """Whether the switch to the grid is open or nothing flows through it."""
        return self.phase is not Phase.CONNECTED

    @property
    def has_voltage(self) -> bool:
        """Whether devices are under voltage."""
        return self.phase in HAS_VOLTAGE


def states_to_bytes(states: tuple[MicrogridState, ...]) -> bytes:
    """Return states as bytes; equal states give equal bytes."""
    return json.dumps([asdict(one) for one in states], separators=(",", ":")).encode()


def states_from_bytes(data: bytes) -> tuple[MicrogridState, ...]:
    """Return the states that `states_to_bytes` wrote.

    Raises
    ------
    ValueError
        If the bytes are none.
    """
    try:
        found = json.loads(data)
        return tuple(
            MicrogridState(
                **{
                    **one,
                    "phase": Phase(one["phase"]),
                    "terms": tuple(one["terms"]),
                    "on": tuple(one["on"]),
                    "waiting": tuple((row, at) for row, at in one["waiting"]),
                    "recent": tuple((row, at) for row, at in one["recent"]),
                }
            )
            for one in found
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"microgrids: not what was written ({error})") from error


def lay_out(plan: ControlPlan, terms: MicrogridTerms) -> Microgrid:
    """Return the microgrid at a node of a plan."""
    node = terms.node
    tree, params = plan.tree, plan.params
    is_below = tree.ancestors()[tree.depth[node]] == node
    devices = np.flatnonzero(is_below[plan.node_of_device])
    kind = params.kind[devices]
    is_storage = params.is_storage[devices] & (kind != Kind.VEHICLE)
    storages = devices[is_storage]
    members = np.flatnonzero(is_below[plan.connection_of_account])
    return Microgrid(
        node=node,
        name=tree.names[node],
        devices=devices,
        loads=devices[(kind == Kind.LOAD) | (kind == Kind.THERMOSTATIC_LOAD)],
        suns=devices[kind == Kind.SOLAR],
        storages=storages,
        members=members,
        is_candidate=np.isin(members, plan.account_of_device[storages]),
        nominal_hz=terms.nominal_hz,
        reserve_pu=terms.reserve_pu,
        loss_pu=terms.loss_pu,
        seed=terms.seed,
    )


def usable_wh(grid: Microgrid, params: FleetParameters, state: FleetState, is_healthy: BoolArray) -> float:
    """Return what healthy storages can deliver above floor and black-start reserve, Wh; < 0: less."""
    rows = grid.storages[is_healthy[grid.storages]]
    full = params.capacity_wh[rows] * state.capacity_factor[rows] - params.floor_wh[rows]
    held = state.energy_wh[rows] - params.floor_wh[rows] - grid.reserve_pu * full
    return float(held.sum()) * ONE_WAY_PU


def supply(
    grid: Microgrid, params: FleetParameters, state: FleetState, sun_w: FloatArray, is_healthy: BoolArray,
    slot_s: float,
) -> Supply:  # fmt: skip
    """Return what an island can live on over the coming slots.

    Parameters
    ----------
    sun_w : float64 (n_slots,)
        Expected in the whole island; the first slot as measured.
    """
    rows = grid.storages[is_healthy[grid.storages]]
    full = params.capacity_wh[rows] * state.capacity_factor[rows]
    return Supply(
        sun_w=np.maximum(sun_w, 0.0),
        energy_wh=max(usable_wh(grid, params, state, is_healthy), 0.0),
        room_wh=max(float((full - state.energy_wh[rows]).sum()), 0.0) * ONE_WAY_PU,
        p_discharge_w=float(params.p_discharge_max_w[rows].sum()),
        p_charge_w=float(params.p_charge_max_w[rows].sum()),
        efficiency_pu=ROUND_TRIP_PU,
        slot_s=slot_s,
    )


def horizon(critical_w: FloatArray, sun_w: FloatArray) -> int:
    """Return how many slots the energy has to last: until sun that carries critical loads comes after the next dark.

    Parameters
    ----------
    critical_w, sun_w : float64 (n_slots,)
        Expected; the first slot is now.
    """
    is_sunny = sun_w >= np.maximum(critical_w, 1.0)
    dark = np.flatnonzero(~is_sunny)
    if not dark.size:
        return int(sun_w.size)
    again = np.flatnonzero(is_sunny[dark[0] :])
    return int(dark[0] + again[0]) if again.size else int(sun_w.size)


def plan_hours(
    grid: Microgrid, params: FleetParameters, state: FleetState, demand_w: FloatArray, sun_w: FloatArray,
    is_healthy: BoolArray, slot_s: float,
) -> Service:  # fmt: skip
    """Return which loads are on until sun comes back; rows as in `grid.loads`.

    Parameters
    ----------
    demand_w : float64 (n_loads, n_slots)
        Of `grid.loads`; the first slot as measured, the others as forecast.
    sun_w : float64 (n_slots,)
    """
    priority = params.priority[grid.loads]
    critical_w = demand_w[priority == Priority.CRITICAL].sum(axis=0)
    n = max(horizon(critical_w, sun_w), 1)
    return plan_service(demand_w[:, :n], priority, supply(grid, params, state, sun_w[:n], is_healthy, slot_s))


def first_states(grids: tuple[Microgrid, ...]) -> tuple[MicrogridState, ...]:
    """Return the states before the first interval: connected."""
    return tuple(MicrogridState() for _ in grids)


def served_pu(
    grid: Microgrid, state: MicrogridState, account_of_device: IntArray, load_share_pu: FloatArray,
    n_accounts: int,
) -> FloatArray:  # fmt: skip
    """Return the share of each account's load that an island serves, (n_accounts,); 1 outside."""
    on = np.zeros(account_of_device.size, np.bool_)
    on[list(state.on) + [row for row, _ in state.waiting]] = True
    inside = grid.loads
    total = sum_by(account_of_device[inside], load_share_pu[inside], n_accounts)
    served = sum_by(account_of_device[inside], load_share_pu[inside] * on[inside], n_accounts)
    return np.where(total > 0, served / np.where(total > 0, total, 1.0), 1.0)


def stopped(fleet: FleetState, devices: IntArray) -> FleetState:
    """Return the fleet with nothing flowing at some terminals: without voltage there is nothing to ramp."""
    p_w, main_p_w = fleet.p_w.copy(), fleet.main_p_w.copy()
    p_w[devices] = 0.0
    main_p_w[devices] = 0.0
    return replace(fleet, p_w=p_w, main_p_w=main_p_w)
