"""PJM's score: one for a perfect answer, less for a late, noisy or absent one."""

import numpy as np
import pytest

from devices.frequency_response import LINEAR_DROOP
from market.errors import SettlementError
from market.flexibility_score import performance
from node.profiles.frequency import recorded_day_pu

RNG = np.random.default_rng(7)
SIGNAL = np.cumsum(RNG.normal(size=720))  # two hours of 10 s


def test_a_perfect_answer_scores_one():
    got = performance(SIGNAL, SIGNAL)
    assert (got.accuracy, got.delay, got.precision) == pytest.approx((1.0, 1.0, 1.0))
    assert got.score == pytest.approx(1.0)


def test_an_answer_late_by_k_samples_loses_k_thirtieths_of_the_delay_score():
    for late in (1, 6, 15):
        shifted = np.concatenate([np.zeros(late), SIGNAL[:-late]])
        got = performance(SIGNAL, shifted)
        assert got.delay == pytest.approx(1.0 - late / 30, abs=0.005)  # by the manual's formula
        assert got.accuracy == pytest.approx(1.0, abs=0.005)
        assert got.score < performance(SIGNAL, SIGNAL).score


def test_precision_is_the_mean_error_over_the_hours_mean_signal():
    signal = np.tile([1.0, -1.0], 360)
    got = performance(signal, 0.9 * signal)  # by hand: error 0.1 of a mean of 1
    assert got.precision == pytest.approx(0.9)
    assert got.accuracy == pytest.approx(1.0)


def test_no_answer_scores_nothing():
    got = performance(SIGNAL, np.zeros_like(SIGNAL))
    assert (got.accuracy, got.delay) == (0.0, 0.0)
    assert got.precision == pytest.approx(0.0, abs=1e-9)


def test_the_opposite_of_what_was_asked_is_no_accuracy():
    assert performance(SIGNAL, -SIGNAL).precision == 0.0
    assert performance(SIGNAL, -SIGNAL).score < 0.5


def test_a_constant_signal_is_scored_by_slope():
    ones = np.ones(360)
    assert performance(ones, ones).score == pytest.approx(1.0)
    drifting = ones + np.linspace(0, 1, 360)
    got = performance(ones, drifting)  # by hand: slope 1/359 a sample, 30 samples a window
    assert got.accuracy == pytest.approx(1.0 - 30 / 359, abs=1e-6)


def test_hours_without_a_request_count_for_nothing():
    signal = np.concatenate([SIGNAL[:360], np.zeros(720)])
    assert performance(signal, signal).score == pytest.approx(1.0, abs=1e-9)
    assert performance(np.zeros(720), np.zeros(720)) is None


def test_on_a_real_frequency_day_ten_seconds_of_delay_cost_score():
    # A droop's answer to the shipped day, sampled every 10 s: at once, and one sample late.
    signal = LINEAR_DROOP.response_pu(recorded_day_pu() * 50.0)[::10]
    at_once = performance(signal, 0.99 * signal)
    late = performance(signal, np.concatenate([np.zeros(1), 0.99 * signal[:-1]]))
    assert at_once.score >= 0.95
    assert late.score < at_once.score - 0.05
    assert late.delay == pytest.approx(1.0 - 1 / 30, abs=0.01)


@pytest.mark.parametrize(
    ("signal", "response"),
    [(np.ones(59), np.ones(59)), (np.ones(80), np.ones(81)), (np.full(80, np.nan), np.ones(80))],
)
def test_series_that_cannot_be_scored_are_refused(signal, response):
    with pytest.raises(SettlementError):
        performance(signal, response)
