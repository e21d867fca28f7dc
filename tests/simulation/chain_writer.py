"""A child process that makes blocks and tells each one that is durable, until somebody kills it."""

import sys
from pathlib import Path

from node.chain.embedded import EmbeddedChain, Genesis
from node.chain.keys import derive
from node.chain.ports import Fees
from node.chain.transactions import sign_transaction

START_S = 1_900_000_000
CHAIN_ID = 1848
SIZE = 3_000


def write_blocks(path: Path) -> None:
    """Put one transaction with 3 kB of data into each block; print number and hash once it is made."""
    chain, writer = EmbeddedChain(path, Genesis(CHAIN_ID, START_S)), derive(1, "writer")
    while True:
        nonce = chain.nonce(writer.address)
        raw, _ = sign_transaction(
            writer,
            chain_id=CHAIN_ID,
            nonce=nonce,
            to=b"\x99" * 20,
            data=nonce.to_bytes(8, "big") * (SIZE // 8),
            gas=500_000,
            fees=Fees(0, 0),
        )
        chain.send_raw(raw)
        head = chain.produce_block(chain.head().timestamp_s + 1)
        print(head.number, head.hash.hex(), flush=True)


if __name__ == "__main__":
    write_blocks(Path(sys.argv[1]))
