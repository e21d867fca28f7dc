"""`scripts/bench day`: seconds per simulated day at 10, 100 and 1,000 homes, and where they go."""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from node import profiles
from node.community import open_community
from node.scenario import Scenario, load
from node.simulation import Simulation

SCENARIO = Path(__file__).resolve().parents[2] / "scripts" / "scenarios" / "homes.yaml"
# name, homes, with signatures and chain
CASES = (
    ("day_10_s", 10, True),
    ("day_100_s", 100, True),
    ("day_1000_s", 1_000, True),
    ("day_1000_nochain_s", 1_000, False),
)
ROOMS = ("agents", "door", "clearing", "dispatch", "reference", "signing", "store", "chain", "bundles")


def scenario_of(homes: int, *, is_settled: bool) -> Scenario:
    """Return the template scenario with so many homes, one day."""
    found = load(SCENARIO, days=1, homes=homes)
    study = found.study.model_copy(update={"signing": is_settled, "chain": is_settled})
    return found.model_copy(update={"study": study})


@dataclass(frozen=True, slots=True)
class Day:
    """What one day took: seconds by the wall and of the processor, and seconds by the wall in each room.

    The wall also counts the disk and other work on the machine; the processor's time does not.
    """

    found_s: float
    day_s: float
    cpu_s: float
    spent_s: dict[str, float]

    def share(self, room: str) -> float:
        """Return the part of the day that a room took."""
        return self.spent_s.get(room, 0.0) / self.day_s


def run_day(homes: int, *, is_settled: bool) -> Day:
    """Found a community of so many homes and run its day."""
    scenario = scenario_of(homes, is_settled=is_settled)
    loaded = profiles.load(scenario)
    with tempfile.TemporaryDirectory(prefix="symgrid-bench-") as folder:
        began = time.perf_counter()
        community = open_community(scenario, loaded, Path(folder))
        founded, cpu = time.perf_counter(), time.process_time()
        simulation = Simulation(community)
        simulation.run(scenario.delivery_intervals().stop)
        day_s, cpu_s = time.perf_counter() - founded, time.process_time() - cpu
        community.close()
    return Day(founded - began, day_s, cpu_s, dict(simulation.times.spent_s))


def figures_of(name: str, day: Day) -> dict[str, float]:
    """Return a case's figures, flat: `day_10_s` and beside it `day_10_cpu_s`, `day_10_chain_share` and so on."""
    case = name.removesuffix("_s")
    return {
        name: round(day.day_s, 3),
        f"{case}_cpu_s": round(day.cpu_s, 3),
        f"{case}_found_s": round(day.found_s, 3),
        **{f"{case}_{room}_share": round(day.share(room), 4) for room in ROOMS},
    }


def table_of(days: dict[str, Day]) -> Table:
    """Return what people read: a column a case."""
    table = Table(title="one simulated day")
    table.add_column("")
    for name in days:
        table.add_column(name.removesuffix("_s"), justify="right")
    table.add_row("founding, s", *(f"{day.found_s:.1f}" for day in days.values()))
    table.add_row("day, s", *(f"{day.day_s:.1f}" for day in days.values()))
    table.add_row("of the processor, s", *(f"{day.cpu_s:.1f}" for day in days.values()), end_section=True)
    for room in ROOMS:
        table.add_row(room, *(f"{day.share(room):.0%}" for day in days.values()))
    table.add_row("all else", *(f"{1 - sum(day.share(room) for room in ROOMS):.0%}" for day in days.values()))
    return table


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; `--json` prints one flat object."""
    parser = argparse.ArgumentParser(prog="scripts/bench day", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one flat JSON object")
    parser.add_argument("--homes", type=int, action="append", help="only these sizes")
    arguments = parser.parse_args(argv)
    days: dict[str, Day] = {}
    for name, homes, is_settled in CASES:
        if arguments.homes and homes not in arguments.homes:
            continue
        days[name] = run_day(homes, is_settled=is_settled)
        if not arguments.json:
            Console().print(f"{name}: {days[name].day_s:.1f} s")
    if arguments.json:
        print(
            json.dumps(
                {key: value for name, day in days.items() for key, value in figures_of(name, day).items()}
            )
        )
    else:
        Console().print(table_of(days))
    return 0
