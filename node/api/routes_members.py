"""Participants, their balances on chain, and statements that say why they paid what they paid."""

import csv
import io
from collections import defaultdict
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from sqlalchemy import Row, select

from market.substitutes import SubstituteReason
from node.api import schemas
from node.api.context import AccountNumber, Context, Cursor, Db, End, Here, Limit, Start
from node.api.forms import utc
from node.api.pages import Page, after, page
from node.api.problems import NotFound, Problem
from node.chain.keys import checksum
from node.store.tables_chain import chain_accounts
from node.store.tables_devices import reference_intervals
from node.store.tables_market import (
    accounts,
    carried_readings,
    fills,
    imbalances,
    participants,
    substitutes,
    tariffs,
    voided_curtailments,
    voided_fills,
)

router = APIRouter(prefix="/v1", tags=["members"])
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}
SOURCES: tuple[tuple[int, Literal["solar", "storage"]], ...] = ((1, "solar"), (2, "storage"))
CSV_EXAMPLE = ",".join(schemas.StatementLine.model_fields) + "\n"


@router.get("/participants")
def list_participants(db: Db, limit: Limit = 100, cursor: Cursor = None) -> Page[schemas.Participant]:
    """List all participants by account number."""
    query = select(accounts, participants.c.name, participants.c.kind, participants.c.owner).join(
        participants, participants.c.id == accounts.c.participant_id
    )
    key = [accounts.c.account]
    return page(db.execute(after(query, key, cursor, limit)).all(), limit, key, _participant)


@router.get("/participants/{account}", responses=MISSING)
def get_participant(db: Db, account: AccountNumber) -> schemas.Participant:
    """Return one participant."""
    query = select(accounts, participants.c.name, participants.c.kind, participants.c.owner).join(
        participants, participants.c.id == accounts.c.participant_id
    )
    row = db.execute(query.where(accounts.c.account == account)).one_or_none()
    if row is None:
        raise NotFound(f"no account {account}")
    return _participant(row)


def _participant(row: Row[Any]) -> schemas.Participant:
    return schemas.Participant(
        account=row.account,
        name=row.name,
        kind=row.kind,
        node=row.node,
        zone=row.zone,
        group=row.member_of,
        sources=[name for source, name in SOURCES if row.sources >> source & 1],
        capacity_milli_wh=row.capacity_milli_wh,
        owner=checksum(row.owner),
        agent=checksum(row.agent),
        meter=checksum(row.meter),
    )


@router.get("/participants/{account}/balance", responses=MISSING)
def get_balance(here: Here, db: Db, account: AccountNumber) -> schemas.Balance:
    """Return what the chain holds for an account, from the projection of its blocks."""
    row = db.execute(select(chain_accounts).where(chain_accounts.c.account == account)).one_or_none()
    if row is None:
        raise NotFound(f"the chain holds nothing for account {account}")
    return _balance(here, row)


@router.get("/balances")
def list_balances(here: Here, db: Db, limit: Limit = 100, cursor: Cursor = None) -> Page[schemas.Balance]:
    """List what the chain holds for every account; 0 is the supplier, 1 receives the operator's fees."""
    key = [chain_accounts.c.account]
    rows = db.execute(after(select(chain_accounts), key, cursor, limit)).all()
    return page(rows, limit, key, lambda row: _balance(here, row))


def _balance(here: Context, row: Row[Any]) -> schemas.Balance:
    is_member = here.community.registry.row(row.account) is not None
    return schemas.Balance(
        account=row.account,
        balance_pico=row.balance_pico,
        owed_pico=row.owed_pico,
        exit_pico=row.exit_amount_pico,
        position_milli_wh=row.position_milli_wh,
        register_milli_wh=row.register_milli_wh,
        read_interval=row.read,
        exposure_pico=here.community.desk.exposure_pico(row.account) if is_member else 0,
        block=row.block_number,
    )


@router.get("/participants/{account}/statement", responses=MISSING)
def get_statement(
    here: Here,
    db: Db,
    account: AccountNumber,
    limit: Limit = 100,
    cursor: Cursor = None,
    start: Start = None,
    end: End = None,
) -> Page[schemas.StatementLine]:
    """Return an account's statement, one line per metered interval."""
    get_participant(db, account)
    span = here.span(start, end)
    query = select(imbalances).where(
        imbalances.c.account == account,
        imbalances.c.interval >= span.start,
        imbalances.c.interval < span.stop,
    )
    key = [imbalances.c.interval]
    rows = db.execute(after(query, key, cursor, limit)).all()
    lines = _Lines(here, db, account, [row.interval for row in rows])
    return page(rows, limit, key, lines.line)


@router.get(
    "/participants/{account}/statement.csv",
    responses=MISSING
    | {
        200: {
            "description": "one line per metered interval, the columns of `StatementLine`",
            "content": {"text/csv": {"schema": {"type": "string"}, "example": CSV_EXAMPLE}},
        }
    },
    response_class=StreamingResponse,
)
def get_statement_csv(
    here: Here, db: Db, account: AccountNumber, start: Start = None, end: End = None
) -> StreamingResponse:
    """Return an account's whole statement as CSV."""
    get_participant(db, account)
    span = here.span(start, end)
    rows = db.execute(
        select(imbalances)
        .where(
            imbalances.c.account == account,
            imbalances.c.interval >= span.start,
            imbalances.c.interval < span.stop,
        )
        .order_by(imbalances.c.interval)
    ).all()
    lines = _Lines(here, db, account, [row.interval for row in rows])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(schemas.StatementLine.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines.line(row).model_dump() for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="statement-{account}.csv"'}
    return StreamingResponse(iter([text.getvalue()]), media_type="text/csv", headers=headers)


class _Lines:
    """Makes an account's statement lines, with all that they need read at once."""

    def __init__(self, here: Context, db: Db, account: int, intervals: list[int]) -> None:
        self._grid = here.community.scenario.grid
        low, high = (min(intervals), max(intervals)) if intervals else (0, -1)
        self._sold: defaultdict[int, int] = defaultdict(int)
        self._bought: defaultdict[int, int] = defaultdict(int)
        self._traded: defaultdict[int, int] = defaultdict(int)
        for row in db.execute(
            select(fills).where(fills.c.account == account, fills.c.interval >= low, fills.c.interval <= high)
        ):
            side = self._bought if row.is_buy else self._sold
            side[row.interval] += row.quantity_milli_wh
            self._traded[row.interval] += row.amount_pico
        self._substituted = {
            row.interval: SubstituteReason(row.reason)
            for row in db.execute(
                select(substitutes).where(
                    substitutes.c.account == account,
                    substitutes.c.interval >= low,
                    substitutes.c.interval <= high,
                )
            )
        }
        self._void: defaultdict[int, int] = defaultdict(int)  # sold less bought
        for row in db.execute(
            select(voided_fills).where(
                voided_fills.c.account == account,
                voided_fills.c.interval >= low,
                voided_fills.c.interval <= high,
            )
        ):
            self._void[row.interval] += -row.quantity_milli_wh if row.is_buy else row.quantity_milli_wh
        self._not_forgiven = {
            row.interval: row.quantity_milli_wh
            for row in db.execute(
                select(voided_curtailments).where(
                    voided_curtailments.c.account == account,
                    voided_curtailments.c.interval >= low,
                    voided_curtailments.c.interval <= high,
                )
            )
        }
        self._carried = set(
            db.execute(
                select(carried_readings.c.interval).where(
                    carried_readings.c.account == account,
                    carried_readings.c.interval >= low,
                    carried_readings.c.interval <= high,
                )
            ).scalars()
        )
        self._tariff = {
            row.interval: row
            for row in db.execute(
                select(tariffs)
                .join(accounts, accounts.c.zone == tariffs.c.zone)
                .where(accounts.c.account == account, tariffs.c.interval >= low, tariffs.c.interval <= high)
            )
        }
        self._reference = {
            row.interval: row.net_export_milli_wh
            for row in db.execute(
                select(reference_intervals).where(
                    reference_intervals.c.account == account,
                    reference_intervals.c.interval >= low,
                    reference_intervals.c.interval <= high,
                )
            )
        }

    def line(self, row: Row[Any]) -> schemas.StatementLine:
        t = row.interval
        tariff = self._tariff[t]
        reference = self._reference.get(t, 0)
        price = tariff.short_micro_per_kwh if reference < 0 else tariff.long_micro_per_kwh
        return schemas.StatementLine(
            interval=t,
            start=utc(self._grid.start_s(t)),
            end=utc(self._grid.end_s(t)),
            sold_milli_wh=self._sold[t],
            bought_milli_wh=self._bought[t],
            traded_pico=self._traded[t],
            metered_milli_wh=row.metered_milli_wh,
            imbalance_milli_wh=row.imbalance_milli_wh,
            imbalance_pico=row.amount_pico,
            total_pico=self._traded[t] + row.amount_pico,
            supplier_only_pico=reference * price,
            reason=self._reason(row, tariff),
        )

    def _reason(self, row: Row[Any], tariff: Row[Any]) -> str:
        t = row.interval
        parts = [
            f"{verb} {_amount(energy)}"
            for verb, energy in (("sold", self._sold[t]), ("bought", self._bought[t]))
            if energy
        ]
        traded = self._sold[t] + self._bought[t]
        if traded:
            parts[-1] += f" ({abs(self._traded[t]) / traded / 1e4:.2f} ct/kWh with the fee)"
        if t in self._void:
            verb = "sold" if self._void[t] > 0 else "bought"
            parts.append(
                f"{_amount(abs(self._void[t]))} {verb} are void: they did not reach the chain in time"
            )
        forgiven = row.imbalance_milli_wh - (row.metered_milli_wh - row.position_milli_wh)
        if forgiven:
            parts.append(f"{_amount(forgiven)} of a shortfall forgiven: the controller ordered it")
        if t in self._not_forgiven:
            parts.append(
                f"up to {_amount(self._not_forgiven[t])} that the controller ordered are not forgiven: the "
                "curtailment reached the chain after the reading"
            )
        if row.imbalance_milli_wh < 0:
            parts.append(
                f"{_amount(-row.imbalance_milli_wh)} missing, {_party(tariff, 'bought from')} at "
                f"{tariff.short_micro_per_kwh / 1e4:.2f} ct/kWh"
            )
        elif row.imbalance_milli_wh > 0:
            parts.append(
                f"{_amount(row.imbalance_milli_wh)} left over, {_party(tariff, 'sold to')} at "
                f"{tariff.long_micro_per_kwh / 1e4:.2f} ct/kWh"
            )
        if t in self._substituted:
            parts.append(f"the registrar signed for the meter: {self._substituted[t].in_words}")
        elif t in self._carried:
            parts.append("its reading was brought in on chain past the hub, which took it over")
        return "; ".join(parts) or "nothing traded, nothing missing"


def _party(tariff: Row[Any], verb: str) -> str:
    return "settled inside the island" if tariff.is_island else f"{verb} the supplier"


def _amount(energy_milli_wh: int) -> str:
    """Say an energy for people: meters leave remainders far below what three decimals of a kWh show."""
    return "less than 1 Wh" if energy_milli_wh < 1_000 else f"{energy_milli_wh / 1e6:.3f} kWh"
