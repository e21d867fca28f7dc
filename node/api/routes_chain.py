"""The chain's state, the market's terms, and what operators watch: livez, readyz, metrics."""

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import func, select

from node.api import schemas
from node.api.context import Context, Db, Here
from node.api.forms import hexed, utc
from node.api.problems import NotFound, Problem, problem
from node.chain.keys import checksum
from node.chain.reconcile import reconcile
from node.chain.typed_data import ORDER_TYPE
from node.store.tables_chain import blocks, carriers, chain_state, fee_bids, outbox
from node.store.tables_market import fills, orders, readings, rounds

router = APIRouter(prefix="/v1", tags=["chain"])
operations = APIRouter(tags=["operations"])


@router.get("/terms")
def get_terms(here: Here) -> schemas.Terms:
    """Return what an agent must know to trade here: clock, gates, bounds, and the EIP-712 domain."""
    community = here.community
    scenario = community.scenario
    now_s = community.clock.now_s()
    return schemas.Terms(
        now=utc(now_s),
        interval=scenario.grid.index_at(now_s),
        interval_s=scenario.interval_s,
        fee_micro_per_kwh=scenario.market.fee_micro_per_kwh,
        price_cap_micro_per_kwh=scenario.market.price_cap_micro_per_kwh,
        horizon_intervals=scenario.chain.notice_intervals,
        gate_lead_s=scenario.market.final_gate_s,
        chain_id=community.domain.chain_id,
        verifying_contract=checksum(community.domain.contract),
        order_type=ORDER_TYPE,
    )


@router.get("/chain", responses={404: {"model": Problem}})
def get_chain(here: Here, db: Db) -> schemas.ChainStatus:
    """Return the chain's state, and compare every account of the store with the contract."""
    community = here.community
    if community.chain is None or community.deployment is None or community.contracts is None:
        raise NotFound("this study runs without a chain")
    newest = db.execute(select(blocks).order_by(blocks.c.number.desc()).limit(1)).one()
    state = db.execute(select(chain_state)).one()
    found = reconcile(db, community.chain, community.contracts, community.deployment, is_full=True)
    return schemas.ChainStatus(
        chain_id=community.chain.chain_id,
        height=newest.number,
        block_hash=hexed(newest.hash),
        settlement=checksum(community.deployment.settlement),
        token=checksum(community.deployment.token),
        revenue_split=checksum(community.deployment.split),
        next_sequence=state.next_sequence,
        open_transactions=_open(db),
        differences=[str(difference) for difference in found],
    )


@operations.get("/livez")
def livez() -> schemas.Health:
    """Say that the process answers."""
    return schemas.Health(status="alive")


@operations.get("/readyz", response_model=schemas.Health, responses={503: {"model": Problem}})
def readyz(here: Here, db: Db) -> Any:
    """Say whether orders can be taken: the store answers and the chain is where the store thinks it is."""
    reason = _unready(here, db)
    if reason is not None:
        return problem(503, "not-ready", "Not ready", reason)
    return schemas.Health(status="ready")


def _unready(here: Context, db: Db) -> str | None:
    chain = here.community.chain
    if chain is None:
        return None
    seen = db.execute(select(func.max(blocks.c.number))).scalar()
    head = chain.head().number
    return None if seen == head else f"the chain is at block {head}, the store at {seen}"


def _open(db: Db) -> int:
    return int(
        db.execute(select(func.count()).select_from(outbox).where(outbox.c.state != "final")).scalar_one()
    )


@operations.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus' text format",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": "symgrid_orders 7301.0\n"}},
        }
    },
)
def metrics(here: Here, db: Db) -> Response:
    """Return gauges in Prometheus' text format."""
    registry = CollectorRegistry()
    counts = (
        ("orders", "orders in the book's history", select(func.count()).select_from(orders)),
        ("fills", "fills of all rounds", select(func.count()).select_from(fills)),
        ("rounds", "auctions held", select(func.count()).select_from(rounds)),
        ("readings", "meter readings", select(func.count()).select_from(readings)),
        ("traded_milli_wh", "energy bought in auctions", select(func.sum(rounds.c.volume_milli_wh))),
        ("last_read_interval", "newest metered interval", select(func.max(readings.c.interval))),
        ("chain_height", "newest block taken in", select(func.max(blocks.c.number))),
        (
            "carried_in",
            "transactions that somebody else's had done",
            select(func.count()).select_from(carriers),
        ),
        ("fee_bids", "offers to a chain that takes fees", select(func.count()).select_from(fee_bids)),
    )
    for name, text, query in counts:
        Gauge(f"symgrid_{name}", text, registry=registry).set(db.execute(query).scalar() or 0)
    Gauge("symgrid_outbox_open", "transactions that are not final", registry=registry).set(_open(db))
    Gauge("symgrid_clock_seconds", "the market's clock, unix time", registry=registry).set(
        here.community.clock.now_s()
    )
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
