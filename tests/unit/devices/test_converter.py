"""Converters: the Sinamics table, closed forms, inverses."""

from collections.abc import Callable

import numpy as np
import pytest

from devices.converter import (
    DC_DC_LOSS_PU,
    SHIPPED_CONVERTERS,
    Converter,
    EfficiencyCurve,
    sinamics_curve,
    stack_converters,
)
from devices.errors import BadTable

Lines = Callable[[str], list[str]]


def test_sinamics_interpolation_is_within_a_tenth_of_a_point_of_the_published_table(
    reference_lines: Lines,
) -> None:
    rows = reference_lines("simses/sinamics_S120_efficiency.csv")[1:]
    table = np.asarray([[float(v) for v in row.split(",")] for row in rows])
    load = np.arange(table.shape[0]) / 1000.0
    assert load[-1] == 1.0
    curve = sinamics_curve()
    assert np.abs(curve.charging(load) - table[:, 0]).max() < 0.001
    assert np.abs(curve.discharging(load) - table[:, 1]).max() < 0.001
    # The fleet's lookup, on its own grid, both ways, for a 10 kW unit.
    p = 10_000.0 * load[1:]
    rated, kind = np.full(p.size, 10_000.0), np.full(p.size, Converter.SINAMICS, dtype=np.int64)
    charged = -SHIPPED_CONVERTERS.dc_power_w(-p, rated, kind) / p
    discharged = p / SHIPPED_CONVERTERS.dc_power_w(p, rated, kind)
    assert np.abs(charged - table[1:, 0]).max() < 0.001
    assert np.abs(discharged - table[1:, 1]).max() < 0.001


def test_efficiency_depends_on_load_as_measured() -> None:
    # 74 % at 2 % load, 93 % at 10 %, 97 % at 50 %.
    got = sinamics_curve().discharging(np.asarray([0.02, 0.1, 0.5]))
    np.testing.assert_allclose(got, [0.744, 0.932, 0.975], atol=0.001)


@pytest.mark.parametrize("kind", list(Converter))
def test_terminal_power_of_storage_power_inverts_it(kind: Converter) -> None:
    p = np.concatenate([-np.geomspace(1e-4, 1.0, 400)[::-1], np.geomspace(1e-4, 1.0, 400)]) * 7_000.0
    rated, row = np.full(p.size, 7_000.0), np.full(p.size, kind, dtype=np.int64)
    back = SHIPPED_CONVERTERS.ac_power_w(SHIPPED_CONVERTERS.dc_power_w(p, rated, row), rated, row)
    assert np.abs(back - p).max() < 2e-5 * 7_000.0


def test_dc_dc_stage_follows_its_closed_form() -> None:
    k0, k1, k2 = DC_DC_LOSS_PU
    x = np.linspace(0.01, 1.0, 200)
    row = np.full(x.size, Converter.DC_DC, dtype=np.int64)
    dc = SHIPPED_CONVERTERS.dc_power_w(x, np.ones(x.size), row)
    np.testing.assert_allclose(dc, x + k0 + k1 * x + k2 * x * x, atol=2e-4)


def test_a_converter_at_rest_loses_nothing_and_one_just_started_pays_its_no_load_loss() -> None:
    p = np.asarray([0.0, 1e-3])
    dc = SHIPPED_CONVERTERS.dc_power_w(p, np.full(2, 1000.0), np.full(2, Converter.SINAMICS, dtype=np.int64))
    assert dc[0] == 0.0
    assert 5.0 < dc[1] < 10.0


def test_every_converter_loses_energy_at_every_load() -> None:
    load = np.linspace(-1.0, 1.0, 4001)
    load = load[load != 0.0]
    for kind in Converter:
        row = np.full(load.size, kind, dtype=np.int64)
        dc = SHIPPED_CONVERTERS.dc_power_w(load, np.ones(load.size), row)
        assert (dc - load > 0.0).all()


@pytest.mark.parametrize(
    ("load", "efficiency"),
    [
        ([0.0, 0.5, 0.4, 1.0], [0.0, 0.9, 0.9, 0.9]),
        ([0.1, 0.5, 1.0], [0.5, 0.9, 0.9]),
        ([0.0, 0.5, 1.0], [0.0, 1.2, 0.9]),
        ([0.0, 0.5, 1.0], [0.0, 0.9]),
    ],
)
def test_a_curve_that_is_none_is_refused(load: list[float], efficiency: list[float]) -> None:
    good = np.asarray([0.0, 1.0])
    with pytest.raises(BadTable):
        EfficiencyCurve(np.asarray(load), np.asarray(efficiency), good, good)


def test_a_curve_whose_storage_power_falls_with_load_is_refused() -> None:
    load = np.asarray([0.0, 0.5, 1.0])
    falling = np.asarray([0.0, 0.95, 0.3])
    with pytest.raises(BadTable, match="must rise"):
        stack_converters((EfficiencyCurve(load, falling, load, np.asarray([0.0, 0.9, 0.9])),))
