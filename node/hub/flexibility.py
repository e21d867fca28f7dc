"""Grid events."""

from datetime import datetime, time, timedelta
import numpy as np
from node.hub.dispatch_records import GridEvent


class Flexibility:
    def __init__(self, community):
        self._community = community
        s = community.scenario
        self._spans = []
        for e in s.events:
            day = s.local_date(e.day)
            at = datetime.combine(day, time(e.start // 60, e.start % 60), s.zone).timestamp()
            first = s.grid.index_at(at)
            self._spans.append((e, first, first + e.duration_intervals))

    def events(self, interval):
        grid = self._community.scenario.grid
        return tuple(
            GridEvent(e.id, grid.start_s(a), grid.end_s(b - 1), e.requested_w)
            for e, a, b in self._spans
            if a <= interval < b
        )

    def after(self, connection, interval): ...
    def observe(self, connection): ...
