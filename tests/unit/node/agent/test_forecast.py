"""Forecasts from the past alone: seasonal naive, carried errors, expected prices."""

import numpy as np
import pytest

from node.agent.strategy import (
    InvalidOutlook,
    carry_load_error,
    carry_solar_ratio,
    expected_load_and_solar,
    expected_price,
    seasonal_naive,
    similar_net,
)

PER_DAY = 4


def numbered_days(n_days):
    """Day d, interval i measures 100 d + i."""
    return (100.0 * np.arange(n_days)[:, None] + np.arange(PER_DAY)).reshape(1, -1)


def test_an_interval_is_the_mean_of_yesterday_and_last_week():
    forecast = seasonal_naive(numbered_days(8), np.zeros((1, PER_DAY)), PER_DAY, PER_DAY)
    # today is day 8: yesterday is day 7, last week day 1
    assert forecast[0].tolist() == [400.0 + i for i in range(PER_DAY)]


def test_beyond_one_day_the_newest_known_day_stands_in():
    forecast = seasonal_naive(numbered_days(3), np.zeros((1, 2 * PER_DAY)), 2 * PER_DAY, PER_DAY, (1,))
    assert forecast[0].tolist() == [200, 201, 202, 203] * 2


def test_without_history_the_typical_profile_stands_in():
    typical = np.array([[5.0, 6.0, 7.0, 8.0]])
    assert seasonal_naive(np.empty((1, 0)), typical, PER_DAY, PER_DAY).tolist() == typical.tolist()


def test_a_missing_reading_does_not_count():
    history = numbered_days(8)
    history[0, 7 * PER_DAY] = np.nan
    forecast = seasonal_naive(history, np.zeros((1, PER_DAY)), PER_DAY, PER_DAY)
    assert forecast[0, 0] == 100.0


def test_a_day_that_started_in_the_middle_is_matched_by_interval_not_by_midnight():
    history = numbered_days(2)[:, :-1]
    forecast = seasonal_naive(history, np.zeros((1, 2)), 2, PER_DAY, (1,))
    assert forecast[0].tolist() == [3.0, 100.0]


def test_a_typical_profile_of_another_length_is_refused():
    with pytest.raises(InvalidOutlook, match="typical_wh has shape"):
        seasonal_naive(np.zeros((1, 8)), np.zeros((1, 3)), 4, PER_DAY)


def test_a_load_error_fades_and_never_makes_load_negative():
    corrected = carry_load_error(np.full((2, 3), 100.0), np.array([300.0, 0.0]), np.array([100.0, 300.0]))
    assert corrected[0] == pytest.approx([100 + 200 * 0.65, 100 + 200 * 0.65**2, 100 + 200 * 0.65**3])
    assert corrected[1, 0] == 0.0


def test_an_unknown_error_changes_nothing():
    forecast = np.full((1, 3), 100.0)
    assert carry_load_error(forecast, np.array([np.nan]), np.array([50.0])).tolist() == forecast.tolist()
    assert carry_solar_ratio(forecast, np.array([np.nan]), np.array([50.0])).tolist() == forecast.tolist()


def test_clouds_scale_the_sun_and_night_stays_night():
    forecast = np.array([[100.0, 0.0], [100.0, 0.0]])
    corrected = carry_solar_ratio(forecast, np.array([50.0, 7.0]), np.array([100.0, 0.0]))
    assert corrected[0] == pytest.approx([100 * (1 - 0.5 * 0.95), 0.0])
    assert corrected[1].tolist() == [100.0, 0.0]


def test_the_newest_price_weighs_most_and_hours_without_trade_do_not_count():
    past = np.array([100.0, np.nan, 300.0, np.nan])  # two days of two intervals
    price = expected_price(past, 2, per_day=2, memory=0.5)
    assert price[0] == pytest.approx((0.5 * 300 + 0.25 * 100) / 0.75)
    assert np.isnan(price[1])


def test_nothing_is_expected_before_the_first_auction():
    assert np.isnan(expected_price(np.empty(0), 3)).all()


def test_similar_times_are_a_day_and_a_week_ago_and_an_interval_before_and_after():
    expected = seasonal_naive(numbered_days(8), np.zeros((1, PER_DAY)), PER_DAY, PER_DAY)
    samples = similar_net(numbered_days(8), expected, PER_DAY)
    assert samples.shape == (6, 1, PER_DAY)
    # interval 1 of day 8: day 7 and day 1, intervals 0 to 2
    assert sorted(samples[:, 0, 1].tolist()) == [100, 101, 102, 700, 701, 702]
    # its last interval has the first of the next day beside it, which for day 7 is still to come: day 7's stands in
    assert sorted(samples[:, 0, 3].tolist()) == [102, 103, 200, 700, 702, 703]


def test_what_the_forecast_has_learnt_since_moves_all_samples():
    naive = seasonal_naive(numbered_days(8), np.zeros((1, 1)), 1, PER_DAY)
    moved = similar_net(numbered_days(8), naive + 50.0, PER_DAY)
    assert (moved - similar_net(numbered_days(8), naive, PER_DAY) == 50.0).all()


def test_times_that_nobody_measured_are_no_samples():
    assert np.isnan(similar_net(np.empty((1, 0)), np.ones((1, 2)), PER_DAY)).all()
    one_day = similar_net(numbered_days(1), np.ones((1, 1)), PER_DAY)
    # before its first interval there is none
    assert one_day[np.isfinite(one_day)].tolist() == [1.0, 2.0]


def test_accounts_without_history_expect_a_base_load_and_no_sun_and_errors_are_carried_on():
    load, solar = expected_load_and_solar(np.empty((1, 0)), np.empty((1, 0)), 2, PER_DAY)
    assert load.tolist() == [[300.0, 300.0]]
    assert solar.tolist() == [[0.0, 0.0]]
    day = np.array([[100.0, 100.0, 100.0, 100.0]])
    # the newest interval used 100 more and shone half as much as the same one the day before
    past_load = np.hstack([day, day + np.array([[100.0]])[:, :1]])[:, :5]
    past_solar = np.hstack([day, [[50.0]]])
    load, solar = expected_load_and_solar(past_load, past_solar, 1, PER_DAY)
    assert load[0, 0] == pytest.approx(100.0 + 0.65 * 100.0)
    assert solar[0, 0] == pytest.approx(100.0 * (1.0 - 0.5 * 0.95))
