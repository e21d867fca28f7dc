"""Areas of one price by hand: what edges carry joins zones, what they do not parts them, fees tilt prices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.network_auction_tree import MarketTree
from node.agent.strategy import Outlook, StorageCalendar, plan_storages
from node.agent.strategy.areas import Areas, expect

SHORT, LONG = 300_000.0, 80_000.0
WIDE = 10**9


def tree(*edges: tuple[int, int, int, int]) -> MarketTree:
    """Edges of zones 1, 2, ...: parent, import and export capacity in Wh, fee."""
    rows = [(-1, WIDE, WIDE, 0), *edges]
    parent, import_wh, export_wh, fee = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return MarketTree(parent, import_wh * 1_000, export_wh * 1_000, fee)


def expected(net_wh: list[float], network: MarketTree | None, gross_wh: float = 1_000.0) -> Areas:
    """One interval; every zone's load plus solar is `gross_wh`."""
    net = np.array(net_wh, float)[:, None]
    return expect(
        net, np.full_like(net, gross_wh), np.full_like(net, SHORT), np.full_like(net, LONG), network
    )


def column(values: np.ndarray) -> list[float]:
    return values[:, 0].tolist()


def test_what_an_edge_carries_makes_one_area_at_one_price():
    found = expected([0.0, 500.0, -500.0], tree((0, WIDE, WIDE, 0), (0, WIDE, WIDE, 0)))
    assert column(found.price_micro_per_kwh) == [(SHORT + LONG) / 2] * 3
    assert column(found.area) == [0, 0, 0]
    assert column(found.surplus_wh) == column(found.deficit_wh) == [0.0] * 3


def test_surplus_behind_a_full_edge_is_worth_the_part_of_the_long_tariff_that_comes_through():
    found = expected([0.0, 500.0, -500.0], tree((0, WIDE, 100, 0), (0, WIDE, WIDE, 0)))
    # 100 of 500 Wh come out: 400 are missing outside, far more than a tenth of 3,000 Wh
    assert column(found.kept_pu) == [1.0, 0.2, 1.0]
    assert column(found.price_micro_per_kwh) == [SHORT, LONG / 5, SHORT]
    assert column(found.area) == [0, 1, 0]
    assert column(found.surplus_wh) == [0.0, 500.0, 0.0]
    assert column(found.deficit_wh) == [400.0, 0.0, 400.0]


def test_need_behind_a_full_edge_is_an_area_at_the_short_tariff():
    found = expected([0.0, 800.0, -500.0], tree((0, WIDE, WIDE, 0), (0, 100, WIDE, 0)))
    assert column(found.price_micro_per_kwh) == [LONG, LONG, SHORT]
    assert column(found.surplus_wh) == [700.0, 700.0, 0.0]
    assert column(found.deficit_wh) == [0.0, 0.0, 500.0]


def test_a_fee_makes_energy_cheaper_where_it_comes_from_and_dearer_where_it_goes():
    found = expected([0.0, 500.0, -500.0], tree((0, WIDE, WIDE, 7_000), (0, WIDE, WIDE, 9_000)))
    middle = (SHORT + LONG) / 2
    assert column(found.price_micro_per_kwh) == [middle, middle - 7_000, middle + 9_000]


def test_fees_never_lead_beyond_the_suppliers_tariffs():
    found = expected([0.0, 500.0, -500.0], tree((0, WIDE, WIDE, 10**6), (0, WIDE, WIDE, 10**6)))
    assert column(found.price_micro_per_kwh) == [(SHORT + LONG) / 2, LONG, SHORT]


def test_a_cable_that_is_nearly_enough_parts_prices_only_a_little():
    # 50 Wh of 500 stay behind, half of a tenth of the zone's 1,000 Wh
    found = expected([0.0, 500.0, -500.0], tree((0, WIDE, 450, 0), (0, WIDE, WIDE, 0)))
    root = LONG + (SHORT - LONG) * (0.5 + 50 / (2 * 300))
    assert column(found.price_micro_per_kwh) == pytest.approx([root, (root + 0.9 * LONG) / 2, root])


def test_areas_nest():
    """Zone 2 hangs below zone 1: what zone 2 cannot send stays there, what it can meets zone 1's need."""
    found = expected([-1_000.0, -200.0, 900.0], tree((0, WIDE, WIDE, 0), (1, WIDE, 200, 0)))
    assert column(found.area) == [0, 0, 2]
    assert column(found.deficit_wh) == [1_000.0, 1_000.0, 0.0]
    assert column(found.surplus_wh) == [0.0, 0.0, 900.0]


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[float], list[tuple[int, int, int, int]]]:
    """Net exports of zones, and the edges of a tree of them."""
    edges = []
    for zone in range(1, draw(st.integers(1, 6)) + 1):
        limit = st.integers(0, 9_000)
        edges.append((draw(st.integers(0, zone - 1)), draw(limit), draw(limit), draw(st.integers(0, 50_000))))
    net = draw(st.lists(st.floats(-1e4, 1e4), min_size=len(edges) + 1, max_size=len(edges) + 1))
    return net, edges


@given(networks())
def test_prices_lie_between_the_tariffs_and_an_area_is_long_or_short_but_not_both(case):
    net_wh, edges = case
    found = expected(net_wh, tree(*edges))
    assert ((found.kept_pu >= 0) & (found.kept_pu <= 1)).all()
    assert (found.price_micro_per_kwh >= LONG * found.kept_pu.min() - 1e-6).all()
    assert (found.price_micro_per_kwh <= SHORT + 1e-6).all()
    assert ((found.surplus_wh == 0) | (found.deficit_wh == 0)).all()
    for zone, area in enumerate(found.area[:, 0]):
        assert found.area[area, 0] == area
        assert found.surplus_wh[zone] == found.surplus_wh[area]


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=7))
def test_a_network_that_carries_everything_for_nothing_expects_what_one_zone_expects(net_wh):
    wide = tree(*((0, WIDE, WIDE, 0) for _ in net_wh[1:]))
    one = expected([sum(net_wh)], None, gross_wh=1_000.0 * len(net_wh))
    many = expected(net_wh, wide)
    assert column(many.price_micro_per_kwh) == pytest.approx(column(one.price_micro_per_kwh) * len(net_wh))
    assert (many.area == 0).all()


def planned(fleet_of, net_wh, edge) -> np.ndarray:
    """Power of two batteries, of account 0 in zone 0 and account 1 in zone 1; an edge joins the zones."""
    net = np.array(net_wh, float)
    n = net.shape[0]
    outlook = Outlook.of(
        0,
        3_600,
        np.arange(n) + 2,
        np.full(n, 3e4),
        np.full(n, 3e4),
        np.maximum(-net, 0),
        np.maximum(net, 0),
        SHORT,
        LONG,
        zone=[0, 1, 1, 0],
        tree=tree(edge),
    )
    fleet = fleet_of([0, 1], wear=10_000)
    calendar = StorageCalendar.always_present(2, net.shape[1])
    return plan_storages(fleet, calendar, outlook, np.zeros(2)).power_w


SUN_INSIDE = [[0, 0], [0, 0], [2_000, -2_000], [-2_000, -2_000]]


def test_a_storage_behind_a_full_cable_takes_the_sun_there_for_the_need_there_and_one_outside_does_not(
    fleet_of,
):
    power = planned(fleet_of, SUN_INSIDE, (0, 10, 10, 0))
    assert power[0].tolist() == [0.0, 0.0]
    assert power[1] == pytest.approx([-2_000.0, 2_000.0], abs=15)


def test_a_storage_does_not_plan_to_sell_more_than_its_cable_carries(fleet_of):
    sun_inside_need_outside = [[0, 0], [0, 0], [2_000, 0], [-2_000, -2_000]]
    power = planned(fleet_of, sun_inside_need_outside, (0, 10, 10, 0))
    assert power[1, 1] == pytest.approx(10.0)
