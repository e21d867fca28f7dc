"""Prices before one trades: the zones, and what an order would come to as far as anybody can tell."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import select

from market.intervals import IntervalGrid
from market.orders import MAX_ACCOUNT, MAX_INTERVAL
from market.units import MAX_QUANTITY_MILLI_WH
from node.api.context import Db, Here
from node.api.forms import utc
from node.api.problems import NotFound, Problem
from node.api.schemas_zones import Quote, Zone
from node.store.tables_market import accounts, prices, rounds, zones

router = APIRouter(prefix="/v1", tags=["market"])
SECONDS_PER_DAY = 86_400
DAYS_BACK = 7


@router.get("/zones")
def list_zones(db: Db) -> list[Zone]:
    """List the price zones by number."""
    found = db.execute(select(zones).order_by(zones.c.zone)).all()
    if not found:
        nothing = {"node": None, "parent": None, "import_cap_milli_wh": None, "export_cap_milli_wh": None}
        return [Zone(zone=0, fee_micro_per_kwh=0, **nothing)]
    return [
        Zone(
            zone=row.zone,
            node=row.node,
            parent=None if row.parent < 0 else row.parent,
            import_cap_milli_wh=row.import_cap_milli_wh,
            export_cap_milli_wh=row.export_cap_milli_wh,
            fee_micro_per_kwh=row.fee_micro_per_kwh,
        )
        for row in found
    ]


@router.get("/quote", responses={404: {"model": Problem}})
def quote(
    here: Here,
    db: Db,
    account: Annotated[int, Query(ge=0, le=MAX_ACCOUNT, description="who would trade", examples=[2])],
    interval: Annotated[
        int, Query(ge=0, le=MAX_INTERVAL, description="index of the interval", examples=[1973700])
    ],
    is_buy: Annotated[bool, Query(description="false: a sale", examples=[True])],
    quantity_milli_wh: Annotated[
        int, Query(gt=0, le=MAX_QUANTITY_MILLI_WH, description="in the interval", examples=[500_000])
    ],
) -> Quote:
    """Say what a trade would come to: a buyer's total or a seller's net, beside the supplier's.

    The price is that of the interval's newest round in the account's zone, else that of the same time on the newest
    day before that has one. An auction may give another; an order's limit holds in any case.
    """
    zone = db.execute(select(accounts.c.zone).where(accounts.c.account == account)).scalar()
    if zone is None:
        raise NotFound(f"no account {account}")
    scenario = here.community.scenario
    price, basis = _newest(db, scenario.grid, interval, zone)
    fee = scenario.market.fee_micro_per_kwh
    all_in = None if price is None else price + fee if is_buy else price - fee
    short, long = here.community.supplier.prices(range(interval, interval + 1))
    supplier = int(short[0] if is_buy else long[0])
    levies = int(here.community.supplier.levies(range(interval, interval + 1))[0])
    received = -quantity_milli_wh if is_buy else quantity_milli_wh
    return Quote(
        account=account,
        zone=zone,
        interval=interval,
        start=utc(scenario.grid.start_s(interval)),
        is_buy=is_buy,
        quantity_milli_wh=quantity_milli_wh,
        basis=basis,
        price_micro_per_kwh=price,
        fee_micro_per_kwh=fee,
        all_in_micro_per_kwh=all_in,
        amount_pico=None if all_in is None else all_in * received,
        levies_micro_per_kwh=levies if is_buy else 0,
        supplier_micro_per_kwh=supplier,
        supplier_pico=supplier * received,
    )


def _newest(db: Db, grid: IntervalGrid, interval: int, zone: int) -> tuple[int | None, str]:
    """Return the newest price to go by, and what it is."""
    per_day = SECONDS_PER_DAY // grid.length_s
    for days in range(DAYS_BACK + 1):
        row = db.execute(
            select(prices.c.price_micro_per_kwh, prices.c.round)
            .join(rounds, (rounds.c.interval == prices.c.interval) & (rounds.c.round == prices.c.round))
            .where(
                prices.c.interval == interval - days * per_day,
                prices.c.zone == zone,
                prices.c.price_micro_per_kwh.is_not(None),
                rounds.c.volume_milli_wh > 0,
            )
            .order_by(prices.c.round.desc())
            .limit(1)
        ).one_or_none()
        if row is not None:
            when = (
                "this interval" if days == 0 else f"the same time {days} day{'s' if days > 1 else ''} before"
            )
            return row.price_micro_per_kwh, f"price of round {row.round} of {when}"
    return None, "nobody has traded at this time yet: a price lies between the supplier's two"
