"""How an auditor opens a chain: behind a URL, or a copy of an embedded chain's file.

The file is copied through SQLite's online backup, so the hub may go on writing while it is verified, and
nothing an auditor does can reach the original.
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from node.chain.embedded import EmbeddedChain
from node.chain.ports import Chain, WrongChain
from node.chain.rpc import RpcChain


@contextmanager
def opened(rpc: str | None, chain_file: Path | None, chain_id: int) -> Iterator[Chain]:
    """Open the chain of a URL, or a copy of the one in a file.

    Raises
    ------
    ValueError
        If not exactly one of both is given.
    WrongChain
        If it has another chain id, or the file is missing or no chain.
    ChainUnavailable
        If nobody answers at the URL.
    """
    if (rpc is None) == (chain_file is None):
        raise ValueError("name the chain: either --rpc URL or --chain FILE")
    if rpc is not None:
        with closing(RpcChain(rpc, chain_id)) as remote:
            yield remote
        return
    assert chain_file is not None
    with tempfile.TemporaryDirectory(prefix="symgrid-verify-") as folder:
        copy = Path(folder) / "chain.sqlite"
        _copy(chain_file, copy)
        with closing(EmbeddedChain(copy)) as chain:
            if chain.chain_id != chain_id:
                raise WrongChain(f"chain {chain_file} has id {chain.chain_id}, expected {chain_id}")
            yield chain


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise WrongChain(f"chain {source}: no such file")
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as original,
            closing(sqlite3.connect(target)) as copy,
        ):
            original.backup(copy)
    except sqlite3.Error as error:
        raise WrongChain(f"chain {source}: {error}") from error
