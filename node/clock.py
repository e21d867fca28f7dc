"""Time as a port: the core never asks what time it is, the shell asks one of these."""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Where the running system takes its time from."""

    def now_s(self) -> float:
        """Return unix time in seconds."""
        ...


class SystemClock:
    """The machine's clock, for live operation."""

    def now_s(self) -> float:
        """Return the machine's unix time in seconds."""
        return time.time()


@dataclass(slots=True)
class VirtualClock:
    """A clock that moves only when told, for simulations and tests."""

    unix_s: float

    def now_s(self) -> float:
        """Return the virtual unix time in seconds."""
        return self.unix_s

    def advance_to(self, unix_s: float) -> None:
        """Move forward.

        Raises
        ------
        ValueError
            If `unix_s` lies in the past: time never runs backwards.
        """
        if unix_s < self.unix_s:
            raise ValueError(f"clock at {self.unix_s} cannot go back to {unix_s}")
        self.unix_s = unix_s
