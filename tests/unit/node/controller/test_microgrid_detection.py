"""Detection: clearing times of IEEE 1547-2018, islands within two seconds, and no trip on measured ordinary days."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from node.controller.microgrid_detection import (
    DETECTION_LIMIT_S,
    IEEE_1547_CATEGORY_II,
    Cause,
    Trip,
    detect,
    drift,
)

DATA = Path(__file__).parents[3] / "data" / "frequency"
WHOLE = Path(os.environ.get("SYMGRID_DATA", "")) / "frequency"


def steps(*spans, rate_hz=100):
    """Return samples of (duration, v, f) spans."""
    v = np.concatenate([np.full(round(s * rate_hz), v) for s, v, _ in spans])
    f = np.concatenate([np.full(round(s * rate_hz), f) for s, _, f in spans])
    return np.arange(v.size) / rate_hz, v, f


def columns(path, **options):
    with gzip.open(path, "rt") as text:
        return np.genfromtxt(text, delimiter=",", **options).T


@pytest.mark.parametrize(
    ("v", "f", "cause", "after_s"),
    [
        (0.0, 50.0, Cause.UNDERVOLTAGE, 0.16),
        (0.44, 50.0, Cause.UNDERVOLTAGE, 0.16),
        (0.69, 50.0, Cause.UNDERVOLTAGE, 10.0),
        (1.11, 50.0, Cause.OVERVOLTAGE, 2.0),
        (1.21, 50.0, Cause.OVERVOLTAGE, 0.16),
        (1.0, 46.4, Cause.UNDERFREQUENCY, 0.16),
        (1.0, 48.4, Cause.UNDERFREQUENCY, 300.0),
        (1.0, 51.3, Cause.OVERFREQUENCY, 300.0),
        (1.0, 52.1, Cause.OVERFREQUENCY, 0.16),
    ],
)
def test_each_window_trips_after_its_clearing_time(v, f, cause, after_s):
    bands = tuple(w for w in IEEE_1547_CATEGORY_II if w.cause is not Cause.RATE_OF_CHANGE)
    found = detect(*steps((1.0, 1.0, 50.0), (after_s + 1.0, v, f)), 50.0, bands)
    assert found is not None and found.cause == cause
    assert found.at_s == pytest.approx(1.0 + after_s, abs=0.011)


def test_what_comes_back_within_the_clearing_time_starts_anew():
    dip, well = (0.15, 0.3, 50.0), (0.05, 1.0, 50.0)
    assert detect(*steps((1.0, 1.0, 50.0), *([dip, well] * 10)), 50.0) is None


def test_inside_all_windows_for_a_day_nothing_trips():
    t = np.arange(86_400.0)
    assert detect(t, np.full(t.size, 0.9), 50.0 + 1.1 * np.sin(t / 600.0), 50.0) is None


@pytest.mark.parametrize(("slope", "is_tripped"), [(2.9, False), (3.2, True)])
def test_only_what_changes_faster_than_any_grid_trips(slope, is_tripped):
    t = np.arange(0.0, 1.5, 0.01)
    hertz = 50.0 + np.clip(slope * (t - 0.3), 0.0, 1.9)  # stays below the frequency windows
    found = detect(t, np.ones_like(t), hertz, 50.0)
    assert (found == Trip(found.at_s, Cause.RATE_OF_CHANGE)) if is_tripped else found is None


@pytest.mark.parametrize("match_pu", [0.0, 0.05, 0.19, 0.25, 0.5, 0.8, 0.95, 1.0, 1.05, 1.2, 1.5, 4.0])
def test_an_island_is_found_within_two_seconds_however_well_generation_matches_load(match_pu):
    found = detect(*drift(match_pu * 10_000.0, 10_000.0, 50.0), 50.0)
    assert found is not None and found.at_s <= DETECTION_LIMIT_S


def test_an_island_without_any_load_is_found_too():
    assert detect(*drift(5_000.0, 0.0, 50.0), 50.0).cause == Cause.OVERVOLTAGE
    assert detect(*drift(0.0, 0.0, 50.0), 50.0).cause == Cause.UNDERVOLTAGE


def test_the_hardest_minutes_of_a_measured_day_trip_nothing():
    t, f, v = columns(DATA / "gmlc_day_extract.csv.gz", skip_header=1)
    for part in range(4):
        span = slice(600 * part, 600 * (part + 1))
        assert detect(t[span], v[span], 60.0 * f[span], 60.0) is None


def test_a_measured_loss_of_generation_trips_nothing():
    t, f, v = columns(DATA / "gmlc_pmu_event_extract.csv.gz", skip_header=1)
    assert f.min() == pytest.approx(59.77, abs=0.005)
    assert detect(t, v / np.median(v), f, 60.0) is None


@pytest.mark.slow
def test_the_whole_day_and_the_whole_event_trip_nothing():
    if WHOLE.is_dir():
        hour, f, _, v, _ = columns(WHOLE / "gmlc_60hz_day_1s.csv.gz")
        assert detect(np.arange(hour.size, dtype=float), v, 60.0 * f, 60.0) is None
        event = columns(WHOLE / "gmlc_pmu_event_30hz.csv.gz", skip_header=1)
        assert detect(event[0], event[1] / np.median(event[1]), event[3], 60.0) is None


def test_samples_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="rising times"):
        detect(np.array([0.0, 0.0]), np.ones(2), np.ones(2), 50.0)
    with pytest.raises(ValueError, match="one length"):
        detect(np.arange(3.0), np.ones(2), np.ones(3), 50.0)
