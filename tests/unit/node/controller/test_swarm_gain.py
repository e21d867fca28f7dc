"""The swarm in the benchmark area: fast it holds the nadir, slow it lowers its gain instead of swinging."""

from collections import deque

import numpy as np
import pytest

from devices.frequency_area import Area, AreaState, advance
from devices.frequency_response import LINEAR_DROOP
from node.controller.errors import InvalidRequest
from node.controller.swarm_gain import DelayMeter, stable_gain_pu

AREA = Area(inertia_s=4.0, damping_pu=1.0, droop_pu=0.05, lag_s=8.0)
SHARE_PU = 0.10
DT_S = 0.01


def run(delay_s, gain_pu=None, horizon_s=60.0):
    """Return the frequency of the benchmark after losing 0.10 pu with 0.10 pu of batteries.

    With `gain_pu` None the swarm sets it itself, from answers that it times while running.
    """
    meter, is_adaptive = DelayMeter(), gain_pu is None
    state, f = AreaState(), [50.0]
    waiting = deque([0.0] * round(delay_s / DT_S))
    for step in range(round(horizon_s / DT_S)):
        if is_adaptive:
            if step * DT_S >= delay_s and step % 10 == 0:
                meter = meter.note(delay_s)  # an answer to a frequency sampled `delay_s` ago
            gain_pu = stable_gain_pu(LINEAR_DROOP, SHARE_PU, AREA.inertia_s, 50.0, meter.delay_s)
        waiting.append(f[-1] - 50.0)
        support_pu = SHARE_PU * float(LINEAR_DROOP.response_pu(waiting.popleft(), gain_pu))
        state = advance(AREA, state, support_pu, 0.10, DT_S)
        f.append(50.0 * (1.0 + state.speed_pu))
    return np.array(f)


def dips(f):
    """Return the local minima of a frequency, in their order."""
    return f[1:-1][(f[1:-1] < f[:-2]) & (f[1:-1] <= f[2:])]


def test_a_fast_swarm_keeps_the_nadir_above_the_bar():
    assert run(0.2, 1.0, 20.0).min() >= 49.77
    assert run(0.2, None, 20.0).min() >= 49.77


def test_a_naive_droop_oscillates_at_a_second_of_delay():
    found = dips(run(1.0, 1.0))
    assert found.min() == pytest.approx(49.232, abs=5e-3)  # a step is held 10 ms
    assert found.min() < found[0] - 0.1
    assert run(1.0, 1.0).max() > 50.05


@pytest.mark.parametrize("delay_s", [0.0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
def test_no_later_dip_is_below_the_first_at_any_delay_to_a_second(delay_s):
    f = run(delay_s)
    found = dips(f)
    assert np.all(found[1:] >= found[0] - 1e-9)
    assert f.min() == pytest.approx(found[0], abs=1e-12)
    assert f.max() < 50.05
    assert f.min() > 49.012 + 0.2, "slow help is still help"


def test_the_gain_keeps_45_degrees_of_a_delayed_integrator():
    # K T / 2H at the gain returned is pi / 4, by the module's formula and by the phase at the gain crossover.
    gain = stable_gain_pu(LINEAR_DROOP, 0.1, 4.0, 50.0, 1.0)
    slope = 0.1 * 50.0 / 0.185 * gain
    crossover = slope / 8.0
    assert np.pi / 2 - crossover * 1.0 == pytest.approx(np.pi / 4)
    assert stable_gain_pu(LINEAR_DROOP, 0.1, 4.0, 50.0, 0.2) == 1.0
    assert stable_gain_pu(LINEAR_DROOP, 0.0, 4.0, 50.0, 5.0) == 1.0


def test_delay_is_a_high_quantile_of_recent_answers_and_long_before_any():
    assert DelayMeter().delay_s == 1.0
    meter = DelayMeter().note(*[0.2] * 60, 0.9)
    assert meter.delay_s == 0.2, "one late answer in sixty is no slow network"
    assert meter.note(*[0.6] * 10).delay_s == 0.6
    assert len(meter.note(*[0.3] * 500).answers_s) == 64


@pytest.mark.parametrize("delay_s", [-0.1, np.nan, np.inf])
def test_an_answer_before_its_question_is_refused(delay_s):
    with pytest.raises(InvalidRequest):
        DelayMeter().note(delay_s)


@pytest.mark.parametrize("arguments", [(-0.1, 4.0, 50.0, 1.0), (0.1, 0.0, 50.0, 1.0), (0.1, 4.0, 50.0, -1.0)])
def test_a_gain_for_no_area_is_refused(arguments):
    with pytest.raises(InvalidRequest):
        stable_gain_pu(LINEAR_DROOP, *arguments)
