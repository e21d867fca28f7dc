"""Levies by hand: on imports, or on what a storage keeps, never twice on what goes back, never below zero."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from market.levies import LevyRule, levied_milli_wh


@pytest.mark.parametrize(
    ("net", "on_import", "net_of_fed_back"),
    [
        ([-10, 4, -3, 2], 13, 7),  # kept or lost: 13 - 6
        ([-10, 9], 10, 1),
        ([-2, 9], 2, 0),  # gave what it held before: nothing is due, nothing paid out
        ([5, 6], 0, 0),
        ([], 0, 0),
    ],
)
def test_levies_by_hand(net, on_import, net_of_fed_back):
    values = np.array(net, np.int64)
    assert levied_milli_wh(values, LevyRule.IMPORT) == on_import
    assert levied_milli_wh(values, LevyRule.NET_OF_FED_BACK) == net_of_fed_back


def test_intervals_on_an_island_are_left_out():
    net, island = np.array([-10, -5, 4]), np.array([False, True, True])
    assert levied_milli_wh(net, LevyRule.IMPORT, island) == 10
    assert levied_milli_wh(net, LevyRule.NET_OF_FED_BACK, island) == 10


@given(arrays(np.int64, st.integers(0, 30), elements=st.integers(-(10**9), 10**9)))
def test_what_is_fed_back_only_lowers_levies_and_a_connection_that_never_exports_pays_the_same(net):
    on_import = levied_milli_wh(net, LevyRule.IMPORT)
    assert 0 <= levied_milli_wh(net, LevyRule.NET_OF_FED_BACK) <= on_import
    without_export = np.minimum(net, 0)
    assert levied_milli_wh(without_export, LevyRule.NET_OF_FED_BACK) == on_import
