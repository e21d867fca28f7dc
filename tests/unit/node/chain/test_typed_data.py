"""Messages: an independent encoder agrees, what does not fit is refused."""

from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from market.orders import Order
from node.chain.keys import LocalSigner, derive
from node.chain.signatures import CompactSignature
from node.chain.typed_data import (
    BadMessage,
    Chunk,
    Curtailment,
    Domain,
    Reading,
    Receipt,
    Substitute,
    Tariff,
    Tariffs,
    digest,
    digests,
    order_hash,
    prices_hash,
    recover,
    recover_all,
    sign,
    sign_all,
    table_hash,
)

DOMAIN = Domain(1848, bytes(range(20)))
SIGNER = derive(1, "signer")


def uint(bits: int) -> st.SearchStrategy[int]:
    return st.sampled_from([0, 2**bits - 1]) | st.integers(0, 2**bits - 1)


def sint(bits: int) -> st.SearchStrategy[int]:
    bound = 2 ** (bits - 1)
    return st.sampled_from([-bound, bound - 1]) | st.integers(-bound, bound - 1)


HASHES = st.binary(min_size=32, max_size=32)
ORDERS = st.builds(Order, uint(32), uint(24), st.booleans(), uint(8), uint(24), uint(24), uint(40), sint(64))
TABLES = st.lists(st.builds(Tariff, sint(256), sint(256)), max_size=32).map(tuple)
# type, its fields as EIP-712 names and types, messages
KINDS: dict[str, tuple[list[tuple[str, str]], st.SearchStrategy[Any]]] = {
    "Order": (
        [
            ("account", "uint32"),
            ("epoch", "uint24"),
            ("buy", "bool"),
            ("lane", "uint8"),
            ("first", "uint24"),
            ("last", "uint24"),
            ("quantity", "uint40"),
            ("limit", "int64"),
        ],
        ORDERS,
    ),
    "Chunk": (
        [("seq", "uint64"), ("round", "uint256"), ("done", "bytes32")],
        st.builds(Chunk, uint(64), uint(256), HASHES),
    ),
    "Reading": (
        [("account", "uint32"), ("interval", "uint24"), ("register", "int56")],
        st.builds(Reading, uint(32), uint(24), sint(56)),
    ),
    "Substitute": (
        [("account", "uint32"), ("interval", "uint24"), ("register", "int56")],
        st.builds(Substitute, uint(32), uint(24), sint(56)),
    ),
    "Tariffs": (
        [("interval", "uint24"), ("table", "bytes32")],
        st.builds(Tariffs, uint(24), TABLES),
    ),
    "Curtailment": (
        [("account", "uint32"), ("interval", "uint24"), ("quantity", "uint40")],
        st.builds(Curtailment, uint(32), uint(24), uint(40)),
    ),
    "Receipt": (
        [("order", "bytes32"), ("sequence", "uint64"), ("receivedAt", "uint64")],
        st.builds(Receipt, HASHES, uint(64), uint(64)),
    ),
}


def _values(message: Any) -> list[Any]:
    values = [getattr(message, name) for name in type(message).__dataclass_fields__]
    return [table_hash(value) if isinstance(value, tuple) else value for value in values]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_digest_is_the_one_that_eth_account_makes(kind: str, data: st.DataObject) -> None:
    fields, messages = KINDS[kind]
    message = data.draw(messages)
    encoded = encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                kind: [{"name": name, "type": of} for name, of in fields],
            },
            "primaryType": kind,
            "domain": {
                "name": "Settlement",
                "version": "1",
                "chainId": DOMAIN.chain_id,
                "verifyingContract": "0x" + DOMAIN.contract.hex(),
            },
            "message": dict(zip([name for name, _ in fields], _values(message), strict=True)),
        }
    )
    signature = sign(SIGNER, DOMAIN, message)
    s, v = signature.vs & (2**255 - 1), 27 + (signature.vs >> 255)
    address = Account.recover_message(encoded, vrs=(v, signature.r, s))
    assert bytes.fromhex(address[2:]) == SIGNER.address == recover(DOMAIN, message, signature)


@given(ORDERS, ORDERS)
def test_orders_that_differ_have_hashes_that_differ(a: Order, b: Order) -> None:
    assert (order_hash(DOMAIN, a) == order_hash(DOMAIN, b)) == (a == b)


def test_a_signature_counts_on_one_chain_and_for_one_contract() -> None:
    reading = Reading(2, 5, -7)
    signature = sign(SIGNER, DOMAIN, reading)
    for other in (Domain(1849, DOMAIN.contract), Domain(1848, bytes(20)), replace(DOMAIN, chain_id=1)):
        assert recover(other, reading, signature) != SIGNER.address
    assert recover(DOMAIN, Substitute(2, 5, -7), signature) != SIGNER.address


def test_many_are_signed_and_recovered_at_once() -> None:
    signers = [derive(1, str(number)) for number in range(8)]
    readings = [Reading(number, 5, number) for number in range(8)]
    signatures = sign_all(signers, DOMAIN, readings)
    assert recover_all(DOMAIN, readings, signatures) == [signer.address for signer in signers]
    assert digests(DOMAIN, readings) == [digest(DOMAIN, reading) for reading in readings]
    signatures[3] = CompactSignature(0, 0)
    readings[4] = Reading(2**32, 5, 0)
    assert recover_all(DOMAIN, readings, signatures)[3:5] == [None, None]


@pytest.mark.parametrize(
    "message",
    [
        Order(2**32, 1, True, 0, 0, 0, 0, 0),
        Order(2, 2**24, True, 0, 0, 0, 0, 0),
        Order(2, 1, True, 256, 0, 0, 0, 0),
        Order(2, 1, True, 0, -1, 0, 0, 0),
        Order(2, 1, True, 0, 0, 2**24, 0, 0),
        Order(2, 1, True, 0, 0, 0, 2**40, 0),
        Order(2, 1, True, 0, 0, 0, 0, 2**63),
        Order(2, 1, True, 0, 0, 0, 0, -(2**63) - 1),
        Chunk(2**64, 0, bytes(32)),
        Chunk(0, 2**256, bytes(32)),
        Chunk(0, 0, bytes(31)),
        Reading(2, 5, 2**55),
        Reading(2, 5, -(2**55) - 1),
        Curtailment(2, 5, -1),
        Tariffs(5, (Tariff(2**255, 0),)),
        Receipt(bytes(33), 0, 0),
    ],
)
def test_a_field_that_does_not_fit_its_type_is_refused(message: Any) -> None:
    with pytest.raises(BadMessage) as refused:
        digest(DOMAIN, message)
    assert refused.value.message == message


@pytest.mark.parametrize(("chain_id", "contract"), [(0, bytes(20)), (1, bytes(19)), (1, "0x" + "00" * 20)])
def test_a_domain_without_chain_or_contract_is_refused(chain_id: int, contract: Any) -> None:
    with pytest.raises(ValueError, match=r"chain id 0|contract .*: need the 20 bytes"):
        Domain(chain_id, contract)


def test_prices_and_tables_are_told_apart() -> None:
    assert prices_hash([1, 2]) != prices_hash([1, 2, 0])
    assert table_hash([Tariff(1, 2)]) != prices_hash([1, 2])


def test_any_signer_will_do_that_has_an_address_and_signs() -> None:
    class Remote:
        address = SIGNER.address

        def sign_digest(self, digest: bytes) -> tuple[int, int]:
            return LocalSigner.sign_digest(SIGNER, digest)

    assert recover(DOMAIN, Reading(2, 5, 0), sign(Remote(), DOMAIN, Reading(2, 5, 0))) == SIGNER.address
