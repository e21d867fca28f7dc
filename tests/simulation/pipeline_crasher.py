"""A node that settles intervals and kills itself with SIGKILL at its n-th contact with disk or chain.

`python -m tests.simulation.pipeline_crasher FOLDER CRASHES SEED` forks such a node again and again on one
folder, then lets one run to the end and compares store and chain. Prints how often it crashed where.
"""

import json
import os
import random
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from node.bench.live_community import OPERATOR, LiveCommunity
from node.chain.contracts import load_address_book, save_address_book
from node.chain.embedded import EmbeddedChain, Genesis
from node.chain.reconcile import reconcile_or_halt, recover
from node.chain.sender import Sender
from node.chain.watcher import Watcher
from node.store.tables_chain import chain_state, outbox
from node.store.unit_of_work import Store
from tests.unit.node.chain.live import CHAIN_ID, START_S, contracts

MEMBERS = 4
# Contacts of a node that starts, recovers and settles one interval; a crash lies anywhere in the first few.
CONTACTS = 90
WATCHED = ("send_raw", "receipt", "transaction", "block", "logs", "calls", "nonce", "finalized")


class Fuse:
    """Counts contacts and ends the process at one of them."""

    def __init__(self, at: int, tell: Callable[[str], None]) -> None:
        self._left = at
        self._tell = tell

    def burn(self, where: str) -> None:
        """Count a contact."""
        self._left -= 1
        if self._left == 0:
            self._tell(where)
            os.kill(os.getpid(), signal.SIGKILL)


class FusedStore(Store):
    """A store whose process may end around every transaction."""

    fuse: Fuse

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction; the process may end before it, before its commit, and after."""
        self.fuse.burn("before a transaction")
        with super().begin() as connection:
            yield connection
            self.fuse.burn("before a commit")
        self.fuse.burn("after a commit")


class FusedChain:
    """A chain whose process may end around every call."""

    def __init__(self, chain: EmbeddedChain, fuse: Fuse) -> None:
        self._chain = chain
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._chain, name)
        if name not in (*WATCHED, "produce_block"):
            return found

        def fused(*arguments: Any, **named: Any) -> Any:
            self._fuse.burn(f"before {name}")
            result = found(*arguments, **named)
            self._fuse.burn(f"after {name}")
            return result

        return fused


def prepare(folder: Path) -> None:
    """Deploy the contracts and open the accounts."""
    chain = EmbeddedChain(folder / "chain.db", Genesis(CHAIN_ID, START_S))
    community = LiveCommunity(chain, contracts(), MEMBERS)
    save_address_book(folder / "book.json", community.deployment)
    (folder / "first.json").write_text(json.dumps(community.first))
    chain.close()


def run(folder: Path, fuse: Fuse, n_intervals: int) -> int:
    """Start, recover, settle up to so many intervals in all; return how many are settled."""
    opened = EmbeddedChain(folder / "chain.db")
    chain: Any = FusedChain(opened, fuse)
    store = FusedStore(f"sqlite:///{folder / 'store.db'}")
    store.fuse = fuse
    store.create_tables()
    resumed = load_address_book(folder / "book.json"), json.loads((folder / "first.json").read_text())
    community = LiveCommunity(chain, contracts(), MEMBERS, resumed=resumed)
    sender = Sender(store, chain, {OPERATOR: community.keys[OPERATOR]})
    watcher = Watcher(store, chain, contracts(), community.deployment)
    services = (store, chain, contracts(), community.deployment, sender, watcher)
    driven = recover(*services).driven
    while True:
        planned = _planned(store)
        if driven.open:
            interval = community.first + planned - 1
            chain.produce_block(max(community.end_s(interval), chain.head().timestamp_s + 1))
            driven = sender.drive()
            watcher.ingest()
            reconcile_or_halt(*services[:4])
        elif planned == n_intervals:
            break
        else:
            with store.begin() as connection:
                for call in community.whole_interval(planned, community.first + planned):
                    sender.enqueue(connection, call)
            driven = sender.drive()
    recover(*services)
    with store.read() as connection:
        settled = connection.execute(select(chain_state.c.next_sequence)).scalar_one()
    store.close()
    opened.close()
    return int(settled)


def _planned(store: Store) -> int:
    query = select(func.count()).select_from(outbox).where(outbox.c.kind == "chunk")
    with store.read() as connection:
        return int(connection.execute(query).scalar_one())


def main(folder: Path, crashes: int, seed: int) -> None:
    """Crash so often, then run to the end."""
    random_ = random.Random(seed)
    prepare(folder)
    where: Counter[str] = Counter()
    for i in range(crashes):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            fuse = Fuse(random_.randrange(1, CONTACTS), _told(writer))
            try:
                # Each child may settle a little further than the one before.
                run(folder, fuse, n_intervals=2 + i // 2)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        random_ = random.Random(f"{seed}-{i}")
        os.close(writer)
        with os.fdopen(reader) as pipe:
            place = pipe.read()
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
            raise SystemExit(f"crash {i}: the node failed by itself")
        where[place or "not at all"] += 1
    total = 3 + crashes // 2
    settled = run(folder, Fuse(0, lambda _: None), n_intervals=total)
    if settled != total:
        raise SystemExit(f"{settled} chunks settled, {total} planned")
    print(json.dumps(dict(where)))


def _told(writer: int) -> Callable[[str], None]:
    return lambda text: (os.write(writer, text.encode()), None)[1]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
