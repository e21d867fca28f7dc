"""Devices of a scenario, in physical units: what hangs behind a participant's connection.

A storage that `lends` also helps beyond its own connection: when a shared node is overloaded, or cut off as an
island. What it gives is metered as its owner's export like any other.
"""

import math
from typing import Annotated, Literal

from pydantic import Field

from node.scenario.fields import (
    Energy,
    EnergyOrZero,
    Fraction,
    LocalMinutes,
    Name,
    Power,
    PowerOrZero,
    Strict,
)

SECONDS_PER_HOUR = 3_600.0
RADIANS_PER_S_PER_RPM = 2 * math.pi / 60

Chemistry = Literal["lfp", "nmc"]


class Battery(Strict):
    """A stationary battery behind its own bidirectional inverter.

    `reserve_pu` is the owner's: neither market nor grid takes the battery below it. Energies are usable ones.
    """

    kind: Literal["battery"]
    id: Name
    capacity_wh: Energy
    p_charge_max_w: Power
    p_discharge_max_w: Power
    reserve_pu: Fraction = 0.1
    soc_start_pu: Fraction = 0.5
    chemistry: Chemistry = "lfp"
    lends: bool = False


class BackupUnit(Strict):
    """A server rack's battery backup unit (BBU): backup first, market and grid only above the reserve."""

    kind: Literal["bbu"]
    id: Name
    capacity_wh: Energy
    p_charge_max_w: Power
    p_discharge_max_w: Power
    reserve_pu: Fraction = 0.6
    soc_start_pu: Fraction = 0.9
    chemistry: Chemistry = "lfp"
    lends: bool = False


class ElectricVehicle(Strict):
    """An electric car at its wallbox between `arrival` and `departure` (local time, across midnight).

    It drives `trip_wh` (battery energy) while away and must hold `required_wh` at departure. A
    `p_discharge_max_w` of zero is a car that only charges.
    """

    kind: Literal["ev"]
    id: Name
    capacity_wh: Energy
    p_charge_max_w: Power
    p_discharge_max_w: PowerOrZero = 0.0
    arrival: LocalMinutes
    departure: LocalMinutes
    required_wh: EnergyOrZero
    trip_wh: EnergyOrZero
    reserve_pu: Fraction = 0.2
    soc_start_pu: Fraction = 0.5
    chemistry: Chemistry = "nmc"


class Module(Strict):
    """`count` equal storage modules of a PDU, each 10 to 100 Wh."""

    count: Annotated[int, Field(ge=1, le=1_000)] = 1
    storage: Literal["lfp", "nmc", "supercapacitor"]
    capacity_wh: Annotated[float, Field(ge=10, le=100)]
    p_max_w: Power


class PowerDeliveryUnit(Strict):
    """A bidirectional power delivery unit: storage modules behind DC-DC converters on one feed.

    Below `threshold_low_pu` a module asks for energy, above `threshold_high_pu` an idle one contributes.
    """

    kind: Literal["pdu"]
    id: Name
    p_max_w: Power
    modules: Annotated[tuple[Module, ...], Field(min_length=1)]
    reserve_pu: Fraction = 0.2
    soc_start_pu: Fraction = 0.5
    threshold_low_pu: Fraction = 0.3
    threshold_high_pu: Fraction = 0.8
    lends: bool = False


class Flywheel(Strict):
    """A flywheel in vacuum between two speeds; usable energy is J (w_max^2 - w_min^2) / 2."""

    kind: Literal["flywheel"]
    id: Name
    inertia_kg_m2: Annotated[float, Field(gt=0, le=1e6)]
    speed_min_rpm: Annotated[float, Field(gt=0, le=200_000)]
    speed_max_rpm: Annotated[float, Field(gt=0, le=200_000)]
    p_max_w: Power
    standby_loss_w: PowerOrZero
    reserve_pu: Fraction = 0.3
    soc_start_pu: Fraction = 0.7
    lends: bool = False

    @property
    def capacity_wh(self) -> float:
        """Usable energy between the two speeds, Wh."""
        low, high = (n * RADIANS_PER_S_PER_RPM for n in (self.speed_min_rpm, self.speed_max_rpm))
        return 0.5 * self.inertia_kg_m2 * (high**2 - low**2) / SECONDS_PER_HOUR


class KineticModule(Strict):
    """A flywheel and a supercapacitor bank behind one terminal: the bank takes surges and the ramp.

    `bank_wh` is the bank's energy when full; a quarter of it, below half its voltage, cannot be reached.
    """

    kind: Literal["kinetic"]
    id: Name
    inertia_kg_m2: Annotated[float, Field(gt=0, le=1e6)]
    speed_min_rpm: Annotated[float, Field(gt=0, le=200_000)]
    speed_max_rpm: Annotated[float, Field(gt=0, le=200_000)]
    bank_wh: Energy
    p_max_w: Power
    reserve_pu: Fraction = 0.25
    soc_start_pu: Fraction = 0.9
    lends: bool = False

    @property
    def capacity_wh(self) -> float:
        """Usable energy of the flywheel between the two speeds, Wh."""
        low, high = (n * RADIANS_PER_S_PER_RPM for n in (self.speed_min_rpm, self.speed_max_rpm))
        return 0.5 * self.inertia_kg_m2 * (high**2 - low**2) / SECONDS_PER_HOUR


class Supercapacitor(Strict):
    """A supercapacitor bank between two voltages; usable energy is C (v_max^2 - v_min^2) / 2."""

    kind: Literal["supercapacitor"]
    id: Name
    capacitance_f: Annotated[float, Field(gt=0, le=1e6)]
    v_min_v: Annotated[float, Field(gt=0, le=10_000)]
    v_max_v: Annotated[float, Field(gt=0, le=10_000)]
    series_resistance_ohm: Annotated[float, Field(gt=0, le=100)]
    p_max_w: Power
    reserve_pu: Fraction = 0.2
    soc_start_pu: Fraction = 0.7
    lends: bool = False

    @property
    def capacity_wh(self) -> float:
        """Usable energy between the two voltages, Wh."""
        return 0.5 * self.capacitance_f * (self.v_max_v**2 - self.v_min_v**2) / SECONDS_PER_HOUR


class Generator(Strict):
    """A diesel generator: it starts when its supply is lost, carries load `start_s` later, burns its fuel."""

    kind: Literal["generator"]
    id: Name
    p_max_w: Power
    start_s: Annotated[float, Field(gt=0, le=3_600)] = 30.0
    tank_l: Annotated[float, Field(gt=0, le=100_000)] = 100.0


Device = Annotated[
    Battery
    | BackupUnit
    | ElectricVehicle
    | PowerDeliveryUnit
    | Flywheel
    | KineticModule
    | Supercapacitor
    | Generator,
    Field(discriminator="kind"),
]
