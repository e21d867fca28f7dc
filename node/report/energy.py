"""The community's energy book: what came in, what was used, what was lost, and how much was its own."""

import numpy as np

from market.kpis_energy import EnergyBook, OwnUse
from market.kpis_energy import own_use as follow_own_use
from market.units import MILLI_WH_PER_WH
from node.report import queries
from node.report.voltage import VoltageFigures

STORAGE_KINDS = ("battery", "bbu", "ev", "flywheel", "kinetic", "pdu_module", "supercapacitor")


def border_wh(net_milli_wh: queries.IntMatrix) -> tuple[queries.FloatArray, queries.FloatArray]:
    """Return what the community imports and exports as a whole per interval, Wh."""
    net_wh = net_milli_wh.sum(axis=0) / MILLI_WH_PER_WH
    return np.maximum(-net_wh, 0.0), np.maximum(net_wh, 0.0)


def energy_book(
    by_kind: dict[str, dict[str, queries.FloatArray]],
    imported_wh: queries.FloatArray,
    exported_wh: queries.FloatArray,
    voltage: VoltageFigures | None,
) -> EnergyBook:
    """Return where the community's energy came from and went, Wh, losses between the meters included."""
    sources = {"supplier": float(imported_wh.sum())}
    sinks = {"supplier (export)": float(exported_wh.sum())}
    if voltage is not None:
        # Between the meters: nobody's reading, so the network operator's, who has to supply them.
        sources["network operator"] = sinks["network losses"] = voltage.with_it.loss_wh
    losses = 0.0
    for kind, columns in by_kind.items():
        total = {name: float(values.sum()) for name, values in columns.items()}
        losses += total["loss_wh"]
        if kind == "tie":
            continue  # what one port hands over another receives
        if total["source_wh"] > 0:
            sources[kind] = total["source_wh"]
        if total["sink_wh"] > 0:
            sinks["driving" if kind == "ev" else kind] = total["sink_wh"]
        if total["stored_delta_wh"] < 0:
            sources[f"taken from store ({kind})"] = -total["stored_delta_wh"]
        elif total["stored_delta_wh"] > 0:
            sinks[f"stored ({kind})"] = total["stored_delta_wh"]
    sinks["losses"] = losses
    return EnergyBook(sources, sinks)


def own_use(by_kind: dict[str, dict[str, queries.FloatArray]]) -> OwnUse:
    """Follow own generation through loads and storages, all storages as one; what burns bought fuel is not own."""
    some = next(iter(by_kind.values()))["sink_wh"]
    source, load = np.zeros_like(some), np.zeros_like(some)
    charged, discharged, lost = np.zeros_like(some), np.zeros_like(some), 0.0
    for kind, columns in by_kind.items():
        if kind in ("tie", "generator"):
            continue
        source = source + columns["source_wh"]
        if kind not in STORAGE_KINDS:
            load = load + columns["sink_wh"]
            continue
        charged = charged + np.maximum(-columns["terminal_wh"], 0.0)
        discharged = discharged + np.maximum(columns["terminal_wh"], 0.0)
        lost += float(columns["loss_wh"].sum())
    moved = float(charged.sum() + discharged.sum())
    efficiency = 1.0 - min(lost / moved, 1.0) if moved else 1.0
    return follow_own_use(source, load, charged, discharged, 0.0, efficiency)
