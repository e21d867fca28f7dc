"""Which intervals are traded together: runs of 1 to 4, as few as are calm, cut where the hour is least calm.

The contract's interval is fixed. What is traded is a run of 1 to 4 of them: short where prices or demand move, long
where nothing does. A run never crosses the hour it began in, so every division of the day stays a division into hours.

References
----------
W. D. Fisher, On grouping for maximum homogeneity, J. Amer. Statist. Assoc. 53 (1958) 789-798,
doi:10.1080/01621459.1958.10501479: least sum of squares within contiguous groups, exact by dynamic programming.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

RUN_MAX = 4


@dataclass(frozen=True, slots=True)
class TimeslotTerms:
    """When intervals are traded together.

    Parameters
    ----------
    per_hour : int
        Intervals in an hour; runs stay inside it.
    volatility_max : float
        Largest relative spread of an indicator inside a run, e.g. 0.1: intervals that differ by more than a tenth of
        the day's mean are traded apart.
    """

    per_hour: int = 4
    volatility_max: float = 0.1

    def __post_init__(self) -> None:
        if self.per_hour < 1 or not self.volatility_max >= 0:
            raise ValueError(f"timeslot terms {self}: need at least one interval an hour and a spread >= 0")


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
        Runs of 1 to 4 intervals, in order, covering all.

    Raises
    ------
    ValueError
        If the indicators have different lengths or are no numbers.

    Notes
    -----
    Of all divisions into calm runs one with the fewest runs is taken, among those the one whose indicators, each over
    its day's mean, differ least from their runs' means (sum of squares), among those the one whose first runs are
    longest. Exact: what follows an interval is divided best whatever came before it.
    """
    lengths = {values.size for values in indicators}
    if len(lengths) != 1 or not all(np.all(np.isfinite(values)) for values in indicators):
        raise ValueError("timeslots need at least one indicator, all finite and of one length")
    n = lengths.pop()
    relative = np.array([_over_mean(values) for values in indicators])
    # Best division of the intervals from each one on: number of runs, their unrest; and its first run.
    best: list[tuple[int, float]] = [(0, 0.0)] * (n + 1)
    run_at = [0] * n
    for at in range(n - 1, -1, -1):
        left_in_hour = terms.per_hour - (first_interval + at) % terms.per_hour
        calm = {
            run: _unrest(relative[:, at : at + run])
            for run in range(min(RUN_MAX, left_in_hour, n - at), 0, -1)
            if run == 1 or float(np.ptp(relative[:, at : at + run], axis=1).max()) <= terms.volatility_max
        }
        ways = {run: (best[at + run][0] + 1, best[at + run][1] + unrest) for run, unrest in calm.items()}
        run_at[at] = min(ways, key=ways.__getitem__)
        best[at] = ways[run_at[at]]
    slots: list[range] = []
    at = 0
    while at < n:
        slots.append(range(first_interval + at, first_interval + at + run_at[at]))
        at += run_at[at]
    return tuple(slots)


def _over_mean(values: FloatArray) -> FloatArray:
    """Return an indicator over its day's mean magnitude; nothing differs where all is zero."""
    mean = float(np.mean(np.abs(values))) if values.size else 0.0
    return values / mean if mean > 0.0 else np.zeros_like(values)


def _unrest(part: FloatArray) -> float:
    return float(np.sum((part - part.mean(axis=1, keepdims=True)) ** 2))
