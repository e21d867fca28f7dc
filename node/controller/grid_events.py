"""Grid events as the controller answers them: demand response asks for a power, peak shaving for what exceeds a cap.

Either is shared among members' storages by `swarm.share_event`: never above what each can hold until the event ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.state import FleetInputs, FleetState
from node.controller.control_plan import ControlPlan
from node.controller.network import FloatArray
from node.controller.swarm import share_event

MILLI = 1_000.0

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Call:
    """An active grid event: signed power (> 0: more export) and what units can hold until it ends.

    With `cap_w` it asks for what the whole plant would import beyond that, and for `requested_w` at most.
    """

    requested_w: float
    members: BoolArray  # (n_devices,)
    p_min_w: FloatArray  # (n_devices,)
    p_max_w: FloatArray
    cap_w: float | None = None

    def asked_w(self, net_export_w: float) -> float:
        """Return what is asked for while the plant exports so much without this event, W, signed."""
        if self.cap_w is None:
            return self.requested_w
        return min(max(-net_export_w - self.cap_w, 0.0), self.requested_w)


def answer_calls(
    plan: ControlPlan,
    calls: Sequence[Call],
    state: FleetState,
    inputs: FleetInputs,
    is_healthy: BoolArray,
    base_w: FloatArray,
    low_w: FloatArray,
    high_w: FloatArray,
) -> FloatArray:
    """Return what grid events add to each device, W, signed, (n_devices,).

    Parameters
    ----------
    base_w : float64 (n_devices,)
        Wanted without any event.
    low_w, high_w : float64 (n_devices,)
        What devices can hold until the interval's end.
    """
    event = np.zeros(base_w.size)
    params = plan.params
    for call in calls:
        now = base_w + event
        asked_w = call.asked_w(float(now.sum()))
        if asked_w > 0:
            room = np.minimum(high_w, call.p_max_w) - now
            weight = state.energy_wh - params.reserve_wh
        else:
            room = now - np.maximum(low_w, call.p_min_w)
            weight = params.capacity_wh * state.capacity_factor - state.energy_wh
        takes_part = call.members & params.is_storage & is_healthy & inputs.is_present
        takes_part &= ~plan.in_island
        shares = share_event(
            round(abs(asked_w) * MILLI),
            np.floor(np.maximum(room, 0.0) * MILLI).astype(np.int64),
            np.maximum(weight, 0.0),
            takes_part,
        )
        event += np.copysign(shares / MILLI, asked_w)
    return event
