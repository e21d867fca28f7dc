"""What a device is: kinds, priorities and a checked description, from which fleets are built."""

import math
from dataclasses import dataclass
from enum import IntEnum

from devices.converter import Converter
from devices.errors import BadSpecification
from devices.storage_tables import StorageKind


class Kind(IntEnum):
    """What a device is."""

    LOAD = 0
    THERMOSTATIC_LOAD = 1
    SOLAR = 2
    BATTERY = 3
    SERVER_BACKUP = 4
    SUPERCAPACITOR = 5
    FLYWHEEL = 6
    KINETIC_MODULE = 7
    VEHICLE = 8
    PDU_MODULE = 9
    GENERATOR = 10
    TIE_PORT = 11


STORAGE_KINDS = frozenset(
    {
        Kind.BATTERY,
        Kind.SERVER_BACKUP,
        Kind.SUPERCAPACITOR,
        Kind.FLYWHEEL,
        Kind.KINETIC_MODULE,
        Kind.VEHICLE,
        Kind.PDU_MODULE,
    }
)


SOURCE_KINDS = frozenset({Kind.SOLAR, Kind.GENERATOR})


class Priority(IntEnum):
    """Who is served first in a shortage; smaller is more important."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3
    DEFERRABLE = 4


class Permission(IntEnum):
    """What a setpoint lets a device do besides following it."""

    KEEP_RESERVE = 0
    NO_CONTRIBUTION = 1
    EMERGENCY = 2


class Mode(IntEnum):
    """What a device's firmware is doing."""

    SAFE = 0
    LEASED = 1
    EMERGENCY = 2
    ABSENT = 3


@dataclass(frozen=True, slots=True)
class StorageSpec:
    """A storage behind its converter.

    Attributes
    ----------
    storage : StorageKind
        Which table.
    converter : Converter
        Which efficiency curve.
    rated_w : float
        Rated power of the converter, W, at its terminal.
    p_charge_max_w, p_discharge_max_w : float
        Limits at the terminal, W, in 0..rated_w.
    capacity_wh : float
        Energy when full, counted from 0 V or standstill.
    floor_wh : float
        Energy that can't be delivered (voltage or speed too low for the converter).
    """

    storage: StorageKind
    converter: Converter
    rated_w: float
    p_charge_max_w: float
    p_discharge_max_w: float
    capacity_wh: float
    floor_wh: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """One device, as a scenario describes it.

    Attributes
    ----------
    name : str
    kind : Kind
    priority : Priority
    storage : StorageSpec or None
        Required for storage kinds, refused for others.
    buffer : StorageSpec or None
        Second storage of a kinetic module (its supercapacitor bank), refused for others.
    reserve_wh : float
        Owner's reserve: energy kept except in emergency mode, counted like `capacity_wh`.
    initial_wh : float or None
        Energy at the start; None: halfway between floor and full.
    low_threshold_pu, high_threshold_pu : float
        Of the energy between floor and full: below the low one the firmware requests energy, above the high
        one it contributes when idle.
    ramp_w_per_s : float
        Fastest change of power at the terminal, W/s.
    safe_p_w : float
        Power in the safe state: a storage's setpoint, a load's largest withdrawal (as a negative number) or a
        source's largest injection. None: 0 for storages, unlimited for loads and sources.
    issuer : int
        Controller whose setpoints are obeyed.
    impedance_share, current_share : float
        ZIP shares of a load; the rest is constant power.
    thermal_time_s, recovery_time_s, p_max_w : float
        Of a thermostatic load: how fast a deferred need decays by itself, how fast it is caught up, and the
        largest power while doing so. `p_max_w` is a generator's rating, too.
    fuel_wh : float or None
        What is in a generator's tank, refused for others; None: it never ends.
    """

    name: str
    kind: Kind
    priority: Priority = Priority.NORMAL
    storage: StorageSpec | None = None
    buffer: StorageSpec | None = None
    reserve_wh: float = 0.0
    initial_wh: float | None = None
    low_threshold_pu: float = 0.2
    high_threshold_pu: float = 0.8
    ramp_w_per_s: float = math.inf
    safe_p_w: float | None = None
    issuer: int = 0
    impedance_share: float = 0.0
    current_share: float = 0.0
    thermal_time_s: float = math.inf
    recovery_time_s: float = 3600.0
    p_max_w: float = math.inf
    fuel_wh: float | None = None

    def __post_init__(self) -> None:
        self._check_storage()
        self._require("reserve_wh", self.reserve_wh >= 0.0, ">= 0 Wh", self.reserve_wh)
        ordered = 0.0 <= self.low_threshold_pu <= self.high_threshold_pu <= 1.0
        self._require(
            "thresholds", ordered, "0 <= low <= high <= 1", (self.low_threshold_pu, self.high_threshold_pu)
        )
        self._require("ramp_w_per_s", self.ramp_w_per_s > 0.0, "> 0 W/s", self.ramp_w_per_s)
        shares = self.impedance_share >= 0.0 and self.current_share >= 0.0
        shares = shares and self.impedance_share + self.current_share <= 1.0
        self._require(
            "ZIP shares", shares, ">= 0 and at most 1 together", (self.impedance_share, self.current_share)
        )
        for name in ("thermal_time_s", "recovery_time_s", "p_max_w"):
            self._require(name, getattr(self, name) > 0.0, "> 0", getattr(self, name))
        is_generator = self.kind is Kind.GENERATOR
        self._require(
            "p_max_w", not is_generator or self.p_max_w < math.inf, "a generator's rating", self.p_max_w
        )
        if self.fuel_wh is not None:
            self._require(
                "fuel_wh", is_generator and self.fuel_wh > 0.0, "> 0 Wh, of generators", self.fuel_wh
            )

    def _check_storage(self) -> None:
        is_storage = self.kind in STORAGE_KINDS
        self._require(
            "storage", (self.storage is not None) == is_storage, "given for storages only", self.kind.name
        )
        is_kinetic = self.kind is Kind.KINETIC_MODULE
        self._require(
            "buffer", (self.buffer is not None) == is_kinetic, "given for kinetic modules only", self.kind
        )
        if self.storage is None:
            return
        for label, unit in (("storage", self.storage), ("buffer", self.buffer)):
            if unit is not None:
                self._check_unit(label, unit)
        floor, full = self.storage.floor_wh, self.storage.capacity_wh
        self._require(
            "reserve_wh", self.reserve_wh <= full, f"at most the capacity {full} Wh", self.reserve_wh
        )
        if self.initial_wh is not None:
            self._require(
                "initial_wh", floor <= self.initial_wh <= full, f"in {floor}..{full} Wh", self.initial_wh
            )

    def _check_unit(self, label: str, unit: StorageSpec) -> None:
        self._require(f"{label}.rated_w", 0.0 < unit.rated_w < math.inf, "> 0 W", unit.rated_w)
        for name in ("p_charge_max_w", "p_discharge_max_w"):
            value = getattr(unit, name)
            self._require(f"{label}.{name}", 0.0 <= value <= unit.rated_w, f"in 0..{unit.rated_w} W", value)
        self._require(f"{label}.capacity_wh", 0.0 < unit.capacity_wh < math.inf, "> 0 Wh", unit.capacity_wh)
        inside = 0.0 <= unit.floor_wh < unit.capacity_wh
        self._require(f"{label}.floor_wh", inside, f"in 0..{unit.capacity_wh} Wh", unit.floor_wh)

    def _require(self, field_name: str, holds: bool, expected: str, got: object) -> None:
        if not holds:
            raise BadSpecification(self.name, field_name, expected, got)
