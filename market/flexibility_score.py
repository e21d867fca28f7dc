"""How well a service was delivered: accuracy, delay and precision of a response against its signal, as PJM scores it.

| part | what it is |
|---|---|
| accuracy | greatest correlation of five minutes of signal with five minutes of response, shifted by 0 to 5 min |
| delay | `(5 min - shift) / 5 min` at that shift |
| precision | 1 - mean of `abs(response - signal)` over the hour's mean of `abs(signal)` |

Each part is averaged over rolling windows every 10 s (precision: over hours), and the score is the mean of the three.
Windows in which nothing was asked count for nothing; where the same was asked throughout, a correlation does not exist
and the difference of the slopes takes its place.

References
----------
PJM Manual 12, "Balancing Operations", section 4.5 (regulation performance score).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from market.errors import SettlementError

FloatArray = NDArray[np.float64]

SAMPLE_S: Final = 10
WINDOW: Final = 30  # samples: five minutes
HOUR: Final = 360  # samples
# Below this standard deviation, per unit of the signal's greatest value, a window is constant: rounding, no signal.
CONSTANT_PU: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Performance:
    """Parts and score, each in 0..1."""

    accuracy: float
    delay: float
    precision: float

    @property
    def score(self) -> float:
        """The mean of the three parts."""
        return (self.accuracy + self.delay + self.precision) / 3.0


def performance(signal: FloatArray, response: FloatArray) -> Performance | None:
    """Score a response, samples every 10 s, `(n_samples,)` each, in any one unit.

    Returns
    -------
    Performance, or None if nothing was asked.

    Raises
    ------
    SettlementError
        If the series differ in length, are shorter than ten minutes, or hold no numbers.
    """
    if signal.shape != response.shape or signal.ndim != 1 or signal.size < 2 * WINDOW:
        raise SettlementError(
            f"signal {signal.shape} and response {response.shape}: need the same, 1-D, "
            f"at least {2 * WINDOW} samples of {SAMPLE_S} s"
        )
    if not (np.all(np.isfinite(signal)) and np.all(np.isfinite(response))):
        raise SettlementError("signal or response is no number somewhere")
    scale = float(np.abs(signal).max())
    if scale == 0.0:
        return None
    accuracy, delay = _shifts(signal / scale, response / scale)
    return Performance(accuracy, delay, _precision(signal, response))


def _shifts(signal: FloatArray, response: FloatArray) -> tuple[float, float]:
    asked, got = sliding_window_view(signal, WINDOW), sliding_window_view(response, WINDOW)
    n = signal.size - 2 * WINDOW + 1
    unit_asked, spread_asked = _standardised(asked[:n])
    unit_got, spread_got = _standardised(got)
    is_moving = spread_got > CONSTANT_PU
    correlation = np.stack(
        [
            np.where(
                is_moving[shift : shift + n], np.sum(unit_asked * unit_got[shift : shift + n], axis=1), 0.0
            )
            for shift in range(WINDOW + 1)
        ]
    )
    best = np.argmax(correlation, axis=0)
    accuracy = np.clip(correlation[best, np.arange(n)], 0.0, 1.0)
    delay = np.where(accuracy > 0.0, 1.0 - best / WINDOW, 0.0)
    is_constant = spread_asked <= CONSTANT_PU
    if is_constant.any():
        at = np.arange(WINDOW) - (WINDOW - 1) / 2.0
        slope = (got[:n][is_constant] - asked[:n][is_constant]) @ at / (at @ at)
        accuracy[is_constant] = np.maximum(1.0 - np.abs(slope) * WINDOW, 0.0)
        delay[is_constant] = 1.0
    counts = np.abs(asked[:n]).max(axis=1) > 0.0
    if not counts.any():  # asked for in the last five minutes only: no window can be shifted
        return 1.0, 1.0
    return float(accuracy[counts].mean()), float(delay[counts].mean())


def _standardised(windows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return windows with mean 0 and length 1, and their standard deviations."""
    centred = windows - windows.mean(axis=1, keepdims=True)
    length = np.sqrt(np.sum(centred**2, axis=1))
    return centred / np.maximum(length, 1e-300)[:, None], length / np.sqrt(windows.shape[1])


def _precision(signal: FloatArray, response: FloatArray) -> float:
    found = []
    for at in range(0, signal.size, HOUR):
        asked, got = signal[at : at + HOUR], response[at : at + HOUR]
        mean = float(np.abs(asked).mean())
        if mean > 0.0:
            found.append((max(1.0 - float(np.abs(got - asked).mean()) / mean, 0.0), asked.size))
    return sum(value * size for value, size in found) / sum(size for _, size in found)
