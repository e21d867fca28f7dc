"""What racks with too small a feed borrowed over ties: what they lacked, what came, what was lost, what is missing.

Borrowed watts do not arrive whole: both ports and the cable take their share. Each borrower gets a line that says
whether it was served, and if not, by how much and why. Intervals in which a supply was out are not counted: there a
rack lacks power for another reason.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, Table, func, select

from node.report.racks import names
from node.store.tables_devices import device_intervals, devices, incidents
from node.store.tables_racks import overloads, transfers

SECONDS_PER_HOUR = 3_600.0
CAPTION = "Borrowed over ties, mean powers while the own feed was too small"
HEADS = ("participant", "hours", "beyond its feed", "given", "lost on the way", "arrived", "unserved", "so")
# Of what is lacking: less is rounding, and the ramp of the first seconds.
SERVED_PU = 0.01

DEFINITIONS = {
    "Borrowed over ties": "Beyond its feed: load less what the feed carries; given: at the lenders' terminals; "
    "arrived: behind both ports and the cables; unserved: what its loads missed. More can arrive than is lacking: help "
    "begins before an overload and relieves the feed to less than all it carries.",
}


@dataclass(slots=True)
class Lack:
    """What a borrower lacked and got in an interval, Wh, and how long it was overloaded, s."""

    duration_s: float = 0.0
    beyond_wh: float = 0.0
    given_by_wh: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    arrived_wh: float = 0.0
    unserved_wh: float = 0.0

    @property
    def is_served(self) -> bool:
        """Return whether its loads missed nothing to speak of."""
        return self.unserved_wh <= SERVED_PU * self.beyond_wh


@dataclass(frozen=True, slots=True)
class Borrowed:
    """All overloaded intervals of a borrower."""

    intervals: tuple[Lack, ...]

    @property
    def short(self) -> "Borrowed":
        """Return those in which its loads missed something."""
        return Borrowed(tuple(one for one in self.intervals if not one.is_served))

    @property
    def duration_s(self) -> float:
        """Return how long it was overloaded, s."""
        return sum(one.duration_s for one in self.intervals)

    @property
    def beyond_wh(self) -> float:
        """Return what it drew beyond what its feed carries, Wh."""
        return sum(one.beyond_wh for one in self.intervals)

    @property
    def given_by_wh(self) -> dict[int, float]:
        """Return what each lender gave at its terminal, Wh, the largest first."""
        total: defaultdict[int, float] = defaultdict(float)
        for one in self.intervals:
            for account, wh in one.given_by_wh.items():
                total[account] += wh
        return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))

    @property
    def given_wh(self) -> float:
        """Return what all lenders gave, Wh."""
        return sum(self.given_by_wh.values())

    @property
    def arrived_wh(self) -> float:
        """Return what arrived of it, Wh."""
        return sum(one.arrived_wh for one in self.intervals)

    @property
    def unserved_wh(self) -> float:
        """Return what its loads missed, Wh."""
        return sum(one.unserved_wh for one in self.intervals)


def borrowed(connection: Connection, span: range, step_s: int) -> dict[int, Borrowed]:
    """Return what each account that was helped in a span lacked and got, by account.

    Parameters
    ----------
    step_s : int
        How long a load step is.
    """
    out = _without_supply(connection, span)
    found: defaultdict[int, dict[int, Lack]] = defaultdict(dict)
    hours = step_s / SECONDS_PER_HOUR
    for row in connection.execute(select(overloads).where(*_within(overloads, span))):
        if row.load_w > row.limit_w and row.interval not in out:
            one = found[row.account].setdefault(row.interval, Lack())
            one.duration_s += step_s
            one.beyond_wh += (row.load_w - row.limit_w) * hours
    for row in connection.execute(
        select(transfers).where(transfers.c.kind == "help", *_within(transfers, span))
    ):
        if row.interval in found[row.target]:
            one = found[row.target][row.interval]
            one.arrived_wh += row.arrived_wh
            one.given_by_wh[row.source] += row.given_wh
    missed = connection.execute(
        select(devices.c.account, device_intervals.c.interval, func.sum(device_intervals.c.unserved_wh))
        .join(devices, devices.c.id == device_intervals.c.device)
        .where(*_within(device_intervals, span), device_intervals.c.unserved_wh > 0)
        .group_by(devices.c.account, device_intervals.c.interval)
    )
    for account, interval, unserved_wh in missed:
        if interval in found[account]:
            found[account][interval].unserved_wh += unserved_wh
    by_account = {account: Borrowed(tuple(lacks.values())) for account, lacks in sorted(found.items())}
    return {account: one for account, one in by_account.items() if one.given_wh > 0}


def _without_supply(connection: Connection, span: range) -> set[int]:
    """Return the intervals in which some node had no supply."""
    happened = connection.execute(
        select(incidents.c.interval, incidents.c.kind, incidents.c.subject)
        .where(incidents.c.kind.in_(("supply_failed", "supply_back")), incidents.c.interval < span.stop)
        .order_by(incidents.c.at_s)
    )
    since: dict[str, int] = {}
    out: set[int] = set()
    for interval, kind, node in happened:
        if kind == "supply_failed":
            since[node] = interval
        else:
            out |= set(range(since.pop(node, interval), interval + 1))
    for interval in since.values():
        out |= set(range(interval, span.stop))
    return out


def tables(
    connection: Connection, span: range, step_s: int
) -> dict[str, tuple[Sequence[str], Sequence[Sequence[str]]]]:
    """Return the report's table by caption; none where nobody was helped."""
    name = names(connection)
    rows = [_row(name, account, one) for account, one in borrowed(connection, span, step_s).items()]
    return {CAPTION: (HEADS, rows)} if rows else {}


def _row(name: dict[int, str], account: int, one: Borrowed) -> tuple[str, ...]:
    powers = _mean_powers_w(one)
    donors = ", ".join(name[lender] for lender in one.given_by_wh)
    short = one.short
    if not short.intervals:
        so = f"served: {donors} gave what was lacking and what the way loses"
    else:
        lacked, given, lost, _, unserved = _mean_powers_w(short)
        so = (
            f"short by {unserved:.1f} W in {len(short.intervals)} of {len(one.intervals)} intervals: lenders could "
            f"give {given:.1f} W of the {lacked:.1f} W lacking then, and {lost:.1f} W were lost in ports and cables"
        )
    hours = one.duration_s / SECONDS_PER_HOUR
    return (name[account], f"{hours:.1f}", *(f"{p_w:,.1f} W" for p_w in powers), so)


def _mean_powers_w(one: Borrowed) -> tuple[float, ...]:
    """Return what was lacking, given, lost on the way, arrived and missed, means while overloaded, W."""
    energies_wh = (
        one.beyond_wh,
        one.given_wh,
        one.given_wh - one.arrived_wh,
        one.arrived_wh,
        one.unserved_wh,
    )
    return tuple(wh * SECONDS_PER_HOUR / one.duration_s for wh in energies_wh)


def _within(table: Table, span: range) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.c.interval >= span.start, table.c.interval < span.stop
