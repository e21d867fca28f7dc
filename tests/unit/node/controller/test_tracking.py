"""Storage keeps its account on target, inside what it can do; closed forms by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from node.controller.tracking import required_power_w, track


def do(account, planned, low, high, required, has_target=None):
    required = np.array(required, float)
    got = track(
        np.array(account, np.int64),
        np.array(planned, float),
        np.array(low, float),
        np.array(high, float),
        required,
        np.ones(required.size, bool) if has_target is None else np.array(has_target),
    )
    return got.p_w.tolist(), got.missing_w.tolist()


def test_what_is_owed_is_spread_over_the_time_left():
    # 1 kWh owed, 0.4 delivered, 10 minutes left: 0.6 kWh in 1/6 h = 3.6 kW.
    assert required_power_w(np.array([1_000.0]), np.array([400.0]), 600.0).tolist() == [3_600.0]


def test_a_plan_that_meets_the_target_is_kept():
    assert do([0, 0], [500, -200], [-1000, -1000], [1000, 1000], [300]) == ([500, -200], [0])


def test_the_deviation_is_shared_by_headroom():
    # Need 700, planned 400: 300 more, headrooms 600 and 300.
    assert do([0, 0], [400, 0], [-1000, -1000], [1000, 300], [700]) == ([600, 100], [0])


def test_what_storage_cannot_do_is_reported_as_missing():
    assert do([0, 1], [0, 0], [-500, -500], [1000, 1000], [1500, -800]) == ([1000, -500], [500, -300])


def test_a_plan_beyond_what_the_unit_can_do_is_clipped_first():
    assert do([0], [5_000], [-1000], [1000], [0], [False]) == ([1000], [0])


def test_an_account_without_target_keeps_to_its_plan():
    assert do([0], [100], [-1000], [1000], [900], [False]) == ([100], [0])


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.floats(-5e3, 5e3), st.floats(-5e3, 0), st.floats(0, 5e3)), max_size=12
    ),
    st.lists(st.floats(-2e4, 2e4), min_size=4, max_size=4),
)
def test_units_stay_in_their_limits_and_books_close(units, required):
    account, planned, low, high = (list(c) for c in zip(*units, strict=True)) if units else ([], [], [], [])
    p, missing = do(account, planned, low, high, required)
    for p_w, p_min, p_max in zip(p, low, high, strict=True):
        assert p_min - 1e-6 <= p_w <= p_max + 1e-6
    for a in range(4):
        delivered = sum(p_w for p_w, owner in zip(p, account, strict=True) if owner == a)
        assert abs(delivered + missing[a] - required[a]) < 1e-6
