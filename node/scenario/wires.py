"""What voltage needs to know of a scenario: lines, the transformer and its taps, how loads depend on voltage."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from node.scenario.fields import Fraction, Power, Strict

Ohm = Annotated[float, Field(ge=0, le=1_000)]
Phase = Literal["a", "b", "c"]


class Line(Strict):
    """A cable or overhead line to the parent, or a participant's service cable: impedance per phase and km.

    `r_ohm_per_km` and `x_ohm_per_km` are the positive sequence. Without `r0_ohm_per_km` and `x0_ohm_per_km` the zero
    sequence is four times that: the neutral is as thick as a phase and carries three times a phase's current.
    """

    r_ohm_per_km: Ohm
    x_ohm_per_km: Ohm
    r0_ohm_per_km: Ohm | None = None
    x0_ohm_per_km: Ohm | None = None
    length_m: Annotated[float, Field(gt=0, le=100_000)]

    @property
    def z1_ohm(self) -> complex:
        """Return the positive-sequence impedance of the whole length."""
        return complex(self.r_ohm_per_km, self.x_ohm_per_km) * self.length_m / 1_000

    @property
    def z0_ohm(self) -> complex:
        """Return the zero-sequence impedance of the whole length."""
        r = 4 * self.r_ohm_per_km if self.r0_ohm_per_km is None else self.r0_ohm_per_km
        x = 4 * self.x_ohm_per_km if self.x0_ohm_per_km is None else self.x0_ohm_per_km
        return complex(r, x) * self.length_m / 1_000


class Thermostatic(Strict):
    """The part of a load behind thermostats (water, rooms, cold): what it cannot draw now it catches up later.

    `impedance_pu` of it are plain elements, whose power follows the square of the voltage; the rest draws
    constant power. `thermal_time_s` is how fast a need fades by itself (R·C), `recovery_time_s` how fast the
    thermostat catches up, at most `p_max_w`.
    """

    share_pu: Annotated[float, Field(gt=0, le=1)]
    impedance_pu: Fraction = 1.0
    thermal_time_s: Annotated[float, Field(ge=60, le=10_000_000)] = 21_600.0
    recovery_time_s: Annotated[float, Field(ge=60, le=1_000_000)] = 1_800.0
    p_max_w: Power


class Transformer(Strict):
    """The transformer between the medium-voltage source and the root of the network."""

    rated_va: Power
    short_circuit_pu: Annotated[float, Field(gt=0, le=0.2)] = 0.04
    load_loss_pu: Annotated[float, Field(gt=0, le=0.2)] = 0.01

    @model_validator(mode="after")
    def _has_reactance(self) -> Self:
        if self.load_loss_pu > self.short_circuit_pu:
            raise ValueError("expected load_loss_pu of at most short_circuit_pu")
        return self


class Taps(Strict):
    """The transformer's tap changer under load: `step_pu` of voltage per position; at `home` without optimisation.

    The optimiser aims `margin_pu` inside the band. A move that only saves waits `delay_s`; one that brings a
    customer back into the band waits `fast_delay_s`. A day has at most `max_switchings` steps between positions,
    and no move is made that saves less than `least_saving_pu` of the power.
    """

    step_pu: Annotated[float, Field(gt=0, le=0.1)]
    lowest: Annotated[int, Field(ge=-20, le=20)]
    highest: Annotated[int, Field(ge=-20, le=20)]
    home: Annotated[int, Field(ge=-20, le=20)] = 0
    max_switchings: Annotated[int, Field(ge=0, le=200)] = 24
    least_saving_pu: Annotated[float, Field(ge=0, lt=1)] = 0.002
    margin_pu: Annotated[float, Field(ge=0, le=0.05)] = 0.001
    delay_s: Annotated[float, Field(ge=1, le=600)] = 60.0
    fast_delay_s: Annotated[float, Field(ge=1, le=600)] = 10.0

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if not self.lowest <= self.home <= self.highest:
            raise ValueError("expected lowest <= home <= highest")
        if 1 + self.lowest * self.step_pu <= 0.5:
            raise ValueError("expected more than half the voltage at the lowest position")
        return self


class Voltage(Strict):
    """Makes voltage real: power flow in every step, voltage-dependent loads, losses in lines.

    `source_pu` is the voltage that the medium-voltage grid gives at tap position 0, of `rated_v` (between phases).
    Every customer is promised `low_pu` to `high_pu`. Loads draw at `power_factor`, lagging. Without `taps`, or with
    `optimise: false`, the voltage is what it is.
    """

    rated_v: Annotated[float, Field(gt=0, le=1_000)] = 400.0
    source_pu: Annotated[float, Field(ge=0.8, le=1.2)] = 1.0
    transformer: Transformer
    taps: Taps | None = None
    optimise: bool = True
    low_pu: Annotated[float, Field(ge=0.8, lt=1)] = 0.95
    high_pu: Annotated[float, Field(gt=1, le=1.2)] = 1.05
    power_factor: Annotated[float, Field(gt=0.5, le=1)] = 0.97
