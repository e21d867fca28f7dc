"""What is kept of tied racks: the controller's memory between intervals, and what happened in one."""

import struct
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from devices.checkpoint import from_bytes, to_bytes
from node.controller.forecast import LoadForecast
from node.controller.kinetic import Transfers

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RackBook:
    """What racks owe each other and were warned of.

    Parameters
    ----------
    owed_wh : float64 (n_racks, n_racks)
        `[borrower, lender]`, in the lender's storage.
    warned_s, warned_w : float64 (n_ahead + 1, n_racks)
        Since when an overload is predicted for the step with a number modulo n_ahead + 1, unix time, and the load
        predicted last; nan: none is.
    moving_w : float64 (n_devices,)
        What storages do for transfers: the rest of their power is their owners'.
    """

    owed_wh: FloatArray
    warned_s: FloatArray
    warned_w: FloatArray
    moving_w: FloatArray


@dataclass(frozen=True, slots=True)
class RackMemory:
    """All that the rack controller remembers."""

    forecast: LoadForecast
    transfers: Transfers
    book: RackBook

    def to_bytes(self) -> bytes:
        """Return the memory as bytes; equal memories give equal bytes."""
        parts = [to_bytes(part) for part in (self.forecast, self.transfers, self.book)]
        return struct.pack("<III", *map(len, parts)) + b"".join(parts)


def memory_from_bytes(data: bytes) -> RackMemory:
    """Return the memory that `RackMemory.to_bytes` wrote.

    Raises
    ------
    BadCheckpoint
        If the bytes are none.
    """
    sizes = struct.unpack("<III", data[:12]) if len(data) >= 12 else (0, 0, 0)
    ends = 12 + np.cumsum(sizes)
    transfers = from_bytes(Transfers, data[ends[0] : ends[1]])
    count = int(np.ravel(transfers.n_switches)[0])  # a record of arrays keeps a number as an array
    return RackMemory(
        # Before bursts were followed, only the long spread was kept.
        from_bytes(LoadForecast, data[12 : ends[0]], {"burst_w2": lambda kept: kept["square_w2"].copy()}),
        replace(transfers, n_switches=count),
        from_bytes(RackBook, data[ends[1] :]),
    )


@dataclass(frozen=True, slots=True)
class Overload:
    """A step in which a rack drew more than its feed carries, or was expected to.

    Parameters
    ----------
    rack : int
    at_s : float
        Unix time of the step.
    first_s : float
        Since when it was predicted, nan: it was not.
    predicted_w : float
        Upper edge of the last prediction before the step, nan: none.
    load_w, limit_w : float
        What came, and what the feed carries.
    """

    rack: int
    at_s: float
    first_s: float
    predicted_w: float
    load_w: float
    limit_w: float

    @property
    def is_real(self) -> bool:
        """Return whether the load passed the limit."""
        return self.load_w > self.limit_w

    @property
    def is_predicted(self) -> bool:
        """Return whether somebody had said so before."""
        return not np.isnan(self.first_s)


@dataclass(frozen=True, slots=True)
class TransferRecord:
    """Energy that one rack's storages gave another over the ties, or got back, without a pause.

    Parameters
    ----------
    source, target : int
        Racks.
    is_back : bool
        A loan given back.
    start_s, end_s : float
        Unix time, inside one interval.
    given_wh, arrived_wh : float
        At the two racks' terminals.
    expected_w, for_s : float
        The load for which it began (predicted, or measured if `for_s` is not later than the start), and when; nan
        for what is given back.
    """

    source: int
    target: int
    is_back: bool
    start_s: float
    end_s: float
    given_wh: float
    arrived_wh: float
    expected_w: float
    for_s: float


@dataclass(frozen=True, slots=True)
class RackOutcome:
    """What happened among tied racks in an interval.

    Parameters
    ----------
    lent_wh, returned_wh, owed_wh : float64 (n_racks, n_racks)
        `[borrower, lender]` in the lender's storage; owed: at the interval's end.
    n_switches : int
        Beginnings and ends of help in the interval.
    """

    overloads: tuple[Overload, ...]
    transfers: tuple[TransferRecord, ...]
    lent_wh: FloatArray
    returned_wh: FloatArray
    owed_wh: FloatArray
    n_switches: int
