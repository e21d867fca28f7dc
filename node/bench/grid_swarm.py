"""Measure the swarm: 100,000 units promised anew in both directions, and answering.

| figure | what it is |
|---|---|
| `swarm_100k_ms` | p99 of one whole response: shares of 100,000 units anew, both ways, and every unit's answer |
| `swarm_answer_100k_ms` | p99 of the units' answers alone: what happens in each step, promises standing |
"""

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from devices.frequency_response import DYNAMIC_CONTAINMENT, response_w
from node.controller.swarm_promise import promise

N_UNITS: Final = 100_000
RESPONSES: Final = 60
SEED: Final = 20260416


def swarm_figures(n_units: int = N_UNITS, responses: int = RESPONSES) -> dict[str, float]:
    """Return the figures of the module's table; asserts that every share sums to what was required."""
    rng = np.random.default_rng(SEED)
    rated_w = rng.uniform(2_000.0, 6_000.0, n_units)
    spent: list[NDArray[np.float64]] = []
    for _ in range(responses):
        planned_w = rng.uniform(-0.5, 0.5, n_units) * rated_w
        serves = rng.random(n_units) < 0.98
        required_w = float(np.round(0.4 * rated_w.sum()))
        began = time.perf_counter()
        made = promise(required_w, required_w, planned_w, -rated_w, rated_w, rated_w, 0.2, serves)
        promised = time.perf_counter()
        answer = response_w(DYNAMIC_CONTAINMENT, -0.35, made.up_w, made.down_w)
        answered = time.perf_counter()
        spent.append(np.array([answered - began, answered - promised]))
        assert round(float(made.up_w.sum()) * 1_000) == round(required_w * 1_000)
        assert abs(float(answer.sum()) / float(DYNAMIC_CONTAINMENT.response_pu(-0.35)) - required_w) < 1.0
    whole, alone = np.percentile(np.array(spent) * 1_000, 99, axis=0)
    return {"swarm_100k_ms": float(whole), "swarm_answer_100k_ms": float(alone)}
