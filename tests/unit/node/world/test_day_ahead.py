"""What the controller expects of a day: the same day of the week before, device by device."""

from datetime import UTC, datetime

import numpy as np

from node import profiles
from node.scenario import load
from node.world import plant as plants
from node.world.day_ahead import expected_day
from tests.simulation.conftest import CORNER


def test_a_day_is_expected_as_it_was_a_week_before():
    scenario = load(CORNER)
    plant, known = plants.build(scenario), profiles.load(scenario)
    interval = scenario.delivery_intervals().start + 9
    ahead = expected_day(plant, known, interval)
    assert (ahead.at, ahead.load_w.shape) == (9, (24, plant.fleet.n_devices))
    assert ahead.day == datetime(2026, 4, 16, tzinfo=UTC).toordinal()
    week_before = plant.inputs(known, interval - 7 * 24).steps[0]
    np.testing.assert_array_equal(ahead.load_w[9], week_before.load_demand_w)
    np.testing.assert_array_equal(ahead.solar_w[9], week_before.solar_available_w)
    # Not what will be: that nobody knows.
    assert not np.array_equal(ahead.load_w[9], plant.inputs(known, interval).steps[0].load_demand_w)


def test_without_history_nothing_is_expected_to_change():
    scenario = load(CORNER)
    plant, known = plants.build(scenario), profiles.load(scenario, history_days=0)
    interval = scenario.delivery_intervals().start + 9
    ahead = expected_day(plant, known, interval)
    now = plant.inputs(known, interval).steps[0].load_demand_w
    np.testing.assert_array_equal(ahead.load_w, np.tile(now, (24, 1)))
