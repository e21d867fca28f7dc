"""What clearing costs by number of orders: a measurement's file, drawn where one is there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.report.plots import Figure, log_lines

FILE: Final = Path("bench") / "market.json"
"""Where the bench writes it, below the folder of a report."""


Table = tuple[Sequence[str], Sequence[Sequence[str]]]


class NotMeasured(ValueError):
    """A file that is no measurement of the market's cost."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Curves of (orders, seconds) by name, other figures, and the machine that they are true of."""

    machine: str
    curves: dict[str, tuple[tuple[int, float], ...]]
    figures: dict[str, float]


def read(path: Path) -> Measured:
    """Read what `scripts/bench market --out` wrote.

    Raises
    ------
    NotMeasured
        If the file is something else, naming it.
    OSError
        If it cannot be read.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        curves = {
            name: tuple((int(n), float(seconds)) for n, seconds in points)
            for name, points in content["curves"].items()
        }
        machine = f"{content['processor']}, Python {content['python']}, numpy {content['numpy']}"
        figures = {name: float(value) for name, value in content["figures"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotMeasured(f"{path}: no measurement of scripts/bench market: {error!r}") from error
    if any(n <= 0 or seconds <= 0 for points in curves.values() for n, seconds in points):
        raise NotMeasured(f"{path}: numbers of orders and seconds must be above zero")
    return Measured(machine, curves, figures)


def cost_figure(measured: Measured) -> Figure:
    """Draw seconds over orders, both logarithmic: linear cost is a line of slope one."""
    return log_lines(
        f"Cost of one auction by number of orders, measured on {measured.machine}",
        measured.curves,
        "orders",
        "processor time, s",
    )


def cost_table(measured: Measured) -> Table:
    """Return heads and rows: seconds by size."""
    sizes = sorted({n for points in measured.curves.values() for n, _ in points})
    rows = []
    for n in sizes:
        seconds = [dict(points).get(n) for points in measured.curves.values()]
        rows.append((f"{n:,}", *("-" if s is None else f"{s:.2e}" for s in seconds)))
    return ("orders", *(f"{name}, s" for name in measured.curves)), rows


def shown(folder: Path) -> tuple[dict[str, Figure], dict[str, Table]]:
    """Return the figure and the table of what was measured into a report's folder; nothing if nothing was."""
    path = folder / FILE
    if not path.exists():
        return {}, {}
    try:
        measured = read(path)
    except NotMeasured as error:
        return {}, {"Cost of one auction": (("not shown", "because"), [(str(FILE), str(error))])}
    caption = f"Cost of one auction, measured by scripts/bench market on {measured.machine}"
    return {"cost": cost_figure(measured)}, {caption: cost_table(measured)}
