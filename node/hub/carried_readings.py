"""Readings that reached the chain without the hub: whoever has a signed one may bring it in himself.

What counts is what the contract took: a register signed by the account's meter, or by the registrar. The hub
takes it over with its signature where it lacked that reading, held it back behind older ones, or had planned
another register (a substitute that came too late; a meter that signed two). It stands in the bundle of the
interval with which the hub took it over, and is planned once more with it, so that a reorganisation of the chain
cannot lose it.
"""

import json
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from node.chain.calldata import SignedReading
from node.chain.typed_data import CompactSignature
from node.hub.registry import Registry
from node.hub.repricing import reprice
from node.store.tables_chain import chain_events, chain_undo
from node.store.tables_market import carried_readings, imbalances, readings, substitutes


@dataclass(frozen=True, slots=True)
class _BroughtIn:
    """A reading as an event of the contract tells it."""

    interval: int
    reading: SignedReading


class CarriedReadings:
    """The hub's service that takes over readings which others brought in."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._seen = -1  # newest block that cannot be replaced and was looked through; all, after a start

    def take_over(self, connection: Connection, interval: int, end_s: int) -> int:
        """Let what the chain has read past the hub count with an interval's settlement; return how much.

        Call it before the interval's own readings are stored: they go on from these.

        Parameters
        ----------
        end_s : int
            The interval's end: when the hub is taken to have learned of them, whenever it runs.
        """
        found, newest = self._news(connection)
        due = [one for one in found if one.interval < interval]
        if len(due) == len(found):
            self._seen = newest  # else the hub's clock is behind, and what is not over for it comes later
        return sum(self._take(connection, one, interval, end_s) for one in due)

    def _news(self, connection: Connection) -> tuple[list[_BroughtIn], int]:
        """Return members' readings brought in since the last look, oldest first; and how far this one went."""
        rows = connection.execute(
            select(chain_events.c.arguments)
            .where(chain_events.c.name == "ReadingsBroughtIn", chain_events.c.block_number > self._seen)
            .order_by(chain_events.c.block_number, chain_events.c.log_index)
        )
        found = []
        for text in rows.scalars():
            said = json.loads(text)
            for account, register, is_substitute, r, vs in said["readings"]:
                if self._registry.row(account) is not None:
                    signature = CompactSignature(int(r), int(vs))
                    reading = SignedReading(account, int(register), is_substitute, signature)
                    found.append(_BroughtIn(said["interval"], reading))
        newest = connection.execute(select(func.max(chain_events.c.block_number))).scalar()
        replaceable = connection.execute(select(func.min(chain_undo.c.block_number))).scalar()
        if newest is None:
            return found, self._seen
        return found, newest if replaceable is None else min(newest, replaceable - 1)

    def _take(self, connection: Connection, one: _BroughtIn, interval: int, end_s: int) -> bool:
        """Store a reading if it is not what counts here already."""
        account, missing, reading = one.reading.account, one.interval, one.reading
        key = (readings.c.account == account, readings.c.interval == missing)
        known = connection.execute(select(readings).where(*key)).one_or_none()
        if (
            known is not None
            and known.settled_in is not None
            and known.register_milli_wh == reading.register_milli_wh
        ):
            return False
        values = {
            "register_milli_wh": reading.register_milli_wh,
            "is_substitute": reading.is_substitute,
            "signature": reading.signature.to_bytes(),
            "settled_in": interval,
        }
        if known is None:
            row = {"account": account, "interval": missing, "received_at_s": end_s, **values}
            connection.execute(insert(readings).values(row))
        else:
            connection.execute(update(readings).where(*key).values(**values))
        if not reading.is_substitute:
            about = (substitutes.c.account == account, substitutes.c.interval == missing)
            connection.execute(delete(substitutes).where(*about))
        connection.execute(
            insert(carried_readings).values(
                account=account,
                interval=missing,
                register_milli_wh=reading.register_milli_wh,
                known_register_milli_wh=None if known is None else known.register_milli_wh,
                taken_over_in=interval,
            )
        )
        reprice(connection, self._registry, account, missing, settled_in=interval)
        after = connection.execute(
            select(imbalances.c.settled_in).where(
                imbalances.c.account == account, imbalances.c.interval == missing + 1
            )
        ).scalar()
        if after is not None:  # it went on from the register that did not count
            reprice(connection, self._registry, account, missing + 1, settled_in=after)
        return True
