"""What goes wrong in a scenario, and when: lost supplies, dead controllers, silent meters, devices that break."""

from typing import Annotated, Literal

from pydantic import Field

from node.scenario.fields import LocalMinutes, Name, Strict

Day = Annotated[int, Field(ge=0)]


class SupplyOutage(Strict):
    """Nothing flows through `node` for a while: everything below it is an island that lives on its storages."""

    kind: Literal["supply"]
    node: Name
    day: Day = 0
    start: LocalMinutes
    duration_s: Annotated[int, Field(ge=1, le=86_400)]


class ControllerOutage(Strict):
    """The active controller dies at `start`; the standby takes over when its lease has run out."""

    kind: Literal["controller"]
    day: Day = 0
    start: LocalMinutes


class MeterOutage(Strict):
    """The meter of `participant` tells nobody what it counts, for a while; its display goes on.

    Registers after the gap wait. Two fill windows (`chain.fill_window_s`) after each missing interval the
    registrar signs a substitute for it, which assumes no export; the next true register puts the energy right.
    """

    kind: Literal["meter"]
    participant: Name
    day: Day = 0
    start: LocalMinutes
    duration_s: Annotated[int, Field(ge=1, le=7 * 86_400)]


class ResistanceRise(Strict):
    """A storage's internal resistance grows by a share at once: a loose terminal, a dried-out cell."""

    kind: Literal["resistance"]
    device: Name
    day: Day = 0
    start: LocalMinutes
    rise_pu: Annotated[float, Field(gt=0, le=10)] = 0.3


class InternalShort(Strict):
    """A leak inside a storage that would empty a full one in `1 / leak_per_h` hours."""

    kind: Literal["internal_short"]
    device: Name
    day: Day = 0
    start: LocalMinutes
    leak_per_h: Annotated[float, Field(gt=0, le=10)] = 0.01


class StuckSensor(Strict):
    """A sensor of a storage repeats its last reading for ever."""

    kind: Literal["stuck_sensor"]
    device: Name
    day: Day = 0
    start: LocalMinutes
    channel: Literal["voltage", "current", "temperature", "energy"]


Failure = Annotated[SupplyOutage | ControllerOutage | MeterOutage, Field(discriminator="kind")]
Fault = Annotated[ResistanceRise | InternalShort | StuckSensor, Field(discriminator="kind")]
