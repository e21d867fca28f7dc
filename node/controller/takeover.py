"""Two controllers, one active: a short lease of leadership, and a fencing number that grows with every holder.

The active controller renews its lease every control period. When it falls silent the lease runs out, and the
standby, which asks every period too, becomes the holder with the next fencing number. Firmware refuses setpoints
with a lower number, so a controller that was only slow, and not dead, can do no harm when it comes back.
Between the two, devices keep to their leased setpoints, which last far longer.
"""

from dataclasses import dataclass

from node.controller.errors import InvalidLease

PERIOD_S = 0.1
# Five missed periods: a pause of the machine is forgiven, and takeover still ends inside one second.
LEADERSHIP_S = 0.5
TAKEOVER_S = LEADERSHIP_S + PERIOD_S


@dataclass(frozen=True, slots=True)
class Leadership:
    """Who commands: the holder's number, its fencing number, and until when.

    The lease is half-open: from `until_s` on anybody may take it.
    """

    holder: int
    fence: int
    until_s: float


def claim(leadership: Leadership, candidate: int, now_s: float) -> Leadership:
    """Return the lease after a candidate asked for it: renewed by its holder, or taken when it has run out.

    Raises
    ------
    InvalidLease
        If somebody else holds it, or time runs backwards.
    """
    if candidate == leadership.holder and now_s < leadership.until_s:
        return Leadership(candidate, leadership.fence, max(leadership.until_s, now_s + LEADERSHIP_S))
    if now_s < leadership.until_s:
        raise InvalidLease(
            f"controller {leadership.holder} leads until {leadership.until_s}: {candidate} asked at {now_s}"
        )
    # A holder whose lease ran out is a stranger like any other: what it sent meanwhile may be refused.
    return Leadership(candidate, leadership.fence + 1, now_s + LEADERSHIP_S)
