"""Scenarios: the file a run starts from, checked at the door."""

from node.scenario.devices import (
    BackupUnit,
    Battery,
    Device,
    ElectricVehicle,
    Flywheel,
    Generator,
    KineticModule,
    Module,
    PowerDeliveryUnit,
    Supercapacitor,
)
from node.scenario.disturbances import (
    ControllerOutage,
    InternalShort,
    MeterOutage,
    ResistanceRise,
    StuckSensor,
    SupplyOutage,
)
from node.scenario.loading import ScenarioError, load
from node.scenario.microgrid import Microgrid
from node.scenario.mistakes import Mistake
from node.scenario.models import (
    ChainTerms,
    FlexibilityEvent,
    GeneratedHomes,
    Load,
    MarketTerms,
    Node,
    Participant,
    Priorities,
    ProfileFile,
    ProfileSources,
    Scenario,
    Solar,
    Strategy,
    Study,
    Tariff,
)
from node.scenario.shipped import scenario_path
from node.scenario.solar_roof import SolarRoof
from node.scenario.topology import Topology
from node.scenario.topology import build as build_topology
from node.scenario.wires import Line, Taps, Thermostatic, Transformer, Voltage

__all__ = [
    "BackupUnit",
    "Battery",
    "ChainTerms",
    "ControllerOutage",
    "Device",
    "ElectricVehicle",
    "FlexibilityEvent",
    "Flywheel",
    "GeneratedHomes",
    "Generator",
    "InternalShort",
    "KineticModule",
    "Line",
    "Load",
    "MarketTerms",
    "MeterOutage",
    "Microgrid",
    "Mistake",
    "Module",
    "Node",
    "Participant",
    "PowerDeliveryUnit",
    "Priorities",
    "ProfileFile",
    "ProfileSources",
    "ResistanceRise",
    "Scenario",
    "ScenarioError",
    "Solar",
    "SolarRoof",
    "Strategy",
    "StuckSensor",
    "Study",
    "Supercapacitor",
    "SupplyOutage",
    "Taps",
    "Tariff",
    "Thermostatic",
    "Topology",
    "Transformer",
    "Voltage",
    "build_topology",
    "load",
    "scenario_path",
]
