"""Fills that did not reach the chain within its fill window: given up, recorded, and what they leave put right.

The contract takes an interval's fills until `fill_window_s` after its end. A chunk that comes later can never be
mined, and all chunks after it wait for its number. Once its refusal is final, it is given up together with all
that are too late by then:

* its fills are void: they leave `fills` for `voided_fills`, trades shrink with them, and what they would have
  moved is settled with the supplier as imbalance, by the contract and here;
* an empty chunk takes its number, in the interval of the next chunk that is still in time;
* its readings are brought in outside chunks, as anyone may by then.

A curtailment that comes after somebody has brought its interval's reading in (an outage longer than the fill window
makes that possible) cannot count either: it leaves `curtailments` for `voided_curtailments`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from node.audit.publishing import Frame, keep
from node.chain import calldata, typed_data
from node.chain.calldata import ReadCall, SettleCall
from node.chain.contracts import Contracts, Deployment
from node.chain.keys import LocalSigner
from node.chain.late import GivenUp
from node.chain.outbox import ANEW, ContractCall, OutboxState
from node.chain.transactions import transaction_data
from node.hub.registry import Registry
from node.hub.repricing import reprice
from node.store.bulk import insert_all
from node.store.tables_chain import outbox
from node.store.tables_market import (
    chunks,
    curtailments,
    fills,
    imbalances,
    orders,
    trades,
    voided_curtailments,
    voided_fills,
)

OPERATOR = "operator"


class GivingUp:
    """Says what is sent in the place of a chunk that came too late, and records what that means.

    Parameters
    ----------
    operator : LocalSigner
        Seals the empty chunk.
    frame : Frame
        Of the bundles, which stay as they were committed to.
    """

    def __init__(
        self, contracts: Contracts, deployment: Deployment, operator: LocalSigner, frame: Frame
    ) -> None:
        self._settlement = contracts.settlement
        self._deployment = deployment
        self._operator = operator
        self._frame = frame

    def __call__(self, connection: Connection, late: bytes, now_s: int) -> GivenUp | None:
        """Give up a late chunk's fills and those of all late ones after it, or a curtailment.

        All is recorded in the caller's transaction.

        Parameters
        ----------
        late : bytes
            Its calldata.
        now_s : int
            The chain's newest block's time.

        Returns
        -------
        GivenUp or None
            None, and nothing done, as long as no planned chunk is in time: the next interval's will be.
        """
        if late[:4] != calldata.SETTLE_SELECTOR:
            return self._void_curtailment(connection, late)
        first = calldata.decode_settle(late).sequence
        planned = self._from(connection, first)
        due = next((number for number, call in planned.items() if self._is_in_time(call, now_s)), None)
        if due is None:
            return None
        too_late = [chunk for number, chunk in planned.items() if number < due]
        instead = [call for chunk in too_late for call in self._instead(connection, chunk, planned[due])]
        return GivenUp(tuple(chunk.sequence for chunk in too_late), tuple(instead))

    def _void_curtailment(self, connection: Connection, late: bytes) -> GivenUp:
        """Take back what was forgiven: somebody brought the interval's reading in before."""
        account, interval, quantity, _, _ = self._settlement.arguments("curtail", late)
        keep(connection, self._frame, interval)
        key = (curtailments.c.account == account, curtailments.c.interval == interval)
        connection.execute(delete(curtailments).where(*key))
        row = {"account": account, "interval": interval, "quantity_milli_wh": quantity}
        connection.execute(insert(voided_curtailments).values(row))
        _reprice_if_read(connection, Registry.load(connection), account, interval)
        return GivenUp((), ())

    def _from(self, connection: Connection, sequence: int) -> dict[int, SettleCall]:
        """Return the planned chunks from a sequence on, in their order, as they were sent last."""
        rows = connection.execute(
            select(outbox.c.ref, outbox.c.data, outbox.c.raw)
            .where(outbox.c.kind == "chunk", outbox.c.state != OutboxState.FINAL)
            .order_by(outbox.c.id)
        )
        found = {}
        for row in rows:
            number = int(row.ref.rstrip(ANEW))
            if number >= sequence:
                data = row.data if row.data is not None else transaction_data(row.raw)
                found[number] = calldata.decode_settle(data)
        return dict(sorted(found.items()))

    def _is_in_time(self, call: SettleCall, now_s: int) -> bool:
        p = self._deployment.parameters
        return (call.interval + 1) * p.length_s + p.fill_window_s > now_s + 1

    def _instead(
        self, connection: Connection, late: SettleCall, following: SettleCall
    ) -> Iterator[ContractCall]:
        if late.fills:
            self._void(connection, late)
        connection.execute(
            update(chunks).where(chunks.c.sequence == late.sequence).values(n_fills=0, n_readings=0)
        )
        empty, _ = calldata.seal(
            self._operator,
            self._deployment.domain,
            sequence=late.sequence,
            interval=following.interval,
            round_=following.round,
            prices_micro_per_kwh=following.prices_micro_per_kwh,
        )
        yield self._call("chunk", f"{late.sequence}", calldata.settle_calldata(empty))
        if late.readings:
            read = ReadCall(late.interval, late.tariffs, late.readings)
            yield self._call("late-readings", f"void/{late.sequence}", calldata.read_calldata(read))

    def _call(self, kind: str, ref: str, data: bytes) -> ContractCall:
        return ContractCall(kind, ref, OPERATOR, self._deployment.settlement, data)

    # -------------------------------------------------------------- the record

    def _void(self, connection: Connection, call: SettleCall) -> None:
        keep(connection, self._frame, call.interval)
        domain, where = self._deployment.domain, (call.interval, call.round)
        lost: defaultdict[int, int] = defaultdict(int)
        for fill in call.fills:
            name = typed_data.order_hash(domain, fill.order)
            number = connection.execute(select(orders.c.sequence).where(orders.c.hash == name)).scalar_one()
            lost[number] += fill.quantity_milli_wh
        self._move_fills(connection, where, lost)
        self._shrink_trades(connection, where)
        registry = Registry.load(connection)
        for account in sorted({fill.order.account for fill in call.fills}):
            _reprice_if_read(connection, registry, account, call.interval)

    @staticmethod
    def _move_fills(connection: Connection, where: tuple[int, int], lost: Mapping[int, int]) -> None:
        """Take what is lost of each order's fill out of `fills` and write it down as void."""
        for number, quantity in lost.items():
            key = (
                fills.c.interval == where[0],
                fills.c.round == where[1],
                fills.c.sequence == number,
            )
            row = connection.execute(select(fills).where(*key)).one()
            all_in = abs(row.amount_pico) // row.quantity_milli_wh * (1 if row.amount_pico >= 0 else -1)
            kept = row.quantity_milli_wh - quantity
            void = {**row._mapping, "quantity_milli_wh": quantity, "amount_pico": quantity * all_in}
            before = connection.execute(
                select(voided_fills).where(
                    voided_fills.c.interval == where[0],
                    voided_fills.c.round == where[1],
                    voided_fills.c.sequence == number,
                )
            ).one_or_none()
            if before is not None:  # a part of it in a chunk before
                void["quantity_milli_wh"] += before.quantity_milli_wh
                void["amount_pico"] += before.amount_pico
                connection.execute(
                    delete(voided_fills).where(
                        voided_fills.c.interval == where[0],
                        voided_fills.c.round == where[1],
                        voided_fills.c.sequence == number,
                    )
                )
            connection.execute(insert(voided_fills).values(void))
            if kept:
                values = {"quantity_milli_wh": kept, "amount_pico": kept * all_in}
                connection.execute(update(fills).where(*key).values(values))
            else:
                connection.execute(delete(fills).where(*key))

    @staticmethod
    def _shrink_trades(connection: Connection, where: tuple[int, int]) -> None:
        of_round = (trades.c.interval == where[0], trades.c.round == where[1])
        left: tuple[defaultdict[int, int], defaultdict[int, int]] = (defaultdict(int), defaultdict(int))
        for row in connection.execute(
            select(fills).where(fills.c.interval == where[0], fills.c.round == where[1])
        ):
            left[row.is_buy][row.account] += row.quantity_milli_wh
        known = [
            dict(row._mapping)
            for row in connection.execute(select(trades).where(*of_round).order_by(trades.c.number))
        ]
        connection.execute(delete(trades).where(*of_round))
        insert_all(connection, trades, list(shrunk(known, left[True], left[False])))


def _reprice_if_read(connection: Connection, registry: Registry, account: int, interval: int) -> None:
    settled_in = connection.execute(
        select(imbalances.c.settled_in).where(
            imbalances.c.account == account, imbalances.c.interval == interval
        )
    ).scalar()
    if settled_in is not None:  # else its meter is silent: priced when it is read
        reprice(connection, registry, account, interval, settled_in=settled_in)


def shrunk(
    known: Sequence[dict[str, Any]], bought_milli_wh: dict[int, int], sold_milli_wh: dict[int, int]
) -> Iterator[dict[str, Any]]:
    """Yield trades of what is left of a round's fills: the known pairs as far as they go, then whoever is left.

    Parameters
    ----------
    known : Sequence[dict]
        Rows of `trades`, in the order of their numbers.
    bought_milli_wh, sold_milli_wh : dict[int, int]
        What is left by account; both have the same sum, and are used up.
    """
    number = 0
    for row in known:
        buyer, seller = row["buyer"], row["seller"]
        quantity = min(row["quantity_milli_wh"], bought_milli_wh[buyer], sold_milli_wh[seller])
        if quantity:
            bought_milli_wh[buyer] -= quantity
            sold_milli_wh[seller] -= quantity
            yield {**row, "number": number, "quantity_milli_wh": quantity}
            number += 1
    price_of = {row["buyer"]: row for row in known}
    for buyer in sorted(account for account, left in bought_milli_wh.items() if left):
        for seller in sorted(account for account, left in sold_milli_wh.items() if left):
            quantity = min(bought_milli_wh[buyer], sold_milli_wh[seller])
            if not quantity:
                continue
            bought_milli_wh[buyer] -= quantity
            sold_milli_wh[seller] -= quantity
            # they did not meet by anybody's wish, and where is not known any more: at the root
            rest = {"seller": seller, "quantity_milli_wh": quantity, "met_at": 0, "met": 0, "source": 0}
            yield {**price_of[buyer], **rest, "number": number}
            number += 1
