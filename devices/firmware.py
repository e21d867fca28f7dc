"""Firmware: obey leased setpoints in sequence, request and contribute by thresholds, fall back to safe state.

| rule | what happens |
|---|---|
| unsigned, foreign, fenced, stale, duplicate, expired, malformed | dropped, with its verdict |
| accepted, not begun | kept beside the lease in force until it begins |
| lease ended, none follows | safe state: `safe_p_w` |
| storage below the low threshold | requests the energy up to it |
| storage above the high threshold and idle | offers the energy above it, and goes on while it gives it slowly |
| vehicle without a lease | charges at full power as soon as its departure leaves no slack |
| permission NO_CONTRIBUTION | never injects |
| permission EMERGENCY | the owner's reserve may be used |

Order of setpoints: (fence, sequence) must grow. A new controller comes with a higher fence and may count from
anywhere; the old one's lower fence is refused from then on.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import numpy as np

from devices.arrays import BoolArray, FloatArray, IntArray
from devices.errors import BadInput
from devices.ev import slack_s
from devices.fleet import step
from devices.parameters import FleetParameters
from devices.specification import Kind, Mode, Permission
from devices.state import FleetInputs, FleetState, StepFlows

# A storage counts as idle below this share of its rating.
IDLE_BELOW_PU: Final = 0.02
# A storage that discharges so slowly that its offer would last this long still offers it.
OFFER_LASTS_H: Final = 0.5
# A vehicle above this share of its charging power is charging on purpose.
CHARGING_FROM_PU: Final = 0.5
# Unix times in seconds are exact to about 1e-7: a step that ends at a lease's border must not be refused.
TIME_TOLERANCE_S: Final = 1e-6


class Verdict(IntEnum):
    """What became of a setpoint."""

    ACCEPTED = 0
    UNSIGNED = 1
    FOREIGN = 2
    FENCED = 3
    STALE = 4
    DUPLICATE = 5
    EXPIRED = 6
    MALFORMED = 7


@dataclass(frozen=True, slots=True)
class Setpoints:
    """Leased setpoints as received, in order of arrival; arrays (k,).

    Attributes
    ----------
    device : int64, row of the device
    p_w : float64; storage: power, load: largest withdrawal (<= 0), source: largest injection (>= 0)
    sequence, fence, issuer : int64
    from_s, until_s : float64, unix seconds, half-open lease [from, until)
    permission : int64, `Permission`
    is_authentic : bool, whether the signature was the issuer's (checked where messages arrive)
    """

    device: IntArray
    p_w: FloatArray
    sequence: IntArray
    fence: IntArray
    issuer: IntArray
    from_s: FloatArray
    until_s: FloatArray
    permission: IntArray
    is_authentic: BoolArray


def setpoints(
    device: IntArray,
    p_w: FloatArray,
    sequence: IntArray | int,
    from_s: FloatArray | float,
    until_s: FloatArray | float,
    fence: IntArray | int = 0,
    issuer: IntArray | int = 0,
    permission: IntArray | int = Permission.KEEP_RESERVE,
    is_authentic: BoolArray | bool = True,
) -> Setpoints:
    """Return setpoints with scalars spread over all devices.

    Raises
    ------
    BadInput
        If the arrays do not have one length.
    """
    device = np.asarray(device, dtype=np.int64)
    shape = device.shape
    if np.asarray(p_w).shape != shape:
        raise BadInput("p_w", f"of shape {shape}", got=np.asarray(p_w).shape)

    def whole(value: IntArray | int) -> IntArray:
        return np.broadcast_to(np.asarray(value, dtype=np.int64), shape)

    def real(value: FloatArray | float) -> FloatArray:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), shape)

    return Setpoints(
        device,
        np.asarray(p_w, dtype=np.float64),
        whole(sequence),
        whole(fence),
        whole(issuer),
        real(from_s),
        real(until_s),
        whole(permission),
        np.broadcast_to(np.asarray(is_authentic, dtype=np.bool_), shape),
    )


@dataclass(frozen=True, slots=True)
class Command:
    """What the firmware does now; arrays (n,).

    Attributes
    ----------
    setpoint_w : float64, for `fleet.step`
    mode : int64, `Mode`
    request_wh : float64, energy needed to reach the low threshold, >= 0
    contribute_wh : float64, energy above the high threshold that an idle storage offers, >= 0
    """

    setpoint_w: FloatArray
    mode: IntArray
    request_wh: FloatArray
    contribute_wh: FloatArray


def receive(
    params: FleetParameters, state: FleetState, batch: Setpoints, now_s: float
) -> tuple[FleetState, IntArray]:
    """Judge setpoints in order of arrival and keep the accepted ones.

    Returns
    -------
    (FleetState, verdicts (k,) int64 `Verdict`)

    Raises
    ------
    BadInput
        If a row does not exist.
    """
    count = batch.device.size
    if count and (batch.device.min() < 0 or batch.device.max() >= params.n_devices):
        bad = int(np.flatnonzero((batch.device < 0) | (batch.device >= params.n_devices))[0])
        raise BadInput("device", f"a row below {params.n_devices}", bad, int(batch.device[bad]))
    verdicts = np.empty(count, dtype=np.int64)
    arrays = {
        name: getattr(state, name).copy()
        for name in (
            "lease_p_w", "lease_from_s", "lease_until_s", "lease_permission",
            "next_p_w", "next_from_s", "next_until_s", "next_permission", "fence", "sequence",
        )
    }  # fmt: skip
    left = np.arange(count)
    while left.size:
        # One setpoint per device at a time, the earliest first, so that a batch equals single arrivals.
        _, first = np.unique(batch.device[left], return_index=True)
        now = left if first.size == left.size else left[np.sort(first)]
        verdicts[now] = _judge(params, arrays["fence"], arrays["sequence"], batch, now, now_s)
        _keep(arrays, batch, now[verdicts[now] == Verdict.ACCEPTED], now_s)
        left = left[:0] if now is left else np.setdiff1d(left, now, assume_unique=True)
    return replace(state, **arrays), verdicts


def _judge(
    params: FleetParameters,
    fence: IntArray,
    sequence: IntArray,
    batch: Setpoints,
    rows: IntArray,
    now_s: float,
) -> IntArray:
    device = batch.device[rows]
    known_fence, known_sequence = fence[device], sequence[device]
    same = batch.fence[rows] == known_fence
    is_finite = np.isfinite(batch.from_s[rows]) & np.isfinite(batch.until_s[rows])
    is_permission = (batch.permission[rows] >= 0) & (batch.permission[rows] <= max(Permission))
    is_sound = (
        ~np.isnan(batch.p_w[rows]) & is_finite & (batch.until_s[rows] > batch.from_s[rows]) & is_permission
    )
    # What a limit may leave open, a power may not.
    is_power = params.is_storage[device] | (params.kind[device] == Kind.TIE_PORT)
    is_sound &= ~is_power | np.isfinite(batch.p_w[rows])
    verdict = np.full(rows.size, Verdict.ACCEPTED, np.int64)
    # The first reason counts, so it is written last.
    for reason, applies in (
        (Verdict.EXPIRED, batch.until_s[rows] <= now_s),
        (Verdict.STALE, same & (batch.sequence[rows] < known_sequence)),
        (Verdict.DUPLICATE, same & (batch.sequence[rows] == known_sequence)),
        (Verdict.FENCED, batch.fence[rows] < known_fence),
        (Verdict.MALFORMED, ~is_sound | (batch.sequence[rows] < 0) | (batch.fence[rows] < 0)),
        (Verdict.FOREIGN, batch.issuer[rows] != params.issuer[device]),
        (Verdict.UNSIGNED, ~batch.is_authentic[rows]),
    ):
        verdict[applies] = reason
    return verdict


def _keep(arrays: dict[str, FloatArray | IntArray], batch: Setpoints, rows: IntArray, now_s: float) -> None:
    device = batch.device[rows]
    arrays["fence"][device] = batch.fence[rows]
    arrays["sequence"][device] = batch.sequence[rows]
    has_begun = batch.from_s[rows] <= now_s
    for slot, chosen in (("lease", rows[has_begun]), ("next", rows[~has_begun])):
        target = batch.device[chosen]
        arrays[f"{slot}_p_w"][target] = batch.p_w[chosen]
        arrays[f"{slot}_from_s"][target] = batch.from_s[chosen]
        arrays[f"{slot}_until_s"][target] = batch.until_s[chosen]
        arrays[f"{slot}_permission"][target] = batch.permission[chosen]
    # A setpoint in force replaces whatever an older one had planned for later.
    begun = batch.device[rows[has_begun]]
    arrays["next_from_s"][begun] = np.inf
    arrays["next_until_s"][begun] = np.inf


def command(
    params: FleetParameters, state: FleetState, inputs: FleetInputs, now_s: float
) -> tuple[FleetState, Command]:
    """Decide what every device does at `now_s`: the 10 ms step, or the one before a coarse step.

    Returns
    -------
    (FleetState, Command)
        The state with leases that begin now and the mode; give it and `setpoint_w` to `fleet.step`. Before a
        coarse step ask `next_change_s`: no lease may begin or end inside it.
    """
    begins = state.next_from_s <= now_s
    if begins.any():
        state = replace(
            state,
            lease_p_w=np.where(begins, state.next_p_w, state.lease_p_w),
            lease_from_s=np.where(begins, state.next_from_s, state.lease_from_s),
            lease_until_s=np.where(begins, state.next_until_s, state.lease_until_s),
            lease_permission=np.where(begins, state.next_permission, state.lease_permission),
            next_from_s=np.where(begins, np.inf, state.next_from_s),
            next_until_s=np.where(begins, np.inf, state.next_until_s),
        )
    is_leased = state.lease_until_s > now_s
    setpoint = np.where(is_leased, state.lease_p_w, params.safe_p_w)
    request, contribute = _thresholds(params, state, inputs)
    if params.vehicle_rows.size:
        _vehicle_need(params, state, inputs, is_leased, setpoint, request)
    no_contribution = is_leased & (state.lease_permission == Permission.NO_CONTRIBUTION)
    if no_contribution.any():
        setpoint = np.where(no_contribution, np.minimum(setpoint, 0.0), setpoint)
    mode = is_leased.astype(np.int64)
    mode[is_leased & (state.lease_permission == Permission.EMERGENCY)] = Mode.EMERGENCY
    mode[~inputs.is_present] = Mode.ABSENT
    return replace(state, mode=mode), Command(setpoint, mode, request, contribute)


def _thresholds(
    params: FleetParameters, state: FleetState, inputs: FleetInputs
) -> tuple[FloatArray, FloatArray]:
    request = np.zeros(params.n_devices)
    contribute = np.zeros(params.n_devices)
    rows = params.storage_rows
    if params.units.table.size == 0:
        return request, contribute
    floor = params.floor_wh[rows]
    usable = params.capacity_wh[rows] * state.capacity_factor[rows]
    usable -= floor
    above = state.energy_wh[rows] - floor
    is_here = inputs.is_present[rows]
    low = params.low_threshold_pu[rows] * usable
    low -= above
    request[rows] = np.maximum(low, 0.0) * is_here
    usable *= params.high_threshold_pu[rows]
    above -= usable
    p_w = state.p_w[rows]
    is_idle = np.abs(p_w) <= IDLE_BELOW_PU * params.units.rated_w
    # Who already gives it, and no faster than this, is not busy with anything else: offers must not flicker.
    is_idle |= (p_w > 0.0) & (p_w * OFFER_LASTS_H <= above)
    contribute[rows] = np.maximum(above, 0.0) * (is_here & is_idle)
    return request, contribute


def _vehicle_need(
    params: FleetParameters,
    state: FleetState,
    inputs: FleetInputs,
    is_leased: BoolArray,
    setpoint_w: FloatArray,
    request_wh: FloatArray,
) -> None:
    """Request what vehicles need at departure; without a lease charge as soon as it can't wait any longer."""
    rows = params.vehicle_rows
    required, departs = vehicle_needs(params, inputs)
    missing = np.maximum(required - state.energy_wh[rows], 0.0) * inputs.is_present[rows]
    request_wh[rows] = np.maximum(request_wh[rows], missing)
    units = params.units.take(params.vehicle_in_storage)
    stored_w = -params.converters.dc_power_w(-units.p_charge_max_w, units.rated_w, units.converter)
    is_late = slack_s(state.energy_wh[rows], required, departs, stored_w) <= 0.0
    # Once begun it goes on until done: charging gains slack, and stopping for it would hunt.
    has_begun = (state.p_w[rows] < -CHARGING_FROM_PU * units.p_charge_max_w) & (missing > 0.0)
    must_charge = ~is_leased[rows] & (is_late | has_begun) & inputs.is_present[rows]
    setpoint_w[rows] = np.where(must_charge, -units.p_charge_max_w, setpoint_w[rows])


def vehicle_needs(params: FleetParameters, inputs: FleetInputs) -> tuple[FloatArray, FloatArray]:
    """Return required energy (Wh) and time to departure (s) of the vehicles, (k,) each."""
    shape = (params.n_devices,)
    rows = params.vehicle_rows
    required = np.broadcast_to(np.asarray(inputs.required_wh, dtype=np.float64), shape)[rows]
    departs = np.broadcast_to(np.asarray(inputs.departs_in_s, dtype=np.float64), shape)[rows]
    return np.minimum(required, params.capacity_wh[rows]), departs


def next_change_s(state: FleetState, now_s: float) -> float:
    """Return when the next lease begins or ends after `now_s`, unix seconds; inf if none does."""
    until = state.lease_until_s[state.lease_until_s > now_s]
    begin = state.next_from_s[state.next_from_s > now_s]
    ends = float(until.min()) if until.size else np.inf
    begins = float(begin.min()) if begin.size else np.inf
    return min(ends, begins)


def run(
    params: FleetParameters, state: FleetState, inputs: FleetInputs, now_s: float, dt_s: float
) -> tuple[FleetState, StepFlows, Command]:
    """Run the firmware's whole step: promote leases, decide, act; 10 ms on a device, longer when nothing changes.

    Raises
    ------
    BadInput
        If a lease begins or ends inside the step: end the step there.
    """
    state, decided = command(params, state, inputs, now_s)
    change = next_change_s(state, now_s)
    if change < now_s + dt_s - TIME_TOLERANCE_S:
        raise BadInput("dt_s", f"at most {change - now_s} s: a lease begins or ends then", got=dt_s)
    state, flows = step(params, state, inputs, decided.setpoint_w, dt_s)
    return state, flows, decided


def settling_s(params: FleetParameters, state: FleetState, setpoint_w: FloatArray) -> float:
    """Return the longest time any storage still ramps towards its setpoint, seconds."""
    rows = params.storage_rows
    wanted = np.clip(setpoint_w[rows], -params.p_charge_max_w[rows], params.p_discharge_max_w[rows])
    if wanted.size == 0:
        return 0.0
    return float(np.max(np.abs(wanted - state.p_w[rows]) / params.ramp_w_per_s[rows]))
