"""Money KPIs of a community: bills and savings with their sign, welfare, and where every pico-credit went.

Conventions: energies in mWh and money in pico-credit are exact integers; a bill is what a member pays, so a
negative bill is income; a ratio whose denominator is zero is None.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.errors import MarketError
from market.imbalance import receipts_pico

IntArray = NDArray[np.int64]


def supplier_only_bills_pico(
    net_export_milli_wh: IntArray, short_micro_per_kwh: IntArray, long_micro_per_kwh: IntArray
) -> list[int]:
    """Return what each member would pay without the market, `(n_members,)`.

    `bill = sum_t import_t * short_t - export_t * long_t`, per interval and member either import or export.

    Parameters
    ----------
    net_export_milli_wh : IntArray
        Of the reference, `(n_members, n_intervals)`: what the meters would show without the market.
    short_micro_per_kwh, long_micro_per_kwh : IntArray
        Tariff, `(n_intervals,)` or `(n_members, n_intervals)`.
    """
    n_members, n_intervals = net_export_milli_wh.shape
    received = receipts_pico(net_export_milli_wh, short_micro_per_kwh, long_micro_per_kwh)
    return [-sum(received[i * n_intervals : (i + 1) * n_intervals]) for i in range(n_members)]


def market_bills_pico(*receipts: Sequence[int]) -> list[int]:
    """Return what each member pays with the market, `(n_members,)`.

    `bill = -(fills + imbalance + flexibility + ...)`: each argument is what the members received, signed.
    """
    return [-sum(row) for row in zip(*receipts, strict=True)]


def savings_pico(supplier_only_bills_pico: Sequence[int], market_bills_pico: Sequence[int]) -> list[int]:
    """Return each member's saving, with its sign: `supplier-only bill - market bill`."""
    return [a - b for a, b in zip(supplier_only_bills_pico, market_bills_pico, strict=True)]


def share_not_worse_off(savings_pico: Sequence[int]) -> float | None:
    """Return the share of members with a saving >= 0."""
    return sum(s >= 0 for s in savings_pico) / len(savings_pico) if savings_pico else None


@dataclass(frozen=True, slots=True)
class Surplus:
    """Who has how much of the gains from trade, pico-credit; the four parts sum to the welfare.

    Attributes
    ----------
    buyers_pico : int
        `sum q * (limit - all-in price)`.
    sellers_pico : int
        `sum q * (all-in price - limit)`.
    operator_pico : int
        The published fee of both sides: `sum q * fee`.
    grid_pico : int
        Rent of the network: `sum bought * price - sum sold * price`, prices before the fee.
    """

    buyers_pico: int
    sellers_pico: int
    operator_pico: int
    grid_pico: int

    @property
    def welfare_pico(self) -> int:
        """`sum bought * limit - sum sold * limit`."""
        return self.buyers_pico + self.sellers_pico + self.operator_pico + self.grid_pico

    @property
    def buyers_share(self) -> float | None:
        """The buyers' part of the welfare."""
        return self.buyers_pico / self.welfare_pico if self.welfare_pico > 0 else None

    @property
    def sellers_share(self) -> float | None:
        """The sellers' part of the welfare."""
        return self.sellers_pico / self.welfare_pico if self.welfare_pico > 0 else None


def surplus(
    is_buy: NDArray[np.bool_],
    limit_micro_per_kwh: IntArray,
    fill_milli_wh: IntArray,
    zone_price_micro_per_kwh: IntArray,
    fee_micro_per_kwh: int,
) -> Surplus:
    """Return how the gains of filled orders are split, `(n_orders,)` each; prices before the fee."""
    buyers = sellers = grid = volume = 0
    rows = zip(
        is_buy.tolist(),
        limit_micro_per_kwh.tolist(),
        fill_milli_wh.tolist(),
        zone_price_micro_per_kwh.tolist(),
        strict=True,
    )
    for buys, limit, energy, price in rows:
        volume += energy
        if buys:
            buyers += energy * (limit - price - fee_micro_per_kwh)
            grid += energy * price
        else:
            sellers += energy * (price - fee_micro_per_kwh - limit)
            grid -= energy * price
    return Surplus(buyers, sellers, volume * fee_micro_per_kwh, grid)


def welfare_share(welfare_pico: int, optimum_pico: int) -> float | None:
    """Return welfare as a share of the best possible one; 1 is optimal. None if nothing could be gained."""
    return welfare_pico / optimum_pico if optimum_pico > 0 else None


def traded_volume_ratio(bought_milli_wh: int, withdrawn_milli_wh: int) -> float | None:
    """Return the share of the members' metered withdrawals that they bought in the market.

    `bought / sum over members and intervals of import`; above 1 means positions that were not consumed.
    """
    return bought_milli_wh / withdrawn_milli_wh if withdrawn_milli_wh > 0 else None


def imbalance_share(imbalance_milli_wh: IntArray, bought_milli_wh: int) -> float | None:
    """Return the share of settled energy that was imbalance: `sum |imbalance| / (sum |imbalance| + 2 bought)`.

    A traded unit counts on both sides, as an imbalance of a seller and one of a buyer would.
    """
    missed = int(np.abs(imbalance_milli_wh).sum())
    settled = missed + 2 * bought_milli_wh
    return missed / settled if settled else None


def budget_gap_pico(
    balances_before_pico: Sequence[int], balances_after_pico: Sequence[int], minted_pico: int
) -> int:
    """Return the money that appeared from nowhere: `sum after - sum before - minted`; it must be zero.

    All accounts count, GRID and FEES too; `minted_pico` is minted less burnt in between.
    """
    return sum(balances_after_pico) - sum(balances_before_pico) - minted_pico


def path_fees_pico(flow_milli_wh: Sequence[int], edge_fee_micro_per_kwh: Sequence[int]) -> int:
    """Return the grid fees of trades by distance: `sum over edges of |flow| * fee of the edge`."""
    return sum(abs(e) * f for e, f in zip(flow_milli_wh, edge_fee_micro_per_kwh, strict=True))


@dataclass(frozen=True, slots=True)
class PriceRange:
    """Lowest, highest and volume-weighted mean price of a time, micro-credit per kWh."""

    low_micro_per_kwh: int
    high_micro_per_kwh: int
    mean_micro_per_kwh: float


def price_range(price_micro_per_kwh: Sequence[int], volume_milli_wh: Sequence[int]) -> PriceRange | None:
    """Return the range of prices at which anything was traded; None if nothing was.

    `mean = sum price * volume / sum volume`.
    """
    if any(v < 0 for v in volume_milli_wh):
        raise MarketError("a traded volume is negative")
    traded = [(p, v) for p, v in zip(price_micro_per_kwh, volume_milli_wh, strict=True) if v]
    if not traded:
        return None
    prices = [p for p, _ in traded]
    mean = sum(p * v for p, v in traded) / sum(v for _, v in traded)
    return PriceRange(min(prices), max(prices), mean)
