"""Balance of an island: whole milliwatts that sum to zero, storages within what they can."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from node.controller.microgrid_balance import balance

powers = st.lists(st.floats(0.0, 5_000.0), min_size=1, max_size=6).map(np.array)


@given(powers, powers, powers, powers)
def test_nothing_is_left_over_unless_storages_cannot_give_enough(load, sun, charge, discharge):
    n = min(charge.size, discharge.size)
    low, high = -charge[:n], discharge[:n]
    done = balance(load, sun, low, high)
    wanted = np.rint(load * 1_000).astype(int).sum()
    given_ = np.rint(done.sun_w * 1_000).astype(int).sum() + np.rint(done.storage_w * 1_000).astype(int).sum()
    assert np.all(done.storage_w <= high + 1e-6) and np.all(done.storage_w >= low - 1e-6)
    assert np.all(done.sun_w <= sun + 1e-6) and np.all(done.sun_w >= 0)
    if given_ != wanted:
        assert given_ < wanted, "never too much"
        assert np.allclose(done.storage_w, high, atol=2e-3) and np.allclose(done.sun_w, sun, atol=2e-3)


def test_storages_share_in_proportion_to_what_each_can():
    done = balance(np.array([900.0]), np.array([0.0]), np.array([-1.0, -1.0]), np.array([2_000.0, 1_000.0]))
    assert done.storage_w.tolist() == [600.0, 300.0]


def test_sun_beyond_loads_and_storages_is_curtailed_in_proportion():
    done = balance(np.array([100.0]), np.array([600.0, 300.0]), np.array([-200.0]), np.array([0.0]))
    assert done.storage_w.tolist() == [-200.0]
    assert done.sun_w.tolist() == [200.0, 100.0]
