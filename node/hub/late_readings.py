"""Readings that did not come in their interval: waiting true ones, and the registrar's substitutes.

An account whose meter was silent is behind: the contract takes its registers one after the other. With every
interval's settlement this goes through all accounts that are behind and brings in what may be brought in by then,
oldest first (`market.substitutes` says what counts). Everything is stored in the transaction of that settlement,
stands in its bundle, and every substitute is kept with its reason.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from market.substitutes import NextRegister, next_register
from node.chain import typed_data
from node.chain.keys import LocalSigner
from node.chain.typed_data import CompactSignature, Domain
from node.hub.clearing import positions_milli_wh
from node.hub.metering import curtailed_milli_wh, first_interval, imbalance_rows, load_tariffs
from node.hub.registry import Registry
from node.hub.settled import newest_counted
from node.store.bulk import insert_all
from node.store.tables_market import fills, imbalances, readings, substitutes


@dataclass(frozen=True, slots=True)
class WindowTerms:
    """What the contract says about time, in seconds."""

    length_s: int
    fill_window_s: int

    def end_s(self, interval: int) -> int:
        """Return the first second after an interval."""
        return (interval + 1) * self.length_s


class LateReadings:
    """The hub's service for accounts that are behind.

    Parameters
    ----------
    registrar : LocalSigner or None
        Signs substitutes; None in studies without signatures.
    """

    def __init__(
        self, domain: Domain, registry: Registry, terms: WindowTerms, registrar: LocalSigner | None
    ) -> None:
        self._domain = domain
        self._registry = registry
        self._terms = terms
        self._registrar = registrar

    def bring_in(self, connection: Connection, interval: int) -> int:
        """Let late readings count with an interval's settlement; return how many did.

        Who catches up is read in the interval too, in a chunk of its own after the older ones.

        Call it when the interval's own readings are stored and before its settlement is planned.
        """
        done = 0
        for account, last, register in self._behind(connection, interval):
            before = register
            for missing in range(last + 1, interval + 1):
                found = self._next(connection, account, missing, before, interval)
                if found is None:
                    break
                self._store(connection, account, missing, before, found, interval)
                before = found.register_milli_wh
                done += 1
        return done

    def _behind(self, connection: Connection, interval: int) -> list[tuple[int, int, int]]:
        """Return who is not read up to the interval: account, newest counted interval, its register."""
        n_read = connection.execute(
            select(func.count()).where(readings.c.interval == interval, readings.c.settled_in.is_not(None))
        ).scalar_one()
        if n_read == len(self._registry):
            return []  # nearly always: nobody was silent
        first = first_interval(connection)
        if first is None:
            return []
        newest = newest_counted().subquery()
        rows = connection.execute(
            select(readings.c.account, readings.c.interval, readings.c.register_milli_wh).join(
                newest,
                (readings.c.account == newest.c.account) & (readings.c.interval == newest.c.interval),
            )
        )
        counted = {row.account: (row.interval, row.register_milli_wh) for row in rows}
        anchors = [
            (account, *counted.get(account, (first - 1, 0))) for account in self._registry.account.tolist()
        ]
        return [anchor for anchor in anchors if anchor[1] < interval]

    def _next(
        self, connection: Connection, account: int, missing: int, before_milli_wh: int, interval: int
    ) -> NextRegister | None:
        now_s, end_s = self._terms.end_s(interval), self._terms.end_s(missing)
        # the contract takes it when a later interval's round has begun, or when no round can begin any more
        if now_s < end_s + self._terms.fill_window_s and not _has_chunk(connection, interval):
            return None
        told = connection.execute(
            select(readings.c.register_milli_wh).where(
                readings.c.account == account, readings.c.interval == missing
            )
        ).scalar()
        return next_register(
            before_milli_wh,
            told,
            positions_milli_wh(connection, missing).get(account, 0),
            self._capacity_milli_wh(account),
            self._expected_import_milli_wh(connection, account, missing),
            may_substitute=now_s >= end_s + 2 * self._terms.fill_window_s,
        )

    def _capacity_milli_wh(self, account: int) -> int:
        row = self._registry.row(account)
        assert row is not None  # whose readings are stored is connected
        return int(self._registry.capacity_milli_wh[row])

    def _expected_import_milli_wh(self, connection: Connection, account: int, interval: int) -> int:
        """Return what the account imported a day before as its meter told, or on average where it did not."""
        per_day = 86_400 // self._terms.length_s
        told = (
            select(imbalances.c.metered_milli_wh)
            .join(
                readings,
                (readings.c.account == imbalances.c.account) & (readings.c.interval == imbalances.c.interval),
            )
            .where(imbalances.c.account == account, ~readings.c.is_substitute)
        )
        a_day_before = connection.execute(told.where(imbalances.c.interval == interval - per_day)).scalar()
        if a_day_before is not None:
            return max(0, -a_day_before)
        known = connection.execute(told.where(imbalances.c.interval < interval)).scalars().all()
        return max(0, -sum(known) // len(known)) if known else 0

    def _store(
        self,
        connection: Connection,
        account: int,
        missing: int,
        before_milli_wh: int,
        found: NextRegister,
        interval: int,
    ) -> None:
        if found.reason is not None:
            self._substitute(connection, account, missing, found, interval)
        else:
            connection.execute(
                update(readings)
                .where(readings.c.account == account, readings.c.interval == missing)
                .values(settled_in=interval)
            )
        row = self._registry.row(account)
        tariff = load_tariffs(connection, missing)[int(self._registry.zone[row])]
        rows = imbalance_rows(
            missing,
            [account],
            [found.register_milli_wh - before_milli_wh],
            [positions_milli_wh(connection, missing).get(account, 0)],
            [curtailed_milli_wh(connection, missing).get(account, 0)],
            [tariff],
            settled_in=interval,
        )
        insert_all(connection, imbalances, rows)

    def _substitute(
        self, connection: Connection, account: int, missing: int, found: NextRegister, interval: int
    ) -> None:
        """Store what the registrar signs; a register that the meter told gives way to it, and is kept beside it."""
        assert found.reason is not None
        r = vs = 0
        if self._registrar is not None:
            message = typed_data.Substitute(account, missing, found.register_milli_wh)
            r, vs = typed_data.sign(self._registrar, self._domain, message)
        key = (readings.c.account == account, readings.c.interval == missing)
        told = connection.execute(select(readings.c.register_milli_wh).where(*key)).scalar()
        values: dict[str, Any] = {
            "register_milli_wh": found.register_milli_wh,
            "is_substitute": True,
            "signature": CompactSignature(r, vs).to_bytes(),
            "received_at_s": self._terms.end_s(interval),
            "settled_in": interval,
        }
        if told is None:
            connection.execute(insert(readings).values(account=account, interval=missing, **values))
        else:
            connection.execute(update(readings).where(*key).values(**values))
        connection.execute(
            insert(substitutes).values(
                interval=missing,
                account=account,
                reason=found.reason.value,
                expected_import_milli_wh=self._expected_import_milli_wh(connection, account, missing),
                told_register_milli_wh=told,
            )
        )


def _has_chunk(connection: Connection, interval: int) -> bool:
    """Return whether the interval's settlement has a chunk: something was traded or read in it."""
    is_filled = select(fills.c.sequence).where(fills.c.interval == interval).limit(1)
    is_read = select(readings.c.account).where(
        readings.c.interval == interval, readings.c.settled_in == interval
    )
    return any(connection.execute(query.limit(1)).first() is not None for query in (is_filled, is_read))
