"""Metering: energy of an interval becomes a cumulative signed register in whole milli-watt-hours.

A register counts net export (export minus import) since the meter was installed. What is below 1 mWh is
not dropped and not rounded up: it stays in the meter, in whole micro-watt-hours, and is counted later.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from market.errors import ReadingRefused
from market.units import MAX_QUANTITY_MILLI_WH

MICRO_WH_PER_MILLI_WH: Final = 1_000
MICRO_WH_PER_WH: Final = 1_000_000
MAX_REGISTER_MILLI_WH: Final = 2**55 - 1
"""Bound of the register field of an account word (contracts/registry.vy)."""


@dataclass(frozen=True, slots=True)
class Registers:
    """What n meters hold at the end of an interval.

    Attributes
    ----------
    register_milli_wh : NDArray[np.int64]
        Net export since installation, `(n,)`, rounded towards minus infinity.
    remainder_micro_wh : NDArray[np.int64]
        What the register does not show yet, `(n,)`, in `0..999`.
    """

    register_milli_wh: NDArray[np.int64]
    remainder_micro_wh: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.register_milli_wh.shape != self.remainder_micro_wh.shape:
            raise ReadingRefused(
                f"registers have shape {self.register_milli_wh.shape}, "
                f"remainders {self.remainder_micro_wh.shape}: need the same"
            )
        wrong = (self.remainder_micro_wh < 0) | (self.remainder_micro_wh >= MICRO_WH_PER_MILLI_WH)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ReadingRefused(
                f"remainder of meter {row} is {int(self.remainder_micro_wh[row])} micro-Wh: need 0..999"
            )

    @classmethod
    def installed(cls, n_meters: int) -> "Registers":
        """Return n new meters that have counted nothing."""
        return cls(np.zeros(n_meters, np.int64), np.zeros(n_meters, np.int64))

    def total_micro_wh(self) -> list[int]:
        """Return all that each meter has counted, in exact integers."""
        registers, remainders = self.register_milli_wh.tolist(), self.remainder_micro_wh.tolist()
        return [
            register * MICRO_WH_PER_MILLI_WH + remainder
            for register, remainder in zip(registers, remainders, strict=True)
        ]


def advance(
    registers: Registers,
    energy_wh: ArrayLike,
    capacity_milli_wh: ArrayLike = MAX_QUANTITY_MILLI_WH,
) -> Registers:
    """Count the net export of one interval.

    Parameters
    ----------
    registers : Registers
        At the end of the interval before.
    energy_wh : array_like
        Net export of the interval in Wh, `(n,)` or scalar; negative where the account imported.
    capacity_milli_wh : array_like
        What the connection can carry in one interval, either way, `(n,)` or scalar.

    Returns
    -------
    Registers
        At the end of this interval.

    Raises
    ------
    ReadingRefused
        If an energy is not finite, moves the register by more than the capacity (the contract would refuse
        that reading), or moves it beyond 2**55 - 1 mWh. The registers given are left as they were.

    Notes
    -----
    `energy_wh * 1e6` is rounded once, to the nearest whole micro-watt-hour, half to even; everything after
    that is integer. Within the largest capacity, 2**39 - 1 mWh, that product is below 2**53 and its rounding
    exact, so the register differs from the true sum by at most 0.5 micro-watt-hours per interval counted
    (1.8 Wh in a century of quarter hours, were all roundings one way), and two runs give the same bytes.
    """
    energy = np.broadcast_to(np.asarray(energy_wh, dtype=np.float64), registers.register_milli_wh.shape)
    capacity = np.broadcast_to(np.asarray(capacity_milli_wh, dtype=np.int64), energy.shape)
    _refuse(~np.isfinite(energy), energy, "Wh: need a finite number")
    if capacity.size and not 0 <= int(capacity.min()) <= int(capacity.max()) <= MAX_QUANTITY_MILLI_WH:
        raise ReadingRefused(f"capacities must lie in 0..{MAX_QUANTITY_MILLI_WH} mWh per interval")
    # Far outside the capacity: refused here, before the conversion to integers could overflow.
    _refuse(np.abs(energy) * 1e3 > capacity + 1.0, energy, "Wh: more than the connection's capacity")

    counted_micro_wh = np.rint(energy * MICRO_WH_PER_WH).astype(np.int64) + registers.remainder_micro_wh
    step_milli_wh = counted_micro_wh // MICRO_WH_PER_MILLI_WH
    _refuse(np.abs(step_milli_wh) > capacity, energy, "Wh: more than the connection's capacity")
    register = registers.register_milli_wh + step_milli_wh
    _refuse(np.abs(register) > MAX_REGISTER_MILLI_WH, energy, "Wh: the register would pass 2**55 - 1 mWh")
    return Registers(register, counted_micro_wh % MICRO_WH_PER_MILLI_WH)


def _refuse(is_wrong: NDArray[np.bool_], energy_wh: NDArray[np.float64], why: str) -> None:
    if is_wrong.any():
        row = int(np.argmax(is_wrong))
        raise ReadingRefused(f"meter {row} counted {float(energy_wh[row])!r} {why}")
