"""What is left of a round when a part of its fills did not reach the chain in time."""

import pytest
from sqlalchemy import insert, select

from node.audit.publishing import Frame, network_of
from node.chain import calldata
from node.chain.calldata import SignedFill, SignedReading, settle_calldata
from node.chain.contracts import Deployment, Parameters, Roles
from node.chain.outbox import OutboxState
from node.chain.typed_data import CompactSignature, Tariff
from node.hub.voiding import GivingUp, shrunk
from node.report.void_fills import void_fills
from node.store.tables_chain import outbox
from node.store.tables_market import (
    chunks,
    curtailments,
    fills,
    imbalances,
    readings,
    trades,
    voided_curtailments,
    voided_fills,
)
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

PARAMETERS = Parameters(length_s=LENGTH_S, fill_window_s=2 * LENGTH_S)
ROLES = Roles(*(key(f"role {i}").address for i in range(7)))
DEPLOYMENT = Deployment(DOMAIN.chain_id, b"\1" * 20, DOMAIN.contract, b"\2" * 20, ROLES, PARAMETERS)

FRAME = Frame(DOMAIN, network_of(["root"], [-1], ACCOUNTS, [0] * 4, [0] * 4, [0] * 4))


def trade(number: int, buyer: int, seller: int, quantity: int) -> dict[str, int]:
    names = ("number", "buyer", "seller", "quantity_milli_wh", "met_at", "met", "source")
    return dict(zip(names, (number, buyer, seller, quantity, 3, 1, 2), strict=True))


def told(rows) -> list[tuple[int, int, int, int]]:
    return [(row["number"], row["buyer"], row["seller"], row["quantity_milli_wh"]) for row in rows]


def test_trades_shrink_to_what_both_sides_have_left() -> None:
    known = [trade(0, 2, 3, 100), trade(1, 4, 5, 50)]
    assert told(shrunk(known, {2: 60, 4: 50}, {3: 60, 5: 50})) == [(0, 2, 3, 60), (1, 4, 5, 50)]
    assert told(shrunk(known, {2: 0, 4: 50}, {3: 0, 5: 50})) == [(0, 4, 5, 50)]
    assert told(shrunk(known, {2: 0, 4: 0}, {3: 0, 5: 0})) == []


def test_who_is_left_without_his_partner_meets_whoever_is_left_at_the_root() -> None:
    known = [trade(0, 2, 3, 100), trade(1, 4, 5, 50)]
    rows = list(shrunk(known, {2: 70, 4: 0}, {3: 40, 5: 30}))
    assert told(rows) == [(0, 2, 3, 40), (1, 2, 5, 30)]
    assert (rows[1]["met_at"], rows[1]["met"], rows[1]["source"]) == (0, 0, 0)


@pytest.fixture
def hub() -> Hub:
    """Return a hub in which account 2 bought 500 Wh of 3, and everybody was read."""
    hub = Hub.open()
    hub.submit(order(2), order(3))
    hub.clock.advance_to(T * LENGTH_S)
    hub.clearing.clear(0, range(T, T + 1))
    with hub.store.begin() as connection:
        connection.execute(imbalances.delete())
        hub.metering.read(connection, T, [reading(account, T, 0) for account in ACCOUNTS])
    return hub


def plan(hub: Hub, sequence: int, interval: int, quantity: int = 0) -> bytes:
    """Plan a chunk in which 2 buys this much of 3, with everybody's reading; return its calldata."""
    with hub.store.begin() as connection:
        price = connection.execute(select(fills.c.price_micro_per_kwh)).scalars().first() or 0
        signed = [hub.signed(one) for one in (order(2), order(3))] if quantity else []
        parts = [SignedFill(s.order, quantity, CompactSignature(s.r, s.vs)) for s in signed]
        read = [SignedReading(a, 0, False, CompactSignature(1, 1)) for a in ACCOUNTS]
        call, _ = calldata.seal(
            key("operator"), DOMAIN, sequence=sequence, interval=interval, round_=0,
            prices_micro_per_kwh=[price], fills=parts, tariffs=[Tariff(SHORT, LONG)], readings=read,
        )  # fmt: skip
        data = settle_calldata(call)
        row = {"kind": "chunk", "ref": str(sequence), "signer": "operator", "data": data, "gas": 1}
        done = connection.execute(insert(outbox).values(**row, state=OutboxState.PLANNED))
        number = done.inserted_primary_key[0]
        counts = {"n_fills": len(parts), "n_readings": len(read)}
        connection.execute(
            insert(chunks).values(sequence=sequence, interval=interval, round=0, outbox_id=number, **counts)
        )
    return data


def give_up(hub: Hub, data: bytes, now_s: int):
    with hub.store.begin() as connection:
        return GivingUp(contracts(), DEPLOYMENT, key("operator"), FRAME)(connection, data, now_s)


# when interval T cannot be filled any more, and the next one can
LATE_S = (T + 1) * LENGTH_S + 2 * LENGTH_S


def test_nothing_is_given_up_before_a_chunk_that_is_in_time_is_planned(hub: Hub) -> None:
    before = hub.state()
    data = plan(hub, 0, T, 500_000)
    assert give_up(hub, data, LATE_S) is None
    plan(hub, 1, T)  # as late
    assert give_up(hub, data, LATE_S) is None
    assert hub.rows(voided_fills) == []
    assert hub.state()["rows"]["fills"] == before["rows"]["fills"]


def test_an_empty_chunk_takes_the_number_and_readings_come_in_outside_chunks(hub: Hub) -> None:
    data = plan(hub, 0, T, 500_000)
    plan(hub, 1, T + 1)
    given_up = give_up(hub, data, LATE_S)
    assert given_up.sequences == (0,)
    empty, read = given_up.instead
    chunk = calldata.decode_settle(empty.data)
    assert (chunk.sequence, chunk.interval, chunk.fills, chunk.readings) == (0, T + 1, (), ())
    late = calldata.decode_read(read.data)
    assert late.interval == T
    assert [one.account for one in late.readings] == list(ACCOUNTS)


def test_all_fills_of_a_late_chunk_are_void_and_imbalance_settles_them(hub: Hub) -> None:
    before = hub.rows(fills)
    bought, sold = (row for row in hub.rows(imbalances) if row.account in (2, 3))
    assert (bought.imbalance_milli_wh, sold.imbalance_milli_wh) == (500_000, -500_000)
    data = plan(hub, 0, T, 500_000)
    plan(hub, 1, T + 1)
    give_up(hub, data, LATE_S)
    assert hub.rows(voided_fills) == before
    assert hub.rows(fills) == hub.rows(trades) == []
    for row in hub.rows(imbalances):
        assert (row.position_milli_wh, row.imbalance_milli_wh, row.amount_pico) == (0, 0, 0)


def test_of_a_result_that_was_cut_only_the_late_part_is_void(hub: Hub) -> None:
    whole = {row.account: row for row in hub.rows(fills)}
    data = plan(hub, 0, T, 200_000)
    plan(hub, 1, T + 1)
    give_up(hub, data, LATE_S)
    for row in hub.rows(fills):
        assert row.quantity_milli_wh == 300_000
        assert row.amount_pico * 5 == whole[row.account].amount_pico * 3
    for row in hub.rows(voided_fills):
        assert row.quantity_milli_wh == 200_000
        assert row.amount_pico * 5 == whole[row.account].amount_pico * 2
    (one,) = hub.rows(trades)
    assert (one.buyer, one.seller, one.quantity_milli_wh) == (2, 3, 300_000)
    assert {row.account: row.position_milli_wh for row in hub.rows(imbalances)}[2] == -300_000


def test_parts_in_several_late_chunks_add_up(hub: Hub) -> None:
    whole = hub.rows(fills)
    data = plan(hub, 0, T, 200_000)
    plan(hub, 1, T, 300_000)
    plan(hub, 2, T + 1)
    given_up = give_up(hub, data, LATE_S)
    assert given_up.sequences == (0, 1)
    assert hub.rows(voided_fills) == whole
    assert hub.rows(fills) == []


def test_a_curtailment_that_came_after_the_reading_forgives_nothing(hub: Hub) -> None:
    """Account 3 sold 500 Wh that it did not deliver, 200 of them because the controller ordered it."""
    with hub.store.begin() as connection:
        connection.execute(imbalances.delete())
        connection.execute(readings.delete())
        hub.metering.curtail(connection, [curtailment(3, T, 200_000)])
        hub.metering.read(connection, T, [reading(account, T, 0) for account in ACCOUNTS])
    missing = {row.account: row.imbalance_milli_wh for row in hub.rows(imbalances)}
    assert missing[3] == -300_000
    data = contracts().settlement.encode("curtail", 3, T, 200_000, 1, 1)
    given_up = give_up(hub, data, LATE_S)
    assert (given_up.sequences, given_up.instead) == ((), ())
    missing = {row.account: row.imbalance_milli_wh for row in hub.rows(imbalances)}
    assert missing[3] == -500_000
    assert hub.rows(curtailments) == []
    (void,) = hub.rows(voided_curtailments)
    assert (void.account, void.quantity_milli_wh) == (3, 200_000)
    with hub.store.read() as connection:
        told = void_fills(connection, range(T, T + 1))
    assert told.in_words() == "1 curtailments came after the reading; nothing was forgiven"
