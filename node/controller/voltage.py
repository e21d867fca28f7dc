"""Dynamic voltage optimisation: what every tap position would do now, and the best sequence of positions.

| symbol | name in code | meaning |
|---|---|---|
| a | `position` | tap position; the source's voltage is (1 + a·step) times its voltage at position 0 |
| P(a) | `drawn_w` | power at the source at that position: loads, losses, and what thermostats take back later |
| v | `low_pu`, `high_pu` | lowest and highest voltage at any customer's terminal, on its own phase |
| ρ | `rebound_ratio` | τ/τ_r of a thermostatic load: 0 takes nothing back, inf takes back everything |

Notes
-----
Lower voltage saves on loads that draw less for good. It saves nothing on constant power (which then draws more
current and loses more in the lines), and little on a thermostat, which runs longer: in the long run it draws
z·(1 + ρ)/(1 + z·ρ) of its need, where z is what its element draws at that voltage (devices/load.py solved for a
steady need: D = τ·(need - drawn)). So `drawn_w` counts the rebound when the voltage is chosen, not after.

The best sequence is found by dynamic programming over (step, position, switchings used): exhaustive, because a
step's power depends on its own position only once the rebound is in it.

References
----------
K. P. Schneider et al., Evaluation of Conservation Voltage Reduction (CVR) on a National Level, PNNL-19596 (2010);
Z. Wang, J. Wang, Review on implementation and assessment of conservation voltage reduction, IEEE Trans. Power
Systems 29 (2014) 1306-1315, doi:10.1109/TPWRS.2013.2288518. Band of customers: EN 50160 allows ±10 %; ±5 % leaves
the rest to the house (ANSI C84.1 range A).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from node.controller.errors import InvalidRequest
from node.controller.network import FloatArray, IntArray
from node.controller.powerflow import DoesNotConverge, Feeder, Flow, PhaseLoads, solve

BoolArray = NDArray[np.bool_]

# Voltages solved at once: 4e6 complex numbers are 64 MB.
MOST_VALUES_AT_ONCE = 4_000_000
# Outside the band a position is as bad as this power per unit of voltage: the band always comes first.
OUTSIDE_W_PER_PU = 1e12
# Solar gives way in shares of a twentieth.
SOLAR_SHARES = np.linspace(0.0, 1.0, 21)
# Power flow tolerance: a hundredth of the smallest step's effect on a customer.
TOLERANCE_V = 1e-4


@dataclass(frozen=True, slots=True)
class Band:
    """What every customer is promised, per unit of the rated voltage."""

    low_pu: float = 0.95
    high_pu: float = 1.05

    def within(self, margin_pu: float) -> "Band":
        """Return a narrower band: what is aimed at, so that small errors stay in this one."""
        return Band(self.low_pu + margin_pu, self.high_pu - margin_pu)

    def outside_pu(self, low_pu: FloatArray, high_pu: FloatArray) -> FloatArray:
        """Return by how much the lowest or the highest voltage lies outside, 0 inside."""
        return np.maximum(np.maximum(self.low_pu - low_pu, high_pu - self.high_pu), 0.0)


@dataclass(frozen=True, slots=True)
class TapChanger:
    """A transformer that changes its ratio under load, or a line regulator.

    Parameters
    ----------
    step_pu : float
        Voltage per position, of position 0's.
    lowest, highest : int
        End positions, lowest <= home <= highest.
    home : int
        Where it stands without optimisation.
    max_switchings : int
        Most steps from one position to the next in a day.
    least_saving_pu : float
        Share of the power that a move must save to be worth its wear.

    Raises
    ------
    InvalidRequest
        If positions are out of order or a number is out of range.
    """

    step_pu: float
    lowest: int
    highest: int
    home: int = 0
    max_switchings: int = 24
    least_saving_pu: float = 0.002

    def __post_init__(self) -> None:
        if not self.lowest <= self.home <= self.highest:
            raise InvalidRequest(
                f"tap positions {self.lowest}..{self.highest} do not contain home {self.home}"
            )
        if not (self.step_pu > 0 and 1 + self.lowest * self.step_pu > 0):
            raise InvalidRequest(
                f"step_pu {self.step_pu}: need > 0, and a voltage > 0 at the lowest position"
            )
        if self.max_switchings < 0 or not 0 <= self.least_saving_pu < 1:
            raise InvalidRequest("max_switchings must be >= 0, least_saving_pu in [0, 1)")

    @property
    def positions(self) -> IntArray:
        """All positions, rising, (n_positions,)."""
        return np.arange(self.lowest, self.highest + 1)

    def ratio_pu(self, position: IntArray | int) -> FloatArray:
        """Return the source's voltage at a position, of position 0's."""
        return 1.0 + np.asarray(position, np.float64) * self.step_pu


@dataclass(frozen=True, slots=True)
class TapTable:
    """What every position would do in every step, (n_steps, n_positions) each.

    Parameters
    ----------
    drawn_w : power at the source, rebound included
    low_pu, high_pu : extreme voltages of customers
    """

    drawn_w: FloatArray
    low_pu: FloatArray
    high_pu: FloatArray


@dataclass(frozen=True, slots=True)
class TapPlan:
    """A sequence of positions.

    Parameters
    ----------
    position : int64 (n_steps,)
    n_switchings : int
        From home through all of them, one per position.
    drawn_w : float64 (n_steps,)
    outside_pu : float64 (n_steps,)
        How far the worst customer is outside the band; 0 where all are inside.
    """

    position: IntArray
    n_switchings: int
    drawn_w: FloatArray
    outside_pu: FloatArray


def long_run_share(voltage_share: FloatArray, rebound_ratio: FloatArray | float) -> FloatArray:
    """Return what loads draw in the long run of their need, given what they draw at once of it.

    Parameters
    ----------
    voltage_share : float64
        Power at the voltage over power at nominal voltage.
    rebound_ratio : float64
        τ/τ_r; 0: no thermostat.

    Notes
    -----
    A thermostat never takes more than its need: above nominal voltage it just switches off earlier.
    """
    ratio = np.asarray(rebound_ratio, np.float64)
    share = np.where(ratio > 0, np.minimum(voltage_share, 1.0), voltage_share)
    is_endless = np.isinf(ratio)
    finite = np.where(is_endless, 0.0, ratio)
    return np.where(is_endless & (share > 0), 1.0, share * (1.0 + finite) / (1.0 + share * finite))


def tap_table(
    feeder: Feeder,
    loads: PhaseLoads,
    changer: TapChanger,
    rebound_ratio: FloatArray | float = 0.0,
    *,
    is_solar: BoolArray | None = None,
    high_pu: float = np.inf,
) -> TapTable:
    """Solve the feeder at every position for every case of the loads.

    Parameters
    ----------
    loads : PhaseLoads
        `s_va` (n_loads, n_steps); every load (or injection) is a customer whose voltage counts.
    rebound_ratio : float or float64 (n_loads, 1)
        Of thermostatic loads.
    is_solar : bool (n_loads,) or None
        Injections that give way, all by the same share, where somebody would be above `high_pu`: then the source
        has to deliver what they do not, and `drawn_w` says so.

    Notes
    -----
    Where a position cannot carry the loads the voltage collapses: it is 0 there, so no plan will choose it.
    """
    n_steps, positions = loads.s_va.shape[1], changer.positions
    shape = (n_steps, positions.size)
    drawn, low, high = np.empty(shape), np.empty(shape), np.empty(shape)
    at_once = max(1, MOST_VALUES_AT_ONCE // (3 * feeder.parent.size * max(n_steps, 1)))
    for first in range(0, positions.size, at_once):
        some = slice(first, first + at_once)
        ratio = changer.ratio_pu(positions[some])
        tiled = replace(loads, s_va=np.repeat(loads.s_va, ratio.size, axis=1))
        cases = _solved(feeder, tiled, np.tile(ratio, n_steps), rebound_ratio)
        if is_solar is not None:
            _curtail(feeder, tiled, np.tile(ratio, n_steps), rebound_ratio, is_solar, high_pu, cases)
        drawn[:, some], low[:, some], high[:, some] = (c.reshape(n_steps, -1) for c in cases)
    return TapTable(drawn, low, high)


def _solved(
    feeder: Feeder, loads: PhaseLoads, ratio: FloatArray, rebound_ratio: FloatArray | float
) -> FloatArray:
    """Return power drawn, lowest and highest voltage of each case, (3, n_cases); zeros where it collapses."""
    try:
        flow = solve(feeder, loads, TOLERANCE_V, ratio)
    except DoesNotConverge:
        if ratio.size == 1:
            return np.zeros((3, 1))
        # Some case has no solution: halve until it is alone.
        half = ratio.size // 2
        parts = (slice(0, half), slice(half, None))
        return np.concatenate(
            [
                _solved(feeder, replace(loads, s_va=loads.s_va[:, part]), ratio[part], rebound_ratio)
                for part in parts
            ],
            axis=1,
        )
    v_pu = customer_pu(flow, loads)
    drawn_w = flow.source_va().real + _taken_back_w(flow, loads, rebound_ratio)
    return np.stack([drawn_w, v_pu.min(axis=0), v_pu.max(axis=0)])


def _curtail(
    feeder: Feeder,
    loads: PhaseLoads,
    ratio: FloatArray,
    rebound_ratio: FloatArray | float,
    is_solar: BoolArray,
    high_pu: float,
    cases: FloatArray,
) -> None:
    """Solve again, with ever less solar, the cases in which somebody is too high; write them into `cases`."""
    for share in SOLAR_SHARES[-2::-1]:
        over = np.flatnonzero(cases[2] > high_pu)
        if not over.size:
            return
        s_va = np.where(is_solar[:, None], loads.s_va[:, over] * share, loads.s_va[:, over])
        cases[:, over] = _solved(feeder, replace(loads, s_va=s_va), ratio[over], rebound_ratio)


def customer_pu(flow: Flow, loads: PhaseLoads) -> FloatArray:
    """Return the voltage at every load's terminal, (n_loads, n_cases)."""
    return np.abs(flow.v_v[loads.bus, loads.phase]) / loads.rated_v


def _taken_back_w(flow: Flow, loads: PhaseLoads, rebound_ratio: FloatArray | float) -> FloatArray:
    """Return what thermostats will draw later for what they lack now, (n_cases,) W."""
    if not np.any(rebound_ratio):
        return np.zeros(loads.s_va.shape[1])
    nominal = loads.s_va.real
    now = loads.power_va(flow.v_v[loads.bus, loads.phase]).real
    share = np.divide(now, nominal, out=np.ones_like(now), where=nominal != 0)
    later: FloatArray = (nominal * long_run_share(share, rebound_ratio) - now).sum(axis=0)
    return later


def plan_taps(
    table: TapTable,
    changer: TapChanger,
    band: Band,
    start: int | None = None,
    switchings: int | None = None,
) -> TapPlan:
    """Return the sequence of positions that draws least, keeps everybody in the band and switches seldom enough.

    Parameters
    ----------
    start : int or None
        Position before the first step; None: home.
    switchings : int or None
        How many are left; None: `max_switchings`.

    Notes
    -----
    In this order: within the switchings; out of the band as little as possible; least energy; fewest switchings.
    If the least energy is not `least_saving_pu` below what the quietest sequence that keeps the band just as well
    would draw, the quietest it is: that is so where loads are constant power.
    """
    start = changer.home if start is None else start
    most = changer.max_switchings if switchings is None else switchings
    outside = band.outside_pu(table.low_pu, table.high_pu) * OUTSIDE_W_PER_PU
    quiet, best = (
        _as_plan(_cheapest(cost, start - changer.lowest, most) + changer.lowest, table, changer, band, start)
        for cost in (outside, outside + table.drawn_w)
    )
    saving_w = float(quiet.drawn_w.sum() - best.drawn_w.sum())
    is_worth_it = saving_w >= changer.least_saving_pu * float(np.abs(quiet.drawn_w).sum())
    return best if is_worth_it or not np.array_equal(quiet.outside_pu, best.outside_pu) else quiet


def stay(table: TapTable, changer: TapChanger, band: Band) -> TapPlan:
    """Return what happens without optimisation: home throughout."""
    home = np.full(table.drawn_w.shape[0], changer.home)
    return _as_plan(home, table, changer, band, changer.home)


def _as_plan(position: IntArray, table: TapTable, changer: TapChanger, band: Band, start: int) -> TapPlan:
    step, column = np.arange(position.size), position - changer.lowest
    outside = band.outside_pu(table.low_pu[step, column], table.high_pu[step, column])
    moves = np.abs(np.diff(position, prepend=start))
    return TapPlan(position, int(moves.sum()), table.drawn_w[step, column], outside)


def _cheapest(cost: FloatArray, start: int, most: int) -> IntArray:
    """Return the columns of the least total cost with at most so many moves, (n_steps,); fewest moves on ties.

    Parameters
    ----------
    cost : float64 (n_steps, n_columns)
    start : int
        Column before the first step.
    """
    n_steps, n = cost.shape
    columns = np.arange(n)
    total = np.full((most + 1, n), np.inf)  # by moves made and column
    total[0, start] = 0.0
    came_from = np.zeros((n_steps, most + 1, n), np.int64)
    for step in range(n_steps):
        fresh, source = total.copy(), np.tile(columns, (most + 1, 1))
        for move in range(1, min(n - 1, most) + 1):
            upper, lower = slice(move, n), slice(0, n - move)
            for to, origin in ((upper, lower), (lower, upper)):
                reached = total[: most + 1 - move, origin]
                is_better = reached < fresh[move:, to]
                fresh[move:, to][is_better] = reached[is_better]
                source[move:, to][is_better] = np.broadcast_to(columns[origin], is_better.shape)[is_better]
        total = fresh + cost[step]
        came_from[step] = source
    used, column = divmod(int(np.argmin(total)), n)
    path = np.empty(n_steps, np.int64)
    for step in range(n_steps - 1, -1, -1):
        path[step] = column
        before = int(came_from[step, used, column])
        used -= abs(column - before)
        column = before
    return path
