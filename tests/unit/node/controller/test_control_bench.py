"""The benchmark of the controller measures what it says, in small."""

import numpy as np

from node.bench.control import allocation_ms, device_step_ms, live_run
from node.hub.dispatch_run import PERIOD_MS


def test_every_allocation_is_audited_and_timed():
    assert np.all(allocation_ms(np.random.default_rng(1), n=500, rounds=3) > 0)


def test_a_mixed_fleet_steps():
    assert device_step_ms(np.random.default_rng(1), n=120, steps=2) > 0


def test_the_live_loop_runs_the_same_periods_as_a_simulation():
    run = live_run(np.random.default_rng(1), n=60)
    for tick in range(12):
        assert run.act(tick * PERIOD_MS, (tick + 1) * PERIOD_MS) == PERIOD_MS
    assert run.ledger.n_periods + run.ledger.n_coasts == 12
    assert np.abs(run.ledger.energies().residual_wh()).max() < 1e-9
