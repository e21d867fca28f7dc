"""A hub in memory with four accounts: the real services on a small store, no chain behind them."""

from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Table, func, insert, select

from market.chunks import Tariff
from market.intervals import IntervalGrid
from market.orders import NO_WISH, Order, Source, Wish
from market.rounds import RoundSchedule
from node.bus.memory import MemoryBus
from node.bus.messages import CurtailmentNotice, MeterReading, OrderBatch, Receipt, Refusal, SignedOrder
from node.chain import typed_data
from node.chain.keys import LocalSigner, derive
from node.chain.typed_data import Domain
from node.clock import VirtualClock
from node.hub.clearing import Clearing
from node.hub.margin_desk import MarginDesk
from node.hub.metering import Metering
from node.hub.registry import Registry
from node.hub.trading import DoorPolicy, Trading, load_book
from node.store import tables_chain, tables_market
from node.store.unit_of_work import Store

LENGTH_S = 900
T = 1_973_760  # an interval; the clock starts four hours before it
FEE = 2_500
CAP = 1_000_000
CAPACITY = 4_000_000
SHORT, LONG = 255_000, 78_600
ACCOUNTS = (2, 3, 4, 5)
MEMBER_OF = {2: 1, 3: 0, 4: 1, 5: 2}
SOURCES = {2: 0, 3: 1 << Source.SOLAR, 4: 1 << Source.STORAGE | 1 << Source.SOLAR, 5: 0}
DOMAIN = Domain(1848, bytes(19) + b"\x07")


def key(name: str) -> LocalSigner:
    return derive(1, f"small hub/{name}")


@dataclass
class Hub:
    """The services of one hub; `restart` leaves nothing but the store."""

    store: Store
    clock: VirtualClock
    bus: MemoryBus
    registry: Registry
    desk: MarginDesk
    trading: Trading
    clearing: Clearing
    metering: Metering

    @classmethod
    def open(cls, *, balance_pico: int = 500 * 10**12) -> "Hub":
        store = Store("sqlite://")
        store.create_tables()
        with store.begin() as connection:
            for account in ACCOUNTS:
                connection.execute(insert(tables_market.accounts), _account(account))
                connection.execute(insert(tables_chain.chain_accounts), _on_chain(account, balance_pico))
            connection.execute(insert(tables_market.tariffs), [_tariff(T + n) for n in range(8)])
        return cls.on(store, VirtualClock(T * LENGTH_S - 4 * 3_600))

    @classmethod
    def on(cls, store: Store, clock: VirtualClock) -> "Hub":
        bus, grid = MemoryBus(), IntervalGrid(LENGTH_S)
        with store.read() as connection:
            registry = Registry.load(connection)
            book = load_book(connection, T)
            desk = MarginDesk(registry, lambda _interval: Tariff(SHORT, LONG), T - 1)
            desk.replay(connection, T)
        schedule = RoundSchedule(grid, ZoneInfo("Europe/Berlin"), None, (3_600, 300))
        policy = DoorPolicy(CAP, 100)
        trading = Trading(store, DOMAIN, key("operator"), registry, schedule, grid, clock, policy, book, desk)
        node_of_account = np.arange(1, len(ACCOUNTS) + 1)
        parent = np.array([-1, 0, 0, 0, 0])
        clearing = Clearing(store, book, registry, node_of_account, parent, clock, bus, desk, FEE)
        metering = Metering(DOMAIN, registry, clock, key("curtailer").address, is_signed=True)
        return cls(store, clock, bus, registry, desk, trading, clearing, metering)

    def restart(self) -> "Hub":
        return Hub.on(self.store, self.clock)

    def submit(self, *orders: Order, **wrong: Any) -> list[Receipt | Refusal]:
        """Hand in orders, each with its agent's signature, in one batch an account."""
        signed = [self.signed(order, **wrong) for order in orders]
        answers = self.trading.submit([OrderBatch(one.order.account, (one,)) for one in signed])
        return [answer for receipts in answers for answer in receipts.answers]

    @staticmethod
    def signed(
        order: Order, by: str | None = None, domain: Domain = DOMAIN, wish: Wish = NO_WISH
    ) -> SignedOrder:
        r, vs = typed_data.sign(key(by or f"agent/{order.account}"), domain, order)
        return SignedOrder(order, r, vs, wish)

    def rows(self, table: Table) -> list[Any]:
        with self.store.read() as connection:
            return connection.execute(select(table).order_by(*table.primary_key.columns)).all()

    def count(self, table: Table) -> int:
        with self.store.read() as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar_one()

    def seen(self, interval: int = T) -> list[tuple[int, int, int]]:
        """Return account, lane and quantity of what the next auction sees."""
        selection = self.clearing._book.select(interval)
        chosen = selection.orders
        return [
            (int(chosen.account[i]), int(selection.lane[i]), int(chosen.quantity_milli_wh[i]))
            for i in range(len(chosen))
        ]

    def state(self) -> dict[str, Any]:
        """Return all that a refused or failed call must leave as it was."""
        tables = (*tables_market.metadata.sorted_tables,)
        return {
            "book": self.clearing._book.to_bytes(),
            "exposure": {account: self.desk.exposure_pico(account) for account in ACCOUNTS},
            "next": self.trading.next_sequence,
            "rows": {table.name: self.count(table) for table in tables},
        }


def order(account: int = 2, **changes: Any) -> Order:
    """Return a bid of half a kWh at 20 ct; the neighbours offer."""
    draft = Order(account, 1, account == 2, 0, T, T, 500_000, 200_000 if account == 2 else 100_000)
    return replace(draft, **changes)


def reading(account: int, interval: int, register_milli_wh: int, by: str | None = None) -> MeterReading:
    message = typed_data.Reading(account, interval, register_milli_wh)
    r, vs = typed_data.sign(key(by or f"meter/{account}"), DOMAIN, message)
    return MeterReading(account, interval, register_milli_wh, r, vs)


def curtailment(
    account: int, interval: int, quantity_milli_wh: int, by: str = "curtailer"
) -> CurtailmentNotice:
    message = typed_data.Curtailment(account, interval, quantity_milli_wh)
    r, vs = typed_data.sign(key(by), DOMAIN, message)
    return CurtailmentNotice(account, interval, quantity_milli_wh, "cable", r, vs)


def _account(account: int) -> dict[str, Any]:
    return {
        "account": account,
        "agent": key(f"agent/{account}").address,
        "meter": key(f"meter/{account}").address,
        "epoch": 1,
        "zone": 0,
        "node": f"connection:{account}",
        "capacity_milli_wh": CAPACITY,
        "member_of": MEMBER_OF[account],
        "sources": SOURCES[account],
    }


def _on_chain(account: int, balance_pico: int) -> dict[str, Any]:
    zeros = {
        column.name: 0
        for column in tables_chain.chain_accounts.columns
        if column.name not in ("owner", "is_metered", "parked_milli_wh", "curtailed_milli_wh")
    }
    return zeros | {
        "account": account,
        "balance_pico": balance_pico,
        "is_metered": True,
        "parked_milli_wh": "{}",
        "curtailed_milli_wh": "{}",
    }


def _tariff(interval: int) -> dict[str, int]:
    return {"interval": interval, "zone": 0, "short_micro_per_kwh": SHORT, "long_micro_per_kwh": LONG}
