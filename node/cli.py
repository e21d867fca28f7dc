"""The command `symgrid`: check a scenario, run a community, serve what happened."""

import errno
import socket
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from market.errors import MarketError
from node import cli_trust
from node.errors import NodeError
from node.profiles import ProfileError
from node.scenario import ScenarioError, scenario_path

EXIT_USAGE = 2
EXIT_DISAGREE = 3

app = typer.Typer(add_completion=False, no_args_is_help=True, help="A peer-to-peer energy market.")
console = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """Say in one line what went wrong, and end."""
    stderr.print(f"symgrid: {' '.join(str(message).split())}", markup=False)
    raise typer.Exit(code)


@app.command()
def checkconfig(
    file: Annotated[str, typer.Argument(help="a scenario file, or the name of a shipped one")],
) -> None:
    """Check a scenario and say what is wrong, with file, line, field and what was expected."""
    from node.scenario import load

    try:
        scenario = load(scenario_path(file))
    except ScenarioError as error:
        stderr.print(str(error), markup=False)
        raise typer.Exit(EXIT_USAGE) from error
    people, days = len(scenario.participants), scenario.days
    console.print(
        f"{file}: ok: {scenario.name}, {people} participants, {days} day(s) from {scenario.start_date}"
    )


@app.command()
def demo(
    scenario: Annotated[
        str, typer.Option(help="a scenario file, or the name of a shipped one")
    ] = "neighbourhood",
    profiles: Annotated[Path | None, typer.Option(help="folder with your own CSV profiles")] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=366, help="how many days to deliver; on finished --data, how many more"),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="instead of the scenario's own")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="of API and page")] = 8000,
    data: Annotated[
        Path | None,
        typer.Option(
            help="state: a stopped run is finished, a finished one is served, or goes on with --days or --once"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="where the report goes")] = Path("out"),
    once: Annotated[bool, typer.Option("--once", help="end after the summary")] = False,
    study: Annotated[bool, typer.Option("--study", help="without signatures and chain, for studies")] = False,
    store: Annotated[
        str | None,
        typer.Option(help="postgresql+psycopg://user@host/database instead of a file; needs --data"),
    ] = None,
) -> None:
    """Run a community for some days, print the summary, write the report, then serve API and page."""
    from node import demonstration

    if not once:
        _refuse_busy_port(port)
    if store is not None:
        _refuse_store(store, data)
    try:
        demonstration.run(
            demonstration.Options(
                scenario_path(scenario), profiles, days, seed, port, data, out, once, study, store
            ),
            console,
        )
    except ScenarioError as error:
        stderr.print(str(error), markup=False)
        raise typer.Exit(EXIT_USAGE) from error
    except ProfileError as error:
        fail(str(error), EXIT_USAGE)
    except demonstration.Disagreement as error:
        fail(str(error), EXIT_DISAGREE)
    except (NodeError, MarketError) as error:
        fail(str(error))
    except OSError as error:
        fail(_os_reason(error))
    except KeyboardInterrupt:
        fail(
            "stopped; run again with the same --data to go on"
            if data is not None
            else "stopped; nothing was kept: with --data DIR a stopped run can go on later",
            130,
        )


def _refuse_store(store: str, data: Path | None) -> None:
    """End if the database cannot be the one of a data folder."""
    from node.store import location

    if data is None:
        fail("--store needs --data: the chain stands in a folder of its own", EXIT_USAGE)
    try:
        location.checked(store)
    except ValueError as error:
        fail(str(error), EXIT_USAGE)


@app.command()
def replay(data: Annotated[Path, typer.Argument(help="a data folder of a run")]) -> None:
    """Clear every stored round again from the stored orders and compare it with the record, to the unit."""
    from node.hub.replaying import replay as clear_again
    from node.store import layout, location
    from node.store.unit_of_work import Store

    if not location.is_in(data / "state"):
        fail(f"{data} holds no run: there is no {data / 'state' / location.FILE}", EXIT_USAGE)
    try:
        store = Store(location.url_in(data / "state"))
        layout.check(store)
        with store.read() as connection:
            n_rounds, difference = clear_again(connection)
        store.close()
    except NodeError as error:
        fail(str(error))
    if difference is not None:
        fail(str(difference), EXIT_DISAGREE)
    console.print(f"{n_rounds} rounds cleared again: every price and fill is as recorded")


def _refuse_busy_port(port: int) -> None:
    """Say so before the day is run, not after it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                fail(f"port {port} is in use: choose another one with --port", EXIT_USAGE)
            fail(f"port {port}: {error.strerror}", EXIT_USAGE)


def _os_reason(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{where}the disk is full: free some space and run again with the same --data"
    if isinstance(error, FileExistsError):
        return f"{where}is a file, a folder is needed there"
    return f"{where}{error.strerror or error}"


cli_trust.register(app, console, fail)


def main() -> None:
    """Entry point."""
    app(standalone_mode=True)


if __name__ == "__main__":
    main()
