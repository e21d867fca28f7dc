"""Scenarios: the file a run starts from, checked at the door."""

from node.scenario.consistency import Mistake
from node.scenario.devices import (
    BackupUnit,
    Battery,
    Device,
    ElectricVehicle,
    Flywheel,
    Module,
    PowerDeliveryUnit,
    Supercapacitor,
)
from node.scenario.loading import ScenarioError, load
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
from node.scenario.topology import Topology
from node.scenario.topology import build as build_topology

__all__ = [
    "BackupUnit",
    "Battery",
    "ChainTerms",
    "Device",
    "ElectricVehicle",
    "FlexibilityEvent",
    "Flywheel",
    "GeneratedHomes",
    "Load",
    "MarketTerms",
    "Mistake",
    "Module",
    "Node",
    "Participant",
    "PowerDeliveryUnit",
    "Priorities",
    "ProfileFile",
    "ProfileSources",
    "Scenario",
    "ScenarioError",
    "Solar",
    "Strategy",
    "Study",
    "Supercapacitor",
    "Tariff",
    "Topology",
    "build_topology",
    "load",
]
