"""Start anvil, the second implementation: installed by npm where it is missing, on 127.0.0.1 only."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.chain.ports import Head
from node.chain.rpc import RpcChain

PACKAGE = "@foundry-rs/anvil@1.7.1"
FOLDER = Path(__file__).resolve().parents[2] / "build" / "anvil"


class AnvilChain(RpcChain):
    """Anvil, whose blocks we make, and whose price of gas we set."""

    base_fee: int | None = None  # None: what anvil makes of it

    def produce_block(self, timestamp_s: int) -> Head:
        """Mine what waits and pays, at a time."""
        if self.base_fee is not None:
            self._ask("anvil_setNextBlockBaseFeePerGas", hex(self.base_fee))
        self._ask("evm_mine", hex(timestamp_s))
        return self.head()

    def reorganise(self, depth: int) -> None:
        """Replace the newest blocks by empty ones and forget their transactions."""
        self._ask("anvil_reorg", depth, [])

    def fund(self, address: bytes, wei: int) -> None:
        """Give an address native money."""
        self._ask("anvil_setBalance", f"0x{address.hex()}", hex(wei))

    def drop(self, transaction_hash: bytes) -> None:
        """Forget a transaction that waits."""
        self._ask("anvil_dropTransaction", f"0x{transaction_hash.hex()}")


def binary() -> str:
    """Return where anvil is; install it if npm can. Without it: fail in CI, skip elsewhere."""
    known = os.environ.get("SYMGRID_ANVIL") or shutil.which("anvil")
    if known:
        return known
    installed = FOLDER / "node_modules" / ".bin" / "anvil"
    if not installed.exists():
        npm = shutil.which("npm")
        if npm is None:
            _missing("neither anvil nor npm is here")
        done = subprocess.run(
            [
                npm or "npm",
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--prefix",
                str(FOLDER),
                PACKAGE,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if not installed.exists():
            _missing(f"npm could not install {PACKAGE}: {done.stderr.strip()}")
    return str(installed)


def _missing(why: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@contextmanager
def anvil(chain_id: int, timestamp_s: int) -> Iterator[str]:
    """Run anvil without automatic blocks or fees; yield its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [binary(), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(chain_id)]
    command += ["--timestamp", str(timestamp_s), "--hardfork", "prague", "--no-mining", "--order", "fifo"]
    command += ["--gas-limit", "1000000000", "--base-fee", "0", "--gas-price", "0", "--accounts", "1"]
    command += ["--disable-min-priority-fee"]
    # npm starts the server as a child of its own: they are ended together, as one group.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Listening on"):
                break
        else:
            pytest.fail(f"anvil did not start: {''.join(said)}")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()
