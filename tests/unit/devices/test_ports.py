"""Ports of ties pass on what they are told and nothing else; generators give what is available."""

import numpy as np
import pytest

from devices.firmware import Verdict, command, receive, setpoints
from devices.fleet import deliverable_w, step
from devices.parameters import build_fleet
from devices.specification import DeviceSpec, Kind
from devices.state import FleetInputs, initial_state


@pytest.fixture
def fleet():
    return build_fleet(
        [
            DeviceSpec(name="a", kind=Kind.TIE_PORT),
            DeviceSpec(name="b", kind=Kind.TIE_PORT),
            DeviceSpec(name="diesel", kind=Kind.GENERATOR, p_max_w=5_000.0),
        ]
    )


def leased(fleet, p_w, until_s=10.0):
    batch = setpoints(np.arange(3), np.array(p_w), 1, 0.0, until_s)
    return receive(fleet, initial_state(fleet), batch, 0.0)


def test_a_port_passes_on_exactly_its_setpoint_and_its_books_close(fleet):
    state, _ = leased(fleet, [-900.0, 850.0, np.inf])
    state, told = command(fleet, state, FleetInputs.quiet(3), 0.0)
    _, flows = step(fleet, state, FleetInputs.quiet(3), told.setpoint_w, 36.0)
    assert flows.terminal_wh[:2] == pytest.approx([-9.0, 8.5], abs=1e-12)
    assert flows.sink_wh[:2] == pytest.approx([9.0, 0.0]) and flows.source_wh[:2] == pytest.approx([0.0, 8.5])
    assert np.abs(flows.residual_wh()).max() < 1e-12


def test_a_port_whose_lease_has_ended_passes_nothing(fleet):
    state, _ = leased(fleet, [-900.0, 850.0, 0.0], until_s=5.0)
    _, told = command(fleet, state, FleetInputs.quiet(3), 5.0)
    assert told.setpoint_w[:2].tolist() == [0.0, 0.0]


def test_a_port_is_told_a_power_and_not_a_limit(fleet):
    _, verdicts = leased(fleet, [-np.inf, np.inf, np.inf])
    assert verdicts.tolist() == [Verdict.MALFORMED, Verdict.MALFORMED, Verdict.ACCEPTED]


def test_a_port_promises_nothing_by_itself(fleet):
    low, high = deliverable_w(fleet, initial_state(fleet), FleetInputs.quiet(3), 60.0)
    assert low[:2].tolist() == [0.0, 0.0] and high[:2].tolist() == [0.0, 0.0]


def test_a_generator_gives_what_is_asked_of_what_is_available(fleet):
    running = FleetInputs(np.zeros(3), np.array([0.0, 0.0, 5_000.0]), np.ones(3, bool), np.zeros(3))
    _, flows = step(fleet, initial_state(fleet), running, np.array([0.0, 0.0, 3_000.0]), 3_600.0)
    assert flows.source_wh[2] == pytest.approx(3_000.0) and flows.curtailed_wh[2] == pytest.approx(2_000.0)
