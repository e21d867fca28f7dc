"""When which round clears which intervals: a pure, published schedule.

Instead of a continuous book an interval has up to four frequent batch auctions: a day-ahead round for all
intervals of a local day, then rounds ever closer to delivery, each for one interval alone. Everybody's orders
of a round count as simultaneous, so that being a millisecond faster gains nothing. What an order did not get,
its agent offers again in the next round on another lane.

References
----------
E. Budish, P. Cramton, J. Shim, "The high-frequency trading arms race: frequent batch auctions as a market
design response", Quarterly Journal of Economics 130 (2015), 1547-1621.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from market.intervals import IntervalGrid

MAX_ROUNDS: Final = 4
# A clock change between the day-ahead gate and midnight may shorten that time by one hour.
CLOCK_CHANGE_S: Final = 3600


@dataclass(frozen=True, slots=True, order=True)
class RoundDue:
    """One auction of the schedule: at its gate closure, which round clears which intervals.

    Sorted by time, then round, then first interval. `intervals` is `range(first, stop)`.
    """

    closes_s: int
    round_number: int
    first: int
    stop: int

    @property
    def intervals(self) -> range:
        """Return the intervals that this round clears."""
        return range(self.first, self.stop)


@dataclass(frozen=True, slots=True)
class RoundSchedule:
    """The gates of every interval, in the order in which they close.

    Round 0 is the day-ahead round if there is one; the rounds by lead follow in the order of `lead_s`.

    Parameters
    ----------
    grid : IntervalGrid
        Numbering of the intervals.
    zone : ZoneInfo
        Time zone of the local day.
    day_ahead_at : time | None
        Local time on the day before, at which the day-ahead round clears every interval of a local day.
        None for a schedule without one.
    lead_s : tuple[int, ...]
        Seconds from gate closure to the start of the interval, one per round, strictly decreasing, > 0.

    Raises
    ------
    ValueError
        If there is no round or more than four, if the leads do not decrease strictly or are not above zero,
        or if the first of them could close before the day-ahead gate.
    """

    grid: IntervalGrid
    zone: ZoneInfo
    day_ahead_at: time | None = time(12, 0)
    lead_s: tuple[int, ...] = (300,)

    def __post_init__(self) -> None:
        if not 1 <= self.n_rounds <= MAX_ROUNDS:
            raise ValueError(f"schedule has {self.n_rounds} rounds: need 1..{MAX_ROUNDS}")
        if any(lead <= 0 for lead in self.lead_s):
            raise ValueError(f"lead_s is {self.lead_s}: a gate must close before its interval starts")
        if any(later >= earlier for earlier, later in zip(self.lead_s, self.lead_s[1:], strict=False)):
            raise ValueError(
                f"lead_s is {self.lead_s}: need strictly decreasing leads, each round a later gate"
            )
        if self.day_ahead_at is not None:
            if self.day_ahead_at.tzinfo is not None:
                raise ValueError(
                    "day_ahead_at carries a time zone: need a local time, the zone is given apart"
                )
            at = self.day_ahead_at
            longest_s = 86_400 - (at.hour * 3600 + at.minute * 60 + at.second) - CLOCK_CHANGE_S
            if self.lead_s and self.lead_s[0] >= longest_s:
                raise ValueError(
                    f"lead_s starts with {self.lead_s[0]} s: need less than {longest_s} s, else the round "
                    f"could close before the day-ahead gate at {at}"
                )

    @property
    def n_rounds(self) -> int:
        """Return how many rounds every interval has."""
        return len(self.lead_s) + (self.day_ahead_at is not None)

    def slot_of(self, interval: int) -> range:
        """Return the intervals that are traded together with one: here itself alone."""
        return range(interval, interval + 1)

    def local_day(self, interval: int) -> date:
        """Return the local day to which an interval belongs.

        Notes
        -----
        Equals the day whose `IntervalGrid.of_local_day` holds the interval, also where the zone's midnight
        lies inside an interval: that interval belongs to the new day.
        """
        last_s = self.grid.end_s(interval) - 1
        return datetime.fromtimestamp(last_s, self.zone).date()

    def closes_s(self, interval: int, round_number: int) -> int:
        """Return the gate closure of a round for an interval, unix seconds.

        An order counts in the round if it arrived before this second.

        Raises
        ------
        ValueError
            If the schedule has no such round.
        """
        if not 0 <= round_number < self.n_rounds:
            raise ValueError(f"round {round_number} does not exist: rounds are 0..{self.n_rounds - 1}")
        if self.day_ahead_at is not None:
            if round_number == 0:
                return self._day_ahead_s(self.local_day(interval), self.day_ahead_at)
            round_number -= 1
        return self.grid.start_s(interval) - self.lead_s[round_number]

    def next_round(self, interval: int, now_s: float) -> int | None:
        """Return the first round of an interval whose gate is still open, None after gate closure."""
        for round_number in range(self.n_rounds):
            if now_s < self.closes_s(interval, round_number):
                return round_number
        return None

    def gate_closure_s(self, interval: int) -> int:
        """Return when the last gate of an interval closes, unix seconds."""
        return self.closes_s(interval, self.n_rounds - 1)

    def day_ahead(self, day: date) -> RoundDue:
        """Return the day-ahead round of a local day.

        Raises
        ------
        ValueError
            If the schedule has no day-ahead round.
        """
        if self.day_ahead_at is None:
            raise ValueError(f"no day-ahead round for {day}: day_ahead_at is None")
        intervals = self.grid.of_local_day(day, self.zone)
        return RoundDue(self._day_ahead_s(day, self.day_ahead_at), 0, intervals.start, intervals.stop)

    def rounds_due(self, from_s: float, until_s: float) -> list[RoundDue]:
        """Return the rounds whose gate closes in `[from_s, until_s)`, in the order in which they close.

        Windows that touch each other give every round exactly once.
        """
        due: list[RoundDue] = []
        if until_s <= from_s:
            return due
        by_lead = 0
        if self.day_ahead_at is not None:
            by_lead = 1
            # The gate of day D closes on day D - 1.
            day = datetime.fromtimestamp(from_s, self.zone).date()
            last = datetime.fromtimestamp(until_s, self.zone).date() + timedelta(days=2)
            while day <= last:
                event = self.day_ahead(day)
                if from_s <= event.closes_s < until_s:
                    due.append(event)
                day += timedelta(days=1)
        for round_number, lead_s in enumerate(self.lead_s, start=by_lead):
            first = _first_start_at_or_after(from_s + lead_s, self.grid.length_s)
            stop = _first_start_at_or_after(until_s + lead_s, self.grid.length_s)
            due.extend(
                RoundDue(self.grid.start_s(interval) - lead_s, round_number, interval, interval + 1)
                for interval in range(first, stop)
            )
        due.sort()
        return due

    def _day_ahead_s(self, day: date, at: time) -> int:
        local = datetime.combine(day - timedelta(days=1), at, self.zone)
        # Through UTC, so that a local time that the clock change skips or repeats maps to one moment.
        return int(local.astimezone(UTC).timestamp())


def _first_start_at_or_after(unix_s: float, length_s: int) -> int:
    return int(-(-unix_s // length_s))
