"""Delivery intervals: half-open `[start, end)` in UTC, numbered `floor(unix / length)`.

Local days have 23, 24 or 25 hours on the two clock-change days; an interval never does: it is cut in UTC,
so a local day is simply a run of 92, 96 or 100 quarter hours.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MIN_LENGTH_S = 300
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class IntervalGrid:
    """The numbering of delivery intervals of one length.

    Parameters
    ----------
    length_s : int
        Length of an interval in seconds; at least 300 and a divisor of one hour, so that every time zone's
        midnight is a border.

    Raises
    ------
    ValueError
        If `length_s` is shorter than 300 s or does not divide 3600 s.
    """

    length_s: int = 900

    def __post_init__(self) -> None:
        if self.length_s < MIN_LENGTH_S or 3600 % self.length_s:
            raise ValueError(
                f"interval length {self.length_s} s: need >= {MIN_LENGTH_S} s and a divisor of 3600 s"
            )

    def index_at(self, unix_s: float) -> int:
        """Return the index of the interval that holds this moment."""
        return int(unix_s // self.length_s)

    def start_s(self, interval: int) -> int:
        """Return the first second of an interval, unix time."""
        return interval * self.length_s

    def end_s(self, interval: int) -> int:
        """Return the first second after an interval, unix time."""
        return (interval + 1) * self.length_s

    def start(self, interval: int) -> datetime:
        """Return the start of an interval as an aware UTC datetime."""
        return datetime.fromtimestamp(self.start_s(interval), UTC)

    def of_local_day(self, day: date, zone: ZoneInfo) -> range:
        """Return the intervals of a local calendar day: 23, 24 or 25 hours of them."""
        first_s = datetime.combine(day, time(), zone).timestamp()
        last_s = datetime.combine(day + timedelta(days=1), time(), zone).timestamp()
        return range(self.index_at(first_s), self.index_at(last_s))
