"""The market's benchmark: its instances are what it says, its reference agrees, its curves are shown as measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from market import network_auction
from market.network_auction_certificate import violations, welfare_pico
from node.bench import market, market_door, market_report
from node.bench.highs_reference import solve
from node.bench.market_instances import network_book, order_flow, plain_book
from node.report.market_cost import NotMeasured, cost_figure, cost_table, read, shown


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


CURVES = {"bincount, the floor": [(100, 1e-5), (1_000, 1e-4)], "auction": [(100, 1e-4), (1_000, 1e-3)]}


def test_what_was_measured_is_written_read_and_drawn_with_the_machine_it_is_true_of(tmp_path: Path) -> None:
    page = market_report.write(tmp_path, CURVES, {"auction_1e4_s": 0.5}, {"auction_1e4_s": "<= 1"})
    measured = read(tmp_path / "bench" / "market.json")
    assert measured.curves == {name: tuple(points) for name, points in CURVES.items()}
    assert np.__version__ in measured.machine
    assert "auction_1e4_s" in page.read_text()
    figure = cost_figure(measured)
    assert [trace["y"] for trace in figure["data"]] == [[1e-5, 1e-4], [1e-4, 1e-3]]
    assert {figure["layout"][axis]["type"] for axis in ("xaxis", "yaxis")} == {"log"}
    heads, rows = cost_table(measured)
    assert heads == ("orders", "bincount, the floor, s", "auction, s")
    assert rows == [("100", "1.00e-05", "1.00e-04"), ("1,000", "1.00e-04", "1.00e-03")]


def test_a_report_shows_the_cost_if_it_was_measured_into_its_folder_and_nothing_otherwise(
    tmp_path: Path,
) -> None:
    assert shown(tmp_path) == ({}, {})
    market_report.write(tmp_path, CURVES, {}, {})
    figures, tables = shown(tmp_path)
    assert list(figures) == ["cost"]
    assert all("measured by scripts/bench market on" in caption for caption in tables)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"curves": 5}'])
def test_a_file_that_is_no_measurement_is_named_in_the_report_instead(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bench" / "market.json"
    path.parent.mkdir()
    path.write_text(text)
    figures, tables = shown(tmp_path)
    assert figures == {}
    ((_, why),) = tables["Cost of one auction"][1]
    assert "no measurement" in why


def test_a_curve_with_impossible_numbers_is_refused(tmp_path: Path) -> None:
    market_report.write(tmp_path, {"auction": [(10, 1.0)]}, {}, {})
    path = tmp_path / "bench" / "market.json"
    path.write_text(path.read_text().replace("1.0", "-1.0"))
    with pytest.raises(NotMeasured, match="above zero"):
        read(path)


def test_the_curve_has_the_floor_and_our_auctions_at_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "CURVE", (10, 100))
    monkeypatch.setattr(market, "best_of", lambda _turns, *calls: [float(i + 1) for i in range(len(calls))])
    monkeypatch.setattr(market, "pymarket_seconds", lambda _book: 9.0)
    monkeypatch.setattr(market, "lightmatchingengine_seconds", lambda _book: None)
    monkeypatch.setattr(market, "MOST_FOR_PEER", {"pymarket": 10, "lightmatchingengine": 10})
    figures: market.Figures = {}
    curves: market.Curves = {}
    market.measure_curve(figures, curves)
    assert curves == {
        "bincount, the floor": [(10, 1.0), (100, 1.0)],
        "auction": [(10, 2.0), (100, 2.0)],
        "network auction": [(10, 3.0), (100, 3.0)],
        "pymarket": [(10, 9.0)],
    }
    assert figures["auction_10_ns_per_order"] == 2e8


def test_json_is_one_flat_object_with_every_figure_that_has_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(market, "MILLION", 2_000)
    monkeypatch.setattr(market, "CURVE", (100,))
    monkeypatch.setattr(market, "plain_book", lambda n, prices: plain_book(min(n, 2_000), prices))
    monkeypatch.setattr(
        market,
        "network_book",
        lambda n, _nodes, _prices, seed=0: network_book(min(n, 500), 10, 50, seed=seed),
    )
    monkeypatch.setattr(market, "pymarket_seconds", lambda _book: 1.0)
    monkeypatch.setattr(market, "lightmatchingengine_seconds", lambda _book: 1.0)
    monkeypatch.setattr(market_door, "N_ACCOUNTS", 2)
    monkeypatch.setattr(market_door, "ORDERS_EACH", 2)
    assert market.main(["--json", "--highs-orders", "500"]) == 0
    figures = json.loads(capsys.readouterr().out)
    asked = {
        "auction_1e6_over_bincount",
        "network_1e5_1e3_over_bincount",
        "network_1e6_1e3_over_bincount",
        "network_speedup_over_highs",
        "speedup_over_pymarket_1e4",
        "book_1e6_amend_s",
        "door_orders_per_s",
        "bytes_per_order",
    }
    assert asked <= market.BARS.keys() <= figures.keys()
    assert all(isinstance(value, int | float) for value in figures.values())
