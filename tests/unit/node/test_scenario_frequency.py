"""What a scenario's frequency section refuses, with place and reason."""

from pathlib import Path

import pytest

from node.scenario import ScenarioError, load

TEXT = (Path(__file__).parents[3] / "scripts" / "scenarios" / "swarm.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("start: 15:00", "start: 12:30", "one at a time"),
        ("start: 15:00", "start: 15:10", "expected a border"),
        ("start: 01:00", "start: 00:30", "two delivery intervals before it"),
        ("id: regulation-evening", "id: containment", "expected a new name"),
        ("id: regulation-evening", "id: morning-peak", "expected a new name"),
        ("members: [valley-battery, mill-battery, mill-wheel]", "members: [nobody]", "the id of a participant"),
        ("simulated_s: 480", "simulated_s: 1_790", "expected to end inside its interval"),
        ("loss_pu: 0.10", "loss_pu: 2", "less than or equal to 1"),
        ("split: shapley", "split: by_age", "shapley"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(tmp_path, old, new, says):
    assert old in TEXT
    path = tmp_path / "wrong.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ScenarioError, match=says):
        load(path)


def test_a_buyer_brings_at_most_what_its_services_can_cost():
    frequency = load(Path(__file__).parents[3] / "scripts" / "scenarios" / "swarm.yaml").frequency
    # By hand: 15 kW x 0.5 h x 0.4 credits; 12 kW x 21 h x 0.02 credits; in pico-credits.
    assert frequency.budget_pico(1_800, "up") == 3 * 10**12
    assert frequency.budget_pico(1_800, "both") == 5_040 * 10**9
