"""Keys: signatures that the chain's own precompile accepts, deterministic derivation, encrypted keystores."""

import re
import stat
from pathlib import Path

import pytest
from eth_account import Account
from eth_keys import keys
from hypothesis import given
from hypothesis import strategies as st

from node.chain import keys as project_keys
from node.chain.keys import (
    GROUP_ORDER,
    KeystoreError,
    LocalSigner,
    checksum,
    derive,
    load_keystore,
    save_keystore,
)


@given(secret=st.integers(1, GROUP_ORDER - 1), digest=st.binary(min_size=32, max_size=32))
def test_a_compact_signature_recovers_to_the_signer(secret: int, digest: bytes) -> None:
    signer = LocalSigner(secret.to_bytes(32, "big"))
    r, vs = signer.sign_digest(digest)
    s, parity = vs & (2**255 - 1), vs >> 255
    assert s <= GROUP_ORDER // 2
    public = keys.Signature(vrs=(parity, r, s)).recover_public_key_from_msg_hash(digest)
    assert public.to_canonical_address() == signer.address


def test_the_address_is_the_one_wallets_show() -> None:
    secret = (0xC0FFEE).to_bytes(32, "big")
    assert checksum(LocalSigner(secret).address) == Account.from_key(secret).address


@pytest.mark.parametrize(
    "secret", [b"", bytes(32), b"\xff" * 32, GROUP_ORDER.to_bytes(32, "big"), b"\x01" * 31]
)
def test_what_is_no_private_key_is_refused_without_repeating_it(secret: bytes) -> None:
    with pytest.raises(ValueError) as refused:
        LocalSigner(secret)
    assert not secret or secret.hex() not in str(refused.value)


def test_a_signer_does_not_show_its_key() -> None:
    signer = LocalSigner((0xABCDEF).to_bytes(32, "big"))
    assert "abcdef" not in f"{signer!r} {signer} {signer.__slots__}".lower()


def test_the_same_seed_and_name_give_the_same_key_for_ever() -> None:
    assert checksum(derive(1, "operator").address) == "0x7bb3DB14B5eB80EfE649De52081daDf0D42395dE"
    addresses = {derive(seed, name).address for seed in (1, 2, "1x") for name in ("operator", "oracle", "")}
    assert len(addresses) == 9


def test_a_keystore_opens_with_its_password_only_and_elsewhere_too(tmp_path: Path) -> None:
    signer, path = derive(1, "operator"), tmp_path / "operator.json"
    save_keystore(path, signer, "correct horse", iterations=2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_keystore(path, "correct horse").address == signer.address
    elsewhere = Account.decrypt(path.read_text(), "correct horse")
    assert LocalSigner(bytes(elsewhere)).address == signer.address
    with pytest.raises(KeystoreError, match="password is wrong") as wrong:
        load_keystore(path, "guess")
    assert "guess" not in str(wrong.value)


def test_a_keystore_is_never_overwritten_nor_saved_without_a_password(tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    with pytest.raises(KeystoreError, match="empty password"):
        save_keystore(path, derive(1, "a"), "")
    save_keystore(path, derive(1, "a"), "x", iterations=2)
    with pytest.raises(KeystoreError, match="File exists"):
        save_keystore(path, derive(1, "b"), "x", iterations=2)
    assert load_keystore(path, "x").address == derive(1, "a").address


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": 3, "crypto": {"kdf": "none"}}'])
def test_a_damaged_keystore_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "k.json"
    path.write_text(content)
    with pytest.raises(KeystoreError, match="no V3 keystore"):
        load_keystore(path, "x")


def test_a_missing_keystore_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="No such file"):
        load_keystore(tmp_path / "none.json", "x")


def test_derived_keys_are_made_for_simulations_and_benches_only() -> None:
    """Whatever acts on a real chain (deploy, exit, keys) opens keystores, and cannot make a key from a seed."""
    node = Path(project_keys.__file__).parents[1]
    found = {
        str(path.relative_to(node))
        for path in node.rglob("*.py")
        if re.search(r"import [^\n]*\bderive\b|\bKeyring\(", path.read_text())
    }
    assert {path for path in found if not path.startswith("bench/")} == {"founding.py", "community.py"}
