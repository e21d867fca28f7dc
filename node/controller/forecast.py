"""What racks and servers will draw in the next steps: a baseline, what is left of the last surprise, and a gate.

| model | what it expects h steps ahead |
|---|---|
| persistence | the load stays as it is |
| trend | level and slope, smoothed (Holt) |
| hourly | the mean of this slot of the hour, plus phi^h of the last surprise |
| daily | the mean of this slot of the day, plus phi^h of the last surprise |

Every model is scored on what it said before, for each rack and each number of steps ahead. **The gate**: persistence
speaks unless another model's mean squared error is smaller by a margin, so a model that is worse here is not heard.
The upper edge adds the spread of the errors that the chosen model really made: of the last fifty or of the last five,
whichever is larger, because errors come in bursts.

References
----------
C. C. Holt, Forecasting seasonals and trends by exponentially weighted moving averages (1957), reprinted Int. J.
Forecasting 20 (2004) 5-10, doi:10.1016/j.ijforecast.2003.09.015.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from node.controller.errors import InvalidRequest
from node.controller.network import FloatArray, IntArray

HOUR_S, DAY_S = 3_600, 86_400
# Of Holt's method, per step.
LEVEL_GAIN, TREND_GAIN = 0.5, 0.1
# A slot's mean forgets within three or four visits: three hours, or three days.
PROFILE_GAIN = 0.3
# Errors of the last fifty steps or so decide.
ERROR_GAIN = 0.02
# Errors of the last five steps or so: what was just unsettled stays so for a while.
BURST_GAIN = 0.2
# Another model has to be better by a tenth, over this many of its own forecasts, before it replaces persistence.
GATE_SHARE = 0.9
GATE_AFTER = 24
# The smallest that sees as many overloads of mixed servers coming as two standard deviations and 95 % of the limit
# did; chosen on seeds 1 and 2, judged on others (tests/unit/node/controller/test_warnings.py).
SPREAD = 2.4
PHI_MAX = 0.98


class Model(IntEnum):
    """Who speaks."""

    PERSISTENCE = 0
    TREND = 1
    HOURLY = 2
    DAILY = 3


@dataclass(frozen=True, slots=True)
class ForecastTerms:
    """How far and how finely is looked ahead.

    Parameters
    ----------
    step_s : int
        Between two measurements; divides an hour.
    n_ahead : int
        Steps ahead.
    """

    step_s: int
    n_ahead: int = 6

    def __post_init__(self) -> None:
        if self.step_s < 1 or HOUR_S % self.step_s or self.n_ahead < 1:
            raise InvalidRequest(
                f"forecast terms {self}: need a step that divides an hour and at least one step ahead"
            )


@dataclass(frozen=True, slots=True)
class LoadForecast:
    """Everything that is remembered of n loads; all float64 unless noted.

    Parameters
    ----------
    load_w : (n,), the last measurement
    level_w, trend_w : (n,), of Holt's method; the trend is per step
    hour_w, day_w : (slots, n), mean by slot; nan before the first visit
    surprise_w : (2, n), last distance from the hourly and the daily mean
    cross_w2, own_w2 : (2, n), their smoothed products, from which phi comes
    said_w : (n_models, n_ahead, n_ahead + 1, n), what was said h steps before the step with number k modulo
        n_ahead + 1; nan where nothing was
    square_w2, burst_w2 : (n_models, n_ahead, n), squared errors, smoothed over long and over a few steps
    n_scored : (n_ahead,) int64
    """

    load_w: FloatArray
    level_w: FloatArray
    trend_w: FloatArray
    hour_w: FloatArray
    day_w: FloatArray
    surprise_w: FloatArray
    cross_w2: FloatArray
    own_w2: FloatArray
    said_w: FloatArray
    square_w2: FloatArray
    burst_w2: FloatArray
    n_scored: IntArray


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is expected, (n_ahead, n) each.

    Parameters
    ----------
    expected_w, upper_w : float64
        Of the model that the gate chose, and its upper edge.
    model : int64, `Model`
    """

    expected_w: FloatArray
    upper_w: FloatArray
    model: IntArray


def begin(load_w: FloatArray, terms: ForecastTerms) -> LoadForecast:
    """Return the memory after one measurement, (n,) W."""
    n, ahead, models = load_w.size, terms.n_ahead, len(Model)
    return LoadForecast(
        load_w=load_w.copy(),
        level_w=load_w.copy(),
        trend_w=np.zeros(n),
        hour_w=np.full((HOUR_S // terms.step_s, n), np.nan),
        day_w=np.full((DAY_S // terms.step_s, n), np.nan),
        surprise_w=np.zeros((2, n)),
        cross_w2=np.zeros((2, n)),
        own_w2=np.zeros((2, n)),
        said_w=np.full((models, ahead, ahead + 1, n), np.nan),
        square_w2=np.zeros((models, ahead, n)),
        burst_w2=np.zeros((models, ahead, n)),
        n_scored=np.zeros(ahead, np.int64),
    )


def observe(memory: LoadForecast, load_w: FloatArray, number: int, terms: ForecastTerms) -> LoadForecast:
    """Return the memory after the measurement of a step: models scored, then taught, then asked again.

    Parameters
    ----------
    load_w : float64 (n,)
    number : int
        Of the step, counted from 1970: unix time over `step_s`.
    """
    memory = _scored(memory, load_w, number, terms)
    slots = [number % table.shape[0] for table in (memory.hour_w, memory.day_w)]
    tables = [memory.hour_w.copy(), memory.day_w.copy()]
    surprise = np.stack([_surprise(table[slot], load_w) for table, slot in zip(tables, slots, strict=True)])
    for table, slot in zip(tables, slots, strict=True):
        known = np.where(np.isnan(table[slot]), load_w, table[slot])
        table[slot] = known + PROFILE_GAIN * (load_w - known)
    expected = memory.level_w + memory.trend_w
    level = expected + LEVEL_GAIN * (load_w - expected)
    taught = replace(
        memory,
        load_w=load_w.copy(),
        level_w=level,
        trend_w=memory.trend_w + TREND_GAIN * (level - memory.level_w - memory.trend_w),
        hour_w=tables[0],
        day_w=tables[1],
        surprise_w=surprise,
        cross_w2=(1 - ERROR_GAIN) * memory.cross_w2 + ERROR_GAIN * surprise * memory.surprise_w,
        own_w2=(1 - ERROR_GAIN) * memory.own_w2 + ERROR_GAIN * memory.surprise_w**2,
    )
    said = taught.said_w.copy()
    ring = said.shape[2]
    for ahead, words in enumerate(np.swapaxes(_say(taught, number), 0, 1)):
        said[:, ahead, (number + ahead + 1) % ring] = words
    return replace(taught, said_w=said)


def predict(memory: LoadForecast, number: int) -> Prediction:
    """Return what the gate lets through, said after the step with this number was observed."""
    said = _say(memory, number)
    best = np.argmin(memory.square_w2, axis=0)
    is_better = np.min(memory.square_w2, axis=0) < GATE_SHARE * memory.square_w2[Model.PERSISTENCE]
    is_known = (memory.n_scored >= GATE_AFTER)[:, None]
    model = np.where(is_better & is_known, best, Model.PERSISTENCE).astype(np.int64)
    expected = np.take_along_axis(said, model[None], axis=0)[0]
    square = np.take_along_axis(np.maximum(memory.square_w2, memory.burst_w2), model[None], axis=0)[0]
    return Prediction(expected, expected + SPREAD * np.sqrt(square), model)


def _surprise(mean_w: FloatArray, load_w: FloatArray) -> FloatArray:
    return np.where(np.isnan(mean_w), 0.0, load_w - mean_w)


def _scored(memory: LoadForecast, load_w: FloatArray, number: int, terms: ForecastTerms) -> LoadForecast:
    """Compare what was said about this step with what came."""
    error = memory.said_w[:, :, number % (terms.n_ahead + 1)] - load_w
    has_said = np.asarray(~np.isnan(error).any(axis=(0, 2)), np.bool_)
    # The first errors are averaged, later ones smoothed: one early miss must not count for hours.
    square = np.nan_to_num(error) ** 2

    def smoothed(before: FloatArray, least_gain: float) -> FloatArray:
        gain = np.maximum(least_gain, 1.0 / (memory.n_scored + 1))[None, :, None]
        after: FloatArray = np.where(has_said[None, :, None], before + gain * (square - before), before)
        return after

    return replace(
        memory,
        square_w2=smoothed(memory.square_w2, ERROR_GAIN),
        burst_w2=smoothed(memory.burst_w2, BURST_GAIN),
        n_scored=memory.n_scored + has_said,
    )


def _say(memory: LoadForecast, number: int) -> FloatArray:
    """Return what every model expects, (n_models, n_ahead, n)."""
    n_models, n_ahead = memory.square_w2.shape[:2]
    ahead = np.arange(1, n_ahead + 1)
    said = np.empty((n_models, n_ahead, memory.load_w.size))
    said[Model.PERSISTENCE] = memory.load_w
    said[Model.TREND] = memory.level_w + memory.trend_w * ahead[:, None]
    phi = np.clip(memory.cross_w2 / np.where(memory.own_w2 > 0, memory.own_w2, 1.0), 0.0, PHI_MAX)
    for k, (model, table) in enumerate(((Model.HOURLY, memory.hour_w), (Model.DAILY, memory.day_w))):
        mean = table[(number + ahead) % table.shape[0]]
        left = phi[k] ** ahead[:, None] * memory.surprise_w[k]
        said[model] = np.where(np.isnan(mean), memory.load_w, mean + left)
    return np.maximum(said, 0.0)
