"""What befell supply and control, and the parts of the network that live or lived alone."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy import Row, select

from node.api import schemas
from node.api.context import Cursor, Db, Limit
from node.api.forms import utc
from node.api.pages import Page, after, page
from node.store.tables_devices import incidents
from node.store.tables_islands import island_intervals, island_services

router = APIRouter(prefix="/v1", tags=["plant"])


@router.get("/incidents")
def list_incidents(db: Db, limit: Limit = 100, cursor: Cursor = None) -> Page[schemas.Incident]:
    """List what happened to supply, control and voltage, in order."""
    key = [incidents.c.interval, incidents.c.number]
    rows = db.execute(after(select(incidents), key, cursor, limit)).all()
    return page(
        rows,
        limit,
        key,
        lambda row: schemas.Incident(
            interval=row.interval, at=utc(row.at_s), kind=row.kind, subject=row.subject
        ),
    )


@router.get("/islands")
def list_islands(db: Db, limit: Limit = 100, cursor: Cursor = None) -> Page[schemas.Island]:
    """List intervals in which a part of the network was cut off: who led it and whom it served."""
    key = [island_intervals.c.interval, island_intervals.c.node]
    rows = db.execute(after(select(island_intervals), key, cursor, limit)).all()

    def one(row: Row[Any]) -> schemas.Island:
        served = db.execute(
            select(island_services).where(
                island_services.c.interval == row.interval,
                island_services.c.node == row.node,
            )
        ).all()
        return schemas.Island(
            interval=row.interval,
            node=row.node,
            phase=row.phase,
            leader=row.leader,
            term=row.term,
            cut_s=row.cut_s,
            usable_wh=row.usable_wh,
            services=[
                schemas.IslandService(
                    priority=service.priority, wanted_wh=service.wanted_wh, served_wh=service.served_wh
                )
                for service in served
            ],
        )

    return page(rows, limit, key, one)
