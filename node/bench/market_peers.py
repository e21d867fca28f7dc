"""Other markets on the same orders, where they are installed: pymarket and lightmatchingengine, both from PyPI."""

import importlib
import time
from typing import Any

import numpy as np

from market.orders import OrderArrays

INSTALL = (
    ".venv/bin/python -m pip install --target DIRECTORY pymarket lightmatchingengine; "
    "then scripts/bench market --peers DIRECTORY"
)


def pymarket_seconds(orders: OrderArrays) -> float | None:
    """Return the processor time of pymarket's double auction (MUDA) on a book, None if it is not installed.

    Handing in the bids is not counted.
    """
    pymarket = _module("pymarket")
    if pymarket is None:
        return None
    market = pymarket.Market()
    # MUDA loses trades on equal prices: spread them below one unit.
    spread = np.linspace(0.0, 0.5, len(orders))
    # It keeps fees in an array by user, as many as there are: number them from nought.
    _, user = np.unique(orders.account, return_inverse=True)
    rows = zip(
        orders.quantity_milli_wh.tolist(),
        (orders.limit_micro_per_kwh + spread).tolist(),
        user.tolist(),
        orders.is_buy.tolist(),
        strict=True,
    )
    for quantity, price, account, is_buy in rows:
        market.accept_bid(quantity, price, account, is_buy)
    started = time.process_time()
    market.run("muda", r=np.random.RandomState(0))
    return time.process_time() - started


def lightmatchingengine_seconds(orders: OrderArrays) -> float | None:
    """Return the processor time of lightmatchingengine's continuous book on the same orders, None if not installed."""
    engine_module = _module("lightmatchingengine.lightmatchingengine")
    if engine_module is None:
        return None
    engine = engine_module.LightMatchingEngine()
    side = engine_module.Side
    rows = list(
        zip(
            (orders.limit_micro_per_kwh + 1).tolist(),  # zero means a market order there
            orders.quantity_milli_wh.tolist(),
            orders.is_buy.tolist(),
            strict=True,
        )
    )
    started = time.process_time()
    for price, quantity, is_buy in rows:
        if quantity:
            engine.add_order("energy", price, quantity, side.BUY if is_buy else side.SELL)
    return time.process_time() - started


def _module(name: str) -> Any | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
