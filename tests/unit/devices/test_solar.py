"""Solar: closed forms of each step, geometry, energy of a clear day, refusals."""

import dataclasses

import numpy as np
import pytest

from devices.errors import BadInput, BadSpecification
from devices.solar import (
    Roof,
    Weather,
    available_w,
    cell_temperature_c,
    clear_sky,
    dc_power_w,
    inverter_w,
    plane_irradiance,
)

MUNICH = Roof("munich", 48.1, 11.6, 35.0, 180.0, 10_000.0, 8_000.0, altitude_m=520.0)
JUNE_DAY = 1_687_305_600.0 + 900.0 * (np.arange(96) + 0.5)  # 2023-06-21 UTC, middles of quarter hours
DECEMBER_DAY = 1_703_116_800.0 + 900.0 * (np.arange(96) + 0.5)  # 2023-12-21


def test_cell_temperature_and_power_follow_their_closed_forms() -> None:
    g, air, wind = np.asarray([800.0]), np.asarray([20.0]), np.asarray([2.0])
    cell = cell_temperature_c(g, air, wind)
    assert cell[0] == pytest.approx(20.0 + 800.0 / (25.0 + 6.84 * 2.0))
    dc = dc_power_w(10_000.0, g, cell)
    assert dc[0] == pytest.approx(10_000.0 * 0.8 * (1.0 - 0.004 * (cell[0] - 25.0)) * 0.86)


def test_inverter_efficiency_depends_on_load_and_clips_at_its_rating() -> None:
    rated = 5_000.0
    dc0 = rated / 0.96
    dc = np.asarray([0.0, 0.1 * dc0, 0.5 * dc0, 2.0 * dc0])
    zeta = dc[1:3] / dc0
    expected = (-0.0162 * zeta - 0.0059 / zeta + 0.9858) * 0.96 / 0.9637 * dc[1:3]
    got = inverter_w(dc, rated)
    assert got[0] == 0.0 and got[3] == rated
    np.testing.assert_allclose(got[1:3], expected)


def test_a_flat_roof_sees_the_global_horizontal_irradiance() -> None:
    flat = dataclasses.replace(MUNICH, tilt_deg=0.0)
    weather = clear_sky(flat, JUNE_DAY)
    plane, _ = plane_irradiance(flat, weather)
    day = weather.ghi_w_per_m2 > 50.0
    np.testing.assert_allclose(plane[day], weather.ghi_w_per_m2[day], rtol=0.02)


def test_nights_are_dark_and_power_never_exceeds_the_inverter() -> None:
    weather = clear_sky(MUNICH, JUNE_DAY)
    power = available_w(MUNICH, weather)
    hour = (JUNE_DAY % 86_400.0) / 3600.0
    assert not power[(hour < 2.5) | (hour > 21.0)].any()
    assert power.max() <= 8_000.0
    assert (power >= 0.0).all()


def test_noon_is_when_the_sun_passes_the_meridian() -> None:
    """Longitude 11.6° E: 12 h - 11.6/15 h = 11.23 h UTC, equation of time of two minutes aside."""
    small = dataclasses.replace(MUNICH, dc_peak_w=4_000.0)
    power = available_w(small, clear_sky(small, JUNE_DAY))
    hour = (JUNE_DAY % 86_400.0) / 3600.0
    centre = float((hour * power).sum() / power.sum())
    assert centre == pytest.approx(11.26, abs=0.1)


def test_summer_beats_winter_and_south_beats_north_and_east_comes_before_west() -> None:
    june = clear_sky(MUNICH, JUNE_DAY)
    south = available_w(MUNICH, june).sum()
    assert south > 2.0 * available_w(MUNICH, clear_sky(MUNICH, DECEMBER_DAY)).sum()
    north = dataclasses.replace(MUNICH, azimuth_deg=0.0)
    december = clear_sky(MUNICH, DECEMBER_DAY)
    assert available_w(MUNICH, december).sum() > 4.0 * available_w(north, december).sum()
    east, west = (available_w(dataclasses.replace(MUNICH, azimuth_deg=a), june) for a in (90.0, 270.0))
    assert np.argmax(east) < np.argmax(west)
    assert 5.0 < south * 0.25 / 10_000.0 < 8.0  # kWh per kWp on a clear June day in Munich


@pytest.mark.parametrize(
    "change",
    [
        {"latitude_deg": 91.0},
        {"tilt_deg": -1.0},
        {"azimuth_deg": 400.0},
        {"dc_peak_w": 0.0},
        {"inverter_w": np.inf},
    ],
)
def test_an_impossible_roof_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(BadSpecification, match="munich"):
        dataclasses.replace(MUNICH, **change)


def test_weather_with_gaps_or_negative_sun_is_refused() -> None:
    good = clear_sky(MUNICH, JUNE_DAY)
    bad = good.ghi_w_per_m2.copy()
    bad[7] = np.nan
    with pytest.raises(BadInput, match="ghi_w_per_m2 at row 7"):
        dataclasses.replace(good, ghi_w_per_m2=bad)
    with pytest.raises(BadInput, match="shape"):
        dataclasses.replace(good, air_c=np.zeros(3))
    assert isinstance(good, Weather)
