"""The pictures of a run as plotly figures in plain dictionaries: report embeds them, page fetches them.

Plain dictionaries because building them needs no plotting library: only the browser's plotly.js draws.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from market.intervals import IntervalGrid
from market.units import MICRO_PER_CREDIT, MILLI_WH_PER_KWH
from node.report.books import MeritOrder
from node.report.queries import Loading, PriceSeries, StorageSeries

Figure = dict[str, Any]

# Okabe & Ito (2008): distinguishable with every kind of colour blindness.
SKY, ORANGE, GREEN, BLUE = "#56B4E9", "#E69F00", "#009E73", "#0072B2"
VERMILION, PURPLE, YELLOW, GREY = "#D55E00", "#CC79A7", "#F0E442", "#8A8F98"
CENT_PER_CREDIT = 100
TIME_AXIS = {"title": {"text": "time, UTC"}, "type": "date"}
KIND_COLOURS = {
    "load": BLUE,
    "solar": YELLOW,
    "battery": GREEN,
    "bbu": PURPLE,
    "ev": VERMILION,
    "pdu_module": SKY,
    "supercapacitor": ORANGE,
    "flywheel": ORANGE,
    "kinetic": ORANGE,
}


def figure(title: str, data: list[dict[str, Any]], **layout: Any) -> Figure:
    """Return a figure in the house's style; `layout` adds to it."""
    base = {
        "title": {"text": title},  # pages show it as a heading, which wraps on small screens
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#24292f"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 52, "r": 16, "t": 8, "b": 44},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hovermode": "x unified",
    }
    for axis in ("xaxis", "yaxis", "yaxis2"):
        if axis in layout or axis != "yaxis2":
            style = {"gridcolor": "#e6e8eb", "zerolinecolor": "#b8bdc4", "automargin": True}
            layout[axis] = style | layout.get(axis, {})
    for trace in data:
        if trace["type"] == "scatter":
            trace.setdefault("mode", "lines")  # plotly would add markers where there are few points
    return {"data": data, "layout": base | layout}


def times(grid: IntervalGrid, intervals: Sequence[int] | np.ndarray) -> list[str]:
    """Return the starts of intervals as RFC 3339 in UTC."""
    return [grid.start(int(i)).strftime("%Y-%m-%dT%H:%M:%SZ") for i in intervals]


def energy_flows(
    by_kind: dict[str, dict[str, float]], imported_wh: float, exported_wh: float, network_loss_wh: float = 0.0
) -> Figure:
    """Draw where the community's energy came from and went, as a Sankey diagram in kWh.

    Parameters
    ----------
    by_kind : dict
        `queries.energy_by_kind` of the span.
    imported_wh, exported_wh : float
        What crossed the community's border, each way (net per interval).
    network_loss_wh : float
        Lost between the meters; the network operator supplies it.
    """
    flows = _flows(by_kind, imported_wh, exported_wh)
    if network_loss_wh > 0:
        flows += [
            ("network operator", "community", network_loss_wh),
            ("community", "network losses", network_loss_wh),
        ]
    names = sorted({f[0] for f in flows} | {f[1] for f in flows}, key=lambda n: (n != "community", n))
    colours = {
        "solar": YELLOW,
        "supplier": GREY,
        "from": GREEN,
        "into": GREEN,
        "losses": VERMILION,
        "network": VERMILION,
        "community": "#cfd6dd",
    }
    index = {name: i for i, name in enumerate(names)}
    total = sum(f[2] for f in flows if f[1] == "community")
    return figure(
        f"Where the energy went ({total / 1e3:,.1f} kWh)",
        [
            {
                "type": "sankey",
                "valueformat": ",.2f",
                "valuesuffix": " kWh",
                "node": {
                    "label": names,
                    "pad": 18,
                    "thickness": 18,
                    "line": {"width": 0},
                    "color": [colours.get(n.split(" ")[0], BLUE) for n in names],
                },
                "link": {
                    "source": [index[f[0]] for f in flows],
                    "target": [index[f[1]] for f in flows],
                    "value": [f[2] / 1e3 for f in flows],
                    "color": "rgba(120,130,140,0.25)",
                },
            }
        ],
        hovermode="closest",
        margin={"l": 8, "r": 8, "t": 8, "b": 24},
    )


def _flows(
    by_kind: dict[str, dict[str, float]], imported_wh: float, exported_wh: float
) -> list[tuple[str, str, float]]:
    flows = [("supplier", "community", imported_wh), ("community", "supplier (export)", exported_wh)]
    loss_wh = 0.0
    for kind, energy in by_kind.items():
        loss_wh += energy["loss_wh"]
        if kind == "tie":
            continue  # what one port hands over another receives
        if energy["source_wh"] > 0:
            flows.append((kind, "community", energy["source_wh"]))
        if energy["sink_wh"] > 0:
            name = "driving" if kind == "ev" else kind
            flows.append(("community", name, energy["sink_wh"]))
        if energy["stored_delta_wh"] > 0:
            flows.append(("community", f"into {kind}", energy["stored_delta_wh"]))
        elif energy["stored_delta_wh"] < 0:
            flows.append((f"from {kind}", "community", -energy["stored_delta_wh"]))
    flows.append(("community", "losses", loss_wh))
    return [flow for flow in flows if flow[2] > 1e-6]


def prices(grid: IntervalGrid, series: Sequence[PriceSeries], tariff: np.ndarray) -> Figure:
    """Draw price and volume per interval and round between the supplier's two prices."""
    cents = CENT_PER_CREDIT / MICRO_PER_CREDIT
    data: list[dict[str, Any]] = []
    at = times(grid, tariff[:, 0])
    for column, name, colour in ((1, "supplier sells at", VERMILION), (2, "supplier buys at", GREY)):
        data.append(
            {
                "type": "scatter",
                "name": name,
                "x": at,
                "y": (tariff[:, column] * cents).tolist(),
                "line": {"shape": "hv", "color": colour, "dash": "dot", "width": 1.5},
            }
        )
    for one, colour in zip(series, (BLUE, GREEN, PURPLE, ORANGE), strict=False):
        x = times(grid, one.interval)
        label = "day-ahead" if one.round == 0 else f"round {one.round}"
        data.append(
            {
                "type": "scatter",
                "name": f"price, {label}",
                "x": x,
                "y": _finite(one.price_micro_per_kwh * cents),
                "line": {"shape": "hv", "color": colour, "width": 2.5},
                "connectgaps": False,
            }
        )
        data.append(
            {
                "type": "bar",
                "name": f"volume, {label}",
                "x": x,
                "y": (one.volume_milli_wh / MILLI_WH_PER_KWH).tolist(),
                "yaxis": "y2",
                "marker": {"color": colour, "opacity": 0.35},
            }
        )
    return figure(
        "Price and volume",
        data,
        barmode="stack",
        bargap=0,
        xaxis=TIME_AXIS,
        yaxis={"title": {"text": "ct per kWh"}, "rangemode": "tozero"},
        yaxis2={
            "title": {"text": "kWh per interval"},
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
            "tickmode": "auto",
            "rangemode": "tozero",
        },
    )


def _finite(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def storage(grid: IntervalGrid, series: Sequence[StorageSeries]) -> Figure:
    """Draw the state of charge of every storage kind with the band that its owners keep in reserve."""
    data: list[dict[str, Any]] = []
    for kind in sorted({one.kind for one in series}):
        group = [one for one in series if one.kind == kind and one.interval.size]
        if not group:
            continue
        capacity_wh = sum(one.capacity_wh for one in group)
        x = times(grid, group[0].interval)
        colour = KIND_COLOURS.get(kind, BLUE)
        soc = sum((one.energy_wh for one in group), np.zeros(len(x))) / capacity_wh * 100
        reserve = sum(one.reserve_wh for one in group) / capacity_wh * 100
        label = f"{kind} ({len(group)} x, {capacity_wh / 1e3:,.2f} kWh)"
        data += [
            {
                "type": "scatter",
                "name": label,
                "legendgroup": kind,
                "x": x,
                "y": soc.tolist(),
                "line": {"color": colour, "width": 2.5},
            },
            {
                "type": "scatter",
                "name": f"reserve of {kind}",
                "legendgroup": kind,
                "showlegend": False,
                "x": [x[0], x[-1]],
                "y": [reserve, reserve],
                "line": {"color": colour, "dash": "dot", "width": 1},
                "fill": "tozeroy",
                "fillcolor": "rgba(140,150,160,0.06)",
            },
        ]
    return figure(
        "State of charge, with the owners' reserve dotted",
        data,
        xaxis=TIME_AXIS,
        yaxis={"title": {"text": "% of capacity"}, "range": [0, 102]},
    )


def merit_order(grid: IntervalGrid, book: MeritOrder) -> Figure:
    """Draw one auction's bids and offers as steps, with its clearing point."""
    cents = CENT_PER_CREDIT / MICRO_PER_CREDIT
    data = []
    for quantity, limit, name, colour in (
        (book.bid_quantity_milli_wh, book.bid_limit_micro_per_kwh, "bids", BLUE),
        (book.offer_quantity_milli_wh, book.offer_limit_micro_per_kwh, "offers", ORANGE),
    ):
        edges = np.concatenate([[0], np.cumsum(quantity)]) / MILLI_WH_PER_KWH
        level = np.concatenate([limit, limit[-1:]]) * cents
        data.append(
            {
                "type": "scatter",
                "name": name,
                "x": edges[: level.size].tolist(),
                "y": level.tolist(),
                "line": {"shape": "hv", "color": colour, "width": 2.5},
            }
        )
    if book.price_micro_per_kwh is not None and book.volume_milli_wh:
        data.append(
            {
                "type": "scatter",
                "name": "clearing point",
                "mode": "markers",
                "x": [book.volume_milli_wh / MILLI_WH_PER_KWH],
                "y": [book.price_micro_per_kwh * cents],
                "marker": {"color": VERMILION, "size": 13, "symbol": "diamond"},
            }
        )
    when = grid.start(book.interval).strftime("%Y-%m-%d %H:%M UTC")
    label = "day-ahead round" if book.round == 0 else f"round {book.round}"
    return figure(
        f"Merit order of {when}, {label}",
        data,
        hovermode="closest",
        xaxis={"title": {"text": "kWh, cumulative"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "limit, ct per kWh"}},
    )


def step_lines(
    title: str, x: Sequence[str], lines: Mapping[str, Sequence[float | None]], unit: str
) -> Figure:
    """Draw values that hold for an interval each, one line per name."""
    palette = (BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, GREY, YELLOW)
    data = [
        {
            "type": "scatter",
            "name": name,
            "x": list(x),
            "y": list(values),
            "line": {"shape": "hv", "color": palette[i % len(palette)], "width": 2},
            "connectgaps": False,
        }
        for i, (name, values) in enumerate(lines.items())
    ]
    return figure(title, data, xaxis=TIME_AXIS, yaxis={"title": {"text": unit}})


def log_lines(
    title: str, curves: Mapping[str, Sequence[tuple[int, float]]], x_title: str, y_title: str
) -> Figure:
    """Draw curves on two logarithmic axes: what grows in proportion is a line of slope one."""
    palette = (GREY, BLUE, GREEN, ORANGE, VERMILION, PURPLE)
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": [x for x, _ in points],
            "y": [y for _, y in points],
            "line": {"color": palette[i % len(palette)], "width": 2.5},
        }
        for i, (name, points) in enumerate(curves.items())
    ]
    axes = {
        "xaxis": {"title": {"text": x_title}, "type": "log"},
        "yaxis": {"title": {"text": y_title}, "type": "log"},
    }
    return figure(title, data, hovermode="closest", **axes)


def network(grid: IntervalGrid, series: Sequence[Loading]) -> Figure:
    """Draw each node's peak flow per interval as a share of its capacity; above zero is import."""
    data = []
    palette = (BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, GREY, YELLOW)
    for i, one in enumerate(series):
        share = np.where(
            one.peak_import_w >= one.peak_export_w,
            one.peak_import_w / one.import_cap_w,
            -one.peak_export_w / one.export_cap_w,
        )
        data.append(
            {
                "type": "scatter",
                "name": one.node,
                "x": times(grid, one.interval),
                "y": (share * 100).tolist(),
                "line": {"shape": "hv", "color": palette[i % len(palette)], "width": 2},
            }
        )
    limits = [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": y,
            "y1": y,
            "line": {"color": VERMILION, "width": 1.5, "dash": "dash"},
        }
        for y in (100, -100)
    ]
    return figure(
        "Network loading (import above, export below zero)",
        data,
        shapes=limits,
        xaxis=TIME_AXIS,
        yaxis={"title": {"text": "% of capacity"}},
    )


def bills(names: Sequence[str], market_credits: Sequence[float], supplier_credits: Sequence[float]) -> Figure:
    """Draw each participant's bill in the market beside the supplier-only bill; below zero is income."""
    return figure(
        "Bills: market against supplier only (below zero: income)",
        [
            {
                "type": "bar",
                "name": "supplier only",
                "x": list(names),
                "y": list(supplier_credits),
                "marker": {"color": GREY},
            },
            {
                "type": "bar",
                "name": "market",
                "x": list(names),
                "y": list(market_credits),
                "marker": {"color": GREEN},
            },
        ],
        barmode="group",
        yaxis={"title": {"text": "credits"}},
        xaxis={"tickangle": -40},
    )
