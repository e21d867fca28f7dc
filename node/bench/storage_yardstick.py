"""Perfect foresight on wholesale prices, by a linear programme of its own: the yardstick of the price study.

Every day stands alone: the storage is half full at first and must be at least half full at the end, so that
nothing is earned by emptying it once. 1 MWh and 0.5 MW are counted in the store, half of the loss each way. Charging
and discharging at once is not barred, which pays at negative prices and makes the figure a bound from above. The
first week is left out: a naive forecast needs the same day of the week before. On the 728 days of DE it is
24.1501 EUR/day, 24.1225 with the first week.
"""

from typing import Any, Final, cast

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from node.agent.strategy.outlook import Floats
from node.bench.storage_prices import ROUND_TRIP_PU

FIRST_DAY: Final = 7
CAPACITY_MWH: Final = 1.0
MOST_MWH_PER_HOUR: Final = 0.5
LEVEL_MWH: Final = 0.5


def perfect_profit_eur(price_eur_per_mwh: Floats) -> Floats:
    """Return the greatest profit of every day, `(n_days,)`, from real prices `(n_days, n_hours)`.

    Notes
    -----
    Per day, with what enters and leaves the store per hour and eta the root of the round-trip efficiency, maximise

        sum(price * (eta * out - in / eta)),  e[t+1] = e[t] + in[t] - out[t],  e[0] = 0.5 MWh <= e[T],
        0 <= in, out <= 0.5 MWh,  0 <= e <= 1 MWh.

    All days are one programme of independent blocks.

    Raises
    ------
    ArithmeticError
        If HiGHS finds no optimum.
    """
    n_days, n_hours = price_eur_per_mwh.shape
    eta, n = np.sqrt(ROUND_TRIP_PU), price_eur_per_mwh.size
    one = sparse.eye_array(n)
    rise = sparse.kron(sparse.eye_array(n_days), sparse.eye_array(n_hours) - sparse.eye_array(n_hours, k=-1))
    price = price_eur_per_mwh.ravel()
    start = np.zeros((n_days, n_hours))
    start[:, 0] = LEVEL_MWH
    least = np.zeros((n_days, n_hours))
    least[:, -1] = LEVEL_MWH
    solved = linprog(
        np.concatenate([price / eta, -price * eta, np.zeros(n)]),
        # scipy takes sparse matrices and arrays of bounds, its stubs do not.
        A_eq=cast("Any", sparse.csc_array(sparse.hstack([-one, one, rise]))),
        b_eq=start.ravel(),
        bounds=cast(
            "Any",
            np.stack(
                [
                    np.concatenate([np.zeros(2 * n), least.ravel()]),
                    np.concatenate([np.full(2 * n, MOST_MWH_PER_HOUR), np.full(n, CAPACITY_MWH)]),
                ],
                axis=1,
            ),
        ),
        method="highs",
    )
    if solved.status != 0 or solved.x is None:
        raise ArithmeticError(f"HiGHS: {solved.message} ({n_days} days)")
    stored, taken = solved.x[:n], solved.x[n : 2 * n]
    profit: Floats = (price * (eta * taken - stored / eta)).reshape(n_days, n_hours).sum(axis=1)
    return profit
