"""Ageing: Naumann's laws against their closed form over ten years, Schmalstieg's form, the fleet's cycle counting."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from devices import ageing, catalogue
from devices.fleet_ageing import age
from devices.parameters import build_fleet
from devices.state import initial_state
from devices.storage_tables import StorageKind

Lines = Callable[[str], list[str]]
TEN_YEARS_S = 10.0 * 365.0 * 86_400.0


def test_parameters_are_the_published_ones(reference_lines: Lines) -> None:
    for name, law in (
        ("capacity_decrease", ageing.NAUMANN_CAPACITY),
        ("resistance_increase", ageing.NAUMANN_RESISTANCE),
    ):
        row = reference_lines(f"simses/CLFP_Sony_US26650_{name}_param.csv")[1].split(",")
        assert row[0] == "Naumann"
        got = (
            law.k_ref,
            law.activation_j_per_mol,
            law.c_cal,
            law.d_cal,
            law.a_cyc,
            law.b_cyc,
            law.c_cyc,
            law.d_cyc,
        )
        assert got == pytest.approx(tuple(float(v) for v in row[1:]), rel=1e-12)


def test_ten_calendar_years_of_the_fleet_equal_the_closed_form() -> None:
    soc = np.repeat([0.2, 0.5, 0.9], 2)
    temp_c = np.tile([15.0, 35.0], 3)
    params = build_fleet([catalogue.home_battery(f"home {i}") for i in range(6)])
    state = dataclasses.replace(initial_state(params), temp_c=temp_c)
    dt_s = 43_200.0
    for _ in range(round(TEN_YEARS_S / dt_s)):
        # Energy is held at its share of what capacity is left, so that the state of charge stays constant.
        state = dataclasses.replace(state, energy_wh=params.capacity_wh * state.capacity_factor * soc)
        state = age(params, state, dt_s)
    inverse = 1.0 / (temp_c + 273.15) - 1.0 / 298.15
    arrhenius = np.exp(-17126.0 / 8.314462618 * inverse)
    fade = 1.2571e-5 * arrhenius * (2.8575 * (soc - 0.5) ** 3 + 0.60225) * np.sqrt(TEN_YEARS_S)
    np.testing.assert_allclose(state.calendar_fade_pu, fade, rtol=1e-3)
    arrhenius = np.exp(-71827.0 / 8.314462618 * inverse)
    rise = 3.4194e-10 * arrhenius * (-3.3903 * (soc - 0.5) ** 2 + 1.5604) * TEN_YEARS_S
    np.testing.assert_allclose(state.calendar_rise_pu, rise, rtol=1e-3)


def test_years_of_daily_cycles_equal_the_closed_form() -> None:
    """Half cycles of 80 % in 2 h, one each way a day: F = 1200·0.8, c = 0.4/h."""
    params = build_fleet([catalogue.home_battery("home", initial_pu=0.1)])
    state = initial_state(params)
    days = 1_200
    capacity = params.capacity_wh[0]
    levels = np.asarray([0.1, 0.5, 0.9, 0.9, 0.5, 0.1, 0.1]) * capacity
    hours = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    for _ in range(days):
        for level, hour in zip(levels[1:], hours, strict=True):
            state = age(params, dataclasses.replace(state, energy_wh=np.asarray([level])), hour * 3600.0)
    # A half cycle lasts from turn to turn: 3 h with its hour of rest.
    c_rate, depth, cycles = 0.8 / 3.0, 0.8, days * 0.8
    fade = (0.063 * c_rate + 0.0971) * (4.0253 * (depth - 0.6) ** 3 + 1.0923) * np.sqrt(cycles) / 100.0
    assert state.cycle_fade_pu[0] == pytest.approx(fade, rel=2e-3)
    rise = (-0.002 * c_rate + 0.0021) * (6.8477 * (depth - 0.5) ** 3 + 0.9182) * cycles / 100.0
    assert state.cycle_rise_pu[0] == pytest.approx(rise, rel=2e-3)
    assert state.capacity_factor[0] == pytest.approx(1.0 - state.calendar_fade_pu[0] - state.cycle_fade_pu[0])


def test_accumulation_does_not_depend_on_how_time_is_cut() -> None:
    law = ageing.NAUMANN_CAPACITY
    rate = law.calendar_rate(np.asarray([0.7]), np.asarray([30.0]))
    whole = ageing.accumulate(np.zeros(1), rate, 1e7, 0.5)
    parts = np.zeros(1)
    for piece in (1.0, 999.0, 1e6, 1e7 - 1e6 - 1e3):
        parts = ageing.accumulate(parts, rate, piece, 0.5)
    assert parts[0] == pytest.approx(whole[0], rel=1e-12)


def test_stresses_add_in_the_square_for_a_square_root_law() -> None:
    """Fade² = sum of k²·Δt: two stresses one after the other, in either order."""
    k = np.asarray([[1e-5], [3e-5]])
    forth = ageing.accumulate(ageing.accumulate(np.zeros(1), k[0], 5e6, 0.5), k[1], 1e6, 0.5)
    back = ageing.accumulate(ageing.accumulate(np.zeros(1), k[1], 1e6, 0.5), k[0], 5e6, 0.5)
    expected = np.sqrt(k[0, 0] ** 2 * 5e6 + k[1, 0] ** 2 * 1e6)
    assert forth[0] == pytest.approx(expected) and back[0] == pytest.approx(expected)


def test_nmc_calendar_follows_schmalstieg_over_ten_years() -> None:
    params = build_fleet([catalogue.home_battery("nmc", storage=StorageKind.NMC)])
    state = initial_state(params, 25.0)
    for _ in range(3_650):
        state = dataclasses.replace(state, energy_wh=params.capacity_wh * state.capacity_factor * 0.5)
        state = age(params, state, 86_400.0)
    from devices.battery import molicel_nmc_cell

    cell = molicel_nmc_cell()
    volts = float(cell.open_circuit_v(cell.soc_of_energy_pu(np.asarray([0.5])))[0])
    fade = (7.543 * volts - 23.75) * 1e6 * np.exp(-6976.0 / 298.15) * 3_650.0**0.75
    assert state.calendar_fade_pu[0] == pytest.approx(fade, rel=1e-3)


def test_small_turns_are_no_cycles_and_storages_that_do_not_age_stay_new() -> None:
    params = build_fleet(
        [catalogue.home_battery("home"), catalogue.flywheel_unit("wheel"), catalogue.fixed_load("l")]
    )
    state = initial_state(params)
    for wiggle in (0.0, 0.004, -0.004, 0.003, -0.002) * 20:
        state = age(params, dataclasses.replace(state, energy_wh=params.initial_wh * (1.0 + wiggle)), 900.0)
    assert state.cycle_fade_pu[0] == 0.0
    assert state.calendar_fade_pu[0] > 0.0
    np.testing.assert_array_equal(state.capacity_factor[1:], 1.0)
