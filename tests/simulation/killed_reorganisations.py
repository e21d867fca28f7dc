"""A pipeline on a chain whose blocks become final late and are replaced, killed again and again.

`python -m tests.simulation.killed_reorganisations FOLDER KILLS SEED` kills KILLS times at each point and prints one
JSON object. Between two starts the chain may have taken another branch: an older copy of its file with other,
empty blocks on top. In the end everything is settled once, and every account holds what it holds on a chain that
nobody disturbed.
"""

import json
import random
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from node.bench.live_community import OPERATOR, LiveCommunity
from node.chain.carried import Carriage
from node.chain.contracts import load_address_book
from node.chain.embedded import EmbeddedChain
from node.chain.outbox import OutboxState
from node.chain.reconcile import reconcile, reconcile_or_halt, recover
from node.chain.sender import Sender
from node.chain.watcher import Watcher
from node.store.tables_chain import chain_events, outbox
from node.store.unit_of_work import Store
from tests.simulation.fuse import ChildFailed, Door, Fuse, in_a_child
from tests.simulation.killed_days import AT_ANY_MOMENT, CALLS
from tests.simulation.pipeline_crasher import MEMBERS, prepare
from tests.unit.node.chain.live import contracts

DOORS: tuple[Door, ...] = (
    (Sender, "_sign", "signed"),
    (Sender, "_record", "seen"),
    (Sender, "_finalize", "final"),
    (Sender, "resume", "orphaned"),
    (Watcher, "_take", "projected"),
    (Watcher, "_return_to_fork", "rollback"),
)
POINTS = (
    "before final commit",
    "after final commit",
    "before rollback commit",
    "after rollback commit",
    "before orphaned commit",
    "before seen commit",
    AT_ANY_MOMENT,
)
# Points that only a start after a reorganisation meets, and only once.
OF_A_START = ("before rollback commit", "after rollback commit", "before orphaned commit")
# Blocks below the head that may still be replaced.
LAG = 8
LONGEST_RUN_S = 0.5


class Lagging:
    """An embedded chain whose blocks become final late, and which keeps a copy of itself below each of them."""

    def __init__(self, folder: Path) -> None:
        self._inner = EmbeddedChain(folder / "chain.db")
        self._copies = folder / "copies"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def finalized(self) -> int:
        """Return the newest block that is not replaced any more."""
        return max(0, self._inner.head().number - LAG)

    def produce_block(self, timestamp_s: int) -> Any:
        """Make a block; what was before it stays as a copy."""
        self._copies.mkdir(exist_ok=True)
        number = self._inner.head().number
        unfinished = self._copies / "unfinished"
        unfinished.unlink(missing_ok=True)
        self._inner.backup(unfinished)
        unfinished.replace(self._copies / f"{number}.db")
        (self._copies / f"{number - LAG}.db").unlink(missing_ok=True)
        return self._inner.produce_block(timestamp_s)


def reorganise(folder: Path, chance: random.Random) -> int:
    """Put the chain on another branch; return how many blocks are replaced, 0 where no copy reaches."""
    with closing(EmbeddedChain(folder / "chain.db")) as chain:
        head = chain.head()
    numbers = sorted(int(path.stem) for path in (folder / "copies").glob("*.db"))
    near = [number for number in numbers if 1 <= head.number - number < LAG]
    if not near:
        return 0
    fork = chance.choice(near)
    for suffix in ("", "-wal", "-shm"):
        (folder / f"chain.db{suffix}").unlink(missing_ok=True)
    (folder / "copies" / f"{fork}.db").replace(folder / "chain.db")
    for number in numbers:
        if number > fork:
            (folder / "copies" / f"{number}.db").unlink()
    with closing(EmbeddedChain(folder / "chain.db")) as chain:
        while chain.head().number <= head.number:
            chain.produce_block(chain.head().timestamp_s + 2)
    return head.number - fork


def run(folder: Path, fuse: Fuse, n_intervals: int, *, until: str = OutboxState.FINAL) -> None:
    """Start, recover, settle up to so many intervals in all until they are final, or only mined."""
    done = {OutboxState.FINAL, OutboxState(until)}
    chain: Any = Lagging(folder)
    store = Store(f"sqlite:///{folder / 'store.db'}")
    with closing(chain), closing(store), fuse.watching(DOORS, CALLS):
        store.create_tables()
        community, sender, watcher = _services(folder, store, chain)
        where = (store, chain, contracts(), community.deployment)
        recover(*where, sender, watcher)
        while not _states(store) <= done or _planned(store) < n_intervals:
            planned = _planned(store)
            if planned < n_intervals:
                with store.begin() as connection:
                    for call in community.whole_interval(planned, community.first + planned):
                        sender.enqueue(connection, call)
                planned += 1
            sender.drive()
            at_s = community.end_s(community.first + planned - 1)
            chain.produce_block(max(at_s, chain.head().timestamp_s + 1))
            sender.drive()
            watcher.ingest()
            reconcile_or_halt(*where)


def _services(folder: Path, store: Store, chain: Any) -> tuple[LiveCommunity, Sender, Watcher]:
    resumed = load_address_book(folder / "book.json"), json.loads((folder / "first.json").read_text())
    community = LiveCommunity(chain, contracts(), MEMBERS, resumed=resumed)
    carriage = Carriage(chain, contracts(), community.deployment)
    sender = Sender(store, chain, {OPERATOR: community.keys[OPERATOR]}, carriage)
    return community, sender, Watcher(store, chain, contracts(), community.deployment)


def _planned(store: Store) -> int:
    query = select(func.count()).select_from(outbox).where(outbox.c.kind == "chunk")
    with store.read() as connection:
        return int(connection.execute(query).scalar_one())


def _states(store: Store) -> set[str]:
    with store.read() as connection:
        return set(connection.execute(select(outbox.c.state)).scalars())


def check(folder: Path, n_intervals: int) -> None:
    """Raise if anything is lost, twice, or different from what an undisturbed chain holds."""
    store = Store(f"sqlite:///{folder / 'store.db'}")
    with closing(EmbeddedChain(folder / "chain.db")) as chain, closing(store):
        community, _, _ = _services(folder, store, chain)
        with store.read() as connection:
            differences = reconcile(connection, chain, contracts(), community.deployment, is_full=True)
            settled = select(func.count()).where(chain_events.c.name == "ChunkSettled")
            n_settled = connection.execute(settled).scalar_one()
        states, words = _states(store), _words(chain, community)
    if differences or states != {"final"} or n_settled != n_intervals:
        raise SystemExit(f"{folder}: {n_settled} of {n_intervals} chunks, {states}, {differences}")
    quiet = folder / "undisturbed"
    quiet.mkdir()
    prepare(quiet)
    run(quiet, Fuse(), n_intervals)
    with closing(EmbeddedChain(quiet / "chain.db")) as chain:
        if _words(chain, community) != words:
            raise SystemExit(f"{folder}: accounts are not as on an undisturbed chain")


def _words(chain: EmbeddedChain, community: LiveCommunity) -> bytes:
    data = contracts().settlement.encode("words", list(range(MEMBERS + 2)))
    return chain.call(community.deployment.settlement, data)


@dataclass
class Result:
    """What kills at one point came to."""

    kills: int = 0
    starts: int = 0
    reorganisations: int = 0
    deepest: int = 0
    chunks: int = 0


def kill(folder: Path, point: str, kills: int, seed: int) -> Result:
    """Kill so often at a point, with reorganisations between; then run to the end and check."""
    chance, result = random.Random(f"{seed} {point}"), Result()
    folder.mkdir(parents=True)
    prepare(folder)
    n_intervals = 1
    while result.kills < kills:
        if chance.random() < 0.5 or point in OF_A_START:
            depth = reorganise(folder, chance)
            result.reorganisations += depth > 0
            result.deepest = max(result.deepest, depth)
        left = 1 if point in OF_A_START else chance.randint(1, 3)
        # Killed at every start it would never get anywhere.
        spared = point == AT_ANY_MOMENT or chance.random() < 0.3
        fuse = Fuse() if spared else Fuse(point, left)
        after_s = chance.uniform(0.0, LONGEST_RUN_S) if point == AT_ANY_MOMENT else None
        until = chance.choice((OutboxState.MINED, OutboxState.FINAL))
        start = partial(run, folder, fuse, n_intervals, until=until)
        try:
            killed = in_a_child(start, after_s)
        except ChildFailed:
            raise SystemExit(
                f"{folder}: the node failed by itself at start {result.starts}, {fuse}"
            ) from None
        result.starts += 1
        result.kills += killed
        n_intervals += not killed
    run(folder, Fuse(), n_intervals)
    check(folder, n_intervals)
    result.chunks = n_intervals
    return result


def main(folder: Path, kills: int, seed: int, points: list[str]) -> None:
    """Kill at each point so often, and print what came of it."""
    contracts()
    found = {}
    for point in points or POINTS:
        found[point] = asdict(kill(folder / point.replace(" ", "-"), point, kills, seed))
        print(point, found[point], file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
