"""What happened among tied racks in an interval, written to the store."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, insert

from node.hub.rack_records import RackOutcome
from node.store.tables_racks import debts, overloads, transfers

LEAST_WH = 1e-6


def record(connection: Connection, interval: int, outcome: RackOutcome, account: NDArray[np.int64]) -> None:
    """Store an interval's transfers, overloads and debts in the caller's transaction.

    Parameters
    ----------
    account : int64 (n_racks,)
        The ledger account of each rack.
    """
    number = account.tolist()
    _insert(
        connection,
        overloads,
        [
            {
                "interval": interval,
                "account": number[one.rack],
                "at_s": one.at_s,
                "first_s": _known(one.first_s),
                "predicted_w": _known(one.predicted_w),
                "load_w": one.load_w,
                "limit_w": one.limit_w,
            }
            for one in outcome.overloads
        ],
    )
    _insert(
        connection,
        transfers,
        [
            {
                "interval": interval,
                "number": row,
                "kind": "give_back" if one.is_back else "help",
                "source": number[one.source],
                "target": number[one.target],
                "start_s": one.start_s,
                "end_s": one.end_s,
                "given_wh": one.given_wh,
                "arrived_wh": one.arrived_wh,
                "expected_w": _known(one.expected_w),
                "for_s": _known(one.for_s),
            }
            for row, one in enumerate(outcome.transfers)
        ],
    )
    moved = np.argwhere(outcome.lent_wh + outcome.returned_wh > LEAST_WH)
    _insert(
        connection,
        debts,
        [
            {
                "interval": interval,
                "borrower": number[borrower],
                "lender": number[lender],
                "lent_wh": float(outcome.lent_wh[borrower, lender]),
                "returned_wh": float(outcome.returned_wh[borrower, lender]),
                "owed_wh": float(outcome.owed_wh[borrower, lender]),
            }
            for borrower, lender in moved.tolist()
        ],
    )


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
