"""What devices and controller had to cope with: alerts, takeovers, islands, energy lent between owners."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from node.store.tables_devices import alerts, devices, incidents, loans
from node.store.tables_market import accounts, participants


@dataclass(frozen=True, slots=True)
class Operations:
    """Stored facts of a span of intervals.

    Parameters
    ----------
    alerts : names of devices with what was found, in the order it was found
    takeovers, islands : how often a standby controller took over, how often a supply was lost
    lent_wh, borrowed_wh : by participant; their sums are equal
    """

    alerts: tuple[tuple[str, str], ...]
    takeovers: int
    islands: int
    lent_wh: Mapping[str, float]
    borrowed_wh: Mapping[str, float]


def operations(connection: Connection, span: range) -> Operations:
    """Return what happened in the span."""
    found = connection.execute(
        select(devices.c.name, alerts.c.cause)
        .join(devices, devices.c.id == alerts.c.device)
        .where(alerts.c.interval >= span.start, alerts.c.interval < span.stop)
        .order_by(alerts.c.interval, alerts.c.device, alerts.c.cause)
    )
    kinds = Counter(
        connection.execute(
            select(incidents.c.kind).where(
                incidents.c.interval >= span.start, incidents.c.interval < span.stop
            )
        ).scalars()
    )
    lent = connection.execute(
        select(participants.c.name, func.sum(loans.c.lent_wh), func.sum(loans.c.borrowed_wh))
        .join(accounts, accounts.c.account == loans.c.account)
        .join(participants, participants.c.id == accounts.c.participant_id)
        .where(loans.c.interval >= span.start, loans.c.interval < span.stop)
        .group_by(loans.c.account, participants.c.name)
        .order_by(loans.c.account)
    ).all()
    return Operations(
        alerts=tuple((name, cause) for name, cause in found),
        takeovers=kinds["takeover"],
        islands=kinds["supply_failed"],
        lent_wh={name: float(given) for name, given, _ in lent if given > 0},
        borrowed_wh={name: float(taken) for name, _, taken in lent if taken > 0},
    )
