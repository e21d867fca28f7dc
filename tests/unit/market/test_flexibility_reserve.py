"""A reserve is bought from the cheapest, at one price, to the milliwatt-hour."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import SettlementError
from market.flexibility_reserve import ReserveOffers, procure


def offers(*rows):
    quantity, price = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return ReserveOffers(np.arange(2, 2 + quantity.size), quantity, price)


def test_the_cheapest_are_taken_at_the_price_of_the_dearest_taken():
    got = procure(offers((100, 30), (50, 10), (200, 20)), 180, 1_000)
    assert got.fills_milli_wh.tolist() == [0, 50, 130]
    assert got.price_micro_per_kwh == 20
    assert got.cost_pico == 20 * 180


def test_a_shared_tier_is_split_by_largest_remainder_ties_to_the_lower_row():
    assert procure(offers((10, 5), (10, 5), (10, 5)), 10, 9).fills_milli_wh.tolist() == [4, 3, 3]


def test_what_costs_more_than_the_buyer_pays_is_not_bought():
    got = procure(offers((100, 30), (50, 10)), 500, 20)
    assert got.fills_milli_wh.tolist() == [0, 50]
    assert (got.price_micro_per_kwh, got.quantity_milli_wh) == (10, 50)
    nothing = procure(offers((100, 30)), 500, 20)
    assert (nothing.cost_pico, nothing.price_micro_per_kwh) == (0, 0)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 50)), min_size=1, max_size=30),
    st.integers(1, 10**7),
    st.integers(1, 60),
)
def test_it_is_the_least_cost_of_what_is_offered(rows, required, most):
    got = procure(offers(*rows), required, most)
    affordable = sorted((price, quantity) for quantity, price in rows if price <= most)
    assert got.quantity_milli_wh == min(required, sum(quantity for _, quantity in affordable))
    # Greedy from the cheapest is optimal for one quantity: the cost by offers must equal it.
    left, least = got.quantity_milli_wh, 0
    for price, quantity in affordable:
        least += price * min(quantity, left)
        left -= min(quantity, left)
    taken = got.fills_milli_wh
    assert int((taken * offers(*rows).price_micro_per_kwh).sum()) == least
    assert all(price <= got.price_micro_per_kwh for (_, price), fill in zip(rows, taken, strict=True) if fill)
    assert got.price_micro_per_kwh <= most


def test_reserves_of_nothing_and_broken_offers_are_refused():
    with pytest.raises(SettlementError):
        procure(offers((1, 1)), 0, 1)
    with pytest.raises(SettlementError):
        procure(offers((1, 1)), 1, 0)
    with pytest.raises(SettlementError, match="row 1"):
        offers((1, 1), (-1, 1))
    with pytest.raises(SettlementError, match="shape"):
        ReserveOffers(np.zeros(2, np.int64), np.zeros(1, np.int64), np.zeros(2, np.int64))
