"""Lines, taps and voltage-dependent loads at the scenario's door: what fits, and every contradiction with its place."""

from pathlib import Path

import pytest

from node.scenario import ScenarioError, load

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "scripts" / "scenarios" / "voltage.yaml").read_text(encoding="utf-8")


def mistakes(tmp_path, old, new):
    assert old in TEXT
    path = tmp_path / "s.yaml"
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load(path)
    return "\n".join(caught.value.lines)


def test_the_lane_is_what_its_description_says():
    scenario = load(ROOT / "scripts" / "scenarios" / "voltage.yaml")
    homes = [person for person in scenario.participants if person.kind == "home"]
    assert len(scenario.participants) == 16
    assert {home.phase for home in homes} == {"a", "b", "c"}
    assert sum(person.solar is not None for person in scenario.participants) == 8
    assert all(home.load.thermostatic is not None for home in homes)
    assert scenario.voltage.taps.highest - scenario.voltage.taps.lowest + 1 == 9


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (",\n     line: {r_ohm_per_km: 1.3207, x_ohm_per_km: 0.321, length_m: 60}", "", "a line to the parent"),
        ("lowest: -6, highest: 2", "lowest: 1, highest: 2", "lowest <= home <= highest"),
        ("step_pu: 0.0125, lowest: -6", "step_pu: 0.1, lowest: -6", "half the voltage"),
        ("load_loss_pu: 0.0147", "load_loss_pu: 0.05", "at most short_circuit_pu"),
        ("impedance_pu: 0.4\n      current_pu: 0.2", "impedance_pu: 0.9\n      current_pu: 0.2", "at most 1 together"),
        ("phase: a", "phase: x", "phase"),
        ("length_m: 150", "length_m: 0", "length_m"),
        (
            "export_cap_w: 110_000}",
            "export_cap_w: 110_000, line: {r_ohm_per_km: 1.0, x_ohm_per_km: 0.1, length_m: 9}}",
            "the root hangs at the transformer",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_place(tmp_path, old, new, said):
    text = mistakes(tmp_path, old, new)
    assert said in text
    assert "s.yaml:" in text


def test_lines_phases_and_services_need_a_section_voltage(tmp_path):
    section = TEXT[TEXT.index("voltage:\n  source") : TEXT.index("# Cables of")]
    text = mistakes(tmp_path, section, "")
    assert text.count("expected a section voltage") == 7 + 12 + 16
