"""Merkle tree of an event's baselines: one root committed before it, one short proof per account after it.

A leaf is `keccak(keccak(abi.encode(uint256 account, int256 baseline)))`; hashing twice keeps a leaf from
passing for an inner node. An inner node hashes its two children, the smaller first, so a proof is just the
list of siblings. A node without a sibling moves up as it is. contracts/RevenueSplit.vy checks the proofs.

References
----------
R. Merkle, "A digital signature based on a conventional encryption function", CRYPTO '87, doi:10.1007/3-540-48184-2_32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from market.errors import SettlementError

MAX_DEPTH: Final = 20
"""Longest proof that the contract reads: a million baselines."""
MAX_BASELINE_MILLI_WH: Final = 2**63 - 1


def leaf(account: int, baseline_milli_wh: int) -> bytes:
    """Return the hash of one account's baseline.

    Raises
    ------
    SettlementError
        If the account is negative or the baseline does not fit 64 bits.
    """
    if account < 0 or abs(baseline_milli_wh) > MAX_BASELINE_MILLI_WH:
        raise SettlementError(f"baseline {baseline_milli_wh} mWh of account {account} is out of range")
    words = account.to_bytes(32, "big") + baseline_milli_wh.to_bytes(32, "big", signed=True)
    return keccak(keccak(words))


@dataclass(frozen=True, slots=True)
class MerkleTree:
    """All levels of a tree, leaves first, the root alone in the last."""

    levels: tuple[tuple[bytes, ...], ...]

    @classmethod
    def of(cls, leaves: Sequence[bytes]) -> "MerkleTree":
        """Build the tree over these leaves.

        Raises
        ------
        SettlementError
            If there is no leaf, or so many that a proof would be longer than the contract reads.
        """
        if not 1 <= len(leaves) <= 2**MAX_DEPTH:
            raise SettlementError(f"{len(leaves)} baselines: need 1..{2**MAX_DEPTH}")
        levels = [tuple(leaves)]
        while len(levels[-1]) > 1:
            below = levels[-1]
            above = [_parent(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
            if len(below) % 2:
                above.append(below[-1])
            levels.append(tuple(above))
        return cls(tuple(levels))

    @property
    def root(self) -> bytes:
        """What is committed."""
        return self.levels[-1][0]

    def proof(self, index: int) -> tuple[bytes, ...]:
        """Return the siblings from a leaf to the root."""
        if not 0 <= index < len(self.levels[0]):
            raise SettlementError(f"leaf {index} of {len(self.levels[0])}")
        siblings = []
        for level in self.levels[:-1]:
            other = index ^ 1
            if other < len(level):
                siblings.append(level[other])
            index //= 2
        return tuple(siblings)


def is_proved(leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether a proof leads from a leaf to a root, as the contract checks it."""
    node = leaf
    for other in proof:
        node = _parent(node, other)
    return node == root


def _parent(a: bytes, b: bytes) -> bytes:
    return keccak(a + b if a < b else b + a)
