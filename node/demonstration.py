"""What `scripts/demo` does: open a community, run its days, show and write what happened, then serve it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from market.units import MICRO_PER_CREDIT
from node import profiles as profile_files
from node.chain.reconcile import reconcile
from node.community import Community, open_community
from node.errors import Permanent
from node.progress import days_of_run, progress, set_goal
from node.report import terminal, writing
from node.report.summary import Summary, summarise
from node.scenario import Scenario, load
from node.simulation import Simulation


class Disagreement(Permanent):
    """Store and chain differ."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    scenario: Path
    profiles: Path | None
    days: int | None
    seed: int | None
    port: int
    data: Path | None
    out: Path
    is_once: bool
    is_study: bool
    store: str | None = None


def run(options: Options, console: Console) -> None:
    """Run, show, write, and serve until Ctrl-C unless `--once`.

    Raises
    ------
    Disagreement
        If store and chain differ, naming account and amount.
    """
    scenario = _scenario(options)
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="symgrid-") as scratch:
        data = Path(scratch) if options.data is None else options.data
        data.mkdir(parents=True, exist_ok=True)
        before = progress(data)
        days = days_of_run(scenario, before, options.days, goes_on=options.is_once)
        scenario = scenario.model_copy(update={"days": days})
        goal = scenario.delivery_intervals().stop
        loaded = profile_files.load(scenario, options.profiles)
        for note in loaded.notes:
            console.print(f"profile: {note}", markup=False)
        community = open_community(scenario, loaded, data, options.store)
        try:
            _announce(console, community)
            if before.done is not None and before.done + 1 >= goal:
                console.print(f"{days} day(s) delivered already: --days N delivers N more")
            _run_to(community, goal, console)
            summary = _summarise(community)
            terminal.show(console, summary, f"{scenario.name}: {len(summary.span)} intervals delivered")
            with community.store.read() as connection:
                path = writing.write(connection, scenario, summary, options.out)
            console.print(f"\nreport: {path}")
            if summary.differences:
                raise Disagreement(f"store and chain differ in {summary.differences} places")
            if not options.is_once:
                _serve(community, options.port, console)
        finally:
            community.close()


def _scenario(options: Options) -> Scenario:
    scenario = load(options.scenario)
    changes: dict[str, object] = {}
    if options.seed is not None:
        changes["seed"] = options.seed
    if options.is_study:
        changes["study"] = scenario.study.model_copy(update={"chain": False, "signing": False})
    return scenario.model_copy(update=changes) if changes else scenario


def _run_to(community: Community, goal: int, console: Console) -> None:
    with community.store.begin() as connection:
        set_goal(connection, goal)
    simulation = Simulation(community)
    first = simulation.next_interval
    if first >= goal:
        simulation.run(goal)  # only what the last run had planned and not yet mined
        return
    with _progress_bar(console) as bar:
        task = bar.add_task(f"{community.scenario.name}", total=goal - first)
        simulation.run(goal, lambda _interval: bar.advance(task))
    if not console.is_terminal:
        console.print(f"{goal - first} intervals delivered")


def _progress_bar(console: Console) -> Progress:
    return Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TextColumn("intervals"),
        TimeElapsedColumn(),
        console=console,
    )


def _summarise(community: Community) -> Summary:
    differences = 0
    with community.store.read() as connection:
        if community.chain is not None:
            assert community.contracts is not None
            assert community.deployment is not None
            differences = len(
                reconcile(
                    connection, community.chain, community.contracts, community.deployment, is_full=True
                )
            )
        return summarise(connection, community.scenario, differences)


def _announce(console: Console, community: Community) -> None:
    scenario = community.scenario
    fee = scenario.market.fee_micro_per_kwh * 100 / MICRO_PER_CREDIT
    console.print(
        f"{scenario.name}: {len(scenario.participants)} participants, {community.plant.fleet.n_devices} devices, "
        f"{scenario.start_date}, {scenario.time_zone}, fee {fee:g} ct/kWh a side"
    )
    if community.deployment is not None:
        console.print(
            f"embedded chain {community.deployment.chain_id}: Settlement at 0x{community.deployment.settlement.hex()}"
        )
        console.print("keys are derived from the seed: for simulation only, never for money", style="yellow")


def _serve(community: Community, port: int, console: Console) -> None:
    import uvicorn

    from node.api.app import create_app

    console.print(f"serving http://127.0.0.1:{port}/ (API: /docs), Ctrl-C ends")
    uvicorn.run(create_app(community), host="127.0.0.1", port=port, log_level="warning")
