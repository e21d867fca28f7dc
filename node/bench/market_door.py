"""Measure the door: signed orders checked, answered with a signed receipt and stored durably, on one core."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from market.book import Book
from market.chunks import Tariff
from market.intervals import IntervalGrid
from market.orders import Order
from market.rounds import RoundSchedule
from node.bus.messages import OrderBatch, Receipt, SignedOrder
from node.chain import typed_data
from node.chain.keys import LocalSigner, derive
from node.chain.typed_data import CompactSignature, Domain
from node.clock import VirtualClock
from node.hub.margin_desk import MarginDesk
from node.hub.registry import Registry
from node.hub.trading import DoorPolicy, Trading
from node.store.unit_of_work import Store

N_ACCOUNTS: Final = 100
ORDERS_EACH: Final = 96
# One transaction takes the batches that arrived together: here those of ten accounts.
BATCHES_AT_ONCE: Final = 10
FIRST_ACCOUNT: Final = 2
PRICE_CAP: Final = 2_000_000
CAPACITY_MILLI_WH: Final = 10**7
NOON: Final = datetime(2026, 6, 14, 10, 0, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class DoorFigures:
    """Accepted orders per second, by the wall and by the processor's time, and what their signatures take alone.

    On a busy machine the wall counts other work too; the processor's time does not wait for the disk.
    """

    orders_per_s: float
    orders_per_cpu_s: float
    signature_check_share: float
    receipt_signing_share: float


def door_figures() -> DoorFigures:
    """Hand in signed orders of 100 accounts for a day and time the door's answer.

    Raises
    ------
    SystemExit
        If an order is refused: the figure would count something else.
    """
    domain = Domain(1337, bytes(range(20)))
    grid = IntervalGrid(900)
    schedule = RoundSchedule(grid, ZoneInfo("Europe/Berlin"))
    agents = [derive(0, f"agent {number}") for number in range(N_ACCOUNTS)]
    batches = _batches(domain, agents, grid)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{Path(folder) / 'door.db'}")
        store.create_tables()
        door = _door(store, domain, agents, schedule, grid)
        started, cpu_started = time.perf_counter(), time.process_time()
        answers = [
            answer
            for first in range(0, len(batches), BATCHES_AT_ONCE)
            for receipts in door.submit(batches[first : first + BATCHES_AT_ONCE])
            for answer in receipts.answers
        ]
        seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
        store.engine.dispose()
    refused = [answer for answer in answers if not isinstance(answer, Receipt)]
    if refused:
        raise SystemExit(f"the door refused an order: {refused[0]}")
    signed = [order for batch in batches for order in batch.orders]
    hashes = [typed_data.order_hash(domain, one.order) for one in signed]
    operator = derive(0, "operator")
    check_s = _seconds(
        lambda: [
            typed_data.recover_digest(digest, CompactSignature(one.r, one.vs))
            for digest, one in zip(hashes, signed, strict=True)
        ]
    )
    receipt_s = _seconds(
        lambda: [
            typed_data.sign(operator, domain, typed_data.Receipt(digest, number, int(NOON)))
            for number, digest in enumerate(hashes)
        ]
    )
    n = len(signed)
    return DoorFigures(n / seconds, n / cpu_s, check_s / cpu_s, receipt_s / cpu_s)


def _batches(domain: Domain, agents: list[LocalSigner], grid: IntervalGrid) -> list[OrderBatch]:
    rng = np.random.default_rng(0)
    first = grid.index_at(NOON) + 48
    batches = []
    for number, agent in enumerate(agents):
        signed = []
        for interval in range(first, first + ORDERS_EACH):
            order = Order(
                account=FIRST_ACCOUNT + number,
                epoch=1,
                is_buy=bool(rng.random() < 0.5),
                lane=0,
                first=interval,
                last=interval,
                quantity_milli_wh=int(rng.integers(1, CAPACITY_MILLI_WH)),
                limit_micro_per_kwh=int(rng.integers(0, 500_000)),
            )
            r, vs = typed_data.sign(agent, domain, order)
            signed.append(SignedOrder(order, r, vs))
        batches.append(OrderBatch(FIRST_ACCOUNT + number, tuple(signed)))
    return batches


def _door(
    store: Store,
    domain: Domain,
    agents: list[LocalSigner],
    schedule: RoundSchedule,
    grid: IntervalGrid,
) -> Trading:
    n = len(agents)
    registry = Registry(
        account=np.arange(FIRST_ACCOUNT, FIRST_ACCOUNT + n),
        agent=tuple(agent.address for agent in agents),
        meter=tuple(agent.address for agent in agents),
        epoch=np.ones(n, np.int64),
        zone=np.zeros(n, np.int64),
        node=("root",) * n,
        capacity_milli_wh=np.full(n, CAPACITY_MILLI_WH),
        member_of=np.zeros(n, np.int64),
        sources=np.zeros(n, np.int64),
    )
    tariff = Tariff(300_000, 80_000)
    read = grid.index_at(NOON) - 1
    # Balances live on chain; without one the desk still computes every account's exposure.
    desk = MarginDesk(registry, lambda _interval: tariff, read, is_bounded=False)
    policy = DoorPolicy(PRICE_CAP, horizon_intervals=192)
    operator = derive(0, "operator")
    return Trading(
        store, domain, operator, registry, schedule, grid, VirtualClock(NOON), policy, Book(), desk
    )


def _seconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started
