"""The market's cost by size: measured curves as JSON, and as a page of their own.

`scripts/bench market --out DIR` writes `DIR/bench/market.json` and `DIR/bench/market.html`. A demo that writes its
report into the same DIR shows the same curves there, with what they were measured on: a report never draws speeds
that nobody measured on that machine, and never measures any itself.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from node.report import html
from node.report.market_cost import FILE, Measured, cost_figure, cost_table, read

Curves = Mapping[str, Sequence[tuple[int, float]]]


def processor() -> str:
    """Return the processor's name as the system tells it, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def write(folder: Path, curves: Curves, figures: Mapping[str, float], bars: Mapping[str, str]) -> Path:
    """Write what was measured as JSON and as a page; return the page's path.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full.
    """
    content = {
        "processor": processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "curves": {name: [list(point) for point in points] for name, points in curves.items()},
        "figures": dict(figures),
    }
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    measured = read(path)
    page = path.with_suffix(".html")
    html.write(page, render(measured, bars))
    return page


def render(measured: Measured, bars: Mapping[str, str]) -> str:
    """Return the page of a measurement."""
    rows = [(name, f"{value:.4g}", bars.get(name, "")) for name, value in measured.figures.items()]
    return html.render(
        "Symbiotic Grid: the market's cost",
        f"Measured by scripts/bench market on {measured.machine}.",
        {"cost": cost_figure(measured)},
        {"Cost by size": cost_table(measured), "Figures": (("figure", "value", "bar"), rows)},
        {
            "Cost": "Best processor time to clear one interval, every order's fill included. The floor is one "
            "np.bincount with weights over as many orders: it reads each order once and fills none.",
            "Network auction": "The same on a tree of 1,000 nodes with capacities and grid fees, or one node per ten "
            "orders in smaller books.",
            "Other markets": "pymarket's double auction (MUDA) and lightmatchingengine's continuous book on the "
            "same orders, where they are installed, up to the size that they do in some seconds.",
        },
    )
