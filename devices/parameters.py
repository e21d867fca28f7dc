"""What never changes of a fleet: struct of arrays built from device descriptions, with its row plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from devices.arrays import BoolArray, FloatArray, IntArray, Rows, rows_where
from devices.catalogue import shipped_tables
from devices.converter import SHIPPED_CONVERTERS, ConverterTables
from devices.errors import BadSpecification
from devices.kinetic import BUFFER_TARGET_PU
from devices.specification import SOURCE_KINDS, STORAGE_KINDS, DeviceSpec, Kind, StorageSpec
from devices.storage import StorageUnits
from devices.storage_tables import StorageTables

_default_tables = cache(shipped_tables)


@dataclass(frozen=True, slots=True)
class FleetParameters:
    """A fleet of n devices of any kinds.

    Attributes
    ----------
    names : tuple of str
        Unique, in row order.
    kind, priority, issuer : (n,) int64
    reserve_wh : (n,) float64
        0 for devices without storage.
    capacity_wh, floor_wh : (n,) float64
        Of the main storage; 0 without.
    initial_wh, buffer_initial_wh : (n,) float64
    initial_fuel_wh : (n,) float64
        In generators' tanks; inf: it never ends.
    p_charge_max_w, p_discharge_max_w : (n,) float64
        Terminal limits of storages; loads: (inf, 0), sources: (0, inf), ports: (0, 0).
    low_threshold_pu, high_threshold_pu, ramp_w_per_s, safe_p_w : (n,) float64
    impedance_share, current_share, thermal_time_s, recovery_time_s, p_max_w : (n,) float64
    storage_rows, load_rows, solar_rows, port_rows, kinetic_rows : rows of the kinds; solar_rows: all sources
    vehicle_rows, generator_rows : (k,) int64
    kinetic_in_storage, vehicle_in_storage : (k,) int64
        Places of those devices among the storages.
    vehicle_stored_w : (k,) float64
        Power that reaches a vehicle's battery at full charging power.
    units, buffers : StorageUnits
        Of `storage_rows` and `kinetic_rows`.
    tables, converters : lookup tables
    takes_power : (n,) bool
        Storages and ports: a setpoint is a power there, elsewhere a limit that may be left open.
    has_zip_loads, has_thermostats : bool
    row_by_name : mapping
    """

    names: tuple[str, ...]
    kind: IntArray
    priority: IntArray
    issuer: IntArray
    reserve_wh: FloatArray
    capacity_wh: FloatArray
    floor_wh: FloatArray
    initial_wh: FloatArray
    buffer_initial_wh: FloatArray
    initial_fuel_wh: FloatArray
    p_charge_max_w: FloatArray
    p_discharge_max_w: FloatArray
    low_threshold_pu: FloatArray
    high_threshold_pu: FloatArray
    ramp_w_per_s: FloatArray
    safe_p_w: FloatArray
    impedance_share: FloatArray
    current_share: FloatArray
    thermal_time_s: FloatArray
    recovery_time_s: FloatArray
    p_max_w: FloatArray
    storage_rows: Rows
    load_rows: Rows
    solar_rows: Rows
    port_rows: Rows
    kinetic_rows: Rows
    vehicle_rows: IntArray
    generator_rows: IntArray
    vehicle_in_storage: IntArray
    kinetic_in_storage: IntArray
    vehicle_stored_w: FloatArray
    units: StorageUnits
    buffers: StorageUnits
    tables: StorageTables
    converters: ConverterTables
    takes_power: BoolArray
    has_zip_loads: bool
    has_thermostats: bool
    row_by_name: Mapping[str, int]

    @property
    def n_devices(self) -> int:
        """Number of devices."""
        return len(self.names)

    @property
    def is_storage(self) -> BoolArray:
        """Where a device stores energy, (n,)."""
        return self.capacity_wh > 0.0

    def row_of(self, name: str) -> int:
        """Return the row of a device.

        Raises
        ------
        KeyError
            If there is no such device.
        """
        return self.row_by_name[name]


def build_fleet(
    specs: Sequence[DeviceSpec],
    tables: StorageTables | None = None,
    converters: ConverterTables = SHIPPED_CONVERTERS,
) -> FleetParameters:
    """Build a fleet; row i is `specs[i]`.

    Parameters
    ----------
    specs : sequence of DeviceSpec
    tables : StorageTables, optional
        In the order of `StorageKind`; the shipped ones by default.

    Raises
    ------
    BadSpecification
        If two devices share a name.

    Notes
    -----
    Devices sorted by kind make every lookup a view instead of a gather: faster, not different.
    """
    seen: set[str] = set()
    for spec in specs:
        if spec.name in seen:
            raise BadSpecification(spec.name, "name", "unique", spec.name)
        seen.add(spec.name)
    kind = np.asarray([s.kind for s in specs], dtype=np.int64)
    is_storage = np.isin(kind, [int(k) for k in STORAGE_KINDS])
    is_kinetic = kind == Kind.KINETIC_MODULE
    is_solar = np.isin(kind, [int(k) for k in SOURCE_KINDS])
    is_port = kind == Kind.TIE_PORT
    is_load = ~is_storage & ~is_solar & ~is_port
    main = [s.storage for s in specs]
    unlimited = np.where(is_storage | is_port, 0.0, np.where(is_solar, np.inf, -np.inf))
    safe = np.asarray([np.nan if s.safe_p_w is None else s.safe_p_w for s in specs], dtype=np.float64)

    def of(field: str) -> FloatArray:
        return np.asarray([getattr(s, field) for s in specs], dtype=np.float64)

    def of_storage(field: str, load: float = 0.0, solar: float = 0.0) -> FloatArray:
        values = np.asarray([0.0 if u is None else getattr(u, field) for u in main], dtype=np.float64)
        return np.where(is_storage | is_port, values, np.where(is_solar, solar, load))

    units = _units([u for u in main if u is not None])
    vehicle_in_storage = np.flatnonzero(kind[is_storage] == Kind.VEHICLE)
    cars = units.take(vehicle_in_storage)
    return FleetParameters(
        names=tuple(s.name for s in specs),
        kind=kind,
        priority=np.asarray([s.priority for s in specs], dtype=np.int64),
        issuer=np.asarray([s.issuer for s in specs], dtype=np.int64),
        reserve_wh=np.maximum(of("reserve_wh"), of_storage("floor_wh")) * is_storage,
        capacity_wh=of_storage("capacity_wh"),
        floor_wh=of_storage("floor_wh"),
        initial_wh=np.asarray([_initial_wh(s) for s in specs], dtype=np.float64),
        buffer_initial_wh=np.asarray([_buffer_initial_wh(s) for s in specs], dtype=np.float64),
        initial_fuel_wh=np.asarray([_initial_fuel_wh(s) for s in specs], dtype=np.float64),
        p_charge_max_w=of_storage("p_charge_max_w", load=np.inf),
        p_discharge_max_w=of_storage("p_discharge_max_w", solar=np.inf),
        low_threshold_pu=of("low_threshold_pu"),
        high_threshold_pu=of("high_threshold_pu"),
        ramp_w_per_s=of("ramp_w_per_s"),
        safe_p_w=np.where(np.isnan(safe), unlimited, safe),
        impedance_share=of("impedance_share"),
        current_share=of("current_share"),
        thermal_time_s=of("thermal_time_s"),
        recovery_time_s=of("recovery_time_s"),
        p_max_w=of("p_max_w"),
        storage_rows=rows_where(is_storage),
        load_rows=rows_where(is_load),
        solar_rows=rows_where(is_solar),
        port_rows=rows_where(is_port),
        kinetic_rows=rows_where(is_kinetic),
        vehicle_rows=np.flatnonzero(kind == Kind.VEHICLE),
        generator_rows=np.flatnonzero(kind == Kind.GENERATOR),
        vehicle_in_storage=vehicle_in_storage,
        kinetic_in_storage=np.flatnonzero(is_kinetic[is_storage]),
        vehicle_stored_w=-converters.dc_power_w(-cars.p_charge_max_w, cars.rated_w, cars.converter),
        units=units,
        buffers=_units([s.buffer for s in specs if s.buffer is not None]),
        tables=_default_tables() if tables is None else tables,
        converters=converters,
        takes_power=is_storage | is_port,
        has_zip_loads=any(s.impedance_share > 0.0 or s.current_share > 0.0 for s in specs),
        has_thermostats=bool((kind == Kind.THERMOSTATIC_LOAD).any()),
        row_by_name={s.name: row for row, s in enumerate(specs)},
    )


def _units(specs: Sequence[StorageSpec]) -> StorageUnits:
    def of(field: str) -> FloatArray:
        return np.asarray([getattr(u, field) for u in specs], dtype=np.float64)

    return StorageUnits(
        table=np.asarray([u.storage for u in specs], dtype=np.int64),
        converter=np.asarray([u.converter for u in specs], dtype=np.int64),
        rated_w=of("rated_w"),
        p_charge_max_w=of("p_charge_max_w"),
        p_discharge_max_w=of("p_discharge_max_w"),
        capacity_wh=of("capacity_wh"),
        floor_wh=of("floor_wh"),
    )


def _initial_wh(spec: DeviceSpec) -> float:
    if spec.storage is None:
        return 0.0
    if spec.initial_wh is not None:
        return spec.initial_wh
    return 0.5 * (spec.storage.floor_wh + spec.storage.capacity_wh)


def _buffer_initial_wh(spec: DeviceSpec) -> float:
    return 0.0 if spec.buffer is None else BUFFER_TARGET_PU * spec.buffer.capacity_wh


def _initial_fuel_wh(spec: DeviceSpec) -> float:
    if spec.kind is not Kind.GENERATOR:
        return 0.0
    return np.inf if spec.fuel_wh is None else spec.fuel_wh
