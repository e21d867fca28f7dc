"""What dispatch takes and gives: grid events, failures, schedule and inputs of an interval, and its outcome."""

from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from devices.state import FleetInputs, StepFlows
from node.controller.reasons import Reason, describe
from node.hub.frequency_records import FrequencyInterval, FrequencyOutcome
from node.hub.island_records import IslandAhead, IslandOutcome
from node.hub.rack_records import RackOutcome
from node.hub.voltage_records import Ahead, VoltageOutcome

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Direction(IntEnum):
    """What the grid asks for: UP is more export (or less import), DOWN the opposite."""

    UP = 1
    DOWN = -1


@dataclass(frozen=True, slots=True)
class GridEvent:
    """One activation of the swarm.

    Parameters
    ----------
    name : str
    start_s, end_s : float
        Unix time, half-open.
    requested_w : float
        Power of all members together, beyond their schedules, > 0.
    direction : Direction
    members : bool (n_devices,) or None
        Units that take part; None: every storage.
    cap_w : float or None
        Peak shaving: only what the whole plant would import beyond this is asked for, `requested_w` at most.
    """

    name: str
    start_s: float
    end_s: float
    requested_w: float
    direction: Direction = Direction.UP
    members: BoolArray | None = None
    cap_w: float | None = None

    def __post_init__(self) -> None:
        if not self.end_s > self.start_s:
            raise ValueError(
                f"grid event {self.name}: ends at {self.end_s}, not after its start {self.start_s}"
            )
        if not (self.requested_w > 0 and np.isfinite(self.requested_w)):
            raise ValueError(f"grid event {self.name}: requests {self.requested_w} W, need > 0")
        if self.cap_w is not None and not (self.cap_w >= 0 and self.direction is Direction.UP):
            raise ValueError(f"grid event {self.name}: caps import at {self.cap_w} W, need >= 0, upwards")


@dataclass(frozen=True, slots=True)
class SupplyFailure:
    """Nothing flows through a node from `start_s` to `end_s`: what is below is an island."""

    node: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class ControllerFailure:
    """The active controller dies at `at_s`; the standby takes over when its lease has run out."""

    at_s: float


Disturbance = SupplyFailure | ControllerFailure


class IncidentKind(IntEnum):
    """What happened to supply, control or voltage."""

    TAKEOVER = 0
    SUPPLY_FAILED = 1
    SUPPLY_BACK = 2
    RIDE_THROUGH = 3
    GENERATOR_ON = 4
    SHUTDOWN_BEGUN = 5
    SHUTDOWN_DONE = 6
    GENERATOR_DRY = 7
    ISLAND_DETECTED = 10
    LEADER_ELECTED = 11
    ISLAND_FORMED = 12
    LOADS_SHED = 13
    ISLAND_DARK = 14
    BLACK_START = 15
    GRID_HEALTHY = 16
    SYNCHRONISING = 17
    RECONNECTED = 18
    VOLTAGE_LOW = 30
    VOLTAGE_HIGH = 31
    VOLTAGE_BACK = 32


@dataclass(frozen=True, slots=True)
class Incident:
    """One entry of the event list: a takeover by the controller with a number, or what befell a node's supply."""

    kind: IncidentKind
    at_s: float
    subject: str

    def __str__(self) -> str:
        match self.kind:
            case IncidentKind.TAKEOVER:
                return f"controller {self.subject} took over at {self.at_s}"
            case IncidentKind.SUPPLY_FAILED:
                return f"supply of {self.subject} failed at {self.at_s}"
            case IncidentKind.SUPPLY_BACK:
                return f"supply of {self.subject} is back at {self.at_s}"
            case IncidentKind.RIDE_THROUGH:
                return f"{self.subject} (planned at {self.at_s})"
            case IncidentKind.GENERATOR_ON:
                return f"generator of {self.subject} carries load from {self.at_s} on"
            case IncidentKind.GENERATOR_DRY:
                return f"generator of {self.subject} ran dry at {self.at_s}"
            case IncidentKind.SHUTDOWN_BEGUN:
                return f"orderly shutdown of {self.subject} begins at {self.at_s}"
            case IncidentKind.SHUTDOWN_DONE:
                return f"{self.subject} is shut down in order at {self.at_s}"
            case IncidentKind.VOLTAGE_LOW:
                return f"voltage of {self.subject} below the band at {self.at_s}"
            case IncidentKind.VOLTAGE_HIGH:
                return f"voltage of {self.subject} above the band at {self.at_s}"
            case IncidentKind.VOLTAGE_BACK:
                return f"voltage of {self.subject} is back in the band at {self.at_s}"
            case _:
                return f"{self.kind.name.lower().replace('_', ' ')} at {self.at_s}: {self.subject}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the agents want of an interval.

    Parameters
    ----------
    target_export_wh : float64 (n_accounts,)
        Net export each account's storages aim at; nan: no target, storages keep to their plans.
    planned_p_w : float64 (n_devices,)
        Planned power of storages and vehicles; ignored for loads and sun.
    position_wh : float64 (n_accounts,) or None
        Sold minus bought; a curtailment never exceeds what the account delivered less than this. None: the
        target is the position.
    events : tuple of GridEvent
        All that touch this interval.
    disturbances : tuple
        Failures that touch this interval.
    island_ahead : IslandAhead or None
        What agents expect of the coming intervals, for islands that have to last.
    frequency : FrequencyInterval or None
        What the grid's frequency does and who answers it; None: nobody does.
    ahead : Ahead or None
        What loads and sun of the local day are expected to be; needed where voltage is controlled.
    """

    target_export_wh: FloatArray
    planned_p_w: FloatArray
    position_wh: FloatArray | None = None
    events: tuple[GridEvent, ...] = ()
    disturbances: tuple[Disturbance, ...] = ()
    island_ahead: IslandAhead | None = None
    frequency: FrequencyInterval | None = None
    ahead: Ahead | None = None


@dataclass(frozen=True, slots=True)
class IntervalInputs:
    """What the world does in an interval, constant between steps.

    Parameters
    ----------
    offset_s : tuple of float (n_steps,)
        Start of each step after the interval's start, rising; the first is 0.
    steps : tuple of FleetInputs (n_steps,)
        Demand, sun, presence and driving of all devices; checked where they were made.
    """

    offset_s: tuple[float, ...]
    steps: tuple[FleetInputs, ...]

    def __post_init__(self) -> None:
        if len(self.offset_s) != len(self.steps) or not self.steps:
            raise ValueError(
                f"{len(self.steps)} steps for {len(self.offset_s)} offsets: need one each, and any"
            )
        if self.offset_s[0] != 0 or any(b <= a for a, b in pairwise(self.offset_s)):
            raise ValueError(f"offsets {self.offset_s}: need 0 first, then rising")


@dataclass(frozen=True, slots=True)
class SetpointLog:
    """Every change of a setpoint, in order; arrays (n_changes,)."""

    device: IntArray
    at_s: FloatArray
    sequence: IntArray
    p_w: FloatArray
    expires_s: FloatArray
    reason: IntArray
    node: IntArray
    event: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.device.size)

    def reason_text(self, row: int, node_names: tuple[str, ...]) -> str:
        """Return the sentence people read for one change."""
        node = int(self.node[row])
        return describe(
            Reason(int(self.reason[row])), node_names[node] if node >= 0 else "", " ".join(self.event)
        )


@dataclass(frozen=True, slots=True)
class Curtailment:
    """What the controller took from an account's position in this interval."""

    account: int
    energy_milli_wh: int
    reason: Reason
    node: int


@dataclass(frozen=True, slots=True)
class NodeFlows:
    """Peaks per node against its capacities; arrays (n_nodes,)."""

    peak_import_w: FloatArray
    peak_export_w: FloatArray
    is_import_binding: BoolArray
    is_export_binding: BoolArray


@dataclass(frozen=True, slots=True)
class IntervalOutcome:
    """Everything that happened between two meter readings."""

    interval: int
    energies: StepFlows  # (n_devices,) each, sums over the interval
    energy_wh: FloatArray  # (n_devices,) stored at the end
    fuel_wh: FloatArray  # (n_devices,) in generators' tanks at the end
    net_export_wh: FloatArray  # (n_accounts,)
    curtailments: tuple[Curtailment, ...]
    unserved_wh_by_class: FloatArray  # (n_classes,) what loads wanted and did not get
    curtailed_wh_by_class: FloatArray  # (n_export_classes,) solar and storage export cut by a capacity
    nodes: NodeFlows
    setpoints: SetpointLog
    event_wh: FloatArray  # (n_accounts,) net export ordered by grid events beyond the schedule, > 0 up
    lent_wh: FloatArray  # (n_accounts,) given beyond the own connection to relieve a shared node
    borrowed_wh: FloatArray  # (n_accounts,) the same energy, by who needed it: sums are equal
    n_periods: int  # control periods of 100 ms
    n_coasts: int  # longer steps in which nothing changed
    islands: tuple[IslandOutcome, ...] = field(default=())  # microgrids that were cut off for a while
    incidents: tuple[Incident, ...] = field(default=())  # takeovers, islands, voltage, for the event list
    frequency: FrequencyOutcome | None = None  # what the swarm did about the grid's frequency
    voltage: VoltageOutcome | None = None  # where the scenario has lines
    racks: RackOutcome | None = None  # None: no racks are tied

    @property
    def notes(self) -> tuple[str, ...]:
        """The incidents as sentences."""
        return tuple(str(incident) for incident in self.incidents)
