"""The Python mirrors of words and messages agree with the contracts, in both directions."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market.orders import Order
from node.chain import calldata, typed_data
from node.chain.calldata import SignedFill
from node.chain.typed_data import Tariff
from node.chain.words import (
    NEVER,
    AccountWord,
    CarryWord,
    KeyWord,
    MeterWord,
    RoundWord,
    WordError,
)
from tests.contract.world import ZONE_PRICES, ZONE_TARIFFS, World, reason_of

ON_CHAIN = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
WORDS = st.integers(0, 2**256 - 1)
INTERVALS = st.integers(0, 2**24 - 1)
ADDRESSES = st.binary(min_size=20, max_size=20)


def signed(bits: int) -> st.SearchStrategy[int]:
    """Return integers of a signed field, its bounds among them."""
    bound = 2 ** (bits - 1)
    return st.sampled_from([-bound, -1, 0, 1, bound - 1]) | st.integers(-bound, bound - 1)


def unsigned(bits: int) -> st.SearchStrategy[int]:
    """Return integers of an unsigned field, its bounds among them."""
    return st.sampled_from([0, 1, 2**bits - 1]) | st.integers(0, 2**bits - 1)


accounts = st.builds(
    AccountWord, unsigned(79), st.booleans(), unsigned(32), INTERVALS, INTERVALS, signed(40), signed(56)
)
keys = st.builds(KeyWord, ADDRESSES, unsigned(24), INTERVALS, unsigned(8), unsigned(40))
meters = st.builds(MeterWord, ADDRESSES, INTERVALS, INTERVALS)
rounds = st.builds(RoundWord, INTERVALS, unsigned(8), unsigned(224))
carries = st.builds(CarryWord, unsigned(208), unsigned(48))


@given(accounts | keys | meters | rounds | carries)
def test_what_is_packed_is_unpacked(value: Any) -> None:
    assert type(value).unpack(value.pack()) == value


@given(WORDS, st.sampled_from([AccountWord, KeyWord, RoundWord, CarryWord]))
def test_every_word_is_read_and_written_back(word: int, kind: Any) -> None:
    assert kind.unpack(word).pack() == word


@given(st.integers(0, 2**208 - 1))
def test_every_meter_word_is_read_and_written_back(word: int) -> None:
    assert MeterWord.unpack(word).pack() == word


@pytest.mark.parametrize(
    "value",
    [
        AccountWord(balance_pico=2**79),
        AccountWord(balance_pico=-1),
        AccountWord(lanes=2**32),
        AccountWord(filled=2**24),
        AccountWord(read=2**24),
        AccountWord(position_milli_wh=2**39),
        AccountWord(position_milli_wh=-(2**39) - 1),
        AccountWord(register_milli_wh=2**55),
        AccountWord(register_milli_wh=-(2**55) - 1),
        KeyWord(b"\xff" * 21, 1),
        KeyWord(bytes(20), 2**24),
        KeyWord(bytes(20), 1, since=2**24),
        KeyWord(bytes(20), 1, zone=256),
        KeyWord(bytes(20), 1, capacity_milli_wh=2**40),
        MeterWord(bytes(20), curtailed=2**24),
        MeterWord(bytes(20), next_first=2**24),
        RoundWord(2**24, 0, 0),
        RoundWord(0, 256, 0),
        RoundWord(0, 0, 2**224),
        CarryWord(2**208, 0),
        CarryWord(0, 2**48),
    ],
)
def test_a_field_that_does_not_fit_is_refused(value: Any) -> None:
    with pytest.raises(WordError):
        value.pack()


@pytest.mark.parametrize(("kind", "word"), [(AccountWord, -1), (CarryWord, 2**256), (MeterWord, 1 << 208)])
def test_what_is_no_such_word_is_refused(kind: Any, word: int) -> None:
    with pytest.raises(WordError):
        kind.unpack(word)


# ---------------------------------------------------------------- against the chain


@ON_CHAIN
@given(register=signed(56).filter(lambda value: value > -(2**55)), zone=st.integers(0, 31), data=st.data())
def test_what_the_contract_packs_is_what_the_mirror_reads(
    world: World, register: int, zone: int, data: st.DataObject
) -> None:
    w = world.fork()
    capacity = data.draw(st.integers(0, 2**39 - 1))
    deposit = data.draw(st.integers(0, 10**20))
    member = w.join(
        "new", register_milli_wh=register, zone=zone, capacity_milli_wh=capacity, deposit_pico=deposit
    )
    assert (
        w.view("accounts", member.account)
        == AccountWord(balance_pico=deposit, read=w.interval, register_milli_wh=register).pack()
    )
    assert w.view("keys", member.account) == KeyWord(member.agent.address, 1, 0, zone, capacity).pack()
    assert w.view("meters", member.account) == MeterWord(member.meter.address, 0, NEVER).pack()


@ON_CHAIN
@given(
    quantity=st.integers(1, 10_000_000), lane=st.integers(0, 31), round_=st.integers(0, 3), delta=signed(23)
)
def test_a_chunk_leaves_the_words_that_the_mirror_packs(
    world: World, quantity: int, lane: int, round_: int, delta: int
) -> None:
    w = world.fork()
    fills = [w.sell(quantity, lane=lane), w.buy(quantity, lane=lane)]
    call = w.chunk(w.t, fills, round_=round_, prices=ZONE_PRICES)
    before = w.word(w.ben)
    w.carry_in(call)
    price = ZONE_PRICES[0] + w.parameters.fee_micro_per_kwh
    after = AccountWord(
        before.balance_pico - quantity * price, False, 1 << lane, w.t, before.read, -quantity, 0
    )
    assert w.view("accounts", w.ben.account) == after.pack()
    found = RoundWord.unpack(w.view("round"))
    assert (found.interval, found.round) == (w.t, round_)
    for side, fill in enumerate(fills):
        expected = CarryWord.of(typed_data.order_hash(w.domain, fill.order), quantity)
        assert w.view("carries", side) == expected.pack()
        assert w.carries(w.t, round_, ZONE_PRICES)[side] == expected
    w.do(readings=[w.meter(w.ben, delta)], round_=round_)
    assert w.word(w.ben).register_milli_wh == delta


@ON_CHAIN
@given(
    order=st.builds(
        Order,
        account=st.just(2),
        epoch=st.just(1),
        is_buy=st.booleans(),
        lane=unsigned(8),
        first=INTERVALS,
        last=INTERVALS,
        quantity_milli_wh=unsigned(40),
        limit_micro_per_kwh=signed(64),
    )
)
def test_every_order_that_the_mirror_signs_passes_the_contracts_check(world: World, order: Order) -> None:
    w = world.fork()
    fill = SignedFill(order, 1, w.sign(w.ann.agent, order))
    assert reason_of(lambda: w.do(fill)) not in (None, "registry: signature")


@ON_CHAIN
@given(table=st.lists(st.tuples(signed(39), signed(39)), min_size=0, max_size=32))
def test_every_table_that_the_mirror_signs_passes_the_contracts_check(
    world: World, table: list[tuple[int, int]]
) -> None:
    w = world.fork()
    tariffs = [Tariff(*row) for row in table]
    assert reason_of(lambda: w.publish(w.t + 1, tariffs)) in (None, "settlement: tariff")


@ON_CHAIN
@given(register=signed(56).filter(lambda value: value > -(2**55)), interval=st.integers(0, NEVER - 1))
def test_every_reading_that_the_mirror_signs_passes_the_contracts_check(
    world: World, register: int, interval: int
) -> None:
    reading = world.reading(world.ann, interval, register)
    found = world.view("verify_reading", world.ann.account, interval, register, *reading.signature)
    assert found == world.ann.meter.address


def test_prices_of_32_zones_make_the_round_word_that_the_mirror_makes(world: World) -> None:
    prices = tuple(range(-16, 16))
    world.do(prices=prices)
    expected = RoundWord.of(world.t, 0, typed_data.prices_hash(prices))
    assert RoundWord.unpack(world.view("round")) == expected


def test_calldata_is_what_a_general_codec_makes(world: World) -> None:
    # eth-abi is the independent encoder
    call = world.chunk(
        world.t, world.trade(), [world.meter(world.zoe, -5)], prices=(-1, 2), tariffs=ZONE_TARIFFS
    )
    fills = [
        (
            (
                f.order.account,
                f.order.epoch,
                f.order.is_buy,
                f.order.lane,
                f.order.first,
                f.order.last,
                f.order.quantity_milli_wh,
                f.order.limit_micro_per_kwh,
            ),
            f.quantity_milli_wh,
            *f.signature,
        )
        for f in call.fills
    ]
    readings = [(x.account, x.register_milli_wh, x.is_substitute, *x.signature) for x in call.readings]
    settlement = world.contracts.settlement
    arguments = (*call.signature, call.sequence, call.interval, call.round, call.prices_micro_per_kwh)
    expected = settlement.encode("settle", *arguments, fills, call.tariffs, readings)
    assert calldata.settle_calldata(call) == expected
    assert calldata.decode_settle(expected) == call
    read = calldata.ReadCall(call.interval, call.tariffs, call.readings)
    expected = settlement.encode("read", call.interval, call.tariffs, readings)
    assert calldata.read_calldata(read) == expected
    assert calldata.decode_read(expected) == read
