"""A grid event is shared in proportion, clipped shares are shared again, and the sum is exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.controller.errors import InvalidRequest
from node.controller.swarm import share_event


def share(required, available, weight=None, takes_part=None):
    n = len(available)
    return share_event(
        required,
        np.array(available, np.int64),
        np.ones(n) if weight is None else np.array(weight, float),
        np.ones(n, bool) if takes_part is None else np.array(takes_part),
    ).tolist()


def test_shares_are_proportional_to_the_weight():
    assert share(6_000, [9_000, 9_000, 9_000], [1, 2, 3]) == [1_000, 2_000, 3_000]


def test_a_clipped_share_is_shared_again_among_the_others():
    # By hand: 1500 clips unit 2 of (1000, 2000, 3000) to 1500; 4500 left at 1:2.
    assert share(6_000, [9_000, 9_000, 1_500], [1, 2, 3]) == [1_500, 3_000, 1_500]


def test_all_is_given_when_the_grid_asks_for_more_than_there_is():
    assert share(10_000, [1_000, 2_000]) == [1_000, 2_000]


def test_units_that_are_unhealthy_empty_or_without_power_give_nothing():
    got = share(3_000, [5_000, 5_000, 0, 5_000], [1, 0, 1, 1], [True, True, True, False])
    assert got == [3_000, 0, 0, 0]


def test_nobody_left_gives_zero():
    assert share(3_000, [5_000], takes_part=[False]) == [0]
    assert share(0, [5_000]) == [0]


@given(
    st.integers(0, 10**9),
    st.lists(st.tuples(st.integers(0, 10**8), st.floats(1e-3, 1e6), st.booleans()), max_size=30),
)
def test_the_sum_is_exactly_the_lesser_of_required_and_available(required, units):
    available = [a for a, _, _ in units]
    got = share(required, available, [w for _, w, _ in units], [t for _, _, t in units] or np.zeros(0, bool))
    assert sum(got) == min(required, sum(a for a, _, t in units if t))
    assert all(0 <= g <= a for g, a in zip(got, available, strict=True))


@pytest.mark.parametrize(
    ("required", "available", "weight"), [(-1, [1], [1]), (1, [-1], [1]), (1, [1], [-1]), (1, [1], [np.nan])]
)
def test_negative_or_undefined_quantities_are_refused(required, available, weight):
    with pytest.raises(InvalidRequest):
        share(required, available, weight)
