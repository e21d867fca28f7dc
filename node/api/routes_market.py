"""Orders in and out, fills, trades, intervals and books."""

from collections import defaultdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, status
from sqlalchemy import select

from market.errors import OrderRefused, RefusalReason
from market.orders import NO_WISH, Order, Source, Wish
from market.pairing import Met
from market.rounds import MAX_ROUNDS
from node.api import schemas
from node.api.context import (
    AccountFilter,
    Context,
    Cursor,
    Db,
    End,
    Here,
    IntervalNumber,
    Limit,
    OrderHash,
    Start,
)
from node.api.forms import hexed, signature, unhexed, utc
from node.api.pages import Page, after, page
from node.api.problems import NotFound, Problem
from node.api.schemas_zones import ZonePrice, ZoneTariff
from node.bus.messages import OrderBatch, Receipt, Refusal, SignedOrder
from node.report.books import book_at
from node.store.tables_market import fills, orders, prices, rounds, tariffs, trades

router = APIRouter(prefix="/v1", tags=["market"])
RoundNumber = Annotated[int, Query(ge=0, lt=MAX_ROUNDS, description="0 is the day-ahead round", examples=[0])]
_SOURCE_NAMES: tuple[Literal["any", "solar", "storage"], ...] = ("any", "solar", "storage")
REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "description": "refused; `type` ends with the reason"}
    for code in (400, 403, 404, 409, 422)
}


@router.post("/orders", status_code=status.HTTP_201_CREATED, responses=REFUSALS)
def submit_order(here: Here, body: schemas.OrderIn) -> schemas.Receipt:
    """Hand in a signed order: a new one, or another one for a lane, which amends it; quantity 0 cancels.

    Handing in the same order again gives the same receipt, as long as no newer one has taken its place.
    """
    order = Order(
        body.account,
        body.epoch,
        body.is_buy,
        body.lane,
        body.first,
        body.last,
        body.quantity_milli_wh,
        body.limit_micro_per_kwh,
    )
    return _submit(here, order, body.signature, Wish(Source[body.source.upper()], body.partner, body.group))


@router.get("/orders")
def list_orders(
    db: Db, limit: Limit = 100, cursor: Cursor = None, account: AccountFilter = None
) -> Page[schemas.Order]:
    """List orders in the order of arrival."""
    query = select(orders)
    if account is not None:
        query = query.where(orders.c.account == account)
    key = [orders.c.sequence]
    return page(db.execute(after(query, key, cursor, limit)).all(), limit, key, _order)


@router.get("/orders/{order_hash}", responses={404: {"model": Problem}})
def get_order(db: Db, order_hash: OrderHash) -> schemas.Order:
    """Return one order by its EIP-712 digest."""
    return _order(_stored(db, order_hash))


@router.delete("/orders/{order_hash}", responses=REFUSALS)
def cancel_order(here: Here, db: Db, order_hash: OrderHash, body: schemas.CancelIn) -> schemas.Receipt:
    """Cancel an order: the same order with a quantity of zero, signed by its agent.

    Every order takes effect once. Who cancels a lane of the same intervals a second time signs another limit,
    and says which.
    """
    row = _stored(db, order_hash)
    limit = row.limit_micro_per_kwh if body.limit_micro_per_kwh is None else body.limit_micro_per_kwh
    order = Order(row.account, row.epoch, row.is_buy, row.lane, row.first, row.last, 0, limit)
    return _submit(here, order, body.signature, NO_WISH)


def _submit(here: Context, order: Order, signed: str, wish: Wish) -> schemas.Receipt:
    r, vs = signature(signed)
    batch = OrderBatch(order.account, (SignedOrder(order, r, vs, wish),))
    with here.door:
        answer = here.community.trading.submit([batch])[0].answers[0]
    if isinstance(answer, Refusal):
        raise OrderRefused(RefusalReason(answer.reason), answer.detail)
    assert isinstance(answer, Receipt)
    return schemas.Receipt(
        order_hash=f"0x{answer.order_hash}",
        sequence=answer.sequence,
        received_at=utc(answer.received_at_s),
        signature=hexed(answer.r.to_bytes(32, "big") + answer.vs.to_bytes(32, "big")),
    )


def _stored(db: Db, order_hash: str) -> Any:
    row = db.execute(
        select(orders).where(orders.c.hash == unhexed(order_hash, 32, "order_hash"))
    ).one_or_none()
    if row is None:
        raise NotFound(f"no order {order_hash}")
    return row


def _order(row: Any) -> schemas.Order:
    return schemas.Order(
        hash=hexed(row.hash),
        sequence=row.sequence,
        account=row.account,
        epoch=row.epoch,
        is_buy=row.is_buy,
        lane=row.lane,
        first=row.first,
        last=row.last,
        quantity_milli_wh=row.quantity_milli_wh,
        limit_micro_per_kwh=row.limit_micro_per_kwh,
        source=_SOURCE_NAMES[row.source],
        partner=row.partner,
        group=row.group,
        received_at=utc(row.received_at_s),
        signature=hexed(row.signature),
        receipt=hexed(row.receipt),
    )


@router.get("/fills")
def list_fills(
    here: Here,
    db: Db,
    limit: Limit = 100,
    cursor: Cursor = None,
    account: AccountFilter = None,
    start: Start = None,
    end: End = None,
) -> Page[schemas.Fill]:
    """List fills by interval, round and order."""
    span = here.span(start, end)
    query = select(fills).where(fills.c.interval >= span.start, fills.c.interval < span.stop)
    if account is not None:
        query = query.where(fills.c.account == account)
    key = [fills.c.interval, fills.c.round, fills.c.sequence]
    grid = here.community.scenario.grid

    fee = here.community.scenario.market.fee_micro_per_kwh

    def make(row: Any) -> schemas.Fill:
        return schemas.Fill(
            interval=row.interval,
            start=utc(grid.start_s(row.interval)),
            round=row.round,
            sequence=row.sequence,
            account=row.account,
            is_buy=row.is_buy,
            quantity_milli_wh=row.quantity_milli_wh,
            price_micro_per_kwh=row.price_micro_per_kwh,
            all_in_micro_per_kwh=row.price_micro_per_kwh + (fee if row.is_buy else -fee),
            amount_pico=row.amount_pico,
        )

    return page(db.execute(after(query, key, cursor, limit)).all(), limit, key, make)


@router.get("/trades")
def list_trades(
    here: Here,
    db: Db,
    limit: Limit = 100,
    cursor: Cursor = None,
    account: AccountFilter = None,
    start: Start = None,
    end: End = None,
) -> Page[schemas.Trade]:
    """List trades by interval, round and number."""
    span = here.span(start, end)
    query = select(trades).where(trades.c.interval >= span.start, trades.c.interval < span.stop)
    if account is not None:
        query = query.where((trades.c.buyer == account) | (trades.c.seller == account))
    key = [trades.c.interval, trades.c.round, trades.c.number]
    grid = here.community.scenario.grid

    def make(row: Any) -> schemas.Trade:
        words = {"met": Met(row.met).name.lower(), "source": _SOURCE_NAMES[row.source]}
        return schemas.Trade(start=utc(grid.start_s(row.interval)), **{**row._mapping, **words})

    return page(db.execute(after(query, key, cursor, limit)).all(), limit, key, make)


@router.get("/intervals")
def list_intervals(
    here: Here, db: Db, limit: Limit = 100, cursor: Cursor = None, start: Start = None, end: End = None
) -> Page[schemas.Interval]:
    """List intervals that a round has cleared, with price, volume and tariff."""
    span = here.span(start, end)
    query = (
        select(rounds.c.interval)
        .where(rounds.c.interval >= span.start, rounds.c.interval < span.stop)
        .distinct()
    )
    key = [rounds.c.interval]
    found = db.execute(after(query, key, cursor, limit)).all()
    return page(found, limit, key, lambda row: _interval(here, db, row.interval))


@router.get("/intervals/{interval}", responses={404: {"model": Problem}})
def get_interval(here: Here, db: Db, interval: IntervalNumber) -> schemas.Interval:
    """Return one interval."""
    found = _interval(here, db, interval)
    if not found.rounds:
        raise NotFound(f"interval {interval} has not been cleared")
    return found


def _interval(here: Context, db: Db, interval: int) -> schemas.Interval:
    grid = here.community.scenario.grid
    held = db.execute(
        select(rounds, prices.c.price_micro_per_kwh, prices.c.low_micro_per_kwh, prices.c.high_micro_per_kwh)
        .join(prices, (prices.c.interval == rounds.c.interval) & (prices.c.round == rounds.c.round))
        .where(rounds.c.interval == interval, prices.c.zone == 0)
        .order_by(rounds.c.round)
    ).all()
    by_zone = db.execute(select(tariffs).where(tariffs.c.interval == interval).order_by(tariffs.c.zone)).all()
    tariff = by_zone[0] if by_zone else None
    told: defaultdict[int, list[ZonePrice]] = defaultdict(list)
    for row in db.execute(
        select(prices).where(prices.c.interval == interval).order_by(prices.c.round, prices.c.zone)
    ):
        told[row.round].append(ZonePrice(zone=row.zone, price_micro_per_kwh=row.price_micro_per_kwh))
    return schemas.Interval(
        interval=interval,
        start=utc(grid.start_s(interval)),
        end=utc(grid.end_s(interval)),
        rounds=[
            schemas.Round(
                round=row.round,
                cleared_at=utc(row.cleared_at_s),
                price_micro_per_kwh=row.price_micro_per_kwh,
                low_micro_per_kwh=row.low_micro_per_kwh,
                high_micro_per_kwh=row.high_micro_per_kwh,
                zones=told[row.round],
                volume_milli_wh=row.volume_milli_wh,
                n_orders=row.n_orders,
                book_root=hexed(row.book_root),
            )
            for row in held
        ],
        short_micro_per_kwh=None if tariff is None else tariff.short_micro_per_kwh,
        long_micro_per_kwh=None if tariff is None else tariff.long_micro_per_kwh,
        zones=[
            ZoneTariff(
                short_micro_per_kwh=row.short_micro_per_kwh,
                long_micro_per_kwh=row.long_micro_per_kwh,
                is_island=row.is_island,
            )
            for row in by_zone
        ],
    )


@router.get("/intervals/{interval}/book", responses={404: {"model": Problem}})
def get_book(db: Db, interval: IntervalNumber, round_number: RoundNumber = 0) -> schemas.Book:
    """Return the book that one auction saw, best orders first, without owners."""
    held = db.execute(
        select(rounds, prices.c.price_micro_per_kwh)
        .join(prices, (prices.c.interval == rounds.c.interval) & (prices.c.round == rounds.c.round))
        .where(rounds.c.interval == interval, rounds.c.round == round_number, prices.c.zone == 0)
    ).one_or_none()
    if held is None:
        raise NotFound(f"round {round_number} of interval {interval} has not been held")
    rows = book_at(db, interval, round_number)
    rows.sort(
        key=lambda r: (
            r.is_buy,
            -r.limit_micro_per_kwh if r.is_buy else r.limit_micro_per_kwh,
            r.sequence,
        )
    )
    return schemas.Book(
        interval=interval,
        round=round_number,
        price_micro_per_kwh=held.price_micro_per_kwh,
        volume_milli_wh=held.volume_milli_wh,
        orders=[
            schemas.BookLevel(
                is_buy=row.is_buy,
                limit_micro_per_kwh=row.limit_micro_per_kwh,
                quantity_milli_wh=row.quantity_milli_wh,
            )
            for row in rows
        ],
    )
