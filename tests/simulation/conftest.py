"""One day of the test community, run once for all tests that only look at it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from node import profiles
from node.audit.publishing import render
from node.community import Community, open_community
from node.scenario import Scenario, load
from node.simulation import Simulation
from tests.simulation.auditing import Audit, frame, replayed

CORNER = Path(__file__).parents[1] / "data" / "scenarios" / "corner.yaml"
FIGURES = "figures"  # the property under which a test notes what a long run should print


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the long tests counted: a run that only says "passed" could have looked at nothing."""
    passed = terminalreporter.stats.get("passed", [])
    found = [text for report in passed for name, text in report.user_properties if name == FIGURES]
    if found:
        terminalreporter.section("figures")
        for text in sorted(found):
            terminalreporter.line(text)


@dataclass(frozen=True, slots=True)
class Ran:
    """A community after its day, and the folder that holds its state."""

    community: Community
    data: Path

    @property
    def scenario(self) -> Scenario:
        return self.community.scenario


def run_corner(data: Path, *, days: int = 1, stop: int | None = None, seed: int | None = None) -> Community:
    """Run the corner's days on a data folder, up to `stop` intervals from the first."""
    scenario = load(CORNER, days=days, seed=seed)
    data.mkdir(parents=True, exist_ok=True)
    community = open_community(scenario, profiles.load(scenario), data)
    delivery = scenario.delivery_intervals()
    Simulation(community).run(delivery.stop if stop is None else delivery.start + stop)
    return community


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    data = tmp_path_factory.mktemp("corner")
    community = run_corner(data)
    yield Ran(community, data)
    community.close()


@pytest.fixture
def corner() -> Iterator[Callable[..., Community]]:
    """Run corners that a test may do anything to; they are closed afterwards."""
    opened: list[Community] = []

    def run(data: Path, **options: int | None) -> Community:
        community = run_corner(data, **options)
        opened.append(community)
        return community

    yield run
    for community in opened:
        community.close()


@pytest.fixture(scope="session")
def audit(ran: Ran) -> Audit:
    community = ran.community
    return Audit(replayed(community), ran.data / "bundles", community)


@pytest.fixture
def bent(audit: Audit) -> Callable[..., bytes]:
    """Render a bundle from a store in which something was changed, which is then undone."""

    def render_bent(interval: int, *statements) -> bytes:
        class Undo(Exception):
            pass

        rendered = []
        try:
            with audit.community.store.begin() as connection:
                for statement in statements:
                    assert connection.execute(statement).rowcount == 1
                rendered.append(render(connection, frame(audit.community), interval))
                raise Undo
        except Undo:
            return rendered[0]

    return render_bent
