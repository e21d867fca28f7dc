"""What dispatch takes and gives for islands: forecasts for the leader, voltage and frequency, who was served."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.controller.microgrid import Phase

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
