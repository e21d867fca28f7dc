"""How far a run goes: what a data folder holds already, what was asked for, and what that comes to.

| the data folder | command line | the run |
|---|---|---|
| is new | anything | delivers `--days`, or the scenario's days |
| was stopped half-way | anything | finishes what was asked for then, nothing more |
| is finished | `--days` or `--once` | goes on for as many days again, on the same chain and store |
| is finished | neither | delivers nothing: it shows and serves what is there |
"""

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update

from node.scenario import Scenario
from node.store import location
from node.store.tables_devices import checkpoints
from node.store.tables_market import meta
from node.store.unit_of_work import Store

GOAL = "goal"  # in table meta: the interval up to which the latest run was asked to deliver


class Progress(NamedTuple):
    """The newest delivered interval of a data folder and where its latest run was to stop; None: nothing yet."""

    done: int | None
    goal: int | None

    @property
    def is_stopped(self) -> bool:
        """Whether the latest run was stopped before it had delivered what it was asked for."""
        return self.done is not None and self.goal is not None and self.done + 1 < self.goal


def progress(data: Path) -> Progress:
    """Read how far the runs of a data folder came."""
    if not location.is_in(data / "state"):
        return Progress(None, None)
    store = Store(location.url_in(data / "state"))
    try:
        with store.read() as connection:
            done = connection.execute(
                select(checkpoints.c.interval).where(checkpoints.c.name == "world")
            ).scalar()
            goal = connection.execute(select(meta.c.value).where(meta.c.key == GOAL)).scalar()
    finally:
        store.close()
    return Progress(done, None if goal is None else int(goal))


def days_of_run(scenario: Scenario, before: Progress, days: int | None, *, goes_on: bool) -> int:
    """Return how many days from the scenario's first a run shall have delivered at its end.

    Parameters
    ----------
    days : int or None
        What was asked for; None: as many as the scenario has.
    goes_on : bool
        Whether a finished run goes on though no days were asked for.
    """
    if before.is_stopped:
        assert before.goal is not None
        return _days_until(scenario, before.goal)
    delivered = 0 if before.done is None else _days_until(scenario, before.done + 1)
    if delivered and days is None and not goes_on:
        return delivered
    return delivered + (scenario.days if days is None else days)


def _days_until(scenario: Scenario, stop: int) -> int:
    """Return the number of whole days before an interval, counted from the scenario's first."""
    days = 0
    while scenario.model_copy(update={"days": days + 1}).delivery_intervals().stop <= stop:
        days += 1
    return days


def set_goal(connection: Connection, goal: int) -> None:
    """Write down where this run is to stop, so that the next one can finish it."""
    changed = connection.execute(update(meta).where(meta.c.key == GOAL).values(value=str(goal)))
    if changed.rowcount == 0:
        connection.execute(insert(meta).values(key=GOAL, value=str(goal)))
