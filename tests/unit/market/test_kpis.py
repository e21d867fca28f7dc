"""Every KPI against a case worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import kpis_energy as energy
from market import kpis_fairness as fairness
from market import kpis_money as money
from market.errors import MarketError


def wh(*values):
    return np.array(values, float)


# ---------------------------------------------------------------- energy


def test_energy_book_closes_when_sources_equal_sinks():
    book = energy.EnergyBook({"solar": 60.0, "import": 40.0}, {"load": 90.0, "export": 9.0})
    assert book.gap_wh == 1.0
    assert book.gap_share == 0.01
    assert energy.EnergyBook({}, {}).gap_share == 0.0


def test_own_use_without_storage_is_what_coincides():
    use = energy.own_use(wh(0, 50, 100), wh(40, 40, 40), wh(0, 0, 0), wh(0, 0, 0))
    assert use.direct_wh == 80
    assert use.self_consumption == pytest.approx(80 / 150)
    assert use.self_sufficiency == pytest.approx(80 / 120)


def test_storage_is_credited_when_it_discharges_to_a_local_load():
    # noon: 100 made, 40 used, 60 stored at 90 %; night: 54 come out, 50 of them for a load, 4 are exported
    use = energy.own_use(wh(100, 0), wh(40, 50), wh(60, 0), wh(0, 54), round_trip_efficiency=0.9)
    assert use.through_storage_wh == pytest.approx(50)
    assert use.self_consumption == pytest.approx(0.9)
    assert use.self_sufficiency == pytest.approx(1.0)


def test_energy_bought_into_storage_is_not_own():
    # 30 own and 30 bought are mixed; of 40 discharged to load half is own
    use = energy.own_use(wh(30, 0), wh(0, 40), wh(60, 0), wh(0, 40))
    assert use.through_storage_wh == pytest.approx(20)


def test_what_was_stored_at_the_start_is_not_own():
    use = energy.own_use(wh(0), wh(10), wh(0), wh(10), stored_at_start_wh=50)
    assert use.through_storage_wh == 0


def test_ratios_of_nothing_say_nothing():
    use = energy.own_use(wh(0), wh(0), wh(0), wh(0))
    assert use.self_consumption is None
    assert use.self_sufficiency is None
    assert energy.autarky(wh()) is None


def test_autarky_is_the_share_of_time_without_import():
    assert energy.autarky(wh(0, 5, 0, 0)) == 0.75


def test_peaks_are_mean_power_of_the_worst_interval_against_the_baseline():
    peaks = energy.peaks(wh(100, 250), wh(0, 50), wh(500, 0), wh(0, 0), length_s=900)
    assert (peaks.import_w, peaks.export_w, peaks.baseline_import_w) == (1000, 200, 2000)
    assert peaks.import_change == -0.5
    assert peaks.export_change is None


def test_emissions_are_import_times_the_scenarios_factor():
    assert energy.emissions_g(wh(500, 1500), 400.0) == 800.0
    assert energy.emissions_g(wh(500, 1500), wh(100, 400)) == 650.0


def test_unserved_energy_by_class():
    assert energy.by_class(wh(1, 2, 4), np.array([0, 2, 0]), 4).tolist() == [5, 0, 2, 0]


def test_series_of_different_length_are_refused():
    with pytest.raises(MarketError, match="differ in shape"):
        energy.own_use(wh(1, 2), wh(1), wh(1), wh(1))


@given(st.lists(st.tuples(*[st.floats(0, 100)] * 4), min_size=1, max_size=20))
def test_own_use_never_exceeds_source_or_load(rows):
    source, load, charged, discharged = (np.array(column) for column in zip(*rows, strict=True))
    use = energy.own_use(source, load, charged, discharged, 10.0, 0.9)
    used = use.direct_wh + use.through_storage_wh
    assert used <= use.source_wh + 1e-9
    assert used <= use.load_wh + 1e-9


# ---------------------------------------------------------------- money


def test_supplier_only_bill_pays_short_for_import_and_long_for_export():
    net = np.array([[-100, 50], [0, -10]])
    assert money.supplier_only_bills_pico(net, np.array([300, 200]), np.array([80, 60])) == [27_000, 2_000]


def test_saving_keeps_its_sign():
    bills = money.market_bills_pico([-20_000, -3_000], [500, 0])
    assert bills == [19_500, 3_000]
    savings = money.savings_pico([27_000, 2_000], bills)
    assert savings == [7_500, -1_000]
    assert money.share_not_worse_off(savings) == 0.5
    assert money.share_not_worse_off([]) is None


def test_surplus_is_split_and_sums_to_the_welfare():
    # 10 mWh sold at limit 100 in zone A (price 150), bought at limit 300 in zone B (price 170), fee 5
    parts = money.surplus(
        np.array([False, True]), np.array([100, 300]), np.array([10, 10]), np.array([150, 170]), 5
    )
    assert (parts.sellers_pico, parts.buyers_pico) == (10 * 45, 10 * 125)
    assert (parts.operator_pico, parts.grid_pico) == (2 * 10 * 5, 10 * 20)
    assert parts.welfare_pico == 10 * (300 - 100)
    assert parts.buyers_share == 0.625
    assert parts.sellers_share == 0.225


def test_shares_of_no_welfare_say_nothing():
    nothing = money.Surplus(0, 0, 0, 0)
    assert nothing.buyers_share is None
    assert nothing.sellers_share is None
    assert money.welfare_share(0, 0) is None
    assert money.traded_volume_ratio(0, 0) is None
    assert money.imbalance_share(np.array([0]), 0) is None
    assert money.price_range([100], [0]) is None


def test_welfare_volume_and_imbalance_ratios():
    assert money.welfare_share(90, 100) == 0.9
    assert money.traded_volume_ratio(30, 120) == 0.25
    assert money.imbalance_share(np.array([-10, 10]), 40) == 0.2


def test_budget_gap_is_what_appeared_from_nowhere():
    assert money.budget_gap_pico([10, 20], [25, 15], 10) == 0
    assert money.budget_gap_pico([10, 20], [25, 16], 10) == 1


def test_grid_fees_are_due_on_every_edge_of_the_path_either_way():
    assert money.path_fees_pico([-100, 40], [3, 5]) == 500


def test_price_range_counts_only_traded_prices_and_weighs_by_volume():
    prices = money.price_range([100, 300, 999, -50], [30, 10, 0, 10])
    assert prices == money.PriceRange(-50, 300, (3000 + 3000 - 500) / 50)
    with pytest.raises(MarketError, match="negative"):
        money.price_range([1], [-1])


# ---------------------------------------------------------------- fairness


def test_jain_is_one_for_equal_and_one_nth_for_one():
    assert fairness.jain([5, 5, 5]) == pytest.approx(1.0)
    assert fairness.jain([9, 0, 0]) == pytest.approx(1 / 3)
    assert fairness.jain([1, 2, 3]) == pytest.approx(36 / 42)
    assert fairness.jain([0, 0]) == 1.0
    assert fairness.jain([]) is None


def test_jain_of_gains_beside_losses_is_low():
    assert fairness.jain([4, -2]) == pytest.approx(4 / 40)


@given(st.lists(st.integers(-(2**80), 2**80), min_size=1))
def test_jain_of_signed_money_lies_between_zero_and_one(values):
    assert 0 <= fairness.jain(values) <= 1 + 1e-9


def test_gini_by_hand():
    assert fairness.gini([1, 1, 1, 1]) == pytest.approx(0)
    assert fairness.gini([0, 0, 0, 8]) == pytest.approx(0.75)
    assert fairness.gini([3, 1]) == pytest.approx(0.25)  # |3-1| * 2 / (2 * 4 * 2)
    assert fairness.gini([]) is None
    assert fairness.gini([0, 0]) is None


def test_hhi_by_hand():
    assert fairness.hhi([1, 1, 1, 1]) == 0.25
    assert fairness.hhi([3, 1]) == pytest.approx(0.625)
    assert fairness.hhi([]) is None


@pytest.mark.parametrize("index", [fairness.gini, fairness.hhi])
def test_shares_of_negative_amounts_are_refused(index):
    with pytest.raises(MarketError):
        index([1, -1])
