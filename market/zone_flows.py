"""Where the money between zones goes: flows over edges, grid fees and congestion rent, exact in integers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.errors import BookInconsistent
from market.network_auction_tree import MarketTree, lay_out, subtree_sums

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EdgeFlows:
    """What one round sent over each zone's edge to its parent, `(n_zones,)`; nothing at the root.

    Attributes
    ----------
    flow_milli_wh : NDArray[np.int64]
        > 0 from the zone to its parent.
    fee_pico : tuple[int, ...]
        Grid fee of the edge times the energy that crossed it.
    rent_pico : tuple[int, ...]
        Difference of the prices at both ends times the flow, less the fee: what a full edge earns.
    """

    flow_milli_wh: IntArray
    fee_pico: tuple[int, ...]
    rent_pico: tuple[int, ...]


def edge_flows(tree: MarketTree, net_export_milli_wh: IntArray, prices: tuple[int | None, ...]) -> EdgeFlows:
    """Return flows, fees and rents of a round.

    Parameters
    ----------
    net_export_milli_wh : NDArray[np.int64]
        Sold minus bought by zone, `(n_zones,)`; they sum to zero.
    prices : tuple[int | None, ...]
        Price by zone before the operator's fee; None where nothing traded.

    Raises
    ------
    BookInconsistent
        If energy does not balance, or an edge with a flow has an end without a price.

    Notes
    -----
    Fees and rents of all edges sum to what buyers paid less what sellers received.
    """
    if int(net_export_milli_wh.sum()):
        raise BookInconsistent(f"zones sell {int(net_export_milli_wh.sum())} mWh more than they buy")
    layout = lay_out(tree.parent)
    flow = subtree_sums(layout, net_export_milli_wh[layout.node_at])[layout.position]
    fees, rents = [], []
    for zone, (parent, sent) in enumerate(zip(tree.parent.tolist(), flow.tolist(), strict=True)):
        if parent < 0 or sent == 0:
            fees.append(0)
            rents.append(0)
            continue
        here, above = prices[zone], prices[parent]
        if here is None or above is None:
            raise BookInconsistent(
                f"{sent} mWh cross the edge of zone {zone}, which has an end without a price"
            )
        fees.append(int(tree.fee_micro_per_kwh[zone]) * abs(sent))
        rents.append((above - here) * sent - fees[-1])
    return EdgeFlows(flow, tuple(fees), tuple(rents))
