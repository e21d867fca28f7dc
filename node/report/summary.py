"""The figures of a run: one computation serves the terminal, the report, the API and the tests."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from market.kpis_energy import EnergyBook, OwnUse, Peaks, autarky, emissions_g, peaks
from market.kpis_fairness import gini, jain
from market.kpis_money import (
    PriceRange,
    imbalance_share,
    market_bills_pico,
    savings_pico,
    share_not_worse_off,
    supplier_only_bills_pico,
    traded_volume_ratio,
)
from market.levies import LevyRule, levies_pico
from market.units import MICRO_PER_CREDIT, MILLI_WH_PER_KWH, PICO_PER_CREDIT
from node.report import energy, queries
from node.report.control import (
    ControlFigures,
    VirtualBatteryFigures,
    control_figures,
    virtual_battery_figures,
)
from node.report.frequency import ServiceFigures, service_figures
from node.report.generators import Generated, generated
from node.report.islands import IslandDay, island_days
from node.report.operations import Operations, operations
from node.report.outcome import Outcome, outcome
from node.report.racks import RackFigures, rack_figures
from node.report.silent_meters import SilentMeter, silent_meters
from node.report.timeslots import TimeslotFigures, timeslot_figures
from node.report.void_fills import VoidFills, void_fills
from node.report.voltage import VoltageFigures, voltage_figures
from node.report.wishes import WishMet, wishes_met
from node.report.zones import ZoneDay, zone_days
from node.scenario import Scenario
from node.store.tables_chain import blocks, carriers, outbox
from node.store.tables_market import chunks, fills, flex_events, flex_members, orders, trades
from node.world.supplier import Supplier


@dataclass(frozen=True, slots=True)
class Bill:
    """One participant's bill in the market and with its supplier alone, pico-credit; below zero is income.

    Both contain the levies due on metered import. `saving_pico = supplier_only_pico - market_pico`, signed.
    `stored_more_wh` is what its storages hold at the end beyond the reference's: energy paid for, not yet used.
    """

    account: int
    name: str
    kind: str
    sold_milli_wh: int
    bought_milli_wh: int
    market_pico: int
    supplier_only_pico: int
    flexibility_pico: int
    stored_more_wh: float

    @property
    def saving_pico(self) -> int:
        """What the market saved, with its sign."""
        return self.supplier_only_pico - self.market_pico


@dataclass(frozen=True, slots=True)
class ChainFigures:
    """What settlement cost; None where a study ran without a chain."""

    height: int
    chunks: int
    fills: int
    readings: int
    chunk_gas: int
    carried_in: int  # transactions of ours that somebody else's had done already

    @property
    def gas_per_fill(self) -> float | None:
        """Gas of all chunks, readings included, per fill."""
        return self.chunk_gas / self.fills if self.fills else None


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures of a span of intervals."""

    span: range
    energy: EnergyBook
    own_use: OwnUse
    autarky: float | None
    peaks: Peaks
    co2_kg: float
    reference_co2_kg: float
    traded_milli_wh: int
    n_orders: int
    n_fills: int
    n_trades: int
    prices: PriceRange | None
    traded_volume_ratio: float | None
    imbalance_share: float | None
    curtailed_wh: Mapping[str, float]
    unserved_wh: Mapping[str, float]
    bills: tuple[Bill, ...]
    jain_of_savings: float | None
    gini_of_bills: float | None
    share_not_worse_off: float | None
    flexibility: tuple[Mapping[str, Any], ...]
    operations: Operations
    silent_meters: tuple[SilentMeter, ...]
    void_fills: VoidFills | None
    racks: RackFigures
    timeslots: TimeslotFigures
    generators: tuple[Generated, ...]
    control: ControlFigures
    virtual_battery: VirtualBatteryFigures | None
    outcome: Outcome
    frequency: tuple[ServiceFigures, ...]
    wishes: tuple[WishMet, ...]
    zones: tuple[ZoneDay, ...]
    chain: ChainFigures | None
    differences: int
    voltage: VoltageFigures | None = None
    islands: tuple[IslandDay, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON; integers stay integers."""
        content = {
            "first_interval": self.span.start,
            "last_interval": self.span.stop - 1,
            "energy": {
                "sources_wh": dict(self.energy.sources_wh),
                "sinks_wh": dict(self.energy.sinks_wh),
                "gap_wh": self.energy.gap_wh,
                "gap_share": self.energy.gap_share,
            },
            "self_sufficiency": self.own_use.self_sufficiency,
            "self_consumption": self.own_use.self_consumption,
            "autarky": self.autarky,
            "peaks": asdict(self.peaks),
            "bills": [asdict(bill) | {"saving_pico": bill.saving_pico} for bill in self.bills],
            "flexibility": [dict(event) for event in self.flexibility],
            "operations": asdict(self.operations),
            "silent_meters": [asdict(meter) for meter in self.silent_meters],
            "void_fills": None if self.void_fills is None else asdict(self.void_fills),
            "prices": None if self.prices is None else asdict(self.prices),
            "racks": asdict(self.racks),
            "timeslots": asdict(self.timeslots),
            "generators": [asdict(one) for one in self.generators],
            "control": asdict(self.control),
            "virtual_battery": None if self.virtual_battery is None else asdict(self.virtual_battery),
            "outcome": asdict(self.outcome),
            "frequency": [asdict(service) for service in self.frequency],
            "wishes": [asdict(wish) for wish in self.wishes],
            "zones": [asdict(zone) for zone in self.zones],
            "chain": None
            if self.chain is None
            else asdict(self.chain) | {"gas_per_fill": self.chain.gas_per_fill},
        }
        plain = (
            "co2_kg",
            "reference_co2_kg",
            "traded_milli_wh",
            "n_orders",
            "n_fills",
            "n_trades",
            "traded_volume_ratio",
            "imbalance_share",
            "jain_of_savings",
            "gini_of_bills",
            "share_not_worse_off",
            "differences",
        )
        content |= {name: getattr(self, name) for name in plain}
        content["curtailed_wh"] = dict(self.curtailed_wh)
        content["unserved_wh"] = dict(self.unserved_wh)
        if self.islands:
            content["islands"] = [day.as_json() for day in self.islands]
        if self.voltage is not None:
            content["voltage"] = self.voltage.as_json()
        return content


def summarise(connection: Connection, scenario: Scenario, differences: int = 0) -> Summary:
    """Compute all figures of what has been delivered so far.

    Parameters
    ----------
    differences : int
        How many accounts the last reconciliation found to differ.

    Raises
    ------
    ValueError
        If nothing has been delivered yet.
    """
    span = queries.delivered_span(connection)
    if not span:
        raise ValueError("nothing has been delivered yet: there is nothing to summarise")
    metered, reference = queries.net_exports(connection, span)
    imported_wh, exported_wh = energy.border_wh(metered)
    reference_in_wh, reference_out_wh = energy.border_wh(reference)
    by_kind = queries.energy_by_interval(connection, span)
    voltage = voltage_figures(connection, scenario, span)
    accounts = queries.account_days(connection, span)
    bought = sum(day.bought_milli_wh for day in accounts.values())
    bills = _bills(connection, scenario, span, metered, reference)
    savings = [bill.saving_pico for bill in bills]
    zones_now = zone_days(connection, span)
    result = outcome(connection, span, scenario.market.fee_micro_per_kwh)
    imbalance = queries.imbalance_milli_wh(connection, span)
    in_span = (fills.c.interval >= span.start, fills.c.interval < span.stop)
    trades_in_span = (trades.c.interval >= span.start, trades.c.interval < span.stop)
    market_bills = [max(bill.market_pico, 0) for bill in bills]
    return Summary(
        span=span,
        energy=energy.energy_book(by_kind, imported_wh, exported_wh, voltage),
        own_use=energy.own_use(by_kind),
        autarky=autarky(imported_wh),
        peaks=peaks(imported_wh, exported_wh, reference_in_wh, reference_out_wh, scenario.interval_s),
        co2_kg=emissions_g(imported_wh, scenario.tariff.co2_g_per_kwh) / 1e3,
        reference_co2_kg=emissions_g(reference_in_wh, scenario.tariff.co2_g_per_kwh) / 1e3,
        traded_milli_wh=bought,
        n_orders=_count(connection, orders.c.sequence, orders.c.first < span.stop),
        n_fills=_count(connection, fills.c.sequence, *in_span),
        n_trades=_count(connection, trades.c.number, *trades_in_span),
        prices=result.prices,
        traded_volume_ratio=traded_volume_ratio(bought, int(-metered[metered < 0].sum())),
        imbalance_share=imbalance_share(imbalance, bought),
        curtailed_wh={k: float(v["curtailed_wh"].sum()) for k, v in by_kind.items() if k == "solar"},
        unserved_wh={
            k: float(v["unserved_wh"].sum()) for k, v in by_kind.items() if k.startswith("load") or k == "ev"
        },
        bills=bills,
        jain_of_savings=jain([float(s) for s in savings]),
        gini_of_bills=gini([float(b) for b in market_bills]),
        share_not_worse_off=share_not_worse_off(savings),
        flexibility=_flexibility(connection),
        operations=operations(connection, span),
        silent_meters=silent_meters(connection, span),
        void_fills=void_fills(connection, span),
        racks=rack_figures(connection, span),
        timeslots=timeslot_figures(connection, span, scenario.interval_s),
        generators=generated(connection, span),
        control=control_figures(connection, span),
        virtual_battery=virtual_battery_figures(connection, span),
        outcome=result,
        frequency=service_figures(connection, scenario),
        wishes=wishes_met(connection, scenario, span),
        zones=zones_now,
        chain=_chain(connection),
        differences=differences,
        voltage=voltage,
        islands=island_days(connection, scenario, span),
    )


def _bills(
    connection: Connection,
    scenario: Scenario,
    span: range,
    metered: queries.IntMatrix,
    reference: queries.IntMatrix,
) -> tuple[Bill, ...]:
    # the twin has its supplier always: island prices are no part of its bill
    supplier_only = supplier_only_bills_pico(reference, *Supplier(scenario).prices(span))
    rates = Supplier(scenario).levies(span)
    islands = queries.island_intervals(connection, span)
    paid = flexibility_paid_pico(connection)
    real_wh, reference_wh = queries.stored_at_end_wh(connection, span)
    days = queries.account_days(connection, span)
    bills = []
    for row, member in enumerate(queries.members(connection)):
        day = days[member.account]
        flexibility = paid.get(member.account, 0)
        rule = LevyRule(scenario.participants[row].levies)
        levied = levies_pico(metered[row], rates, rule, islands[row])
        reference_levied = levies_pico(reference[row], rates, rule)
        stored_more = real_wh.get(member.account, 0.0) - reference_wh.get(member.account, 0.0)
        bills.append(
            Bill(
                member.account,
                member.name,
                member.kind,
                day.sold_milli_wh,
                day.bought_milli_wh,
                market_bills_pico([day.received_pico], [flexibility], [-levied])[0],
                supplier_only[row] + reference_levied,
                flexibility,
                stored_more,
            )
        )
    # Checked here because every figure about money hangs on it.
    assert savings_pico([b.supplier_only_pico for b in bills], [b.market_pico for b in bills]) == [
        b.saving_pico for b in bills
    ]
    return tuple(bills)


def flexibility_paid_pico(connection: Connection) -> dict[int, int]:
    """Return what each account received from grid events."""
    paid: dict[int, int] = {}
    for account, amount in connection.execute(
        select(flex_members.c.account, flex_members.c.paid_pico).where(flex_members.c.paid_pico.is_not(None))
    ):
        paid[account] = paid.get(account, 0) + amount
    return paid


def _flexibility(connection: Connection) -> tuple[Mapping[str, Any], ...]:
    result = []
    for event in connection.execute(select(flex_events).order_by(flex_events.c.id)):
        rows = connection.execute(select(flex_members).where(flex_members.c.event_id == event.id)).all()
        result.append(
            {
                "name": event.name,
                "first": event.first,
                "last": event.last,
                "requested_w": event.requested_w,
                "revenue_pico": event.revenue_pico,
                "state": event.state,
                "delivered_milli_wh": sum(row.contribution_milli_wh or 0 for row in rows),
                "paid_pico": sum(row.paid_pico or 0 for row in rows),
                "members": len(rows),
            }
        )
    return tuple(result)


def _chain(connection: Connection) -> ChainFigures | None:
    height = connection.execute(select(func.max(blocks.c.number))).scalar()
    if height is None:
        return None
    n, n_fills, n_readings = connection.execute(
        select(func.count(), func.sum(chunks.c.n_fills), func.sum(chunks.c.n_readings)).select_from(chunks)
    ).one()
    gas = connection.execute(select(func.sum(outbox.c.gas_used)).where(outbox.c.kind == "chunk")).scalar()
    carried_in = _count(connection, carriers.c.outbox_id)
    return ChainFigures(height, n, n_fills or 0, n_readings or 0, gas or 0, carried_in)


def _count(connection: Connection, column: Any, *where: Any) -> int:
    return int(connection.execute(select(func.count(column)).where(*where)).scalar_one())


def credits(amount_pico: int) -> float:
    """Return an amount in credits, for people."""
    return amount_pico / PICO_PER_CREDIT


def kwh(energy_milli_wh: int) -> float:
    """Return an energy in kWh, for people."""
    return energy_milli_wh / MILLI_WH_PER_KWH


def cents(price_micro_per_kwh: float) -> float:
    """Return a price in hundredths of a credit per kWh, for people."""
    return price_micro_per_kwh * 100 / MICRO_PER_CREDIT
