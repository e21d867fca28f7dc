"""Registers count every micro-watt-hour, the same way in every run, and refuse what no meter could count."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import ReadingRefused
from market.metering import MAX_REGISTER_MILLI_WH, Registers, advance


def test_remainder_below_one_milli_watt_hour_is_carried_not_lost():
    registers = Registers.installed(1)
    for _ in range(10):
        registers = advance(registers, [0.0003])  # 0.3 mWh each
    assert registers.register_milli_wh.tolist() == [3]
    assert registers.remainder_micro_wh.tolist() == [0]


def test_import_counts_downwards_and_its_remainder_stays_positive():
    registers = advance(Registers.installed(1), [-0.0001])
    assert (registers.register_milli_wh.tolist(), registers.remainder_micro_wh.tolist()) == ([-1], [900])
    assert registers.total_micro_wh() == [-100]


def test_export_then_the_same_import_returns_to_the_start():
    start = Registers(np.array([5, -7]), np.array([1, 999]))
    there = advance(start, [1.2345678, -0.4])
    back = advance(there, [-1.2345678, 0.4])
    assert back.total_micro_wh() == start.total_micro_wh()


@given(st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=50))
def test_register_is_the_exact_sum_of_the_rounded_energies(energies_wh):
    registers = Registers.installed(1)
    for energy_wh in energies_wh:
        registers = advance(registers, [energy_wh])
    exact_micro_wh = sum(Fraction(energy_wh) for energy_wh in energies_wh) * 10**6
    assert abs(registers.total_micro_wh()[0] - exact_micro_wh) <= Fraction(1, 2) * len(energies_wh) + 1
    assert registers.total_micro_wh()[0] == sum(int(np.rint(e * 1e6)) for e in energies_wh)


def test_many_meters_advance_as_one_meter_does():
    energies_wh = np.linspace(-300.0, 300.0, 101)
    together = advance(Registers.installed(101), energies_wh)
    alone = [advance(Registers.installed(1), [e]) for e in energies_wh]
    assert together.register_milli_wh.tolist() == [int(a.register_milli_wh[0]) for a in alone]
    assert together.remainder_micro_wh.tolist() == [int(a.remainder_micro_wh[0]) for a in alone]


@pytest.mark.parametrize("energy_wh", [float("nan"), float("inf"), -float("inf")])
def test_energy_that_is_not_finite_is_refused_and_named(energy_wh):
    with pytest.raises(ReadingRefused, match="meter 1"):
        advance(Registers.installed(3), [0.0, energy_wh, 0.0])


@pytest.mark.parametrize("energy_wh", [1.0011, -1.0001, 1e30, -1e30])
def test_jump_beyond_the_capacity_is_refused(energy_wh):
    with pytest.raises(ReadingRefused, match="capacity"):
        advance(Registers.installed(1), [energy_wh], capacity_milli_wh=[1000])


@pytest.mark.parametrize("energy_wh", [1.0, -1.0, 1.0009])
def test_step_of_exactly_the_capacity_is_counted(energy_wh):
    step = advance(Registers.installed(1), [energy_wh], capacity_milli_wh=1000).register_milli_wh
    assert abs(int(step[0])) == 1000


def test_register_beyond_its_word_on_chain_is_refused():
    full = Registers(np.array([MAX_REGISTER_MILLI_WH]), np.array([0]))
    with pytest.raises(ReadingRefused, match=r"2\*\*55"):
        advance(full, [0.001])


def test_remainder_of_a_whole_milli_watt_hour_is_refused():
    with pytest.raises(ReadingRefused, match=r"0\.\.999"):
        Registers(np.array([0]), np.array([1000]))


def test_arrays_of_different_length_are_refused():
    with pytest.raises(ReadingRefused, match="same"):
        Registers(np.zeros(2, np.int64), np.zeros(3, np.int64))


def test_capacity_beyond_the_word_on_chain_is_refused():
    with pytest.raises(ReadingRefused, match="capacities"):
        advance(Registers.installed(1), [0.0], capacity_milli_wh=2**39)
