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
class Borrowed:
    """A borrower's energies over all overloaded intervals, Wh, and how long it was overloaded, s."""

    duration_s: float = 0.0
    beyond_wh: float = 0.0
    given_wh: float = 0.0
    arrived_wh: float = 0.0
    unserved_wh: float = 0.0
    given_by_wh: dict[int, float] = field(default_factory=lambda: defaultdict(float))


def borrowed(connection: Connection, span: range, step_s: int) -> dict[int, Borrowed]:
    """Return what each account that was helped in a span lacked and got, by account.

    Parameters
    ----------
    step_s : int
        How long a load step is.
    """
    out = _without_supply(connection, span)
    found: defaultdict[int, Borrowed] = defaultdict(Borrowed)
    hours = step_s / SECONDS_PER_HOUR
    seen: defaultdict[int, set[int]] = defaultdict(set)
    for row in connection.execute(select(overloads).where(*_within(overloads, span))):
        if row.load_w > row.limit_w and row.interval not in out:
            found[row.account].duration_s += step_s
            found[row.account].beyond_wh += (row.load_w - row.limit_w) * hours
            seen[row.account].add(row.interval)
    for row in connection.execute(
        select(transfers).where(transfers.c.kind == "help", *_within(transfers, span))
    ):
        if row.interval in seen[row.target]:
            one = found[row.target]
            one.given_wh += row.given_wh
            one.arrived_wh += row.arrived_wh
            one.given_by_wh[row.source] += row.given_wh
    missed = connection.execute(
        select(devices.c.account, device_intervals.c.interval, func.sum(device_intervals.c.unserved_wh))
        .join(devices, devices.c.id == device_intervals.c.device)
        .where(*_within(device_intervals, span), device_intervals.c.unserved_wh > 0)
        .group_by(devices.c.account, device_intervals.c.interval)
    )
    for account, interval, unserved_wh in missed:
        if interval in seen[account]:
            found[account].unserved_wh += unserved_wh
    return {account: one for account, one in sorted(found.items()) if one.given_wh > 0}


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
    hours = one.duration_s / SECONDS_PER_HOUR
    lost_wh = one.given_wh - one.arrived_wh
    powers = (one.beyond_wh, one.given_wh, lost_wh, one.arrived_wh, one.unserved_wh)
    donors = ", ".join(name[a] for a, _ in sorted(one.given_by_wh.items(), key=lambda d: (-d[1], d[0])))
    if one.unserved_wh <= SERVED_PU * one.beyond_wh:
        so = f"served: {donors} gave what was lacking and what the way loses"
    else:
        so = (
            f"short by {one.unserved_wh / hours:.1f} W: of {one.given_wh / hours:.1f} W that {donors} "
            f"could give {lost_wh / hours:.1f} W were lost in ports and cables"
        )
    return (name[account], f"{hours:.1f}", *(f"{wh / hours:,.1f} W" for wh in powers), so)


def _within(table: Table, span: range) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.c.interval >= span.start, table.c.interval < span.stop
