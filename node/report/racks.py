"""Tied racks in the report: overloads foreseen, power moved before them with its reason, loans given back, islands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, func, select

from node.store.tables_devices import incidents
from node.store.tables_market import accounts, participants
from node.store.tables_racks import debts, overloads, transfers

# A report shows the largest; table transfers.csv has all.
MOST_TRANSFERS = 30
TRANSFER_HEADS = ("time", "from", "to", "given Wh", "arrived Wh", "loss", "why")
INCIDENT_HEADS = ("time", "what happened")
_INCIDENTS = {
    "takeover": "standby controller took over with fencing number {}",
    "supply_failed": "supply of {} failed",
    "supply_back": "supply of {} is back",
    "ride_through": "{}",
    "generator_on": "generator of {} carries load",
    "generator_dry": "generator of {} ran dry, storages carry on",
    "shutdown_begun": "orderly shutdown of {} begins",
    "shutdown_done": "{} is shut down in order",
}

DEFINITIONS = {
    "Rack overloads": "Load steps in which a rack drew more than its feed carries; predicted: the forecast's upper "
    "edge had passed what the feed carries before the step; false alarms: it had, and the load did not.",
    "Moved over ties": "Energy that donors gave at their terminals for overloads; the loss is what both ports' stages "
    "and the cables took.",
    "Ties' loans": "What transfers took out of the lenders' storages, converters included, and what borrowers put back "
    "from their own feeds; the borrower pays for all losses on both ways.",
}


@dataclass(frozen=True, slots=True)
class RackFigures:
    """What ties did in a span; all zero where nothing is tied.

    Parameters
    ----------
    overloaded, foreseen : steps in which a rack drew more than its feed carries, and how many of them were predicted
    false_alarms : steps that were predicted to be and were not
    longest_notice_s : the earliest prediction that came true, before its step
    moved_wh, arrived_wh : given for predicted or measured overloads, at both terminals
    lent_wh, returned_wh, owed_wh : of loans, in the lenders' storages; owed at the end
    by_donor_wh : what each donor gave
    """

    overloaded: int
    foreseen: int
    false_alarms: int
    longest_notice_s: float
    moved_wh: float
    arrived_wh: float
    lent_wh: float
    returned_wh: float
    owed_wh: float
    by_donor_wh: dict[str, float]


def rack_figures(connection: Connection, span: range) -> RackFigures:
    """Return the figures of a span."""
    seen = connection.execute(_in(overloads, span)).all()
    real = [row for row in seen if row.load_w > row.limit_w]
    foreseen = [row for row in real if row.first_s is not None]
    name = names(connection)
    by_donor: dict[str, float] = {}
    moved = arrived = 0.0
    for row in connection.execute(_in(transfers, span).where(transfers.c.kind == "help")):
        moved, arrived = moved + row.given_wh, arrived + row.arrived_wh
        by_donor[name[row.source]] = by_donor.get(name[row.source], 0.0) + row.given_wh
    lent, returned = connection.execute(
        select(func.sum(debts.c.lent_wh), func.sum(debts.c.returned_wh)).where(*_within(debts, span))
    ).one()
    return RackFigures(
        overloaded=len(real),
        foreseen=len(foreseen),
        false_alarms=len(seen) - len(real),
        longest_notice_s=max((row.at_s - row.first_s for row in foreseen), default=0.0),
        moved_wh=moved,
        arrived_wh=arrived,
        lent_wh=float(lent or 0.0),
        returned_wh=float(returned or 0.0),
        owed_wh=float(lent or 0.0) - float(returned or 0.0),
        by_donor_wh=dict(sorted(by_donor.items(), key=lambda item: -item[1])),
    )


def lines(facts: RackFigures) -> list[tuple[str, str]]:
    """Return the figures as name and text; only what happened gets a line."""
    rows = []
    if facts.overloaded or facts.false_alarms:
        rows.append(
            (
                "rack overloads",
                f"{facts.foreseen} of {facts.overloaded} predicted, up to {facts.longest_notice_s / 60:.0f} min "
                f"before; {facts.false_alarms} false alarms",
            )
        )
    if facts.moved_wh > 0:
        donors = ", ".join(f"{name} {wh / 1e3:,.2f}" for name, wh in facts.by_donor_wh.items())
        rows.append(
            (
                "moved over ties",
                f"{facts.moved_wh / 1e3:,.2f} kWh ({donors}), loss {1 - facts.arrived_wh / facts.moved_wh:.1%}",
            )
        )
        rows.append(
            (
                "ties' loans",
                f"{facts.lent_wh / 1e3:,.2f} kWh lent from storages, {facts.returned_wh / 1e3:,.2f} kWh given back, "
                f"{facts.owed_wh / 1e3:,.2f} kWh owed",
            )
        )
    return rows


def transfer_rows(connection: Connection, span: range, zone: ZoneInfo) -> list[tuple[str, ...]]:
    """Return one row a transfer for people, see `TRANSFER_HEADS`."""
    name = names(connection)
    query = _in(transfers, span).order_by(transfers.c.start_s, transfers.c.interval, transfers.c.number)
    limit = {row.account: row.limit_w for row in connection.execute(_in(overloads, span))}
    return [
        (
            f"{clock(row.start_s, zone)}-{clock(row.end_s, zone)}",
            name[row.source],
            name[row.target],
            f"{row.given_wh:,.1f}",
            f"{row.arrived_wh:,.1f}",
            f"{1 - row.arrived_wh / row.given_wh:.1%}",
            why(row, name, limit.get(row.target), zone),
        )
        for row in connection.execute(query)
    ]


def why(row: Row[Any], name: dict[int, str], limit_w: float | None, zone: ZoneInfo) -> str:
    """Return the reason of a transfer as a sentence."""
    if row.kind == "give_back":
        return f"{name[row.source]} gives back what it borrowed from {name[row.target]}"
    known = "predicted for" if row.for_s > row.start_s else "measured at"
    over = "" if limit_w is None else f" of {max(row.expected_w - limit_w, 0.0):,.0f} W"
    return (
        f"{name[row.target]}: overload{over} {known} {clock(row.for_s, zone)}, moved from {name[row.source]}"
    )


def incident_rows(connection: Connection, span: range, zone: ZoneInfo) -> list[tuple[str, str]]:
    """Return one row an incident for people, see `INCIDENT_HEADS`."""
    query = _in(incidents, span).order_by(incidents.c.interval, incidents.c.number)
    return [
        (clock(row.at_s, zone, "%Y-%m-%d %H:%M:%S"), _sentence(row.kind, row.subject))
        for row in connection.execute(query)
    ]


def _sentence(kind: str, subject: str) -> str:
    known = _INCIDENTS.get(kind)
    return f"{kind.replace('_', ' ')}: {subject}" if known is None else known.format(subject)


def tables(
    connection: Connection, span: range, zone: ZoneInfo
) -> dict[str, tuple[Sequence[str], Sequence[Sequence[str]]]]:
    """Return the report's tables by caption; none where nothing happened."""
    found: dict[str, tuple[Sequence[str], Sequence[Sequence[str]]]] = {}
    moved = transfer_rows(connection, span, zone)
    for caption, heads, rows in (
        ("Supply and control", INCIDENT_HEADS, incident_rows(connection, span, zone)),
        (_transfers_caption(len(moved)), TRANSFER_HEADS, _largest(moved)),
    ):
        if rows:
            found[caption] = heads, rows
    return found


def _transfers_caption(count: int) -> str:
    rest = f" (the {MOST_TRANSFERS} largest of {count}; all in tables/transfers.csv)"
    return "Power moved over ties" + (rest if count > MOST_TRANSFERS else "")


def _largest(moved: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the rows that moved most, in order of time."""
    given = [float(row[3].replace(",", "")) for row in moved]
    kept = sorted(sorted(range(len(moved)), key=lambda k: -given[k])[:MOST_TRANSFERS])
    return [moved[k] for k in kept]


def clock(unix_s: float, zone: ZoneInfo, form: str = "%H:%M") -> str:
    """Return a moment as local wall-clock time."""
    return datetime.fromtimestamp(unix_s, UTC).astimezone(zone).strftime(form)


def names(connection: Connection) -> dict[int, str]:
    """Return the participants' names by account."""
    found = connection.execute(
        select(accounts.c.account, participants.c.name).join(
            participants, participants.c.id == accounts.c.participant_id
        )
    )
    return {row.account: row.name for row in found}


def _in(table: Any, span: range) -> Any:
    return select(table).where(*_within(table, span))


def _within(table: Any, span: range) -> tuple[Any, Any]:
    return table.c.interval >= span.start, table.c.interval < span.stop
