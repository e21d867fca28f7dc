"""Whole random market intervals on the compiled contracts: no revert, and no unit of difference to `market/`.

`SYMGRID_INTERVALS` sets how many intervals are run: 150 by default, 10,000 in the nightly profile.
"""

import os

import pytest

from node.chain.contracts import Contracts, cache_folder, compile_contracts
from tests.property.market_days import Founded, MarketDay, Tally

INTERVALS_PER_DAY = 50
N_ZONES = (1, 2, 5)


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return compile_contracts(cache_folder())


def run(contracts: Contracts, n_intervals: int, first_seed: int) -> Tally:
    """Run days of 50 intervals, each on a fork of a community with one price or with zones."""
    founded = [Founded.new(contracts, n_zones) for n_zones in N_ZONES]
    tally = Tally()
    for seed in range(first_seed, first_seed + n_intervals // INTERVALS_PER_DAY):
        day = MarketDay(founded[seed % len(founded)], seed, tally)
        for _ in range(INTERVALS_PER_DAY):
            day.interval()
    print("\n" + ", ".join(f"{count:,} {what}" for what, count in tally.counts.items()) + ", 0 reverts")
    return tally


def test_random_intervals_settle_without_a_revert_or_a_difference(contracts: Contracts) -> None:
    tally = run(contracts, int(os.environ.get("SYMGRID_INTERVALS", "150")), first_seed=0)
    for what in ("fills", "chunks", "readings", "late readings", "substitutes", "curtailments", "debts"):
        assert tally.counts[what], what


@pytest.mark.slow
def test_ten_thousand_random_intervals_settle_without_a_revert_or_a_difference(contracts: Contracts) -> None:
    assert run(contracts, 10_000, first_seed=1_000).counts["intervals"] == 10_000
