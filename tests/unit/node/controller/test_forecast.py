"""Forecasts find what repeats, follow what ramps, and are silent where they know less than persistence."""

import numpy as np
import pytest

from devices.checkpoint import from_bytes, to_bytes
from node.controller.errors import InvalidRequest
from node.controller.forecast import ForecastTerms, LoadForecast, Model, begin, observe, predict

TERMS = ForecastTerms(300, 6)


def after(loads, terms=TERMS, first=0):
    """Return the memory after a series, (n_steps,) or (n_steps, n), and the number of its last step."""
    loads = np.atleast_2d(np.asarray(loads, float).T).T
    memory = begin(loads[0], terms)
    for k in range(1, len(loads)):
        memory = observe(memory, loads[k], first + k, terms)
    return memory, first + len(loads) - 1


def hourly_job(n_steps):
    """4 kW, and 6 kW in the second slot of every hour."""
    return np.where(np.arange(n_steps) % 12 == 1, 6_000.0, 4_000.0)


def test_a_job_that_comes_every_hour_is_expected_before_it_comes():
    memory, last = after(hourly_job(12 * 24))  # the last step is number 287: the job comes in two
    ahead = predict(memory, last)
    assert ahead.expected_w[:, 0] == pytest.approx([4_000, 6_000, 4_000, 4_000, 4_000, 4_000], abs=1.0)
    assert np.all(ahead.model[[0, 1, 2], 0] != Model.PERSISTENCE)
    assert ahead.upper_w[1, 0] >= 6_000.0 - 1.0


def test_a_ramp_is_followed_exactly_in_the_long_run():
    # Holt: after a long ramp of 5 W a step, level and slope are the ramp's own.
    memory, last = after(5.0 * np.arange(400), ForecastTerms(1, 10))
    ahead = predict(memory, last)
    assert memory.trend_w[0] == pytest.approx(5.0, rel=1e-6)
    assert ahead.model[9, 0] == Model.TREND
    assert ahead.expected_w[:, 0] == pytest.approx(5.0 * (399 + np.arange(1, 11)), rel=1e-6)


def test_what_differs_from_yesterday_fades_at_the_rate_the_load_showed():
    # Residuals of an AR(1) process around a daily profile: phi is found within its standard error.
    rng = np.random.default_rng(5)
    phi, n = 0.8, 288 * 20
    noise = np.zeros(n)
    for k in range(1, n):
        noise[k] = phi * noise[k - 1] + rng.normal(0, 50)
    day = 4_000 + 1_000 * np.sin(2 * np.pi * np.arange(n) / 288)
    memory, _ = after(day + noise)
    assert memory.cross_w2[1, 0] / memory.own_w2[1, 0] == pytest.approx(phi, abs=0.15)


def test_the_gate_falls_back_to_persistence_where_the_models_are_worse():
    walk = 5_000 + np.cumsum(np.random.default_rng(1).normal(0, 30, 288 * 10))
    memory, last = after(walk)
    ahead = predict(memory, last)
    assert ahead.model[0, 0] == Model.PERSISTENCE
    assert ahead.expected_w[0, 0] == walk[-1]


def test_no_model_speaks_before_it_was_tested():
    memory, last = after(hourly_job(20))
    assert np.all(predict(memory, last).model == Model.PERSISTENCE)


def test_gated_errors_are_at_most_a_tenth_worse_than_persistence_on_any_of_the_shipped_servers():
    from zoneinfo import ZoneInfo

    from node.profiles import servers

    begin_s = 1_774_821_600
    loads = np.stack(
        [
            servers.power_pu(name, begin_s, begin_s + 10 * 86_400, 300, ZoneInfo("Europe/Berlin"), weeks)
            * 6e3
            for name in servers.servers().names
            for weeks in (0, 2)
        ],
        axis=1,
    )
    memory, numbers = begin(loads[0], TERMS), begin_s // 300 + np.arange(len(loads))
    model, naive = [], []
    for k in range(1, len(loads) - 1):
        memory = observe(memory, loads[k], int(numbers[k]), TERMS)
        if k > 288:
            model.append(predict(memory, int(numbers[k])).expected_w[0] - loads[k + 1])
            naive.append(loads[k] - loads[k + 1])
    ratio = np.sqrt(np.mean(np.square(model), axis=0) / np.mean(np.square(naive), axis=0))
    assert np.all(ratio < 1.1)
    # The server with the hourly job: known ahead where persistence knows nothing.
    assert ratio[1] < 0.3


def test_the_upper_edge_covers_what_the_spread_says():
    rng = np.random.default_rng(3)
    loads = 4_000 + rng.normal(0, 100, 288 * 8)
    memory, over = begin(loads[:1], TERMS), []
    for k in range(1, len(loads) - 1):
        memory = observe(memory, loads[k : k + 1], k, TERMS)
        if k > 288:
            over.append(loads[k + 1] > predict(memory, k).upper_w[0, 0])
    # 0.82 % of normal errors lie beyond 2.4 standard deviations; where the last five were large the edge is wider.
    assert 0.002 < np.mean(over) <= 0.0082 * 1.5


def test_the_upper_edge_widens_at_once_after_a_surprise_and_narrows_within_two_hours():
    calm = 4_000 + 20 * np.sin(np.arange(400) * 1.7)
    memory, last = after(calm)
    width = predict(memory, last).upper_w[0, 0] - predict(memory, last).expected_w[0, 0]
    memory = observe(memory, np.array([5_000.0]), last + 1, TERMS)
    wide = predict(memory, last + 1)
    assert wide.upper_w[0, 0] - wide.expected_w[0, 0] > 5 * width
    # A fifth of what is left fades with every step: after 20 quiet ones the burst is below the long spread.
    for k in range(2, 22):
        memory = observe(memory, np.array([4_000.0]), last + k, TERMS)
    assert np.all(memory.burst_w2[Model.HOURLY, 0] < memory.square_w2[Model.HOURLY, 0])


def test_the_same_loads_give_the_same_bytes_and_a_checkpoint_continues():
    loads = hourly_job(200)
    whole, _ = after(loads)
    half, last = after(loads[:100])
    resumed = from_bytes(LoadForecast, to_bytes(half))
    for k in range(last + 1, 200):
        resumed = observe(resumed, loads[k : k + 1], k, TERMS)
    assert to_bytes(resumed) == to_bytes(whole)


@pytest.mark.parametrize(("step_s", "n_ahead"), [(0, 6), (700, 6), (300, 0)])
def test_terms_without_sense_are_refused(step_s, n_ahead):
    with pytest.raises(InvalidRequest, match="forecast terms"):
        ForecastTerms(step_s, n_ahead)
