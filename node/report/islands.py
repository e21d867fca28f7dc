"""What happened in parts of the network that were cut off: who led, whom they served, their voltage, their prices."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from devices.specification import Priority
from market.units import MICRO_PER_CREDIT
from node.report import plots
from node.report.plots import BLUE, CENT_PER_CREDIT, GREEN, GREY, ORANGE, TIME_AXIS, VERMILION, Figure, figure
from node.scenario import Scenario
from node.store.tables_chain import blocks, outbox
from node.store.tables_devices import incidents
from node.store.tables_islands import island_intervals, island_samples, island_services
from node.store.tables_market import accounts, chunks, participants, prices, rounds, zones

PHASES = ("forming", "islanded", "synchronising")  # in which devices are under voltage
CLASS_COLOURS = {"critical": VERMILION, "high": ORANGE, "normal": BLUE, "low": GREEN, "deferrable": GREY}


@dataclass(frozen=True, slots=True)
class IslandDay:
    """One microgrid over a span in which it was cut off.

    Parameters
    ----------
    cut_s, dark_s : how long it was cut off, and without voltage
    leaders : names in the order of their terms
    f_low_hz, f_high_hz, v_low_pu, v_high_pu : while it had voltage; None if it never had
    wanted_wh, served_wh : by priority, while it was cut off
    price_low_micro_per_kwh, price_high_micro_per_kwh : of rounds that cleared among its members only
    settled_later, settled_after_s : intervals carried in after reconnection, and the longest delay after an interval
    story : moment (unix s), what, and details
    """

    node: str
    cut_s: float
    dark_s: float
    leaders: tuple[str, ...]
    f_low_hz: float | None
    f_high_hz: float | None
    v_low_pu: float | None
    v_high_pu: float | None
    wanted_wh: Mapping[str, float]
    served_wh: Mapping[str, float]
    rounds_inside: int
    price_low_micro_per_kwh: int | None
    price_high_micro_per_kwh: int | None
    settled_later: int
    settled_after_s: float
    story: tuple[tuple[float, str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def island_days(connection: Connection, scenario: Scenario, span: range) -> tuple[IslandDay, ...]:
    """Return each microgrid that was cut off in the span."""
    where = (island_intervals.c.interval >= span.start, island_intervals.c.interval < span.stop)
    found = connection.execute(
        select(island_intervals.c.node, func.sum(island_intervals.c.cut_s))
        .where(*where)
        .group_by(island_intervals.c.node)
        .order_by(island_intervals.c.node)
    ).all()
    return tuple(_island_day(connection, scenario, span, node, float(cut_s)) for node, cut_s in found)


def _island_day(
    connection: Connection, scenario: Scenario, span: range, node: str, cut_s: float
) -> IslandDay:
    story = _story(connection, span, node)
    names = dict(
        connection.execute(
            select(accounts.c.account, participants.c.name).join(
                participants, participants.c.id == accounts.c.participant_id
            )
        ).all()
    )
    extremes = connection.execute(
        select(
            func.min(island_samples.c.f_min_hz),
            func.max(island_samples.c.f_max_hz),
            func.min(island_samples.c.v_min_pu),
            func.max(island_samples.c.v_max_pu),
        ).where(*_of(island_samples, span, node), island_samples.c.phase.in_(PHASES))
    ).one()
    served = connection.execute(
        select(
            island_services.c.priority,
            func.sum(island_services.c.wanted_wh),
            func.sum(island_services.c.served_wh),
        )
        .where(*_of(island_services, span, node))
        .group_by(island_services.c.priority)
    ).all()
    leaders = connection.execute(
        select(island_intervals.c.term, island_intervals.c.leader)
        .where(*_of(island_intervals, span, node), island_intervals.c.leader.is_not(None))
        .distinct()
        .order_by(island_intervals.c.term)
    ).all()
    inside = [price for _, price, _ in _inside_rounds(connection, span, node)]
    later, after_s = _settled_later(connection, scenario, span, node)
    order = [klass.name.lower() for klass in Priority]
    by_class = {name: (float(wanted), float(got)) for name, wanted, got in served}
    return IslandDay(
        node=node,
        cut_s=cut_s,
        dark_s=_dark_s(story, scenario.grid.start_s(span.stop)),
        leaders=tuple(f"{names.get(leader, leader)} (term {term})" for term, leader in leaders),
        f_low_hz=extremes[0],
        f_high_hz=extremes[1],
        v_low_pu=extremes[2],
        v_high_pu=extremes[3],
        wanted_wh={name: by_class[name][0] for name in order if name in by_class},
        served_wh={name: by_class[name][1] for name in order if name in by_class},
        rounds_inside=len(inside),
        price_low_micro_per_kwh=min(inside, default=None),
        price_high_micro_per_kwh=max(inside, default=None),
        settled_later=later,
        settled_after_s=after_s,
        story=story,
    )


def _of(table: Any, span: range, node: str) -> tuple[Any, ...]:
    return table.c.interval >= span.start, table.c.interval < span.stop, table.c.node == node


def _story(connection: Connection, span: range, node: str) -> tuple[tuple[float, str, str], ...]:
    rows = connection.execute(
        select(incidents)
        .where(incidents.c.interval >= span.start, incidents.c.interval < span.stop)
        .order_by(incidents.c.interval, incidents.c.number)
    )
    told = []
    for row in rows:
        subject, _, details = row.subject.partition(": ")
        if subject == node:
            told.append((float(row.at_s), row.kind.replace("_", " "), details))
    return tuple(told)


def _dark_s(story: tuple[tuple[float, str, str], ...], end_s: float) -> float:
    """Return how long there was no voltage: from the loss or the end of the energy to the next leader."""
    dark_s, since = 0.0, None
    for at_s, what, _ in story:
        if what in ("supply failed", "island dark") and since is None:
            since = at_s
        elif what in ("leader elected", "supply back", "reconnected") and since is not None:
            dark_s += at_s - since
            since = None
    return dark_s if since is None else dark_s + end_s - since


def _inside_rounds(connection: Connection, span: range, node: str) -> list[tuple[int, int, int]]:
    """Return interval, price and volume of the rounds in which the node's zone traded while it was cut off."""
    zone = connection.execute(select(zones.c.zone).where(zones.c.node == node)).scalar()
    if zone is None:
        return []
    found = connection.execute(
        select(rounds.c.interval, prices.c.price_micro_per_kwh, rounds.c.volume_milli_wh, rounds.c.cut_zones)
        .join(prices, (prices.c.interval == rounds.c.interval) & (prices.c.round == rounds.c.round))
        .where(
            rounds.c.interval >= span.start,
            rounds.c.interval < span.stop,
            prices.c.zone == zone,
            prices.c.price_micro_per_kwh.is_not(None),
        )
        .order_by(rounds.c.interval)
    )
    return [(row[0], row[1], row[2]) for row in found if row[3] >> zone & 1]


def _settled_later(connection: Connection, scenario: Scenario, span: range, node: str) -> tuple[int, float]:
    """Return how many intervals of the island reached the chain after the next one had begun, and the longest delay."""
    found = connection.execute(
        select(chunks.c.interval, func.max(blocks.c.timestamp_s))
        .join(outbox, outbox.c.id == chunks.c.outbox_id)
        .join(blocks, blocks.c.number == outbox.c.block_number)
        .join(island_intervals, island_intervals.c.interval == chunks.c.interval)
        .where(*_of(island_intervals, span, node))
        .group_by(chunks.c.interval)
    ).all()
    delays = [at_s - scenario.grid.end_s(interval) for interval, at_s in found]
    late = [delay for delay in delays if delay > scenario.interval_s]
    return len(late), float(max(late, default=0.0))


# ------------------------------------------------------------------ for people


def rows_for_people(days: tuple[IslandDay, ...]) -> list[tuple[str, str]]:
    """Return lines for terminal and report."""
    rows: list[tuple[str, str]] = []
    for day in days:
        title = f"island {day.node}"
        happened = {what: details for _, what, details in reversed(day.story)}
        at = {what: at_s for at_s, what, _ in reversed(day.story)}
        rows.append((title, f"cut off {day.cut_s / 3_600:.2f} h, without voltage {day.dark_s / 3_600:.2f} h"))
        if "island detected" in at and "supply failed" in at:
            rows.append(("  found out", happened["island detected"]))
        if day.leaders:
            rows.append(
                ("  led by", f"{', '.join(day.leaders)}; first: {happened.get('leader elected', '')}")
            )
        if "island formed" in happened:
            rows.append(("  formed", happened["island formed"]))
        if day.f_low_hz is not None and day.f_high_hz is not None:
            rows.append(
                (
                    "  frequency, voltage",
                    f"{day.f_low_hz:.2f} to {day.f_high_hz:.2f} Hz, {day.v_low_pu:.3f} to {day.v_high_pu:.3f} pu",
                )
            )
        shares = [
            f"{name} {day.served_wh[name] / 1e3:.2f} of {wanted / 1e3:.2f}"
            for name, wanted in day.wanted_wh.items()
        ]
        rows.append(("  served, kWh", ", ".join(shares)))
        if "island dark" in happened:
            started = happened.get("black start", "none")
            rows.append(("  dark, black start", f"{happened['island dark']}; {started}"))
        if day.rounds_inside and day.price_low_micro_per_kwh is not None:
            low, high = (
                price * CENT_PER_CREDIT / MICRO_PER_CREDIT
                for price in (day.price_low_micro_per_kwh, day.price_high_micro_per_kwh or 0)
            )
            rows.append(("  prices inside", f"{low:.2f} to {high:.2f} ct/kWh in {day.rounds_inside} rounds"))
        if "reconnected" in happened:
            rows.append(("  reconnected", happened["reconnected"]))
        if day.settled_later:
            rows.append(
                (
                    "  settled later",
                    f"{day.settled_later} intervals, the oldest {day.settled_after_s / 3_600:.1f} h after its end",
                )
            )
    return rows


def tables(
    days: tuple[IslandDay, ...], scenario: Scenario
) -> dict[str, tuple[tuple[str, ...], list[list[str]]]]:
    """Return each island's story for the report, local times."""
    return {
        f"What happened in the island {day.node}": (
            ("time", "what", "details"),
            [
                [f"{datetime.fromtimestamp(at_s, scenario.zone):%d %b %H:%M:%S.%f}"[:-3], what, details]
                for at_s, what, details in day.story
            ],
        )
        for day in days
    }


def figures_of(connection: Connection, scenario: Scenario, span: range) -> dict[str, Figure]:
    """Return the pictures of each island by element id."""
    drawn: dict[str, Figure] = {}
    for day in island_days(connection, scenario, span):
        drawn[f"island-{day.node}-voltage"] = _voltage_figure(connection, span, day.node)
        drawn[f"island-{day.node}-service"] = _service_figure(connection, scenario, span, day.node)
        inside = _inside_rounds(connection, span, day.node)
        if inside:
            drawn[f"island-{day.node}-prices"] = _price_figure(scenario, day.node, inside)
    return drawn


def _price_figure(scenario: Scenario, node: str, inside: list[tuple[int, int, int]]) -> Figure:
    """Draw prices inside; intervals in which nothing was traded are gaps."""
    price_of = {interval: price * CENT_PER_CREDIT / MICRO_PER_CREDIT for interval, price, _ in inside}
    intervals = range(min(price_of), max(price_of) + 1)
    return plots.step_lines(
        f"Prices inside the island {node}",
        plots.times(scenario.grid, list(intervals)),
        {"price inside": [price_of.get(interval) for interval in intervals]},
        "ct per kWh",
    )


def _voltage_figure(connection: Connection, span: range, node: str) -> Figure:
    rows = connection.execute(
        select(island_samples).where(*_of(island_samples, span, node)).order_by(island_samples.c.id)
    ).all()
    x = [datetime.fromtimestamp(row.at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for row in rows]

    def line(name: str, column: str, colour: str, axis: str) -> dict[str, Any]:
        y = [getattr(row, column) if row.phase in PHASES else None for row in rows]
        return {
            "type": "scatter",
            "name": name,
            "x": x,
            "y": y,
            "yaxis": axis,
            "line": {"color": colour, "width": 1.5},
            "connectgaps": False,
        }

    return figure(
        f"Frequency and voltage of the island {node}: gaps are without voltage",
        [
            line("lowest frequency", "f_min_hz", BLUE, "y"),
            line("highest frequency", "f_max_hz", VERMILION, "y"),
            line("lowest voltage", "v_min_pu", GREEN, "y2"),
        ],
        xaxis=TIME_AXIS,
        yaxis={"title": {"text": "Hz"}},
        yaxis2={"title": {"text": "per unit"}, "overlaying": "y", "side": "right", "showgrid": False},
    )


def _service_figure(connection: Connection, scenario: Scenario, span: range, node: str) -> Figure:
    rows = connection.execute(
        select(island_services).where(*_of(island_services, span, node)).order_by(island_services.c.interval)
    ).all()
    data = []
    for klass in (one.name.lower() for one in Priority):
        mine = [row for row in rows if row.priority == klass]
        if mine:
            share = np.array([row.served_wh / row.wanted_wh * 100 for row in mine])
            data.append(
                {
                    "type": "scatter",
                    "name": klass,
                    "x": plots.times(scenario.grid, [row.interval for row in mine]),
                    "y": share.tolist(),
                    "line": {"shape": "hv", "color": CLASS_COLOURS[klass], "width": 2.5},
                }
            )
    return figure(
        f"Loads served in the island {node}",
        data,
        xaxis=TIME_AXIS,
        yaxis={"title": {"text": "% of what they wanted"}, "range": [-2, 102]},
    )
