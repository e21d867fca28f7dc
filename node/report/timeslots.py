"""Timeslots in the report: how many of which length, and how long before their gate they were announced."""

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection, select

from node.store.tables_timeslots import timeslots

DEFINITIONS = {
    "Timeslots": "What is traded at once: a run of 1 to 4 intervals, longer where the expected price and demand are "
    "calm; announced before any gate of it closes.",
}


@dataclass(frozen=True, slots=True)
class TimeslotFigures:
    """Timeslots that begin in a span, by minutes; empty where intervals are traded one by one."""

    by_minutes: dict[int, int]
    least_notice_s: int


def timeslot_figures(connection: Connection, span: range, interval_s: int) -> TimeslotFigures:
    """Return the figures of a span."""
    found = connection.execute(
        select(timeslots).where(timeslots.c.first >= span.start, timeslots.c.first < span.stop)
    ).all()
    lengths = Counter((row.last - row.first + 1) * interval_s // 60 for row in found)
    return TimeslotFigures(
        dict(sorted(lengths.items())), min((row.gate_s - row.announced_at_s for row in found), default=0)
    )


def lines(facts: TimeslotFigures) -> list[tuple[str, str]]:
    """Return the figures as name and text; none where intervals are traded one by one."""
    if not facts.by_minutes:
        return []
    parts = ", ".join(f"{n} of {minutes} min" for minutes, n in facts.by_minutes.items())
    return [("timeslots", f"{parts}; announced {facts.least_notice_s / 60:.0f} min before the gate at least")]
