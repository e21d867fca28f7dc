"""Modelled roofs: the sun of their place and day, in the steps of the scenario."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from node import profiles
from node.profiles.roofs import power_w
from node.scenario import Solar, SolarRoof, load
from node.scenario.shipped import scenario_path

START_S = 1_776_290_400  # 2026-04-16 00:00 in Berlin
DAY_S = 86_400
PLACE = {"latitude_deg": 52.52, "longitude_deg": 13.40, "tilt_deg": 15, "dc_peak_w": 24_000}


def roof(**changes):
    return SolarRoof(**(PLACE | {"azimuth_deg": 180} | changes))


def day_w(step_s=900, inverter_w=20_000.0, **changes):
    return power_w(roof(**changes), inverter_w, START_S, START_S + DAY_S, step_s)


def test_the_sun_shines_by_day_is_highest_at_solar_noon_and_the_inverter_limits_it():
    sun = day_w()
    hours = np.arange(96) / 4 + 0.125
    assert np.all(sun[(hours < 5) | (hours > 21)] == 0) and np.all(sun[(hours > 8) & (hours < 18)] > 0)
    # Solar noon: 12:00 UTC - 13.4 degrees * 4 min = 11:06 UTC, the equation of time is about nil in mid-April: 13:06.
    assert np.sum(hours * sun) / sun.sum() == pytest.approx(13.1, abs=0.1)
    assert day_w(inverter_w=8_000.0).max() == pytest.approx(8_000.0, rel=1e-6)


def test_a_roof_to_the_east_has_its_sun_earlier_and_one_to_the_north_less():
    hours = np.arange(96) / 4
    east, south, north = (day_w(azimuth_deg=a, tilt_deg=30) for a in (90, 180, 0))
    assert np.sum(hours * east) / east.sum() < np.sum(hours * south) / south.sum() - 0.5
    assert north.sum() < east.sum() < south.sum()


def test_long_steps_are_the_means_of_their_parts():
    parts = day_w(step_s=300)
    for step_s in (900, 3_600):
        np.testing.assert_allclose(day_w(step_s=step_s), parts.reshape(-1, step_s // 300).mean(axis=1))


def test_a_roof_is_part_of_the_shipped_data_centre():
    scenario = load(scenario_path("datacenter"))
    row = next(i for i, p in enumerate(scenario.participants) if p.id == "roof")
    sun = profiles.load(scenario).solar_w[row]
    assert sun.size == 15 * 96 and 10_000 < sun.max() <= 20_000


@pytest.mark.parametrize("fields", [{}, {"profile": "PV3", "roof": PLACE | {"azimuth_deg": 180}}])
def test_solar_has_a_profile_or_a_roof(fields):
    with pytest.raises(ValidationError, match="exactly one of profile, roof"):
        Solar.model_validate_json(json.dumps({"peak_w": 5_000} | fields))
