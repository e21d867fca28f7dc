"""A scenario's grid frequency: the area around the community, what happens to it, and the services that answer.

Where `frequency` is given, the frequency of every second is that of a recorded day (deviation per unit of nominal), and
during an incident that of the area's own swing equation, in which the storages' answer counts.
"""

from typing import Annotated, Literal

from pydantic import Field

from node.scenario.fields import Fraction, LocalMinutes, Name, Power, Strict

Day = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0, le=600)]


class GridArea(Strict):
    """The area that the community swings with; defaults are a small 50 Hz area (devices/frequency_area)."""

    base_w: Power
    f0_hz: Annotated[float, Field(ge=40, le=70)] = 50.0
    inertia_s: Seconds = 4.0
    damping_pu: Annotated[float, Field(ge=0, le=10)] = 1.0
    droop_pu: Annotated[float, Field(gt=0, le=1)] = 0.05
    governor_s: Seconds = 8.0
    secondary_per_s: Annotated[float, Field(ge=0, le=10)] = 0.0


class FrequencyIncident(Strict):
    """Generation of `loss_pu` of the area's base is lost `after_s` after `start`; below zero, load is.

    The area is simulated for `simulated_s`, which ends inside the interval it began in; then the record goes on.
    """

    id: Name
    day: Day = 0
    start: LocalMinutes
    after_s: Annotated[int, Field(ge=0, le=3_599)] = 0
    loss_pu: Annotated[float, Field(ge=-1, le=1)]
    simulated_s: Annotated[int, Field(ge=1, le=3_600)] = 600


class FrequencyService(Strict):
    """Reserve that the grid buys for some intervals and pays by what was delivered.

    Two intervals before it begins members offer what they can hold; the cheapest `power_w` are taken at one price,
    at most `most_micro_per_kwh` for each kWh of availability. Whoever was taken keeps energy and room for
    `sustain_s` at full power, and answers by `curve`: `linear` is full at 0.2 Hz, `dynamic_containment` is NESO's.

    `up`: injects below nominal only, and RevenueSplit pays by what meters show above committed baselines. `both`:
    also withdraws above nominal; meters of whole intervals cannot show that, so the buyer itself pays what the score
    leaves of the price, by telemetry, split by `split`: `pro_rata` or `shapley` (among network nodes).
    """

    id: Name
    day: Day = 0
    start: LocalMinutes
    duration_intervals: Annotated[int, Field(ge=1, le=96)]
    direction: Literal["up", "both"]
    curve: Literal["linear", "dynamic_containment"]
    power_w: Power
    most_micro_per_kwh: Annotated[int, Field(ge=1, le=10**9)]
    sustain_s: Annotated[int, Field(ge=60, le=3_600)] = 900
    split: Literal["pro_rata", "shapley"] = "pro_rata"
    members: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None


class Frequency(Strict):
    """Area, recorded day, incidents and services; `delay_s` and `message_loss_pu` are the swarm's own network."""

    area: GridArea
    record: Literal["gmlc", "nominal"] = "gmlc"
    delay_s: Annotated[float, Field(ge=0, le=1)] = 0.2
    message_loss_pu: Fraction = 0.05
    incidents: tuple[FrequencyIncident, ...] = ()
    services: tuple[FrequencyService, ...] = ()

    def budget_pico(self, interval_s: int, direction: Literal["up", "both"]) -> int:
        """Return the most, pico-credit, that services of one kind can cost: what their buyer has to bring."""
        return sum(
            round(service.power_w * service.duration_intervals * interval_s / 3.6)
            * service.most_micro_per_kwh
            for service in self.services
            if service.direction == direction
        )
