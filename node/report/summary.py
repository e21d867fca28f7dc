"""The figures of a run: one computation serves the terminal, the report, the API and the tests."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from market.kpis_energy import EnergyBook, OwnUse, Peaks, autarky, emissions_g, own_use, peaks
from market.kpis_fairness import gini, jain
from market.kpis_money import (
    imbalance_share,
    savings_pico,
    share_not_worse_off,
    supplier_only_bills_pico,
    traded_volume_ratio,
)
from market.levies import LevyRule, levied_milli_wh
from market.units import MICRO_PER_CREDIT, MILLI_WH_PER_KWH, MILLI_WH_PER_WH, PICO_PER_CREDIT
from node.report import queries
from node.report.frequency import ServiceFigures, service_figures
from node.report.operations import Operations, operations
from node.report.racks import DEFINITIONS as RACK_DEFINITIONS
from node.report.racks import RackFigures, rack_figures
from node.report.voltage import WHY_PAID_LESS, VoltageFigures, voltage_figures
from node.report.wishes import WishMet, wishes_met
from node.report.zones import ZoneDay, zone_days
from node.scenario import Scenario
from node.store.tables_chain import blocks, carriers, outbox
from node.store.tables_market import chunks, fills, flex_events, flex_members, orders, trades
from node.supplier import Supplier

STORAGE_KINDS = ("battery", "bbu", "ev", "flywheel", "kinetic", "pdu_module", "supercapacitor")


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
    price_low_micro_per_kwh: int | None
    price_high_micro_per_kwh: int | None
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
    racks: RackFigures
    frequency: tuple[ServiceFigures, ...]
    wishes: tuple[WishMet, ...]
    zones: tuple[ZoneDay, ...]
    chain: ChainFigures | None
    differences: int
    voltage: VoltageFigures | None = None

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
            "racks": asdict(self.racks),
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
            "price_low_micro_per_kwh",
            "price_high_micro_per_kwh",
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
    imported_wh, exported_wh = _border_wh(metered)
    reference_in_wh, reference_out_wh = _border_wh(reference)
    by_kind = queries.energy_by_interval(connection, span)
    voltage = voltage_figures(connection, scenario, span)
    accounts = queries.account_days(connection, span)
    bought = sum(day.bought_milli_wh for day in accounts.values())
    bills = _bills(connection, scenario, span, metered, reference)
    savings = [bill.saving_pico for bill in bills]
    zones_now = zone_days(connection, span)
    market_prices = [
        price
        for zone in range(max(len(zones_now), 1))
        for series in queries.price_series(connection, span, zone)
        for price in series.price_micro_per_kwh[np.isfinite(series.price_micro_per_kwh)].tolist()
    ]
    imbalance = queries.imbalance_milli_wh(connection, span)
    in_span = (fills.c.interval >= span.start, fills.c.interval < span.stop)
    trades_in_span = (trades.c.interval >= span.start, trades.c.interval < span.stop)
    market_bills = [max(bill.market_pico, 0) for bill in bills]
    return Summary(
        span=span,
        energy=_energy_book(by_kind, imported_wh, exported_wh, voltage),
        own_use=_own_use(by_kind),
        autarky=autarky(imported_wh),
        peaks=peaks(imported_wh, exported_wh, reference_in_wh, reference_out_wh, scenario.interval_s),
        co2_kg=emissions_g(imported_wh, scenario.tariff.co2_g_per_kwh) / 1e3,
        reference_co2_kg=emissions_g(reference_in_wh, scenario.tariff.co2_g_per_kwh) / 1e3,
        traded_milli_wh=bought,
        n_orders=_count(connection, orders.c.sequence, orders.c.first < span.stop),
        n_fills=_count(connection, fills.c.sequence, *in_span),
        n_trades=_count(connection, trades.c.number, *trades_in_span),
        price_low_micro_per_kwh=int(min(market_prices)) if market_prices else None,
        price_high_micro_per_kwh=int(max(market_prices)) if market_prices else None,
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
        racks=rack_figures(connection, span),
        frequency=service_figures(connection, scenario),
        wishes=wishes_met(connection, scenario, span),
        zones=zones_now,
        chain=_chain(connection),
        differences=differences,
        voltage=voltage,
    )


def _border_wh(net_milli_wh: queries.IntMatrix) -> tuple[queries.FloatArray, queries.FloatArray]:
    """Return what the community imports and exports as a whole per interval, Wh."""
    net_wh = net_milli_wh.sum(axis=0) / MILLI_WH_PER_WH
    return np.maximum(-net_wh, 0.0), np.maximum(net_wh, 0.0)


def _energy_book(
    by_kind: dict[str, dict[str, queries.FloatArray]],
    imported_wh: queries.FloatArray,
    exported_wh: queries.FloatArray,
    voltage: VoltageFigures | None,
) -> EnergyBook:
    sources = {"supplier": float(imported_wh.sum())}
    sinks = {"supplier (export)": float(exported_wh.sum())}
    if voltage is not None:
        # Between the meters: nobody's reading, so the network operator's, who has to supply them.
        sources["network operator"] = sinks["network losses"] = voltage.with_it.loss_wh
    losses = 0.0
    for kind, columns in by_kind.items():
        total = {name: float(values.sum()) for name, values in columns.items()}
        losses += total["loss_wh"]
        if kind == "tie":
            continue  # what one port hands over another receives
        if total["source_wh"] > 0:
            sources[kind] = total["source_wh"]
        if total["sink_wh"] > 0:
            sinks["driving" if kind == "ev" else kind] = total["sink_wh"]
        if total["stored_delta_wh"] < 0:
            sources[f"taken from store ({kind})"] = -total["stored_delta_wh"]
        elif total["stored_delta_wh"] > 0:
            sinks[f"stored ({kind})"] = total["stored_delta_wh"]
    sinks["losses"] = losses
    return EnergyBook(sources, sinks)


def _own_use(by_kind: dict[str, dict[str, queries.FloatArray]]) -> OwnUse:
    """Follow own generation through loads and storages, all storages as one."""
    some = next(iter(by_kind.values()))["sink_wh"]
    source, load = np.zeros_like(some), np.zeros_like(some)
    charged, discharged, lost = np.zeros_like(some), np.zeros_like(some), 0.0
    for kind, columns in by_kind.items():
        source = source + columns["source_wh"]
        if kind not in STORAGE_KINDS:
            load = load + columns["sink_wh"]
            continue
        charged = charged + np.maximum(-columns["terminal_wh"], 0.0)
        discharged = discharged + np.maximum(columns["terminal_wh"], 0.0)
        lost += float(columns["loss_wh"].sum())
    moved = float(charged.sum() + discharged.sum())
    efficiency = 1.0 - min(lost / moved, 1.0) if moved else 1.0
    return own_use(source, load, charged, discharged, 0.0, efficiency)


def _bills(
    connection: Connection,
    scenario: Scenario,
    span: range,
    metered: queries.IntMatrix,
    reference: queries.IntMatrix,
) -> tuple[Bill, ...]:
    # the twin has its supplier always: island prices are no part of its bill
    supplier_only = supplier_only_bills_pico(reference, *Supplier(scenario).prices(span))
    levies = scenario.tariff.levies_micro_per_kwh
    islands = queries.island_intervals(connection, span)
    paid = flexibility_paid_pico(connection)
    real_wh, reference_wh = queries.stored_at_end_wh(connection, span)
    days = queries.account_days(connection, span)
    bills = []
    for row, member in enumerate(queries.members(connection)):
        day = days[member.account]
        flexibility = paid.get(member.account, 0)
        rule = LevyRule(scenario.participants[row].levies)
        levied = levied_milli_wh(metered[row], rule, islands[row]) * levies
        reference_levied = levied_milli_wh(reference[row], rule) * levies
        stored_more = real_wh.get(member.account, 0.0) - reference_wh.get(member.account, 0.0)
        bills.append(
            Bill(
                member.account,
                member.name,
                member.kind,
                day.sold_milli_wh,
                day.bought_milli_wh,
                levied - day.received_pico - flexibility,
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


DEFINITIONS: Mapping[str, str] = RACK_DEFINITIONS | {
    "Energy balance": "Everything that entered the community (solar, supplier, taken from store) against "
    "everything that left it or was used (loads, driving, export, stored, losses). gap = sources - sinks.",
    "Self-sufficiency": "(own generation used at once + own generation used later through storage) / load.",
    "Self-consumption": "(own generation used at once + own generation used later through storage) / own "
    "generation. Storage is credited when it discharges to a local load, in the proportion of own energy in it.",
    "Autarky": "Intervals in which the community imported nothing / all intervals.",
    "Peak import, peak export": "Highest mean power of an interval at the community's border, and the change "
    "against the reference without a market.",
    "Supplier-only bill": "What the member would pay if there were no market: same devices, load and sun; "
    "home batteries serve the own household, cars charge on arrival. Import at the supplier's price plus levies, "
    "export at the feed-in price.",
    "Market bill": "Paid minus received for fills (fee included), imbalance and grid events, plus levies on "
    "metered import; connections with nothing but storage owe them on import less what they fed back, where the "
    "scenario says so. Levies are not due on an island.",
    "Saving": "Supplier-only bill minus market bill, with its sign. 'Stored more' is what the member's "
    "storages hold at the end beyond the reference: it is paid for and not counted as a saving.",
    "Jain index of savings": "(sum x)^2 / (n sum x^2) over the signed savings x of all n members: 1 if all "
    "save the same.",
    "Saved by voltage": "Energy that loads drew less, minus what their thermostats still have to catch up at the "
    "end, plus what transformer and lines lost less, against a second run of the same day with the taps at home.",
    "Saved by a customer": WHY_PAID_LESS,
    "Grid fees, congestion rent": "In a network auction buyers pay more than sellers receive where energy crosses "
    "edges: the fee of each edge times the energy, and the rest of the difference of its ends' prices, which only a "
    "full edge has. Both go to the grid account.",
    "Wishes": "What members with a wish bought, and how much of it came from the partner, the group or the source "
    "they prefer. Wishes are honoured where they cost nobody anything: among the energy that meets at the same "
    "node of the network anyway, and without any change to fills or prices.",
    "Imbalance share": "sum |imbalance| / (sum |imbalance| + 2 x bought).",
    "Gas per fill": "Gas of all settlement chunks, readings included, divided by the number of fills.",
}


def credits(amount_pico: int) -> float:
    """Return an amount in credits, for people."""
    return amount_pico / PICO_PER_CREDIT


def kwh(energy_milli_wh: int) -> float:
    """Return an energy in kWh, for people."""
    return energy_milli_wh / MILLI_WH_PER_KWH


def cents(price_micro_per_kwh: int) -> float:
    """Return a price in hundredths of a credit per kWh, for people."""
    return price_micro_per_kwh * 100 / MICRO_PER_CREDIT
