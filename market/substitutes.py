"""Which register counts next for an account whose meter was silent: its own, or the registrar's substitute.

A register counts only after the one of the interval before, so a silent meter holds up all its later readings.
Two fill windows after an interval the registrar may sign a substitute for it (contracts/Settlement.vy, rule 6 of
CONTRACTS.md). The substitute is the conservative one of `market.imbalance`, so nobody gains by silence; the next
true register puts the energy right. Where a true register lies further from the last one than the connection
carries in an interval, the contract refuses it: then the registrar goes as far towards it as may be, interval by
interval.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from market.imbalance import substitute_register_milli_wh


class SubstituteReason(StrEnum):
    """Why the registrar signed instead of the meter."""

    SILENT = "silent"  # no reading came
    TOO_FAR = "too_far"  # a reading came, but the registers before it were so wrong that it is out of reach

    @property
    def in_words(self) -> str:
        """What to tell the account's owner."""
        if self is SubstituteReason.SILENT:
            return "no reading came: no export assumed, and at least the import that was bought or usual"
        return "a reading came, further from the last register than the connection carries"


@dataclass(frozen=True, slots=True)
class NextRegister:
    """The register that counts; `reason` is None where the meter's own does."""

    register_milli_wh: int
    reason: SubstituteReason | None = None


def next_register(
    last_register_milli_wh: int,
    told_register_milli_wh: int | None,
    position_milli_wh: int,
    capacity_milli_wh: int,
    expected_import_milli_wh: int,
    *,
    may_substitute: bool,
) -> NextRegister | None:
    """Return what counts for the first interval that is unread, None if nothing does yet.

    Parameters
    ----------
    last_register_milli_wh : int
        At the end of the interval before, as it counted.
    told_register_milli_wh : int or None
        What the meter signed for this interval; None if it was silent.
    position_milli_wh : int
        Sold minus bought in this interval.
    capacity_milli_wh : int
        What the connection carries in an interval, either way.
    expected_import_milli_wh : int
        What such an account imports in such an interval, >= 0.
    may_substitute : bool
        Whether two fill windows are over.
    """
    if told_register_milli_wh is not None:
        missing = told_register_milli_wh - last_register_milli_wh
        if abs(missing) <= capacity_milli_wh:
            return NextRegister(told_register_milli_wh)
        if not may_substitute:
            return None
        within = max(-capacity_milli_wh, min(capacity_milli_wh, missing))
        return NextRegister(last_register_milli_wh + within, SubstituteReason.TOO_FAR)
    if not may_substitute:
        return None
    assumed = substitute_register_milli_wh(
        last_register_milli_wh, position_milli_wh, capacity_milli_wh, expected_import_milli_wh
    )
    return NextRegister(int(np.asarray(assumed)), SubstituteReason.SILENT)
