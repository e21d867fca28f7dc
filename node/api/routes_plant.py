"""Devices with the reasons of their setpoints, and grid events."""

import json
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Row, func, select

from node.api import schemas
from node.api.context import AccountFilter, Cursor, Db, DeviceNumber, Here, Limit
from node.api.forms import hexed, utc
from node.api.pages import Page, after, page
from node.api.problems import NotFound, Problem
from node.store.tables_devices import device_intervals, devices, setpoints
from node.store.tables_market import flex_events, flex_members

router = APIRouter(prefix="/v1", tags=["plant"])
SECONDS_PER_HOUR = 3_600


@router.get("/devices")
def list_devices(
    here: Here, db: Db, limit: Limit = 100, cursor: Cursor = None, account: AccountFilter = None
) -> Page[schemas.Device]:
    """List devices with their newest state and the reason of their last setpoint."""
    query = select(devices)
    if account is not None:
        query = query.where(devices.c.account == account)
    key = [devices.c.id]
    return page(
        db.execute(after(query, key, cursor, limit)).all(), limit, key, lambda r: _device(here, db, r)
    )


@router.get("/devices/{device}", responses={404: {"model": Problem}})
def get_device(here: Here, db: Db, device: DeviceNumber) -> schemas.Device:
    """Return one device."""
    row = db.execute(select(devices).where(devices.c.id == device)).one_or_none()
    if row is None:
        raise NotFound(f"no device {device}")
    return _device(here, db, row)


def _device(here: Here, db: Db, row: Row[Any]) -> schemas.Device:
    newest = db.execute(
        select(device_intervals)
        .where(device_intervals.c.device == row.id)
        .order_by(device_intervals.c.interval.desc())
        .limit(1)
    ).one_or_none()
    last = db.execute(
        select(setpoints).where(setpoints.c.device == row.id).order_by(setpoints.c.id.desc()).limit(1)
    ).one_or_none()
    parameters = json.loads(row.parameters)
    hours = here.community.scenario.interval_s / SECONDS_PER_HOUR
    stores = parameters.get("capacity_wh", 0) > 0 or "tank_wh" in parameters
    return schemas.Device(
        id=row.id,
        name=row.name,
        account=row.account,
        kind=row.kind,
        node=row.node,
        parameters=parameters,
        energy_wh=newest.energy_wh if newest is not None and stores else None,
        mean_power_w=None if newest is None else newest.terminal_wh / hours,
        setpoint_w=None if last is None else last.p_w,
        setpoint_at=None if last is None else utc(last.at_s),
        reason=None if last is None else last.reason,
    )


@router.get("/events")
def list_events(here: Here, db: Db) -> list[schemas.GridEvent]:
    """List grid events with every member's baseline, contribution and share."""
    grid = here.community.scenario.grid
    result = []
    for event in db.execute(select(flex_events).order_by(flex_events.c.id)):
        rows = db.execute(
            select(flex_members).where(flex_members.c.event_id == event.id).order_by(flex_members.c.account)
        ).all()
        result.append(
            schemas.GridEvent(
                name=event.name,
                chain_id=event.chain_id,
                start=utc(grid.start_s(event.first)),
                end=utc(grid.end_s(event.last)),
                requested_w=event.requested_w,
                revenue_pico=event.revenue_pico,
                state=event.state,
                baseline_root=hexed(event.root),
                members=[
                    schemas.EventMember(
                        account=row.account,
                        baseline_milli_wh=row.baseline_milli_wh,
                        contribution_milli_wh=row.contribution_milli_wh,
                        paid_pico=row.paid_pico,
                    )
                    for row in rows
                ],
            )
        )
    return result


def newest_interval(db: Db) -> int | None:
    """Return the newest interval of which devices were recorded."""
    newest: int | None = db.execute(select(func.max(device_intervals.c.interval))).scalar()
    return newest
