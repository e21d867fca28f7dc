"""A storage on real wholesale prices: perfect foresight against an independent programme, and capture."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, milp

from node.bench.storage_prices import ROUND_TRIP_PU, read_prices, trade

EXTRACT = Path(__file__).parents[3] / "data" / "prices" / "epf_de_28_days.csv.gz"


@cache
def days():
    return read_prices(EXTRACT)


def best_of_day(price):
    """1 MWh, 0.5 MW, empty at both ends, one direction an hour: MWh and EUR, by mixed-integer programme."""
    n, eta = price.size, ROUND_TRIP_PU**0.5
    one, none, before = np.eye(n), np.zeros((n, n)), np.eye(n, k=-1)
    upper = np.concatenate([np.full(2 * n, 0.5), np.ones(2 * n)])
    upper[3 * n - 1] = 0.0
    solved = milp(
        np.concatenate([price, -price, np.zeros(2 * n)]),
        constraints=[
            LinearConstraint(np.hstack([-eta * one, one / eta, one - before, none]), 0, 0),
            LinearConstraint(np.hstack([one, none, none, -0.5 * one]), -np.inf, 0),
            LinearConstraint(np.hstack([none, one, none, 0.5 * one]), -np.inf, 0.5),
        ],
        bounds=(0, upper),
        integrality=np.repeat([0, 1], [3 * n, n]),
        options={"mip_rel_gap": 0},
    )
    return -solved.fun


def test_perfect_foresight_is_the_optimum_of_an_independent_programme_within_a_ten_thousandth():
    perfect = trade(days(), days().real)
    # days that end empty are the reference's days; on others the storage may keep cheap energy overnight
    starts_empty = perfect.energy_wh[:, 0] < 1
    ends_empty = perfect.energy_wh[:, -1] < 1
    rows = np.flatnonzero(starts_empty & ends_empty)
    assert rows.size >= 20
    best = sum(best_of_day(days().real[row]) for row in rows)
    assert perfect.profit_eur[rows].sum() == pytest.approx(best, rel=1e-4)


def test_published_forecasts_reach_88_percent_of_perfect_foresight():
    own, perfect = trade(days(), days().forecast), trade(days(), days().real)
    assert own.profit_eur.sum() >= 0.88 * perfect.profit_eur.sum()


@pytest.mark.parametrize("wear", [0.0, 2.0])
def test_it_never_charges_and_discharges_at_once_and_never_loses_money_after_wear(wear):
    own = trade(days(), days().forecast, wear)
    assert own.hours_in_both_directions == 0
    assert (own.profit_eur >= 0).all()


def test_the_prices_have_negative_hours():
    assert (days().real < 0).sum() > 10
