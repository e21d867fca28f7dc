"""`scripts/bench day`: seconds per simulated day at 10, 100 and 1,000 homes, and where they go."""

import argparse
import json
import tempfile
import time
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


def scenario_of(homes: int, *, is_settled: bool) -> Scenario:
    """Return the template scenario with so many homes, one day."""
    found = load(SCENARIO, days=1, homes=homes)
    study = found.study.model_copy(update={"signing": is_settled, "chain": is_settled})
    return found.model_copy(update={"study": study})


def run_day(homes: int, *, is_settled: bool) -> tuple[float, float, dict[str, float]]:
    """Return seconds to found, seconds for the day, and seconds by room."""
    scenario = scenario_of(homes, is_settled=is_settled)
    loaded = profiles.load(scenario)
    with tempfile.TemporaryDirectory(prefix="symgrid-bench-") as folder:
        began = time.perf_counter()
        community = open_community(scenario, loaded, Path(folder))
        founded = time.perf_counter()
        simulation = Simulation(community)
        simulation.run(scenario.delivery_intervals().stop)
        done = time.perf_counter()
        community.close()
    return founded - began, done - founded, dict(simulation.times.spent_s)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; `--json` prints one flat object."""
    parser = argparse.ArgumentParser(prog="scripts/bench day", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one flat JSON object")
    parser.add_argument("--homes", type=int, action="append", help="only these sizes")
    arguments = parser.parse_args(argv)
    table = Table(title="one simulated day, seconds")
    rooms = ("agents", "door", "clearing", "dispatch", "reference", "signing", "store", "chain")
    for head in ("case", "found", "day", *rooms):
        table.add_column(head, justify="right")
    figures: dict[str, float] = {}
    for name, homes, is_settled in CASES:
        if arguments.homes and homes not in arguments.homes:
            continue
        found_s, day_s, spent = run_day(homes, is_settled=is_settled)
        figures[name] = round(day_s, 3)
        figures[name.replace("_s", "_found_s")] = round(found_s, 3)
        for room in rooms:
            figures[name.replace("_s", f"_{room}_share")] = round(spent.get(room, 0.0) / day_s, 4)
        table.add_row(
            name, f"{found_s:.1f}", f"{day_s:.1f}", *(f"{spent.get(room, 0.0) / day_s:.0%}" for room in rooms)
        )
        if not arguments.json:
            Console().print(f"{name}: {day_s:.1f} s")
    if arguments.json:
        print(json.dumps(figures))
    else:
        Console().print(table)
    return 0
