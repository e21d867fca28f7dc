"""Timeslots: how many intervals are traded at once; their length adapts, within bounds.

The contract's interval is fixed. What is traded is a run of 1, 2 or 4 of them: short where prices or demand move, long
where nothing does. A run never crosses the hour it began in, so every division of the day stays a division into
quarter hours, and it is announced before the gate of its first interval closes.
"""

from dataclasses import dataclass

import numpy as np

from node.controller.errors import InvalidRequest
from node.controller.network import FloatArray

RUNS = (4, 2, 1)


@dataclass(frozen=True, slots=True)
class TimeslotTerms:
    """When intervals are traded together.

    Parameters
    ----------
    per_hour : int
        Intervals in an hour; runs stay inside it.
    volatility_max : float
        Largest relative spread of the indicator inside a run, e.g. 0.1: intervals that differ by more than a tenth of
        the day's mean are traded apart.
    """

    per_hour: int = 4
    volatility_max: float = 0.1

    def __post_init__(self) -> None:
        if self.per_hour < 1 or not self.volatility_max >= 0:
            raise InvalidRequest(
                f"timeslot terms {self}: need at least one interval an hour and a spread >= 0"
            )


def timeslots(
    first_interval: int, indicators: tuple[FloatArray, ...], terms: TimeslotTerms
) -> tuple[range, ...]:
    """Divide intervals into timeslots.

    Parameters
    ----------
    first_interval : int
        Index of the first of the intervals; hours begin at multiples of `per_hour`.
    indicators : tuple of float64 (n_intervals,)
        What must be calm inside a timeslot: expected price, expected demand.

    Returns
    -------
    tuple of range
        Runs of 1, 2 or 4 intervals, in order, covering all.

    Raises
    ------
    InvalidRequest
        If the indicators have different lengths or are no numbers.
    """
    lengths = {values.size for values in indicators}
    if len(lengths) != 1 or not all(np.all(np.isfinite(values)) for values in indicators):
        raise InvalidRequest("timeslots need at least one indicator, all finite and of one length")
    n = lengths.pop()
    slots: list[range] = []
    at = 0
    while at < n:
        left_in_hour = terms.per_hour - (first_interval + at) % terms.per_hour
        for run in RUNS:
            is_aligned = (first_interval + at) % run == 0
            if run == 1 or (
                is_aligned
                and run <= min(left_in_hour, n - at)
                and _is_calm(indicators, at, run, terms.volatility_max)
            ):
                slots.append(range(first_interval + at, first_interval + at + run))
                at += run
                break
    return tuple(slots)


def _is_calm(indicators: tuple[FloatArray, ...], at: int, run: int, volatility_max: float) -> bool:
    for values in indicators:
        part = values[at : at + run]
        scale = float(np.mean(np.abs(values)))
        if float(np.ptp(part)) > volatility_max * scale:
            return False
    return True
