"""The report: one self-contained HTML file with figures, tables and the definitions behind them."""

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, select_autoescape

from node.report.plots import Figure

_TEMPLATES = Environment(loader=PackageLoader("node.report"), autoescape=select_autoescape())


def plotly_js() -> str:
    """Return the plotting library's browser code, from the installed package."""
    return (resources.files("plotly") / "package_data" / "plotly.min.js").read_text()


def render(
    title: str,
    subtitle: str,
    figures: Mapping[str, Figure],
    tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[str]]]],
    definitions: Mapping[str, str],
) -> str:
    """Return the whole page.

    Parameters
    ----------
    figures : Mapping[str, Figure]
        By element id, in the order in which they appear.
    tables : Mapping[str, tuple]
        By caption: column heads and rows of text.
    definitions : Mapping[str, str]
        What each figure of the summary means, with its formula.
    """
    return _TEMPLATES.get_template("report.html").render(
        title=title,
        subtitle=subtitle,
        figures=list(figures),
        figures_json=_inline(json.dumps(figures, separators=(",", ":"))),
        plotly_js=plotly_js(),
        tables=tables,
        definitions=definitions,
    )


def _inline(text: str) -> str:
    """Escape JSON for a script element: no `</script>` can end it early."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def write(path: Path, page: str) -> None:
    """Write the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page)
