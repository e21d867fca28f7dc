"""Signed transactions as bytes: the one type we send, EIP-1559's."""

import rlp
from eth_hash.auto import keccak

from node.chain.keys import LocalSigner
from node.chain.ports import Address, Fees, Hash

DYNAMIC_FEE = b"\x02"  # EIP-2718 type of EIP-1559's transactions
_DATA = 7  # where calldata stands among its fields


def sign_transaction(
    signer: LocalSigner,
    *,
    chain_id: int,
    nonce: int,
    to: Address | None,
    data: bytes,
    gas: int,
    fees: Fees,
) -> tuple[bytes, Hash]:
    """Return a signed transaction without value as raw bytes, and its hash.

    `to` None creates a contract.
    """
    fields = [
        chain_id,
        nonce,
        fees.max_priority_fee_per_gas,
        fees.max_fee_per_gas,
        gas,
        to or b"",
        0,
        data,
        [],
    ]
    digest = keccak(DYNAMIC_FEE + rlp.encode(fields))
    r, s, parity = signer.sign_recoverable(digest)
    raw = DYNAMIC_FEE + rlp.encode([*fields, parity, r, s])
    return raw, keccak(raw)


def transaction_data(raw: bytes) -> bytes:
    """Return the calldata in a transaction that `sign_transaction` made."""
    data: bytes = rlp.decode(raw[1:])[_DATA]
    return data
