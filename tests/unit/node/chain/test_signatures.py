"""Compact signatures: published vectors, and what no key can have signed."""

import coincurve
import pytest
from eth_account.messages import defunct_hash_message

from node.chain.keys import derive
from node.chain.signatures import (
    HALF_N,
    BadSignature,
    CompactSignature,
    address_of,
    recover_digest,
    sign_with,
)


@pytest.mark.parametrize(
    ("text", "r", "vs"),
    [
        # the two test cases of EIP-2098
        (
            "Hello World",
            0x68A020A209D3D56C46F38CC50A33F704F4A9A10A59377F8DD762AC66910E9B90,
            0x7E865AD05C4035AB5792787D4A0297A43617AE897930A6FE4D822B8FAEA52064,
        ),
        (
            "It's a small(er) world",
            0x9328DA16089FCBA9BECECA81663203989F2DF5FE1FAA6291A45381C81BD17F76,
            0x939C6D6B623B42DA56557E5E734A43DC83345DDFADEC52CBE24D0CC64F550793,
        ),
    ],
)
def test_a_compact_signature_is_the_one_of_eip_2098(text: str, r: int, vs: int) -> None:
    key = coincurve.PrivateKey(bytes.fromhex("1234567890" * 6 + "1234"))
    assert sign_with(key, bytes(defunct_hash_message(text=text))) == (r, vs)


@pytest.mark.parametrize(
    "signature",
    [
        CompactSignature(0, 0),
        CompactSignature(1, 0),
        CompactSignature(2**256, 1),
        CompactSignature(-1, 1),
        CompactSignature(5, HALF_N + 1),
        CompactSignature(5, 2**256),
        # r beyond the field's prime is no x of a point
        CompactSignature(2**256 - 1, 1),
    ],
)
def test_what_no_key_can_have_signed_is_refused(signature: CompactSignature) -> None:
    with pytest.raises(BadSignature):
        recover_digest(bytes(32), signature)


def test_a_compact_signature_has_64_bytes() -> None:
    signature = CompactSignature(*derive(1, "signer").sign_digest(bytes(32)))
    assert CompactSignature.from_bytes(signature.to_bytes()) == signature
    with pytest.raises(BadSignature, match="64 bytes, not 65"):
        CompactSignature.from_bytes(signature.to_bytes() + b"\0")


def test_who_signed_is_recovered() -> None:
    key = coincurve.PrivateKey(b"\x07" * 32)
    assert recover_digest(b"\x09" * 32, sign_with(key, b"\x09" * 32)) == address_of(key.public_key)
