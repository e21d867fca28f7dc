"""Timeslots as they were announced."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import Row, select

from node.api.context import Cursor, Db, Here, Limit
from node.api.forms import utc
from node.api.pages import Page, after, page
from node.api.schemas import Answer, IntervalIndex, Time
from node.store.tables_timeslots import timeslots

router = APIRouter(prefix="/v1", tags=["market"])


class Timeslot(Answer):
    """Intervals that are traded as one: an order covers all of them, or none."""

    first: IntervalIndex
    last: IntervalIndex
    start: Time
    end: Time
    announced_at: Time
    price_spread_pu: float = Field(description="expected inside it, of the day's mean", examples=[0.02])
    demand_spread_pu: float = Field(description="expected inside it, of the day's mean", examples=[0.08])


@router.get("/timeslots")
def list_timeslots(here: Here, db: Db, limit: Limit = 100, cursor: Cursor = None) -> Page[Timeslot]:
    """List announced timeslots in order of time; empty where intervals are traded one by one."""
    grid = here.community.scenario.grid

    def shown(row: Row[Any]) -> Timeslot:
        return Timeslot(
            first=row.first,
            last=row.last,
            start=utc(grid.start_s(row.first)),
            end=utc(grid.end_s(row.last)),
            announced_at=utc(row.announced_at_s),
            price_spread_pu=row.price_spread_pu,
            demand_spread_pu=row.demand_spread_pu,
        )

    key = [timeslots.c.first]
    return page(db.execute(after(select(timeslots), key, cursor, limit)).all(), limit, key, shown)
