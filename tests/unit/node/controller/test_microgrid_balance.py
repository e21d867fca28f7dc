"""Balance of an island: whole milliwatts that sum to zero, storages within what they can."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.controller.microgrid_balance import balance

powers = st.lists(st.floats(0.0, 5_000.0), min_size=1, max_size=6).map(np.array)


@given(powers, powers, powers, powers, powers, powers)
def test_nothing_is_left_over_unless_storages_cannot_give_enough(load, sun, charge, discharge, held, room):
    n = min(charge.size, discharge.size, held.size, room.size)
    low, high = -charge[:n], discharge[:n]
    done = balance(load, sun, low, high, held[:n], room[:n])
    wanted = np.rint(load * 1_000).astype(int).sum()
    given_ = np.rint(done.sun_w * 1_000).astype(int).sum() + np.rint(done.storage_w * 1_000).astype(int).sum()
    assert np.all(done.storage_w <= high + 1e-6) and np.all(done.storage_w >= low - 1e-6)
    assert np.all(done.sun_w <= sun + 1e-6) and np.all(done.sun_w >= 0)
    if given_ != wanted:
        assert given_ < wanted, "never too much"
        assert np.allclose(done.storage_w, high, atol=2e-3) and np.allclose(done.sun_w, sun, atol=2e-3)


def test_storages_share_in_proportion_to_their_energy_within_their_power():
    power, held, room = np.array([2_000.0, 1_000.0]), np.array([100.0, 200.0]), np.array([500.0, 400.0])
    done = balance(np.array([900.0]), np.array([0.0]), -power, power, held, room)
    assert done.storage_w.tolist() == [300.0, 600.0]
    done = balance(np.array([1_800.0]), np.array([0.0]), -power, power, held, room)
    assert done.storage_w.tolist() == [800.0, 1_000.0]
    done = balance(np.array([0.0]), np.array([900.0]), -power, power, held, room)
    assert done.storage_w.tolist() == [-500.0, -400.0]


def test_the_power_of_all_stays_at_hand_until_the_energy_is_gone():
    """A small storage shared by power would be empty after an hour, and the evening's peak too much for the other."""
    power, held, room = np.array([3_000.0, 3_000.0]), np.array([1_500.0, 9_000.0]), np.zeros(2)
    for load_w in [3_000.0] * 28 + [5_500.0]:
        high = np.minimum(power, held / 0.1)
        done = balance(np.array([load_w]), np.array([0.0]), np.zeros(2), high, held, room)
        assert done.storage_w.sum() == load_w
        held = held - done.storage_w * 0.1
    assert held == pytest.approx([50.0, 1_500.0], rel=1e-3)


def test_sun_beyond_loads_and_storages_is_curtailed_in_proportion():
    done = balance(
        np.array([100.0]), np.array([600.0, 300.0]), np.array([-200.0]), np.zeros(1), np.ones(1), np.ones(1)
    )
    assert done.storage_w.tolist() == [-200.0]
    assert done.sun_w.tolist() == [200.0, 100.0]
