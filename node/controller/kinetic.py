"""Kinetic load balancing: see a rack's overload coming, move power there before it happens, ride through failures.

Each rack has a forecast of its own load (level and trend, with the spread of its errors). Where the forecast's upper
edge passes the rack's limit within the horizon, power is moved from the racks that can spare it at the least loss:
a donor gives only what its own forecast leaves free and its modules can hold. A transfer starts early and ends late
(hysteresis and a shortest duration), and every change is counted, because switching wears what it protects.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from node.controller.errors import InvalidRequest
from node.controller.network import FloatArray
from node.controller.paths import TieNetwork, best_path, split_transfer

BoolArray = NDArray[np.bool_]

# 97.7 % of errors of a normal distribution stay below two standard deviations.
SPREAD = 2.0
# Smoothing of level, trend and error variance per update (Holt's linear method).
LEVEL_GAIN, TREND_GAIN, VARIANCE_GAIN = 0.5, 0.1, 0.1


@dataclass(frozen=True, slots=True)
class RackForecast:
    """What is known of racks' loads; arrays (n_racks,), float64.

    Parameters
    ----------
    level_w, trend_w_per_s : smoothed load and its slope
    variance_w2 : of the errors of one-step forecasts
    """

    level_w: FloatArray
    trend_w_per_s: FloatArray
    variance_w2: FloatArray

    @classmethod
    def begin(cls, load_w: FloatArray) -> "RackForecast":
        """Return the forecast after one measurement: the load stays as it is."""
        return cls(load_w.copy(), np.zeros(load_w.size), np.zeros(load_w.size))

    def after(self, load_w: FloatArray, dt_s: float) -> "RackForecast":
        """Return the forecast after another measurement `dt_s` later.

        References
        ----------
        C. C. Holt, Forecasting seasonals and trends by exponentially weighted moving averages (1957), reprinted
        Int. J. Forecasting 20 (2004) 5-10, doi:10.1016/j.ijforecast.2003.09.015.
        """
        expected = self.level_w + self.trend_w_per_s * dt_s
        error = load_w - expected
        level = expected + LEVEL_GAIN * error
        trend = self.trend_w_per_s + TREND_GAIN * ((level - self.level_w) / dt_s - self.trend_w_per_s)
        variance = (1 - VARIANCE_GAIN) * (self.variance_w2 + VARIANCE_GAIN * error**2)
        return RackForecast(level, trend, variance)

    def upper_w(self, horizon_s: float) -> FloatArray:
        """Return the highest load to expect until the horizon, (n_racks,) W: at its end or now, plus the spread."""
        end = self.level_w + np.maximum(self.trend_w_per_s, 0.0) * horizon_s
        return end + SPREAD * np.sqrt(self.variance_w2)


@dataclass(frozen=True, slots=True)
class KineticTerms:
    """How careful transfers are.

    Parameters
    ----------
    horizon_s : float
        How far ahead an overload is acted on; also how long a donor must be able to hold.
    start_pu, stop_pu : float
        A transfer starts when the forecast passes this share of the limit, and stops below the lower one.
    hold_s : float
        Shortest time between two changes of one rack's transfer.
    """

    horizon_s: float = 30.0
    start_pu: float = 0.95
    stop_pu: float = 0.85
    hold_s: float = 10.0

    def __post_init__(self) -> None:
        if not (0 < self.stop_pu < self.start_pu <= 1 and self.horizon_s > 0 and self.hold_s >= 0):
            raise InvalidRequest(f"kinetic terms {self}: need 0 < stop < start <= 1, horizon > 0, hold >= 0")


@dataclass(frozen=True, slots=True)
class Transfers:
    """Power under way between racks.

    Parameters
    ----------
    sent_w : float64 (n_racks, n_racks)
        `sent_w[donor, receiver]`, leaving the donor.
    received_w : float64 (n_racks,)
        What arrives at each rack.
    is_helped : bool (n_racks,)
    changed_s : float64 (n_racks,)
        When each rack's help last began or ended.
    n_switches : int
        Beginnings and ends so far.
    """

    sent_w: FloatArray
    received_w: FloatArray
    is_helped: BoolArray
    changed_s: FloatArray
    n_switches: int

    @classmethod
    def none(cls, n_racks: int) -> "Transfers":
        """Return the state before any transfer."""
        return cls(
            np.zeros((n_racks, n_racks)),
            np.zeros(n_racks),
            np.zeros(n_racks, np.bool_),
            np.full(n_racks, -np.inf),
            0,
        )


def balance(
    network: TieNetwork,
    forecast: RackForecast,
    limit_w: FloatArray,
    module_w: FloatArray,
    before: Transfers,
    now_s: float,
    terms: KineticTerms,
) -> Transfers:
    """Decide all transfers for the next period.

    Parameters
    ----------
    limit_w : float64 (n_racks,)
        What each rack's feed carries.
    module_w : float64 (n_racks,)
        What each rack's kinetic modules can hold for the horizon above their reserve.
    before : Transfers
    now_s : float

    Notes
    -----
    A rack's own modules come first and cost no cable; racks with the largest overload are served first. A donor's
    spare power is what its modules hold beyond its own predicted overload.
    """
    upper = forecast.upper_w(terms.horizon_s)
    is_due = now_s - before.changed_s >= terms.hold_s
    wants = np.where(before.is_helped, upper > terms.stop_pu * limit_w, upper > terms.start_pu * limit_w)
    is_helped = np.where(is_due, wants, before.is_helped)
    # Down to the stop level: a transfer that only reached the limit would begin again at once.
    excess = np.where(is_helped, np.maximum(upper - terms.stop_pu * limit_w, 0.0), 0.0)
    own = np.minimum(excess, module_w)
    spare = np.where(is_helped, 0.0, np.maximum(module_w, 0.0))
    sent, received = np.zeros_like(before.sent_w), own.copy()
    flow_a = np.zeros(network.length_m.size)
    for rack in np.argsort(-(excess - own), kind="stable"):
        need_w = float(excess[rack] - own[rack])
        if need_w <= 0.0:
            break
        arrived = _fetch(network, int(rack), need_w, spare, sent, flow_a)
        received[rack] += arrived
    np.fill_diagonal(sent, own)
    changed = is_helped != before.is_helped
    return Transfers(
        sent,
        received,
        is_helped,
        np.where(changed, now_s, before.changed_s),
        before.n_switches + int(np.count_nonzero(changed)),
    )


def _fetch(
    network: TieNetwork, rack: int, need_w: float, spare: FloatArray, sent: FloatArray, flow_a: FloatArray
) -> float:
    """Fetch power from the best donors; update what they can still spare and what flows; return what arrives."""
    resistance = network.resistance_ohm
    paths = {
        donor: path
        for donor in np.flatnonzero(spare > 0.0).tolist()
        if (path := best_path(network, donor, rack, min(need_w, float(spare[donor])), flow_a)) is not None
    }
    if not paths:
        return 0.0
    donors = list(paths)
    # The choice of paths counts what flows there already; the shares compare the paths as if they were idle.
    ohm = np.array([sum(resistance[list(paths[d].cables)]) for d in donors])
    room_w = np.array(
        [
            min(
                float(spare[d]),
                float(np.min(network.limit_a[list(paths[d].cables)] - flow_a[list(paths[d].cables)]))
                * network.bus_v,
            )
            for d in donors
        ]
    )
    shares = split_transfer(need_w, ohm, np.maximum(room_w, 0.0), network.bus_v)
    arrived = 0.0
    for donor, share_w in zip(donors, shares.tolist(), strict=True):
        cables = list(paths[donor].cables)
        # Paths of several donors may share a cable: what an earlier one took is gone.
        current = min(share_w / network.bus_v, float(np.min(network.limit_a[cables] - flow_a[cables])))
        if current <= 0.0:
            continue
        loss = float(np.sum(resistance[cables] * ((flow_a[cables] + current) ** 2 - flow_a[cables] ** 2)))
        flow_a[cables] += current
        spare[donor] -= current * network.bus_v
        sent[donor, rack] += current * network.bus_v
        arrived += current * network.bus_v - loss
    return arrived


@dataclass(frozen=True, slots=True)
class RideThrough:
    """What to do while the supply is gone.

    Parameters
    ----------
    lasts_s : float
        How long the storages carry the load that stays on.
    keeps_class : int
        Loads of this priority class and better stay on; -1: none can.
    waits_for_generator : bool
        The generator takes over before storages are empty.
    shutdown_at_s : float
        When the orderly shutdown has to begin at the latest, after the failure; inf if a generator takes over.
    """

    lasts_s: float
    keeps_class: int
    waits_for_generator: bool
    shutdown_at_s: float


def ride_through(
    load_w: FloatArray, p_max_w: float, energy_wh: float, shutdown_s: float, generator_s: float = np.inf
) -> RideThrough:
    """Plan the time without supply.

    Parameters
    ----------
    load_w : float64 (n_classes,)
        Load by priority class, most important first.
    p_max_w, energy_wh : float
        What the storages can give together (an emergency uses the owners' reserves).
    shutdown_s : float
        What an orderly shutdown takes, at full load of the classes that stay on.
    generator_s : float
        When a generator carries all load; inf: there is none.

    Notes
    -----
    As many classes stay on as power permits and as can either wait for the generator or shut down in order.
    """
    for keeps in range(load_w.size - 1, -1, -1):
        load = float(load_w[: keeps + 1].sum())
        if load > p_max_w:
            continue
        lasts_s = energy_wh * 3_600.0 / load if load > 0 else np.inf
        if lasts_s >= generator_s:
            return RideThrough(lasts_s, keeps, True, np.inf)
        if lasts_s >= shutdown_s and not np.isfinite(generator_s):
            return RideThrough(lasts_s, keeps, False, lasts_s - shutdown_s)
    # The generator comes too late even for the first class: shut down in order as far as the energy goes.
    if np.isfinite(generator_s):
        return replace(ride_through(load_w, p_max_w, energy_wh, shutdown_s), waits_for_generator=False)
    return RideThrough(0.0, -1, False, 0.0)
