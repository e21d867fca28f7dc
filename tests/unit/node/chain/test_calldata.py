"""Calldata of chunks: anyone may encode it, so what does not hold together is refused."""

import pytest
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from market.orders import Order
from node.chain.calldata import (
    MAX_FILLS,
    READ_SELECTOR,
    SETTLE_SELECTOR,
    BadCalldata,
    ReadCall,
    SettleCall,
    SignedFill,
    SignedReading,
    decode_read,
    decode_settle,
    read_calldata,
    seal,
    settle_calldata,
)
from node.chain.keys import derive
from node.chain.typed_data import CompactSignature, Domain, Tariff, order_hash
from node.chain.words import CarryWord

DOMAIN = Domain(1848, bytes(range(20)))
OPERATOR = derive(1, "operator")
WORDS = st.integers(0, 2**256 - 1)
SIGNED = st.integers(-(2**255), 2**255 - 1)
SIGNATURES = st.builds(CompactSignature, WORDS, WORDS)
ORDERS = st.builds(Order, WORDS, WORDS, st.booleans(), WORDS, WORDS, WORDS, WORDS, SIGNED)
FILLS = st.lists(st.builds(SignedFill, ORDERS, WORDS, SIGNATURES), max_size=3).map(tuple)
TARIFFS = st.lists(st.builds(Tariff, SIGNED, SIGNED), max_size=3).map(tuple)
READINGS = st.lists(st.builds(SignedReading, WORDS, SIGNED, st.booleans(), SIGNATURES), max_size=3).map(tuple)
CALLS = st.builds(
    SettleCall,
    SIGNATURES,
    WORDS,
    WORDS,
    WORDS,
    st.lists(SIGNED, max_size=3).map(tuple),
    FILLS,
    TARIFFS,
    READINGS,
)
EMPTY = SettleCall(CompactSignature(1, 2), 0, 5, 0, (7,))


@settings(max_examples=50, deadline=None)
@given(CALLS)
def test_what_is_encoded_is_decoded(call: SettleCall) -> None:
    assert decode_settle(settle_calldata(call)) == call


@settings(max_examples=50, deadline=None)
@given(st.builds(ReadCall, WORDS, TARIFFS, READINGS))
def test_a_call_of_read_that_is_encoded_is_decoded(call: ReadCall) -> None:
    assert decode_read(read_calldata(call)) == call


def test_arrays_may_lie_anywhere_in_the_calldata() -> None:
    canonical = settle_calldata(EMPTY)
    # the same call with a word of nothing between head and arrays
    moved = bytearray(canonical[: 4 + 9 * 32] + bytes(32) + canonical[4 + 9 * 32 :])
    for row in range(5, 9):
        at = slice(4 + 32 * row, 36 + 32 * row)
        moved[at] = (int.from_bytes(moved[at], "big") + 32).to_bytes(32, "big")
    assert decode_settle(bytes(moved)) == EMPTY


@pytest.mark.parametrize("length", [0, 3, 4, 35, 4 + 9 * 32 - 1])
def test_calldata_that_ends_too_early_is_refused(length: int) -> None:
    with pytest.raises(BadCalldata):
        decode_settle(settle_calldata(EMPTY)[:length])


def test_beyond_the_end_everything_is_zero_as_the_contract_reads_it() -> None:
    """How the contract itself reads such calldata: tests/unit/node/chain/test_carried.py."""
    full = ReadCall(5, (Tariff(1, 2),), (SignedReading(2, 3, False, CompactSignature(4, 256 * 7)),))
    assert decode_read(read_calldata(full)[:-1]) == full
    short = decode_read(read_calldata(full)[:-64])
    assert short.readings == (SignedReading(2, 3, False, CompactSignature(0, 0)),)


@pytest.mark.parametrize("offset", [32 * 40, 2**255, 2**256 - 10**6])
def test_an_array_beyond_the_data_or_before_it_is_empty(offset: int) -> None:
    canonical = read_calldata(ReadCall(5, (Tariff(1, 2),), ()))
    at = 4 + 2 * 32
    odd = canonical[:at] + offset.to_bytes(32, "big") + canonical[at + 32 :]
    assert decode_read(odd) == ReadCall(5, (Tariff(1, 2),), ())


def test_a_call_of_another_function_is_refused() -> None:
    with pytest.raises(BadCalldata, match=SETTLE_SELECTOR.hex()):
        decode_settle(read_calldata(ReadCall(5, (), ())))
    with pytest.raises(BadCalldata, match=READ_SELECTOR.hex()):
        decode_read(settle_calldata(EMPTY))


def test_an_array_that_the_contract_does_not_take_is_refused() -> None:
    readings = (SignedReading(2, 3, False, CompactSignature(4, 5)),) * (MAX_FILLS + 1)
    with pytest.raises(BadCalldata, match="129 rows"):
        decode_read(read_calldata(ReadCall(5, (), readings)))


def test_a_flag_that_is_neither_true_nor_false_is_refused() -> None:
    data = bytearray(read_calldata(ReadCall(5, (), (SignedReading(2, 3, True, CompactSignature(4, 5)),))))
    data[-2 * 32 - 1] = 2
    with pytest.raises(BadCalldata, match="neither true nor false"):
        decode_read(bytes(data))


def test_a_seal_carries_an_order_over_the_border_of_a_chunk() -> None:
    order = Order(2, 1, False, 0, 5, 5, 1000, 0)
    part = SignedFill(order, 300, CompactSignature(1, 2))
    common = {"interval": 5, "round_": 0, "prices_micro_per_kwh": (7,), "fills": [part]}
    _, carries = seal(OPERATOR, DOMAIN, sequence=0, **common)  # type: ignore[arg-type]
    name = order_hash(DOMAIN, order)
    assert carries == (CarryWord.of(name, 300), CarryWord())
    _, carries = seal(OPERATOR, DOMAIN, sequence=1, carries=carries, order_hashes=[name], **common)  # type: ignore[arg-type]
    assert carries == (CarryWord.of(name, 600), CarryWord())
    other = CarryWord.of(keccak(b"other"), 9)
    _, fresh = seal(OPERATOR, DOMAIN, sequence=2, carries=(other, other), **common)  # type: ignore[arg-type]
    assert fresh == (CarryWord.of(name, 300), other)
