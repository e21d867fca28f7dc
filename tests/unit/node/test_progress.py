"""How far a run goes, for every state of the data folder and every way to ask."""

from pathlib import Path

import pytest
from sqlalchemy import insert, select

from node.progress import GOAL, Progress, days_of_run, progress, set_goal
from node.scenario import load, scenario_path
from node.store import tables_devices, tables_market
from node.store.unit_of_work import Store

SCENARIO = load(scenario_path("neighbourhood"))  # one day
FIRST = SCENARIO.delivery_intervals().start
DAY = len(SCENARIO.delivery_intervals())
NOTHING = Progress(None, None)
FINISHED = Progress(FIRST + 2 * DAY - 1, FIRST + 2 * DAY)
STOPPED = Progress(FIRST + DAY + 5, FIRST + 3 * DAY)


@pytest.mark.parametrize(
    ("before", "days", "goes_on", "expected"),
    [
        (NOTHING, None, False, 1),
        (NOTHING, 5, False, 5),
        (STOPPED, None, False, 3),
        (STOPPED, 7, True, 3),
        (FINISHED, None, False, 2),
        (FINISHED, None, True, 3),
        (FINISHED, 4, False, 6),
    ],
)
def test_a_run_goes_as_far_as_the_table_says(before, days, goes_on, expected) -> None:
    assert days_of_run(SCENARIO, before, days, goes_on=goes_on) == expected


def test_a_community_that_was_founded_and_stopped_before_its_first_interval_begins_anew() -> None:
    assert days_of_run(SCENARIO, Progress(None, FIRST + DAY), None, goes_on=False) == 1


def test_a_day_with_a_clock_change_counts_as_one_day() -> None:
    # 29 March 2026 has 23 hours in Europe/Berlin
    march = SCENARIO.model_copy(update={"start_date": SCENARIO.start_date.replace(month=3, day=28)})
    two_days = march.model_copy(update={"days": 2}).delivery_intervals()
    assert len(two_days) == 96 + 92
    assert days_of_run(march, Progress(two_days.stop - 1, two_days.stop), None, goes_on=False) == 2


def test_a_folder_without_state_has_no_progress(tmp_path: Path) -> None:
    assert progress(tmp_path) == NOTHING


def test_progress_is_the_checkpoint_and_the_goal_that_was_written_last(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    store = Store(f"sqlite:///{tmp_path / 'state' / 'store.sqlite'}")
    store.create_tables()
    with store.begin() as connection:
        set_goal(connection, 10)
        set_goal(connection, 20)
        connection.execute(
            insert(tables_devices.checkpoints), {"name": "world", "interval": 14, "content": b""}
        )
        found = connection.execute(select(tables_market.meta.c.value).where(tables_market.meta.c.key == GOAL))
        assert found.scalars().all() == ["20"]
    store.close()
    assert progress(tmp_path) == Progress(14, 20)
    assert progress(tmp_path).is_stopped
