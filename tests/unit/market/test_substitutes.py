"""Which register counts next: expected values by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.substitutes import NextRegister, SubstituteReason, next_register

CAPACITY = 1_000


def step(told=None, position=0, expected=0, last=50, may=True):
    return next_register(last, told, position, CAPACITY, expected, may_substitute=may)


@pytest.mark.parametrize("told", [50, 50 + CAPACITY, 50 - CAPACITY])
def test_a_meters_own_register_counts_wherever_the_connection_can_have_carried_it(told):
    assert step(told, may=False) == NextRegister(told)


@pytest.mark.parametrize("told", [None, 51 + CAPACITY])
def test_nothing_counts_before_two_fill_windows_are_over(told):
    assert step(told, may=False) is None


@pytest.mark.parametrize(
    ("position", "expected", "register"),
    [
        (700, 0, 50),  # a seller delivered nothing
        (700, 20, 30),
        (-300, 20, -250),  # a buyer used what it bought
        (-300, 400, -350),  # or more, if that is what it does
        (0, 5_000, 50 - CAPACITY),
    ],
)
def test_a_silent_meter_is_taken_to_have_exported_nothing(position, expected, register):
    assert step(None, position, expected) == NextRegister(register, SubstituteReason.SILENT)


@pytest.mark.parametrize(("told", "register"), [(9_000, 50 + CAPACITY), (-9_000, 50 - CAPACITY)])
def test_a_register_out_of_reach_is_approached_as_far_as_the_connection_carries(told, register):
    assert step(told) == NextRegister(register, SubstituteReason.TOO_FAR)


@given(
    st.lists(st.integers(-CAPACITY, CAPACITY), min_size=1, max_size=30),
    st.integers(0, 30),
    st.integers(-CAPACITY, CAPACITY),
)
def test_registers_meet_the_meters_again_after_any_silence(moved, silent, position):
    """The meter counts on while it is silent; within as many intervals after it, the register is the true one."""
    true, last, caught_up = 0, 0, False
    for n, energy in enumerate(moved + [0] * (2 * len(moved) + 1)):
        true += energy
        told = None if n < min(silent, len(moved)) else true
        found = next_register(last, told, position, CAPACITY, 0, may_substitute=True)
        assert found is not None
        assert abs(found.register_milli_wh - last) <= CAPACITY
        last = found.register_milli_wh
        caught_up = told is not None and last == true
    assert caught_up
