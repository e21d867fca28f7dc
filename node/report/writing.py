"""Write a run's report: one HTML file with the figures, and everything behind it as CSV and JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import Connection

from node.report import (
    books,
    borrowed,
    control,
    export,
    frequency,
    html,
    islands,
    market_cost,
    plots,
    queries,
    racks,
    reasons,
    terminal,
    voltage,
    voltage_plots,
    wear,
    wishes,
    zones,
)
from node.report.definitions import DEFINITIONS
from node.report.plots import Figure
from node.report.summary import Summary, credits, kwh
from node.scenario import Scenario

# Heads and rows of text.
Table = tuple[Sequence[str], Sequence[Sequence[str]]]
# Pictures that not every scenario has anything to draw in, and why they are then left out.
LEFT_OUT = {
    "storage": ("State of charge", "nothing here stores energy"),
    "merit-order": ("Bids and offers of a round", "nothing was traded"),
}


def figures(connection: Connection, scenario: Scenario, span: range) -> dict[str, Figure]:
    """Return all figures of a span by element id."""
    grid = scenario.grid
    metered, _ = queries.net_exports(connection, span)
    net_wh = metered.sum(axis=0) / 1_000.0
    tariff = queries.tariff_series(connection, span)
    by_kind = queries.energy_by_kind(connection, span)
    imported_wh, exported_wh = float(-net_wh[net_wh < 0].sum()), float(net_wh[net_wh > 0].sum())
    result = {
        "energy": plots.energy_flows(
            by_kind, imported_wh, exported_wh, voltage.network_loss_wh(connection, span)
        ),
        "prices": plots.prices(grid, queries.price_series(connection, span), tariff),
    }
    stored = queries.storage_series(connection, span)
    if stored:
        result["storage"] = plots.storage(grid, stored)
    result |= control.pictures(connection, grid, span)
    chosen = books.telling_round(connection, span)
    if chosen is not None:
        book = books.merit_order(connection, *chosen)
        if book is not None:
            result["merit-order"] = plots.merit_order(grid, book)
    by_zone = zones.price_figure(connection, grid, span)
    if by_zone is not None:
        result["zones"] = by_zone
    result["network"] = plots.network(grid, queries.loading(connection, span))
    result |= voltage_plots.figures(connection, scenario, span)
    result |= islands.figures_of(connection, scenario, span)
    return result | frequency.pictures(connection, scenario)


def bills_figure(summary: Summary) -> Figure:
    """Return the figure of all bills."""
    return plots.bills(
        [bill.name for bill in summary.bills],
        [credits(bill.market_pico) for bill in summary.bills],
        [credits(bill.supplier_only_pico) for bill in summary.bills],
    )


def write(connection: Connection, scenario: Scenario, summary: Summary, folder: Path) -> Path:
    """Write `report.html`, `kpis.json` and `tables/*.csv`; return the report's path.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full.
    """
    export.write_tables(connection, folder / "tables")
    export.write_json(
        folder / "kpis.json", summary.as_json() | {"seed": scenario.seed, "scenario": scenario.name}
    )
    cost, cost_tables = market_cost.shown(folder)
    drawn = figures(connection, scenario, summary.span) | {"bills": bills_figure(summary)} | cost
    first = scenario.grid.start(summary.span.start).astimezone(scenario.zone)
    last = scenario.grid.start(summary.span.stop).astimezone(scenario.zone)
    page = html.render(
        f"Symbiotic Grid: {scenario.name}",
        f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}, {scenario.time_zone}, seed {scenario.seed}. "
        f"{kwh(summary.traded_milli_wh):,.1f} kWh traded.",
        drawn,
        _tables(connection, scenario, summary) | cost_tables | left_out(drawn),
        dict(DEFINITIONS) | (dict(frequency.DEFINITIONS) if summary.frequency else {}),
    )
    path = folder / "report.html"
    html.write(path, page)
    return path


def left_out(drawn: Mapping[str, Figure]) -> dict[str, Table]:
    """Return the table of pictures that are not drawn and why, by caption; none if all are."""
    rows = [words for name, words in LEFT_OUT.items() if name not in drawn]
    return {"Pictures left out": (("picture", "why"), rows)} if rows else {}


def _tables(connection: Connection, scenario: Scenario, summary: Summary) -> dict[str, Table]:
    """Return the report's tables by caption."""
    found: dict[str, Table] = {
        "Figures": (("figure", "value"), terminal.figures(summary)),
        "Bills, credits (negative: income)": (
            terminal.BILL_HEADS,
            [terminal.bill_row(bill) for bill in summary.bills],
        ),
    }
    found |= borrowed.tables(connection, summary.span, scenario.load_step_s or scenario.interval_s)
    found |= racks.tables(connection, summary.span, scenario.zone)
    found |= reasons.tables(connection, summary.span)
    found |= wear.tables(connection)
    found |= zones.tables(summary.zones)
    found |= wishes.tables(summary.wishes)
    found |= islands.tables(summary.islands, scenario)
    if summary.voltage is not None:
        found |= voltage.tables(summary.voltage, scenario)
    return found | frequency.tables(summary.frequency, scenario.interval_s)
