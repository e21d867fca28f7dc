"""Power moved over ties, with the reason of each transfer."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import Row, select

from node.api.context import Cursor, Db, Here, Limit
from node.api.forms import utc
from node.api.pages import Page, after, page
from node.api.schemas import Answer, IntervalIndex, Time
from node.report.racks import names, why
from node.store.tables_racks import overloads, transfers

router = APIRouter(prefix="/v1", tags=["plant"])


class Transfer(Answer):
    """Energy that one participant's storages gave another over direct-current ties, or got back."""

    interval: IntervalIndex
    kind: str = Field(description="help or give_back", examples=["help"])
    source: int = Field(description="account that gives", examples=[9])
    target: int = Field(description="account that gets", examples=[7])
    start: Time
    end: Time
    given_wh: float = Field(description="at the giver's terminal", examples=[93.4])
    arrived_wh: float = Field(description="at the getter's terminal", examples=[86.6])
    reason: str = Field(
        examples=["Rack B3: overload of 0.7 kW predicted for 14:05, moved from Kinetic module B"]
    )


@router.get("/transfers")
def list_transfers(here: Here, db: Db, limit: Limit = 100, cursor: Cursor = None) -> Page[Transfer]:
    """List transfers over ties in the order in which they happened, each with its reason."""
    name, zone = names(db), here.community.scenario.zone
    limit_w = {row.account: row.limit_w for row in db.execute(select(overloads))}

    def shown(row: Row[Any]) -> Transfer:
        return Transfer(
            interval=row.interval,
            kind=row.kind,
            source=row.source,
            target=row.target,
            start=utc(row.start_s),
            end=utc(row.end_s),
            given_wh=row.given_wh,
            arrived_wh=row.arrived_wh,
            reason=why(row, name, limit_w.get(row.target), zone),
        )

    key = [transfers.c.interval, transfers.c.number]
    return page(db.execute(after(select(transfers), key, cursor, limit)).all(), limit, key, shown)
