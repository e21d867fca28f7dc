"""A time series of mean power from a file: constant steps, and gaps that nobody may overlook."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from node.profiles.errors import ProfileError

YEAR_S = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Gap:
    """Steps without a value, `[start_s, end_s)` in unix time, and the line after which they are missing."""

    start_s: int
    end_s: int
    line: int


@dataclass(frozen=True, slots=True)
class Series:
    """Mean power per step.

    Parameters
    ----------
    name : the profile's name
    source : the file it was read from
    is_per_unit : whether values are per unit of a peak (else W)
    start_s, step_s : unix time of the first step's start and length of all steps, s
    values : (n_steps,) mean power over each step, W or per unit; NaN inside gaps
    gaps : in order of time
    """

    name: str
    source: str
    is_per_unit: bool
    start_s: int
    step_s: int
    values: NDArray[np.float64]
    gaps: tuple[Gap, ...] = ()

    @property
    def end_s(self) -> int:
        """End of the last step, unix time."""
        return self.start_s + self.step_s * int(self.values.size)

    def mean_power(self, start_s: int, end_s: int, interval_s: int) -> NDArray[np.float64]:
        """Return the mean over each interval of `[start_s, end_s)`; a longer step is held constant.

        Raises
        ------
        ProfileError
            If the series does not cover the time, has a gap there, or its steps do not fit the intervals.
        """
        self._check(start_s, end_s, interval_s)
        if self.step_s <= interval_s:
            first = (start_s - self.start_s) // self.step_s
            per_interval = interval_s // self.step_s
            n = (end_s - start_s) // interval_s
            return self.values[first : first + n * per_interval].reshape(n, per_interval).mean(axis=1)
        rows = (np.arange(start_s, end_s, interval_s) - self.start_s) // self.step_s
        return self.values[rows]

    def _check(self, start_s: int, end_s: int, interval_s: int) -> None:
        if start_s < self.start_s or end_s > self.end_s:
            raise ProfileError(
                f"{self.source}: covers {_utc(self.start_s)} to {_utc(self.end_s)}, "
                f"the scenario needs {_utc(start_s)} to {_utc(end_s)}"
            )
        for gap in self.gaps:
            if gap.start_s < end_s and gap.end_s > start_s:
                raise ProfileError(
                    f"{self.source}:{gap.line}: {self.name}: no values from {_utc(gap.start_s)} "
                    f"to {_utc(gap.end_s)}: complete the file, or allow filling with fill_gaps_up_to_s"
                )
        fits = interval_s % self.step_s == 0 or self.step_s % interval_s == 0
        if not fits or (start_s - self.start_s) % min(self.step_s, interval_s):
            raise ProfileError(
                f"{self.source}: steps of {self.step_s} s from {_utc(self.start_s)} do not fit into "
                f"intervals of {interval_s} s: expected steps that divide them, on their borders"
            )

    def full_load_hours(self) -> float:
        """Return the mean value times a year's hours: yearly energy per unit of the series' values.

        Raises
        ------
        ProfileError
            If the file does not cover a whole year: a shorter one says nothing about the year.
        """
        if self.end_s - self.start_s < YEAR_S or np.isnan(self.values).any():
            raise ProfileError(
                f"{self.source}: {self.name}: yearly_kwh needs a whole year without gaps in the file; "
                "use scale_pu (values in W) or peak_w (values per unit) instead"
            )
        return float(self.values.mean()) * 8_760

    def filled(self, up_to_s: int) -> tuple["Series", tuple[str, ...]]:
        """Return the series with gaps of at most `up_to_s` interpolated, and a note about each."""
        known = np.flatnonzero(~np.isnan(self.values))
        short = tuple(gap for gap in self.gaps if gap.end_s - gap.start_s <= up_to_s)
        if not short or not known.size:
            return self, ()
        values = self.values.copy()
        notes = []
        for gap in short:
            first, last = ((at_s - self.start_s) // self.step_s for at_s in (gap.start_s, gap.end_s))
            values[first:last] = np.interp(np.arange(first, last), known, values[known])
            span = f"{_utc(gap.start_s)} to {_utc(gap.end_s)}"
            notes.append(f"{self.source}:{gap.line}: {self.name}: interpolated {span}")
        rest = tuple(gap for gap in self.gaps if gap not in short)
        full = Series(self.name, self.source, self.is_per_unit, self.start_s, self.step_s, values, rest)
        return full, tuple(notes)


def _utc(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%MZ")
