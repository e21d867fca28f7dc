"""Measure voltage optimisation on the day of the IEEE European LV feeder (needs $SYMGRID_DATA/feeder).

| figure | what it is |
|---|---|
| `saved_of_energy` | against the taps at home, loads ZIP(.4/.2/.4), losses counted |
| `saved_of_energy_best_fixed` | the same for the best single position that keeps everybody in the band, by search |
| `share_of_unbounded` | of what a new best position every minute would save: the price of few switchings |
| `switchings` | of 24 allowed, steps of 0.625 % |
| `low_pu`, `high_pu` | extremes of all 55 customers in all 1,440 minutes, by a power flow of the plan |
| `home_high_pu` | the highest voltage without optimisation: the grid is set 5 % high |
| `constant_power_switchings` | with constant-power loads, within 0.85 to 1.10: lower voltage saves nothing |

The plan knows the day: it is the optimum to compare with. What is reached without knowing it shows the scenario
`voltage`, whose controller expects last week's day.
"""

import argparse
import json
import sys
from dataclasses import replace
from typing import Final

import numpy as np

from node.bench.lv_feeder import LV_V, FeederDay, data_folder, read
from node.controller.powerflow import PhaseLoads, solve
from node.controller.voltage import (
    Band,
    TapChanger,
    TapTable,
    customer_pu,
    plan_taps,
    stay,
    tap_table,
)
from node.controller.wires import TOLERANCE_V

CHANGER: Final = TapChanger(0.00625, -14, 2, max_switchings=24)
BAND: Final = Band()


def zip_loads(day: FeederDay, every_minutes: int = 1) -> PhaseLoads:
    """Return the day's loads as ZIP(.4/.2/.4), of every n-th minute."""
    return replace(
        day.loads,
        s_va=day.loads.s_va[:, ::every_minutes],
        rated_v=float(LV_V),
        v_min_pu=0.0,
        v_max_pu=np.inf,
        impedance_share=0.4,
        current_share=0.2,
    )


def best_fixed_w(table: TapTable) -> float:
    """Return the energy of the best single position inside the band, W summed over steps."""
    is_inside = (BAND.outside_pu(table.low_pu, table.high_pu) == 0).all(axis=0)
    return float(table.drawn_w.sum(axis=0)[is_inside].min())


def measure(day: FeederDay, every_minutes: int = 1) -> dict[str, float]:
    """Return all figures."""
    loads = zip_loads(day, every_minutes)
    table = tap_table(day.feeder, loads, CHANGER)
    plan, home = plan_taps(table, CHANGER, BAND), stay(table, CHANGER, BAND)
    home_w = float(home.drawn_w.sum())
    is_outside = BAND.outside_pu(table.low_pu, table.high_pu) > 0
    unbounded_w = float(np.where(is_outside, np.inf, table.drawn_w).min(axis=1).sum())
    v_pu = customer_pu(solve(day.feeder, loads, TOLERANCE_V, CHANGER.ratio_pu(plan.position)), loads)
    constant = replace(loads, s_va=loads.s_va[:, ::15], impedance_share=0.0, current_share=0.0)
    stays = plan_taps(tap_table(day.feeder, constant, CHANGER), CHANGER, Band(0.85, 1.10))
    return {
        "saved_of_energy": 1 - float(plan.drawn_w.sum()) / home_w,
        "saved_of_energy_best_fixed": 1 - best_fixed_w(table) / home_w,
        "share_of_unbounded": (home_w - float(plan.drawn_w.sum())) / (home_w - unbounded_w),
        "switchings": plan.n_switchings,
        "low_pu": float(v_pu.min()),
        "high_pu": float(v_pu.max()),
        "home_high_pu": float(table.high_pu[:, -CHANGER.lowest].max()),
        "constant_power_switchings": stays.n_switchings,
    }


def main(argv: list[str]) -> int:
    """Print the figures; `--json` as one flat object."""
    parser = argparse.ArgumentParser(
        prog="bench voltage", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--json", action="store_true", help="print one flat JSON object")
    arguments = parser.parse_args(argv)
    folder = data_folder()
    if folder is None:
        sys.stderr.write("bench voltage: set SYMGRID_DATA to a folder that holds feeder/ (see its README)\n")
        return 2
    figures = measure(read(folder))
    if arguments.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        for name, value in figures.items():
            sys.stdout.write(f"{name:28} {value:10.4f}\n")
    return 0
