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
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from devices.arrays import BoolArray, FloatArray, IntArray, Rows
from devices.errors import BadInput
from devices.fleet import step
from devices.needs import contribution_wh, missing_wh, request_wh, vehicle_slack_s
from devices.parameters import FleetParameters
from devices.specification import Mode, Permission
from devices.state import FleetInputs, FleetState, StepFlows

# A vehicle above this share of its charging power is charging on purpose.
CHARGING_FROM_PU: Final = 0.5
LAST_PERMISSION: Final = int(max(Permission))
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

    def spread(value: NDArray[Any] | float, kind: type) -> NDArray[Any]:
        if isinstance(value, np.ndarray) and value.shape == shape:
            return value.astype(kind, copy=False)
        return np.full(shape, value, kind)

    return Setpoints(
        device,
        np.asarray(p_w, dtype=np.float64),
        spread(sequence, np.int64),
        spread(fence, np.int64),
        spread(issuer, np.int64),
        spread(from_s, np.float64),
        spread(until_s, np.float64),
        spread(permission, np.int64),
        spread(is_authentic, np.bool_),
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
    # One setpoint per device at a time, the earliest first, so that a batch equals single arrivals.
    if count and (batch.device[1:] > batch.device[:-1]).all():
        is_whole_fleet = count == params.n_devices
        device: Rows = slice(None) if is_whole_fleet else batch.device
        _take(params, arrays, batch, slice(None), device, now_s, verdicts)
        return replace(state, **arrays), verdicts
    left = np.arange(count)
    while left.size:
        _, first = np.unique(batch.device[left], return_index=True)
        now = left[np.sort(first)]
        _take(params, arrays, batch, now, batch.device[now], now_s, verdicts)
        left = np.setdiff1d(left, now, assume_unique=True)
    return replace(state, **arrays), verdicts


def _take(
    params: FleetParameters,
    arrays: dict[str, NDArray[Any]],
    batch: Setpoints,
    rows: Rows,
    device: Rows,
    now_s: float,
    verdicts: IntArray,
) -> None:
    """Judge the rows of a batch, one per device, and write the accepted ones into `arrays`."""
    verdict = _judge(params, arrays["fence"][device], arrays["sequence"][device], batch, rows, device, now_s)
    verdicts[rows] = verdict
    is_accepted = verdict == Verdict.ACCEPTED
    if not is_accepted.all():
        rows = np.arange(batch.device.size)[rows][is_accepted]
        device = batch.device[rows]
    arrays["fence"][device] = batch.fence[rows]
    arrays["sequence"][device] = batch.sequence[rows]
    has_begun = batch.from_s[rows] <= now_s
    if not has_begun.all():
        rows = np.arange(batch.device.size)[rows]
        later = rows[~has_begun]
        _write(arrays, "next", batch, later, batch.device[later])
        rows = rows[has_begun]
        device = batch.device[rows]
    _write(arrays, "lease", batch, rows, device)
    # A setpoint in force replaces whatever an older one had planned for later.
    arrays["next_from_s"][device] = np.inf
    arrays["next_until_s"][device] = np.inf


def _judge(
    params: FleetParameters,
    last_fence: IntArray,
    last_sequence: IntArray,
    batch: Setpoints,
    rows: Rows,
    device: Rows,
    now_s: float,
) -> IntArray:
    p_w, from_s, until_s = batch.p_w[rows], batch.from_s[rows], batch.until_s[rows]
    fence, sequence, permission = batch.fence[rows], batch.sequence[rows], batch.permission[rows]
    is_same = fence == last_fence
    is_sound = np.isfinite(from_s) & np.isfinite(until_s) & (until_s > from_s)
    is_sound &= (permission >= 0) & (permission <= LAST_PERMISSION)
    # What a limit may leave open, a power may not.
    is_sound &= np.isfinite(p_w) | (~np.isnan(p_w) & ~params.takes_power[device])
    verdict = np.full(p_w.size, Verdict.ACCEPTED, np.int64)
    # The first reason counts, so it is written last.
    for reason, applies in (
        (Verdict.EXPIRED, until_s <= now_s),
        (Verdict.STALE, is_same & (sequence < last_sequence)),
        (Verdict.DUPLICATE, is_same & (sequence == last_sequence)),
        (Verdict.FENCED, fence < last_fence),
        (Verdict.MALFORMED, ~is_sound | (sequence < 0) | (fence < 0)),
        (Verdict.FOREIGN, batch.issuer[rows] != params.issuer[device]),
        (Verdict.UNSIGNED, ~batch.is_authentic[rows]),
    ):
        verdict[applies] = reason
    return verdict


def _write(arrays: dict[str, NDArray[Any]], slot: str, batch: Setpoints, rows: Rows, device: Rows) -> None:
    arrays[f"{slot}_p_w"][device] = batch.p_w[rows]
    arrays[f"{slot}_from_s"][device] = batch.from_s[rows]
    arrays[f"{slot}_until_s"][device] = batch.until_s[rows]
    arrays[f"{slot}_permission"][device] = batch.permission[rows]


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
    if params.vehicle_rows.size:
        _charge_alone(params, state, inputs, is_leased, setpoint)
    mode = is_leased.astype(np.int64)
    if state.lease_permission.any():  # other than to keep the reserve
        no_contribution = is_leased & (state.lease_permission == Permission.NO_CONTRIBUTION)
        setpoint = np.where(no_contribution, np.minimum(setpoint, 0.0), setpoint)
        mode[is_leased & (state.lease_permission == Permission.EMERGENCY)] = Mode.EMERGENCY
    if not inputs.is_present.all():
        mode[~inputs.is_present] = Mode.ABSENT
    told = Command(setpoint, mode, request_wh(params, state, inputs), contribution_wh(params, state, inputs))
    return replace(state, mode=mode), told


def _charge_alone(
    params: FleetParameters,
    state: FleetState,
    inputs: FleetInputs,
    is_leased: BoolArray,
    setpoint_w: FloatArray,
) -> None:
    """Let vehicles without a lease charge as soon as it can't wait any longer."""
    rows = params.vehicle_rows
    is_alone = inputs.is_present.take(rows) & ~is_leased.take(rows)
    if not is_alone.any():
        return
    p_charge_w = params.p_charge_max_w[rows]
    is_late = vehicle_slack_s(params, state, inputs) <= 0.0
    # Once begun it goes on until done: charging gains slack, and stopping for it would hunt.
    has_begun = (state.p_w[rows] < -CHARGING_FROM_PU * p_charge_w) & (missing_wh(params, state, inputs) > 0.0)
    setpoint_w[rows] = np.where(is_alone & (is_late | has_begun), -p_charge_w, setpoint_w[rows])


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
