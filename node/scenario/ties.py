"""Direct-current ties between participants' racks, and what an island without supply does."""

from typing import Annotated

from pydantic import Field

from node.scenario.fields import Fraction, Name, Power, Strict


class Cable(Strict):
    """A cable between the ports of two participants; `ohm_per_m` counts both conductors together."""

    between: tuple[Name, Name]
    length_m: Annotated[float, Field(gt=0, le=10_000)]
    ohm_per_m: Annotated[float, Field(gt=0, le=1)]
    limit_a: Annotated[float, Field(gt=0, le=10_000)]


class Ties(Strict):
    """Ports of `port_w` on a common voltage; power is moved over them before a predicted overload.

    Overloads are predicted `steps_ahead` load steps ahead and acted on `lead_s` before the step. A donor keeps
    `margin_pu` of what its storages can hold for `hold_s`.
    """

    bus_v: Annotated[float, Field(ge=12, le=1_500)] = 380.0
    port_w: Power = 10_000.0
    steps_ahead: Annotated[int, Field(ge=1, le=48)] = 6
    lead_s: Annotated[float, Field(ge=0, le=600)] = 60.0
    hold_s: Annotated[float, Field(ge=1, le=3_600)] = 900.0
    margin_pu: Fraction = 0.1
    cables: Annotated[tuple[Cable, ...], Field(min_length=1)]


class RideThroughTerms(Strict):
    """What islands do: storages carry the classes they can, servers shut down in order within `shutdown_s`."""

    shutdown_s: Annotated[float, Field(gt=0, le=3_600)] = 120.0
