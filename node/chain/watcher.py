"""What the chain tells us, taken in once: blocks, events by (block hash, log index), accounts; reorganisations.

Each batch of blocks is one database transaction, so a crash between two leaves the store at a block border. A
block whose parent is not the one we have means that the chain took another branch: we go back to where both
agree and on from there.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from node.chain.abi import Event
from node.chain.contracts import Contracts, Deployment, events_of
from node.chain.ports import Block, Chain, ChainUnavailable, Log, MinedCall, WrongChain
from node.chain.projection import Projection
from node.store.tables_chain import blocks, chain_events
from node.store.unit_of_work import Store

BATCH_BLOCKS = 64
# Browsers read JSON numbers as doubles.
_SAFE_INTEGER = 2**53


@dataclass(frozen=True, slots=True)
class Ingested:
    """What one call took in; `rolled_back` counts blocks that the chain replaced."""

    blocks: int
    events: int
    rolled_back: int
    head: int


class Watcher:
    """Keeps the store in step with one chain and one deployment.

    Parameters
    ----------
    store : Store
        Where blocks, events and accounts go.
    chain : Chain
        What is watched.
    contracts : Contracts
        To decode events.
    deployment : Deployment
        Whose contracts are watched.
    first_block : int
        Where to begin; the block in which Settlement was deployed, or any before it.
    """

    def __init__(
        self, store: Store, chain: Chain, contracts: Contracts, deployment: Deployment, first_block: int = 0
    ) -> None:
        self._store = store
        self._chain = chain
        self._contracts = contracts
        self._deployment = deployment
        self._first = first_block
        self._addresses = (deployment.settlement, deployment.split, deployment.token)
        self._projection = Projection(deployment)

    def ingest(self) -> Ingested:
        """Take in everything up to the chain's head.

        Raises
        ------
        ProjectionError
            If the mirror of the contract and the chain contradict each other: settlement must halt.
        WrongChain
            If not even the first block is the one that the store knows.
        ChainUnavailable
            If the chain does not answer, or changes faster than it can be read; nothing is lost.
        """
        head, final = self._chain.head().number, self._chain.finalized()
        rolled_back = self._return_to_fork()
        n_blocks = n_events = 0
        while (newest := self._newest())[0] < head:
            first = newest[0] + 1
            taken = self._take(newest[1], first, min(first + BATCH_BLOCKS - 1, head), final)
            n_blocks += taken[0]
            n_events += taken[1]
        return Ingested(n_blocks, n_events, rolled_back, head)

    def _newest(self) -> tuple[int, bytes | None]:
        """Return number and hash of the newest block we have."""
        query = select(blocks.c.number, blocks.c.hash).order_by(blocks.c.number.desc()).limit(1)
        with self._store.read() as connection:
            row = connection.execute(query).one_or_none()
        return (self._first - 1, None) if row is None else (row.number, row.hash)

    # -------------------------------------------------------------- forwards

    def _take(self, parent: bytes | None, first: int, last: int, final: int) -> tuple[int, int]:
        """Take in blocks `first..last` in one database transaction; return how many, and their events."""
        seen = []
        for number in range(first, last + 1):
            block = self._chain.block(number)
            if block is None or (parent is not None and block.parent != parent):
                break  # the chain is changing branch: the next call goes back first
            calls, logs = [], []
            if block.transactions:
                calls = self._chain.calls(block, (self._deployment.settlement,))
                logs = self._chain.block_logs(block, self._addresses)
            seen.append((block, calls, logs))
            parent = block.hash
        if not seen:
            raise ChainUnavailable(f"block {first} is on another branch than block {first - 1} was")
        n_events = 0
        try:
            with self._store.begin() as connection:
                for block, calls, logs in seen:
                    n_events += self._record(connection, block, calls, logs, final)
                self._projection.settle_down(connection, final)
        except BaseException:
            self._projection.forget()
            raise
        return len(seen), n_events

    def _record(
        self, connection: Connection, block: Block, calls: list[MinedCall], logs: list[Log], final: int
    ) -> int:
        connection.execute(
            insert(blocks).values(
                number=block.number, hash=block.hash, parent=block.parent, timestamp_s=block.timestamp_s
            )
        )
        ours: defaultdict[int, list[Event]] = defaultdict(list)
        rows = []
        for log in logs:
            event = events_of(self._contracts, self._deployment, log)
            if event is None:
                continue
            if log.address == self._deployment.settlement:
                ours[log.transaction_index].append(event)
            rows.append(_event_row(log, event))
        if rows:
            connection.execute(insert(chain_events), rows)
        by_index = {call.index: call for call in calls if call.is_success}
        transactions = [
            (by_index.get(index), ours[index])
            for index in sorted(set(by_index) | {i for i in ours if ours[i]})
        ]
        self._projection.apply(connection, block, transactions, is_final=block.number <= final)
        return len(rows)

    # -------------------------------------------------------------- backwards

    def _return_to_fork(self) -> int:
        """Go back to the newest block that the chain still has; return how many were given up."""
        with self._store.read() as connection:
            newest_first = select(blocks).order_by(blocks.c.number.desc())
            lost, kept = 0, None
            for row in connection.execute(newest_first):
                found = self._chain.block(row.number)
                if found is not None and found.hash == row.hash:
                    kept = found
                    break
                lost += 1
        if not lost:
            return 0
        if kept is None and row.number == 0:
            raise WrongChain(
                f"the store follows a chain of genesis 0x{row.hash.hex()}; this is another chain, of genesis "
                f"0x{found.hash.hex() if found else ''}"
            )
        with self._store.begin() as connection:
            if kept is None or not self._projection.rollback(connection, kept):
                # Deeper than what was thought final, as after a restored backup: project from the start.
                self._projection.clear(connection)
                connection.execute(delete(chain_events))
                lost = connection.execute(select(func.count()).select_from(blocks)).scalar_one()
                connection.execute(delete(blocks))
            else:
                connection.execute(delete(chain_events).where(chain_events.c.block_number > kept.number))
                connection.execute(delete(blocks).where(blocks.c.number > kept.number))
        return lost


def _event_row(log: Log, event: Event) -> dict[str, Any]:
    return {
        "block_hash": log.block_hash,
        "log_index": log.index,
        "block_number": log.block_number,
        "transaction_hash": log.transaction_hash,
        "contract": log.address,
        "name": event.name,
        "account": event.arguments.get("account"),
        "arguments": json.dumps(_plain(event.arguments)),
    }


def _plain(value: Any) -> Any:
    """Return event arguments as JSON can hold them without loss."""
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _SAFE_INTEGER:
        return str(value)
    return value
