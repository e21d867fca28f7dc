"""Modes are entered at once and left after a calm."""

from devices.frequency_response import DYNAMIC_CONTAINMENT
from node.controller.swarm_mode import ModeState, SwarmMode, next_mode


def modes(*deviations_hz, dt_s=1.0):
    state, found = ModeState(), []
    for deviation in deviations_hz:
        state = next_mode(state, DYNAMIC_CONTAINMENT, deviation, dt_s)
        found.append(state.mode)
    return found


def test_inside_the_deadband_it_stands_by():
    assert modes(0.0, 0.015, -0.0149) == [SwarmMode.STANDBY] * 3


def test_support_begins_at_once_in_either_direction_and_ends_after_ten_calm_seconds():
    assert modes(-0.02)[-1] == modes(0.02)[-1] == SwarmMode.GRID_SUPPORT
    assert modes(-0.02, *[0.0] * 9)[-1] is SwarmMode.GRID_SUPPORT
    assert modes(-0.02, *[0.0] * 10)[-1] is SwarmMode.STANDBY
    assert modes(-0.02, *[0.0] * 9, -0.02, *[0.0] * 9)[-1] is SwarmMode.GRID_SUPPORT


def test_an_emergency_is_left_below_half_its_threshold_only():
    assert modes(-0.5) == [SwarmMode.EMERGENCY]
    assert modes(0.6, 0.3)[-1] is SwarmMode.EMERGENCY
    assert modes(0.6, 0.24)[-1] is SwarmMode.GRID_SUPPORT
