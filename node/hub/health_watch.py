"""The hub's watch over storages: at every interval's end they age, are read and judged; the unfit get no duty.

What those that lend and are fit could do together, as one virtual battery, is written down beside it.
Sensor noise is drawn from the scenario's seed and the interval, so a resumed run reads the same again. What a
scenario breaks is broken here, at the start of the interval its time falls on: the monitor is not told.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, insert

from devices import checkpoint, health
from devices.health import HealthState
from devices.parameters import FleetParameters
from devices.state import FleetInputs, FleetState
from devices.upkeep import end_of_interval
from node.controller.virtual_battery import VirtualBattery, aggregate
from node.hub import virtual_battery_records
from node.scenario import InternalShort, ResistanceRise, StuckSensor
from node.store.tables_devices import alerts

BoolArray = NDArray[np.bool_]
# The order of `devices.sensors.Readings.channels`.
CHANNELS = ("voltage", "current", "temperature", "energy")


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault of the scenario: the device's row in the fleet, its row among the storages, its first interval."""

    fault: ResistanceRise | InternalShort | StuckSensor
    device: int
    storage: int
    first: int


class HealthWatch:
    """Keeps the monitor of one fleet from interval to interval."""

    def __init__(
        self,
        params: FleetParameters,
        faults: tuple[PlannedFault, ...],
        seed: int,
        interval_s: int,
        lends: BoolArray,
    ) -> None:
        self._params = params
        self._faults = faults
        self._seed = seed
        self._interval_s = interval_s
        self._lends = lends
        self._storages = np.flatnonzero(params.is_storage)
        self._monitor = health.begin(self._storages.size)
        self._found: list[tuple[int, str]] = []
        self._together: tuple[VirtualBattery, int] | None = None

    @property
    def is_fit(self) -> BoolArray:
        """Which devices may be given duty, `(n_devices,)`."""
        return health.is_fit(self._params, self._monitor)

    def strike(self, fleet: FleetState, interval: int) -> FleetState:
        """Return the fleet after what breaks at the start of an interval."""
        for planned in self._faults:
            if planned.first != interval:
                continue
            row = planned.device
            match planned.fault:
                case ResistanceRise(rise_pu=rise_pu):
                    factor = fleet.resistance_factor.copy()
                    factor[row] *= 1.0 + rise_pu
                    fleet = replace(fleet, resistance_factor=factor)
                case InternalShort(leak_per_h=leak_per_h):
                    leakage_w = fleet.leakage_w.copy()
                    leakage_w[row] += leak_per_h * self._params.capacity_wh[row]
                    fleet = replace(fleet, leakage_w=leakage_w)
                case StuckSensor():
                    pass  # the storage itself is well; see `after`
        return fleet

    def after(self, before: FleetState, fleet: FleetState, interval: int) -> FleetState:
        """Return the fleet aged by an interval, after its sensors were read and judged."""
        is_stuck = np.zeros((len(CHANNELS), self._storages.size), np.bool_)
        for planned in self._faults:
            if isinstance(planned.fault, StuckSensor) and planned.first <= interval:
                is_stuck[CHANNELS.index(planned.fault.channel), planned.storage] = True
        had = self._monitor.alerts
        upkeep = end_of_interval(
            self._params,
            before,
            fleet,
            self._monitor,
            interval,
            self._seed,
            float(self._interval_s),
            is_stuck=is_stuck,
        )
        self._monitor = upkeep.monitor
        self._found = [
            (int(self._storages[k]), cause)
            for k in np.flatnonzero(self._monitor.alerts & ~had).tolist()
            for cause in health.causes(int(self._monitor.alerts[k] & ~had[k]))
        ]
        lenders = np.flatnonzero(self._lends & self.is_fit)
        if self._lends.any():
            inputs = FleetInputs.quiet(self._params.n_devices)
            together = aggregate(self._params, upkeep.fleet, inputs, lenders, float(self._interval_s))
            self._together = together, lenders.size
        return upkeep.fleet

    def record(self, connection: Connection, interval: int) -> None:
        """Store what the latest reading found for the first time, and what the fit lenders could do together."""
        if self._together is not None:
            virtual_battery_records.record(connection, interval, *self._together)
        if self._found:
            connection.execute(
                insert(alerts),
                [{"interval": interval, "device": row, "cause": cause} for row, cause in self._found],
            )

    def to_bytes(self) -> bytes:
        """Return the monitor's memory."""
        return checkpoint.to_bytes(self._monitor)

    def restore(self, data: bytes) -> None:
        """Take over what `to_bytes` wrote.

        Raises
        ------
        BadCheckpoint
            If the bytes are no memory of this version.
        """
        self._monitor = checkpoint.from_bytes(HealthState, data)
