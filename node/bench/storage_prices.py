"""A storage on a wholesale market: what the strategy earns on published forecasts, beside perfect foresight.

The storage is 1 MWh / 0.5 MW with a round-trip efficiency of 0.90, half of the loss each way. Each day is planned
by the strategy's linear programme on that day's published forecast, traded as planned, and paid at the real
price; nothing later than the forecast is used. Perfect foresight is the same with the real price as its
forecast. What is left at the end of a day goes on to the next; `Terms` say how much must be left. Beyond that it is
worth what `StoredWorth` says, which is never enough to buy it for, so that no profit comes from the boundary.

A forecast can be wrong by more than a cycle earns. Exchanges let storages hand in buying and selling as one: both
are accepted, or neither where at the real prices they would not earn what they ask for (spread blocks of Nord
Pool, loop blocks of EPEX SPOT; "EUPHEMIA Public Description", 2019, on blocks). `Terms.is_block` trades that way: a
day's plan asks for its wear. The exchange decides, after the gate; the agent sees no price.

Data: J. Lago, G. Marcjasz, B. De Schutter, R. Weron, "Forecasting day-ahead electricity prices", Applied Energy 293
(2021) 116983, https://github.com/jeslago/epftoolbox (Apache-2.0): hourly prices of the German bidding zone with the
forecasts of their deep network (DNN) and of LEAR.
"""

import csv
import gzip
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from node.agent.strategy import Outlook, StorageCalendar, StorageFleet
from node.agent.strategy.outlook import Floats
from node.agent.strategy.storage_lp import plan_by_lp

HOURS: Final = 24
ROUND_TRIP_PU: Final = 0.9
MICRO_PER_KWH_OF_EUR_PER_MWH: Final = 1_000.0
WH_PER_MWH: Final = 1e6
# Farther from any price of the data (-130 to 164 EUR/MWh) than wear and losses can carry it.
UNLIMITED_EUR_PER_MWH: Final = 10_000.0


@dataclass(frozen=True, slots=True)
class PriceDays:
    """Hourly prices, `(n_days, 24)`, EUR/MWh: what came true and the mean of the two published forecasts."""

    real: Floats
    forecast: Floats


@dataclass(frozen=True, slots=True)
class Terms:
    """Where the storage begins and ends, where its power is counted, what it costs, how it is traded.

    Attributes
    ----------
    level_pu : float
        Part of the capacity at the first hour, and the least at the end of every day.
    is_power_stored : bool
        Whether 0.5 MW is what enters and leaves the store; otherwise it is the power at the terminal.
    wear_eur_per_mwh : float
        Cost of wear per MWh discharged at the terminal.
    is_block : bool
        Whether a day's buying and selling are accepted together or not at all.
    """

    level_pu: float = 0.0
    is_power_stored: bool = False
    wear_eur_per_mwh: float = 0.0
    is_block: bool = False


EMPTY_AT_FIRST: Final = Terms()
HALF_FULL: Final = Terms(level_pu=0.5, is_power_stored=True)


@dataclass(frozen=True, slots=True)
class PriceStudy:
    """What a storage did and earned day by day.

    Attributes
    ----------
    profit_eur : Floats
        After wear, `(n_days,)`.
    power_w : Floats
        `(n_days, 24)`, > 0 discharges.
    energy_wh : Floats
        Level at every hour's border, `(n_days, 25)`.
    """

    profit_eur: Floats
    power_w: Floats
    energy_wh: Floats

    @property
    def hours_in_both_directions(self) -> int:
        """Hours in which levels and power show charge and discharge at once.

        With losses, any mixture of the two moves the level lower than its net power alone would.
        """
        eta = np.sqrt(ROUND_TRIP_PU)
        stored_wh = np.where(self.power_w > 0, self.power_w / eta, self.power_w * eta)
        fall_wh = self.energy_wh[:, :-1] - self.energy_wh[:, 1:]
        return int((fall_wh - stored_wh > 1.0).sum())


def read_prices(path: Path) -> PriceDays:
    """Read a file of the data set: time, real price, DNN forecast, LEAR forecast; whole days."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    values = np.array([[float(cell) for cell in row[1:4]] for row in rows])
    days = values.reshape(-1, HOURS, 3)
    return PriceDays(days[:, :, 0], days[:, :, 1:].mean(axis=2))


def megawatt_hour_storage(terms: Terms) -> StorageFleet:
    """Return the storage of the study as a fleet of one."""
    eta = np.sqrt([ROUND_TRIP_PU])
    one = np.ones(1)
    return StorageFleet(
        account=np.zeros(1, dtype=np.int64),
        capacity_wh=one * WH_PER_MWH,
        reserve_wh=one * 0.0,
        p_charge_max_w=one * 0.5e6 / (eta if terms.is_power_stored else 1.0),
        p_discharge_max_w=one * 0.5e6 * (eta if terms.is_power_stored else 1.0),
        charge_efficiency_pu=eta,
        discharge_efficiency_pu=eta,
        wear_micro_per_kwh=one * terms.wear_eur_per_mwh * MICRO_PER_KWH_OF_EUR_PER_MWH,
        markup_micro_per_kwh=one * 0.0,
        self_discharge_w=one * 0.0,
    )


def trade(days: PriceDays, expected: Floats, terms: Terms = EMPTY_AT_FIRST) -> PriceStudy:
    """Plan every day on `expected` (n_days, 24), EUR/MWh, and be paid at the real price."""
    fleet = megawatt_hour_storage(terms)
    always = StorageCalendar.always_present(1, HOURS)
    required_wh = np.zeros((1, HOURS))
    required_wh[0, -1] = terms.level_pu * WH_PER_MWH
    calendar = replace(always, required_wh=required_wh)
    n_days = expected.shape[0]
    profit_eur = np.zeros(n_days)
    power_w = np.zeros((n_days, HOURS))
    energy_wh = np.empty((n_days, HOURS + 1))
    level_wh = terms.level_pu * fleet.capacity_wh
    for day in range(n_days):
        plan = plan_by_lp(fleet, calendar, _wholesale_outlook(expected[day]), level_wh)
        worth = days.real[day] - terms.wear_eur_per_mwh * (plan.power_w[0] > 0)
        earned_eur = float(plan.power_w[0] @ worth) / WH_PER_MWH
        if terms.is_block and earned_eur < 0:
            energy_wh[day] = level_wh
            continue
        profit_eur[day], power_w[day], energy_wh[day] = earned_eur, plan.power_w[0], plan.energy_wh[0]
        level_wh = np.maximum(plan.energy_wh[:, -1], 0.0)
    return PriceStudy(profit_eur, power_w, energy_wh)


def _wholesale_outlook(price_eur_per_mwh: Floats) -> Outlook:
    """Return the outlook of an account without load or sun, in a market that takes any quantity."""
    nothing = np.zeros((1, HOURS))
    limit = UNLIMITED_EUR_PER_MWH * MICRO_PER_KWH_OF_EUR_PER_MWH
    return Outlook.of(
        0,
        3_600,
        [2],
        [1e6],
        [1e6],
        nothing,
        nothing,
        limit,
        -limit,
        price_micro_per_kwh=price_eur_per_mwh * MICRO_PER_KWH_OF_EUR_PER_MWH,
        price_trust_pu=1.0,
        is_deep=True,
    )
