"""kill -9 between any two contacts with disk and chain, also during recovery: nothing lost, nothing twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _crash(folder: Path, crashes: int, seed: int) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.pipeline_crasher", str(folder), str(crashes), str(seed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_a_node_killed_at_random_contacts_settles_everything_once(tmp_path: Path) -> None:
    where = _crash(tmp_path, crashes=15, seed=1)
    assert sum(count for place, count in where.items() if place != "not at all") >= 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_a_node_killed_at_hundreds_of_contacts_settles_everything_once(tmp_path: Path, seed: int) -> None:
    where = _crash(tmp_path, crashes=100, seed=seed)
    assert {"before a commit", "after a commit"} <= set(where)
    assert len(where) >= 12  # kinds of places
