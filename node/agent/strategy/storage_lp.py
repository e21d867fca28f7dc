"""Plan storages by one sparse linear programme (HiGHS): exact, and the yardstick of the faster value table.

Every storage is a block: charge and discharge along its worth steps, levels in between, a penalty for energy
that is owed and not there, and a boundary value for what is left. The dual of each level's balance is the
marginal value of stored energy, so the plan bids exactly like one from the value table.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from node.agent.strategy.errors import PlanFailed
from node.agent.strategy.outlook import Floats, Outlook
from node.agent.strategy.storage_plan import StoragePlan, check_fit, usual_efficiencies_pu
from node.agent.strategy.storages import StorageCalendar, StorageFleet
from node.agent.strategy.stored_value import StoredValue, StoredWorth, bin_borders
from node.agent.strategy.worth import penalty_micro_per_kwh, worth_steps

# Energy below this (Wh) is noise of the solver.
SOLVER_NOISE_WH = 1e-6
# Micro-credit times Wh per kWh: one unit of the objective is a milli-credit, which keeps it near one.
OBJECTIVE_SCALE = 1e-6


@dataclass(frozen=True, slots=True)
class _Solution:
    """Stored energy in and out `(n_intervals, n_storages)`, levels at interval ends, and their duals."""

    stock_wh: Floats
    out_wh: Floats
    level_wh: Floats
    value_micro_per_kwh: Floats


def plan_by_lp(
    fleet: StorageFleet,
    calendar: StorageCalendar,
    outlook: Outlook,
    energy_wh: Floats,
    previous: StoragePlan | None = None,
) -> StoragePlan:
    """Plan from the levels `energy_wh` (n_storages,) at the start of the horizon; as `plan_storages`, exactly.

    Raises
    ------
    InvalidStorage
        If the calendar, the levels or the owners do not fit fleet and outlook.
    PlanFailed
        If HiGHS finds no optimum.

    Notes
    -----
    Maximise

        sum(discharge_value * out) - sum(charge_value * in) + end_value * e[T] - penalty * missing
        e[t+1] = e[t] + in[t] - out[t] - drain[t] + spilled[t],  0 <= e <= capacity,
        e[t+1] + missing[t+1] >= max(reserve, required[t]).

    Charging and discharging at once can pay only where losing energy is a gain, at negative prices. There the
    direction of the net flow is kept, the other one barred, and the programme solved again.
    """
    check_fit(fleet, calendar, outlook, energy_wh)
    efficiencies = usual_efficiencies_pu(fleet, previous)
    steps = worth_steps(fleet, calendar, outlook)
    worth = StoredWorth.of(fleet, calendar, outlook, steps, efficiencies)
    charge_wh, discharge_wh = worth.charge_wh.copy(), worth.discharge_wh.copy()
    while True:
        found = _solve(
            fleet, calendar, energy_wh, worth, charge_wh, discharge_wh, penalty_micro_per_kwh(outlook)
        )
        is_both = (found.stock_wh > SOLVER_NOISE_WH) & (found.out_wh > SOLVER_NOISE_WH)
        if not is_both.any():
            break
        is_charging = found.stock_wh >= found.out_wh
        discharge_wh[is_both & is_charging] = 0.0
        charge_wh[is_both & ~is_charging] = 0.0
    eta_in, eta_out = efficiencies
    power = (found.out_wh * eta_out - found.stock_wh / eta_in) / outlook.hours
    value = _flat_value(fleet, outlook, found)
    levels = np.vstack([energy_wh[None, :], found.level_wh]).T
    return StoragePlan(
        outlook.first,
        outlook.hours,
        value,
        power.T,
        levels,
        eta_in,
        eta_out,
    )


def _solve(
    fleet: StorageFleet,
    calendar: StorageCalendar,
    energy_wh: Floats,
    worth: StoredWorth,
    charge_wh: Floats,
    discharge_wh: Floats,
    penalty: float,
) -> _Solution:
    """Build and solve the block programme; columns are the steps that exist, then levels, missing, spilled."""
    horizon, n, _ = charge_wh.shape
    cells = horizon * n
    cell = np.arange(cells)
    stock, stock_cell = _columns(charge_wh)
    out, out_cell = _columns(discharge_wh)
    starts = np.cumsum([0, stock.size, out.size, cells, cells])
    n_columns = int(starts[-1]) + cells
    last = cell[cells - n :]
    signs = [-np.ones(stock.size), np.ones(out.size), np.ones(cells), -np.ones(cells - n), -np.ones(cells)]
    rows = [stock_cell, out_cell, cell, cell[n:], cell]
    columns = [
        starts[0] + np.arange(stock.size),
        starts[1] + np.arange(out.size),
        starts[2] + cell,
        starts[2] + cell[: cells - n],
        starts[4] + cell,
    ]
    balance = sparse.csc_array(
        (np.concatenate(signs), (np.concatenate(rows), np.concatenate(columns))), shape=(cells, n_columns)
    )
    start = -worth.drain_wh.ravel()
    start[:n] += energy_wh
    owed = np.maximum(fleet.reserve_wh[None, :], calendar.required_wh.T).ravel()
    is_owed = owed > 0
    rows = [np.arange(is_owed.sum())] * 2
    columns = [starts[2] + cell[is_owed], starts[3] + cell[is_owed]]
    floors = sparse.csc_array(
        (-np.ones(2 * rows[0].size), (np.concatenate(rows), np.concatenate(columns))),
        shape=(rows[0].size, n_columns),
    )
    cost = np.zeros(n_columns)
    cost[starts[0] : starts[1]] = worth.charge_value.ravel()[stock]
    cost[starts[1] : starts[2]] = -worth.discharge_value.ravel()[out]
    cost[starts[2] + last] = -worth.end_value
    cost[starts[3] :] = penalty
    upper = np.full(n_columns, np.inf)
    upper[starts[0] : starts[1]] = charge_wh.ravel()[stock]
    upper[starts[1] : starts[2]] = discharge_wh.ravel()[out]
    upper[starts[2] : starts[3]] = np.tile(fleet.capacity_wh, horizon)
    # scipy takes sparse matrices and arrays of bounds, its stubs do not.
    solved = linprog(
        cost * OBJECTIVE_SCALE,
        A_ub=cast("Any", floors),
        b_ub=-owed[is_owed],
        A_eq=cast("Any", balance),
        b_eq=start,
        bounds=cast("Any", np.stack([np.zeros(n_columns), upper], axis=1)),
        method="highs",
    )
    if solved.status != 0:
        raise PlanFailed(f"HiGHS: {solved.message} ({horizon} intervals, {n} storages)")
    x = solved.x
    shape = (horizon, n)
    return _Solution(
        stock_wh=_sum_cells(stock_cell, x[starts[0] : starts[1]], shape),
        out_wh=_sum_cells(out_cell, x[starts[1] : starts[2]], shape),
        level_wh=x[starts[2] : starts[3]].reshape(shape),
        value_micro_per_kwh=-solved.eqlin.marginals.reshape(shape) / OBJECTIVE_SCALE,
    )


def _columns(length_wh: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the steps that have a length, and the (interval, storage) cell of each."""
    column = np.flatnonzero(length_wh.ravel() > 0)
    return column, column // length_wh.shape[2]


def _sum_cells(cell: NDArray[np.int64], energy_wh: Floats, shape: tuple[int, int]) -> Floats:
    """Return the energy of all steps of each cell."""
    total: Floats = np.bincount(cell, weights=energy_wh, minlength=shape[0] * shape[1]).astype(np.float64)
    return total.reshape(shape)


def _flat_value(fleet: StorageFleet, outlook: Outlook, found: _Solution) -> StoredValue:
    """Return a value table that knows one marginal value per time, and the penalty below the reserve."""
    borders = bin_borders(fleet)
    slopes = np.empty((outlook.n_intervals + 1, len(fleet), borders.shape[1] - 1))
    slopes[1:] = found.value_micro_per_kwh[:, :, None]
    slopes[0] = slopes[1]
    slopes[:, :, 0] += penalty_micro_per_kwh(outlook)
    return StoredValue(borders, slopes)
