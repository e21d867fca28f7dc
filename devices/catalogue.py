"""Ready devices of every kind with ordinary ratings: what scenarios and tests plug in."""

import math
from typing import Final

from devices.battery import molicel_nmc_cell, sony_lfp_cell
from devices.converter import Converter
from devices.flywheel import rack_flywheel
from devices.specification import DeviceSpec, Kind, Priority, StorageSpec
from devices.storage_tables import StorageKind, StorageTable, StorageTables, stack_tables
from devices.supercapacitor import bank_cell

# Grid-following inverters of homes move from 0 to full power in about a second; DC stages in 10 ms.
INVERTER_RAMP_TIME_S: Final = 1.0
FIRMWARE_STEP_S: Final = 0.01


def shipped_storage_tables() -> tuple[StorageTable, ...]:
    """Return the tables in the order of `StorageKind`."""
    return (
        sony_lfp_cell().storage_table(),
        molicel_nmc_cell().storage_table(),
        bank_cell().storage_table(),
        rack_flywheel().storage_table(),
    )


def shipped_tables() -> StorageTables:
    """Return the tables of `StorageKind`, stacked."""
    return stack_tables(shipped_storage_tables())


def fixed_load(
    name: str,
    priority: Priority = Priority.NORMAL,
    impedance_share: float = 0.0,
    current_share: float = 0.0,
) -> DeviceSpec:
    """Return a load that follows its demand profile; ZIP shares make it voltage-dependent."""
    return DeviceSpec(
        name=name,
        kind=Kind.LOAD,
        priority=priority,
        impedance_share=impedance_share,
        current_share=current_share,
    )


def thermostatic_load(
    name: str,
    p_max_w: float,
    thermal_time_s: float = 6.0 * 3600.0,
    recovery_time_s: float = 1800.0,
    priority: Priority = Priority.LOW,
    impedance_share: float = 0.0,
) -> DeviceSpec:
    """Return a heat pump, boiler or refrigerator: what it is denied it catches up later."""
    return DeviceSpec(
        name=name,
        kind=Kind.THERMOSTATIC_LOAD,
        priority=priority,
        p_max_w=p_max_w,
        thermal_time_s=thermal_time_s,
        recovery_time_s=recovery_time_s,
        impedance_share=impedance_share,
    )


def solar_roof(name: str, priority: Priority = Priority.NORMAL) -> DeviceSpec:
    """Return a roof whose available power at the terminal is an input."""
    return DeviceSpec(name=name, kind=Kind.SOLAR, priority=priority)


def home_battery(
    name: str,
    capacity_wh: float = 10_000.0,
    p_max_w: float = 5_000.0,
    reserve_pu: float = 0.1,
    storage: StorageKind = StorageKind.LFP,
    priority: Priority = Priority.NORMAL,
    initial_pu: float = 0.5,
) -> DeviceSpec:
    """Return a home battery behind an inverter."""
    return DeviceSpec(
        name=name,
        kind=Kind.BATTERY,
        priority=priority,
        storage=StorageSpec(storage, Converter.SINAMICS, p_max_w, p_max_w, p_max_w, capacity_wh),
        reserve_wh=reserve_pu * capacity_wh,
        initial_wh=initial_pu * capacity_wh,
        ramp_w_per_s=p_max_w / INVERTER_RAMP_TIME_S,
    )


def server_backup(
    name: str,
    capacity_wh: float = 400.0,
    p_discharge_max_w: float = 1_500.0,
    p_charge_max_w: float = 300.0,
    reserve_pu: float = 0.5,
    initial_pu: float = 0.9,
) -> DeviceSpec:
    """Return a battery backup unit of a rack shelf: most of it is the servers' reserve."""
    rated = max(p_discharge_max_w, p_charge_max_w)
    return DeviceSpec(
        name=name,
        kind=Kind.SERVER_BACKUP,
        priority=Priority.CRITICAL,
        storage=StorageSpec(
            StorageKind.LFP, Converter.RECTIFIER_BYPASS, rated, p_charge_max_w, p_discharge_max_w, capacity_wh
        ),
        reserve_wh=reserve_pu * capacity_wh,
        initial_wh=initial_pu * capacity_wh,
        ramp_w_per_s=rated / FIRMWARE_STEP_S,
    )


def supercapacitor_bank(
    name: str, capacity_wh: float = 100.0, p_max_w: float = 5_000.0, initial_pu: float = 0.8
) -> DeviceSpec:
    """Return a supercapacitor bank behind a DC-DC converter."""
    return DeviceSpec(
        name=name,
        kind=Kind.SUPERCAPACITOR,
        priority=Priority.HIGH,
        storage=_bank(capacity_wh, p_max_w),
        reserve_wh=bank_cell().usable_from_pu() * capacity_wh,
        initial_wh=initial_pu * capacity_wh,
        ramp_w_per_s=p_max_w / FIRMWARE_STEP_S,
    )


def flywheel_unit(
    name: str, units: float = 1.0, reserve_pu: float = 0.25, initial_pu: float = 0.9
) -> DeviceSpec:
    """Return `units` shipped flywheels as one device (0.52 kWh and 25 kW each)."""
    storage = _rotor(units)
    return DeviceSpec(
        name=name,
        kind=Kind.FLYWHEEL,
        priority=Priority.HIGH,
        storage=storage,
        reserve_wh=max(reserve_pu * storage.capacity_wh, storage.floor_wh),
        initial_wh=initial_pu * storage.capacity_wh,
        ramp_w_per_s=storage.rated_w / INVERTER_RAMP_TIME_S,
    )


def kinetic_module(
    name: str,
    units: float = 1.0,
    bank_wh: float = 60.0,
    reserve_pu: float = 0.25,
    initial_pu: float = 0.9,
) -> DeviceSpec:
    """Return a flywheel with a supercapacitor bank of the same power: full power in one 10 ms step."""
    rotor = _rotor(units)
    return DeviceSpec(
        name=name,
        kind=Kind.KINETIC_MODULE,
        priority=Priority.HIGH,
        storage=rotor,
        buffer=_bank(bank_wh, rotor.rated_w),
        reserve_wh=max(reserve_pu * rotor.capacity_wh, rotor.floor_wh),
        initial_wh=initial_pu * rotor.capacity_wh,
        ramp_w_per_s=rotor.rated_w / FIRMWARE_STEP_S,
    )


def vehicle(
    name: str,
    capacity_wh: float = 60_000.0,
    p_charge_max_w: float = 11_000.0,
    p_discharge_max_w: float = 0.0,
    reserve_pu: float = 0.2,
    initial_pu: float = 0.6,
) -> DeviceSpec:
    """Return an electric vehicle on its charger; `p_discharge_max_w` > 0 for vehicle to grid."""
    rated = max(p_charge_max_w, p_discharge_max_w)
    return DeviceSpec(
        name=name,
        kind=Kind.VEHICLE,
        storage=StorageSpec(
            StorageKind.NMC, Converter.SINAMICS, rated, p_charge_max_w, p_discharge_max_w, capacity_wh
        ),
        reserve_wh=reserve_pu * capacity_wh,
        initial_wh=initial_pu * capacity_wh,
        ramp_w_per_s=rated / INVERTER_RAMP_TIME_S,
    )


def pdu_module(
    name: str,
    capacity_wh: float = 50.0,
    p_max_w: float = 100.0,
    storage: StorageKind = StorageKind.LFP,
    reserve_pu: float = 0.2,
    initial_pu: float = 0.7,
) -> DeviceSpec:
    """Return a 10–100 Wh module of a bidirectional PDU: a battery or supercapacitor behind a DC-DC stage."""
    if storage is StorageKind.SUPERCAPACITOR:
        unit = _bank(capacity_wh, p_max_w)
    else:
        unit = StorageSpec(storage, Converter.DC_DC, p_max_w, min(p_max_w, capacity_wh), p_max_w, capacity_wh)
    return DeviceSpec(
        name=name,
        kind=Kind.PDU_MODULE,
        storage=unit,
        reserve_wh=max(reserve_pu * capacity_wh, unit.floor_wh),
        initial_wh=initial_pu * capacity_wh,
        ramp_w_per_s=p_max_w / FIRMWARE_STEP_S,
    )


def _bank(capacity_wh: float, p_max_w: float) -> StorageSpec:
    floor = bank_cell().usable_from_pu() * capacity_wh
    return StorageSpec(
        StorageKind.SUPERCAPACITOR, Converter.DC_DC, p_max_w, p_max_w, p_max_w, capacity_wh, floor
    )


def _rotor(units: float) -> StorageSpec:
    wheel = rack_flywheel()
    if not (units > 0.0 and math.isfinite(units)):
        units = math.nan  # refused by StorageSpec's check with the device's name
    rated = wheel.rated_w * units
    capacity = wheel.capacity_wh() * units
    floor = wheel.usable_from_pu() * capacity
    return StorageSpec(StorageKind.FLYWHEEL, Converter.SINAMICS, rated, rated, rated, capacity, floor)
