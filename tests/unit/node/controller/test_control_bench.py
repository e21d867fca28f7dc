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
        assert run.advance(tick * PERIOD_MS, (tick + 1) * PERIOD_MS) == (tick + 1) * PERIOD_MS
    assert run.ledger.n_periods + run.ledger.n_coasts == 12
    assert np.abs(run.ledger.energies().residual_wh()).max() < 1e-9


def test_new_inputs_make_the_live_loop_renew_every_lease():
    run = live_run(np.random.default_rng(1), n=60)
    leases = []
    for now_ms in range(0, 2_100, PERIOD_MS):
        run.advance(now_ms, now_ms + PERIOD_MS)
        leases.append(run.world().fleet.lease_until_s.min())
    # Inputs change every second, so the oldest lease is from the last of these.
    assert leases[9] < leases[10] == leases[19] < leases[20]
