"""The market's benchmark: its instances are what it says, its reference agrees, its plot is a plot."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from market import network_auction
from market.network_auction_certificate import violations, welfare_pico
from node.bench import market
from node.bench.highs_reference import solve
from node.bench.market_instances import network_book, order_flow, plain_book
from node.bench.market_report import cost_plot


def test_instances_are_the_same_for_the_same_seed_and_differ_for_another() -> None:
    one, two, other = plain_book(500, 100), plain_book(500, 100), plain_book(500, 100, seed=1)
    assert one.limit_micro_per_kwh.tobytes() == two.limit_micro_per_kwh.tobytes()
    assert one.limit_micro_per_kwh.tobytes() != other.limit_micro_per_kwh.tobytes()
    assert 0 <= int(one.limit_micro_per_kwh.min()) <= int(one.limit_micro_per_kwh.max()) < 100


def test_a_network_instance_is_congested_and_agrees_with_highs() -> None:
    orders, node, tree = network_book(2_000, 60, 200)
    assert tree.n_nodes == 60
    result = network_auction.clear(orders, node, tree)
    assert violations(orders, node, tree, result) == []
    assert result.congestion_rent_pico > 0 and result.grid_fees_pico > 0
    optimum = solve(orders, node, tree)
    assert optimum is not None
    assert welfare_pico(orders, result) == pytest.approx(optimum.welfare_pico, rel=1e-9)


def test_an_order_flow_amends_each_accounts_one_lane_once() -> None:
    flow = order_flow(1_000, 1_000, 5, seed=1)
    assert np.unique(flow["account"]).size == 1_000
    assert flow["sequence"].tolist() == list(range(5, 1_005))
    assert 0 < np.count_nonzero(flow["quantity_milli_wh"] == 0) < 200


def test_the_peers_section_leaves_no_figure_for_what_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pymarket", None)
    monkeypatch.setitem(__import__("sys").modules, "lightmatchingengine", None)
    figures: market.Figures = {}
    market.measure_peers(figures)
    assert list(figures) == ["auction_1e4_s"]


def test_a_table_names_the_bar_of_a_figure(capsys: pytest.CaptureFixture[str]) -> None:
    market.print_table({"auction_1e6_over_bincount": 2.5})
    shown = capsys.readouterr().out
    assert "2.5   <= 3" in shown
    assert "not installed" in shown


def test_linear_cost_is_a_straight_line_in_the_plot() -> None:
    svg = cost_plot({"ours": [(100, 1e-4), (1_000, 1e-3), (10_000, 1e-2)]})
    line = ElementTree.fromstring(svg).find("{http://www.w3.org/2000/svg}polyline")
    assert line is not None
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
