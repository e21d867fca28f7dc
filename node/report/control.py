"""The controller in the report: how its period adapted, and its lenders as one virtual battery."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, func, select

from market.intervals import IntervalGrid
from node.controller.virtual_battery import LOADS_PU
from node.report import plots
from node.store.tables_control import control_intervals, virtual_battery

DEFINITIONS = {
    "Control periods": "How often the controller decided: in periods of 10 to 100 ms while anything moved, and once "
    "for the whole time until the next change or renewal (200 s at most) while nothing did.",
    "Virtual battery": "All storages that lend and are fit, as one: the power that all of them together can hold for "
    "an interval, the energy above every owner's reserve, and the efficiency from store to terminal when as few "
    "converters run as run well.",
}
SHOWN_LOADS_PU = (0.1, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class ControlFigures:
    """The controller's work in a span; `tie_switches` counts beginnings and ends of help over ties."""

    periods: int
    coasts: int
    tie_switches: int


@dataclass(frozen=True, slots=True)
class VirtualBatteryFigures:
    """The lenders together in a span: the least and the most of their power and energy, and mean efficiencies.

    `efficiency_pu` holds those at the loads of `SHOWN_LOADS_PU`.
    """

    units: int
    least_w: float
    most_w: float
    least_wh: float
    most_wh: float
    efficiency_pu: tuple[float, ...]


def control_figures(connection: Connection, span: range) -> ControlFigures:
    """Return how often the controller decided in a span."""
    sums = [func.sum(control_intervals.c[name]) for name in ("periods", "coasts", "tie_switches")]
    found = connection.execute(
        select(*sums).where(
            control_intervals.c.interval >= span.start, control_intervals.c.interval < span.stop
        )
    ).one()
    return ControlFigures(*(int(value or 0) for value in found))


def virtual_battery_figures(connection: Connection, span: range) -> VirtualBatteryFigures | None:
    """Return the lenders' figures in a span; None where nobody lends."""
    found = connection.execute(_rows(span)).all()
    if not found:
        return None
    power, energy = ([getattr(row, name) for row in found] for name in ("p_discharge_w", "energy_wh"))
    curves = np.array([json.loads(row.efficiency_pu) for row in found if row.p_discharge_w > 0])
    shown = [LOADS_PU.index(load) for load in SHOWN_LOADS_PU]
    return VirtualBatteryFigures(
        units=max(row.units for row in found),
        least_w=min(power),
        most_w=max(power),
        least_wh=min(energy),
        most_wh=max(energy),
        efficiency_pu=tuple(curves[:, shown].mean(axis=0).tolist()) if curves.size else (),
    )


def lines(control: ControlFigures, together: VirtualBatteryFigures | None) -> list[tuple[str, str]]:
    """Return the figures as name and text."""
    rows = []
    if control.periods + control.coasts:
        switches = f"; help over ties switched {control.tie_switches} times" if control.tie_switches else ""
        rows.append(
            (
                "control periods",
                f"{control.periods:,} of 10 to 100 ms while something moved, {control.coasts:,} of up to 200 s "
                f"while nothing did{switches}",
            )
        )
    if together is not None:
        curve = ", ".join(
            f"{value:.1%} at {load:.0%}"
            for load, value in zip(SHOWN_LOADS_PU, together.efficiency_pu, strict=False)
        )
        rows.append(
            (
                "virtual battery",
                f"{together.units} units that lend: {together.least_w / 1e3:,.1f} to {together.most_w / 1e3:,.1f} kW "
                f"for an interval, {together.least_wh / 1e3:,.1f} to {together.most_wh / 1e3:,.1f} kWh above the "
                f"owners' reserves; efficiency {curve} of the power",
            )
        )
    return rows


def pictures(connection: Connection, grid: IntervalGrid, span: range) -> dict[str, plots.Figure]:
    """Return the virtual battery's picture by element id; none where nobody lends."""
    found = connection.execute(_rows(span)).all()
    if not found:
        return {}
    x = plots.times(grid, [row.interval for row in found])
    series = (
        ("power for an interval, kW", [row.p_discharge_w / 1e3 for row in found], plots.BLUE, "y"),
        ("charging power, kW", [row.p_charge_w / 1e3 for row in found], plots.SKY, "y"),
        ("energy above reserves, kWh", [row.energy_wh / 1e3 for row in found], plots.GREEN, "y2"),
    )
    data = [
        {
            "type": "scatter",
            "name": name,
            "x": x,
            "y": y,
            "yaxis": axis,
            "line": {"color": colour, "width": 2},
        }
        for name, y, colour, axis in series
    ]
    return {
        "virtual-battery": plots.figure(
            "Virtual battery: all storages that lend, as one",
            data,
            xaxis=plots.TIME_AXIS,
            yaxis={"title": {"text": "kW"}, "rangemode": "tozero"},
            yaxis2={"title": {"text": "kWh"}, "overlaying": "y", "side": "right", "rangemode": "tozero"},
        )
    }


def _rows(span: range) -> Select[Any]:
    inside = virtual_battery.c.interval >= span.start, virtual_battery.c.interval < span.stop
    return select(virtual_battery).where(*inside).order_by(virtual_battery.c.interval)
