"""kill -9 at any moment: no block that was acknowledged is lost, and the chain goes on."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.chain.embedded import EmbeddedChain
from node.chain.keys import derive

ROOT = Path(__file__).resolve().parents[2]


def _kill_after(path: Path, n_blocks: int, random_: random.Random) -> list[tuple[int, str]]:
    """Let a child make some blocks, kill it at a random moment after that, return what it acknowledged."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.simulation.chain_writer", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    acknowledged = []
    try:
        for _ in range(n_blocks):
            number, block_hash = child.stdout.readline().split()
            acknowledged.append((int(number), block_hash))
        # Somewhere inside the next blocks; spinning, because sleeping is coarser than a block.
        for _ in range(random_.randrange(200_000)):
            pass
    finally:
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read()
        child.stdout.close()
        child.wait()
    for line in rest.splitlines():
        parts = line.split()
        if len(parts) == 2 and len(parts[1]) == 64:
            acknowledged.append((int(parts[0]), parts[1]))
    return acknowledged


def _check(path: Path, acknowledged: list[tuple[int, str]]) -> None:
    chain = EmbeddedChain(path)
    try:
        head = chain.head()
        assert head.number >= acknowledged[-1][0]
        for number, block_hash in acknowledged:
            block = chain.block(number)
            assert block is not None
            assert block.hash.hex() == block_hash
            assert len(block.transactions) == 1
        # Whole blocks only: state, transactions and headers tell the same story.
        assert chain.nonce(derive(1, "writer").address) == head.number
        parent = None
        for number in range(head.number + 1):
            block = chain.block(number)
            assert block is not None
            assert parent is None or block.parent == parent
            parent = block.hash
    finally:
        chain.close()


def _kills(path: Path, times: int, seed: int) -> int:
    random_ = random.Random(seed)
    last = 0
    for _ in range(times):
        acknowledged = _kill_after(path, random_.randrange(1, 25), random_)
        assert acknowledged[0][0] > last  # it went on where it was
        _check(path, acknowledged)
        last = acknowledged[-1][0]
    return last


def test_no_acknowledged_block_is_lost_by_kill_9(tmp_path: Path) -> None:
    assert _kills(tmp_path / "chain.db", times=3, seed=1) >= 3


@pytest.mark.slow
def test_no_acknowledged_block_is_lost_by_60_kills(tmp_path: Path) -> None:
    assert _kills(tmp_path / "chain.db", times=60, seed=2) >= 60
