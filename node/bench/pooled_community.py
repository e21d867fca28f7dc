"""Ten homes for a few days: what the agents' market costs, beside one pooled linear programme over all of them.

The homes have a load each, every second one solar, every fourth a 10 kWh / 5 kW battery. Agents know their own
load and sun (so that the comparison measures the market, not the forecast) and nothing of each other's;
they trade in a day-ahead round and in one round per interval, follow their schedules, and settle the rest with
the supplier. The pooled programme knows everything, has no owners and no auctions, and ends with as
much stored energy as the agents do.
"""

from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from market import auction
from market.orders import OrderArrays
from node.agent.strategy import (
    OrderBatch,
    Outlook,
    StorageCalendar,
    StorageFleet,
    StoragePlan,
    day_ahead_orders,
    expected_price,
    intraday_orders,
    plan_myopically,
    plan_storages,
    schedule,
)
from node.agent.strategy.outlook import Floats

PER_DAY: Final = 96
LENGTH_S: Final = 900
HOURS: Final = 0.25
HORIZON: Final = 144
REPLAN_EVERY: Final = 4
CONNECTION_W: Final = 30_000.0
CREDIT_PER_WH_MICRO_PER_KWH: Final = 1e-9
FIRST_ACCOUNT: Final = 2


@dataclass(frozen=True, slots=True)
class Homes:
    """A community over some days, and one more day for the agents to look ahead into.

    Attributes
    ----------
    load_wh, solar_wh : Floats
        `(n_homes, n_intervals)`.
    short_micro_per_kwh, long_micro_per_kwh : Floats
        `(n_intervals,)`.
    storages : StorageFleet
        All start empty.
    """

    load_wh: Floats
    solar_wh: Floats
    short_micro_per_kwh: Floats
    long_micro_per_kwh: Floats
    storages: StorageFleet


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the agents' days came to.

    Attributes
    ----------
    cost_credits : Floats
        What each home paid in all, minus what it received, `(n_homes,)`.
    power_w : Floats
        `(n_storages, n_intervals)`, > 0 discharges.
    energy_wh : Floats
        `(n_storages, n_intervals + 1)`.
    traded_wh : float
        Energy that changed hands in the auctions.
    """

    cost_credits: Floats
    power_w: Floats
    energy_wh: Floats
    traded_wh: float


def ten_homes(
    seed: int, n_days: int, solar_peak_w: float, *, is_tou: bool = False, eta: float = 1.0
) -> Homes:
    """Return the issue's kind of community with seeded profiles; `is_tou` for a time-of-use tariff.

    Retail is 30 ct and feed-in 8 ct; with a time-of-use tariff nights (0 to 6) cost 22 ct, evenings (17 to 21)
    38 ct. `eta` is the storages' efficiency each way.
    """
    n = 10
    rng = np.random.default_rng(seed)
    horizon = (n_days + 2) * PER_DAY
    clock = np.arange(horizon) % PER_DAY / 4.0
    shape_wh = 80 + 120 * np.exp(-(((clock - 7.5) / 1.2) ** 2)) + 250 * np.exp(-(((clock - 19.0) / 2.2) ** 2))
    load_wh = shape_wh * rng.uniform(0.6, 1.6, (n, 1)) * rng.gamma(2.0, 0.5, (n, horizon))
    sun = np.maximum(np.sin((clock - 6.5) / 13 * np.pi), 0.0) * ((clock > 6.5) & (clock < 19.5))
    sky = np.repeat(rng.uniform(0.2, 1.0, n_days + 2), PER_DAY)
    has_solar = np.arange(n) % 2 == 0
    roofs_w = solar_peak_w * has_solar * rng.uniform(0.7, 1.3, n)
    solar_wh = roofs_w[:, None] * HOURS * sun * sky * rng.uniform(0.85, 1.0, (n, horizon))
    short = np.full(horizon, 300_000.0)
    if is_tou:
        short[clock < 6] = 220_000.0
        short[(clock >= 17) & (clock < 21)] = 380_000.0
    owners = np.arange(0, n, 4)
    ones = np.ones(owners.size)
    storages = StorageFleet(
        account=owners,
        capacity_wh=10_000.0 * ones,
        reserve_wh=0.0 * ones,
        p_charge_max_w=5_000.0 * ones,
        p_discharge_max_w=5_000.0 * ones,
        charge_efficiency_pu=eta * ones,
        discharge_efficiency_pu=eta * ones,
        wear_micro_per_kwh=0.0 * ones,
        markup_micro_per_kwh=0.0 * ones,
        self_discharge_w=0.0 * ones,
    )
    return Homes(load_wh, solar_wh, short, np.full(horizon, 80_000.0), storages)


class AgentsDay:
    """The agents of some homes, interval by interval."""

    def __init__(self, homes: Homes, *, is_myopic: bool = False, fee_micro_per_kwh: int = 0) -> None:
        n, horizon = homes.load_wh.shape
        self._homes = homes
        self._is_myopic = is_myopic
        self._fee = fee_micro_per_kwh
        self._position = np.zeros((n, horizon), dtype=np.int64)
        self._price = np.full(horizon, np.nan)
        self._money_pico = np.zeros(n, dtype=np.int64)
        self._traded_milli_wh = 0

    def run(self, n_days: int) -> Outcome:
        """Trade, schedule and settle `n_days`; the storages follow their schedules exactly."""
        homes, storages = self._homes, self._homes.storages
        energy_wh = np.zeros((len(storages), n_days * PER_DAY + 1))
        power_w = np.zeros((len(storages), n_days * PER_DAY))
        cost = np.zeros(homes.load_wh.shape[0])
        is_present = np.ones(len(storages), dtype=bool)
        plan: StoragePlan | None = None
        for t in range(n_days * PER_DAY):
            now_wh = energy_wh[:, t]
            if t % PER_DAY == 0:
                outlook = self._outlook(t, HORIZON)
                plan = self._plan(outlook, now_wh, plan)
                self._clear(day_ahead_orders(storages, outlook, plan, np.arange(PER_DAY)))
            if plan is None or t % REPLAN_EVERY == 0:
                plan = self._plan(self._outlook(t, HORIZON), now_wh, plan)
            self._clear(intraday_orders(storages, self._outlook(t, 1), plan, 0, now_wh, is_present))
            aim = schedule(storages, self._outlook(t, 1), plan, 0, now_wh, is_present)
            power_w[:, t] = aim.power_w
            out_wh = aim.power_w * HOURS
            taken_wh = np.maximum(out_wh, 0.0) / storages.discharge_efficiency_pu
            stored_wh = np.maximum(-out_wh, 0.0) * storages.charge_efficiency_pu
            energy_wh[:, t + 1] = now_wh - taken_wh + stored_wh
            gap_wh = aim.target_export_wh - self._position[:, t] / 1_000.0
            tariff = np.where(gap_wh < 0, homes.short_micro_per_kwh[t], homes.long_micro_per_kwh[t])
            cost -= gap_wh * tariff * CREDIT_PER_WH_MICRO_PER_KWH
        return Outcome(cost - self._money_pico * 1e-12, power_w, energy_wh, self._traded_milli_wh / 1_000.0)

    def _outlook(self, t: int, horizon: int) -> Outlook:
        homes = self._homes
        span = slice(t, t + horizon)
        n = homes.load_wh.shape[0]
        return Outlook.of(
            t,
            LENGTH_S,
            np.arange(n) + FIRST_ACCOUNT,
            np.full(n, CONNECTION_W),
            np.full(n, CONNECTION_W),
            homes.load_wh[:, span],
            homes.solar_wh[:, span],
            homes.short_micro_per_kwh[span],
            homes.long_micro_per_kwh[span],
            price_micro_per_kwh=expected_price(self._price[:t], homes.load_wh[:, span].shape[1]),
            fee_micro_per_kwh=self._fee,
            position_milli_wh=self._position[:, span],
        )

    def _plan(self, outlook: Outlook, energy_wh: Floats, previous: StoragePlan | None) -> StoragePlan:
        storages = self._homes.storages
        calendar = StorageCalendar.always_present(len(storages), outlook.n_intervals)
        if self._is_myopic:
            return plan_myopically(storages, calendar, outlook, energy_wh)
        return plan_storages(storages, calendar, outlook, energy_wh, previous)

    def _clear(self, batch: OrderBatch) -> None:
        """Clear the batch interval by interval; book fills, money and prices."""
        for t in np.unique(batch.interval).tolist():
            rows = np.flatnonzero(batch.interval == t)
            book = OrderArrays(
                batch.account[rows],
                batch.is_buy[rows],
                batch.quantity_milli_wh[rows],
                batch.limit_micro_per_kwh[rows],
            )
            cleared = auction.clear(book, self._fee)
            if not cleared.volume_milli_wh or cleared.price_micro_per_kwh is None:
                continue
            sold = np.where(book.is_buy, -cleared.fills_milli_wh, cleared.fills_milli_wh)
            home = book.account - FIRST_ACCOUNT
            paid = sold * cleared.price_micro_per_kwh - cleared.fills_milli_wh * self._fee
            np.add.at(self._position, (home, t), sold)
            np.add.at(self._money_pico, home, paid)
            self._price[t] = cleared.price_micro_per_kwh
            self._traded_milli_wh += cleared.volume_milli_wh


def pooled_cost_credits(homes: Homes, n_days: int, final_wh: float) -> float:
    """Return the least cost of the community as one customer with all storages, by HiGHS.

    Parameters
    ----------
    final_wh : float
        Energy that the storages together hold at the end.
    """
    horizon = n_days * PER_DAY
    fleet = homes.storages
    n = len(fleet)
    one, none = sparse.csr_array(sparse.eye_array(horizon)), sparse.csr_array((horizon, horizon))
    before = sparse.csr_array(sparse.eye_array(horizon, k=-1))
    # Columns: per storage charge, discharge, level; then import and export.
    rows: list[Any] = []
    for i in range(n):
        blocks: list[Any] = [none] * (3 * n + 2)
        blocks[3 * i] = -fleet.charge_efficiency_pu[i] * one
        blocks[3 * i + 1] = one / fleet.discharge_efficiency_pu[i]
        blocks[3 * i + 2] = one - before
        rows.append(sparse.hstack(blocks))
    energy: list[Any] = [one, -one, none] * n + [-one, one]
    rows.append(sparse.hstack(energy))
    last = np.zeros((1, (3 * n + 2) * horizon))
    last[0, [3 * (i + 1) * horizon - 1 for i in range(n)]] = 1.0
    net_wh = (homes.solar_wh - homes.load_wh)[:, :horizon].sum(axis=0)
    upper = np.full((3 * n + 2, horizon), np.inf)
    for i in range(n):
        upper[3 * i] = fleet.p_charge_max_w[i] * HOURS
        upper[3 * i + 1] = fleet.p_discharge_max_w[i] * HOURS
        upper[3 * i + 2] = fleet.capacity_wh[i]
    cost = np.zeros_like(upper)
    cost[-2], cost[-1] = homes.short_micro_per_kwh[:horizon], -homes.long_micro_per_kwh[:horizon]
    solved = linprog(
        cost.ravel(),
        # scipy takes sparse matrices and arrays of bounds, its stubs do not
        A_eq=cast("Any", sparse.vstack([*rows, sparse.csr_array(last)]).tocsc()),
        b_eq=np.concatenate([np.zeros(n * horizon), net_wh, [final_wh]]),
        bounds=cast("Any", np.stack([np.zeros(upper.size), upper.ravel()], axis=1)),
        method="highs",
    )
    if solved.status != 0 or solved.fun is None:
        raise ArithmeticError(f"pooled programme: {solved.message}")
    return float(solved.fun) * CREDIT_PER_WH_MICRO_PER_KWH


def supplier_only_cost_credits(homes: Homes, n_days: int) -> float:
    """Return what the homes pay without market and storage."""
    horizon = n_days * PER_DAY
    net_wh = (homes.solar_wh - homes.load_wh)[:, :horizon]
    tariff = np.where(net_wh < 0, homes.short_micro_per_kwh[:horizon], homes.long_micro_per_kwh[:horizon])
    return float(-(net_wh * tariff).sum() * CREDIT_PER_WH_MICRO_PER_KWH)
