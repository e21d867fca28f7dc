"""One auction of an interval by price zones: one price for all, or a price for each place of a network.

Without a zoning all trade at one price (`market.auction`). With one, every zone is a node of a tree of capacities
(`market.network_auction`), and what earlier rounds of the interval traded has used its part of every capacity:
net positions over all rounds keep within them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market import auction, network_auction
from market.errors import BookInconsistent
from market.network_auction_tree import MarketTree, lay_out, subtree_sums
from market.orders import OrderArrays

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Zoning:
    """Who trades in which zone, and the network between zones.

    Attributes
    ----------
    account, zone : NDArray[np.int64]
        Accounts in growing order and the zone of each, `(n_accounts,)`.
    tree : MarketTree
        Zones as nodes: capacities and grid fees of one interval; the root is zone 0.
    """

    account: IntArray
    zone: IntArray
    tree: MarketTree

    def of(self, account: IntArray) -> IntArray:
        """Return the zone of each account, of the shape given.

        Raises
        ------
        BookInconsistent
            If an account is unknown.
        """
        row = np.minimum(np.searchsorted(self.account, account), max(self.account.size - 1, 0))
        if account.size and (not self.account.size or (self.account[row] != account).any()):
            raise BookInconsistent("an order is of an account without a zone")
        return self.zone[row]

    def without(self, cut_zones: int) -> "Zoning":
        """Return the zoning while nothing can flow between some zones and their parents.

        Parameters
        ----------
        cut_zones : int
            Bit z is set where zone z is cut off; what was traded across before may still be taken back.
        """
        if not cut_zones:
            return self
        is_open = np.array([not cut_zones >> zone & 1 for zone in range(self.tree.n_nodes)])
        tree = MarketTree(
            self.tree.parent,
            self.tree.import_cap_milli_wh * is_open,
            self.tree.export_cap_milli_wh * is_open,
            self.tree.fee_micro_per_kwh,
        )
        return Zoning(self.account, self.zone, tree)

    def net_export(self, position_milli_wh: dict[int, int]) -> IntArray:
        """Return what each zone has sold minus bought, from its accounts' positions, `(n_zones,)`."""
        net = np.zeros(self.tree.n_nodes, np.int64)
        accounts = np.fromiter(position_milli_wh, np.int64, len(position_milli_wh))
        positions = np.fromiter(position_milli_wh.values(), np.int64, len(position_milli_wh))
        np.add.at(net, self.of(accounts), positions)
        return net


@dataclass(frozen=True, slots=True)
class ZonalResult:
    """What one auction decided.

    Attributes
    ----------
    zone : NDArray[np.int64]
        Zone of each order, `(n_orders,)`.
    fills_milli_wh : NDArray[np.int64]
        Energy that each order got, `(n_orders,)`.
    prices_micro_per_kwh : tuple[int | None, ...]
        Price by zone, before the fee; None where nothing crossed. Where others traded and no energy passes a
        zone, its price is indicative and lies between theirs.
    low_micro_per_kwh, high_micro_per_kwh : tuple[int | None, ...]
        Prices by zone between which the fills would be the same; on a network the price itself.
    volume_milli_wh : int
        Energy bought, which equals the energy sold.
    net_export_milli_wh : NDArray[np.int64]
        Sold minus bought by zone, `(n_zones,)`.
    """

    zone: IntArray
    fills_milli_wh: IntArray
    prices_micro_per_kwh: tuple[int | None, ...]
    low_micro_per_kwh: tuple[int | None, ...]
    high_micro_per_kwh: tuple[int | None, ...]
    volume_milli_wh: int
    net_export_milli_wh: IntArray

    def price_of(self, row: int) -> int:
        """Return the price of a filled order's zone."""
        price = self.prices_micro_per_kwh[int(self.zone[row])]
        assert price is not None  # nothing is filled without a price
        return price


def clear(
    orders: OrderArrays,
    fee_micro_per_kwh: int = 0,
    zoning: Zoning | None = None,
    traded_milli_wh: IntArray | None = None,
) -> ZonalResult:
    """Clear one round of an interval.

    Parameters
    ----------
    orders : OrderArrays
        Open orders, limits all-in, rows in the order of the tie rule, `(n_orders,)`.
    fee_micro_per_kwh : int
        Operator's fee, paid by either side, >= 0.
    zoning : Zoning, optional
        Zones and the network between them; without, one price for all.
    traded_milli_wh : NDArray[np.int64], optional
        Net export by zone that earlier rounds of the interval traded, `(n_zones,)`.

    Raises
    ------
    BookInconsistent, InfeasibleNetwork, ValueError
        As the auctions say.
    """
    if zoning is None:
        plain = auction.clear(orders, fee_micro_per_kwh)
        return ZonalResult(
            np.zeros(len(orders), np.int64),
            plain.fills_milli_wh,
            (plain.price_micro_per_kwh,),
            (plain.low_micro_per_kwh,),
            (plain.high_micro_per_kwh,),
            plain.volume_milli_wh,
            np.zeros(1, np.int64),
        )
    zone, tree = zoning.of(orders.account), zoning.tree
    if traded_milli_wh is not None:
        tree = remaining(tree, traded_milli_wh)
    result = network_auction.clear(orders, zone, tree, fee_micro_per_kwh)
    prices = _prices(result)
    sold = np.where(orders.is_buy, -result.fills_milli_wh, result.fills_milli_wh)
    net = np.zeros(tree.n_nodes, np.int64)
    np.add.at(net, zone, sold)
    return ZonalResult(zone, result.fills_milli_wh, prices, prices, prices, result.volume_milli_wh, net)


def remaining(tree: MarketTree, traded_milli_wh: IntArray) -> MarketTree:
    """Return the capacities that are left beside a net export by zone, `(n_zones,)`.

    Notes
    -----
    What flows out of a subtree already makes room for as much to come in, and the other way round.
    """
    layout = lay_out(tree.parent)
    flow = subtree_sums(layout, traded_milli_wh[layout.node_at])[layout.position]
    return MarketTree(
        tree.parent,
        np.maximum(tree.import_cap_milli_wh + flow, 0),
        np.maximum(tree.export_cap_milli_wh - flow, 0),
        tree.fee_micro_per_kwh,
    )


def _prices(result: network_auction.NetworkResult) -> tuple[int | None, ...]:
    if not result.volume_milli_wh:
        return (None,) * result.prices_micro_per_kwh.size
    real = result.prices_micro_per_kwh[result.is_binding]
    return tuple(np.clip(result.prices_micro_per_kwh, real.min(), real.max()).tolist())
