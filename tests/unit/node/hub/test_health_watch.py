"""The watch over storages: what a scenario breaks, what is found, and that a resumed watch reads the same again."""

import numpy as np
import pytest

from devices import fleet
from devices.catalogue import fixed_load, home_battery, kinetic_module, server_backup
from devices.errors import BadCheckpoint
from devices.parameters import build_fleet
from devices.state import FleetInputs, initial_state, state_to_bytes
from node.hub.health_watch import HealthWatch, PlannedFault
from node.scenario import InternalShort, ResistanceRise, StuckSensor

PARAMS = build_fleet(
    [fixed_load("load"), home_battery("battery"), server_backup("backup"), kinetic_module("module")]
)
BATTERY = PARAMS.row_of("battery")
HOUR_S = 3_600


def planned(model, first, **fields):
    fault = model.model_validate({"device": "battery", "start": "00:00", **fields})
    return PlannedFault(fault, BATTERY, BATTERY - 1, first)


SHORT = planned(InternalShort, 3, kind="internal_short", leak_per_h=0.02)
RISE = planned(ResistanceRise, 3, kind="resistance", rise_pu=0.3)
STUCK = planned(StuckSensor, 3, kind="stuck_sensor", channel="current")


def watch(*faults):
    return HealthWatch(PARAMS, faults, seed=1, interval_s=HOUR_S, lends=PARAMS.is_storage)


def live(one, state, intervals):
    """Swing every storage up and down once in six hours."""
    inputs = FleetInputs.quiet(PARAMS.n_devices)
    for interval in intervals:
        before = one.strike(state, interval)
        share = 0.3 * np.sin(2 * np.pi * interval / 6)
        setpoint = np.where(PARAMS.is_storage, share * PARAMS.p_discharge_max_w, 0.0)
        after, _ = fleet.step(PARAMS, before, inputs, setpoint, HOUR_S)
        state = one.after(before, after, interval)
    return state


def test_a_fault_strikes_once_at_its_interval_and_only_its_device():
    one, state = watch(SHORT, RISE), initial_state(PARAMS)
    assert one.strike(state, 2) is state
    struck = one.strike(state, 3)
    assert struck.leakage_w.tolist() == [0.0, 0.02 * PARAMS.capacity_wh[BATTERY], 0.0, 0.0]
    assert struck.resistance_factor.tolist() == [1.0, 1.3, 1.0, 1.0]
    assert one.strike(struck, 4) is struck


@pytest.mark.parametrize("fault", [SHORT, STUCK])
def test_what_breaks_is_found_and_taken_out_and_nobody_else(fault):
    one = watch(fault)
    live(one, initial_state(PARAMS), range(3))
    assert one.is_fit.all()
    one = watch(fault)
    live(one, initial_state(PARAMS), range(48))
    assert np.flatnonzero(~one.is_fit).tolist() == [BATTERY]


def test_a_resumed_watch_goes_on_with_the_same_bytes():
    through = watch(STUCK, SHORT)
    end = live(through, initial_state(PARAMS), range(20))
    first = watch(STUCK, SHORT)
    half = live(first, initial_state(PARAMS), range(9))
    second = watch(STUCK, SHORT)
    second.restore(first.to_bytes())
    assert state_to_bytes(live(second, half, range(9, 20))) == state_to_bytes(end)
    assert second.to_bytes() == through.to_bytes()


def test_bytes_that_are_no_memory_are_refused():
    with pytest.raises(BadCheckpoint):
        watch().restore(b"something else")
