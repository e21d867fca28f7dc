"""The power of a source behind its resistance: the loss equation, its limits, and rows that depend on no other."""

import numpy as np
import pytest

from devices import catalogue
from devices.source import conditions, source_power_w
from devices.storage_tables import TEMPERATURE_TAPER_K, StorageKind

TABLES = catalogue.shipped_tables()
N = 400


def sources(seed: int, p_pu: float = 0.5, temp_c: float | None = None):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, len(StorageKind), N)
    capacity = rng.uniform(100.0, 60_000.0, N)
    temp = rng.uniform(15.0, 35.0, N) if temp_c is None else np.full(N, temp_c)
    p_dc = rng.uniform(-p_pu, p_pu, N) * capacity
    return conditions(TABLES, table, capacity, temp, np.full(N, 1.2), p_dc), rng.uniform(
        0.1, 0.9, N
    ) * capacity


def test_what_the_source_gives_less_what_resistance_takes_is_the_power_asked_for():
    given, energy = sources(1)
    p, k, is_limited = source_power_w(TABLES, given, energy)
    free = ~is_limited
    assert free.sum() > N / 2
    assert (p - k * p * p)[free] == pytest.approx(given.p_dc_w[free], rel=1e-12)
    assert np.all(k > 0.0)


def test_no_source_gives_more_than_its_rate_and_temperature_allow():
    given, energy = sources(2, p_pu=100.0)
    p, _, is_limited = source_power_w(TABLES, given, energy)
    assert is_limited.any()
    assert np.all(np.abs(p) <= given.largest_w * (1 + 1e-12))
    assert np.all(np.sign(p) * np.sign(given.p_dc_w) >= 0.0)


def test_at_a_temperature_limit_nothing_flows_and_half_a_taper_inside_half_of_the_rate():
    rows = np.asarray([2 * StorageKind.LFP])  # discharging
    limit = float(TABLES.temperature_high_c[rows[0]])
    for inside_k, share in ((0.0, 0.0), (TEMPERATURE_TAPER_K / 2, 0.5), (2 * TEMPERATURE_TAPER_K, 1.0)):
        given = conditions(
            TABLES, np.asarray([StorageKind.LFP]), np.asarray([1_000.0]), np.asarray([limit - inside_k]),
            np.ones(1), np.asarray([100.0]),
        )  # fmt: skip
        assert given.largest_w == pytest.approx(share * TABLES.power_limit_per_h[rows] * 1_000.0)


def test_rows_depend_on_no_other():
    given, energy = sources(3)
    rows = np.asarray([7, 3, 399, 0])
    for whole, part in zip(
        source_power_w(TABLES, given, energy),
        source_power_w(TABLES, given.take(rows), energy[rows]),
        strict=True,
    ):
        assert np.array_equal(whole[rows], part)
