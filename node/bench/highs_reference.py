"""The network auction as a linear program, solved by HiGHS: the independent reference of tests and benchmark."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from market.network_auction import MarketTree
from market.orders import OrderArrays


@dataclass(frozen=True, slots=True)
class Optimum:
    """Greatest welfare in pico-credits, as a float, and the processor time of the solver alone."""

    welfare_pico: float
    seconds: float


def solve(
    orders: OrderArrays,
    node: NDArray[np.int64],
    tree: MarketTree,
    fee_micro_per_kwh: int = 0,
    volume_bonus_micro_per_kwh: float = 0.0,
    time_limit_s: float | None = None,
) -> Optimum | None:
    """Return the optimum of the linear program, None if HiGHS ran into the time limit.

    Parameters
    ----------
    orders, node, tree, fee_micro_per_kwh
        As in `market.network_auction.clear`.
    volume_bonus_micro_per_kwh : float
        Added to every bid: a bonus below one price step over the depth of the book makes volume the second aim.
    time_limit_s : float | None
        Limit of HiGHS.

    Notes
    -----
    Variables are the fills and, per edge, energy out and energy in; one balance per node.
    """
    n_orders, n_nodes = len(orders), tree.n_nodes
    edges = np.flatnonzero(tree.parent >= 0)
    sign = np.where(orders.is_buy, 1.0, -1.0)
    gain = sign * orders.limit_micro_per_kwh - fee_micro_per_kwh
    gain = gain + volume_bonus_micro_per_kwh * orders.is_buy
    fee = tree.fee_micro_per_kwh[edges].astype(np.float64)
    cost = np.concatenate([-gain, fee, fee])
    outward = n_orders + np.arange(edges.size)
    inward = outward + edges.size
    columns = np.concatenate([np.arange(n_orders), outward, outward, inward, inward])
    rows = np.concatenate([node, edges, tree.parent[edges], edges, tree.parent[edges]])
    one = np.ones(edges.size)
    values = np.concatenate([-sign, -one, one, one, -one])
    balance = csr_matrix((values, (rows, columns)), shape=(n_nodes, cost.size))
    upper = np.concatenate(
        [orders.quantity_milli_wh, tree.export_cap_milli_wh[edges], tree.import_cap_milli_wh[edges]]
    ).astype(np.float64)
    solve: Any = linprog  # its stubs know neither sparse constraints nor options built at run time
    options = {} if time_limit_s is None else {"time_limit": time_limit_s}
    started = time.process_time()
    result = solve(
        cost,
        A_eq=balance,
        b_eq=np.zeros(n_nodes),
        bounds=np.stack([np.zeros(upper.size), upper], axis=1),
        method="highs",
        options=options,
    )
    seconds = time.process_time() - started
    return Optimum(-float(result.fun), seconds) if result.status == 0 else None
