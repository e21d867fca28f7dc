"""The moments of an interval at which something changes: what the event-driven clock stops at.

Times are whole milliseconds after the interval's start, so that no float decides whether two events coincide.
"""

from bisect import bisect_right
from dataclasses import dataclass
from math import ceil

from node.controller.takeover import TAKEOVER_S
from node.hub.dispatch_records import ControllerFailure, IntervalInputs, Schedule, SupplyFailure

MS_PER_S = 1_000


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where an interval changes, and what is true in between.

    Parameters
    ----------
    stops_ms : tuple of int
        Rising; the last is the interval's end.
    input_from_ms : tuple of int
        Start of each input step.
    silent_ms : tuple of (int, int)
        Half-open spans without an active controller.
    failed_ms : tuple of (int, int, int)
        (from, until, node) of supply failures.
    event_ms : tuple of (int, int)
        From and until of each grid event, in the order of the schedule; may reach beyond the interval.
    """

    stops_ms: tuple[int, ...]
    input_from_ms: tuple[int, ...]
    silent_ms: tuple[tuple[int, int], ...]
    failed_ms: tuple[tuple[int, int, int], ...]
    event_ms: tuple[tuple[int, int], ...]

    @property
    def end_ms(self) -> int:
        """The interval's end."""
        return self.stops_ms[-1]

    def next_stop_ms(self, now_ms: int) -> int:
        """Return the first stop after now."""
        return self.stops_ms[bisect_right(self.stops_ms, now_ms)]

    def input_step(self, now_ms: int) -> int:
        """Return the row of the inputs that hold now."""
        return bisect_right(self.input_from_ms, now_ms) - 1

    def is_silent(self, now_ms: int) -> bool:
        """Return whether no controller is active now."""
        return any(a <= now_ms < b for a, b in self.silent_ms)

    def failed_nodes(self, now_ms: int) -> tuple[int, ...]:
        """Return the nodes without supply now, ascending."""
        return tuple(sorted({node for a, b, node in self.failed_ms if a <= now_ms < b}))

    def failed_before(self) -> tuple[int, ...]:
        """Return the nodes that had no supply when the interval before ended, ascending."""
        return tuple(sorted({node for a, b, node in self.failed_ms if a < 0 <= b}))

    def failed_since_ms(self, now_ms: int) -> dict[int, int]:
        """Return since when each node without supply has had none."""
        since: dict[int, int] = {}
        for a, b, node in self.failed_ms:
            if a <= now_ms < b:
                since[node] = min(a, since.get(node, a))
        return since

    def active_events(self, now_ms: int) -> tuple[int, ...]:
        """Return the rows of the grid events that are active now."""
        return tuple(row for row, (a, b) in enumerate(self.event_ms) if a <= now_ms < b)


def timeline(
    start_s: float,
    length_s: int,
    inputs: IntervalInputs,
    schedule: Schedule,
    more_ms: tuple[int, ...] = (),
) -> Timeline:
    """Collect all stops of an interval.

    Parameters
    ----------
    start_s : float
        Unix time of the interval's start.
    length_s : int
    more_ms : tuple of int
        Other moments at which the controller has to think again.
    """

    def ms(unix_s: float) -> int:
        return round((unix_s - start_s) * MS_PER_S)

    end = length_s * MS_PER_S
    input_from = tuple(round(s * MS_PER_S) for s in inputs.offset_s)
    events = tuple((ms(e.start_s), ms(e.end_s)) for e in schedule.events)
    failed = tuple(
        (ms(d.start_s), ms(d.end_s), d.node) for d in schedule.disturbances if isinstance(d, SupplyFailure)
    )
    silent = tuple(
        (ms(d.at_s), ms(d.at_s) + ceil(TAKEOVER_S * MS_PER_S))
        for d in schedule.disturbances
        if isinstance(d, ControllerFailure)
    )
    edges = {
        end,
        *input_from,
        *more_ms,
        *(t for span in (*events, *silent) for t in span),
        *(t for f in failed for t in f[:2]),
    }
    stops = tuple(sorted(t for t in edges if 0 < t <= end))
    return Timeline(stops, input_from, silent, failed, events)
