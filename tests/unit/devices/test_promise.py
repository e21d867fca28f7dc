"""Promises of power: held in full over the horizon, a fifth more is not, both directions asked at once."""

import numpy as np
import pytest

from devices import catalogue, fleet
from devices.parameters import build_fleet
from devices.promise import sustainable_w
from devices.state import initial_state
from devices.storage import UnitState, delivered_wh, transfer

N = 60
PARAMS = build_fleet(
    [catalogue.home_battery(f"home-{k}") for k in range(N // 3)]
    + [catalogue.vehicle(f"car-{k}") for k in range(N // 3)]
    + [catalogue.pdu_module(f"module-{k}") for k in range(N // 3)]
)


def states(seed: int) -> UnitState:
    rng = np.random.default_rng(seed)
    now = fleet._unit_state(PARAMS, initial_state(PARAMS))
    filled = now.bottom_wh + rng.uniform(0.0, 1.0, N) ** 3 * (now.capacity_wh - now.bottom_wh)
    return UnitState(
        filled,
        rng.uniform(12.0, 38.0, N),
        now.capacity_wh,
        now.resistance_factor,
        now.bottom_wh,
        now.leakage_w,
    )


@pytest.mark.parametrize("horizon_s", [0.1, 60.0, 900.0, 3_600.0])
def test_a_promise_is_held_and_a_fifth_more_is_not_unless_the_converter_is_full(horizon_s):
    # Smaller powers lose less, and the search stops at the first power that holds: it may stop early.
    state = states(int(horizon_s))
    arguments = (PARAMS.tables, PARAMS.converters, PARAMS.units, state)
    for p_w, most_w in zip(
        sustainable_w(*arguments, horizon_s),
        (-PARAMS.units.p_charge_max_w, PARAMS.units.p_discharge_max_w),
        strict=True,
    ):
        held = delivered_wh(*arguments, p_w, horizon_s)
        assert held == pytest.approx(p_w * horizon_s / 3_600.0, rel=2e-6, abs=1e-12)
        more = np.where(p_w == most_w, np.nan, p_w * 1.2)
        asks_more = np.isfinite(more) & (np.abs(p_w) > 0.02 * np.abs(most_w))
        beyond = delivered_wh(*arguments, np.where(asks_more, more, 0.0), horizon_s)[asks_more]
        asked = np.minimum(np.abs(more), np.abs(most_w))[asks_more] * horizon_s / 3_600.0
        assert np.all(np.abs(beyond) < asked * (1 - 1e-6))


def test_what_is_delivered_is_what_a_step_gives():
    state = states(5)
    p_w = np.random.default_rng(5).uniform(-20_000.0, 20_000.0, N)
    arguments = (PARAMS.tables, PARAMS.converters, PARAMS.units, state, p_w)
    assert np.array_equal(
        delivered_wh(*arguments, 900.0), transfer(*arguments, state.temp_c, 900.0).terminal_wh
    )


def test_a_fleet_is_promised_what_each_unit_alone_is():
    state = states(6)
    low, high = sustainable_w(PARAMS.tables, PARAMS.converters, PARAMS.units, state, 900.0)
    for k in (0, 25, 59):
        row = np.asarray([k])
        one = (PARAMS.tables, PARAMS.converters, PARAMS.units.take(row), state.take(row))
        assert [float(w[0]) for w in sustainable_w(*one, 900.0)] == [low[k], high[k]]
