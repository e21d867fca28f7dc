"""The community's meters: registers that count, and keys that sign what they show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.metering import Registers, advance
from node.bus.messages import MeterReading
from node.chain import typed_data
from node.chain.keys import LocalSigner
from node.chain.typed_data import Domain
from node.errors import Permanent
from node.profiles import ProfileSet


class BadMeters(Permanent):
    """A checkpoint that is none of these meters."""


@dataclass(slots=True)
class MeterBank:
    """One meter per account, in the order of the plant's participants."""

    account: NDArray[np.int64]
    capacity_milli_wh: NDArray[np.int64]
    signer: Sequence[LocalSigner]
    domain: Domain
    is_signed: bool
    registers: Registers

    def count(self, net_export_wh: NDArray[np.float64]) -> None:
        """Count the net export of one interval, `(n_accounts,)`.

        Raises
        ------
        market.errors.ReadingRefused
            If an energy is no number or more than the connection carries; nothing is counted then.
        """
        self.registers = advance(self.registers, net_export_wh, self.capacity_milli_wh)

    def readings(self, interval: int, silent: frozenset[int] = frozenset()) -> tuple[MeterReading, ...]:
        """Return the signed register at the end of an interval of every meter but those of `silent` rows."""
        found = []
        for row, account in enumerate(self.account.tolist()):
            if row in silent:
                continue
            register = int(self.registers.register_milli_wh[row])
            r = vs = 0
            if self.is_signed:
                message = typed_data.Reading(account, interval, register)
                r, vs = typed_data.sign(self.signer[row], self.domain, message)
            found.append(MeterReading(account, interval, register, r, vs))
        return tuple(found)

    def to_bytes(self) -> bytes:
        """Return what the meters hold."""
        registers = self.registers
        return (
            registers.register_milli_wh.astype("<i8").tobytes()
            + registers.remainder_micro_wh.astype("<i8").tobytes()
        )

    def restore(self, data: bytes) -> None:
        """Take over what `to_bytes` wrote.

        Raises
        ------
        BadMeters
            If there are not two numbers per meter.
        """
        values = np.frombuffer(data, "<i8").astype(np.int64)
        if values.size != 2 * self.account.size:
            raise BadMeters(
                f"checkpoint: {values.size} numbers for {self.account.size} meters, need two each"
            )
        register, remainder = np.split(values, 2)
        self.registers = Registers(register, remainder)


class ProfileMeters:
    """What each account's sub-meters have shown so far: load and sun of finished intervals only."""

    def __init__(self, profiles: ProfileSet) -> None:
        self._profiles = profiles

    def history_w(self, until: int, n_intervals: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return load and solar of up to `n_intervals` before `until`, `(n_accounts, n)` each, newest last."""
        stop = min(until - self._profiles.first, self._profiles.load_w.shape[1])
        start = max(0, stop - n_intervals)
        stop = max(stop, 0)
        return self._profiles.load_w[:, start:stop], self._profiles.solar_w[:, start:stop]
