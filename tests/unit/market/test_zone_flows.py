"""Flows, fees and rents of edges: by hand, and their sum against what buyers paid and sellers did not get."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import BookInconsistent
from market.network_auction_tree import MarketTree
from market.orders import OrderArrays
from market.zone_flows import edge_flows
from market.zones import Zoning, clear


def tree(parent: list[int], cap: list[int], fee: list[int]) -> MarketTree:
    caps = np.array(cap, np.int64)
    return MarketTree(np.array(parent), caps, caps, np.array(fee, np.int64))


def test_what_a_full_edge_earns_beyond_its_fee_is_rent():
    """Zone 1 sells 10 to zone 2 over the root: 3 + 4 fee a unit, the rest of the 50 between them is rent."""
    found = edge_flows(tree([-1, 0, 0], [0, 10, 99], [0, 3, 4]), np.array([0, 10, -10]), (146, 100, 150))
    assert found.flow_milli_wh.tolist() == [0, 10, -10]
    assert found.fee_pico == (0, 30, 40)
    assert found.rent_pico == (0, (146 - 100) * 10 - 30, 0)


def test_an_edge_without_a_flow_earns_nothing_whatever_its_ends_say():
    found = edge_flows(tree([-1, 0], [5, 5], [1, 1]), np.array([0, 0]), (None, None))
    assert (found.fee_pico, found.rent_pico) == ((0, 0), (0, 0))


@pytest.mark.parametrize(
    ("net", "prices", "told"),
    [([1, 0], (5, 5), "sell 1 mWh more"), ([-1, 1], (5, None), "an end without a price")],
)
def test_what_cannot_be_is_refused(net, prices, told):
    with pytest.raises(BookInconsistent, match=told):
        edge_flows(tree([-1, 0], [5, 5], [1, 1]), np.array(net), prices)


@st.composite
def markets(draw: st.DrawFn) -> tuple[OrderArrays, Zoning]:
    n_zones, n = draw(st.integers(1, 5)), draw(st.integers(2, 14))

    def column(low: int, high: int, size: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=size, max_size=size))

    parent = [-1, *(draw(st.integers(0, zone - 1)) for zone in range(1, n_zones))]
    orders = OrderArrays(
        np.arange(n),
        np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))),
        np.array(column(0, 40, n)),
        np.array(column(-30, 100, n)),
    )
    network = tree(parent, column(0, 60, n_zones), column(0, 9, n_zones))
    return orders, Zoning(np.arange(n), np.array(column(0, n_zones - 1, n)), network)


@given(markets())
def test_fees_and_rents_are_what_buyers_paid_less_what_sellers_got_and_never_negative(case):
    orders, zoning = case
    result = clear(orders, 0, zoning)
    flows = edge_flows(zoning.tree, result.net_export_milli_wh, result.prices_micro_per_kwh)
    paid = sum(
        result.price_of(i) * int(result.fills_milli_wh[i]) * (1 if orders.is_buy[i] else -1)
        for i in np.flatnonzero(result.fills_milli_wh).tolist()
    )
    assert sum(flows.fee_pico) + sum(flows.rent_pico) == paid
    assert min(flows.fee_pico) >= 0
    full = np.abs(flows.flow_milli_wh) == zoning.tree.export_cap_milli_wh
    for rent, is_full in zip(flows.rent_pico, full, strict=True):
        assert rent >= 0
        assert is_full or rent == 0
