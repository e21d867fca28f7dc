"""Measure the strategy: capture on wholesale prices, cost of a community beside the pooled optimum, speed.

| figure | what it is |
|---|---|
| `de_capture_pu` | profit on published forecasts, of that with perfect foresight, DE, 1 MWh / 0.5 MW, RTE 0.90 |
| `de_profit_eur_per_day`, `de_perfect_eur_per_day` | the two profits |
| `de_days_with_loss` | days on which the strategy lost money |
| `de_both_directions` | hours with charge and discharge at once |
| `de_wear_*` | the same with wear of 2 EUR per MWh discharged |
| `de_wear_block_*` | and with each day's buying and selling accepted together or not at all |
| `de_half_full_perfect_eur_per_day` | perfect foresight by the yardstick: half full at both ends of a day |
| `de_half_full_*` | the strategy on the yardstick's terms, and what it captures of it |
| `community_gap_pu` | ten homes, flat tariff, lossless: cost above the pooled programme, relative |
| `community_tou_share_pu` | time-of-use tariff, losses: part of the pooled programme's saving that the agents reach |
| `myopic_tou_share_pu` | the same for storages that do not look ahead |
| `day_1000_strategy_s` | strategy of a day: 1,000 homes, 250 batteries, 97 rounds, planned anew every hour |
"""

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from node.agent.strategy import (
    Outlook,
    StorageCalendar,
    StorageFleet,
    day_ahead_orders,
    intraday_orders,
    plan_storages,
    schedule,
    to_orders,
)
from node.agent.strategy.outlook import Floats
from node.bench.pooled_community import (
    AgentsDay,
    Homes,
    pooled_cost_credits,
    supplier_only_cost_credits,
    ten_homes,
)
from node.bench.storage_prices import (
    EMPTY_AT_FIRST,
    HALF_FULL,
    PriceDays,
    PriceStudy,
    read_prices,
    trade,
)
from node.bench.storage_yardstick import FIRST_DAY, perfect_profit_eur

WEAR_EUR_PER_MWH: Final = 2.0
N_DAYS: Final = 2
SOLAR_PEAK_W: Final = 5_000.0
N_HOMES: Final = 1_000
PER_DAY: Final = 96
HORIZON: Final = 144
PRICES: Final = Path("prices/epf_DE_2y_hourly_real_dnn_lear.csv.gz")


def price_figures(days: PriceDays) -> dict[str, float]:
    """Return profit, capture and losing days, without and with wear, and on the terms of the yardstick."""
    figures: dict[str, float] = {"de_days": days.real.shape[0]}
    wear = replace(EMPTY_AT_FIRST, wear_eur_per_mwh=WEAR_EUR_PER_MWH)
    for name, terms in (
        ("de", EMPTY_AT_FIRST),
        ("de_wear", wear),
        ("de_wear_block", replace(wear, is_block=True)),
    ):
        figures |= _study_figures(
            name, trade(days, days.forecast, terms), trade(days, days.real, terms).profit_eur
        )
    bound_eur = perfect_profit_eur(days.real)
    own = trade(days, days.forecast, HALF_FULL)
    return figures | _study_figures("de_half_full", own, bound_eur, FIRST_DAY)


def _study_figures(name: str, own: PriceStudy, perfect_eur: Floats, first_day: int = 0) -> dict[str, float]:
    """Return one study's figures from a day on, under names that begin with `name`."""
    earned_eur, best_eur = own.profit_eur[first_day:], perfect_eur[first_day:]
    return {
        f"{name}_profit_eur_per_day": round(float(earned_eur.mean()), 4),
        f"{name}_perfect_eur_per_day": round(float(best_eur.mean()), 4),
        f"{name}_capture_pu": round(float(earned_eur.sum() / best_eur.sum()), 4),
        f"{name}_days_with_loss": int((own.profit_eur < 0).sum()),
        f"{name}_both_directions": own.hours_in_both_directions,
    }


def community_figures(seed: int) -> dict[str, float]:
    """Return how close agents that only see their own homes come to one programme that sees all."""
    flat = ten_homes(seed, N_DAYS, SOLAR_PEAK_W)
    cost, pooled, _ = _costs(flat, is_myopic=False)
    tou = ten_homes(seed, N_DAYS, SOLAR_PEAK_W, is_tou=True, eta=0.95)
    shares = []
    for is_myopic in (False, True):
        own, best, alone = _costs(tou, is_myopic=is_myopic)
        shares.append((alone - own) / (alone - best))
    return {
        "community_gap_pu": round((cost - pooled) / abs(pooled), 6),
        "community_tou_share_pu": round(shares[0], 4),
        "myopic_tou_share_pu": round(shares[1], 4),
    }


def _costs(homes: Homes, *, is_myopic: bool) -> tuple[float, float, float]:
    """Return the cost of the agents, of the pooled programme and of the supplier alone."""
    outcome = AgentsDay(homes, is_myopic=is_myopic).run(N_DAYS)
    pooled = pooled_cost_credits(homes, N_DAYS, float(outcome.energy_wh[:, -1].sum()))
    return float(outcome.cost_credits.sum()), pooled, supplier_only_cost_credits(homes, N_DAYS)


def day_seconds(seed: int) -> float:
    """Return the seconds that the strategy of a large community's day takes, planned anew every hour."""
    rng = np.random.default_rng(seed)
    clock = np.arange(PER_DAY + HORIZON) % PER_DAY / 4
    load_wh = rng.gamma(2.0, 40.0, (N_HOMES, clock.size))
    roofs_wh = 1_000.0 * (np.arange(N_HOMES) % 2 == 0)
    solar_wh = (
        roofs_wh[:, None] * np.maximum(np.sin((clock - 6) / 12 * np.pi), 0.0) * ((clock > 6) & (clock < 18))
    )
    owners = np.arange(0, N_HOMES, 4)
    ones = np.ones(owners.size)
    fleet = StorageFleet(
        account=owners,
        capacity_wh=1e4 * ones,
        reserve_wh=1e3 * ones,
        p_charge_max_w=5e3 * ones,
        p_discharge_max_w=5e3 * ones,
        charge_efficiency_pu=0.95 * ones,
        discharge_efficiency_pu=0.95 * ones,
        wear_micro_per_kwh=4e4 * ones,
        markup_micro_per_kwh=5e3 * ones,
        self_discharge_w=0.0 * ones,
    )
    caps_w = np.full(N_HOMES, 30e3)
    energy_wh, is_present = 3e3 * ones, ones > 0
    calendar = StorageCalendar.always_present(owners.size, HORIZON)

    def look(t: int, horizon: int) -> Outlook:
        span = slice(t, t + horizon)
        numbers = np.arange(N_HOMES) + 2
        return Outlook.of(t, 900, numbers, caps_w, caps_w, load_wh[:, span], solar_wh[:, span], 3e5, 8e4)

    begin = time.perf_counter()
    outlook = look(0, HORIZON)
    plan = plan_storages(fleet, calendar, outlook, energy_wh)
    batch = day_ahead_orders(fleet, outlook, plan, np.arange(PER_DAY))
    to_orders(batch, np.ones(len(batch), np.int64))
    for t in range(PER_DAY):
        if t % 4 == 0:
            plan = plan_storages(fleet, calendar, look(t, HORIZON), energy_wh, plan)
        outlook = look(t, 1)
        batch = intraday_orders(fleet, outlook, plan, 0, energy_wh, is_present)
        to_orders(batch, np.ones(len(batch), np.int64))
        schedule(fleet, outlook, plan, 0, energy_wh, is_present)
    return time.perf_counter() - begin


def measure(seed: int, data: Path | None) -> dict[str, float]:
    """Return all figures; those on wholesale prices need the folder `data`."""
    figures = price_figures(read_prices(data / PRICES)) if data is not None else {}
    figures |= community_figures(seed)
    figures["day_1000_strategy_s"] = round(day_seconds(seed), 2)
    return figures


def main(argv: list[str]) -> int:
    """Print the figures; `--json` as one flat object."""
    parser = argparse.ArgumentParser(
        prog="bench strategy", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--json", action="store_true", help="print one flat JSON object")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("SYMGRID_DATA"), help="folder with prices/"
    )
    arguments = parser.parse_args(argv)
    figures = measure(arguments.seed, None if arguments.data is None else Path(arguments.data))
    if arguments.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        for name, value in figures.items():
            sys.stdout.write(f"{name:32} {value:12.4f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
