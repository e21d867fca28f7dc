"""Overloads are seen coming, the best donor helps, nothing hunts, and failures are ridden through."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.controller.errors import InvalidRequest
from node.controller.forecast import ForecastTerms, begin, observe, predict
from node.controller.kinetic import KineticTerms, Transfers, balance, lasts_for_s, ride_through
from node.controller.paths import TieNetwork

LIMIT_W = np.full(3, 10_000.0)


def ring(lengths=(20.0, 60.0, 20.0)):
    """Racks 0, 1, 2: cables 0-1, 0-2, 1-2."""
    return TieNetwork(
        3, np.array([[0, 1], [0, 2], [1, 2]]), np.array(lengths), np.full(3, 0.001), np.full(3, 50.0), 380.0
    )


def run(load_of, seconds, module_w=(0.0, 4_000.0, 4_000.0), terms=None):
    """Run periods of a second; return the transfers of each and the loads."""
    terms, ahead = KineticTerms() if terms is None else terms, ForecastTerms(1, 5)
    memory, seen = begin(load_of(0), ahead), Transfers.none(3, 3)
    history = []
    for now in range(1, seconds):
        memory = observe(memory, load_of(now), now, ahead)
        upper = np.maximum(predict(memory, now).upper_w.max(axis=0), load_of(now))
        seen = balance(
            ring(), upper, LIMIT_W, np.array(module_w), np.array(module_w), seen, float(now), terms
        )
        history.append((now, load_of(now), seen))
    return history


def test_an_overload_is_met_before_it_happens():
    # Rack 0 ramps by 100 W/s through its limit at t = 40 s.
    history = run(lambda t: np.array([6_000.0 + 100 * t, 3_000.0, 3_000.0]), 60)
    began = next(now for now, _, seen in history if seen.is_helped[0])
    assert 5 < began < 40
    for _, load, seen in history:
        assert load[0] - seen.received_w[0] <= LIMIT_W[0]


def test_power_comes_from_the_donor_that_loses_least_and_not_the_first():
    # From rack 1 it is 20 m; from rack 2 60 m, or 40 m by way of rack 1.
    got = balance(
        ring(),
        np.array([10_900, 3_000, 3_000], float),
        LIMIT_W,
        np.array([0, 0, 4e3]),
        np.array([0, 0, 4e3]),
        Transfers.none(3, 3),
        0.0,
        KineticTerms(),
    )
    assert got.sent_w[2, 0] > 0
    both = balance(
        ring((60.0, 20.0, 500.0)),
        np.array([10_900, 3_000, 3_000], float),
        LIMIT_W,
        np.array([0, 4e3, 4e3]),
        np.array([0, 4e3, 4e3]),
        Transfers.none(3, 3),
        0.0,
        KineticTerms(),
    )
    # Shares in inverse proportion to resistance: 20 m against 60 m.
    assert both.sent_w[2, 0] / both.sent_w[1, 0] == pytest.approx(3.0, rel=1e-6)


def test_own_modules_come_first():
    got = balance(
        ring(),
        np.array([10_900, 3_000, 3_000], float),
        LIMIT_W,
        np.full(3, 4e3),
        np.full(3, 4e3),
        Transfers.none(3, 3),
        0.0,
        KineticTerms(),
    )
    assert got.sent_w[0, 0] == pytest.approx(1_400.0)
    assert got.sent_w.sum() == pytest.approx(1_400.0)


def test_a_donor_that_is_about_to_be_overloaded_gives_nothing():
    got = balance(
        ring(),
        np.array([10_900, 10_900, 3_000], float),
        LIMIT_W,
        np.full(3, 500.0),
        np.full(3, 500.0),
        Transfers.none(3, 3),
        0.0,
        KineticTerms(),
    )
    assert got.sent_w[1, 0] == 0 and got.sent_w[0, 1] == 0
    # Less the tenth that every donor keeps.
    assert got.sent_w[2, 0] + got.sent_w[2, 1] == pytest.approx(450.0)


def test_what_arrives_is_less_than_what_is_sent_by_the_loss():
    got = balance(
        ring(),
        np.array([10_900, 3_000, 3_000], float),
        LIMIT_W,
        np.array([0, 4e3, 0]),
        np.array([0, 4e3, 0]),
        Transfers.none(3, 3),
        0.0,
        KineticTerms(),
    )
    sent = got.sent_w[1, 0]
    # By both ways in parallel is not offered: one path, 20 m.
    assert got.loss_w[1, 0] == pytest.approx(sent - got.received_w[0])
    assert sent - got.received_w[0] == pytest.approx(0.02 * (sent / 380) ** 2)
    assert got.received_w[0] == pytest.approx(1_400.0)


def test_cables_are_never_loaded_beyond_their_limit():
    thin = TieNetwork(
        3, np.array([[0, 1], [1, 2]]), np.array([20.0, 20.0]), np.full(2, 0.001), np.array([3.0, 3.0]), 380.0
    )
    got = balance(
        thin, np.array([14_000, 3_000, 3_000], float), LIMIT_W, np.array([0, 4e3, 4e3]), np.array([0, 4e3, 4e3]),
        Transfers.none(3, 2), 0.0,
        KineticTerms(),
    )  # fmt: skip
    assert got.sent_w.sum() <= 3.0 * 380 + 1e-9


def test_noise_around_the_limit_does_not_make_it_switch():
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 200, 10_000)
    history = run(lambda t: np.array([9_200.0 + noise[round(t)], 3_000.0, 3_000.0]), 40)
    naive = np.count_nonzero(np.diff([load[0] > 9_200 for _, load, _ in history]))
    assert history[-1][2].n_switches <= 2 < naive


def test_help_ends_when_the_load_has_gone_down():
    history = run(lambda t: np.array([9_800.0 if t < 30 else 5_000.0, 3_000.0, 3_000.0]), 90)
    assert any(seen.is_helped[0] for _, _, seen in history)
    assert not history[-1][2].is_helped.any() and history[-1][2].n_switches == 2


def test_the_supply_fails_and_the_generator_comes_in_time():
    plan = ride_through(
        np.array([4_000.0, 2_000.0]),
        np.array([8_000.0]),
        np.array([100.0]),
        shutdown_s=120.0,
        generator_s=45.0,
    )
    assert plan.lasts_s == pytest.approx(60.0)
    assert plan.waits_for_generator and plan.keeps_class == 1


def test_less_important_loads_go_so_that_the_rest_lasts_until_the_generator():
    plan = ride_through(
        np.array([4_000.0, 2_000.0]),
        np.array([8_000.0]),
        np.array([100.0]),
        shutdown_s=120.0,
        generator_s=80.0,
    )
    assert plan.keeps_class == 0 and plan.lasts_s == pytest.approx(90.0) and plan.waits_for_generator


def test_without_generator_the_shutdown_begins_in_time_to_end_in_order():
    plan = ride_through(np.array([4_000.0]), np.array([8_000.0]), np.array([1_000.0]), shutdown_s=300.0)
    assert plan.shutdown_at_s == pytest.approx(600.0) and not plan.waits_for_generator


def test_a_generator_that_comes_too_late_is_not_waited_for():
    plan = ride_through(
        np.array([4_000.0]), np.array([8_000.0]), np.array([400.0]), shutdown_s=300.0, generator_s=3_600.0
    )
    assert not plan.waits_for_generator and plan.shutdown_at_s == pytest.approx(60.0)


def test_what_cannot_be_carried_at_all_goes_off_at_once():
    assert ride_through(np.array([9_000.0]), np.array([8_000.0]), np.array([1_000.0]), 60.0).keeps_class == -1


def test_terms_that_contradict_themselves_are_refused():
    with pytest.raises(InvalidRequest, match="stop < relief <= start"):
        KineticTerms(start_pu=0.9, relief_pu=0.95)


def test_storages_last_as_long_as_their_powers_and_energies_allow_together():
    # 1 kW for an hour: 600 W and 2 kWh from one, 1 kW and 0.3 kWh from the other: min(600, 2000/T) + min(1000, 300/T).
    # By hand: the second is limited by energy, 600 + 300/T = 1000 at T = 0.75 h.
    assert lasts_for_s(1_000.0, np.array([600.0, 1_000.0]), np.array([2_000.0, 300.0])) == pytest.approx(
        2_700.0
    )
    # One alone: E / P.
    assert lasts_for_s(500.0, np.array([1_000.0]), np.array([250.0])) == pytest.approx(1_800.0)
    assert lasts_for_s(2_000.0, np.array([1_000.0]), np.array([250.0])) == 0.0
    assert lasts_for_s(0.0, np.array([1_000.0]), np.array([250.0])) == np.inf


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_how_long_storages_last_equals_a_search(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    power, energy = rng.uniform(0, 2e3, n), rng.uniform(0, 3e3, n)
    load = float(rng.uniform(0.1, 1.0) * power.sum())
    low, high = 0.0, 1e9
    for _ in range(200):
        middle = 0.5 * (low + high)
        carries = float(np.minimum(power, energy * 3_600 / max(middle, 1e-12)).sum()) >= load
        low, high = (middle, high) if carries else (low, middle)
    assert lasts_for_s(load, power, energy) == pytest.approx(low, rel=1e-6, abs=1e-6)


def test_less_than_a_port_loses_by_running_is_not_fetched():
    # Helped already and just above the relief level.
    needs = np.array([9_500.0 + 20.0, 3_000, 3_000])
    helped = replace(Transfers.none(3, 3), is_helped=np.array([True, False, False]))
    spare = np.array([0, 4e3, 4e3])
    for stage_w, sends in ((0.0, True), (25.0, False)):
        got = balance(ring(), needs, LIMIT_W, spare, spare, helped, 0.0, KineticTerms(stage_w=stage_w))
        assert got.is_helped[0] and bool(got.sent_w.any()) == sends
