"""The scenarios that come with the program, found by name."""

import difflib
from pathlib import Path

from node.scenario.loading import ScenarioError

FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "scenarios"


def scenario_path(name: str) -> Path:
    """Return the file of a scenario given by path, or by the name of a shipped one.

    Raises
    ------
    ScenarioError
        If it is neither, naming those that are shipped.
    """
    path = Path(name)
    if path.exists():
        return path
    known = sorted(file.stem for file in FOLDER.glob("*.yaml"))
    if name in known:
        return FOLDER / f"{name}.yaml"
    close = difflib.get_close_matches(path.stem, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ScenarioError(
        [f"{name}: no such file, and no such shipped scenario; {hint}shipped: {', '.join(known)}"]
    )
