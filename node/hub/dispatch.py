"""Dispatch: turn an interval's schedule into leased setpoints, run the devices, and report what happened."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from devices.parameters import FleetParameters
from node.controller.control_plan import plan_control
from node.controller.microgrid import MicrogridTerms, first_states, lay_out
from node.controller.network import CapacityTree
from node.errors import Permanent
from node.hub.dispatch_clock import timeline
from node.hub.dispatch_islands import IslandRun
from node.hub.dispatch_racks import RackControl, RackRun
from node.hub.dispatch_records import IntervalInputs, IntervalOutcome, Schedule
from node.hub.dispatch_ride import RideRun, RideTerms
from node.hub.dispatch_run import IntervalRun
from node.hub.dispatch_state import World, first_world
from node.hub.dispatch_voltage import VoltageControl, VoltageRun

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class BadSchedule(Permanent):
    """A schedule or inputs of the wrong shape, or a power that is no number; names the first offending row."""


class Dispatch:
    """The controller's service for one community.

    Parameters
    ----------
    tree : CapacityTree
    params : FleetParameters
    node_of_device : int64 (n_devices,)
        The account's connection, or a node below it (PDU, rack, outlet).
    account_of_device : int64 (n_devices,)
    connection_of_account : int64 (n_accounts,)
        Node of each account's connection.
    lends : bool (n_devices,) or None
        Storages that also help beyond their own connection when a shared node is overloaded or an island.
    interval_s : int
        Length of an interval; intervals start at whole multiples of it, unix time.
    racks : RackControl or None
        Racks joined by direct-current ties; the world has to carry their memory then.
    ride : RideTerms or None
        How islands are ridden through; None: storages carry what they can, by priority.
    microgrids : tuple of MicrogridTerms
        Nodes whose switch opens when the supply is lost, and what is below lives on as an island that is led.
    voltage : VoltageControl or None
        None: voltage is 1 everywhere and wires lose nothing.
    """

    def __init__(
        self,
        tree: CapacityTree,
        params: FleetParameters,
        node_of_device: IntArray,
        account_of_device: IntArray,
        connection_of_account: IntArray,
        *,
        lends: BoolArray | None = None,
        interval_s: int = 900,
        racks: RackControl | None = None,
        ride: RideTerms | None = None,
        microgrids: tuple[MicrogridTerms, ...] = (),
        voltage: VoltageControl | None = None,
    ) -> None:
        self.plan = plan_control(
            tree, params, node_of_device, account_of_device, connection_of_account, lends
        )
        self.interval_s = interval_s
        self.racks = racks
        self.ride = ride
        self.microgrids = tuple(lay_out(self.plan, terms) for terms in microgrids)
        self.voltage = voltage

    def first_world(self) -> World:
        """Return the world before the first interval; tied racks have their memory from `RackControl`."""
        world = first_world(self.plan.params)
        return world if self.voltage is None else replace(world, voltage=self.voltage.first_state())

    def run_interval(
        self,
        interval: int,
        world: World,
        inputs: IntervalInputs,
        schedule: Schedule,
        is_healthy: BoolArray | None = None,
    ) -> tuple[World, IntervalOutcome]:
        """Run one interval; the same arguments give the same bytes.

        Parameters
        ----------
        interval : int
            Index; it starts at `interval * interval_s`, unix time.
        is_healthy : bool (n_devices,) or None
            False: taken out, its power held at zero. None: all are healthy.

        Raises
        ------
        BadSchedule
            Before anything changed.
        """
        plan = self.plan
        self._check(schedule)
        start_s = interval * self.interval_s
        healthy = np.ones(plan.params.n_devices, np.bool_) if is_healthy is None else is_healthy
        more = () if self.racks is None else self.racks.stops_ms(start_s, self.interval_s)
        stops = timeline(start_s, self.interval_s, inputs, schedule, more)
        islands = None
        if self.microgrids:
            before = world.islands or first_states(self.microgrids)
            islands = IslandRun(
                self.microgrids, plan, before, start_s, self.interval_s, schedule.island_ahead, healthy
            )
        grid = self._grid(world, schedule, start_s)
        racks = self._rack_run(world, start_s, stops.end_ms, healthy)
        ride = None if self.ride is None else RideRun(self.ride, plan, start_s, world.ridden, healthy)
        run = IntervalRun(plan, start_s, stops, world, inputs, schedule, healthy, grid, islands, racks, ride)
        after = run.run()
        ledger = run.ledger
        position_wh = schedule.target_export_wh if schedule.position_wh is None else schedule.position_wh
        return after, IntervalOutcome(
            interval=interval,
            energies=ledger.energies(),
            energy_wh=after.fleet.stored_wh(),
            fuel_wh=after.fleet.fuel_wh,
            net_export_wh=ledger.delivered_wh,
            curtailments=ledger.curtailments(position_wh),
            unserved_wh_by_class=ledger.unserved_wh_by_class(),
            curtailed_wh_by_class=ledger.curtailed_wh_by_class(),
            nodes=ledger.nodes(),
            setpoints=ledger.setpoint_log(_event_names(schedule)),
            event_wh=ledger.event_wh,
            lent_wh=ledger.lent_wh,
            borrowed_wh=ledger.borrowed_wh,
            n_periods=ledger.n_periods,
            n_coasts=ledger.n_coasts,
            incidents=tuple(run.incidents),
            racks=None if racks is None else racks.outcome(),
            islands=() if islands is None else islands.outcomes(after.fleet),
            frequency=None if run.swarm is None else run.swarm.outcome(),
            voltage=None if grid is None else grid.outcome(),
        )

    def _grid(self, world: World, schedule: Schedule, start_s: int) -> VoltageRun | None:
        if self.voltage is None:
            return None
        if schedule.ahead is None or world.voltage is None:
            raise BadSchedule("ahead: need what loads and sun of the day are expected to be, to keep voltage")
        return VoltageRun(self.voltage, world.voltage, start_s, schedule.ahead, self.interval_s)

    def _rack_run(self, world: World, start_s: int, end_ms: int, healthy: BoolArray) -> RackRun | None:
        if self.racks is None:
            return None
        if world.racks is None:
            raise BadSchedule("racks are tied, and the world remembers none: begin with their history")
        return RackRun(self.racks, world.racks, start_s, end_ms, healthy)

    def _check(self, schedule: Schedule) -> None:
        plan = self.plan
        shapes = [
            ("target_export_wh", schedule.target_export_wh, plan.n_accounts),
            ("planned_p_w", schedule.planned_p_w, plan.params.n_devices),
        ]
        if schedule.position_wh is not None:
            shapes.append(("position_wh", schedule.position_wh, plan.n_accounts))
        for name, values, length in shapes:
            if values.shape != (length,):
                raise BadSchedule(f"{name} has shape {values.shape}: need ({length},)")
        wrong = np.flatnonzero(~np.isfinite(schedule.planned_p_w))
        if wrong.size:
            device = int(wrong[0])
            raise BadSchedule(
                f"planned_p_w of {plan.params.names[device]} is {schedule.planned_p_w[device]}: need a number"
            )
        infinite = np.flatnonzero(np.isinf(schedule.target_export_wh))
        if infinite.size:
            raise BadSchedule(
                f"target_export_wh of account {int(infinite[0])} is infinite: need a number or nan"
            )


def _event_names(schedule: Schedule) -> tuple[str, ...]:
    """Return what reasons call the events and the frequency service of an interval."""
    names = tuple(event.name for event in schedule.events)
    return names if schedule.frequency is None else (*names, schedule.frequency.service.name)
