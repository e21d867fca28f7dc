"""Pick-up: most important first, running power and inrush within what the inverters give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.controller.microgrid_pickup import DECAY_S, EXCESS_PU, SPACING_S, inrush_w, sequence

loads = st.lists(st.tuples(st.floats(0.0, 3_000.0), st.integers(0, 4)), min_size=0, max_size=25)


@given(loads, st.floats(0.0, 20_000.0), st.floats(0.0, 5_000.0))
def test_running_power_and_inrush_never_exceed_the_limit(found, limit_w, running_w):
    demand = np.array([p for p, _ in found])
    priority = np.array([k for _, k in found], np.int64)
    picked = sequence(demand, priority, limit_w, running_w)
    on = demand[picked.row]
    for k, at in enumerate(picked.at_s.tolist()):
        # The peak comes with each switching order.
        total = running_w + on[: k + 1].sum() + inrush_w(on[: k + 1], picked.at_s[: k + 1], at)
        assert total <= limit_w * (1 + 1e-9) + 1e-6


@given(loads, st.floats(0.0, 20_000.0))
def test_no_load_is_off_while_a_less_important_one_is_on(found, limit_w):
    demand = np.array([p for p, _ in found])
    priority = np.array([k for _, k in found], np.int64)
    picked = sequence(demand, priority, limit_w)
    off = np.setdiff1d(np.arange(demand.size), picked.row)
    if off.size and picked.row.size:
        assert priority[picked.row].max() <= priority[off].min()
    assert np.all(np.diff(priority[picked.row]) >= 0)


def test_the_wait_is_the_closed_form():
    """Two loads of 1 kW, limit 4 kW: the second's 2.5 kW fit when the first's excess of 1.5 kW fell to 0.5 kW."""
    picked = sequence(np.array([1_000.0, 1_000.0]), np.zeros(2, np.int64), 4_000.0)
    assert picked.at_s[1] == pytest.approx(DECAY_S * np.log(3.0))


def test_with_plenty_of_room_loads_follow_each_other_at_the_controllers_pace():
    picked = sequence(np.full(5, 100.0), np.zeros(5, np.int64), 1e6)
    assert picked.at_s.tolist() == pytest.approx([k * SPACING_S for k in range(5)])


def test_inrush_dies_away_as_said():
    at = np.array([0.0, 2.0])
    assert inrush_w(np.array([100.0, 200.0]), at, 0.0) == pytest.approx(100.0 * EXCESS_PU)
    later = EXCESS_PU * (100.0 * np.exp(-3.0 / DECAY_S) + 200.0 * np.exp(-1.0 / DECAY_S))
    assert inrush_w(np.array([100.0, 200.0]), at, 3.0) == pytest.approx(later)
