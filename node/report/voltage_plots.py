"""Pictures of voltage: over the day against the band, with the taps, and by customer."""

from typing import Any

from sqlalchemy import Connection, func, select

from market.intervals import IntervalGrid
from node.report.plots import BLUE, GREY, ORANGE, TIME_AXIS, VERMILION, Figure, figure, times
from node.report.voltage import intervals
from node.scenario import Scenario, Taps
from node.store.tables_voltage import voltage_nodes


def figures(connection: Connection, scenario: Scenario, span: range) -> dict[str, Figure]:
    """Return the pictures: voltages over the day with the taps, and each customer's extremes."""
    if scenario.voltage is None:
        return {}
    rows = intervals(connection, span)
    band = (scenario.voltage.low_pu, scenario.voltage.high_pu)
    return {
        "voltage": _over_time(scenario.grid, rows, band, scenario.voltage.taps),
        "voltage-by-node": _by_node(connection, span, band),
    }


def _over_time(
    grid: IntervalGrid, rows: dict[bool, list[Any]], band: tuple[float, float], taps: Taps | None
) -> Figure:
    data: list[dict[str, Any]] = []
    for is_twin, label, colour in ((True, "taps at home", GREY), (False, "optimised", BLUE)):
        some = rows.get(is_twin, [])
        at = times(grid, [row.interval for row in some])
        for name, dash in (("low_pu", "solid"), ("high_pu", "dot")):
            data.append(
                {
                    "type": "scatter",
                    "name": f"{'lowest' if name == 'low_pu' else 'highest'}, {label}",
                    "x": at,
                    "y": [getattr(row, name) for row in some],
                    "line": {"shape": "hv", "color": colour, "width": 2, "dash": dash},
                }
            )
    real = rows[False]
    ends = (0, 0) if taps is None else (taps.lowest, taps.highest)
    data.append(
        {
            "type": "scatter",
            "name": "tap position",
            "x": times(grid, [row.interval for row in real]),
            "y": [row.position for row in real],
            "yaxis": "y2",
            "line": {"shape": "hv", "color": ORANGE, "width": 1.5},
        }
    )
    return figure(
        "Voltage of customers against the band, and the taps",
        data,
        shapes=_band_lines(band),
        xaxis=TIME_AXIS,
        yaxis={"title": {"text": "per unit"}},
        yaxis2={
            "title": {"text": "tap position"},
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
            "dtick": 1,
            "range": [ends[0] - 0.5, ends[1] + 0.5],
        },
    )


def _by_node(connection: Connection, span: range, band: tuple[float, float]) -> Figure:
    found = connection.execute(
        select(
            voltage_nodes.c.is_twin,
            voltage_nodes.c.node,
            func.min(voltage_nodes.c.low_pu),
            func.max(voltage_nodes.c.high_pu),
        )
        .where(voltage_nodes.c.interval >= span.start, voltage_nodes.c.interval < span.stop)
        .group_by(voltage_nodes.c.is_twin, voltage_nodes.c.node)
        .order_by(voltage_nodes.c.is_twin, voltage_nodes.c.node)
    ).all()
    data = [
        {
            "type": "bar",
            "name": label,
            "x": [row[1].removeprefix("connection:") for row in found if row[0] == is_twin],
            "y": [row[3] - row[2] for row in found if row[0] == is_twin],
            "base": [row[2] for row in found if row[0] == is_twin],
            "marker": {"color": colour},
        }
        for is_twin, label, colour in ((True, "taps at home", GREY), (False, "optimised", BLUE))
        if any(row[0] == is_twin for row in found)
    ]
    return figure(
        "Lowest to highest voltage of each customer over the span",
        data,
        barmode="group",
        hovermode="closest",
        shapes=_band_lines(band),
        yaxis={"title": {"text": "per unit"}, "range": [band[0] - 0.02, band[1] + 0.02]},
        xaxis={"tickangle": -40},
    )


def _band_lines(band: tuple[float, float]) -> list[dict[str, Any]]:
    return [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": y,
            "y1": y,
            "line": {"color": VERMILION, "width": 1.5, "dash": "dash"},
        }
        for y in band
    ]
