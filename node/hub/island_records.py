"""What dispatch takes and gives for islands: forecasts for the leader, voltage and frequency, who was served."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.state import FleetInputs
from node.controller.microgrid import Microgrid, Phase

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class IslandAhead:
    """What agents expect of the coming intervals; the first column is the interval that begins now.

    Parameters
    ----------
    demand_w, sun_w : float64 (n_devices, n_intervals)
        Of loads, and of sources; 0 for other devices.
    """

    demand_w: FloatArray
    sun_w: FloatArray


def expected(
    ahead: IslandAhead | None, grid: Microgrid, inputs: FleetInputs
) -> tuple[FloatArray, FloatArray]:
    """Return demand by load, (n_loads, n_slots), and sun by slot, (n_slots,): measured now, forecast later."""
    demand_w = inputs.load_demand_w[grid.loads][:, None]
    sun_w = np.array([inputs.solar_available_w[grid.suns].sum()])
    if ahead is None:
        return demand_w, sun_w
    later_w = ahead.demand_w[grid.loads, 1:]
    return np.hstack((demand_w, later_w)), np.r_[sun_w, ahead.sun_w[grid.suns, 1:].sum(axis=0)]


@dataclass(frozen=True, slots=True)
class IslandSample:
    """Voltage and frequency over a span that ends at `at_s` (unix time), and what the island lived on then.

    Parameters
    ----------
    f_min_hz, f_max_hz, v_min_pu, v_max_pu : float
        Over the span.
    load_w : float
        Drawn from the forming storages, inrush included; < 0: they charge.
    usable_wh : float
        Deliverable above floor and black-start reserve.
    """

    at_s: float
    phase: Phase
    f_min_hz: float
    f_max_hz: float
    v_min_pu: float
    v_max_pu: float
    load_w: float
    usable_wh: float


@dataclass(frozen=True, slots=True)
class IslandOutcome:
    """What one microgrid did in an interval in which it was cut off for a while.

    Parameters
    ----------
    leader, term : int
        Account row and term at the end; -1 and 0: none.
    cut_s : float
        How long it was cut off.
    wanted_wh, served_wh : float64 (n_classes,)
        Of loads while it was cut off, by priority.
    usable_wh : float
        At the end.
    """

    node: str
    phase: Phase
    leader: int
    term: int
    cut_s: float
    wanted_wh: FloatArray
    served_wh: FloatArray
    usable_wh: float
    samples: tuple[IslandSample, ...]


def counted_loads(n: int) -> str:
    """Return a number of loads in words for people."""
    return "1 load" if n == 1 else f"{n} loads"
