"""The scenarios that come with the program, found by name."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "scenarios"


def scenario_path(name: str) -> Path:
    """Return the file of a scenario given by path, or by the name of a shipped one."""
    path = Path(name)
    shipped = FOLDER / f"{name}.yaml"
    return shipped if not path.exists() and shipped.exists() else path
