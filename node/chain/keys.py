"""Keys that sign: one signer, deterministic keys for simulations, encrypted keystores for operators."""

import hashlib
import hmac
import json
import os
from pathlib import Path
from typing import Any

import coincurve
import eth_keyfile
from eth_utils import keccak, to_checksum_address

from node.chain.ports import Address
from node.errors import Permanent

# SEC 2 v2.0, section 2.4.1: the order of secp256k1's group.
GROUP_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
# EIP-2098: the top bit of vs holds the parity of the signature's point.
PARITY_AT = 255
_SIMULATION_SALT = b"symbiotic-grid simulation keys v1: never fund these"


class KeystoreError(Permanent):
    """A keystore that is missing, damaged, or does not open with this password."""


def checksum(address: Address) -> str:
    """Return an address as people write it (EIP-55)."""
    return to_checksum_address(address)


class LocalSigner:
    """A private key in memory; neither `repr` nor `str` nor errors show it.

    Parameters
    ----------
    secret : bytes
        32 bytes, big endian, in `[1, group order)`.

    Raises
    ------
    ValueError
        If the secret is no private key; the message does not repeat it.
    """

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < GROUP_ORDER:
            raise ValueError("a private key is 32 bytes that number in [1, group order)")
        self._key = coincurve.PrivateKey(secret)
        self.address: Address = keccak(self._key.public_key.format(compressed=False)[1:])[12:]

    def __repr__(self) -> str:
        return f"LocalSigner({checksum(self.address)})"

    def sign_digest(self, digest: bytes) -> tuple[int, int]:
        """Sign 32 bytes and return the compact signature `(r, vs)`.

        Returns
        -------
        tuple[int, int]
            `r`, and `vs` = s with the point's parity in its top bit; s is always the lower one.

        References
        ----------
        RFC 6979 (nonce), EIP-2 (low s), EIP-2098 (compact form).
        """
        r, s, parity = self.sign_recoverable(digest)
        return r, s | parity << PARITY_AT

    def sign_recoverable(self, digest: bytes) -> tuple[int, int, int]:
        """Sign 32 bytes and return `(r, s, parity)`, as transactions carry it."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]

    def encrypted(self, password: str, *, iterations: int | None = None) -> dict[str, Any]:
        """Return an encrypted V3 keystore (scrypt); `iterations` lowers its cost for tests only."""
        return eth_keyfile.create_keyfile_json(
            self._key.secret, password.encode(), kdf="scrypt", iterations=iterations
        )


def derive(seed: int | str, name: str) -> LocalSigner:
    """Return the simulation key of a role or participant: the same for the same seed and name, always.

    Notes
    -----
    HKDF-SHA256 (RFC 5869) with 48 bytes of output reduced into `[1, group order)`, so that the bias is below
    2**-128. Anyone who knows the seed knows the key: for simulations, never for money.
    """
    material = hmac.new(_SIMULATION_SALT, f"{seed}".encode(), hashlib.sha256).digest()
    info = name.encode()
    first = hmac.new(material, info + b"\x01", hashlib.sha256).digest()
    second = hmac.new(material, first + info + b"\x02", hashlib.sha256).digest()
    number = int.from_bytes((first + second)[:48], "big") % (GROUP_ORDER - 1) + 1
    return LocalSigner(number.to_bytes(32, "big"))


def save_keystore(path: Path, signer: LocalSigner, password: str, *, iterations: int | None = None) -> None:
    """Write an encrypted keystore that only its owner may read; never overwrite one.

    Raises
    ------
    KeystoreError
        If the file exists, cannot be written, or the password is empty.
    """
    if not password:
        raise KeystoreError(f"keystore {path}: an empty password protects nothing")
    text = json.dumps(signer.encrypted(password, iterations=iterations))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise KeystoreError(f"keystore {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def load_keystore(path: Path, password: str) -> LocalSigner:
    """Open an encrypted V3 keystore.

    Raises
    ------
    KeystoreError
        If it is missing, damaged, or the password is wrong; the message repeats neither key nor password.
    """
    try:
        content = json.loads(path.read_text())
        secret = eth_keyfile.decode_keyfile_json(content, password.encode())
    except OSError as error:
        raise KeystoreError(f"keystore {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
        raise KeystoreError(f"keystore {path}: no V3 keystore, or the password is wrong") from error
    return LocalSigner(bytes(secret))
