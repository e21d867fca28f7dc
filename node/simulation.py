"""The live system on a virtual clock: every step of an interval really happens, in the order it would.

```
start      agents decide what they aim at; storages may be planned anew
gates      agents sign and publish orders, the door answers, the round clears
delivery   controller and devices, 100 ms periods where something changes
end        storages age and are judged; meters sign, the hub stores readings and plans the settlement: one
           transaction with the checkpoint
after      the chain mines, the watcher projects, store and chain are compared, the bundle is published
```

Whatever kills the process, the next start continues from the last checkpoint: everything before it is durable,
everything after it is done again and finds what is there already.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, insert, select

from market.chunks import Tariff
from market.rounds import RoundDue
from market.units import MILLI_WH_PER_WH
from node.agent.strategy import Schedule as Aim
from node.bus.messages import TOPIC_ORDERS, CurtailmentNotice, Message, OrderBatch
from node.chain import typed_data
from node.chain.sender import ContractCall, SettlementHalted
from node.community import FIRST_ACCOUNT, Community
from node.founding import install_calls
from node.garbage import rare_collections
from node.hub import device_records, rack_journal
from node.hub.dispatch_records import Curtailment, IntervalInputs, IntervalOutcome, Schedule
from node.hub.dispatch_state import World, world_from_bytes
from node.hub.settled import not_on_chain
from node.mining import mine
from node.store.tables_chain import outbox
from node.store.tables_devices import checkpoints
from node.store.tables_market import tariffs as tariff_rows
from node.times import Times
from node.world.disturbances import (
    during,
    health_watch,
    islanded_zones,
    planned_failures,
    planned_silences,
    silent_rows,
)
from node.world.island_watch import IslandWatch
from node.world.reference import Reference
from node.world.tied_racks import first_world
from node.world.voltage_watch import VoltageWatch

FloatArray = NDArray[np.float64]

# Agents hand in their orders this long before the gate closes.
BEFORE_GATE_S = 30
# Members have an hour to plan for a day's timeslots.
TIMESLOT_NOTICE_S = 3_600
# Waiting orders are taken in by the door in batches of this many messages: one transaction each.
DOOR_BATCH = 5_000


class Simulation:
    """Runs a community's intervals one after the other, and continues where it was stopped."""

    def __init__(self, community: Community) -> None:
        self.community = community
        self.times = Times()
        self._length_s = community.scenario.interval_s
        self._first = community.scenario.delivery_intervals().start
        self._batches: list[OrderBatch] = []
        self._world = first_world(community.scenario, community.dispatch, community.profiles)
        self._flexibility = community.flexibility
        self._frequency = community.frequency
        self._saved_plan = b""
        self._reference = Reference.begin(community.plant)
        self._failures = planned_failures(community.scenario, community.plant.topology)
        self._silences = planned_silences(community.scenario)
        self._health = health_watch(community.scenario, community.plant)
        self._voltage = VoltageWatch(community)
        self._islands = IslandWatch(community, self._failures)
        community.bus.subscribe(TOPIC_ORDERS, self._collect)
        self._done = self._restore()

    @property
    def next_interval(self) -> int:
        """The interval that is delivered next."""
        return self._done + 1

    def run(self, stop: int, on_interval: Callable[[int], None] = lambda _interval: None) -> None:
        """Deliver all intervals up to `stop`, exclusive.

        Raises
        ------
        SettlementHalted
            If store and chain differ in any account, naming it and the amount.
        """
        with rare_collections():
            self._publish()  # what a stop between settlement and publication left
            if self.next_interval == self._first:
                self._open()
            else:
                self._catch_up()
            for interval in range(self.next_interval, stop):
                self._deliver(interval)
                self._done = interval
                on_interval(interval)

    # -------------------------------------------------------------- start

    def _restore(self) -> int:
        """Take up the last checkpoint; return the newest interval that is metered."""
        community = self.community
        with community.store.read() as connection:
            saved = {row.name: row for row in connection.execute(select(checkpoints))}
            self._frequency.restore(connection)
        if "world" not in saved:
            return self._first - 1
        done = saved["world"].interval
        self._world = world_from_bytes(saved["world"].content)
        community.meters.restore(saved["meters"].content)
        self._reference.restore(saved["reference"].content)
        self._health.restore(saved["health"].content)
        if "voltage" in saved:
            self._voltage.restore(saved["voltage"].content)
        self._saved_plan = saved["plan"].content
        community.agents.restore(self._saved_plan)
        per_day = 86_400 // self._length_s
        end_s = community.scenario.grid.end_s(done)
        community.view.load(range(done + 1 - 8 * per_day, done + 1 + 3 * per_day), before_s=end_s + 1)
        community.clock.advance_to(end_s)
        return done

    def _open(self) -> None:
        """Hold the rounds before the first delivery, and have the meters installed."""
        community = self.community
        start_s = community.scenario.grid.start_s(self._first)
        opened_s = community.clock.now_s()
        with community.store.read() as connection:
            community.desk.refresh(connection)
        due = [
            one
            for one in self._rounds_due(self._first, opened_s, start_s)
            if one.intervals.start >= self._first
        ]
        for one in due:
            self._hold(one, self._first, None)
        community.clock.advance_to(max(community.clock.now_s(), start_s - 60))
        self._install_meters()

    def _install_meters(self) -> None:
        community = self.community
        if community.sender is None or community.contracts is None or community.deployment is None:
            return
        calls = install_calls(community.contracts, community.deployment, community.scenario, community.keys)
        with community.store.begin() as connection:
            known = set(connection.execute(select(outbox.c.ref).where(outbox.c.kind == "install")).scalars())
            for ref, to, data in calls:
                if ref not in known:
                    call = ContractCall("install", ref, "registrar", to, data, gas=400_000)
                    community.sender.enqueue(connection, call)
        mine(community, int(community.clock.now_s()))
        with community.store.read() as connection:
            community.desk.refresh(connection)

    def _catch_up(self) -> None:
        """Finish what the last run had planned but not mined, at the times it would have had."""
        self._settle(self._done)

    # -------------------------------------------------------------- one interval

    def _deliver(self, interval: int) -> None:
        community = self.community
        grid = community.scenario.grid
        start_s, end_s = grid.start_s(interval), grid.end_s(interval)
        community.clock.advance_to(start_s)
        self._islands.begin(interval, self._world)
        with self.times.of("agents"):
            community.agents.take_out(self._health.is_fit & community.plant.is_planned)
            aim = community.agents.begin(interval, self._world.fleet)
        for due in self._rounds_due(interval, start_s, end_s):
            self._hold(due, interval, aim)
        inputs = community.plant.inputs(community.profiles, interval)
        with self.times.of("dispatch"):
            self._world, outcome = self._dispatch(interval, aim, inputs)
            community.meters.count(outcome.net_export_wh)
        with self.times.of("reference"):
            without_market_wh = self._reference.run_interval(self._voltage.at_home(inputs))
        community.clock.advance_to(end_s)
        self._meter(interval, outcome, without_market_wh)
        self._settle(interval)

    def _rounds_due(self, at: int, from_s: float, until_s: float) -> list[RoundDue]:
        """Return the rounds whose gates close in `(from_s, until_s]`: agents act before a gate, also one at a border.

        Timeslots of a day are announced an hour before its gate.
        """
        community = self.community
        from_s, until_s = from_s + 1, until_s + 1
        if community.timeslots is not None:
            for one in community.schedule.rounds_due(from_s, until_s + TIMESLOT_NOTICE_S):
                if one.round_number == 0:
                    community.timeslots.announce(one.intervals, at, community.clock.now_s())
        return community.schedule.rounds_due(from_s, until_s)

    def _hold(self, due: RoundDue, at: int, aim: Aim | None) -> None:
        """Let the agents act before a gate, then clear the round at it."""
        community = self.community
        if due.intervals.start <= at and aim is not None:
            return  # its gate closed before we began: nothing to trade any more
        now_s = community.clock.now_s()
        community.clock.advance_to(max(now_s, due.closes_s - BEFORE_GATE_S))
        with self.times.of("agents"):
            if due.round_number == 0:
                community.agents.day_ahead(at, due.intervals, self._world.fleet)
            elif aim is None:
                community.agents.begin(at, self._world.fleet)
                community.agents.intraday(at, due.intervals, due.round_number, self._world.fleet, None)
            else:
                community.agents.intraday(at, due.intervals, due.round_number, self._world.fleet, aim)
            community.bus.deliver()
        with self.times.of("door"):
            self._submit()
        community.clock.advance_to(max(community.clock.now_s(), due.closes_s))
        with self.times.of("clearing"):
            cut = self._islands.cut_zones(at, self._world, due.closes_s) if due.round_number else 0
            community.clearing.clear(due.round_number, due.intervals, cut)
            community.view.load(due.intervals)
            community.bus.deliver()

    def _collect(self, message: Message) -> None:
        assert isinstance(message, OrderBatch)
        self._batches.append(message)

    def _submit(self) -> None:
        waiting, self._batches = self._batches, []
        for at in range(0, len(waiting), DOOR_BATCH):
            self.community.trading.submit(waiting[at : at + DOOR_BATCH])

    def _dispatch(self, interval: int, aim: Aim, inputs: IntervalInputs) -> tuple[World, IntervalOutcome]:
        community = self.community
        plant = community.plant
        planned_w = np.zeros(plant.fleet.n_devices)
        planned_w[plant.storages] = aim.power_w
        position = community.view.positions_milli_wh(range(interval, interval + 1))[:, 0]
        schedule = Schedule(
            target_export_wh=self._targets(aim),
            planned_p_w=planned_w,
            position_wh=position / MILLI_WH_PER_WH,
            events=self._flexibility.during(interval),
            frequency=self._frequency.during(interval),
            disturbances=during(self._failures, *self._span_s(interval)),
            ahead=self._voltage.ahead(interval),
            island_ahead=self._islands.ahead(interval, self._world),
        )
        before = replace(self._world, fleet=self._health.strike(self._world.fleet, interval))
        world, outcome = community.dispatch.run_interval(
            interval, before, inputs, schedule, self._health.is_fit
        )
        self._voltage.run_twin(interval, inputs, schedule, self._health.is_fit)
        return replace(world, fleet=self._health.after(before.fleet, world.fleet, interval)), outcome

    def _span_s(self, interval: int) -> tuple[float, float]:
        grid = self.community.scenario.grid
        return float(grid.start_s(interval)), float(grid.end_s(interval))

    def _targets(self, aim: Aim) -> FloatArray:
        """Return each account's target; accounts without planned storage just follow load and sun."""
        plant = self.community.plant
        has_storage = np.zeros(len(self.community.scenario.participants), np.bool_)
        has_storage[plant.participant[plant.storages[plant.is_planned[plant.storages]]]] = True
        return np.where(has_storage, aim.target_export_wh, np.nan)

    # -------------------------------------------------------------- end of an interval

    def _meter(self, interval: int, outcome: IntervalOutcome, without_market_wh: FloatArray) -> None:
        """Store readings, what devices did, and the checkpoint, with the settlement's plan, all or nothing."""
        community = self.community
        with self.times.of("signing"):
            silent = silent_rows(self._silences, community.scenario.grid.end_s(interval))
            readings = community.meters.readings(interval, silent)
            notices = [self._notice(interval, one) for one in outcome.curtailments if one.energy_milli_wh > 0]
        with self.times.of("store"), community.store.begin() as connection:
            tariffs = self._record_tariff(connection, interval, outcome)
            community.metering.curtail(connection, notices)
            end_s = int(community.scenario.grid.end_s(interval))
            community.carried_readings.take_over(connection, interval, end_s)
            community.metering.read(connection, interval, readings)
            community.late_readings.bring_in(connection, interval)
            device_records.record(
                connection,
                outcome,
                community.plant.topology,
                FIRST_ACCOUNT,
            )
            self._health.record(connection, interval)
            if outcome.racks is not None and community.dispatch.racks is not None:
                accounts = community.dispatch.racks.ties.account + FIRST_ACCOUNT
                rack_journal.record(connection, interval, outcome.racks, accounts)
            self._islands.record(connection, outcome)
            self._voltage.record(connection, outcome, self._world, tariffs)
            self._reference.record(connection, interval, without_market_wh, FIRST_ACCOUNT)
            self._frequency.after(connection, interval, self._world.fleet, outcome.frequency)
            self._flexibility.after(connection, interval)
            if community.settlement is not None:
                community.settlement.plan(connection, interval)
            self._save(connection, interval)

    def _notice(self, interval: int, curtailment: Curtailment) -> CurtailmentNotice:
        community = self.community
        account = curtailment.account + FIRST_ACCOUNT
        quantity = int(curtailment.energy_milli_wh)
        r = vs = 0
        if community.scenario.study.signing and community.chain is not None:
            message = typed_data.Curtailment(account, interval, quantity)
            r, vs = typed_data.sign(community.keys.role("curtailer"), community.domain, message)
        reason = curtailment.reason.name.lower()
        return CurtailmentNotice(account, interval, quantity, reason, r, vs)

    def _record_tariff(
        self, connection: Connection, interval: int, outcome: IntervalOutcome
    ) -> tuple[Tariff, ...]:
        community = self.community
        cut = islanded_zones(
            self._failures, community.plant.topology, community.clearing.n_zones, *self._span_s(interval)
        )
        cut |= self._islands.cut_throughout(outcome, cut.size)
        by_zone = community.supplier.table(interval, cut)
        connection.execute(
            insert(tariff_rows),
            [
                {
                    "interval": interval,
                    "zone": zone,
                    "short_micro_per_kwh": tariff.short_micro_per_kwh,
                    "long_micro_per_kwh": tariff.long_micro_per_kwh,
                    "is_island": bool(cut[zone]) and community.supplier.has_island_prices,
                }
                for zone, tariff in enumerate(by_zone)
            ],
        )
        return by_zone

    def _save(self, connection: Connection, interval: int) -> None:
        community = self.community
        content = {"world": self._world.to_bytes(), "meters": community.meters.to_bytes()}
        content |= {"reference": self._reference.to_bytes(), "health": self._health.to_bytes()}
        voltage = self._voltage.to_bytes()
        if voltage is not None:
            content["voltage"] = voltage
        plan = community.agents.to_bytes()
        if plan != self._saved_plan or interval == self._first:
            content["plan"] = self._saved_plan = plan
        connection.execute(delete(checkpoints).where(checkpoints.c.name.in_(list(content))))
        connection.execute(
            insert(checkpoints),
            [{"name": name, "interval": interval, "content": data} for name, data in content.items()],
        )

    # -------------------------------------------------------------- settlement

    def _settle(self, interval: int) -> None:
        """Have everything up to the interval mined, projected and compared, then free the margin that it bound.

        While a part of the network is cut off, nothing is: it waits until all is connected again.
        """
        community = self.community
        if self._islands.is_cut(self._world):
            return
        unsettled = range(community.desk.read + 1, interval + 1)
        with self.times.of("chain"):
            mine(community, community.scenario.grid.end_s(interval) + 1, max(len(unsettled), 1))
        with community.store.read() as connection:
            missing = None if community.chain is None else not_on_chain(connection)
            if missing is not None:
                account, stored, read = missing
                raise SettlementHalted(
                    "account", str(account), f"read up to interval {stored}, on chain up to {read} only"
                )
            for one in unsettled:
                community.desk.settled(connection, one)
        with community.store.begin() as connection:
            self._flexibility.observe(connection)
            self._frequency.observe(connection)
        self._publish()
        community.view.forget_before(interval + 1)
        community.trading.forget_before(interval + 1)

    def _publish(self) -> None:
        """Publish the bundles of settled intervals."""
        if self.community.publisher is not None:
            with self.times.of("bundles"):
                self.community.publisher.publish()
