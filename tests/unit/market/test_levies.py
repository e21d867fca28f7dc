"""Levies by hand: on imports, or on what a storage keeps, never twice on what goes back, never below zero."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from market.levies import LevyRule, levies_pico


def dues(net, rate, rule, *exempt):
    values = np.array(net, np.int64)
    return levies_pico(values, np.broadcast_to(np.array(rate, np.int64), values.shape), rule, *exempt)


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
    assert dues(net, 3, LevyRule.IMPORT) == 3 * on_import
    assert dues(net, 3, LevyRule.NET_OF_FED_BACK) == 3 * net_of_fed_back


def test_each_hour_has_its_own_rate_and_amounts_are_balanced():
    net, rate = [-10, 4, -3], [2, 5, 7]
    assert dues(net, rate, LevyRule.IMPORT) == 20 + 21
    assert dues(net, rate, LevyRule.NET_OF_FED_BACK) == 20 - 20 + 21


def test_intervals_on_an_island_are_left_out():
    net, island = [-10, -5, 4], np.array([False, True, True])
    assert dues(net, 1, LevyRule.IMPORT, island) == 10
    assert dues(net, 1, LevyRule.NET_OF_FED_BACK, island) == 10


@given(arrays(np.int64, st.integers(0, 30), elements=st.integers(-(10**9), 10**9)), st.integers(0, 10**6))
def test_what_is_fed_back_only_lowers_levies_and_a_connection_that_never_exports_pays_the_same(net, rate):
    on_import = dues(net, rate, LevyRule.IMPORT)
    assert 0 <= dues(net, rate, LevyRule.NET_OF_FED_BACK) <= on_import
    assert dues(np.minimum(net, 0), rate, LevyRule.NET_OF_FED_BACK) == on_import
