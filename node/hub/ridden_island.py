"""One island while its supply is out: what the plan to ride through says, kept from interval to interval."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Island:
    """A failed node, since when, what stays on there, and when it changes by itself.

    Parameters
    ----------
    node : int
    since_ms : int
        Unix time, as all moments here.
    keeps_class : int
        Loads of this class and better stay on; -1: none.
    shutdown_ms, generator_ms : float
        When an orderly shutdown begins and when the generator carries load; inf: never.
    dry_ms : float
        Since when the generator's tank is empty; inf: it is not.
    """

    node: int
    since_ms: int
    keeps_class: int
    shutdown_ms: float
    generator_ms: float
    dry_ms: float = np.inf

    def is_supplied(self, at_ms: float) -> bool:
        """Return whether the generator carries load at a moment."""
        return self.generator_ms <= at_ms < self.dry_ms
