"""A storage on real wholesale prices: perfect foresight against independent programmes, capture, losing days.

The extract stands in for the whole data set, which is not shipped; with SYMGRID_DATA set, all 728 days are run.
"""

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, milp

from node.bench.storage_prices import EMPTY_AT_FIRST, HALF_FULL, ROUND_TRIP_PU, PriceDays, read_prices, trade
from node.bench.storage_yardstick import FIRST_DAY, perfect_profit_eur
from node.bench.strategy import PRICES

EXTRACT = Path(__file__).parents[3] / "data" / "prices" / "epf_de_28_days.csv.gz"
DATA = os.environ.get("SYMGRID_DATA")
WEAR = replace(EMPTY_AT_FIRST, wear_eur_per_mwh=2.0)
ETA = ROUND_TRIP_PU**0.5

whole_set = pytest.mark.skipif(not DATA, reason="the whole price series is not shipped; set SYMGRID_DATA")


@cache
def days():
    return read_prices(EXTRACT)


@cache
def all_days():
    return read_prices(Path(DATA) / PRICES)


def best_of_day(price):
    """1 MWh, 0.5 MW, empty at both ends, one direction an hour: MWh and EUR, by mixed-integer programme."""
    n, eta = price.size, ETA
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


@pytest.mark.parametrize("terms", [EMPTY_AT_FIRST, WEAR, HALF_FULL])
def test_it_never_charges_and_discharges_at_once_and_never_loses_money_after_wear(terms):
    own = trade(days(), days().forecast, terms)
    assert own.hours_in_both_directions == 0
    assert (own.profit_eur >= 0).all()


def test_the_prices_have_negative_hours():
    assert (days().real < 0).sum() > 10


# ---------------------------------------------------------------- a block of buying and selling


def forecast_bust(real_evening):
    """Two days: bought at night for an evening forecast at 40; the first evening comes out at `real_evening`."""
    expected = np.tile(np.repeat([20.0, 40.0], 12), (2, 1))
    real = expected.copy()
    real[0, 12:] = real_evening
    return PriceDays(real, expected)


def test_a_block_that_would_lose_money_at_the_real_prices_is_not_accepted_and_moves_no_energy():
    bust = forecast_bust(real_evening=21.0)
    bare = trade(bust, bust.forecast, WEAR)
    # 1 MWh stored: bought for 20 / eta; sold for 21 eta, less wear of 2 a MWh sold
    assert bare.profit_eur[0] == pytest.approx((21.0 - 2.0) * ETA - 20.0 / ETA, abs=1e-6)
    assert bare.profit_eur[0] < -3
    block = trade(bust, bust.forecast, replace(WEAR, is_block=True))
    assert block.profit_eur[0] == 0
    assert not block.power_w[0].any()
    assert (block.energy_wh[0] == 0).all()
    assert block.profit_eur[1] == pytest.approx(bare.profit_eur[1]) == pytest.approx(38.0 * ETA - 20.0 / ETA)


def test_a_block_that_earns_its_wear_trades_as_if_it_were_none():
    bust = forecast_bust(real_evening=30.0)
    bare, block = (trade(bust, bust.forecast, replace(WEAR, is_block=flag)) for flag in (False, True))
    assert block.profit_eur.tolist() == bare.profit_eur.tolist()
    assert block.power_w.tobytes() == bare.power_w.tobytes()


# ---------------------------------------------------------------- the yardstick


@pytest.mark.parametrize(
    ("prices", "best_eur"),
    [
        # buy half a MWh, sell it again; or sell it first and buy it back
        ([10.0] * 12 + [50.0] * 12, 0.5 * (50 * ETA - 10 / ETA)),
        ([50.0] * 12 + [10.0] * 12, 0.5 * (50 * ETA - 10 / ETA)),
        # fill up, sell all, fill up to the half that has to be left
        ([10.0] * 8 + [50.0] * 8 + [10.0] * 8, 50 * ETA - 10 / ETA),
        # no spread beyond the losses: nothing
        ([45.0] * 12 + [50.0] * 12, 0.0),
        # paid to take energy: half a MWh through the store in each of 24 hours, and what fills it up
        ([-10.0] * 24, 24 * 0.5 * 10 * (1 / ETA - ETA) + 0.5 * 10 * ETA),
    ],
)
def test_the_yardsticks_day_worked_out_by_hand(prices, best_eur):
    both = np.array([prices, prices])
    assert perfect_profit_eur(both) == pytest.approx(np.full(2, best_eur), abs=1e-6)


def test_the_yardstick_bounds_the_strategy_with_perfect_foresight_on_the_same_terms():
    # on days that begin and end half full; on others the strategy may keep energy overnight
    own = trade(days(), days().real, HALF_FULL)
    rows = np.flatnonzero((np.abs(own.energy_wh[:, [0, -1]] - 5e5) < 1).all(axis=1))
    assert rows.size >= 10
    best = perfect_profit_eur(days().real)[rows]
    assert (own.profit_eur[rows] <= best + 1e-6).all()
    assert own.profit_eur[rows].sum() >= 0.95 * best.sum()


@whole_set
def test_the_yardstick_of_all_days_is_24_15_eur_within_a_ten_thousandth_and_88_percent_are_captured():
    bound_eur = perfect_profit_eur(all_days().real)[FIRST_DAY:]
    assert bound_eur.mean() == pytest.approx(24.15, rel=1e-4)
    own = trade(all_days(), all_days().forecast, HALF_FULL)
    assert own.profit_eur[FIRST_DAY:].sum() >= 0.88 * bound_eur.sum()
    assert own.hours_in_both_directions == 0
    assert own.profit_eur.min() > 0


@whole_set
def test_over_all_days_a_block_loses_on_none_and_captures_no_less():
    bare, block = (
        trade(all_days(), all_days().forecast, replace(WEAR, is_block=flag)) for flag in (False, True)
    )
    assert block.profit_eur.min() >= 0
    assert block.profit_eur.sum() > bare.profit_eur.sum()
    # the one day on which both forecasts missed night and evening, and which alone is left out
    assert np.flatnonzero(~block.power_w.any(axis=1)).tolist() == [117]
    assert np.flatnonzero(bare.profit_eur < 0).tolist() == [117]
