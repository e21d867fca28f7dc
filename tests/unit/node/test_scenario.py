"""The scenario door: what is read, how mistakes are told, and that schema and shipped files stay in step."""

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.orders import NO_WISH, Source, Wish
from node.scenario import ScenarioError, build_topology, load, wishes
from node.scenario.consistency import find_mistakes
from node.scenario.devices import Flywheel, Supercapacitor
from node.scenario.models import Scenario
from node.scenario.schema import schema_text
from node.scenario.yaml_positions import YamlMistake, parse
from node.scenario.zones import price_zones

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "scripts" / "scenarios").glob("*.yaml"))

SMALL = """\
name: small
seed: 1
time_zone: Europe/Berlin
start_date: 2026-04-16
market: {fee_micro_per_kwh: 2_500, price_cap_micro_per_kwh: 1_000_000}
tariff:
  short_price_windows:
    - {start: 00:00, price_micro_per_kwh: 150_000}
    - {start: 17:00, price_micro_per_kwh: 250_000}
  long_price_micro_per_kwh: 80_000
  co2_g_per_kwh: 363
network:
  - {id: feeder, kind: feeder, import_cap_w: 45e3, export_cap_w: 30_000}
participants:
  - id: anna
    name: Anna
    kind: home
    node: feeder
    connection_capacity_w: 17_250
    deposit_credits: 50
    load: {profile: H0-A, yearly_kwh: 3_500}
    devices:
      - {kind: battery, id: b1, capacity_wh: 10_000, p_charge_max_w: 5_000, p_discharge_max_w: 5_000}
events:
  - {id: dr, start: 18:30, duration_intervals: 4, requested_w: 3_000, revenue_credits: 3}
"""


def read(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def mistakes(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        read(tmp_path, text)
    return [line.removeprefix(f"{tmp_path}/") for line in caught.value.lines]


def changed(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new, 1)


def test_small_scenario_is_read_with_its_defaults(tmp_path: Path) -> None:
    scenario = read(tmp_path, SMALL)
    assert scenario.market.day_ahead_gate == 12 * 60
    assert scenario.events[0].start == 18 * 60 + 30
    assert scenario.network[0].import_cap_w == 45_000
    assert scenario.participants[0].devices[0].id == "b1"
    assert scenario.study.signing
    assert scenario.study.chain


def test_scenario_survives_a_round_trip_through_json(tmp_path: Path) -> None:
    scenario = read(tmp_path, SMALL)
    assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario


def test_network_auction_takes_as_many_nodes_as_the_contract_has_zones(tmp_path: Path) -> None:
    content = json.loads(read(tmp_path, SMALL).model_dump_json())
    content["market"]["mechanism"] = "network"
    root = next(node["id"] for node in content["network"] if node["parent"] is None)
    missing = 32 - len(content["network"])
    content["network"] += [
        {"id": f"more{i}", "parent": root, "import_cap_w": 1.0, "export_cap_w": 1.0} for i in range(missing)
    ]
    scenario = Scenario.model_validate_json(json.dumps(content))
    assert [zone.zone for zone in price_zones(scenario)] == list(range(32))
    content["network"].append({"id": "last", "parent": root, "import_cap_w": 1.0, "export_cap_w": 1.0})
    (mistake,) = find_mistakes(Scenario.model_validate_json(json.dumps(content)))
    assert mistake.location == ("network",)
    assert "at most 32 nodes for a network auction" in mistake.message
    content["market"]["mechanism"] = "uniform"
    assert price_zones(Scenario.model_validate_json(json.dumps(content))) == ()


def test_a_chunk_holds_a_sell_and_a_buy_at_least(tmp_path: Path) -> None:
    content = json.loads(read(tmp_path, SMALL).model_dump_json())
    content["chain"]["max_fills_per_chunk"] = 1
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        Scenario.model_validate_json(json.dumps(content))


def test_study_options_are_read_in_yaml_words(tmp_path: Path) -> None:
    study = read(tmp_path, SMALL + "study: {signing: off, chain: off}\n").study
    assert (study.signing, study.chain) == (False, False)


# (what is changed in SMALL, into what, place:field, message)
MISTAKES = [
    ("capacity_wh: 10_000", "capacity_wh: -5",
     "23:33: participants[0].devices[0].capacity_wh", "expected a value greater than 0, got -5"),
    ("capacity_wh: 10_000", "capacity_wh: .nan",
     "23:33: participants[0].devices[0].capacity_wh", "expected a finite number, got nan"),
    ("kind: battery", "kind: bttery", "23:10: participants[0].devices[0].kind",
     "expected one of battery, bbu, ev, pdu, flywheel, kinetic, supercapacitor, generator, got 'bttery'"),
    ("    node: feeder", "    nod: feeder",
     "18:5: participants[0].nod", "unknown field; did you mean node?"),
    ("seed: 1", "seed: one", "2:1: seed", "expected a valid integer, got 'one'"),
    ("seed: 1", "seed: 1.0", "2:1: seed", "expected a valid integer, got 1.0"),
    ("seed: 1", "seed: true", "2:1: seed", "expected a valid integer, got True"),
    ("seed: 1", "", "1:1: seed", "required, but missing"),
    ("deposit_credits: 50", "deposit_credits:",
     "20:5: participants[0].deposit_credits", "expected a valid integer, got nothing"),
    ("Europe/Berlin", "Europe/Atlantis", "3:1: time_zone",
     "expected an IANA time zone such as Europe/Berlin, got 'Europe/Atlantis'"),
    ("start: 17:00", "start: 17:07", "9:8: tariff.short_price_windows[1].start",
     "expected a border of the 900 s intervals"),
    ("start: 17:00", "start: 25:00", "9:8: tariff.short_price_windows[1].start",
     "expected a local time HH:MM between 00:00 and 24:00, got '25:00'"),
    ("start: 17:00", "start: 720", "9:8: tariff.short_price_windows[1].start",
     "expected a local time HH:MM between 00:00 and 24:00, got 720"),
    ("start: 00:00", "start: 01:00", "8:8: tariff.short_price_windows[0].start",
     "expected the first window at 00:00"),
    ("micro_per_kwh: 150_000", "micro_per_kwh: 50_000",
     "8:22: tariff.short_price_windows[0].price_micro_per_kwh",
     "expected at least the long price of 80000: below it anybody could earn by being out of balance"),
    ("micro_per_kwh: 250_000", "micro_per_kwh: 2_500_000",
     "9:22: tariff.short_price_windows[1].price_micro_per_kwh",
     "expected at most the price cap of 1000000"),
    ("node: feeder", "node: feder", "18:5: participants[0].node",
     "expected the id of a network node, got 'feder'"),
    ("{profile: H0-A, yearly_kwh: 3_500}", "{profile: H0-A}", "21:5: participants[0].load",
     "expected exactly one of yearly_kwh, peak_w, scale_pu; got none"),
    ("id: dr,", "id: dr, members: [anna, bob],", "25:30: events[0].members[1]",
     "expected the id of a participant, got 'bob'"),
    ("start: 18:30", "start: 18:31", "25:14: events[0].start",
     "expected a border of the 900 s intervals before 24:00"),
    ("kind: feeder,", "kind: feeder, parent: roof,", "13:32: network[0].parent",
     "expected the id of a node, got 'roof'"),
    ("kind: feeder,", "kind: feeder, parent: feeder,", "13:32: network[0].parent",
     "expected a tree: this parent leads back to the node"),
    ("market:", "chain: {exit_delay_s: 100}\nmarket:", "5:9: chain.exit_delay_s",
     "expected more than (notice_intervals + 2) * interval_s + 2 * fill_window_s = 347400"),
    ("events:", "failures:\n  - {kind: supply, node: cellar, start: 14:00, duration_s: 60}\nevents:",
     "25:20: failures[0].node", "expected the id of a network node, got 'cellar'"),
    ("events:", "failures:\n  - {kind: meter, participant: nobody, start: 14:00, duration_s: 60}\nevents:",
     "25:19: failures[0].participant", "expected the id of a participant, got 'nobody'"),
    ("events:", "failures:\n  - {kind: controller, start: 24:00}\nevents:",
     "25:24: failures[0].start", "expected a time before 24:00"),
    ("events:", "failures:\n  - {kind: supply, node: feeder, start: 14:00, duration_s: 0}\nevents:",
     "25:48: failures[0].duration_s", "expected a value greater than or equal to 1, got 0"),
    ("events:", "faults:\n  - {kind: resistance, device: b2, start: 14:00}\nevents:",
     "25:24: faults[0].device", "expected the id of a storage that is no PDU, got 'b2'"),
    ("events:", "faults:\n  - {kind: internal_short, device: b1, start: 14:05}\nevents:",
     "25:40: faults[0].start", "expected a border of the 900 s intervals before 24:00"),
    ("{kind: battery, id: b1, capacity_wh: 10_000, p_charge_max_w: 5_000, p_discharge_max_w: 5_000}",
     "{kind: kinetic, id: b1, inertia_kg_m2: 1.2, speed_min_rpm: 4e3, speed_max_rpm: 9e3, p_max_w: 9e3, bank_wh: 1}",
     "23:107: participants[0].devices[0].bank_wh",
     "expected at least 5: the bank carries p_max_w while the flywheel's drive takes over"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "message"), MISTAKES)
def test_mistake_is_told_with_line_column_field_and_expectation(
    tmp_path: Path, old: str, new: str, place: str, message: str
) -> None:
    assert f"s.yaml:{place}: {message}" in mistakes(tmp_path, changed(old, new))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = SMALL.replace("seed: 1", "seed: -1").replace("    kind: home", "    kind: castle")
    assert len(mistakes(tmp_path, text)) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "s.yaml:1:1: empty: expected a scenario"),
        ("a: [1, 2", "s.yaml:1:9: broken YAML: expected ',' or ']', but got '<stream end>'"),
        ("name: a\nname: b\n", "s.yaml:2:1: name is given twice"),
        ("1: a\n", "s.yaml:1:1: expected a field name (text) as key"),
        ("a: !!python/name:os.system\n",
         "s.yaml:1:4: unknown YAML tag tag:yaml.org,2002:python/name:os.system"),
        ("start_date: 2026-02-30\n",
         "s.yaml:1:13: expected a date YYYY-MM-DD or quoted text, got 2026-02-30"),
        ("name: \x1f\n", "s.yaml:1:7: broken YAML: character U+001F is not allowed"),
        ("a: &x [*x]\n", "s.yaml:1:4: an alias that holds itself"),
        ("a: " + "[" * 10_000, "s.yaml:1:43: nested deeper than 40"),
        ("- 1\n", "s.yaml:1:1: scenario: expected a mapping of fields, got (1,)"),
    ],
)  # fmt: skip
def test_text_that_is_no_scenario_is_refused_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in mistakes(tmp_path, text)


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 8)}]" for k in range(1, 9)]
    assert "aliases that multiply" in mistakes(tmp_path, "\n".join(lines))[0]


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml")


def test_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: Müller".encode("latin-1"))
    with pytest.raises(ScenarioError, match="not UTF-8 text"):
        load(path)


def test_taken_names_are_refused(tmp_path: Path) -> None:
    second = SMALL[SMALL.index("  - id: anna") : SMALL.index("events:")]
    found = mistakes(tmp_path, SMALL.replace("events:", second + "events:"))
    assert [line.partition(": ")[2] for line in found] == [
        "participants[1].id: expected a new name, 'anna' is taken",
        "participants[1].devices[0].id: expected a new name, 'b1' is taken",
    ]


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused_but_never_crashes(text: str) -> None:
    with contextlib.suppress(YamlMistake):
        assert parse(text).positions[()] >= (1, 1)


# YAML 1.1 readers turn these into 1020 (base 60), 8 (octal) and text; a scenario must not.
@pytest.mark.parametrize(
    ("text", "value"),
    [("17:00", "17:00"), ("010", 10), ("1e6", 1e6), ("1_000", 1000), ("2.5e-3", 0.0025), ("-.5", -0.5)],
)
def test_scalar_has_no_surprising_meaning(text: str, value: Any) -> None:
    assert parse(f"a: {text}").value == {"a": value}


def test_flywheel_and_supercapacitor_energies_follow_from_their_physics() -> None:
    wheel = Flywheel(
        kind="flywheel", id="w", inertia_kg_m2=2.0, speed_min_rpm=6_000.0, speed_max_rpm=12_000.0,
        p_max_w=5_000.0, standby_loss_w=10.0,
    )  # fmt: skip
    # 1/2 J (w2^2 - w1^2) with w = 2 pi * 100 and 200 rad/s: (2 pi)^2 * 30,000 J
    assert wheel.capacity_wh == pytest.approx((2 * math.pi) ** 2 * 30_000 / 3_600, rel=1e-12)
    bank = Supercapacitor(
        kind="supercapacitor", id="c", capacitance_f=100.0, v_min_v=24.0, v_max_v=48.0,
        series_resistance_ohm=0.01, p_max_w=1_000.0,
    )  # fmt: skip
    assert bank.capacity_wh == pytest.approx(50 * (48**2 - 24**2) / 3_600, rel=1e-12)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenario_is_valid(path: Path) -> None:
    assert load(path).name == path.stem


def test_neighbourhood_holds_what_it_promises() -> None:
    scenario = load(ROOT / "scripts" / "scenarios" / "neighbourhood.yaml")
    kinds = [device.kind for person in scenario.participants for device in person.devices]
    homes = [person for person in scenario.participants if person.kind == "home"]
    modules = [
        module.count
        for person in scenario.participants
        for device in person.devices
        if device.kind == "pdu"
        for module in device.modules
    ]
    assert len(scenario.participants) == 24
    assert len(homes) == 10
    assert sum(home.solar is not None for home in homes) == 5
    assert (kinds.count("ev"), kinds.count("flywheel"), kinds.count("bbu")) == (2, 1, 4)
    assert sum(modules) == 10
    assert len(scenario.events) == 1
    assert 17 * 60 <= scenario.events[0].start < 22 * 60
    assert len({window.price_micro_per_kwh for window in scenario.tariff.short_price_windows}) >= 3


def test_published_schema_is_the_models_schema() -> None:
    published = (ROOT / "docs" / "scenario.schema.json").read_text(encoding="utf-8")
    assert published == schema_text(), "run: python -m node.scenario.schema > docs/scenario.schema.json"
    assert json.loads(published)["additionalProperties"] is False


def test_generated_homes_are_the_same_for_any_count() -> None:
    path = ROOT / "scripts" / "scenarios" / "homes.yaml"
    ten, hundred = load(path, homes=10), load(path, homes=100)
    assert ten.participants == hundred.participants[:10]
    assert len(hundred.participants) == 100
    assert hundred.generated_homes is None
    assert sum(home.solar is not None for home in hundred.participants) == 50
    assert sum(len(home.devices) for home in hundred.participants) == 25
    assert len(hundred.network) == 1 + 4


def test_seed_and_days_can_be_overridden() -> None:
    scenario = load(ROOT / "scripts" / "scenarios" / "homes.yaml", days=3, seed=99, homes=4)
    assert (scenario.days, scenario.seed, len(scenario.delivery_intervals())) == (3, 99, 3 * 96)


def test_homes_without_a_template_are_refused() -> None:
    with pytest.raises(ScenarioError, match="generated_homes: needed to set the number of homes"):
        load(ROOT / "scripts" / "scenarios" / "neighbourhood.yaml", homes=10)


@pytest.mark.parametrize(("day", "intervals"), [("2026-03-29", 92), ("2026-10-25", 100), ("2026-04-16", 96)])
def test_clock_change_days_are_shorter_and_longer(tmp_path: Path, day: str, intervals: int) -> None:
    scenario = read(tmp_path, SMALL.replace("2026-04-16", day))
    assert len(scenario.delivery_intervals()) == intervals


def test_tariff_window_holds_until_the_next_one_starts(tmp_path: Path) -> None:
    tariff = read(tmp_path, SMALL).tariff
    minutes = (0, 17 * 60 - 1, 17 * 60, 24 * 60 - 1)
    assert [tariff.short_price_micro_per_kwh(m) for m in minutes] == [150_000, 150_000, 250_000, 250_000]


def test_connection_capacity_in_milliwatt_hours_is_whole(tmp_path: Path) -> None:
    scenario = read(tmp_path, SMALL)
    assert scenario.capacity_milli_wh(scenario.participants[0]) == 17_250_000 // 4


def test_topology_puts_parents_before_children_and_connections_last() -> None:
    scenario = load(ROOT / "scripts" / "scenarios" / "homes.yaml", homes=60)
    topology = build_topology(scenario)
    n_nodes = len(topology.ids)
    assert topology.parent[0] == -1
    assert (topology.parent[1:] < np.arange(1, n_nodes)).all()
    assert topology.kinds.count("connection") == 60
    assert (topology.import_cap_w[topology.node_of_participant] == 17_250).all()
    third_cable = topology.ids.index("cable-0003")
    assert (topology.parent[topology.node_of_participant[50:]] == third_cable).all()


NEIGHBOUR = """\
  - id: ben
    name: Ben
    kind: home
    node: feeder
    group: club
    connection_capacity_w: 17_250
    deposit_credits: 50
    load: {profile: H0-B, yearly_kwh: 3_500}
    strategy: {%s}
events:"""


def test_wishes_become_numbers_of_accounts_and_groups(tmp_path: Path) -> None:
    text = SMALL.replace("name: Anna", "name: Anna\n    group: club")
    wish = "prefers_partner: anna, prefers_group: club, prefers_source: storage"
    scenario = read(tmp_path, text.replace("events:", NEIGHBOUR % wish))
    assert wishes.groups(scenario) == ["club"]
    assert wishes.member_of(scenario) == [1, 1]
    assert wishes.wishes(scenario, 2) == [NO_WISH, Wish(Source.STORAGE, partner=2, group=1)]


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ("prefers_partner: ben", "expected the id of another participant, got 'ben'"),
        ("prefers_partner: zoe", "expected the id of another participant, got 'zoe'"),
        ("prefers_group: club", "expected a group with another member, got 'club'"),
        ("prefers_source: solar", "expected what another participant has, got 'solar'"),
    ],
)
def test_a_wish_that_nobody_can_meet_is_a_mistake(tmp_path: Path, wish: str, told: str) -> None:
    (mistake,) = mistakes(tmp_path, SMALL.replace("events:", NEIGHBOUR % wish))
    assert told in mistake


def test_only_connections_with_nothing_but_storage_owe_levies_net_of_what_they_feed_back(
    tmp_path: Path,
) -> None:
    text = SMALL.replace("name: Anna", "name: Anna\n    levies: net_of_fed_back")
    (mistake,) = mistakes(tmp_path, text)
    assert "participants[0].levies: expected import: one meter cannot tell" in mistake
    alone = read(tmp_path, text.replace("    load: {profile: H0-A, yearly_kwh: 3_500}\n", ""))
    assert alone.participants[0].levies == "net_of_fed_back"


DEEP = SMALL.replace(
    "participants:",
    "  - {id: street, parent: feeder, import_cap_w: 9e3, export_cap_w: 9e3, grid_fee_micro_per_kwh: 7}\n"
    "  - {id: yard, parent: street, import_cap_w: 9e3, export_cap_w: 9e3}\nparticipants:",
    1,
)


def test_grid_fees_by_level_and_a_nodes_own_add_up(tmp_path: Path) -> None:
    market = "market: {mechanism: network, grid_fee_by_level_micro_per_kwh: [500, 30], "
    scenario = read(tmp_path, DEEP.replace("market: {", market))
    assert [(zone.node, zone.fee_micro_per_kwh) for zone in price_zones(scenario)] == [
        ("feeder", 0),
        ("street", 507),
        ("yard", 30),
    ]


@pytest.mark.parametrize(
    ("market", "told"),
    [
        ("mechanism: network, grid_fee_by_level_micro_per_kwh: [5]", ["a fee for each of 2 levels"]),
        ("grid_fee_by_level_micro_per_kwh: [5, 5]", ["expected none", "expected none"]),
        ("mechanism: uniform", ["network[1].grid_fee_micro_per_kwh: expected none"]),
    ],
)
def test_grid_fees_that_nobody_would_pay_are_mistakes(tmp_path: Path, market: str, told: list[str]) -> None:
    found = mistakes(tmp_path, DEEP.replace("market: {", f"market: {{{market}, "))
    assert len(found) == len(told)
    for words, mistake in zip(told, found, strict=True):
        assert words in mistake
