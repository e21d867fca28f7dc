"""The first page: the report's figures, fetched live, with a participant's own statement."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, select_autoescape
from sqlalchemy import func, select

from node.api.context import Context, Db, Here
from node.report import queries, terminal, writing
from node.report.definitions import DEFINITIONS
from node.report.html import plotly_js
from node.report.summary import Summary, summarise
from node.store.tables_chain import blocks

router = APIRouter(tags=["page"])
_TEMPLATES = Environment(loader=PackageLoader("node.api"), autoescape=select_autoescape())


FIGURES = {"prices": {"data": [], "layout": {"title": {"text": "Price and volume"}}}}
SUMMARY = {"figures": [["self-sufficiency", "61.4%"]], "traded_milli_wh": 242_280_120}


def _example(content: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": content}}}}


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
def index(here: Here) -> HTMLResponse:
    """Return the page."""
    page = _TEMPLATES.get_template("index.html").render(
        name=here.community.scenario.name, definitions=DEFINITIONS
    )
    return HTMLResponse(page)


@router.get("/static/plotly.js", include_in_schema=False)
def plotly() -> Response:
    """Return the plotting library, from the installed package."""
    headers = {"Cache-Control": "public, max-age=86400"}
    return Response(plotly_js(), media_type="text/javascript", headers=headers)


@router.get(
    "/v1/figures",
    responses=_example(FIGURES),
)
def figures(here: Here, db: Db) -> dict[str, Any]:
    """Return all figures of what has been delivered so far, as plotly figures by name."""
    span = queries.delivered_span(db)
    if not span:
        return {}
    scenario = here.community.scenario

    def draw() -> dict[str, Any]:
        bills = writing.bills_figure(_summarise(here, db, span))
        return writing.figures(db, scenario, span) | {"bills": bills}

    found: dict[str, Any] = here.once("figures", _state(db, span), draw)
    return found


@router.get(
    "/v1/summary",
    responses=_example(SUMMARY),
)
def summary(here: Here, db: Db) -> dict[str, Any]:
    """Return the figures of what has been delivered so far; `figures` holds them as text for people."""
    span = queries.delivered_span(db)
    if not span:
        return {"figures": [], "bills": []}
    found = _summarise(here, db, span)
    return found.as_json() | {"figures": terminal.figures(found)}


def _summarise(here: Context, db: Db, span: range) -> Summary:
    found: Summary = here.once("summary", _state(db, span), lambda: summarise(db, here.community.scenario))
    return found


def _state(db: Db, span: range) -> tuple[int, int | None]:
    """Return what figures depend on: the newest metered interval and the newest block."""
    return span.stop, db.execute(select(func.max(blocks.c.number))).scalar()
