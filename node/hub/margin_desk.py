"""Margin at the door: every account's worst case against its balance on chain, kept order by order.

The exposures live in memory and are rebuilt from the store by replaying it. A batch that fails to become
durable leaves no trace: `transaction` takes back every order that it let in, newest first.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from market.chunks import Tariff
from market.errors import OrderRefused, RefusalReason
from market.margin import AccountExposure, Sides
from market.orders import Order
from node.hub.registry import Registry
from node.store.tables_chain import chain_accounts
from node.store.tables_market import fills, orders, readings, rounds


@dataclass(frozen=True, slots=True)
class Standing:
    """What the chain holds for an account."""

    balance_pico: int
    in_debt: bool


class MarginDesk:
    """Exposure and standing of every account."""

    def __init__(
        self,
        registry: Registry,
        tariff_of: Callable[[int], Tariff],
        read: int,
        *,
        is_bounded: bool = True,
    ) -> None:
        """Begin with accounts whose newest read interval is `read`, and no orders.

        `is_bounded` is False in studies without a chain: there is no balance that an order could exceed.
        """
        self._is_bounded = is_bounded
        self.read = read  # the newest interval whose settlement freed its margin
        self._exposure = {
            int(account): AccountExposure(int(capacity), read, tariff_of)
            for account, capacity in zip(
                registry.account.tolist(), registry.capacity_milli_wh.tolist(), strict=True
            )
        }
        self._standing: dict[int, Standing] = {}
        self._admitted: list[tuple[Order, list[Sides | None]]] = []

    def exposure_pico(self, account: int) -> int:
        """Return the most that an account could still have to pay for what it has under way."""
        return self._exposure[account].exposure_pico

    def admit(self, order: Order) -> None:
        """Let an order in, or refuse it.

        Raises
        ------
        OrderRefused
            For lack of margin, capacity beyond the connection, or debt; nothing is changed.
        """
        standing = self._standing.get(order.account) if self._is_bounded else _BOTTOMLESS
        if standing is None:
            raise OrderRefused(RefusalReason.MARGIN, f"account {order.account} has no balance on chain yet")
        before = self._exposure[order.account].admit(order, standing.balance_pico, in_debt=standing.in_debt)
        self._admitted.append((order, before))

    def close_round(
        self, interval: int, filled: dict[int, list[tuple[bool, int, int]]], accounts: Iterable[int]
    ) -> None:
        """Close an interval's open orders.

        Parameters
        ----------
        filled : dict
            Side, mWh and all-in price of every fill, by account.
        accounts : Iterable[int]
            Who had orders in the round.
        """
        for account in accounts:
            self._exposure[account].close_round(interval, filled.get(account, ()))

    def settled(self, connection: Connection, interval: int) -> None:
        """Note that an interval's fills and readings are settled, and what the accounts hold now."""
        for row in connection.execute(select(fills).where(fills.c.interval == interval)):
            self._exposure[row.account].book(interval, row.is_buy, row.quantity_milli_wh, _all_in(row))
        for row in connection.execute(
            select(readings.c.account, readings.c.interval).where(readings.c.settled_in == interval)
        ):
            self._exposure[row.account].read(row.interval)
        self.read = max(self.read, interval)
        self.refresh(connection)

    def refresh(self, connection: Connection) -> None:
        """Take over balances and debts from the projection of the chain."""
        columns = (chain_accounts.c.account, chain_accounts.c.balance_pico, chain_accounts.c.owed_pico)
        for row in connection.execute(select(*columns)):
            self._standing[row.account] = Standing(row.balance_pico, row.owed_pico > 0)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Take back every order let in inside if the block raises."""
        self._admitted = []
        try:
            yield
        except BaseException:
            for order, before in reversed(self._admitted):
                self._exposure[order.account].undo(order, before)
            raise
        finally:
            self._admitted = []

    def replay(self, connection: Connection, from_interval: int) -> None:
        """Rebuild all exposures from the store: orders in the order of arrival, rounds where they fell."""
        cleared = connection.execute(
            select(rounds.c.interval, rounds.c.round, rounds.c.next_sequence)
            .where(rounds.c.interval >= from_interval)
            .order_by(rounds.c.next_sequence, rounds.c.interval, rounds.c.round)
        ).all()
        filled: defaultdict[tuple[int, int], dict[int, list[tuple[bool, int, int]]]] = defaultdict(dict)
        for row in connection.execute(select(fills).where(fills.c.interval >= from_interval)):
            by_account = filled[(row.interval, row.round)]
            by_account.setdefault(row.account, []).append((row.is_buy, row.quantity_milli_wh, _all_in(row)))
        at = 0
        for row in connection.execute(
            select(orders).where(orders.c.last >= from_interval).order_by(orders.c.sequence)
        ):
            while at < len(cleared) and cleared[at].next_sequence <= row.sequence:
                self._close(cleared[at], filled)
                at += 1
            self._exposure[row.account].admit(_order(row, from_interval), _UNBOUNDED_PICO)
        for one in cleared[at:]:
            self._close(one, filled)
        self.refresh(connection)

    def _close(self, one: Any, filled: dict[tuple[int, int], dict[int, list[tuple[bool, int, int]]]]) -> None:
        self.close_round(one.interval, filled.get((one.interval, one.round), {}), self._exposure)


_UNBOUNDED_PICO = 2**200  # what was admitted once is admitted again, whatever the balance is now
_BOTTOMLESS = Standing(_UNBOUNDED_PICO, in_debt=False)


def _all_in(row: Any) -> int:
    """Return a fill's price with the fee, from what it received."""
    return abs(row.amount_pico) // row.quantity_milli_wh * (1 if _is_positive(row) else -1)


def _is_positive(row: Any) -> bool:
    return (row.amount_pico <= 0) == bool(row.is_buy)


def _order(row: Any, from_interval: int) -> Order:
    return Order(
        row.account,
        row.epoch,
        row.is_buy,
        row.lane,
        max(row.first, from_interval),
        row.last,
        row.quantity_milli_wh,
        row.limit_micro_per_kwh,
    )
