"""Block 0 of an embedded chain: what makes it itself, and who has native money in it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from node.chain.ports import Address

BLOCK_GAS_LIMIT = 1_000_000_000
# Addresses of the keys that every developer's tool ships (anvil's and hardhat's first ten, keys 1 to 5).
WELL_KNOWN = frozenset(
    bytes.fromhex(address)
    for address in (
        "f39fd6e51aad88f6f4ce6ab8827279cfffb92266",
        "70997970c51812dc3a010c7d01b50e0d17dc79c8",
        "3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
        "90f79bf6eb2c4f870365e785982e1f101e93b906",
        "15d34aaf54267db7d7c367839aaf71a00a2c6a65",
        "9965507d1a55bcc2695c58ba16fb37d819b0a4dc",
        "976ea74026e726554db657fa54763abd0c3a0aa9",
        "14dc79964da2c08b23698b3d3cc7ca32193d9955",
        "23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f",
        "a0ee7a142d267c1f36714e4a8f75612f20a79720",
        "7e5f4552091a69125d5dfcb7b8c2659029395bdf",
        "2b5ad5c4795c026514f8317c7a215e218dccd6cf",
        "6813eb9362372eef6200f3b1dbc3f819671cba69",
        "1eff47bc3a10a45d4b230b5d10e37751fe6aa718",
        "e1ab8145f7e55dc933d51a18c793f901a3a0b276",
    )
)


@dataclass(frozen=True, slots=True)
class Genesis:
    """Block 0: what makes this chain itself.

    Parameters
    ----------
    chain_id : int
        In every signature; two communities must not share one.
    timestamp_s : int
        Unix time of block 0.
    funded : Mapping[Address, int]
        Native balances in wei. Nobody needs one, as gas is free.
    note : str
        Up to 32 bytes that tell this chain from others with the same numbers.
    is_for_tests : bool
        Allow addresses whose keys every developer knows.

    Raises
    ------
    ValueError
        If the chain id or time is out of range, the note too long, or a funded address has a well-known key.
    """

    chain_id: int
    timestamp_s: int
    funded: Mapping[Address, int] = field(default_factory=dict)
    note: str = "symbiotic grid"
    gas_limit: int = BLOCK_GAS_LIMIT
    is_for_tests: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.chain_id < 2**53:
            raise ValueError(f"chain id {self.chain_id}: expected 1 .. 2**53 - 1")
        if not 0 < self.timestamp_s < 2**40:
            raise ValueError(f"genesis time {self.timestamp_s}: expected unix seconds")
        if len(self.note.encode()) > 32:
            raise ValueError(f"genesis note {self.note!r}: longer than 32 bytes")
        for address, amount in self.funded.items():
            if len(address) != 20 or not 0 <= amount < 2**128:
                raise ValueError(
                    f"genesis balance {amount} of 0x{address.hex()}: expected an address and wei"
                )
            if address in WELL_KNOWN and not self.is_for_tests:
                raise ValueError(
                    f"genesis funds 0x{address.hex()}, whose key everybody knows: use your own keys"
                )

    def as_json(self) -> bytes:
        """Return the canonical text that is stored in the chain's file."""
        content = {
            "chain_id": self.chain_id,
            "timestamp_s": self.timestamp_s,
            "funded": {address.hex(): str(amount) for address, amount in sorted(self.funded.items())},
            "note": self.note,
            "gas_limit": self.gas_limit,
        }
        return json.dumps(content, sort_keys=True).encode()
