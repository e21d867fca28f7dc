"""Doubt: how much of what an account expects to need is worth a bid, and at which limit.

What is bought and not used comes back as imbalance at the supplier's long tariff. Just below the short tariff such a
bid gains next to nothing where it is used and loses nearly the whole spread where it is not, so a bid for all of
a forecast is worth less the more similar times differ (the newsvendor's rule, for one order instead of a ladder).

References
----------
F. Y. Edgeworth, "The mathematical theory of banking", J. R. Stat. Soc. 51 (1888) 113-127: the critical fractile.
"""

import numpy as np
from numpy.typing import NDArray

from node.agent.strategy.outlook import Floats, Outlook

Ints = NDArray[np.int64]


def worth_bidding(
    outlook: Outlook, rows: Ints, columns: Ints, low_wh: Floats, high_wh: Floats, top_limit: Floats
) -> tuple[Floats, Floats]:
    """Return down to which net export an account bids for energy, and its limit, `(n_keys,)` each.

    Parameters
    ----------
    rows, columns : Ints
        Account and interval of each key.
    low_wh, high_wh : Floats
        Net export as forecast, after its storages gave all they can, and the position: what lies between is missing.
    top_limit : Floats
        What a bid is worth that is surely used, micro-credit per kWh.

    Notes
    -----
    With used = mean over similar times of the part of `high - low` that they would have needed, all of it is
    worth `long + used * (top - long)`. Where the market is expected to be dearer, only what every similar time
    needed is bid for, at `top`. Without similar times the forecast counts as sure.
    """
    if not outlook.similar_net_wh.shape[0]:
        return low_wh, top_limit
    similar_wh = outlook.similar_net_wh[:, rows, columns] - outlook.net_export_wh[rows, columns] + low_wh
    similar_wh = np.where(np.isfinite(similar_wh), similar_wh, low_wh)
    length_wh = np.maximum(high_wh - low_wh, 1e-9)
    used_pu = (np.clip(high_wh - similar_wh, 0.0, length_wh) / length_wh).mean(axis=0)
    long = outlook.long_micro_per_kwh[rows, columns]
    all_limit = long + used_pu * (top_limit - long)
    price = outlook.price_micro_per_kwh[outlook.zone[rows], columns] + outlook.fee_micro_per_kwh
    sure_wh = np.clip(similar_wh.max(axis=0), low_wh, np.maximum(high_wh, low_wh))
    is_all = all_limit >= price
    return np.where(is_all, low_wh, sure_wh), np.where(is_all, all_limit, top_limit)
