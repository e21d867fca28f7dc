"""Voltage beside the day: what the controller may expect of it, the twin with its taps at home, and the records.

The twin is a second controller over the same devices, loads, sun, orders and trades, in a world of its own that
differs in one thing: its taps stay at home. What the two meters of a customer show apart is what voltage
optimisation did to it, rebound, curtailed sun and losses included: measured, not estimated. (Faults of storages are
not repeated in it; what the health monitor takes out is out in both.)
"""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from devices.specification import Kind
from market.chunks import Tariff
from market.imbalance import imbalance_milli_wh, receipts_pico
from market.metering import Registers, advance
from market.units import MILLI_WH_PER_WH
from node.community import FIRST_ACCOUNT, Community, controller
from node.hub.dispatch import Dispatch
from node.hub.dispatch_records import IntervalInputs, IntervalOutcome, Schedule
from node.hub.dispatch_state import World, world_from_bytes
from node.hub.voltage_records import Ahead, VoltageOutcome
from node.store.bulk import insert_all
from node.store.tables_voltage import tap_changes, voltage_accounts, voltage_intervals, voltage_nodes
from node.world.day_ahead import expected_day

BoolArray = NDArray[np.bool_]


class VoltageWatch:
    """Does nothing where the scenario says nothing of voltage."""

    def __init__(self, community: Community) -> None:
        self._community = community
        self._control = community.dispatch.voltage
        people = community.scenario.participants
        self._registers = Registers.installed(len(people))
        self._twin: Dispatch | None = None
        if self._control is not None and self._control.is_optimising:
            self._twin = controller(community.scenario, community.plant, optimises=False)
        self._world = (self._twin or community.dispatch).first_world()
        self._outcome: IntervalOutcome | None = None
        self._position_milli_wh = np.zeros(len(people), np.int64)
        self._moved_milli_wh = np.zeros(len(people), np.int64)

    def ahead(self, interval: int) -> Ahead | None:
        """Return what the controller may expect of the local day."""
        if self._control is None:
            return None
        return expected_day(self._community.plant, self._community.profiles, interval)

    def run_twin(
        self, interval: int, inputs: IntervalInputs, schedule: Schedule, is_healthy: BoolArray
    ) -> None:
        """Let the twin live through the interval too."""
        if self._twin is None:
            return
        self._world, self._outcome = self._twin.run_interval(
            interval, self._world, inputs, schedule, is_healthy
        )
        before = self._registers.register_milli_wh
        self._registers = advance(
            self._registers, self._outcome.net_export_wh, self._community.meters.capacity_milli_wh
        )
        self._moved_milli_wh = self._registers.register_milli_wh - before
        assert schedule.position_wh is not None
        self._position_milli_wh = np.rint(schedule.position_wh * MILLI_WH_PER_WH).astype(np.int64)

    def at_home(self, inputs: IntervalInputs) -> IntervalInputs:
        """Return the inputs with the voltages of the taps at home, for a world without optimisation."""
        voltage = self._world.voltage
        if self._twin is None or voltage is None:
            return inputs
        steps = tuple(replace(step, v_pu=voltage.v_pu) for step in inputs.steps)
        return IntervalInputs(inputs.offset_s, steps)

    def record(
        self, connection: Connection, outcome: IntervalOutcome, world: World, tariffs: Sequence[Tariff]
    ) -> None:
        """Store what both showed, in the caller's transaction.

        Parameters
        ----------
        tariffs : by price zone
        """
        if outcome.voltage is None:
            return
        self._store(connection, outcome, outcome.voltage, world, is_twin=False)
        insert_all(
            connection,
            tap_changes,
            [
                {
                    "interval": outcome.interval,
                    "number": number,
                    "at_s": change.at_s,
                    "before": change.before,
                    "after": change.after,
                    "reason": change.text,
                }
                for number, change in enumerate(outcome.voltage.changes)
            ],
        )
        twin = self._outcome
        if twin is None or twin.voltage is None:
            return
        self._store(connection, twin, twin.voltage, self._world, is_twin=True)
        self._store_accounts(connection, twin, tariffs)

    def _store(
        self,
        connection: Connection,
        outcome: IntervalOutcome,
        voltage: VoltageOutcome,
        world: World,
        *,
        is_twin: bool,
    ) -> None:
        fleet = self._community.plant.fleet
        energies = outcome.energies
        is_load = (fleet.kind == Kind.LOAD) | (fleet.kind == Kind.THERMOSTATIC_LOAD)
        is_solar = fleet.kind == Kind.SOLAR
        options = [voltage.options_w, voltage.options_low_pu, voltage.options_high_pu]
        insert_all(
            connection,
            voltage_intervals,
            [
                {
                    "interval": outcome.interval,
                    "is_twin": is_twin,
                    "position": voltage.position,
                    "switchings": voltage.switchings,
                    "low_pu": float(np.nanmin(voltage.low_pu)),
                    "high_pu": float(np.nanmax(voltage.high_pu)),
                    "outside_s": voltage.outside_s,
                    "source_wh": voltage.source_wh,
                    "loss_wh": voltage.loss_wh,
                    "load_wh": float(energies.sink_wh[is_load].sum()),
                    "solar_wh": float(energies.source_wh[is_solar].sum()),
                    "curtailed_wh": float(energies.curtailed_wh[is_solar].sum()),
                    "stored_wh": float(outcome.energy_wh.sum()),
                    "deferred_wh": float(world.fleet.deferred_wh.sum()),
                    "options": json.dumps([values.tolist() for values in options]),
                }
            ],
        )
        assert self._control is not None
        names = self._control.wires.bus_names
        insert_all(
            connection,
            voltage_nodes,
            [
                {
                    "interval": outcome.interval,
                    "node": names[bus],
                    "is_twin": is_twin,
                    "low_pu": float(voltage.low_pu[bus]),
                    "high_pu": float(voltage.high_pu[bus]),
                }
                for bus in np.flatnonzero(np.isfinite(voltage.low_pu)).tolist()
            ],
        )

    def _store_accounts(
        self, connection: Connection, twin: IntervalOutcome, tariffs: Sequence[Tariff]
    ) -> None:
        zone = self._community.registry.zone
        short = np.array([tariff.short_micro_per_kwh for tariff in tariffs], np.int64)[zone]
        long = np.array([tariff.long_micro_per_kwh for tariff in tariffs], np.int64)[zone]
        curtailed = np.zeros(zone.size, np.int64)
        for one in twin.curtailments:
            curtailed[one.account] = one.energy_milli_wh
        imbalance = imbalance_milli_wh(self._moved_milli_wh, 0, self._position_milli_wh, curtailed, short)
        amounts = receipts_pico(imbalance, short, long)
        insert_all(
            connection,
            voltage_accounts,
            [
                {
                    "interval": twin.interval,
                    "account": row + FIRST_ACCOUNT,
                    "net_export_milli_wh": int(moved),
                    "amount_pico": amount,
                }
                for row, (moved, amount) in enumerate(
                    zip(self._moved_milli_wh.tolist(), amounts, strict=True)
                )
            ],
        )

    def to_bytes(self) -> bytes | None:
        """Return the twin's state for a checkpoint; None if there is no twin."""
        if self._twin is None:
            return None
        registers = self._registers
        return (
            registers.register_milli_wh.astype("<i8").tobytes()
            + registers.remainder_micro_wh.astype("<i8").tobytes()
            + self._world.to_bytes()
        )

    def restore(self, data: bytes) -> None:
        """Take over what `to_bytes` wrote."""
        size = 8 * self._registers.register_milli_wh.size
        self._registers = Registers(
            np.frombuffer(data[:size], "<i8").astype(np.int64),
            np.frombuffer(data[size : 2 * size], "<i8").astype(np.int64),
        )
        self._world = world_from_bytes(data[2 * size :])
