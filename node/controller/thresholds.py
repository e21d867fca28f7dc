"""Storages that nobody plans: energy for those that ask for it, and the owner's load for those that offer some.

Firmware says how much it asks for and offers; here it is decided how fast. Powers are written into the period's plan.
"""

import numpy as np

from node.controller.control_plan import ControlPlan
from node.controller.network import FloatArray, IntArray, sum_by
from node.controller.reasons import Reason

SECONDS_PER_HOUR = 3_600.0
# A device that asked for energy gets it over at least this time, however short the interval's rest is.
REQUEST_TIME_S = 60.0
# What is offered is taken over an hour; less than this share of a converter's power loses too much in it.
OFFER_TIME_H = 1.0
LEAST_OFFER_PU = 0.05


def serve_requests(
    free: IntArray, request_wh: FloatArray, left_s: float, low: FloatArray, base: FloatArray, reason: IntArray
) -> None:
    """Charge free storages that asked for energy.

    Parameters
    ----------
    free : int64 (k,)
        Storages without plan whose account has no target.
    request_wh, low : float64 (n_devices,)
        What is asked for, >= 0, and the lowest power each can hold.
    left_s : float
        Until the interval's end.
    base, reason : (n_devices,)
        Written: power and `Reason.REQUEST`.
    """
    asking = free[request_wh[free] > 0.0]
    p_w = -request_wh[asking] * (SECONDS_PER_HOUR / max(left_s, REQUEST_TIME_S))
    base[asking] = np.maximum(p_w, low[asking])
    reason[asking] = Reason.REQUEST


def take_offers(
    plan: ControlPlan,
    free: IntArray,
    offer_wh: FloatArray,
    high: FloatArray,
    base: FloatArray,
    reason: IntArray,
) -> None:
    """Let free storages that offer energy carry their own account's load, and nobody else's.

    Parameters
    ----------
    free : int64 (k,)
        Storages without plan whose account has no target.
    offer_wh, high : float64 (n_devices,)
        What is offered, >= 0, and the highest power each can hold.
    base, reason : (n_devices,)
        Read: what the account's other devices do. Written: power and `Reason.CONTRIBUTES`.
    """
    p_w = np.minimum(offer_wh[free] / OFFER_TIME_H, high[free])
    is_worth = (p_w > LEAST_OFFER_PU * plan.params.p_discharge_max_w[free]) & (base[free] == 0.0)
    giving, p_w = free[is_worth], p_w[is_worth]
    account = plan.account_of_device
    import_w = np.maximum(-sum_by(account, base, plan.n_accounts), 0.0)
    offered_w = sum_by(account[giving], p_w, plan.n_accounts)
    share = np.minimum(import_w / np.where(offered_w > 0.0, offered_w, 1.0), 1.0)
    base[giving] = p_w * share[account[giving]]
    reason[giving[base[giving] > 0.0]] = Reason.CONTRIBUTES
