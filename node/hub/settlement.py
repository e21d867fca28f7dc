"""From an interval's fills and readings to signed transactions in the outbox, each of them exactly once.

Everything an interval owes the chain is planned in one database transaction: the oracle's tariffs, the grid
role's curtailments, chunks of fills and readings with the operator's seal, and the note with the hash of the
bundle that anybody may check them by (node/audit). Planning again finds the plan
and changes nothing; from there on the sender drives (node/chain/sender).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, insert, select

from market.chunks import MAX_ENTRIES, ChunkPlan, RoundFills, plan_chunks
from market.orders import Order
from node.audit.publishing import Publisher
from node.chain import calldata, typed_data
from node.chain.calldata import ReadCall, SignedFill, SignedReading
from node.chain.contracts import Contracts, Deployment
from node.chain.keys import LocalSigner
from node.chain.sender import ContractCall, Sender
from node.chain.typed_data import CompactSignature, Tariff
from node.chain.words import NO_CARRIES
from node.hub.metering import load_tariffs
from node.store.tables_market import chunks, curtailments, fills, orders, prices, readings

OPERATOR = "operator"
NOBODY = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class _Round:
    """A round's fills as they are settled."""

    number: int
    prices: tuple[int, ...]
    fills: tuple[SignedFill, ...]
    order_hashes: tuple[bytes, ...]
    fill_prices: tuple[int, ...]


class Settlement:
    """The hub's service that hands intervals over to the chain."""

    def __init__(
        self,
        sender: Sender,
        contracts: Contracts,
        deployment: Deployment,
        operator: LocalSigner,
        oracle: LocalSigner,
        max_fills_per_chunk: int,
        publisher: Publisher,
    ) -> None:
        self._sender = sender
        self._contract = contracts.settlement
        self._deployment = deployment
        self._operator = operator
        self._oracle = oracle
        self._max_fills = max_fills_per_chunk
        self._publisher = publisher

    def plan(self, connection: Connection, interval: int) -> int:
        """Put all transactions of a metered interval into the outbox; return how many chunks there are.

        Does nothing if the interval is planned already.
        """
        planned = connection.execute(
            select(func.count()).select_from(chunks).where(chunks.c.interval == interval)
        ).scalar_one()
        if planned:
            return planned
        tariff = tuple(Tariff(*row) for row in load_tariffs(connection, interval))
        self._plan_tariffs(connection, interval, tariff)
        self._plan_curtailments(connection, interval)
        rounds = _load_rounds(connection, interval, n_zones=len(tariff))
        by_account = _load_readings(connection, interval)
        late = self._late_readings(connection, interval)
        # who catches up is read after what was missing, and so in a chunk of its own
        caught_up = {reading.account for _, read in late for reading in read} & by_account.keys()
        on_time = np.array(sorted(by_account.keys() - caught_up), np.int64)
        plans = plan_chunks([_as_arrays(round_) for round_ in rounds], on_time, self._max_fills)
        self._plan_chunks(connection, interval, rounds, plans, by_account, tariff)
        self._plan_late_readings(connection, interval, late)
        newest = [_as_arrays(round_) for round_ in rounds[-1:]]
        extra = plan_chunks(
            [
                replace(one, account=NOBODY, sold_milli_wh=NOBODY, zone_price_micro_per_kwh=NOBODY)
                for one in newest
            ],
            np.array(sorted(caught_up), np.int64),
            self._max_fills,
        )
        self._plan_chunks(connection, interval, rounds, extra, by_account, tariff)
        self._publisher.commit(connection, interval)
        return len(plans) + len(extra)

    def _plan_tariffs(self, connection: Connection, interval: int, table: tuple[Tariff, ...]) -> None:
        signature = typed_data.sign(
            self._oracle, self._deployment.domain, typed_data.Tariffs(interval, table)
        )
        data = self._contract.encode("publish_tariffs", interval, [tuple(t) for t in table], *signature)
        self._enqueue(connection, "tariffs", f"{interval}", data)

    def _plan_curtailments(self, connection: Connection, interval: int) -> None:
        for row in connection.execute(
            select(curtailments).where(curtailments.c.interval == interval).order_by(curtailments.c.account)
        ):
            signature = CompactSignature.from_bytes(row.signature)
            data = self._contract.encode("curtail", row.account, interval, row.quantity_milli_wh, *signature)
            self._enqueue(connection, "curtailment", f"{interval}/{row.account}", data)

    def _plan_chunks(
        self,
        connection: Connection,
        interval: int,
        rounds: Sequence[_Round],
        plans: Sequence[ChunkPlan],
        by_account: dict[int, SignedReading],
        tariff: tuple[Tariff, ...],
    ) -> None:
        newest = connection.execute(select(func.max(chunks.c.sequence))).scalar()
        sequence = 0 if newest is None else newest + 1
        by_number = {round_.number: round_ for round_ in rounds}
        carries = NO_CARRIES
        before: int | None = None
        for plan in plans:
            round_ = by_number[plan.round]
            carries = carries if plan.round == before else NO_CARRIES
            before = plan.round
            read = [by_account[account] for account in plan.reading_accounts.tolist()]
            call, carries = calldata.seal(
                self._operator,
                self._deployment.domain,
                sequence=sequence,
                interval=interval,
                round_=plan.round,
                prices_micro_per_kwh=round_.prices,
                fills=[
                    SignedFill(round_.fills[row].order, quantity, round_.fills[row].signature)
                    for row, quantity in zip(plan.rows.tolist(), plan.quantity_milli_wh.tolist(), strict=True)
                ],
                order_hashes=[round_.order_hashes[row] for row in plan.rows.tolist()],
                tariffs=tariff if read else (),
                readings=read,
                carries=carries,
            )
            outbox_id = self._enqueue(connection, "chunk", f"{sequence}", calldata.settle_calldata(call))
            connection.execute(
                insert(chunks),
                {
                    "sequence": sequence,
                    "interval": interval,
                    "round": plan.round,
                    "n_fills": len(call.fills),
                    "n_readings": len(call.readings),
                    "outbox_id": outbox_id,
                },
            )
            sequence += 1

    def _late_readings(self, connection: Connection, interval: int) -> list[tuple[int, list[SignedReading]]]:
        """Return what was missing in older intervals and counts with this one's settlement, oldest first."""
        rows = connection.execute(
            select(readings)
            .where(readings.c.settled_in == interval, readings.c.interval < interval)
            .order_by(readings.c.interval, readings.c.account)
        )
        return [
            (missing, [_signed_reading(row) for row in part])
            for missing, part in groupby(rows, lambda row: int(row.interval))
        ]

    def _plan_late_readings(
        self, connection: Connection, interval: int, late: list[tuple[int, list[SignedReading]]]
    ) -> None:
        """Bring in what was missing; the contract takes it after a chunk of a later interval."""
        for missing, read in late:
            table = tuple(Tariff(*row) for row in load_tariffs(connection, missing))
            for at in range(0, len(read), MAX_ENTRIES):
                call = ReadCall(missing, table, tuple(read[at : at + MAX_ENTRIES]))
                ref = f"{interval}/{missing}/{at}"
                self._enqueue(connection, "late-readings", ref, calldata.read_calldata(call))

    def _enqueue(self, connection: Connection, kind: str, ref: str, data: bytes) -> int:
        call = ContractCall(kind, ref, OPERATOR, self._deployment.settlement, data)
        return self._sender.enqueue(connection, call)


def _load_rounds(connection: Connection, interval: int, n_zones: int) -> list[_Round]:
    """Return the rounds that have fills, or the first as an empty one: readings need a round to stand in."""
    table: defaultdict[int, list[int]] = defaultdict(lambda: [0] * n_zones)
    for row in connection.execute(
        select(prices).where(prices.c.interval == interval).order_by(prices.c.round, prices.c.zone)
    ):
        table[row.round][row.zone] = row.price_micro_per_kwh or 0
    by_round: defaultdict[int, list[Any]] = defaultdict(list)
    for row in connection.execute(
        select(
            fills.c.round,
            fills.c.quantity_milli_wh.label("filled_milli_wh"),
            fills.c.price_micro_per_kwh,
            orders,
        )
        .join(orders, orders.c.sequence == fills.c.sequence)
        .where(fills.c.interval == interval)
        .order_by(fills.c.round, fills.c.sequence)
    ):
        by_round[row.round].append(row)
    if not by_round:
        return [_Round(0, tuple(table[0]), (), (), ())]
    return [
        _Round(
            number,
            tuple(table[number]),
            tuple(
                SignedFill(_order(row), row.filled_milli_wh, CompactSignature.from_bytes(row.signature))
                for row in rows
            ),
            tuple(row.hash for row in rows),
            tuple(row.price_micro_per_kwh for row in rows),
        )
        for number, rows in sorted(by_round.items())
    ]


def _order(row: Any) -> Order:
    return Order(
        row.account,
        row.epoch,
        row.is_buy,
        row.lane,
        row.first,
        row.last,
        row.quantity_milli_wh,
        row.limit_micro_per_kwh,
    )


def _as_arrays(round_: _Round) -> RoundFills:
    n = len(round_.fills)
    return RoundFills(
        round_.number,
        np.fromiter((fill.order.account for fill in round_.fills), np.int64, n),
        np.fromiter((fill.sold_milli_wh for fill in round_.fills), np.int64, n),
        np.array(round_.fill_prices, np.int64),
    )


def _load_readings(connection: Connection, interval: int) -> dict[int, SignedReading]:
    rows = connection.execute(
        select(readings).where(readings.c.interval == interval, readings.c.settled_in == interval)
    )
    return {row.account: _signed_reading(row) for row in rows}


def _signed_reading(row: Any) -> SignedReading:
    signature = CompactSignature.from_bytes(row.signature)
    return SignedReading(row.account, row.register_milli_wh, row.is_substitute, signature)
