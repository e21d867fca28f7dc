"""Send transactions and see them mined: for setting up, by whoever holds the key, without an outbox."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.chain.keys import LocalSigner
from node.chain.ports import Address, CallReverted, Chain, ChainUnavailable, Hash, ProducingChain, Receipt
from node.chain.transactions import sign_transaction

POLL_S = 0.2
PATIENCE_S = 120.0


def produced_at(chain: ProducingChain, timestamp_s: Callable[[], int]) -> Callable[[], None]:
    """Return a `mine` for `transact` that makes a block at a clock's time, or a second after the head."""

    def mine() -> None:
        chain.produce_block(max(timestamp_s(), chain.head().timestamp_s + 1))

    return mine


@dataclass(frozen=True, slots=True)
class DirectCall:
    """A transaction to be: `to` None creates a contract; `gas` None asks the chain."""

    signer: LocalSigner
    to: Address | None
    data: bytes
    gas: int | None = None


def transact(chain: Chain, call: DirectCall, mine: Callable[[], None] | None = None) -> Receipt:
    """Sign, send and wait for one transaction; see `transact_all`."""
    return transact_all(chain, [call], mine)[0]


def transact_all(
    chain: Chain, calls: Sequence[DirectCall], mine: Callable[[], None] | None = None
) -> list[Receipt]:
    """Sign and send transactions in this order, and wait for all of them.

    Parameters
    ----------
    mine : Callable or None
        Makes a block on a chain whose blocks we make; None waits for others to make one.

    Raises
    ------
    CallReverted
        With the first contract's reason; the others are mined none the less.
    ChainUnavailable
        If one is not mined within two minutes.
    """
    fees, next_nonce, hashes = chain.fees(), dict[Address, int](), []
    for call in calls:
        sender = call.signer.address
        nonce = next_nonce.get(sender)
        if nonce is None:
            nonce = chain.nonce(sender, is_pending=True)
        raw, _ = sign_transaction(
            call.signer,
            chain_id=chain.chain_id,
            nonce=nonce,
            to=call.to,
            data=call.data,
            gas=chain.estimate_gas(sender, call.to, call.data) if call.gas is None else call.gas,
            fees=fees,
        )
        hashes.append(chain.send_raw(raw))
        next_nonce[sender] = nonce + 1
    if mine is not None:
        mine()
    receipts = [_wait(chain, transaction_hash, is_ours=mine is not None) for transaction_hash in hashes]
    for receipt in receipts:
        if not receipt.is_success:
            raise CallReverted(chain.revert_reason(receipt.transaction_hash) or "no reason given")
    return receipts


def _wait(chain: Chain, transaction_hash: Hash, *, is_ours: bool) -> Receipt:
    waited_s = 0.0
    while (receipt := chain.receipt(transaction_hash)) is None:
        if is_ours or waited_s >= PATIENCE_S:
            raise ChainUnavailable(f"transaction 0x{transaction_hash.hex()} was not mined")
        time.sleep(POLL_S)
        waited_s += POLL_S
    return receipt
