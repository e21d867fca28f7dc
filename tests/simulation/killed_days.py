"""Days of the test community whose process is killed again and again, and what became of them.

`python -m tests.simulation.killed_days FOLDER KILLS SEED [POINT ...]` runs such days, KILLS for each point (all if
none is named), and prints one JSON object. One prepared process is forked for every start, so that a kill costs
no more than the start after it.

A day ends well if its tables and its chain are byte for byte those of a day that nobody disturbed, and every
order that was acknowledged with a receipt is in the store.
"""

import json
import random
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import sqlalchemy as sa

from node import profiles
from node.bus.messages import Receipt
from node.chain.embedded import EmbeddedChain
from node.chain.sender import Sender
from node.chain.watcher import Watcher
from node.community import open_community
from node.hub.clearing import Clearing
from node.hub.trading import Trading
from node.scenario import load
from node.simulation import Simulation
from node.store.tables_chain import chain_events, outbox
from node.store.tables_market import chunks, orders
from tests.simulation.conftest import CORNER
from tests.simulation.fuse import ChildFailed, Door, Fuse, in_a_child
from tests.simulation.test_restart import fingerprint

# What a process is doing when it opens a transaction, by the function that opens it.
DOORS: tuple[Door, ...] = (
    (Trading, "submit", "order"),
    (Clearing, "clear", "match"),
    (Simulation, "_meter", "plan"),
    (Sender, "_sign", "signed"),
    (Sender, "_record", "seen"),
    (Watcher, "_take", "projected"),
)
CALLS = ((EmbeddedChain, "send_raw"), (EmbeddedChain, "produce_block"))
# What a chain whose blocks are final at once has of crash points; killed_reorganisations has the others.
POINTS = (
    "before order commit",
    "after order commit",
    "before match commit",
    "after match commit",
    "after plan commit",
    "before signed commit",
    "after signed commit",
    "after send_raw",
    "after produce_block",
    "before seen commit",
    "before projected commit",
)
AT_ANY_MOMENT = "any moment"
# An interval has one to three contacts with a point: kills lie all over a day, several in each.
FARTHEST = 6
# CPU time of a start (about 0.2 s) and of two or three intervals.
LONGEST_RUN_S = 0.6


@contextmanager
def noting_receipts(path: Path) -> Iterator[None]:
    """Note the hash of every order that was acknowledged in a file, which survives the process."""
    submit = Trading.submit
    with path.open("ab", buffering=0) as file:

        def noted(*arguments: Any, **named: Any) -> Any:
            answers = submit(*arguments, **named)
            given = (one for batch in answers for one in batch.answers if isinstance(one, Receipt))
            file.write(b"".join(bytes.fromhex(one.order_hash.removeprefix("0x")) for one in given))
            return answers

        with mock.patch.object(Trading, "submit", noted):
            yield


# ------------------------------------------------------------------ days


class Days:
    """Runs days in children of this process.

    Parameters
    ----------
    folder : Path
        Where their state goes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scenario = load(CORNER)
        self._profiles = profiles.load(self._scenario)
        self.undisturbed = self._whole(folder / "undisturbed")
        self._founded = folder / "founded"
        self._founded.mkdir()
        open_community(self._scenario, self._profiles, self._founded).close()

    def found(self, data: Path) -> None:
        """Let a day begin where its community was just founded: founding alone has more contacts than a day."""
        shutil.copytree(self._founded, data)

    def start(self, data: Path, fuse: Fuse, kill_after_s: float | None = None) -> bool:
        """Run a day from where it is, in a child; tell whether it was killed."""
        data.mkdir(parents=True, exist_ok=True)
        try:
            return in_a_child(lambda: self.run(data, fuse), kill_after_s)
        except ChildFailed:
            raise SystemExit(f"{data}: the process failed by itself, at {fuse}") from None

    def run(self, data: Path, fuse: Fuse) -> None:
        """Run a day from where it is to its end, in this process."""
        began_s = time.monotonic()
        with fuse.watching(DOORS, CALLS), noting_receipts(data / "acknowledged"):
            community = open_community(self._scenario, self._profiles, data)
            with (data / "recovered").open("a") as file:
                file.write(f"{time.monotonic() - began_s}\n")
            Simulation(community).run(self._scenario.delivery_intervals().stop)
            community.close()

    def _whole(self, data: Path) -> dict[str, str]:
        data.mkdir(parents=True)
        community = open_community(self._scenario, self._profiles, data)
        Simulation(community).run(self._scenario.delivery_intervals().stop)
        found = fingerprint(community)
        community.close()
        return found

    def check(self, data: Path) -> dict[str, float]:
        """Look at a finished day; raise if anything is lost, twice, or different."""
        community = open_community(self._scenario, self._profiles, data)
        try:
            if (found := fingerprint(community)) != self.undisturbed:
                differing = sorted(name for name in found if found[name] != self.undisturbed.get(name))
                raise SystemExit(f"{data}: {differing} are not as on an undisturbed day")
            with community.store.read() as connection:
                stored = set(connection.execute(sa.select(orders.c.hash)).scalars())
                n_chunks = connection.execute(sa.select(sa.func.count()).select_from(chunks)).scalar_one()
                settled = sa.select(sa.func.count()).where(chain_events.c.name == "ChunkSettled")
                n_settled = connection.execute(settled).scalar_one()
                is_open = sa.select(sa.func.count()).where(outbox.c.state != "final")
                n_open = connection.execute(is_open).scalar_one()
        finally:
            community.close()
        raw = (data / "acknowledged").read_bytes()
        acknowledged = {raw[at : at + 32] for at in range(0, len(raw), 32)}
        if acknowledged - stored:
            raise SystemExit(f"{data}: {len(acknowledged - stored)} acknowledged orders are lost")
        if n_settled != n_chunks or n_open:
            raise SystemExit(f"{data}: {n_chunks} chunks, {n_settled} settled, {n_open} transactions open")
        longest_s = max(map(float, (data / "recovered").read_text().split()))
        return {"acknowledged": len(acknowledged), "longest_recovery_s": longest_s}


@dataclass
class Result:
    """What kills at one point came to."""

    kills: int = 0
    days: int = 0
    acknowledged: int = 0
    longest_recovery_s: float = 0.0


def kill(days: Days, folder: Path, point: str, kills: int, seed: int) -> Result:
    """Kill so often at a point, over as many days as that takes, and check each."""
    chance, result = random.Random(f"{seed} {point}"), Result()
    while result.kills < kills:
        data = folder / f"{point.replace(' ', '-')}-{seed}-{result.days}"
        if point != AT_ANY_MOMENT or result.days % 2:
            days.found(data)
        while result.kills < kills:
            if point == AT_ANY_MOMENT:
                killed = days.start(data, Fuse(), chance.uniform(0.0, LONGEST_RUN_S))
            else:
                killed = days.start(data, Fuse(point, chance.randint(1, FARTHEST)))
            if not killed:
                break
            result.kills += 1
        days.start(data, Fuse())
        found = days.check(data)
        result.days += 1
        result.acknowledged += int(found["acknowledged"])
        result.longest_recovery_s = max(result.longest_recovery_s, found["longest_recovery_s"])
        shutil.rmtree(data)
    return result


def main(folder: Path, kills: int, seed: int, points: list[str]) -> None:
    """Kill at each point so often, and print what came of it."""
    days = Days(folder)
    found = {}
    for point in points or [*POINTS, AT_ANY_MOMENT]:
        found[point] = asdict(kill(days, folder, point, kills, seed))
        print(point, found[point], file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
