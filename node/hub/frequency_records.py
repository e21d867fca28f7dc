"""What dispatch takes and gives about the frequency: record, incidents and service of an interval; its outcome."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.frequency_area import Area
from devices.frequency_response import ServiceCurve

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Incident:
    """The area's own motion replaces the record from `from_ms` to `until_ms`; the loss strikes at `from_ms`."""

    name: str
    from_ms: int
    until_ms: int
    loss_pu: float


@dataclass(frozen=True, slots=True)
class Service:
    """A service active in this interval.

    Attributes
    ----------
    curve : ServiceCurve
    up_w, down_w : float64 (n_devices,)
        What each unit's owner sold, spread over its units by rating; 0 for who sold nothing.
    sustain_s : float
        Full power must be held so long.
    """

    name: str
    curve: ServiceCurve
    up_w: FloatArray
    down_w: FloatArray
    sustain_s: float

    @property
    def members(self) -> BoolArray:
        """Units that serve, (n_devices,)."""
        return (self.up_w > 0) | (self.down_w > 0)


@dataclass(frozen=True, slots=True)
class FrequencyInterval:
    """The frequency of one interval and who answers it.

    Attributes
    ----------
    deviation_hz : float64 (n_seconds + 1,)
        Record at every whole second, both ends included.
    delay_s, message_loss_pu : float
        Of the swarm's network and inverters.
    seed : int
        Of what the network loses.
    """

    area: Area
    deviation_hz: FloatArray
    incidents: tuple[Incident, ...]
    service: Service
    delay_s: float
    message_loss_pu: float
    seed: int


@dataclass(frozen=True, slots=True)
class FrequencyOutcome:
    """What the swarm did in one interval; arrays (n_steps,) of its fine steps, (n_accounts,) of members.

    Attributes
    ----------
    at_ms, length_ms : int64 (n_steps,)
        Start of each step after the interval's start, and its length; nothing was asked in between.
    deviation_hz, asked_w, given_w : float64 (n_steps,)
        Mean of the step: the frequency, what the curve asks of all that was sold, what flowed beyond the plans.
    is_incident : bool (n_steps,)
    mode, gain_pu : (n_steps,)
    asked_wh : float
        Energy asked for, either way counted up.
    delivered_wh : float64 (n_accounts,)
        Energy that flowed as asked, either way counted up, by telemetry.
    n_reserve_violations : int
        Unit-steps that ended below their owner's reserve.
    """

    service: str
    at_ms: IntArray
    length_ms: IntArray
    deviation_hz: FloatArray
    asked_w: FloatArray
    given_w: FloatArray
    is_incident: BoolArray
    mode: IntArray
    gain_pu: FloatArray
    asked_wh: float
    delivered_wh: FloatArray
    n_reserve_violations: int
