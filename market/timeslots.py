"""Timeslots: runs of intervals that the rounds close, clear and take orders for as one.

An interval belongs to one timeslot, itself alone until a longer one was announced. The gates of a timeslot are those
of its first interval, and an order covers whole timeslots: the same quantity and limit in every interval of each.
"""

from dataclasses import dataclass, field

from market.rounds import RoundDue, RoundSchedule


@dataclass(frozen=True, slots=True)
class TimeslotSchedule(RoundSchedule):
    """A schedule of rounds over announced timeslots.

    Parameters
    ----------
    slots : dict[int, range]
        The timeslot of each interval of which one was announced; grows by `announce`.
    """

    slots: dict[int, range] = field(default_factory=dict)

    def announce(self, slot: range) -> None:
        """Take a timeslot in.

        Raises
        ------
        ValueError
            If it is empty or one of its intervals belongs to another timeslot already: what is announced stands.
        """
        if not len(slot):
            raise ValueError(f"timeslot {slot} is empty")
        for interval in slot:
            if self.slots.get(interval, slot) != slot:
                raise ValueError(f"interval {interval} belongs to timeslot {self.slots[interval]} already")
        for interval in slot:
            self.slots[interval] = slot

    def slot_of(self, interval: int) -> range:
        """Return the timeslot of an interval."""
        return self.slots.get(interval, range(interval, interval + 1))

    def closes_s(self, interval: int, round_number: int) -> int:
        """Return the gate closure of a round for an interval: that of its timeslot's first, unix seconds."""
        is_day_ahead = self.day_ahead_at is not None and round_number == 0
        first = interval if is_day_ahead else self.slot_of(interval).start
        return RoundSchedule.closes_s(self, first, round_number)

    def rounds_due(self, from_s: float, until_s: float) -> list[RoundDue]:
        """Return the rounds whose gate closes in `[from_s, until_s)`; later rounds once a timeslot."""
        due = []
        for one in RoundSchedule.rounds_due(self, from_s, until_s):
            if self.day_ahead_at is not None and one.round_number == 0:
                due.append(one)
                continue
            slot = self.slot_of(one.first)
            if slot.start == one.first:
                due.append(RoundDue(one.closes_s, one.round_number, slot.start, slot.stop))
        return due
