"""The IEEE feeder's day at the lowest voltage: every customer, few switchings, near the best that a solver finds."""

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from node.bench.voltage import BAND, CHANGER, main, measure, zip_loads
from node.controller.voltage import TapTable, plan_taps, stay, tap_table


@pytest.mark.slow
def test_the_feeder_day_is_kept_in_the_band_at_the_lowest_voltage(lv_feeder):
    figures = measure(lv_feeder)
    assert figures["low_pu"] >= 0.95
    assert figures["high_pu"] <= 1.05
    assert figures["home_high_pu"] > 1.06
    assert figures["switchings"] <= 24
    assert figures["saved_of_energy"] == pytest.approx(0.060, abs=0.001)
    assert figures["saved_of_energy"] > 2 * figures["saved_of_energy_best_fixed"]
    assert figures["constant_power_switchings"] == 0


@pytest.mark.slow
def test_no_sequence_that_a_solver_finds_saves_more(lv_feeder):
    """HiGHS on half hours, each as bad as its worst minute: one binary per step and position."""
    whole = tap_table(lv_feeder.feeder, zip_loads(lv_feeder, 5), CHANGER)
    block = (48, 6, -1)
    table = TapTable(
        whole.drawn_w.reshape(block).mean(axis=1),
        whole.low_pu.reshape(block).min(axis=1),
        whole.high_pu.reshape(block).max(axis=1),
    )
    plan, home = plan_taps(table, CHANGER, BAND), stay(table, CHANGER, BAND)
    best_w = solved_w(table, CHANGER.max_switchings)
    assert plan.outside_pu.max() == 0
    reached = (home.drawn_w.sum() - plan.drawn_w.sum()) / (home.drawn_w.sum() - best_w)
    assert 0.95 <= reached <= 1 + 1e-6


def solved_w(table, most):
    """The least energy of any sequence inside the band, by HiGHS."""
    n_steps, n = table.drawn_w.shape
    n_x = n_steps * n
    outside = BAND.outside_pu(table.low_pu, table.high_pu).ravel() > 0
    cost = np.concatenate([table.drawn_w.ravel(), np.zeros(n_steps)])
    one_each, moves = np.zeros((n_steps, n_x + n_steps)), np.zeros((2 * n_steps, n_x + n_steps))
    for step in range(n_steps):
        here = slice(step * n, step * n + n)
        one_each[step, here] = 1
        for sign, row in ((1, 2 * step), (-1, 2 * step + 1)):
            moves[row, here] = sign * CHANGER.positions
            if step:
                moves[row, (step - 1) * n : step * n] = -sign * CHANGER.positions
            moves[row, n_x + step] = -1
    few = np.concatenate([np.zeros(n_x), np.ones(n_steps)])[None]
    upper = np.concatenate([np.where(outside, 0.0, 1.0), np.full(n_steps, np.inf)])
    found = milp(
        cost,
        integrality=np.concatenate([np.ones(n_x), np.zeros(n_steps)]),
        bounds=Bounds(np.zeros(n_x + n_steps), upper),
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(moves, -np.inf, 0),
            LinearConstraint(few, 0, most),
        ],
        options={"mip_rel_gap": 1e-6},
    )
    assert found.success
    return float(found.fun)


def test_without_its_data_the_bench_says_what_it_needs(monkeypatch, capsys):
    monkeypatch.delenv("SYMGRID_DATA", raising=False)
    assert main([]) == 2
    assert "SYMGRID_DATA" in capsys.readouterr().err
