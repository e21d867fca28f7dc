"""From fills and readings to the outbox: everything an interval owes the chain, exactly once."""

from dataclasses import dataclass

import pytest
from sqlalchemy import event, select

from node.audit.commitment import KIND
from node.audit.publishing import Frame, Publisher, network_of
from node.chain import typed_data
from node.chain.calldata import decode_settle
from node.chain.contracts import Deployment, Parameters, Roles
from node.chain.embedded import EmbeddedChain, Genesis
from node.chain.sender import Sender
from node.chain.typed_data import CompactSignature
from node.hub.settlement import Settlement
from node.store.tables_chain import outbox
from node.store.tables_market import chunks, fills, rounds
from tests.unit.node.chain.live import contracts
from tests.unit.node.hub.small_hub import (
    ACCOUNTS,
    DOMAIN,
    LENGTH_S,
    LONG,
    SHORT,
    Hub,
    T,
    curtailment,
    key,
    order,
    reading,
)


@dataclass
class Desk:
    hub: Hub
    settlement: Settlement
    sender: Sender
    deployment: Deployment

    def plan(self, interval: int = T) -> int:
        with self.hub.store.begin() as connection:
            return self.settlement.plan(connection, interval)

    def calls(self, kind: str) -> list[bytes]:
        with self.hub.store.read() as connection:
            query = select(outbox.c.data).where(outbox.c.kind == kind).order_by(outbox.c.id)
            return list(connection.execute(query).scalars())


def open_desk(max_fills: int = 100) -> Desk:
    hub = Hub.open()
    chain = EmbeddedChain(None, Genesis(DOMAIN.chain_id, T * LENGTH_S - 20_000))
    names = ("operator", "oracle", "registrar", "curtailer", "grid", "fees", "issuer")
    roles = Roles(**{name: key(name).address for name in names})
    split = bytes(19) + b"\x08"
    deployment = Deployment(DOMAIN.chain_id, bytes(19) + b"\x06", DOMAIN.contract, split, roles, Parameters())
    sender = Sender(hub.store, chain, {name: key(name) for name in ("operator", "buyer")})
    network = network_of(
        ("feeder", *map(str, ACCOUNTS)), (-1, 0, 0, 0, 0), ACCOUNTS, range(1, 5), (0,) * 4, (0,) * 4
    )
    publisher = Publisher(hub.store, sender, Frame(DOMAIN, network), None)
    settlement = Settlement(
        sender, contracts(), deployment, key("operator"), key("oracle"), max_fills, publisher
    )
    return Desk(hub, settlement, sender, deployment)


@pytest.fixture
def desk() -> Desk:
    return open_desk()


def deliver(hub: Hub, interval: int = T) -> None:
    """Trade in two rounds, curtail account 3, read all meters."""
    at = {"first": interval, "last": interval}
    hub.submit(
        order(2, **at), order(3, quantity_milli_wh=300_000, **at), order(4, quantity_milli_wh=100_000, **at)
    )
    hub.clearing.clear(0, [interval])
    hub.submit(order(2, lane=1, **at), order(5, quantity_milli_wh=200_000, **at))
    hub.clearing.clear(1, [interval])
    with hub.store.begin() as connection:
        hub.metering.curtail(connection, [curtailment(3, interval, 50_000)])
        hub.metering.read(
            connection, interval, [reading(account, interval, account * 1_000) for account in ACCOUNTS]
        )


def test_an_interval_becomes_tariffs_curtailments_and_chunks(desk):
    deliver(desk.hub)
    assert desk.plan() == 2
    with desk.hub.store.read() as connection:
        planned = connection.execute(select(outbox).order_by(outbox.c.id)).all()
    assert [(row.kind, row.ref, row.state) for row in planned] == [
        ("tariffs", f"{T}", "planned"),
        ("curtailment", f"{T}/3", "planned"),
        ("chunk", "0", "planned"),
        ("chunk", "1", "planned"),
        (KIND, f"{T}", "planned"),
    ]
    # account 2 trades in the second round too: it is read after that one, and with it who waits for no chunk
    assert [(row.sequence, row.round, row.n_fills) for row in desk.hub.rows(chunks)] == [(0, 0, 3), (1, 1, 2)]
    assert sum(row.n_readings for row in desk.hub.rows(chunks)) == len(ACCOUNTS)


def test_the_chunks_carry_every_fill_and_reading_once_with_its_signature(desk):
    deliver(desk.hub)
    desk.plan()
    calls = [decode_settle(data) for data in desk.calls("chunk")]
    carried = [
        (call.round, fill.order.account, abs(fill.sold_milli_wh)) for call in calls for fill in call.fills
    ]
    stored = [(row.round, row.account, row.quantity_milli_wh) for row in desk.hub.rows(fills)]
    assert sorted(carried) == sorted(stored)
    read = [one for call in calls for one in call.readings]
    assert sorted(one.account for one in read) == list(ACCOUNTS)
    for one in read:
        message = typed_data.Reading(one.account, T, one.register_milli_wh)
        assert typed_data.recover(DOMAIN, message, one.signature) == key(f"meter/{one.account}").address
    for call in calls:
        for fill in call.fills:
            agent = key(f"agent/{fill.order.account}").address
            assert typed_data.recover(DOMAIN, fill.order, fill.signature) == agent


@pytest.mark.parametrize("max_fills", [2, 3, 4, 100])
def test_energy_of_every_chunk_adds_to_zero_wherever_it_is_cut(max_fills):
    desk = open_desk(max_fills)
    deliver(desk.hub)
    desk.plan()
    calls = [decode_settle(data) for data in desk.calls("chunk")]
    for call in calls:
        assert sum(fill.sold_milli_wh for fill in call.fills) == 0
        assert len(call.fills) <= max_fills
    bought = sum(fill.sold_milli_wh for call in calls for fill in call.fills if fill.order.is_buy)
    assert bought == -sum(row.volume_milli_wh for row in desk.hub.rows(rounds))


def test_a_reading_comes_with_the_last_chunk_that_touches_its_account(desk):
    deliver(desk.hub)
    desk.plan()
    calls = [decode_settle(data) for data in desk.calls("chunk")]
    read_in = {one.account: n for n, call in enumerate(calls) for one in call.readings}
    for n, call in enumerate(calls):
        assert all(read_in[fill.order.account] >= n for fill in call.fills)


def test_tariffs_are_signed_by_the_oracle_and_planned_once(desk):
    deliver(desk.hub)
    desk.plan()
    (data,) = desk.calls("tariffs")
    encoded = contracts().settlement.encode(
        "publish_tariffs",
        T,
        [(SHORT, LONG)],
        *typed_data.sign(key("oracle"), DOMAIN, typed_data.Tariffs(T, (typed_data.Tariff(SHORT, LONG),))),
    )
    assert data == encoded


def test_the_controllers_own_signature_goes_on_chain(desk):
    deliver(desk.hub)
    desk.plan()
    notice = curtailment(3, T, 50_000)
    signature = CompactSignature(notice.r, notice.vs)
    expected = contracts().settlement.encode("curtail", 3, T, 50_000, *signature)
    assert desk.calls("curtailment") == [expected]


def test_planning_twice_changes_nothing(desk):
    deliver(desk.hub)
    n = desk.plan()
    before = desk.hub.state()
    assert desk.plan() == n
    assert desk.hub.state() == before


def test_sequences_go_on_from_interval_to_interval(desk):
    deliver(desk.hub)
    desk.plan()
    deliver(desk.hub, T + 1)
    desk.plan(T + 1)
    assert [(row.sequence, row.interval) for row in desk.hub.rows(chunks)] == [
        (0, T),
        (1, T),
        (2, T + 1),
        (3, T + 1),
    ]


def test_an_interval_without_trade_still_settles_its_readings(desk):
    desk.hub.clearing.clear(0, [T])
    with desk.hub.store.begin() as connection:
        desk.hub.metering.read(connection, T, [reading(account, T, -5) for account in ACCOUNTS])
    assert desk.plan() == 1
    (call,) = map(decode_settle, desk.calls("chunk"))
    assert call.fills == ()
    assert [one.account for one in call.readings] == list(ACCOUNTS)


class Unplugged(Exception):
    """The machine stops in the middle of a statement."""


@pytest.mark.parametrize("table", ["outbox", "chunks"])
def test_a_crash_while_planning_leaves_no_plan_at_all(desk, table):
    deliver(desk.hub)
    before = desk.hub.state()

    def unplug(_connection, _cursor, statement, *_rest):
        if statement.startswith(f"INSERT INTO {table}"):
            raise Unplugged

    engine = desk.hub.store.engine
    event.listen(engine, "after_cursor_execute", unplug)
    with pytest.raises(Unplugged):
        desk.plan()
    event.remove(engine, "after_cursor_execute", unplug)
    assert desk.hub.state() == before
    assert desk.plan() == 2
