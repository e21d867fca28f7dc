"""Compact signatures of 32 bytes: made, and traced back to an address.

References
----------
EIP-2098 (compact form), EIP-2 (low s), RFC 6979 (deterministic nonces).
"""

from typing import Final, NamedTuple, Protocol

import coincurve
from eth_hash.auto import keccak

from node.chain.ports import Address

# Half of the order of secp256k1 (SEC 2, section 2.4.1): a larger s is the malleable twin (EIP-2).
HALF_N: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_S_MASK: Final = 2**255 - 1
_WORD_MASK: Final = 2**256 - 1
_UNSIGNED: Final = bytes(64)


class BadSignature(ValueError):
    """A signature from which no address can be recovered, or a malleable one (s in the upper half)."""


class CompactSignature(NamedTuple):
    """An EIP-2098 signature: `vs` is s with the parity of the public key's y in the top bit."""

    r: int
    vs: int

    def to_bytes(self) -> bytes:
        """Return the 64 bytes r, vs."""
        if not (self.r or self.vs):
            return _UNSIGNED  # every order of a study without signatures
        return self.r.to_bytes(32, "big") + self.vs.to_bytes(32, "big")

    @classmethod
    def from_bytes(cls, raw: bytes) -> "CompactSignature":
        """Read 64 bytes r, vs.

        Raises
        ------
        BadSignature
            If there are not exactly 64 bytes.
        """
        if len(raw) != 64:
            raise BadSignature(f"a compact signature has 64 bytes, not {len(raw)}")
        return cls(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


class LocalSigner(Protocol):
    """A key at hand: what signing needs of it."""

    @property
    def address(self) -> bytes:
        """The signer's address, 20 bytes."""

    def sign_digest(self, digest: bytes, /) -> tuple[int, int]:
        """Sign 32 bytes; return r and vs."""


def sign_with(key: coincurve.PrivateKey, digest: bytes) -> CompactSignature:
    """Sign 32 bytes with a secp256k1 key: deterministic (RFC 6979), s in the lower half."""
    raw = key.sign_recoverable(digest, hasher=None)
    s = int.from_bytes(raw[32:64], "big")
    return CompactSignature(int.from_bytes(raw[:32], "big"), (raw[64] << 255) | s)


def recover_digest(digest: bytes, signature: CompactSignature) -> bytes:
    """Return the address (20 bytes) that signed 32 bytes; refuses what the contract would refuse.

    Raises
    ------
    BadSignature
        If the signature is malleable or no public key answers to it.
    """
    r, vs = signature
    if not (0 <= r <= _WORD_MASK and 0 <= vs <= _WORD_MASK):
        raise BadSignature("r and vs are words of 256 bits")
    s = vs & _S_MASK
    if s > HALF_N:
        raise BadSignature("s is in the upper half of the group: the malleable twin of a signature")
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((vs >> 255,))
    try:
        public = coincurve.PublicKey.from_signature_and_message(raw, digest, hasher=None)
    except ValueError as error:
        raise BadSignature(f"no public key answers to this signature ({error})") from None
    return address_of(public)


def address_of(public: coincurve.PublicKey) -> Address:
    """Return the address of a public key."""
    return keccak(public.format(compressed=False)[1:])[12:]
