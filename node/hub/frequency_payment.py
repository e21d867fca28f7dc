"""What a buyer pays itself for a service: split by telemetry, deposited into accounts, seen when final."""

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select, update

from market.flexibility_split import SplitRule, split_revenue_pico
from node.chain.sender import ContractCall, OutboxState
from node.hub import frequency_store
from node.hub.flexibility import BUYER, SplitDesk
from node.store.tables_chain import outbox
from node.store.tables_market import flex_events, flex_members

DEPOSIT = "flex-deposit"


class BuyerPayments:
    """Pays members of services that no contract splits.

    Parameters
    ----------
    node_of_participant : int64 (n_participants,)
        Places of the Shapley game.
    desk : SplitDesk or None
        None: a study without a chain, in which nothing is paid.
    """

    def __init__(
        self, node_of_participant: NDArray[np.int64], first_account: int, seed: int, desk: SplitDesk | None
    ) -> None:
        self._node = node_of_participant
        self._first_account = first_account
        self._seed = seed
        self._desk = desk

    def pay(
        self,
        connection: Connection,
        event_id: int,
        service: str,
        intervals: range,
        due_pico: int,
        rule: SplitRule,
    ) -> None:
        """Split what is due among a service's members, and have the buyer deposit it."""
        in_event = flex_members.c.event_id == event_id
        accounts = list(
            connection.execute(
                select(flex_members.c.account).where(in_event).order_by(flex_members.c.account)
            ).scalars()
        )
        delivered, asked = frequency_store.telemetry_milli_wh(connection, intervals, accounts)
        place = self._node[np.array(accounts, np.int64) - self._first_account]
        parts = split_revenue_pico(rule, due_pico, delivered, asked, place, self._seed)
        for account, energy, part in zip(accounts, delivered.sum(axis=1).tolist(), parts, strict=True):
            connection.execute(
                update(flex_members)
                .where(in_event, flex_members.c.account == account)
                .values(contribution_milli_wh=energy, due_pico=part)
            )
            if part:
                self._deposit(connection, service, account, part)
        connection.execute(update(flex_events).where(flex_events.c.id == event_id).values(state="paid"))

    def _deposit(self, connection: Connection, service: str, account: int, amount_pico: int) -> None:
        if self._desk is None:
            return
        settlement = self._desk.deployment.settlement
        data = self._desk.contracts.settlement.encode("deposit", account, amount_pico)
        call = ContractCall(DEPOSIT, f"{service}/{account}", BUYER, settlement, data)
        self._desk.sender.enqueue(connection, call)

    def observe(self, connection: Connection) -> None:
        """Take over which deposits are final on chain."""
        final = select(outbox.c.ref).where(outbox.c.kind == DEPOSIT, outbox.c.state == OutboxState.FINAL)
        for ref in connection.execute(final).scalars():
            service, _, account = ref.rpartition("/")
            event_id = select(flex_events.c.id).where(flex_events.c.name == service).scalar_subquery()
            connection.execute(
                update(flex_members)
                .where(
                    flex_members.c.event_id == event_id,
                    flex_members.c.account == int(account),
                    flex_members.c.paid_pico.is_(None),
                )
                .values(paid_pico=flex_members.c.due_pico)
            )
