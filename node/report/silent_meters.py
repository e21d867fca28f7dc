"""Meters that were silent: registers that the registrar substituted, that others brought in, that counted later."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from market.substitutes import SubstituteReason
from node.store.tables_market import accounts, carried_readings, participants, readings, substitutes


@dataclass(frozen=True, slots=True)
class SilentMeter:
    """An account that was behind in a span of intervals.

    Parameters
    ----------
    participant : name
    substituted : registers that the registrar signed, by reason
    carried : true registers that somebody brought in on chain past the hub, which took them over
    late : other true registers that counted with a later interval's settlement
    waiting : true registers that wait at the end, because what stands before them may not be substituted yet
    first, last : the intervals between which all this lies
    """

    participant: str
    substituted: dict[str, int]
    carried: int
    late: int
    waiting: int
    first: int
    last: int

    def in_words(self) -> str:
        """Return what happened, for people."""
        told = [
            f"{count} {'register' if count == 1 else 'registers'} substituted ({SubstituteReason(why).in_words})"
            for why, count in self.substituted.items()
        ]
        if self.carried:
            told.append(f"{self.carried} brought in on chain past the hub")
        if self.late:
            told.append(f"{self.late} true ones counted later")
        if self.waiting:
            told.append(f"{self.waiting} still wait")
        return f"{self.participant}: {', '.join(told)}"


def silent_meters(connection: Connection, span: range) -> tuple[SilentMeter, ...]:
    """Return the accounts with late registers in a span, in the order of their numbers."""
    rows: Sequence = connection.execute(
        select(
            readings.c.account,
            readings.c.interval,
            readings.c.settled_in,
            substitutes.c.reason,
            carried_readings.c.taken_over_in,
            participants.c.name,
        )
        .join(accounts, accounts.c.account == readings.c.account)
        .join(participants, participants.c.id == accounts.c.participant_id)
        .join(
            substitutes,
            (substitutes.c.account == readings.c.account) & (substitutes.c.interval == readings.c.interval),
            isouter=True,
        )
        .join(
            carried_readings,
            (carried_readings.c.account == readings.c.account)
            & (carried_readings.c.interval == readings.c.interval),
            isouter=True,
        )
        .where(
            readings.c.interval >= span.start,
            readings.c.interval < span.stop,
            readings.c.settled_in.is_(None) | (readings.c.settled_in > readings.c.interval),
        )
        .order_by(readings.c.account, readings.c.interval)
    ).all()
    by_account = defaultdict(list)
    for row in rows:
        by_account[row.account].append(row)
    return tuple(_silent_meter(found) for found in by_account.values())


def _silent_meter(rows: Sequence) -> SilentMeter:
    reasons: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        if row.reason is not None:
            reasons[row.reason] += 1
    waiting = sum(row.settled_in is None for row in rows)
    carried = sum(row.taken_over_in is not None and row.reason is None for row in rows)
    late = len(rows) - waiting - carried - sum(reasons.values())
    return SilentMeter(
        rows[0].name, dict(reasons), carried, late, waiting, rows[0].interval, rows[-1].interval
    )
