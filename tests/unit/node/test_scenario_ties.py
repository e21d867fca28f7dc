"""What a scenario may not ask of ties, islands and generators."""

from pathlib import Path

from node.scenario import load
from node.scenario.consistency import find_mistakes

SCENARIOS = Path(__file__).parents[3] / "scripts" / "scenarios"


def mistakes(**changes):
    scenario = load(SCENARIOS / "datacenter.yaml").model_copy(update=changes)
    return [(mistake.location, mistake.message) for mistake in find_mistakes(scenario)]


def ties(**changes):
    found = load(SCENARIOS / "datacenter.yaml").ties
    return found.model_copy(update=changes)


def cable(*between):
    return ties().cables[0].model_copy(update={"between": between})


def test_the_shipped_data_centre_is_in_order():
    assert mistakes() == []


def test_cables_join_two_different_participants():
    where = ("ties", "cables", 0, "between")
    assert mistakes(ties=ties(cables=(cable("rack-a1", "nobody"),))) == [
        (where, "expected ids of participants, got 'nobody'")
    ]
    assert mistakes(ties=ties(cables=(cable("rack-a1", "rack-a1"),))) == [
        (where, "expected two different participants")
    ]


def test_power_is_moved_within_the_step_before():
    assert mistakes(ties=ties(lead_s=300.0)) == [
        (("ties", "lead_s"), "expected less than the load step of 300 s")
    ]


def test_forecasts_need_steps_that_divide_an_hour():
    assert mistakes(load_step_s=1_000) == [
        (("load_step_s",), "expected a divisor of interval_s = 900"),
        (("load_step_s",), "expected a divisor of an hour for forecasts of tied racks, got 1000"),
    ]


def test_a_generator_needs_a_plan_and_an_island_has_one():
    assert mistakes(ride_through=None) == [
        (("ride_through",), "expected ride_through: without its plan nothing starts a generator")
    ]
    grids = load(SCENARIOS / "blackout.yaml").microgrids
    assert grids
    assert (("ride_through",), "expected no microgrids beside it: an island follows one plan") in mistakes(
        microgrids=grids
    )
