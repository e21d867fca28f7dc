"""Kinetic load balancing: move power to a rack before its overload happens, ride through failures.

Each rack has a forecast of its own load (`forecast`). Where the forecast's upper edge passes the rack's limit, power
is moved from the racks that can spare it at the least loss: a donor gives only what its own forecast leaves free and
its modules can hold, less a margin. A transfer starts early and ends late (hysteresis and a shortest duration), and
every change is counted, because switching wears what it protects.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from node.controller.errors import InvalidRequest
from node.controller.network import FloatArray
from node.controller.paths import TieNetwork, best_path, split_transfer

BoolArray = NDArray[np.bool_]

# Rounding of the bisection that shares a transfer.
ENOUGH = 1e-9


@dataclass(frozen=True, slots=True)
class KineticTerms:
    """How careful transfers are.

    Parameters
    ----------
    horizon_s : float
        How long a donor must be able to hold.
    lead_s : float
        How long before the step that it is predicted for an overload is acted on.
    start_pu, relief_pu, stop_pu : float
        A transfer starts when the forecast passes the first share of the limit, relieves the feed to the second, and
        stops below the third.
    hold_s : float
        Shortest time between two changes of one rack's transfer.
    margin_pu : float
        Share of what a donor's modules can hold that it keeps.
    stage_w : float
        What another donor's port loses merely by running: few donors lose less than many with a tiny share each.
    """

    horizon_s: float = 30.0
    lead_s: float = 60.0
    start_pu: float = 1.0
    relief_pu: float = 0.95
    stop_pu: float = 0.85
    hold_s: float = 10.0
    margin_pu: float = 0.1
    stage_w: float = 0.0

    def __post_init__(self) -> None:
        is_ordered = 0 < self.stop_pu < self.relief_pu <= self.start_pu <= 1 and 0 <= self.margin_pu < 1
        if not (is_ordered and self.horizon_s > 0 and self.hold_s >= 0 and self.lead_s >= 0):
            raise InvalidRequest(
                f"kinetic terms {self}: need 0 < stop < relief <= start <= 1, horizon > 0, hold and lead >= 0, "
                "margin < 1"
            )


@dataclass(frozen=True, slots=True)
class Transfers:
    """Power under way between racks.

    Parameters
    ----------
    sent_w : float64 (n_racks, n_racks)
        `sent_w[donor, receiver]`, leaving the donor; the diagonal: what a rack's own modules shall give.
    loss_w : float64 (n_racks, n_racks)
        What of it cables lose.
    flow_a : float64 (n_cables,)
    received_w : float64 (n_racks,)
        What arrives at each rack.
    is_helped : bool (n_racks,)
    changed_s : float64 (n_racks,)
        When each rack's help last began or ended.
    n_switches : int
        Beginnings and ends so far.
    """

    sent_w: FloatArray
    loss_w: FloatArray
    flow_a: FloatArray
    received_w: FloatArray
    is_helped: BoolArray
    changed_s: FloatArray
    n_switches: int

    @classmethod
    def none(cls, n_racks: int, n_cables: int) -> "Transfers":
        """Return the state before any transfer."""
        return cls(
            np.zeros((n_racks, n_racks)),
            np.zeros((n_racks, n_racks)),
            np.zeros(n_cables),
            np.zeros(n_racks),
            np.zeros(n_racks, np.bool_),
            np.full(n_racks, -np.inf),
            0,
        )


def balance(
    network: TieNetwork,
    upper_w: FloatArray,
    limit_w: FloatArray,
    own_w: FloatArray,
    spare_w: FloatArray,
    before: Transfers,
    now_s: float,
    terms: KineticTerms,
) -> Transfers:
    """Decide all transfers for the next period.

    Parameters
    ----------
    upper_w : float64 (n_racks,)
        The highest load to expect of each rack, from now until the transfers are decided again.
    limit_w : float64 (n_racks,)
        What each rack's feed carries.
    own_w : float64 (n_racks,)
        What each rack's modules can hold for the horizon above their reserve: all of it is the rack's own.
    spare_w : float64 (n_racks,)
        The part of it that they do not give already.
    before : Transfers
    now_s : float

    Notes
    -----
    A rack's own modules come first and cost no cable; racks with the largest overload are served first. A donor's
    spare power is what its modules hold beyond its own predicted overload and the margin.
    """
    upper = upper_w
    is_due = now_s - before.changed_s >= terms.hold_s
    wants = np.where(before.is_helped, upper > terms.stop_pu * limit_w, upper > terms.start_pu * limit_w)
    is_helped = np.where(is_due, wants, before.is_helped)
    # Down to the relief level; between it and the stop a helped rack stays helped with nothing, and nothing switches.
    excess = np.where(is_helped, np.maximum(upper - terms.relief_pu * limit_w, 0.0), 0.0)
    own = np.minimum(excess, own_w)
    needs_itself = np.maximum(upper - terms.stop_pu * limit_w, 0.0)
    spare = (1.0 - terms.margin_pu) * np.where(is_helped, 0.0, np.maximum(spare_w - needs_itself, 0.0))
    sent, lost, received = np.zeros_like(before.sent_w), np.zeros_like(before.sent_w), own.copy()
    flow_a = np.zeros(network.length_m.size)
    for rack in np.argsort(-(excess - own), kind="stable"):
        need_w = float(excess[rack] - own[rack])
        # What a port would lose by running alone is not fetched: the relief level leaves the feed more room than that.
        if need_w <= terms.stage_w:
            break
        received[rack] += _fetch(network, int(rack), need_w, spare, sent, lost, flow_a, terms.stage_w)
    np.fill_diagonal(sent, own)
    changed = is_helped != before.is_helped
    return Transfers(
        sent,
        lost,
        flow_a,
        received,
        is_helped,
        np.where(changed, now_s, before.changed_s),
        before.n_switches + int(np.count_nonzero(changed)),
    )


def _fetch(
    network: TieNetwork, rack: int, need_w: float, spare: FloatArray, sent: FloatArray, lost: FloatArray,
    flow_a: FloatArray, stage_w: float,
) -> float:  # fmt: skip
    """Fetch power from the best donors; update what they can still spare and what flows; return what arrives."""
    resistance = network.resistance_ohm
    paths = {
        donor: path
        for donor in np.flatnonzero(spare > 0.0).tolist()
        if (path := best_path(network, donor, rack, min(need_w, float(spare[donor])), flow_a)) is not None
    }
    if not paths:
        return 0.0
    # The choice of paths counts what flows there already; the shares compare the paths as if they were idle.
    path_ohm = {d: float(np.sum(resistance[list(paths[d].cables)])) for d in paths}
    donors = sorted(paths, key=lambda d: (path_ohm[d], d))
    ohm = np.array([path_ohm[d] for d in donors])
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
    shares = _least_loss(need_w, ohm, np.maximum(room_w, 0.0), network.bus_v, stage_w)
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
        lost[donor, rack] += loss
        arrived += current * network.bus_v - loss
    return arrived


def _least_loss(
    need_w: float, ohm: FloatArray, room_w: FloatArray, bus_v: float, stage_w: float
) -> FloatArray:
    """Return each donor's share, (n_donors,) W: of the nearest one, two, three.. that can, the set that loses least."""
    best, least = np.zeros(ohm.size), np.inf
    for count in range(1, ohm.size + 1):
        shares = np.zeros(ohm.size)
        shares[:count] = split_transfer(need_w, ohm[:count], room_w[:count], bus_v)
        loss = float(np.sum(ohm * (shares / bus_v) ** 2))
        is_enough = float(shares.sum()) - loss >= need_w * (1 - ENOUGH)
        loss += stage_w * count
        if is_enough and loss < least:
            best, least = shares, loss
    return best if np.isfinite(least) else shares


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


def lasts_for_s(load_w: float, p_max_w: FloatArray, energy_wh: FloatArray) -> float:
    """Return how long storages carry a constant load together, s; 0 if they cannot at all.

    Notes
    -----
    Over a time T each gives at most min(P, E / T) on average, and can give just that: the time sought is the largest
    T at which those still sum to the load. A small unit that ran at full power would be empty early and leave the
    rest too weak; sharing by what each can hold for T keeps all of them alive until T.
    """
    if load_w <= 0.0:
        return np.inf
    if float(p_max_w.sum()) < load_w:
        return 0.0
    # Sorted by E / P, the first to become limited by its energy first: the sum is piecewise P + E / T.
    able = p_max_w > 0.0
    power, energy = p_max_w[able], energy_wh[able] * 3_600.0
    order = np.argsort(energy / power, kind="stable")
    power, energy = power[order], energy[order]
    for limited in range(1, power.size + 1):
        left_w = load_w - float(power[limited:].sum())
        if left_w <= 0.0:
            continue
        lasts = float(energy[:limited].sum()) / left_w
        if limited == power.size or lasts <= energy[limited] / power[limited]:
            return lasts
    return 0.0


def ride_through(
    load_w: FloatArray,
    p_max_w: FloatArray,
    energy_wh: FloatArray,
    shutdown_s: float,
    generator_s: float = np.inf,
) -> RideThrough:
    """Plan the time without supply.

    Parameters
    ----------
    load_w : float64 (n_classes,)
        Load by priority class, most important first.
    p_max_w, energy_wh : float64 (n_storages,)
        What each storage can give (an emergency uses the owners' reserves), energy at its terminal.
    shutdown_s : float
        What an orderly shutdown takes, at full load of the classes that stay on.
    generator_s : float
        When a generator carries all load; inf: there is none.

    Notes
    -----
    As many classes stay on as power permits and as can either wait for the generator or shut down in order.
    """
    for keeps in range(load_w.size - 1, -1, -1):
        lasts_s = lasts_for_s(float(load_w[: keeps + 1].sum()), p_max_w, energy_wh)
        if lasts_s <= 0.0:
            continue
        if lasts_s >= generator_s:
            return RideThrough(lasts_s, keeps, True, np.inf)
        if lasts_s >= shutdown_s and not np.isfinite(generator_s):
            return RideThrough(lasts_s, keeps, False, lasts_s - shutdown_s)
    # The generator comes too late even for the first class: shut down in order as far as the energy goes.
    if np.isfinite(generator_s):
        return replace(ride_through(load_w, p_max_w, energy_wh, shutdown_s), waits_for_generator=False)
    return RideThrough(0.0, -1, False, 0.0)
