"""Ten homes whose agents only know themselves, beside one linear programme over all of them (HiGHS)."""

import numpy as np
import pytest

from node.bench.pooled_community import AgentsDay, pooled_cost_credits, supplier_only_cost_credits, ten_homes


def outcome(homes, n_days=1, **options):
    agents = AgentsDay(homes, **options).run(n_days)
    pooled = pooled_cost_credits(homes, n_days, float(agents.energy_wh[:, -1].sum()))
    return agents, float(agents.cost_credits.sum()), pooled


@pytest.mark.parametrize(("seed", "solar_peak_w"), [(0, 3_000.0), (1, 8_000.0)])
def test_lossless_storages_at_a_flat_tariff_cost_the_community_at_most_2_percent_more_than_the_pool(
    seed, solar_peak_w
):
    agents, cost, pooled = outcome(ten_homes(seed, 1, solar_peak_w))
    assert pooled * (1 - 1e-9) - 1e-9 <= cost <= pooled + 0.02 * abs(pooled)
    assert agents.traded_wh > 0


def test_at_a_time_of_use_tariff_with_losses_agents_reach_97_percent_of_what_the_pool_saves():
    homes = ten_homes(2, 1, 5_000.0, is_tou=True, eta=0.95)
    _, cost, pooled = outcome(homes)
    alone = supplier_only_cost_credits(homes, 1)
    assert pooled <= cost + 1e-9
    assert alone - cost >= 0.97 * (alone - pooled)


def test_looking_ahead_beats_the_myopic_storage_at_a_time_of_use_tariff():
    homes = ten_homes(3, 1, 3_000.0, is_tou=True)
    _, ahead, ahead_pooled = outcome(homes)
    _, myopic, myopic_pooled = outcome(homes, is_myopic=True)
    assert ahead - ahead_pooled < myopic - myopic_pooled


def test_no_home_pays_more_than_without_the_market():
    homes = ten_homes(4, 1, 5_000.0)
    agents, _, _ = outcome(homes)
    net_wh = (homes.solar_wh - homes.load_wh)[:, :96]
    alone = -(
        np.where(net_wh < 0, homes.short_micro_per_kwh[:96], homes.long_micro_per_kwh[:96]) * net_wh
    ).sum(1)
    kept = agents.energy_wh[:, -1] * homes.short_micro_per_kwh[0]
    # what a battery holds at midnight is paid for but not used yet
    for storage, home in enumerate(homes.storages.account.tolist()):
        alone[home] += kept[storage]
    assert (agents.cost_credits <= alone * 1e-9 + 1e-9).all()
