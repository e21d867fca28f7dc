"""Measure the embedded chain: settled fills per second with everything a block owes the disk.

`scripts/bench chain` prints a table, `--json` one flat object. A fill is settled when its block is durable.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from node.bench.live_community import LiveCommunity
from node.chain.contracts import compile_contracts
from node.chain.embedded import EmbeddedChain, Genesis
from node.chain.keys import LocalSigner
from node.chain.ports import Fees
from node.chain.sender import ContractCall
from node.chain.transactions import sign_transaction

CHUNK_FILLS = 100
CHUNKS = 12
START_S = 2_000_000_700
CHAIN_ID = 1848


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench chain", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one flat object")
    parser.add_argument("--chunks", type=int, default=CHUNKS, help="chunks of 100 fills to measure")
    options = parser.parse_args(argv)
    figures = measure(options.chunks)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:32} {value:12.1f}")
    return 0


def measure(n_chunks: int) -> dict[str, float]:
    """Return the figures, each over `n_chunks` chunks of 100 accounts, in steady state.

    `embedded_fills_per_s` is the honest one: each fill with the reading that closes its interval, and the
    interval's tariffs; `embedded_fills_per_cpu_s` leaves out what the disk and others on the machine take.
    Two more rates are chunks of fills, and of readings, alone.
    """
    with tempfile.TemporaryDirectory(prefix="chain-bench-") as folder:
        chain = EmbeddedChain(Path(folder) / "chain.db", Genesis(CHAIN_ID, START_S))
        try:
            run = _Run(LiveCommunity(chain, compile_contracts(), CHUNK_FILLS))
            run.whole_interval()
            before = _size(folder)
            cpu_s = 0.0
            whole = []
            for _ in range(n_chunks):
                whole.append(run.whole_interval())
                cpu_s += run.cpu_s
            grown = _size(folder) - before
            split = [run.fills_then_readings() for _ in range(n_chunks)]
            blocks = _empty_blocks(chain)
        finally:
            chain.close()
    n = n_chunks * CHUNK_FILLS
    seconds = sum(s for s, _ in whole)
    return {
        "embedded_fills_per_s": round(n / seconds, 1),
        "embedded_fills_per_cpu_s": round(n / cpu_s, 1),
        "embedded_mgas_per_s": round(sum(gas for _, gas in whole) / seconds / 1e6, 2),
        "embedded_fills_alone_per_s": round(n / sum(fills for fills, _ in split), 1),
        "embedded_readings_alone_per_s": round(n / sum(readings for _, readings in split), 1),
        "embedded_gas_per_fill_and_reading": round(sum(gas for _, gas in whole) / n),
        "embedded_bytes_per_fill_and_reading": round(grown / n),
        "embedded_empty_blocks_per_s": round(blocks, 1),
    }


def _size(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).glob("chain.db*"))


class _Run:
    """Settles interval after interval and takes the time from raw transactions to durable blocks."""

    def __init__(self, community: LiveCommunity) -> None:
        self._community = community
        self._operator = community.keys["operator"]
        self._interval = community.first
        self._sequence = 0
        self.cpu_s = 0.0  # of the newest block

    def whole_interval(self) -> tuple[float, int]:
        """Settle tariffs, fills and readings in one block; return seconds and gas."""
        calls = self._community.whole_interval(self._sequence, self._interval)
        done = self._settle(calls)
        self._sequence += 1
        self._interval += 1
        return done

    def fills_then_readings(self) -> tuple[float, float]:
        """Settle fills, and readings, in blocks of their own; return the seconds of both."""
        community, interval = self._community, self._interval
        fills = community.chunk(self._sequence, interval, community.fills(interval), ())
        readings = community.chunk(self._sequence + 1, interval, (), community.readings(interval))
        fills_s, _ = self._settle([fills])
        self._settle([community.tariffs(interval)])
        readings_s, _ = self._settle([readings])
        self._sequence += 2
        self._interval += 1
        return fills_s, readings_s

    def _settle(self, calls: Sequence[ContractCall]) -> tuple[float, int]:
        """Return seconds from raw transactions to a durable block, and gas; keep the processor's share."""
        community = self._community
        chain = community.chain
        nonce = chain.nonce(self._operator.address)
        raws = [_signed(self._operator, nonce + i, call) for i, call in enumerate(calls)]
        at_s = max(community.end_s(self._interval), chain.head().timestamp_s + 1)
        started, started_cpu = time.perf_counter(), time.process_time()
        hashes = [chain.send_raw(raw) for raw in raws]
        chain.produce_block(at_s)
        seconds = time.perf_counter() - started
        self.cpu_s = time.process_time() - started_cpu
        gas = 0
        for transaction_hash in hashes:
            receipt = chain.receipt(transaction_hash)
            if receipt is None or not receipt.is_success:
                reason = chain.revert_reason(transaction_hash)
                raise RuntimeError(f"bench transaction failed: {reason}")
            gas += receipt.gas_used
        return seconds, gas


def _signed(signer: LocalSigner, nonce: int, call: ContractCall) -> bytes:
    raw, _ = sign_transaction(
        signer,
        chain_id=CHAIN_ID,
        nonce=nonce,
        to=call.to,
        data=call.data,
        gas=call.gas,
        fees=Fees(0, 0),
    )
    return raw


def _empty_blocks(chain: EmbeddedChain, n: int = 200) -> float:
    """Return how many empty blocks a second reach the disk."""
    started = time.perf_counter()
    for _ in range(n):
        chain.produce_block(chain.head().timestamp_s + 1)
    return n / (time.perf_counter() - started)


if __name__ == "__main__":
    raise SystemExit(main())
