"""Clear one uniform-price call auction in exact integers: price, volume and the fill of every order.

Every order is a step of supply at a key: a sell of `q` supplies `q`, and a buy of `q` is a fixed demand of
`q` plus a step of supply at its own limit (below it the buyer rather gives the energy back). The auction
takes the cheapest steps until they equal the whole demand. With `key = 2 * tick + is_buy` sells come before
buys at equal price, so that volume is greatest among all optima of welfare, and the group on the margin is
all sells or all buys: it is shared by largest remainder, ties to the lower row.

Cost is linear in the orders and nothing is sorted: see `market.auction_cut`.

References
----------
Uniform-price call auction and its k-pricing rule: R. Wilson, "Incentive efficiency of double auctions",
Econometrica 53 (1985); M. Satterthwaite, S. Williams, "Bilateral trade with the sealed bid k-double
auction", J. Economic Theory 48 (1989).
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from market.auction_cut import cut
from market.orders import OrderArrays


class PriceRule(IntEnum):
    """Where in `[low, high]` the price lies: `low + (high - low) * k // 1000`.

    Every price of the crossing interval clears the same fills; the rule only shares the surplus. Rounding
    goes down, towards the buyers, by less than one micro-credit per kWh, and never leaves the interval.
    """

    LOW = 0
    MID = 500
    HIGH = 1000


@dataclass(frozen=True, slots=True)
class AuctionResult:
    """What one auction decided.

    Attributes
    ----------
    price_micro_per_kwh : int | None
        The net price, before the fee of either side. None if a side of the book is empty; if the best bid
        lies below the best offer, the price is indicative and the volume zero.
    low_micro_per_kwh, high_micro_per_kwh : int | None
        The crossing interval: every net price in it supports exactly these fills. One bound is None if a
        side of the book is empty, both if the book is.
    volume_milli_wh : int
        Energy bought, which equals the energy sold.
    fills_milli_wh : NDArray[np.int64]
        Energy that each order got, `(n_orders,)`.
    """

    price_micro_per_kwh: int | None
    low_micro_per_kwh: int | None
    high_micro_per_kwh: int | None
    volume_milli_wh: int
    fills_milli_wh: NDArray[np.int64]


def clear(
    orders: OrderArrays, fee_micro_per_kwh: int = 0, price_rule: PriceRule = PriceRule.MID
) -> AuctionResult:
    """Clear the orders of one interval at one price.

    Parameters
    ----------
    orders : OrderArrays
        Open orders, limits all-in, rows in the order of the tie rule, `(n_orders,)`.
    fee_micro_per_kwh : int
        Operator's fee, paid by either side, >= 0: a buyer pays `price + fee <= limit`, a seller receives
        `price - fee >= limit`.
    price_rule : PriceRule
        Where the price lies inside the crossing interval.

    Returns
    -------
    AuctionResult
        Fills of the greatest welfare and, among those, of the greatest volume.

    Raises
    ------
    ValueError
        If the fee is negative.
    BookInconsistent
        If the quantities of the book sum to 2**62 mWh or more.

    Notes
    -----
    Welfare is `sum(fill * (limit of a buy)) - sum(fill * (limit of a sell)) - 2 * fee * volume`.
    """
    if fee_micro_per_kwh < 0:
        raise ValueError(f"fee_micro_per_kwh is {fee_micro_per_kwh}: need a fee >= 0")
    margin = cut(orders, fee_micro_per_kwh)
    return AuctionResult(
        price_micro_per_kwh=price_inside(margin.low, margin.high, price_rule),
        low_micro_per_kwh=margin.low,
        high_micro_per_kwh=margin.high,
        volume_milli_wh=margin.volume,
        fills_milli_wh=margin.fills,
    )


def price_inside(low: int | None, high: int | None, price_rule: PriceRule) -> int | None:
    """Return the price that the rule picks in `[low, high]`, None if a bound is missing."""
    if low is None or high is None:
        return None
    return low + (high - low) * int(price_rule) // 1000
