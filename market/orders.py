"""Orders and fills: what is signed, what the auction sees, what clearing returns."""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from market.errors import BookInconsistent, OrderRefused, RefusalReason
from market.units import MAX_PRICE_MICRO_PER_KWH, MAX_QUANTITY_MILLI_WH

MAX_LANES = 32
MAX_INTERVAL = 2**24 - 1
MAX_ACCOUNT = 2**32 - 1
MAX_EPOCH = 2**24 - 1
MAX_GROUP = 2**16 - 1


class Source(IntEnum):
    """Where energy comes from: what a buyer would like, or what a seller delivers."""

    ANY = 0
    SOLAR = 1
    STORAGE = 2


@dataclass(frozen=True, slots=True)
class Wish:
    """With whom, and from what, the owner of an order would like to trade; it stands beside the signed order.

    A wish decides only who is shown as the partner of a fill (`market.pairing`), never whether there is one or
    what it costs. It is therefore not part of what is signed and settled.

    Attributes
    ----------
    source : Source
        Of a bid: what it would like. Of an offer: what it delivers from.
    partner : int
        Account to trade with; 0 for none.
    group : int
        Group (club, building, family) to trade within; 0 for none.
    """

    source: Source = Source.ANY
    partner: int = 0
    group: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.partner <= MAX_ACCOUNT or not 0 <= self.group <= MAX_GROUP:
            raise OrderRefused(
                RefusalReason.WISH,
                f"partner {self.partner} or group {self.group} is out of range: "
                f"need 0..{MAX_ACCOUNT} and 0..{MAX_GROUP}",
            )


NO_WISH = Wish()


@dataclass(frozen=True, slots=True)
class Order:
    """A bid or offer for every interval in `first..last`, as its agent signs it (EIP-712).

    `limit_micro_per_kwh` is all-in: a buyer never pays more and a seller never receives less per kWh,
    the operator's fee included. A quantity of zero cancels the lane's earlier order.
    """

    account: int
    epoch: int
    is_buy: bool
    lane: int
    first: int
    last: int
    quantity_milli_wh: int
    limit_micro_per_kwh: int

    def check(self) -> None:
        """Refuse what no settlement could carry.

        Raises
        ------
        OrderRefused
            With the field that is out of range and its bounds.
        """
        if self._fits():
            return
        _bounded(self.account, 2, MAX_ACCOUNT, "account", RefusalReason.MALFORMED)
        _bounded(self.epoch, 1, MAX_EPOCH, "epoch", RefusalReason.WRONG_EPOCH)
        _bounded(self.lane, 0, MAX_LANES - 1, "lane", RefusalReason.LANE)
        _bounded(self.first, 0, MAX_INTERVAL, "first interval", RefusalReason.VALIDITY)
        _bounded(self.last, self.first, MAX_INTERVAL, "last interval", RefusalReason.VALIDITY)
        _bounded(self.quantity_milli_wh, 0, MAX_QUANTITY_MILLI_WH, "quantity (mWh)", RefusalReason.QUANTITY)
        _bounded(
            self.limit_micro_per_kwh,
            -MAX_PRICE_MICRO_PER_KWH,
            MAX_PRICE_MICRO_PER_KWH,
            "limit (micro-credit per kWh)",
            RefusalReason.LIMIT,
        )

    def _fits(self) -> bool:
        """Tell at once that plain integers are all in range, which nearly every order's are."""
        return (
            type(self.account) is type(self.epoch) is type(self.lane) is type(self.first) is int
            and type(self.last) is type(self.quantity_milli_wh) is type(self.limit_micro_per_kwh) is int
            and 2 <= self.account <= MAX_ACCOUNT
            and 1 <= self.epoch <= MAX_EPOCH
            and 0 <= self.lane < MAX_LANES
            and 0 <= self.first <= self.last <= MAX_INTERVAL
            and 0 <= self.quantity_milli_wh <= MAX_QUANTITY_MILLI_WH
            and -MAX_PRICE_MICRO_PER_KWH <= self.limit_micro_per_kwh <= MAX_PRICE_MICRO_PER_KWH
        )


def _bounded(value: int, low: int, high: int, name: str, reason: RefusalReason) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise OrderRefused(reason, f"{name} is {value!r}: need an integer in {low}..{high}")


@dataclass(frozen=True, slots=True)
class OrderArrays:
    """The open orders of one round for one interval, as arrays of equal length `(n_orders,)`.

    Rows are sorted by arrival sequence, then order hash: the documented tie rule is the row number.
    `largest_milli_wh` is the largest quantity, 0 of no orders: auctions bound their sums by it.
    """

    account: NDArray[np.int64]
    is_buy: NDArray[np.bool_]
    quantity_milli_wh: NDArray[np.int64]
    limit_micro_per_kwh: NDArray[np.int64]
    largest_milli_wh: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        n = self.account.shape
        for name in ("is_buy", "quantity_milli_wh", "limit_micro_per_kwh"):
            if getattr(self, name).shape != n:
                raise BookInconsistent(f"{name} has shape {getattr(self, name).shape}, account has {n}")
        # Read as unsigned, a negative quantity is larger than any that may be: one look tells both.
        quantity = self.quantity_milli_wh.view(np.uint64)
        largest = int(quantity.max()) if quantity.size else 0
        object.__setattr__(self, "largest_milli_wh", largest)
        if largest >= 2**63:
            raise BookInconsistent(
                f"quantity_milli_wh is negative in row {int(self.quantity_milli_wh.argmin())}"
            )

    def __len__(self) -> int:
        return int(self.account.size)
