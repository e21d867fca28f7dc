"""Reconnection: only into a healthy grid after 300 s, only inside 0.3 Hz, 10 %, 20 degrees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.controller.microgrid_reconnection import (
    CLOSING_S,
    ENTER_SERVICE_S,
    GridWatch,
    Terminal,
    angle_between_deg,
    frequency_to_turn_hz,
    is_healthy,
    may_close,
)

GRID = Terminal(1.0, 50.0, 0.0)
READY = GridWatch(50.0, 0.0)
NOW = ENTER_SERVICE_S


def test_a_grid_is_trusted_after_300_s_without_a_break():
    watch = GridWatch(50.0)
    for second in range(299):
        watch = watch.seen(GRID, float(second))
    assert not watch.may_return(299.0)
    assert watch.seen(GRID, 300.0).may_return(300.0)
    broken = watch.seen(Terminal(0.9, 50.0), 299.0).seen(GRID, 300.0)
    assert not broken.may_return(599.0)
    assert broken.may_return(600.0)


@pytest.mark.parametrize(
    ("v", "f", "is_good"),
    [
        (0.917, 50.0, True),
        (0.916, 50.0, False),
        (1.05, 50.0, True),
        (1.051, 50.0, False),
        (1.0, 49.5, True),
        (1.0, 49.49, False),
        (1.0, 50.1, True),
        (1.0, 50.11, False),
    ],
)
def test_the_limits_of_enter_service(v, f, is_good):
    assert is_healthy(Terminal(v, f), 50.0) is is_good


@pytest.mark.parametrize(
    ("island", "closes"),
    [
        (Terminal(1.0, 50.05, 5.0), True),
        (Terminal(1.0, 50.31, 0.0), False),
        (Terminal(0.899, 50.0, 0.0), False),
        (Terminal(1.101, 50.0, 0.0), False),
        (Terminal(1.0, 50.0, 20.5), False),
        (Terminal(1.0, 50.0, -20.5), False),
        (Terminal(1.0, 50.0, 339.0), False),
        (Terminal(1.0, 50.0, 341.0), True),
        # Inside now, outside when the contacts meet: 18 degrees and 0.1 Hz more for 0.1 s.
        (Terminal(1.0, 50.1, 18.0), False),
    ],
)
def test_the_window_of_synchronisation(island, closes):
    assert may_close(island, GRID, READY, NOW) is closes
    assert not may_close(island, GRID, READY, NOW - 0.1)
    assert not may_close(island, GRID, GridWatch(50.0), NOW)


@given(
    st.floats(0.8, 1.2), st.floats(49.0, 51.0), st.floats(-720, 720), st.floats(0.85, 1.1), st.floats(49, 51),
    st.floats(0, 360), st.floats(0, 1_000),
)  # fmt: skip
def test_nothing_ever_closes_outside_the_window(v, f, angle, grid_v, grid_f, grid_angle, since):
    island, grid = Terminal(v, f, angle), Terminal(grid_v, grid_f, grid_angle)
    if may_close(island, grid, GridWatch(50.0, 0.0), since):
        assert abs(f - grid_f) <= 0.3 and abs(v - grid_v) <= 0.1 and since >= 300.0
        for ahead in np.linspace(0.0, CLOSING_S, 5):
            turned = angle - grid_angle + 360.0 * (f - grid_f) * ahead
            assert abs((turned + 180.0) % 360.0 - 180.0) <= 20.0 + 1e-6


@pytest.mark.parametrize("angle", [-170.0, -30.0, 0.0, 25.0, 90.0, 179.0])
def test_the_phase_comes_round_within_ten_seconds_and_closes(angle):
    island, t = Terminal(1.0, 50.02, angle), 0.0
    while not may_close(island, GRID, READY, NOW + t):
        f = frequency_to_turn_hz(island, GRID)
        island = Terminal(1.0, f, island.angle_deg + 360.0 * (f - 50.0) * 0.1)
        t += 0.1
        assert t <= 10.0
    assert abs(angle_between_deg(island, GRID)) <= 20.0
