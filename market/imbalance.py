"""Imbalance: what an account's meter shows besides what it traded, and what that costs it.

Everybody answers for the own deviation only: what is missing is bought at the zone's short tariff, what is
too much is sold at the long one, both from the grid account. Whoever delivers as traded pays nothing.
A shortfall that the controller ordered is forgiven up to the signed curtailment.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from market.errors import SettlementError

IntArray = NDArray[np.int64]


def imbalance_milli_wh(
    register_milli_wh: ArrayLike,
    last_register_milli_wh: ArrayLike,
    position_milli_wh: ArrayLike,
    curtailed_milli_wh: ArrayLike = 0,
    short_micro_per_kwh: ArrayLike = 1,
) -> IntArray:
    """Return what each account delivered too much (positive) or too little, net of what is forgiven.

    Parameters
    ----------
    register_milli_wh, last_register_milli_wh : array_like
        Cumulative net export at the end of this interval and of the one before, `(n,)`.
    position_milli_wh : array_like
        Sold minus bought in this interval, `(n,)`.
    curtailed_milli_wh : array_like
        Shortfall that the controller ordered, `(n,)`, >= 0.
    short_micro_per_kwh : array_like
        The zone's short tariff: where it is not positive a shortfall costs nothing, so none is forgiven.

    Notes
    -----
    `register - last_register - position`, and if that is negative, the curtailment added up to zero: the
    same integers as `_read` in contracts/Settlement.vy.
    """
    moved = np.asarray(register_milli_wh, np.int64) - np.asarray(last_register_milli_wh, np.int64)
    imbalance = moved - np.asarray(position_milli_wh, np.int64)
    forgiven = np.minimum(imbalance + np.asarray(curtailed_milli_wh, np.int64), 0)
    is_forgiven = (imbalance < 0) & (np.asarray(short_micro_per_kwh, np.int64) > 0)
    return np.asarray(np.where(is_forgiven, forgiven, imbalance), np.int64)


def receipts_pico(
    imbalance_milli_wh: ArrayLike, short_micro_per_kwh: ArrayLike, long_micro_per_kwh: ArrayLike
) -> list[int]:
    """Return what the grid account pays each account for its imbalance; negative: what the account pays.

    Returns
    -------
    list[int]
        Pico-credit as exact Python integers: the largest imbalance at the largest tariff needs 78 bits.
    """
    imbalance, short, long = np.broadcast_arrays(
        np.asarray(imbalance_milli_wh, np.int64),
        np.asarray(short_micro_per_kwh, np.int64),
        np.asarray(long_micro_per_kwh, np.int64),
    )
    price = np.where(imbalance < 0, short, long)
    return [e * p for e, p in zip(imbalance.ravel().tolist(), price.ravel().tolist(), strict=True)]


def substitute_register_milli_wh(
    last_register_milli_wh: ArrayLike,
    position_milli_wh: ArrayLike,
    capacity_milli_wh: ArrayLike,
    expected_import_milli_wh: ArrayLike = 0,
) -> IntArray:
    """Return the register to assume where a meter's reading is missing, `(n,)`.

    Export that nobody measured does not count as delivered, and import is assumed to be what was bought, or
    what is expected if that is more: `last register + min(position, -expected import)`, within the
    connection's capacity. So nobody gains by withholding a reading: a seller is short of all it sold, a buyer
    is paid for no surplus. The next true register puts the energy right, at that interval's tariff.

    Raises
    ------
    SettlementError
        If an expected import is negative.
    """
    expected = np.asarray(expected_import_milli_wh, np.int64)
    if expected.size and int(expected.min()) < 0:
        raise SettlementError(f"expected import is {int(expected.min())} mWh: need >= 0")
    moved = np.minimum(np.asarray(position_milli_wh, np.int64), -expected)
    moved = np.maximum(moved, -np.asarray(capacity_milli_wh, np.int64))
    return np.asarray(np.asarray(last_register_milli_wh, np.int64) + moved, np.int64)
