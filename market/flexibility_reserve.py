"""The reserve auction: who holds power ready for a service, at one price, in exact integers.

A reserve is power held for a time, so its quantity is an energy (mWh of availability per interval) and its price is
per kWh of it: `price * quantity` is money exactly, as everywhere in the market. The buyer is one order at the most it
pays; members offer what they can hold above their owners' reserves. It is the market's own auction
(`market.auction`): cheapest offers first, the marginal tier shared by largest remainder, and the price that of the
dearest offer taken, so that nobody who is taken loses by having offered its true cost.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.auction import PriceRule, clear
from market.errors import SettlementError
from market.orders import OrderArrays

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReserveOffers:
    """Members' offers, rows in the order of the tie rule, `(n_offers,)`.

    Attributes
    ----------
    account : IntArray
    quantity_milli_wh : IntArray
        Power held, times the service's length, >= 0.
    price_micro_per_kwh : IntArray
        Least price per kWh of availability, >= 0.
    """

    account: IntArray
    quantity_milli_wh: IntArray
    price_micro_per_kwh: IntArray

    def __post_init__(self) -> None:
        for name in ("quantity_milli_wh", "price_micro_per_kwh"):
            values = getattr(self, name)
            if values.shape != self.account.shape:
                raise SettlementError(f"{name} has shape {values.shape}, account has {self.account.shape}")
            if values.size and int(values.min()) < 0:
                raise SettlementError(f"{name} is negative in row {int(values.argmin())}")


@dataclass(frozen=True, slots=True)
class Reserve:
    """What the auction decided: fills by offer, the price (0 if nothing was taken), and what it costs the buyer."""

    fills_milli_wh: IntArray
    price_micro_per_kwh: int

    @property
    def quantity_milli_wh(self) -> int:
        """All that is held."""
        return int(self.fills_milli_wh.sum())

    @property
    def cost_pico(self) -> int:
        """What the buyer pays in."""
        return self.price_micro_per_kwh * self.quantity_milli_wh


def procure(offers: ReserveOffers, required_milli_wh: int, most_micro_per_kwh: int) -> Reserve:
    """Buy a reserve.

    Parameters
    ----------
    required_milli_wh : int
        Power needed times the service's length, > 0.
    most_micro_per_kwh : int
        The most the buyer pays per kWh of availability, > 0.

    Raises
    ------
    SettlementError
        If nothing is required, or at no price.
    """
    if required_milli_wh <= 0 or most_micro_per_kwh <= 0:
        raise SettlementError(
            f"required {required_milli_wh} mWh at most {most_micro_per_kwh} micro-credit per kWh: need > 0"
        )
    orders = OrderArrays(
        account=np.append(offers.account, 0),
        is_buy=np.append(np.zeros(offers.account.size, np.bool_), True),
        quantity_milli_wh=np.append(offers.quantity_milli_wh, required_milli_wh),
        limit_micro_per_kwh=np.append(offers.price_micro_per_kwh, most_micro_per_kwh),
    )
    result = clear(orders, price_rule=PriceRule.LOW)
    fills = result.fills_milli_wh[:-1]
    if not result.volume_milli_wh:
        return Reserve(np.zeros_like(fills), 0)
    # The lower end of the crossing interval may lie below a taken offer of a shared tier only by rounding of ticks:
    # the price is that of the dearest offer taken, said directly.
    return Reserve(fills, int(offers.price_micro_per_kwh[fills > 0].max()))
