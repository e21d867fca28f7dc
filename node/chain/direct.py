"""Send one transaction and see it mined: for setting up, by whoever holds the key, without an outbox."""

import time
from collections.abc import Callable

from node.chain.keys import LocalSigner
from node.chain.ports import Address, CallReverted, Chain, ChainUnavailable, ProducingChain, Receipt
from node.chain.transactions import sign_transaction

POLL_S = 0.2
PATIENCE_S = 120.0


def produced_at(chain: ProducingChain, timestamp_s: Callable[[], int]) -> Callable[[], None]:
    """Return a `mine` for `transact` that makes a block at a clock's time, or a second after the head."""

    def mine() -> None:
        chain.produce_block(max(timestamp_s(), chain.head().timestamp_s + 1))

    return mine


def transact(
    chain: Chain,
    signer: LocalSigner,
    to: Address | None,
    data: bytes,
    *,
    gas: int | None = None,
    mine: Callable[[], None] | None = None,
) -> Receipt:
    """Sign, send and wait for one transaction; `to` None creates a contract.

    Parameters
    ----------
    gas : int or None
        Gas limit; None asks the chain.
    mine : Callable or None
        Makes a block on a chain whose blocks we make; None waits for others to make one.

    Raises
    ------
    CallReverted
        With the contract's reason.
    ChainUnavailable
        If it is not mined within two minutes.
    """
    raw, transaction_hash = sign_transaction(
        signer,
        chain_id=chain.chain_id,
        nonce=chain.nonce(signer.address, is_pending=True),
        to=to,
        data=data,
        gas=chain.estimate_gas(signer.address, to, data) if gas is None else gas,
        fees=chain.fees(),
    )
    chain.send_raw(raw)
    if mine is not None:
        mine()
    waited_s = 0.0
    while (receipt := chain.receipt(transaction_hash)) is None:
        if mine is not None or waited_s >= PATIENCE_S:
            raise ChainUnavailable(f"transaction 0x{transaction_hash.hex()} was not mined")
        time.sleep(POLL_S)
        waited_s += POLL_S
    if not receipt.is_success:
        raise CallReverted(chain.revert_reason(transaction_hash) or "no reason given")
    return receipt
