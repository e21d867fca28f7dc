"""Where the wall-clock time of a run goes: for benchmarks, never part of a result."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Times:
    """Wall-clock seconds spent, by room: for benchmarks, never part of a result."""

    spent_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def of(self, room: str) -> Iterator[None]:
        """Add the time of the block to a room."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spent_s[room] += time.perf_counter() - began
