"""A scenario: who takes part, on which wires, at which tariff, under which rules of market and chain.

Each field is checked here; whether sections fit together, `consistency` tells.
"""

from datetime import date, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from market.intervals import IntervalGrid
from market.units import MILLI_WH_PER_WH
from node.scenario.devices import Device
from node.scenario.disturbances import Failure, Fault
from node.scenario.fields import (
    Fraction,
    LocalMinutes,
    Name,
    PositivePrice,
    Power,
    PowerOrZero,
    Price,
    ProfileName,
    Strict,
)
from node.scenario.frequency import Frequency
from node.scenario.microgrid import Microgrid
from node.scenario.solar_roof import SolarRoof
from node.scenario.ties import RideThroughTerms, Ties
from node.scenario.timeslots import Timeslots
from node.scenario.wires import Line, Phase, Thermostatic, Voltage

ParticipantKind = Literal[
    "home",
    "ev_owner",
    "office",
    "shop",
    "farm",
    "producer",
    "storage",
    "pdu",
    "rack",
    "flywheel",
    "generator",
]
NodeKind = Literal["substation", "feeder", "cable"]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[int, Field(ge=1, le=366 * 86_400)]


class MarketTerms(Strict):
    """Rules of the auctions: the operator's fee per side and the two gates.

    With `mechanism: network` every node of the network is a price zone and positions keep its capacities;
    with `uniform` all trade at one price and the controller alone keeps them.

    The day-ahead round of a local day closes at `day_ahead_gate` on the day before; the second round of an
    interval closes `final_gate_s` before it starts. With `timeslots` calm intervals are traded together.

    `grid_fee_by_level_micro_per_kwh` is the grid fee by distance in network auctions: what a kilowatt-hour pays for
    crossing an edge once, first those right below the root; a node's own fee comes on top.
    """

    mechanism: Literal["uniform", "network"] = "uniform"
    fee_micro_per_kwh: PositivePrice
    price_cap_micro_per_kwh: PositivePrice
    grid_fee_by_level_micro_per_kwh: tuple[PositivePrice, ...] = ()
    day_ahead_gate: LocalMinutes = Field("12:00", validate_default=True)
    final_gate_s: Annotated[int, Field(ge=60, le=3_600)] = 300
    timeslots: Timeslots | None = None


class ChainTerms(Strict):
    """Parameters the contracts are deployed with; every one is immutable afterwards."""

    chain_id: Annotated[int, Field(ge=1, le=2**53)] = 61_817
    notice_intervals: Annotated[int, Field(ge=160, le=480)] = 192
    fill_window_s: Seconds = 86_400
    exit_delay_s: Seconds = 7 * 86_400
    role_delay_s: Seconds = 14 * 86_400
    record_window_s: Seconds = 7 * 86_400
    max_fills_per_chunk: Annotated[int, Field(ge=2, le=128)] = 100


class PriceWindow(Strict):
    """The supplier's price from `start` until the next window starts, local time."""

    start: LocalMinutes
    price_micro_per_kwh: PositivePrice


class IslandTariff(Strict):
    """Prices of imbalance in price zones that were cut off from the supplier for the whole of an interval.

    Who is short pays `short_price_micro_per_kwh` (the value of lost load), who has too much earns
    `long_price_micro_per_kwh` (usually nothing: there is nobody to take it). No levies are due then.
    """

    short_price_micro_per_kwh: PositivePrice
    long_price_micro_per_kwh: Price = 0


class Tariff(Strict):
    """The supplier's tariff: what it charges for a shortfall, pays for a surplus, and what is due anyway.

    `levies_micro_per_kwh` (grid charges and taxes) are due on every kWh metered as import, whoever sold it;
    they are collected outside the market and are the same in the market bill and the supplier-only bill. With
    `levy_windows` they have hours, like the supplier's price.
    """

    short_price_windows: Annotated[tuple[PriceWindow, ...], Field(min_length=1, max_length=96)]
    long_price_micro_per_kwh: Price
    levies_micro_per_kwh: PositivePrice = 0
    levy_windows: Annotated[tuple[PriceWindow, ...], Field(max_length=96)] = ()
    co2_g_per_kwh: Annotated[float, Field(ge=0, le=2_000)]
    supplier_deposit_credits: Annotated[int, Field(ge=1, le=10**9)] = 100_000
    island: IslandTariff | None = None

    def short_price_micro_per_kwh(self, minute_of_day: int) -> int:
        """Return the price that applies at this local minute of the day."""
        applies = self.short_price_windows[0]
        for window in self.short_price_windows:
            if window.start <= minute_of_day:
                applies = window
        return applies.price_micro_per_kwh


class Node(Strict):
    """A place in the network tree and what may flow through it, to (import) and from (export) its leaves.

    `grid_fee_micro_per_kwh` is due on every kWh traded across its edge to the parent, in network auctions.
    """

    id: Name
    parent: Name | None = None
    kind: NodeKind = "cable"
    import_cap_w: Power
    export_cap_w: Power
    grid_fee_micro_per_kwh: PositivePrice = 0
    line: Line | None = None


class Load(Strict):
    """A participant's consumption: a named profile and exactly one way to scale it.

    `yearly_kwh` and `peak_w` scale a profile that is per unit of its peak; `scale_pu` multiplies a profile
    that is in watts already. `shift_weeks` takes the profile from so many weeks later, same weekday.
    Of its power at rated voltage, `impedance_pu` follows the square of the voltage and `current_pu` the voltage;
    the rest is constant. A `thermostatic` share has its own.
    """

    profile: ProfileName
    yearly_kwh: Annotated[float, Field(gt=0, le=1e8)] | None = None
    peak_w: Power | None = None
    scale_pu: Annotated[float, Field(gt=0, le=1e6)] | None = None
    shift_weeks: Annotated[int, Field(ge=0, le=51)] = 0
    impedance_pu: Fraction = 0.0
    current_pu: Fraction = 0.0
    thermostatic: Thermostatic | None = None

    @model_validator(mode="after")
    def _has_one_scale(self) -> Self:
        given = [n for n in ("yearly_kwh", "peak_w", "scale_pu") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of yearly_kwh, peak_w, scale_pu; got {given or 'none'}")
        if self.impedance_pu + self.current_pu > 1:
            raise ValueError("expected impedance_pu and current_pu of at most 1 together")
        return self


class Solar(Strict):
    """A solar plant of a rated peak (AC, W): a profile per unit of it, or a modelled `roof`."""

    profile: ProfileName | None = None
    peak_w: Power
    roof: SolarRoof | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.profile is None) == (self.roof is None):
            raise ValueError("expected exactly one of profile, roof")
        return self


class Priorities(Strict):
    """Shares of the load by priority class: the lowest class is shed first. They sum to one."""

    critical_pu: Fraction = 0.3
    normal_pu: Fraction = 0.5
    deferrable_pu: Fraction = 0.2

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = self.critical_pu + self.normal_pu + self.deferrable_pu
        if abs(total - 1) > 1e-9:
            raise ValueError(f"expected shares that sum to 1, got {total:g}")
        return self


class Strategy(Strict):
    """How the participant's agent prices storage: wear per discharged kWh, and the margin it asks for.

    With `storages: thresholds` no agent plans its storages: they ask for energy below their low threshold, and above
    the high one they carry the participant's own load.

    It would like to buy from a source, and to trade with a participant or a group. Wishes are honoured where they
    cost nobody anything: they never change what is traded, or at which price.
    """

    wear_micro_per_kwh: PositivePrice = 40_000
    markup_micro_per_kwh: PositivePrice = 5_000
    storages: Literal["planned", "thresholds"] = "planned"
    prefers_source: Literal["any", "solar", "storage"] = "any"
    prefers_partner: Name | None = None
    prefers_group: Name | None = None


class Participant(Strict):
    """A person or organisation with one account: one connection, one meter, its load, solar and devices.

    `service` is its cable from the node; without `phase` it takes the same from all three. With `levies:
    net_of_fed_back`, for connections with nothing but storage, levies are due on import less what was fed back.
    """

    id: Name
    name: Annotated[str, Field(min_length=1, max_length=80)]
    kind: ParticipantKind
    node: Name
    group: Name | None = None
    connection_capacity_w: Power
    export_capacity_w: PowerOrZero | None = None
    deposit_credits: Annotated[int, Field(ge=0, le=10**9)]
    load: Load | None = None
    solar: Solar | None = None
    priorities: Priorities = Priorities()
    levies: Literal["import", "net_of_fed_back"] = "import"
    devices: tuple[Device, ...] = ()
    strategy: Strategy = Strategy()
    service: Line | None = None
    phase: Phase | None = None

    @property
    def export_limit_w(self) -> float:
        """What the connection may export: its own limit, or the connection's capacity."""
        return self.connection_capacity_w if self.export_capacity_w is None else self.export_capacity_w


class FlexibilityEvent(Strict):
    """One VPP activation: `requested_w` more export (or less import) of all members together than baseline.

    `baseline`: `schedule` is the target the account committed to before the event; `previous_interval` is
    its metered net export in the interval before; `previous_days` is the mean of that time of day before.
    Without `members` everybody with storage takes part. With `cap_w` it shaves a peak: only what the community
    would import beyond `cap_w` is asked for, `requested_w` at most.
    """

    id: Name
    day: Annotated[int, Field(ge=0)] = 0
    start: LocalMinutes
    duration_intervals: Annotated[int, Field(ge=1, le=96)]
    requested_w: Power
    cap_w: PowerOrZero | None = None
    revenue_credits: Annotated[int, Field(ge=1, le=10**9)]
    baseline: Literal["schedule", "previous_interval", "previous_days"] = "schedule"
    members: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None


class GeneratedHomes(Strict):
    """Homes made from one template: every `solar_every`-th has solar, every `battery_every`-th a battery.

    Homes fill new cables of `homes_per_cable` below `parent`. The same seed makes the same homes.
    """

    count: Annotated[int, Field(ge=1, le=100_000)]
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    parent: Name
    homes_per_cable: Annotated[int, Field(ge=1, le=1_000)] = 25
    cable_import_cap_w: Power = 80_000.0
    cable_export_cap_w: Power = 80_000.0
    connection_capacity_w: Power = 17_250.0
    deposit_credits: Annotated[int, Field(ge=0, le=10**9)] = 250
    load_profiles: Annotated[tuple[ProfileName, ...], Field(min_length=1)]
    yearly_kwh_min: Annotated[float, Field(gt=0, le=1e8)]
    yearly_kwh_max: Annotated[float, Field(gt=0, le=1e8)]
    solar_every: Count = 2
    solar_profiles: Annotated[tuple[ProfileName, ...], Field(min_length=1)]
    solar_peak_min_w: Power
    solar_peak_max_w: Power
    battery_every: Count = 4
    battery_capacity_wh: Power = 10_000.0
    battery_p_max_w: Power = 5_000.0
    strategy: Strategy = Strategy()

    @model_validator(mode="after")
    def _has_ordered_ranges(self) -> Self:
        for low, high in (("yearly_kwh_min", "yearly_kwh_max"), ("solar_peak_min_w", "solar_peak_max_w")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"expected {low} <= {high}")
        return self


class ProfileFile(Strict):
    """A column of a CSV file whose header does not say what it is: name, columns and unit, said here."""

    name: ProfileName
    file: Annotated[str, Field(pattern=r"^[^/\\]+\.csv(\.gz)?$")]
    time_column: str
    value_column: str
    unit: Literal["W", "kW", "Wh", "kWh", "pu"]


class ProfileSources(Strict):
    """Where profiles beyond the shipped ones come from.

    `folder` may begin with an environment variable (`$SYMGRID_DATA/homes`). Gaps of at most
    `fill_gaps_up_to_s` are interpolated and reported; longer ones are refused.
    """

    folder: Annotated[str, Field(min_length=1)]
    files: Annotated[tuple[ProfileFile, ...], Field(min_length=1)]
    fill_gaps_up_to_s: Annotated[int, Field(ge=0, le=86_400)] = 0


class Study(Strict):
    """What a study may switch off for speed: signatures, or the chain (and so signatures too)."""

    signing: bool = True
    chain: bool = True


class Scenario(Strict):
    """A whole scenario; see docs/SCENARIO.md. Quantities carry their unit in the field's name.

    Load and sun change every `load_step_s` inside an interval; without it they are constant there.
    """

    name: Name
    description: Annotated[str, Field(max_length=2_000)] = ""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    time_zone: str
    start_date: date
    days: Annotated[int, Field(ge=1, le=366)] = 1
    interval_s: Literal[300, 600, 900, 1800, 3600] = 900
    load_step_s: Annotated[int, Field(ge=10, le=1_800)] | None = None
    market: MarketTerms
    chain: ChainTerms = ChainTerms()
    tariff: Tariff
    network: Annotated[tuple[Node, ...], Field(min_length=1)]
    voltage: Voltage | None = None
    participants: tuple[Participant, ...] = ()
    generated_homes: GeneratedHomes | None = None
    events: tuple[FlexibilityEvent, ...] = ()
    frequency: Frequency | None = None
    failures: tuple[Failure, ...] = ()
    faults: tuple[Fault, ...] = ()
    ties: Ties | None = None
    ride_through: RideThroughTerms | None = None
    microgrids: tuple[Microgrid, ...] = ()
    profiles: ProfileSources | None = None
    study: Study = Study()

    @field_validator("time_zone")
    @classmethod
    def _is_known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError("expected an IANA time zone such as Europe/Berlin") from error
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The community's time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def grid(self) -> IntervalGrid:
        """The numbering of delivery intervals."""
        return IntervalGrid(self.interval_s)

    def local_date(self, day: int) -> date:
        """Return the local date of the scenario's n-th day, counted from 0."""
        return self.start_date + timedelta(days=day)

    def delivery_intervals(self) -> range:
        """Return all delivery intervals of the scenario's days."""
        first = self.grid.of_local_day(self.start_date, self.zone)
        last = self.grid.of_local_day(self.local_date(self.days - 1), self.zone)
        return range(first.start, last.stop)

    def capacity_milli_wh(self, participant: Participant) -> int:
        """Return what a participant's connection can carry in one interval, mWh."""
        return int(participant.connection_capacity_w * self.interval_s * MILLI_WH_PER_WH) // 3_600
