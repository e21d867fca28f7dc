"""The summary on the terminal: what a stranger sees when the day is over."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from node.report import control, frequency, generators, islands, outcome, racks, timeslots, voltage, zones
from node.report.operations import Operations
from node.report.summary import Bill, Summary, cents, credits, kwh


def show(console: Console, summary: Summary, title: str, *, most_bills: int = 30) -> None:
    """Print the summary of a run."""
    console.print()
    console.rule(f"[bold]{title}")
    console.print(_energy(summary))
    console.print(_figures(summary))
    if summary.voltage is not None and summary.voltage.customers:
        console.print(_customers(summary.voltage, most_bills))
    console.print(_bills(summary.bills[:most_bills]))
    if len(summary.bills) > most_bills:
        console.print(
            f"... and {len(summary.bills) - most_bills} more: see the report and bills in kpis.json"
        )


def _energy(summary: Summary) -> Table:
    table = Table(title="Energy, kWh", title_justify="left", box=None, padding=(0, 2))
    for head in ("from", "", "to", ""):
        table.add_column(head, justify="right" if not head else "left")
    sources = sorted(summary.energy.sources_wh.items(), key=lambda item: -item[1])
    sinks = sorted(summary.energy.sinks_wh.items(), key=lambda item: -item[1])
    for i in range(max(len(sources), len(sinks))):
        left = (sources[i][0], f"{sources[i][1] / 1e3:,.2f}") if i < len(sources) else ("", "")
        right = (sinks[i][0], f"{sinks[i][1] / 1e3:,.2f}") if i < len(sinks) else ("", "")
        table.add_row(*left, *right)
    total = sum(summary.energy.sources_wh.values())
    table.add_section()
    table.add_row(
        "sum",
        f"{total / 1e3:,.2f}",
        "gap",
        f"{summary.energy.gap_wh / 1e3:.5f} ({_percent(summary.energy.gap_share)})",
    )
    return table


def _figures(summary: Summary) -> Table:
    table = Table(title="Figures", title_justify="left", box=None, padding=(0, 2), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, text in figures(summary):
        table.add_row(name, text)
    return table


def figures(summary: Summary) -> list[tuple[str, str]]:
    """Return the figures as name and text, for terminal and report alike."""
    peaks = summary.peaks
    prices = summary.prices
    span = (
        "no price"
        if prices is None
        else f"{cents(prices.low_micro_per_kwh):.2f} to {cents(prices.high_micro_per_kwh):.2f}, "
        f"on average {cents(prices.mean_micro_per_kwh):.2f} ct/kWh"
    )
    rows = [
        ("traded", f"{kwh(summary.traded_milli_wh):,.2f} kWh in {summary.n_trades:,} trades at {span}"),
        ("orders, fills", f"{summary.n_orders:,} orders, {summary.n_fills:,} fills"),
        *timeslots.lines(summary.timeslots),
        ("traded share of withdrawals", _percent(summary.traded_volume_ratio)),
        ("imbalance share", _percent(summary.imbalance_share)),
        ("self-sufficiency", _percent(summary.own_use.self_sufficiency)),
        ("self-consumption", _percent(summary.own_use.self_consumption)),
        ("autarky", _percent(summary.autarky)),
        ("peak import", _peak(peaks.import_w, peaks.import_change)),
        ("peak export", _peak(peaks.export_w, peaks.export_change)),
        ("CO2 of imports", f"{summary.co2_kg:,.1f} kg (reference {summary.reference_co2_kg:,.1f} kg)"),
        ("savings", _savings(summary)),
        ("Jain index of savings", _number(summary.jain_of_savings)),
        ("curtailed", _energies(summary.curtailed_wh)),
        ("unserved", _energies(summary.unserved_wh)),
    ]
    if summary.voltage is not None:
        rows += voltage.rows_for_people(summary.voltage)
    rows += outcome.figures(summary.outcome)
    rows += zones.figures(summary.zones)
    if summary.wishes:
        met, bought = (
            sum(getattr(w, n) for w in summary.wishes) for n in ("met_milli_wh", "bought_milli_wh")
        )
        rows.append(("wishes met", f"{kwh(met):,.2f} of {kwh(bought):,.2f} kWh wished for"))
    rows += _operations(summary.operations) + racks.lines(summary.racks)
    rows += control.lines(summary.control, summary.virtual_battery)
    rows += generators.lines(summary.generators)
    rows += islands.rows_for_people(summary.islands)
    rows += [("silent meter", meter.in_words()) for meter in summary.silent_meters]
    if summary.void_fills is not None:
        rows.append(("void", summary.void_fills.in_words()))
    services = {service.name for service in summary.frequency}
    rows += [_event(event) for event in summary.flexibility if event["name"] not in services]
    rows += frequency.lines(summary.frequency)
    if summary.chain is not None:
        chain = summary.chain
        gas = (
            ""
            if chain.gas_per_fill is None
            else f", {chain.gas_per_fill:,.0f} gas per fill (readings included)"
        )
        others = f"; {chain.carried_in:,} transactions were carried in by others" if chain.carried_in else ""
        rows += [
            (
                "settled",
                f"{chain.fills:,} fills and {chain.readings:,} readings in {chain.chunks:,} chunks{gas}{others}",
            ),
            ("chain height", f"{chain.height:,}"),
            (
                "store and chain agree",
                "yes" if summary.differences == 0 else f"NO, {summary.differences} differences",
            ),
        ]
    return rows


def _operations(facts: Operations) -> list[tuple[str, str]]:
    """Return what devices and controller had to cope with; only what happened gets a line."""
    found = ", ".join(f"{name}: {cause}" for name, cause in facts.alerts)
    rows = [("health alerts", f"{found} (taken out)" if found else "none")]
    if facts.takeovers:
        rows.append(("controller takeovers", f"{facts.takeovers}"))
    if facts.islands:
        rows.append(("supplies lost", f"{facts.islands}"))
    if facts.lent_wh:
        rows.append(("lent between owners", _shares(facts.lent_wh)))
        rows.append(("borrowed", _shares(facts.borrowed_wh)))
    return rows


def _shares(by_name: Mapping[str, float]) -> str:
    total = sum(by_name.values()) / 1e3
    parts = ", ".join(f"{name} {value / 1e3:,.2f}" for name, value in by_name.items() if value >= 5.0)
    return f"{total:,.2f} kWh ({parts})"


def _event(event: Mapping[str, Any]) -> tuple[str, str]:
    return (
        f"grid event {event['name']}",
        f"{kwh(event['delivered_milli_wh']):,.2f} kWh delivered, {event['requested_w'] / 1e3:,.1f} kW asked for; "
        f"{credits(event['paid_pico']):,.2f} of {credits(event['revenue_pico']):,.2f} credits paid to "
        f"{event['members']} members ({event['state']})",
    )


def _savings(summary: Summary) -> str:
    total = sum(bill.saving_pico for bill in summary.bills)
    stored_kwh = sum(bill.stored_more_wh for bill in summary.bills) / 1e3
    unserved_kwh = sum(summary.unserved_wh.values()) / 1e3
    # who got nothing paid nothing: the reference, which always has its supplier, was served
    missed = f", {unserved_kwh:,.1f} kWh less served than in the reference" if unserved_kwh >= 0.05 else ""
    return (
        f"{credits(total):+,.2f} credits, with {stored_kwh:+,.1f} kWh in storages at the end{missed}; "
        f"{_percent(summary.share_not_worse_off)} of members not worse off"
    )


def _customers(figures: voltage.VoltageFigures, most: int) -> Table:
    table = Table(
        title="Voltage optimisation by customer", title_justify="left", caption=voltage.WHY_PAID_LESS,
        caption_justify="left", box=None, padding=(0, 1),
    )  # fmt: skip
    table.add_column("customer", no_wrap=True)
    for head in ("lowest\npu", "highest\npu", "meter shows\nless, kWh", "saved,\ncredits"):
        table.add_column(head, justify="right", no_wrap=True)
    for customer in figures.customers[:most]:
        table.add_row(*voltage.customer_row(customer))
    table.add_section()
    table.add_row(
        "all",
        "",
        "",
        f"{kwh(sum(c.energy_milli_wh for c in figures.customers)):+,.3f}",
        f"{credits(sum(c.saved_pico for c in figures.customers)):+,.4f}",
    )
    return table


def _bills(bills: tuple[Bill, ...]) -> Table:
    table = Table(title="Bills, credits (negative: income)", title_justify="left", box=None, padding=(0, 1))
    table.add_column("participant", no_wrap=True)
    for head in (
        "sold\nkWh",
        "bought\nkWh",
        "supplier\nonly",
        "with the\nmarket",
        "saving",
        "stored\nmore kWh",
    ):
        table.add_column(head, justify="right", no_wrap=True)
    for bill in bills:
        name, _kind, *figures = bill_row(bill)
        table.add_row(name, *figures)
    table.add_section()
    table.add_row(
        "all",
        f"{kwh(sum(b.sold_milli_wh for b in bills)):,.2f}",
        f"{kwh(sum(b.bought_milli_wh for b in bills)):,.2f}",
        f"{credits(sum(b.supplier_only_pico for b in bills)):,.3f}",
        f"{credits(sum(b.market_pico for b in bills)):,.3f}",
        f"{credits(sum(b.saving_pico for b in bills)):+,.3f}",
        f"{sum(b.stored_more_wh for b in bills) / 1e3:+,.2f}",
    )
    return table


def bill_row(bill: Bill) -> tuple[str, ...]:
    """Return a bill as text: name, kind, sold, bought, supplier only, market, saving, stored more."""
    return (
        bill.name,
        bill.kind,
        f"{kwh(bill.sold_milli_wh):,.2f}",
        f"{kwh(bill.bought_milli_wh):,.2f}",
        f"{credits(bill.supplier_only_pico):,.3f}",
        f"{credits(bill.market_pico):,.3f}",
        f"{credits(bill.saving_pico):+,.3f}",
        f"{bill.stored_more_wh / 1e3:+,.2f}",
    )


BILL_HEADS = (
    "participant",
    "kind",
    "sold, kWh",
    "bought, kWh",
    "supplier only",
    "market",
    "saving",
    "stored more, kWh",
)


def _energies(by_name: object) -> str:
    assert isinstance(by_name, dict)
    some = {name: value for name, value in by_name.items() if value > 0.5}
    return ", ".join(f"{name} {value / 1e3:,.2f} kWh" for name, value in some.items()) or "nothing"


def _peak(power_w: float, change: float | None) -> str:
    against = "" if change is None else f" ({change:+.1%} against the reference)"
    return f"{power_w / 1e3:,.2f} kW{against}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
