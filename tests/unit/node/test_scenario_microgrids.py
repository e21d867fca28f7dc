"""Microgrids of a scenario: what fits, and each refusal with its place."""

import pytest

from node.scenario import ScenarioError, build_topology, load
from node.world.islands import microgrid_terms

TEXT = """\
name: small
seed: 7
time_zone: Europe/Berlin
start_date: 2026-04-16
market: {{mechanism: {mechanism}, fee_micro_per_kwh: 2_500, price_cap_micro_per_kwh: 1_000_000}}
tariff:
  short_price_windows: [{{start: 00:00, price_micro_per_kwh: 150_000}}]
  long_price_micro_per_kwh: 80_000
  co2_g_per_kwh: 363
network:
  - {{id: top, import_cap_w: 45e3, export_cap_w: 30_000}}
  - {{id: street, parent: top, import_cap_w: 45e3, export_cap_w: 30_000}}
  - {{id: lane, parent: street, import_cap_w: 45e3, export_cap_w: 30_000}}
  - {{id: cars, parent: top, import_cap_w: 45e3, export_cap_w: 30_000}}
microgrids: {microgrids}
participants:
  - {{id: anna, name: Anna, kind: home, node: lane, connection_capacity_w: 17_250, deposit_credits: 50,
     load: {{profile: H0-A, yearly_kwh: 3_500}},
     devices: [{{kind: battery, id: b, capacity_wh: 5e3, p_charge_max_w: 2e3, p_discharge_max_w: 2e3}}]}}
  - {{id: ben, name: Ben, kind: home, node: cars, connection_capacity_w: 17_250, deposit_credits: 50,
     load: {{profile: H0-A, yearly_kwh: 3_500}}}}
"""


def scenario(tmp_path, microgrids, mechanism="network"):
    path = tmp_path / "s.yaml"
    path.write_text(TEXT.format(microgrids=microgrids, mechanism=mechanism))
    return load(path)


def test_terms_name_the_node_by_its_row(tmp_path):
    of = scenario(tmp_path, "[{node: street, black_start_reserve_pu: 0.1}]")
    (terms,) = microgrid_terms(of, build_topology(of))
    assert build_topology(of).ids[terms.node] == "street"
    assert (terms.reserve_pu, terms.nominal_hz, terms.loss_pu, terms.seed) == (0.1, 50.0, 0.3, 7)


def test_the_root_may_be_an_island_in_a_market_with_one_price(tmp_path):
    assert scenario(tmp_path, "[{node: top}]", "uniform").microgrids[0].node == "top"


@pytest.mark.parametrize(
    ("microgrids", "mechanism", "told"),
    [
        ("[{node: nowhere}]", "network", "microgrids.*expected the id of a network node"),
        ("[{node: street}, {node: street}]", "network", "is a microgrid already"),
        ("[{node: street}, {node: lane}]", "network", "not below another microgrid"),
        ("[{node: street}]", "uniform", "a price of its own"),
        ("[{node: cars}]", "network", "nobody could form the island"),
        ("[{node: street, radio_loss_pu: 0.9}]", "network", "less than or equal to 0.6"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(tmp_path, microgrids, mechanism, told):
    with pytest.raises(ScenarioError, match=told):
        scenario(tmp_path, microgrids, mechanism)
