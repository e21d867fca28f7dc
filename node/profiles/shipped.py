"""The shipped SimBench extract: which of its days stands for a date, and the power on it.

The extract has four weeks (Monday to Sunday) in each of three seasons. A date of any year finds its season by
the VDEW load profile calendar, its week by counting weeks modulo four, and its day by the weekday; a quarter
hour finds its row by local wall-clock time. So on the day clocks go forward the hour from 2 to 3 is skipped,
and on the day they go back it comes twice, as in real life.

References
----------
VDEW, Repräsentative VDEW-Lastprofile (1999): winter 1 November to 20 March, summer 15 May to 14 September,
transition in between.
"""

import csv
import gzip
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

import devices

QUARTER_S = 900
QUARTERS_PER_DAY = 96
WEEKS_PER_SEASON = 4
SUMMER = ((5, 15), (9, 14))
WINTER = ((11, 1), (3, 20))


@dataclass(frozen=True, slots=True)
class Extract:
    """The shipped profiles.

    Parameters
    ----------
    names : of the columns
    values : (n_profiles, n_quarter_hours) per unit of each profile's peak
    full_load_hours : yearly energy per unit of peak, h, from SimBench's whole year
    season_starts : first row of each season
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    full_load_hours: dict[str, float]
    season_starts: dict[str, int]


@cache
def extract() -> Extract:
    """Return the extract, read once a process."""
    folder = Path(next(iter(devices.__path__))) / "profiles"
    about = json.loads((folder / "simbench_15min.json").read_text(encoding="utf-8"))
    text = gzip.decompress((folder / "simbench_15min.csv.gz").read_bytes()).decode("ascii")
    rows = csv.reader(io.StringIO(text, newline=""))
    names = tuple(next(rows)[1:])
    times: list[str] = []
    table: list[list[float]] = []
    for row in rows:
        times.append(row[0])
        table.append([float(cell) for cell in row[1:]])
    starts = {season: times.index(f"{first}T00:00") for season, first in about["seasons"].items()}
    return Extract(names, np.ascontiguousarray(np.array(table).T), about["full_load_hours"], starts)


def season_of(day: date) -> str:
    """Return `winter`, `summer` or `transition` of a date."""
    at = (day.month, day.day)
    if SUMMER[0] <= at <= SUMMER[1]:
        return "summer"
    return "winter" if at >= WINTER[0] or at <= WINTER[1] else "transition"


def first_row_of(day: date, season_starts: dict[str, int], shift_weeks: int = 0) -> int:
    """Return the extract's row of a date's local midnight."""
    days_from_monday_1 = day.toordinal() - 1  # 0001-01-01 was a Monday
    week = (days_from_monday_1 // 7 + shift_weeks) % WEEKS_PER_SEASON
    return season_starts[season_of(day)] + (week * 7 + day.weekday()) * QUARTERS_PER_DAY


def rows_for(
    start_s: int, end_s: int, interval_s: int, zone: ZoneInfo, shift_weeks: int = 0
) -> NDArray[np.int64]:
    """Return the extract's rows that make up each interval: `(n_intervals, rows_per_interval)`.

    An interval's mean power is the mean over its rows; an interval shorter than a quarter hour lies in one.
    """
    part_s = math.gcd(interval_s, QUARTER_S)
    starts = extract().season_starts
    first_rows: dict[date, int] = {}
    rows = []
    for unix_s in range(start_s, end_s, part_s):
        local = datetime.fromtimestamp(unix_s, UTC).astimezone(zone)
        day = local.date()
        if day not in first_rows:
            first_rows[day] = first_row_of(day, starts, shift_weeks)
        rows.append(first_rows[day] + (local.hour * 60 + local.minute) // 15)
    return np.array(rows, dtype=np.int64).reshape(-1, interval_s // part_s)


def power_pu(name: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a profile's mean per interval, per unit of its peak."""
    shipped = extract()
    return np.asarray(shipped.values[shipped.names.index(name)][rows].mean(axis=1))


def names() -> Sequence[str]:
    """Return the names of the shipped profiles."""
    return extract().names
