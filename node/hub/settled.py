"""How far settlement is: what counts in the store, and whether the chain has it.

A register counts from the settlement that carries it on (`readings.settled_in`): in its own interval, or later
where the meter had been silent.
"""

from sqlalchemy import Connection, Select, func, select

from node.store.tables_chain import chain_accounts
from node.store.tables_market import accounts, readings


def newest_counted(up_to: int | None = None) -> Select[tuple[int, int]]:
    """Select every account's newest interval whose register counts; nothing of who was never read.

    Each account's newest is looked up by itself: a scan of all readings would grow with every day.

    Parameters
    ----------
    up_to : int or None
        Only what counts from this interval's settlement or an earlier one.
    """
    counts = readings.c.settled_in.is_not(None) if up_to is None else readings.c.settled_in <= up_to
    newest = (
        select(readings.c.interval)
        .where(readings.c.account == accounts.c.account, counts)
        .order_by(readings.c.interval.desc())
        .limit(1)
        .scalar_subquery()
    )
    every = select(accounts.c.account, newest.label("interval")).subquery()
    return select(every.c.account, every.c.interval).where(every.c.interval.is_not(None))


def not_on_chain(connection: Connection) -> tuple[int, int, int] | None:
    """Return the first account that the chain has not read as far as the store: its number, and both ends.

    Where the chain is ahead, somebody brought a reading in himself; the hub takes it over with the next interval
    (hub/carried_readings).
    """
    counted = newest_counted().subquery()
    row = connection.execute(
        select(counted.c.account, counted.c.interval, chain_accounts.c.read)
        .join(chain_accounts, chain_accounts.c.account == counted.c.account)
        .where(chain_accounts.c.read < counted.c.interval)
        .order_by(counted.c.account)
        .limit(1)
    ).one_or_none()
    return None if row is None else (row.account, row.interval, row.read)


def last_settled(connection: Connection, *, is_on_chain: bool, before: int) -> int:
    """Return the newest interval that is settled wholly, with all before it; `before` if none is."""
    newest = connection.execute(select(func.max(readings.c.settled_in))).scalar()
    if newest is None:
        return before
    if is_on_chain:
        under_way = connection.execute(
            select(func.min(readings.c.settled_in))
            .join(chain_accounts, chain_accounts.c.account == readings.c.account)
            .where(readings.c.interval > chain_accounts.c.read)
        ).scalar()
        if under_way is not None:
            newest = under_way - 1
    return max(before, newest)


def first_unread(connection: Connection, settled: int, before: int) -> int:
    """Return the oldest interval up to `settled + 1` in which some meter is still to be read.

    `before` is the interval before the first that is metered.
    """
    counted = newest_counted(settled).subquery()
    read = connection.execute(
        select(func.coalesce(counted.c.interval, before))
        .select_from(accounts)
        .join(counted, counted.c.account == accounts.c.account, isouter=True)
    ).scalars()
    return min(min(read, default=before), settled) + 1
