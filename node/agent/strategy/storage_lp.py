"""Plan storages by one sparse linear programme (HiGHS): exact, and the yardstick of the faster value table.

Every storage is a block: charge and discharge along its worth steps, levels in between, a penalty for energy
that is owed and not there, and a boundary value for what is left. The dual of each level's balance is the
marginal value of stored energy, so the plan bids exactly like one from the value table.
"""

from dataclasses import dataclass, replace
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

Ints = NDArray[np.int64]

# Energy below this (Wh) is noise of the solver.
SOLVER_NOISE_WH = 1e-6
# Micro-credit times Wh per kWh: one unit of the objective is a milli-credit, which keeps it near one.
OBJECTIVE_SCALE = 1e-6
# Cells in which both directions could pay, up to which the better one is found exactly: a day of quarter hours.
MAX_CHOICES = 200


@dataclass(frozen=True, slots=True)
class _Solution:
    """Stored energy in and out, levels at interval ends and their duals, all `(n_intervals, n_storages)`."""

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
        e[t+1] = e[t] + in[t] - out[t] - drain[t] + missing_trip[t],  0 <= e <= capacity,
        e[t+1] + missing[t+1] >= max(reserve, required[t]).

    Charging and discharging at once can pay only where losing energy is a gain, at negative prices. There one
    direction is chosen by a mixed-integer programme (or, in more than `MAX_CHOICES` such cells, by the net
    flow) and the programme is solved again with the other one barred.
    """
    check_fit(fleet, calendar, outlook, energy_wh)
    efficiencies = usual_efficiencies_pu(fleet, previous)
    steps = worth_steps(fleet, calendar, outlook)
    worth = StoredWorth.of(fleet, calendar, outlook, steps, efficiencies)
    penalty = penalty_micro_per_kwh(outlook)
    no_choice = np.zeros(worth.drain_wh.shape, dtype=bool)
    found = _solve(fleet, calendar, energy_wh, worth, penalty, no_choice)
    while (is_both := _is_both(found)).any():
        is_open = (worth.charge_value[:, :, 0] < worth.discharge_value[:, :, 0]) & ~_is_one_way(worth)
        if is_open.sum() <= MAX_CHOICES:
            chosen, is_both = _solve(fleet, calendar, energy_wh, worth, penalty, is_open), is_open
        else:
            chosen = found
        worth = _bar(worth, is_both, chosen.stock_wh >= chosen.out_wh)
        found = _solve(fleet, calendar, energy_wh, worth, penalty, no_choice)
    eta_in, eta_out = efficiencies
    power = (found.out_wh * eta_out - found.stock_wh / eta_in) / outlook.hours
    levels = np.vstack([energy_wh[None, :], found.level_wh]).T
    value = _flat_value(fleet, outlook, found)
    return StoragePlan(outlook.first, outlook.hours, value, power.T, levels, eta_in, eta_out)


def _is_both(found: _Solution) -> NDArray[np.bool_]:
    """Return where a solution charges and discharges at once."""
    return (found.stock_wh > SOLVER_NOISE_WH) & (found.out_wh > SOLVER_NOISE_WH)


def _is_one_way(worth: StoredWorth) -> NDArray[np.bool_]:
    """Return where only one direction is left (or none), `(n_intervals, n_storages)`."""
    can_charge: NDArray[np.bool_] = worth.charge_wh.max(axis=2) > 0
    can_discharge: NDArray[np.bool_] = worth.discharge_wh.max(axis=2) > 0
    return ~(can_charge & can_discharge)


def _bar(worth: StoredWorth, where: NDArray[np.bool_], is_charging: NDArray[np.bool_]) -> StoredWorth:
    """Return the worth with one direction left in some cells."""
    return replace(
        worth,
        charge_wh=np.where((where & ~is_charging)[:, :, None], 0.0, worth.charge_wh),
        discharge_wh=np.where((where & is_charging)[:, :, None], 0.0, worth.discharge_wh),
    )


def _solve(
    fleet: StorageFleet,
    calendar: StorageCalendar,
    energy_wh: Floats,
    worth: StoredWorth,
    penalty: float,
    is_choice: NDArray[np.bool_],
) -> _Solution:
    """Build and solve the programme; `is_choice` are cells with a binary "charges" (their duals are nought).

    Columns: the charge steps that exist, the discharge steps that exist, then per cell (interval, storage)
    level, missing energy, missing trip energy, then the binaries.
    """
    horizon, n, _ = worth.charge_wh.shape
    cells = horizon * n
    cell = np.arange(cells)
    stock, stock_cell = _existing_steps(worth.charge_wh)
    out, out_cell = _existing_steps(worth.discharge_wh)
    choice = np.flatnonzero(is_choice.ravel())
    starts = np.cumsum([0, stock.size, out.size, cells, cells, cells])
    n_columns = int(starts[-1]) + choice.size
    stock_column, out_column = starts[0] + np.arange(stock.size), starts[1] + np.arange(out.size)
    level, missing, missing_trip = (starts[i] + cell for i in (2, 3, 4))
    balance = _matrix(
        [
            (stock_cell, stock_column, -1.0),
            (out_cell, out_column, 1.0),
            (cell, level, 1.0),
            (cell[n:], level[: cells - n], -1.0),
            (cell, missing_trip, -1.0),
        ],
        (cells, n_columns),
    )
    start = -worth.drain_wh.ravel()
    start[:n] += energy_wh

    owed = np.maximum(fleet.reserve_wh[None, :], calendar.required_wh.T).ravel()
    owed_row = np.cumsum(owed > 0) - 1
    floors = _matrix(
        [(owed_row[owed > 0], columns[owed > 0], -1.0) for columns in (level, missing)],
        (int((owed > 0).sum()), n_columns),
    )
    limits = []
    for steps, step_cell, columns, sign in (
        (worth.charge_wh, stock_cell, stock_column, -1.0),
        (worth.discharge_wh, out_cell, out_column, 1.0),
    ):
        # in <= most * charges, out <= most * (1 - charges)
        is_mine = np.isin(step_cell, choice)
        row = np.searchsorted(choice, step_cell[is_mine])
        most = steps.sum(axis=2).ravel()[choice]
        binary = (np.arange(choice.size), starts[5] + np.arange(choice.size), sign * most)
        shape = (choice.size, n_columns)
        limits.append((_matrix([(row, columns[is_mine], 1.0), binary], shape), np.maximum(sign, 0.0) * most))

    cost = np.zeros(n_columns)
    cost[stock_column] = worth.charge_value.ravel()[stock]
    cost[out_column] = -worth.discharge_value.ravel()[out]
    cost[level[cells - n :]] = -worth.end_value
    cost[missing], cost[missing_trip] = penalty, penalty
    upper = np.full(n_columns, np.inf)
    upper[stock_column] = worth.charge_wh.ravel()[stock]
    upper[out_column] = worth.discharge_wh.ravel()[out]
    upper[level] = np.tile(fleet.capacity_wh, horizon)
    upper[starts[5] :] = 1.0
    # scipy takes sparse matrices and arrays of bounds, its stubs do not.
    solved = linprog(
        cost * OBJECTIVE_SCALE,
        A_ub=cast("Any", sparse.vstack([floors] + [matrix for matrix, _ in limits]).tocsc()),
        b_ub=np.concatenate([-owed[owed > 0]] + [right for _, right in limits]),
        A_eq=cast("Any", balance),
        b_eq=start,
        bounds=cast("Any", np.stack([np.zeros(n_columns), upper], axis=1)),
        method="highs",
        integrality=np.repeat([0, 1], [n_columns - choice.size, choice.size]) if choice.size else None,
    )
    if solved.status != 0 or solved.x is None:
        raise PlanFailed(f"HiGHS: {solved.message} ({horizon} intervals, {n} storages)")
    shape = (horizon, n)
    duals = np.zeros(cells) if choice.size else np.asarray(solved.eqlin.marginals)
    return _Solution(
        stock_wh=_sum_cells(stock_cell, solved.x[stock_column], shape),
        out_wh=_sum_cells(out_cell, solved.x[out_column], shape),
        level_wh=solved.x[level].reshape(shape),
        value_micro_per_kwh=-duals.reshape(shape) / OBJECTIVE_SCALE,
    )


def _existing_steps(length_wh: Floats) -> tuple[Ints, Ints]:
    """Return the steps that have a length, and the (interval, storage) cell of each."""
    step = np.flatnonzero(length_wh.ravel() > 0)
    return step, step // length_wh.shape[2]


def _matrix(entries: list[tuple[Ints, Ints, float | Floats]], shape: tuple[int, int]) -> sparse.csc_array:
    """Return a sparse matrix from groups of (rows, columns, value or values)."""
    values = np.concatenate([np.broadcast_to(value, rows.shape) for rows, _, value in entries])
    rows = np.concatenate([rows for rows, _, _ in entries])
    columns = np.concatenate([columns for _, columns, _ in entries])
    return sparse.csc_array((values, (rows, columns)), shape=shape)


def _sum_cells(cell: Ints, energy_wh: Floats, shape: tuple[int, int]) -> Floats:
    """Return the energy of all steps of each cell."""
    total: Floats = np.bincount(cell, weights=energy_wh, minlength=shape[0] * shape[1]).astype(np.float64)
    return total.reshape(shape)


def _flat_value(fleet: StorageFleet, outlook: Outlook, found: _Solution) -> StoredValue:
    """Return a value table that knows one marginal value per time, and the penalty below the reserve."""
    borders = bin_borders(fleet)
    slopes = np.empty((outlook.n_intervals + 1, len(fleet), borders.shape[1] - 1))
    slopes[1:] = found.value_micro_per_kwh[:, :, None]
    slopes[0] = slopes[1]
    slopes[:, :, 0] += penalty_micro_per_kwh(outlook) * (fleet.reserve_wh > 0)
    return StoredValue(borders, slopes)
