"""kill -9 at named points and at any moment, also during recovery: nothing acknowledged lost, nothing twice.

The killed processes and what is looked at afterwards stand in killed_days and killed_reorganisations.
`scripts/test faults` kills 100 times at each point and 1,000 times at any moment of a day, and prints what it counted.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.simulation import killed_days, killed_reorganisations
from tests.simulation.conftest import FIGURES
from tests.simulation.killed_days import AT_ANY_MOMENT

ROOT = Path(__file__).parents[2]
PROFILE = os.environ.get("SYMGRID_TEST_PROFILE", "ci")
KILLS = {"faults": 100, "nightly": 10}.get(PROFILE, 2)
KILLS_AT_ANY_MOMENT = {"faults": 250, "nightly": 25}.get(PROFILE, 3)
IS_LONG = KILLS > 2
SEEDS = (20261127, 20261128, 20261129, 20261130) if IS_LONG else (20261127,)
DAY_POINTS = killed_days.POINTS if IS_LONG else ("after match commit", "after signed commit")
REORGANISATION_POINTS = (
    killed_reorganisations.POINTS if IS_LONG else ("before final commit", "before rollback commit")
)
RECOVERY_S = 30.0

Record = Callable[[str, object], None]


def _killed(module: str, folder: Path, kills: int, point: str, seed: int, record: Record) -> dict[str, Any]:
    """Run a harness in a process of its own, which forks cheaply, and return what it found."""
    command = [sys.executable, "-m", f"tests.simulation.{module}", str(folder), str(kills), str(seed), point]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    found: dict[str, Any] = json.loads(done.stdout)[point]
    record(FIGURES, f"{point}, seed {seed}: {found}")
    assert found["kills"] == kills
    if IS_LONG and "longest_recovery_s" in found:
        assert found["longest_recovery_s"] <= RECOVERY_S
    return found


@pytest.mark.parametrize("point", DAY_POINTS)
def test_a_day_killed_at_any_point_ends_as_if_nothing_had_happened(
    tmp_path: Path, point: str, record_property: Record
) -> None:
    _killed("killed_days", tmp_path, KILLS, point, SEEDS[0], record_property)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_killed_at_any_moment_ends_as_if_nothing_had_happened(
    tmp_path: Path, seed: int, record_property: Record
) -> None:
    found = _killed("killed_days", tmp_path, KILLS_AT_ANY_MOMENT, AT_ANY_MOMENT, seed, record_property)
    assert found["acknowledged"] > 300 * found["days"]


@pytest.mark.parametrize("point", REORGANISATION_POINTS)
def test_a_pipeline_killed_while_the_chain_changes_its_mind_settles_everything_once(
    tmp_path: Path, point: str, record_property: Record
) -> None:
    found = _killed("killed_reorganisations", tmp_path, KILLS, point, SEEDS[0], record_property)
    assert found["reorganisations"] > 0


def test_a_harness_that_would_see_nothing_is_worth_nothing(tmp_path: Path) -> None:
    """What the checks look for is found: an acknowledged order that the store lacks, a row that differs."""
    days = killed_days.Days(tmp_path)
    data = tmp_path / "day"
    data.mkdir()
    days.run(data, killed_days.Fuse())
    days.check(data)
    with (data / "acknowledged").open("ab") as file:
        file.write(b"\x01" * 32)
    with pytest.raises(SystemExit, match="1 acknowledged orders are lost"):
        days.check(data)
    days.undisturbed["readings.csv"] = "another"
    with pytest.raises(SystemExit, match=r"readings\.csv"):
        days.check(data)
