"""Tariffs by zone and interval: the supplier's, or the island's where it was away for all of an interval."""

from pathlib import Path

import numpy as np
import pytest

from market.chunks import Tariff
from node.scenario import Scenario, ScenarioError, build_topology, load
from node.world.disturbances import islanded_zones, planned_failures
from node.world.supplier import Supplier

TEXT = """\
name: small
seed: 1
time_zone: Europe/Berlin
start_date: 2026-04-16
market: {{mechanism: {mechanism}, fee_micro_per_kwh: 2_500, price_cap_micro_per_kwh: 1_000_000}}
tariff:
  short_price_windows: [{{start: 00:00, price_micro_per_kwh: 150_000}}]
  long_price_micro_per_kwh: 80_000
  co2_g_per_kwh: 363
  island: {{short_price_micro_per_kwh: {short}, long_price_micro_per_kwh: {long}}}
network:
  - {{id: top, import_cap_w: 45e3, export_cap_w: 30_000}}
  - {{id: cut, parent: top, import_cap_w: 45e3, export_cap_w: 30_000}}
  - {{id: leaf, parent: cut, import_cap_w: 45e3, export_cap_w: 30_000}}
  - {{id: other, parent: top, import_cap_w: 45e3, export_cap_w: 30_000}}
participants:
  - {{id: anna, name: Anna, kind: home, node: leaf, connection_capacity_w: 17_250, deposit_credits: 50,
     load: {{profile: H0-A, yearly_kwh: 3_500}}}}
failures:
  - {{kind: supply, node: {node}, start: 12:05, duration_s: 2_700}}
"""
SUPPLIER, ISLAND = Tariff(150_000, 80_000), Tariff(900_000, 0)


def scenario(
    tmp_path: Path, mechanism: str = "network", node: str = "cut", short: int = 900_000, long: int = 0
) -> Scenario:
    path = tmp_path / "s.yaml"
    path.write_text(TEXT.format(mechanism=mechanism, node=node, short=short, long=long))
    return load(path)


def zones_out(of: Scenario, quarter: int, n_zones: int) -> list[bool]:
    """Which zones are islanded in the n-th quarter hour from 12:00 on."""
    topology = build_topology(of)
    start_s = of.grid.start_s(of.delivery_intervals().start + 48 + quarter)
    return islanded_zones(
        planned_failures(of, topology), topology, n_zones, start_s, start_s + of.interval_s
    ).tolist()


def test_zones_below_the_failed_node_are_islands_in_the_intervals_that_had_no_supply_at_all(tmp_path):
    of = scenario(tmp_path)  # 12:05 to 12:50; rows: top, cut, other, leaf
    assert build_topology(of).ids[:4] == ("top", "cut", "other", "leaf")
    found = [zones_out(of, quarter, 4) for quarter in range(4)]
    nobody, cut_and_leaf = [False] * 4, [False, True, False, True]
    assert found == [nobody, cut_and_leaf, cut_and_leaf, nobody]


def test_with_one_price_for_all_only_the_roots_supply_counts(tmp_path):
    of = scenario(tmp_path, "uniform", "top")
    assert [zones_out(of, quarter, 1) for quarter in range(4)] == [[False], [True], [True], [False]]


def test_an_islands_zones_have_its_prices_and_the_others_the_suppliers(tmp_path):
    supplier = Supplier(scenario(tmp_path))
    table = supplier.table(1_973_760, np.array([False, True, False, True]))
    assert table == (SUPPLIER, ISLAND, SUPPLIER, ISLAND)


def test_without_island_prices_the_suppliers_tariff_goes_on(tmp_path):
    of = scenario(tmp_path)
    of = of.model_copy(update={"tariff": of.tariff.model_copy(update={"island": None})})
    assert Supplier(of).table(1_973_760, np.array([True])) == (SUPPLIER,)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"short": 1_000_001}, "at most the price cap of 1000000"),
        ({"short": 5, "long": 6}, "at least the island's long price of 6"),
        ({"mechanism": "uniform"}, "island prices can only hold for all"),
    ],
)
def test_island_prices_that_cannot_hold_are_refused(tmp_path, changes, told):
    with pytest.raises(ScenarioError, match=told):
        scenario(tmp_path, **changes)


WINDOWS = (
    "  levy_windows: [{start: 00:00, price_micro_per_kwh: 50}, {start: 17:00, price_micro_per_kwh: 90}]\n"
)


def levied(tmp_path: Path, extra: str) -> Scenario:
    path = tmp_path / "s.yaml"
    text = TEXT.format(mechanism="network", node="cut", short=900_000, long=0)
    path.write_text(text.replace("  co2_g_per_kwh", extra + "  co2_g_per_kwh"))
    return load(path)


def test_levies_have_hours_like_the_suppliers_price(tmp_path):
    of = levied(tmp_path, WINDOWS)
    day = of.delivery_intervals()
    assert Supplier(of).levies(day).tolist() == [50] * 68 + [90] * 28
    assert Supplier(levied(tmp_path, "  levies_micro_per_kwh: 7\n")).levies(day).tolist() == [7] * 96


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        (WINDOWS + "  levies_micro_per_kwh: 7\n", "expected none beside levy_windows"),
        (WINDOWS.replace("00:00", "01:00"), "levy_windows.*expected the first window at 00:00"),
        (WINDOWS.replace("17:00", "17:05"), "border of the 900 s intervals"),
    ],
)
def test_levies_that_do_not_fit_a_day_are_refused(tmp_path, extra, told):
    with pytest.raises(ScenarioError, match=told):
        levied(tmp_path, extra)
