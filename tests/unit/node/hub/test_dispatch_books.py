"""What dispatch promises always: same bytes, closed books, no node overrun, nonsense refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.catalogue import (
    fixed_load,
    server_backup,
    vehicle,
)
from devices.specification import Priority
from node.controller.errors import InvalidRequest
from node.hub.dispatch import BadSchedule, Dispatch
from node.hub.dispatch_records import Direction, IntervalInputs, Schedule
from node.hub.dispatch_state import BadWorld, world_from_bytes
from tests.unit.node.hub.small_plant import INTERVAL, Community, battery_home, event


def busy_day(c, n=6):
    rng = np.random.default_rng(3)
    outcomes = []
    for _ in range(n):
        steps = [
            (float(o), c.inputs(**{"load-a": rng.uniform(0, 4e3), "sun-b": rng.uniform(0, 6e3)}))
            for o in (0, 300, 600)
        ]
        outcomes.append(c.run(steps, target_wh=rng.uniform(-500, 500, 2)))
    return outcomes


def test_the_same_inputs_give_the_same_bytes_and_a_checkpoint_resumes_them():
    def community():
        return Community([battery_home("-a"), battery_home("-b")], feeder_w=(3_000.0, 2_500.0))

    one, two, resumed = community(), community(), community()
    busy_day(one)
    busy_day(two, 3)
    half = two.world.to_bytes()
    resumed.world, resumed.interval = world_from_bytes(half), two.interval
    assert resumed.world.to_bytes() == half
    rng = np.random.default_rng(3)
    for k in range(6):
        steps = [
            (float(o), one.inputs(**{"load-a": rng.uniform(0, 4e3), "sun-b": rng.uniform(0, 6e3)}))
            for o in (0, 300, 600)
        ]
        target = rng.uniform(-500, 500, 2)
        if k >= 3:
            resumed.run(steps, target_wh=target)
    assert resumed.world.to_bytes() == one.world.to_bytes()


def test_coasting_gives_what_periods_of_a_second_give():
    def run(offsets):
        c = Community([battery_home("-a"), battery_home("-b")], feeder_w=(3_000.0, 2_500.0))
        step = c.inputs(**{"load-a": 2500.0, "sun-b": 3800.0})
        return c.run([(float(o), step) for o in offsets], target_wh=[-300.0, 700.0])

    coarse, fine = run([0]), run(range(0, 900, 1))
    assert coarse.n_periods < 60 and fine.n_periods >= 900
    assert fine.net_export_wh == pytest.approx(coarse.net_export_wh, abs=0.05)
    # Storage losses differ by the midpoint rule of longer steps only.
    assert fine.energies.stored_delta_wh == pytest.approx(coarse.energies.stored_delta_wh, abs=0.5)


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_books_close_and_no_node_is_overrun_whatever_happens(seed):
    rng = np.random.default_rng(seed)
    homes = [
        [*battery_home("-a", initial_pu=rng.uniform(0.1, 1)), vehicle("car")],
        battery_home("-b", initial_pu=rng.uniform(0.1, 1)),
        [fixed_load("critical", Priority.CRITICAL), server_backup("backup")],
    ]
    feeder = tuple(rng.uniform(1e3, 15e3, 2))
    c = Community(homes, feeder_w=feeder, connection_w=tuple(rng.uniform(2e3, 12e3, 2)), lends=seed % 2 == 0)
    names = {"load-a": 6e3, "sun-a": 9e3, "load-b": 6e3, "sun-b": 9e3, "critical": 3e3}
    for _ in range(2):
        steps = [
            (o, c.inputs(**{k: rng.uniform(0, v) for k, v in names.items()}))
            for o in sorted({0.0, *rng.uniform(1, 899, 2).round(1)})
        ]
        outcome = c.run(
            steps,
            target_wh=rng.uniform(-2e3, 2e3, 3),
            planned={"car": rng.uniform(-11e3, 0), "battery-a": rng.uniform(-5e3, 5e3)},
            events=[event(rng.uniform(100, 9e3), 100, 700, rng.choice([Direction.UP, Direction.DOWN]))],
        )
        e = outcome.energies
        assert np.abs(e.residual_wh()).max() < 1e-9
        by_account = np.bincount(c.account, weights=e.terminal_wh, minlength=3)
        assert outcome.net_export_wh == pytest.approx(by_account, abs=1e-9)
        # Minute means: while a jump of the inputs is ramped away (10 kW in a second at most, a few times an
        # interval), and where a storage near full takes some tenths of a percent less than it promised.
        slack_w = 3 * 10e3 / 2 / 60 + 0.002 * 11e3
        assert np.all(outcome.nodes.peak_import_w <= c.tree.import_cap_w + slack_w)
        assert np.all(outcome.nodes.peak_export_w <= c.tree.export_cap_w + slack_w)
        assert np.all(np.diff(outcome.setpoints.sequence) >= 0)
        assert np.all(np.isfinite(outcome.setpoints.p_w))
        for curtailment in outcome.curtailments:
            assert curtailment.energy_milli_wh > 0


def test_nonsense_is_refused_before_anything_happens():
    c = Community([battery_home()])
    inputs = IntervalInputs((0.0,), (c.inputs(),))
    n = c.params.n_devices
    for schedule, message in [
        (Schedule(np.zeros(2), np.zeros(n)), "target_export_wh has shape"),
        (Schedule(np.zeros(1), np.zeros(n - 1)), "planned_p_w has shape"),
        (Schedule(np.zeros(1), np.full(n, np.nan)), "planned_p_w of load is nan"),
        (Schedule(np.array([np.inf]), np.zeros(n)), "target_export_wh of account 0 is infinite"),
        (Schedule(np.zeros(1), np.zeros(n), np.zeros(3)), "position_wh has shape"),
    ]:
        with pytest.raises(BadSchedule, match=message):
            c.dispatch.run_interval(INTERVAL, c.world, inputs, schedule)
    with pytest.raises(ValueError, match="offsets"):
        IntervalInputs((1.0,), (c.inputs(),))
    with pytest.raises(ValueError, match="steps for"):
        IntervalInputs((0.0, 1.0), (c.inputs(),))
    with pytest.raises(ValueError, match="ends at"):
        event(100.0, 500, 500)
    with pytest.raises(ValueError, match="requests"):
        event(0.0)


def test_a_device_outside_its_accounts_connection_is_refused():
    c = Community([battery_home("-a"), battery_home("-b")])
    with pytest.raises(InvalidRequest, match="not below its account's connection"):
        Dispatch(c.tree, c.params, np.full(6, 1), c.account, np.array([1, 2]))


@pytest.mark.parametrize("damage", [b"", b"SYMWORLD", b"nonsense" * 10, None])
def test_a_damaged_checkpoint_is_refused(damage):
    good = Community([battery_home()]).world.to_bytes()
    with pytest.raises(BadWorld):
        world_from_bytes(good[:-1] if damage is None else damage)
