"""Forecasts an agent can make from its own meter and from past clearing prices, without any look ahead.

Seasonal naive: an interval will be as the same interval was, one day and one week ago. It is the yardstick of
load forecasting, needs no training, and cannot run away. Close to delivery the last measured error is
carried on, because homes that use more than usual now will do so for a while.

References
----------
R. J. Hyndman, G. Athanasopoulos, "Forecasting: Principles and Practice", 3rd ed., section 5.2.
"""

import numpy as np

from node.agent.strategy.errors import InvalidOutlook
from node.agent.strategy.outlook import Floats

# Part of the last error that is still there one quarter hour later: the lag-1 autocorrelation of seasonal-naive
# errors of sixteen homes (HAMLET data, 15 min) is 0.37 to 0.84, 0.64 on average.
LOAD_ERROR_PERSISTENCE = 0.65
# Solar error is carried on as a ratio, because clouds shade all of the day alike. On the three solar profiles of
# the same data 0.95 halves the error of the next quarter hour, from 0.46 to 0.20 of the mean.
SOLAR_RATIO_PERSISTENCE = 0.95
# A clear morning after an overcast day triples the forecast; more is an artefact of dawn.
SOLAR_RATIO_MAX = 3.0
# Weight of the newest day in the expected price; older days share the rest geometrically.
PRICE_MEMORY = 0.5
# What an account without any history expects: a small home's base load, no sun.
TYPICAL_LOAD_W = 300.0


def expected_load_and_solar(
    past_load_w: Floats, past_solar_w: Floats, ahead: int, per_day: int = 96
) -> tuple[Floats, Floats]:
    """Forecast mean power, `(n_series, ahead)` each, from what was measured `(n_series, n_past)`."""
    typical = np.full((past_load_w.shape[0], ahead), TYPICAL_LOAD_W)
    nothing = np.zeros_like(typical)
    load = seasonal_naive(past_load_w, typical, ahead, per_day)
    solar = seasonal_naive(past_solar_w, nothing, ahead, per_day)
    if past_load_w.shape[1] > 1:
        before = seasonal_naive(past_load_w[:, :-1], typical[:, :1], 1, per_day)[:, 0]
        load = carry_load_error(load, past_load_w[:, -1], before)
        before = seasonal_naive(past_solar_w[:, :-1], nothing[:, :1], 1, per_day)[:, 0]
        solar = carry_solar_ratio(solar, past_solar_w[:, -1], before)
    return load, solar


def seasonal_naive(
    history_wh: Floats,
    typical_wh: Floats,
    n_intervals: int,
    per_day: int = 96,
    lag_days: tuple[int, ...] = (1, 7),
) -> Floats:
    """Forecast `(n_series, n_intervals)` from the end of a history `(n_series, n_past)`.

    Parameters
    ----------
    history_wh : Floats
        Measured energy; the last column is the newest finished interval. NaN where no reading exists.
    typical_wh : Floats
        What a usual day looks like, `(n_series, n_intervals)`: stands in where there is no history yet.
    lag_days : tuple[int, ...]
        Which days back to average. An interval further ahead than a lag takes the newest day that is known:
        two days ago instead of one.

    Raises
    ------
    InvalidOutlook
        If the typical profile does not have the shape of the forecast.
    """
    n = history_wh.shape[0]
    if typical_wh.shape != (n, n_intervals):
        raise InvalidOutlook(f"typical_wh has shape {typical_wh.shape}: need ({n}, {n_intervals})")
    total, count = np.zeros((n, n_intervals)), np.zeros((n, n_intervals))
    for days in lag_days:
        values = _lagged(history_wh, n_intervals, days * per_day)
        is_there = np.isfinite(values)
        total += np.where(is_there, values, 0.0)
        count += is_there
    return np.where(count > 0, total / np.maximum(count, 1), typical_wh)


def similar_net(
    past_net: Floats, expected_net: Floats, per_day: int = 96, lag_days: tuple[int, ...] = (1, 7)
) -> Floats:
    """Return how net export may come instead of as expected, `(n_samples, n_series, n_intervals)`; NaN: no sample.

    The days that `seasonal_naive` averages, each also one interval earlier and later: who cooks at seven today may
    have cooked at a quarter past yesterday. What the forecast has learnt since moves all samples alike.
    """
    ahead = expected_net.shape[1]
    learnt = expected_net - seasonal_naive(past_net, expected_net, ahead, per_day, lag_days)
    return np.stack(
        [
            _lagged(past_net, ahead, days * per_day, shift) + learnt
            for days in lag_days
            for shift in (-1, 0, 1)
        ]
    )


def _lagged(history_wh: Floats, n_intervals: int, lag: int, shift: int = 0) -> Floats:
    """Return the newest known values whole lags (and a shift) before each interval ahead; NaN where none is."""
    n, past = history_wh.shape
    ahead = np.arange(n_intervals) + shift
    column = past + ahead - lag * (np.maximum(ahead, 0) // lag + 1)
    is_known = (column >= 0) & (column < past)
    values = np.full((n, n_intervals), np.nan)
    values[:, is_known] = history_wh[:, column[is_known]]
    return values


def carry_load_error(
    forecast_wh: Floats, last_measured_wh: Floats, last_forecast_wh: Floats, gap: int = 1
) -> Floats:
    """Correct a load forecast by the newest error, fading with distance.

    Parameters
    ----------
    forecast_wh : Floats
        `(n_series, n_intervals)`.
    last_measured_wh, last_forecast_wh : Floats
        Newest finished interval, measured and as forecast, `(n_series,)`; NaN: no correction.
    gap : int
        Intervals between that one and the first forecast one, 1 if they are neighbours.
    """
    error = np.nan_to_num(last_measured_wh - last_forecast_wh)
    fading = LOAD_ERROR_PERSISTENCE ** (gap + np.arange(forecast_wh.shape[1]))
    return np.maximum(forecast_wh + error[:, None] * fading[None, :], 0.0)


def carry_solar_ratio(
    forecast_wh: Floats, last_measured_wh: Floats, last_forecast_wh: Floats, gap: int = 1
) -> Floats:
    """Correct a solar forecast by the newest ratio of measured to forecast, fading with distance.

    Parameters and shapes as in `carry_load_error`. Where nothing was forecast (night), nothing changes.
    """
    is_day = np.isfinite(last_measured_wh) & np.isfinite(last_forecast_wh) & (last_forecast_wh > 0)
    ratio = np.where(is_day, np.nan_to_num(last_measured_wh) / np.where(is_day, last_forecast_wh, 1.0), 1.0)
    ratio = np.clip(ratio, 0.0, SOLAR_RATIO_MAX)
    fading = SOLAR_RATIO_PERSISTENCE ** (gap + np.arange(forecast_wh.shape[1]))
    corrected: Floats = forecast_wh * (1.0 + (ratio[:, None] - 1.0) * fading[None, :])
    return corrected


def expected_price(
    past_micro_per_kwh: Floats, n_intervals: int, per_day: int = 96, memory: float = PRICE_MEMORY
) -> Floats:
    """Return the price to expect `(n_intervals,)` after past net clearing prices `(n_past,)`, NaN if unknown.

    The same interval of the days before, newest day first with weight `memory`, the next with
    `memory * (1 - memory)` and so on. NaN in the past (no trade) is skipped.
    """
    past = past_micro_per_kwh.size
    expected = np.full(n_intervals, np.nan)
    total, weights = np.zeros(n_intervals), np.zeros(n_intervals)
    ahead = np.arange(n_intervals)
    for age in range(past // per_day + 1):
        column = past + ahead - per_day * (ahead // per_day + 1 + age)
        values = np.where(column >= 0, past_micro_per_kwh[np.maximum(column, 0)] if past else np.nan, np.nan)
        is_there = np.isfinite(values)
        weight = memory * (1 - memory) ** age
        total += np.where(is_there, values * weight, 0.0)
        weights += np.where(is_there, weight, 0.0)
    is_known = weights > 0
    expected[is_known] = total[is_known] / weights[is_known]
    return expected
