"""Price zones of a community, as the store has them."""

import numpy as np
from sqlalchemy import Connection, select

from market.network_auction_tree import MarketTree
from market.zones import Zoning
from node.store.tables_market import accounts, zones


def load_zoning(connection: Connection) -> Zoning | None:
    """Return who trades in which zone; None where all trade at one price."""
    rows = connection.execute(select(zones).order_by(zones.c.zone)).all()
    if not rows:
        return None
    tree = MarketTree(
        *(
            np.array([getattr(row, name) for row in rows], np.int64)
            for name in ("parent", "import_cap_milli_wh", "export_cap_milli_wh", "fee_micro_per_kwh")
        )
    )
    where = connection.execute(select(accounts.c.account, accounts.c.zone).order_by(accounts.c.account)).all()
    return Zoning(
        np.array([row.account for row in where], np.int64),
        np.array([row.zone for row in where], np.int64),
        tree,
    )
