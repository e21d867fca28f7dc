"""The reference: the same community without the market, for bills and peaks to be compared with.

Every account has only its supplier. Home batteries do what they do without a market: they take the own surplus
and cover the own need. Cars charge at full power from arrival until they hold what they need at departure; backup
units, modules and flywheels hold what they began with. The same device models, loads and sun as the community's own.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from devices.fleet import deliverable_w, step
from devices.specification import Kind, Mode
from devices.state import FleetInputs, FleetState, initial_state, state_from_bytes, state_to_bytes
from market.units import MILLI_WH_PER_WH
from node.hub.dispatch_records import IntervalInputs
from node.store.bulk import insert_columns
from node.store.tables_devices import reference_intervals
from node.world.plant import Plant

FloatArray = NDArray[np.float64]

SECONDS_PER_HOUR = 3_600.0
# The reference decides once per step; limits of stores are exact inside a step of any length.
STEP_S = 300.0


@dataclass(slots=True)
class Reference:
    """A twin of the plant that nobody trades with."""

    plant: Plant
    state: FleetState

    @classmethod
    def begin(cls, plant: Plant) -> "Reference":
        """Return the twin as the plant begins."""
        state = initial_state(plant.fleet)
        leased = np.full(plant.fleet.n_devices, int(Mode.LEASED), np.int64)
        return cls(plant, replace(state, mode=leased))

    def run_interval(self, inputs: IntervalInputs) -> FloatArray:
        """Advance the twin by one interval; return each account's net export, Wh, `(n_accounts,)`."""
        fleet = self.plant.fleet
        length_s = self.plant.scenario.interval_s
        net_wh = np.zeros(len(self.plant.scenario.participants))
        ends = [*inputs.offset_s[1:], float(length_s)]
        for begin_s, end_s, now in zip(inputs.offset_s, ends, inputs.steps, strict=True):
            left_s = end_s - begin_s
            while left_s > 0:
                dt_s = min(STEP_S, left_s)
                self.state, flows = step(fleet, self.state, now, self._setpoints(now, dt_s), dt_s)
                net_wh += np.bincount(self.plant.participant, flows.terminal_wh, net_wh.size)
                left_s -= dt_s
        return net_wh

    def _setpoints(self, now: FleetInputs, dt_s: float) -> FloatArray:
        fleet, owner = self.plant.fleet, self.plant.participant
        low_w, high_w = deliverable_w(fleet, self.state, now, dt_s)
        is_battery = fleet.kind == Kind.BATTERY
        is_held = (fleet.capacity_wh > 0) & ~is_battery
        setpoint = np.where(is_held, self._charging_w(low_w, dt_s), 0.0)
        others_w = now.solar_available_w - now.load_demand_w + setpoint
        need_w = -np.bincount(owner, others_w, len(self.plant.scenario.participants))
        room_w = np.where(need_w[owner] > 0, np.maximum(high_w, 0.0), np.maximum(-low_w, 0.0)) * is_battery
        total_w = np.bincount(owner, room_w, need_w.size)
        share = room_w / np.where(total_w > 0, total_w, 1.0)[owner]
        wanted_w = np.clip(need_w[owner], -total_w[owner], total_w[owner]) * share
        setpoint = np.where(is_battery, wanted_w, setpoint)
        setpoint[fleet.solar_rows] = np.inf
        setpoint[fleet.load_rows] = -np.inf
        return setpoint

    def _charging_w(self, low_w: FloatArray, dt_s: float) -> FloatArray:
        """Return the charging power towards what each store shall hold, as negative numbers."""
        goal_wh = self.plant.fleet.initial_wh.copy()
        goal_wh[self.plant.vehicles] = [car.required_wh for car in self.plant.cars]
        missing_wh = np.maximum(goal_wh - self.state.energy_wh, 0.0)
        return np.maximum(-missing_wh * SECONDS_PER_HOUR / dt_s, low_w)

    def record(self, connection: Connection, interval: int, net_wh: FloatArray, first_account: int) -> None:
        """Store what the meters would have shown in an interval."""
        milli_wh = np.rint(net_wh * MILLI_WH_PER_WH).astype(np.int64)
        stored = self.plant.fleet.capacity_wh > 0
        held_wh = np.bincount(self.plant.participant[stored], self.state.energy_wh[stored], net_wh.size)
        insert_columns(
            connection,
            reference_intervals,
            {
                "interval": interval,
                "account": np.arange(first_account, first_account + net_wh.size),
                "net_export_milli_wh": milli_wh,
                "stored_wh": held_wh,
            },
        )

    def to_bytes(self) -> bytes:
        """Return the twin's state."""
        return state_to_bytes(self.state)

    def restore(self, data: bytes) -> None:
        """Take over what `to_bytes` wrote."""
        self.state = state_from_bytes(data)
