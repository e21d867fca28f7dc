"""What a scenario plugs in: its devices as a fleet, where each hangs, and what the world does to them.

A participant's load becomes one device per priority class, so that a shortage takes the deferrable part first.
Cars come and go at local wall-clock times, and drive their trip's energy evenly while away.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.converter import Converter
from devices.generator import FUEL_WH_PER_L
from devices.parameters import FleetParameters, build_fleet
from devices.specification import DeviceSpec, Kind, Priority, StorageSpec
from devices.state import FleetInputs
from devices.storage_tables import StorageKind
from node.hub.dispatch_records import IntervalInputs
from node.profiles import ProfileSet
from node.scenario import (
    BackupUnit,
    Battery,
    Device,
    ElectricVehicle,
    Flywheel,
    Generator,
    KineticModule,
    Participant,
    PowerDeliveryUnit,
    Scenario,
    Supercapacitor,
    Topology,
    build_topology,
)
from node.world.plant_loads import load_devices

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Home inverters move from zero to full power in about a second, DC stages within one 10 ms firmware step.
INVERTER_RAMP_S = 1.0
STAGE_RAMP_S = 0.01
_STORAGE = {
    "lfp": StorageKind.LFP,
    "nmc": StorageKind.NMC,
    "supercapacitor": StorageKind.SUPERCAPACITOR,
}


@dataclass(frozen=True, slots=True)
class Plant:
    """A community's devices and wires; rows of participants are rows of accounts.

    Attributes
    ----------
    fleet : FleetParameters
    topology : Topology
    participant : (n_devices,) int64, row of the owner
    node : (n_devices,) int64, row of the connection in the topology
    load_share_pu : (n_devices,) float64, share of the owner's load profile; 0 for what is no load
    lends : (n_devices,) bool, storages that help beyond their own connection
    is_planned : (n_devices,) bool, False where an owner leaves storages to their firmware's thresholds
    vehicles : rows of the cars, and their scenario entries in `cars`
    wear_micro_per_kwh, markup_micro_per_kwh : (n_devices,) int64, of the owner's strategy
    """

    scenario: Scenario
    fleet: FleetParameters
    topology: Topology
    participant: IntArray
    node: IntArray
    load_share_pu: FloatArray
    lends: NDArray[np.bool_]
    is_planned: NDArray[np.bool_]
    vehicles: IntArray
    cars: tuple[ElectricVehicle, ...]
    wear_micro_per_kwh: IntArray
    markup_micro_per_kwh: IntArray

    @property
    def storages(self) -> IntArray:
        """Rows of all devices that store energy, cars among them."""
        return np.flatnonzero(self.fleet.capacity_wh > 0)

    @property
    def is_reserve(self) -> NDArray[np.bool_]:
        """Which devices answer grid events: all that store energy, but not cars, whose owners drive."""
        answers = self.fleet.capacity_wh > 0
        answers[self.vehicles] = False
        return answers

    def inputs(self, profiles: ProfileSet, interval: int) -> IntervalInputs:
        """Return what load, sun and cars do in an interval.

        Raises
        ------
        IndexError
            If the profiles do not reach there.
        """
        column = profiles.column(interval)
        offsets, is_home = self._steps(interval, profiles.n_steps)
        step_s = self.scenario.interval_s / profiles.n_steps
        is_solar = self.fleet.kind == Kind.SOLAR
        driving_w = self.driving_w()
        required_wh = np.zeros(self.fleet.n_devices)
        required_wh[self.vehicles] = [car.required_wh for car in self.cars]
        steps = []
        for offset_s, home in zip(offsets.tolist(), is_home, strict=True):
            row = int(offset_s // step_s)
            load = profiles.load_steps_w[self.participant, column, row] * self.load_share_pu
            solar = np.where(is_solar, profiles.solar_steps_w[self.participant, column, row], 0.0)
            is_present = np.ones(self.fleet.n_devices, np.bool_)
            is_present[self.vehicles] = home
            driving = np.zeros(self.fleet.n_devices)
            driving[self.vehicles] = np.where(home, 0.0, driving_w)
            departs_in_s = np.full(self.fleet.n_devices, np.inf)
            departs_in_s[self.vehicles] = np.where(home, self._departs_in_s(interval, offset_s), np.inf)
            steps.append(
                FleetInputs(
                    load, solar, is_present, driving, departs_in_s=departs_in_s, required_wh=required_wh
                )
            )
        return IntervalInputs(tuple(offsets.tolist()), tuple(steps))

    def _steps(self, interval: int, n_steps: int) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Return the steps of an interval at which loads change or cars come and go, and who is home in each."""
        comings, is_home = self._presence(interval)
        offsets = np.union1d(comings, np.arange(n_steps) * (self.scenario.interval_s / n_steps))
        return offsets, is_home[np.searchsorted(comings, offsets, side="right") - 1]

    def driving_w(self) -> FloatArray:
        """Return the mean power that each car draws from its battery while away, `(n_vehicles,)`."""
        away_s = np.array([_away_minutes(car) * 60.0 for car in self.cars])
        trip_wh = np.array([car.trip_wh for car in self.cars])
        return trip_wh * 3_600.0 / np.maximum(away_s, 1.0)

    def presence_pu(self, intervals: range) -> FloatArray:
        """Return the share of each interval that each car is plugged in, `(n_vehicles, n_intervals)`."""
        length_s = self.scenario.interval_s
        share = np.zeros((len(self.cars), len(intervals)))
        for k, interval in enumerate(intervals):
            offsets, is_home = self._presence(interval)
            span = np.diff(np.r_[offsets, length_s]) / length_s
            share[:, k] = span @ is_home
        return share

    def _departs_in_s(self, interval: int, offset_s: float) -> FloatArray:
        """Return how long it is to each car's next departure, `(n_vehicles,)`, at a moment of an interval."""
        start_s = self.scenario.grid.start_s(interval) + offset_s
        local = datetime.fromtimestamp(start_s, UTC).astimezone(self.scenario.zone)
        second = local.hour * 3_600 + local.minute * 60 + local.second
        return np.array([float((car.departure * 60 - second) % 86_400) for car in self.cars])

    def _presence(self, interval: int) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Return the steps of an interval at whose borders cars come or go, and who is home in each."""
        start_s = self.scenario.grid.start_s(interval)
        local = datetime.fromtimestamp(start_s, UTC).astimezone(self.scenario.zone)
        minute = local.hour * 60 + local.minute
        length = self.scenario.interval_s // 60
        borders = sorted(
            {0}
            | {
                (at - minute) % 1440
                for car in self.cars
                for at in (car.arrival, car.departure)
                if 0 < (at - minute) % 1440 < length
            }
        )
        is_home = np.array([[_is_home(car, (minute + at) % 1440) for car in self.cars] for at in borders])
        return np.array(borders, np.float64) * 60.0, is_home.reshape(len(borders), len(self.cars))


def _away_minutes(car: ElectricVehicle) -> int:
    return (car.arrival - car.departure) % 1440


def _is_home(car: ElectricVehicle, minute: int) -> bool:
    """A car is home from `arrival` until `departure`, across midnight if need be."""
    return (minute - car.arrival) % 1440 < (car.departure - car.arrival) % 1440


def build(scenario: Scenario) -> Plant:
    """Lay out a checked scenario's devices."""
    topology = build_topology(scenario)
    specs: list[DeviceSpec] = []
    owner: list[int] = []
    share: list[float] = []
    lends: list[bool] = []
    cars: dict[int, ElectricVehicle] = {}
    tied = {name for cable in (scenario.ties.cables if scenario.ties else ()) for name in cable.between}
    for row, participant in enumerate(scenario.participants):
        for spec, part, device in _devices_of(participant, has_port=participant.id in tied):
            if isinstance(device, ElectricVehicle):
                cars[len(specs)] = device
            lends.append(bool(getattr(device, "lends", False)))
            specs.append(spec)
            owner.append(row)
            share.append(part)
    owners = np.array(owner, np.int64)
    strategies = [participant.strategy for participant in scenario.participants]
    return Plant(
        scenario=scenario,
        fleet=build_fleet(specs),
        topology=topology,
        participant=owners,
        node=topology.node_of_participant[owners],
        load_share_pu=np.array(share),
        lends=np.array(lends, np.bool_),
        is_planned=np.array([s.storages == "planned" for s in strategies], np.bool_)[owners],
        vehicles=np.array(sorted(cars), np.int64),
        cars=tuple(cars[row] for row in sorted(cars)),
        wear_micro_per_kwh=np.array([s.wear_micro_per_kwh for s in strategies], np.int64)[owners],
        markup_micro_per_kwh=np.array([s.markup_micro_per_kwh for s in strategies], np.int64)[owners],
    )


def _devices_of(
    participant: Participant, *, has_port: bool = False
) -> list[tuple[DeviceSpec, float, Device | None]]:
    """Return a participant's devices with their share of its load and, for storages, their scenario entry."""
    found: list[tuple[DeviceSpec, float, Device | None]] = []
    found += [(spec, part, None) for spec, part in load_devices(participant)]
    if participant.solar is not None:
        found.append((DeviceSpec(name=f"{participant.id}.solar", kind=Kind.SOLAR), 0.0, None))
    for device in participant.devices:
        found += [(spec, 0.0, device) for spec in _storages(device)]
    if has_port:
        found.append((DeviceSpec(name=f"{participant.id}.tie", kind=Kind.TIE_PORT), 0.0, None))
    return found


def _storages(device: Device) -> list[DeviceSpec]:
    match device:
        case Battery():
            return [_battery(device, Kind.BATTERY, Converter.SINAMICS, INVERTER_RAMP_S, Priority.NORMAL)]
        case BackupUnit():
            return [
                _battery(
                    device, Kind.SERVER_BACKUP, Converter.RECTIFIER_BYPASS, STAGE_RAMP_S, Priority.CRITICAL
                )
            ]
        case ElectricVehicle():
            return [_battery(device, Kind.VEHICLE, Converter.SINAMICS, INVERTER_RAMP_S, Priority.LOW)]
        case PowerDeliveryUnit():
            return _modules(device)
        case Generator():
            fuel_wh = device.tank_l * FUEL_WH_PER_L
            return [DeviceSpec(name=device.id, kind=Kind.GENERATOR, p_max_w=device.p_max_w, fuel_wh=fuel_wh)]
        case Flywheel():
            full = device.capacity_wh / (1 - (device.speed_min_rpm / device.speed_max_rpm) ** 2)
            return [_rotating_or_bank(device, Kind.FLYWHEEL, StorageKind.FLYWHEEL, full, INVERTER_RAMP_S)]
        case KineticModule():
            return [_kinetic(device)]
        case Supercapacitor():
            full = device.capacity_wh / (1 - (device.v_min_v / device.v_max_v) ** 2)
            return [
                _rotating_or_bank(device, Kind.SUPERCAPACITOR, StorageKind.SUPERCAPACITOR, full, STAGE_RAMP_S)
            ]


def _battery(
    device: Battery | BackupUnit | ElectricVehicle,
    kind: Kind,
    converter: Converter,
    ramp_s: float,
    priority: Priority,
) -> DeviceSpec:
    rated_w = max(device.p_charge_max_w, device.p_discharge_max_w)
    return DeviceSpec(
        name=device.id,
        kind=kind,
        priority=priority,
        storage=StorageSpec(
            _STORAGE[device.chemistry],
            converter,
            rated_w,
            device.p_charge_max_w,
            device.p_discharge_max_w,
            device.capacity_wh,
        ),
        reserve_wh=device.reserve_pu * device.capacity_wh,
        initial_wh=device.soc_start_pu * device.capacity_wh,
        ramp_w_per_s=rated_w / ramp_s,
    )


def _modules(device: PowerDeliveryUnit) -> list[DeviceSpec]:
    """Return a PDU's modules, each behind its own DC-DC stage; the PDU's rating is shared among them."""
    total_w = sum(module.p_max_w * module.count for module in device.modules)
    scale = min(1.0, device.p_max_w / total_w)
    specs: list[DeviceSpec] = []
    for module in device.modules:
        kind = _STORAGE[module.storage]
        floor_pu = _floor_pu(kind)
        for _ in range(module.count):
            p_max_w = module.p_max_w * scale
            usable_wh = module.capacity_wh * (1 - floor_pu)
            floor_wh = floor_pu * module.capacity_wh
            specs.append(
                DeviceSpec(
                    name=f"{device.id}.{len(specs) + 1:02d}",
                    kind=Kind.PDU_MODULE,
                    priority=Priority.LOW,
                    storage=StorageSpec(
                        kind, Converter.DC_DC, p_max_w, p_max_w, p_max_w, module.capacity_wh, floor_wh
                    ),
                    reserve_wh=floor_wh + device.reserve_pu * usable_wh,
                    initial_wh=floor_wh + device.soc_start_pu * usable_wh,
                    low_threshold_pu=device.threshold_low_pu,
                    high_threshold_pu=device.threshold_high_pu,
                    ramp_w_per_s=p_max_w / STAGE_RAMP_S,
                )
            )
    return specs


def _floor_pu(kind: StorageKind) -> float:
    """Return the share of a module's energy that its converter cannot reach: half voltage, a quarter."""
    return 0.25 if kind is StorageKind.SUPERCAPACITOR else 0.0


def _rotating_or_bank(
    device: Flywheel | KineticModule | Supercapacitor,
    kind: Kind,
    storage: StorageKind,
    full_wh: float,
    ramp_s: float,
) -> DeviceSpec:
    floor_wh = full_wh - device.capacity_wh
    return DeviceSpec(
        name=device.id,
        kind=kind,
        priority=Priority.HIGH,
        storage=StorageSpec(
            storage, Converter.SINAMICS, device.p_max_w, device.p_max_w, device.p_max_w, full_wh, floor_wh
        ),
        reserve_wh=floor_wh + device.reserve_pu * device.capacity_wh,
        initial_wh=floor_wh + device.soc_start_pu * device.capacity_wh,
        ramp_w_per_s=device.p_max_w / ramp_s,
    )


def _kinetic(device: KineticModule) -> DeviceSpec:
    full_wh = device.capacity_wh / (1 - (device.speed_min_rpm / device.speed_max_rpm) ** 2)
    rotor = _rotating_or_bank(device, Kind.FLYWHEEL, StorageKind.FLYWHEEL, full_wh, STAGE_RAMP_S)
    bank_floor_wh = _floor_pu(StorageKind.SUPERCAPACITOR) * device.bank_wh
    bank = StorageSpec(
        StorageKind.SUPERCAPACITOR,
        Converter.DC_DC,
        device.p_max_w,
        device.p_max_w,
        device.p_max_w,
        device.bank_wh,
        bank_floor_wh,
    )
    return replace(rotor, kind=Kind.KINETIC_MODULE, buffer=bank)


_KIND_NAMES = {
    Kind.LOAD: "load",
    Kind.THERMOSTATIC_LOAD: "load (thermostatic)",
    Kind.SOLAR: "solar",
    Kind.BATTERY: "battery",
    Kind.SERVER_BACKUP: "bbu",
    Kind.SUPERCAPACITOR: "supercapacitor",
    Kind.FLYWHEEL: "flywheel",
    Kind.KINETIC_MODULE: "kinetic",
    Kind.VEHICLE: "ev",
    Kind.PDU_MODULE: "pdu_module",
    Kind.GENERATOR: "generator",
    Kind.TIE_PORT: "tie",
}


def kind_name(fleet: FleetParameters, row: int) -> str:
    """Return what people call a device's kind; loads carry their priority class."""
    kind = Kind(int(fleet.kind[row]))
    if kind is Kind.LOAD:
        return f"load ({Priority(int(fleet.priority[row])).name.lower()})"
    return _KIND_NAMES[kind]


def describe(plant: Plant, row: int) -> dict[str, Any]:
    """Return a device's parameters for people and reports, in SI units."""
    fleet = plant.fleet
    if fleet.kind[row] == Kind.GENERATOR:
        return {"p_max_w": float(fleet.p_max_w[row]), "tank_wh": float(fleet.initial_fuel_wh[row])}
    if fleet.capacity_wh[row] <= 0:
        return {"priority": Priority(int(fleet.priority[row])).name.lower()}
    return {
        "capacity_wh": float(fleet.capacity_wh[row]),
        "floor_wh": float(fleet.floor_wh[row]),
        "reserve_wh": float(fleet.reserve_wh[row]),
        "p_charge_max_w": float(fleet.p_charge_max_w[row]),
        "p_discharge_max_w": float(fleet.p_discharge_max_w[row]),
        "priority": Priority(int(fleet.priority[row])).name.lower(),
        "lends": bool(plant.lends[row]),
    }
