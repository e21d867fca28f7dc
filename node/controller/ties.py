"""Ties at the racks' terminals: what ports draw and give, who moves it, and what was lent by whom.

A transfer leaves the donor's modules at its terminal, passes the donor's port (a DC-DC stage), the cables and the
receiver's port, and arrives at the receiver's terminal behind its feed. Stages lose by their curve, cables by their
resistance. Meters at the feeds see none of it: what was lent is kept in a book of energy (`Loans`) and given back.

| quantity | where it is measured |
|---|---|
| sent | into the ties, behind the donor's port |
| given | at the donor's terminal: sent and what its port loses |
| arrived | at the receiver's terminal, behind both ports and the cables |
| owed | in the lender's store, behind converter and resistance: what the loan really took out of it |
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from devices.converter import Converter
from devices.fleet import source_power_w
from devices.parameters import FleetParameters
from devices.state import FleetState
from node.controller.kinetic import KineticTerms, Transfers
from node.controller.network import FloatArray, IntArray, sum_by
from node.controller.paths import TieNetwork, best_path
from node.controller.reasons import Reason

BoolArray = NDArray[np.bool_]

# Loans are given back over half an hour, but never at powers at which ports waste what they pass on.
GIVE_BACK_S = 1_800.0
LEAST_LOAD_PU = 0.1
SHORTEST_BACK_S = 60.0
# Less than this is not worth switching for.
LEAST_LOAN_WH = 1.0
MILLI = 1_000.0
OFF_BELOW_W = 1.0
SECONDS_PER_HOUR = 3_600.0


@dataclass(frozen=True, slots=True)
class TiePlan:
    """Racks that direct-current ties join; arrays (n_racks,).

    Parameters
    ----------
    network : TieNetwork
        Its nodes are the racks.
    account, node : int64
        Each rack's account and its connection in the tree.
    port : int64
        Each rack's port in the fleet.
    rated_w : float64
        Of the port's stage.
    limit_w : float64
        What the rack's feed carries.
    lends : bool (n_devices,)
        Storages that help others.
    rack_of_device : int64 (n_devices,)
        -1 where the device's account has no port.
    """

    network: TieNetwork
    account: IntArray
    node: IntArray
    port: IntArray
    rated_w: FloatArray
    limit_w: FloatArray
    lends: BoolArray
    rack_of_device: IntArray

    @property
    def n_racks(self) -> int:
        """Return the number of racks."""
        return int(self.port.size)


@dataclass(frozen=True, slots=True)
class TieOrder:
    """What ports and storages do for each other until it is decided again.

    Parameters
    ----------
    port_w : float64 (n_devices,)
        Power at the ports' terminals, > 0 arrives; whole milliwatts.
    storage_w : float64 (n_devices,)
        What storages add to their plans for it: donors discharge, lenders that get back charge.
    partner : int64 (n_devices,)
        Connection of the rack at the other end, -1 for devices that take no part.
    reason : int64 (n_devices,)
        `Reason.PROACTIVE` or `Reason.GIVES_BACK`.
    given_w, arrived_w : float64 (n_racks, n_racks)
        `[from, to]` at the terminals of the two racks.
    is_back : bool (n_racks, n_racks)
        Whether it gives a loan back.
    """

    port_w: FloatArray
    storage_w: FloatArray
    partner: IntArray
    reason: IntArray
    given_w: FloatArray
    arrived_w: FloatArray
    is_back: BoolArray

    @property
    def is_idle(self) -> bool:
        """Return whether nothing moves."""
        return not self.given_w.any()


def module_power_w(
    plan: TiePlan, low_w: FloatArray, high_w: FloatArray, p_w: FloatArray, is_fit: BoolArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return how much more each rack's lending storages can charge and discharge, and all that they can discharge.

    (n_racks,) W each, >= 0.

    Parameters
    ----------
    low_w, high_w : float64 (n_devices,)
        What they can hold for the horizon.
    p_w : float64 (n_devices,)
        What they do already, without transfers.
    is_fit : bool (n_devices,)
        Unhealthy storages neither give nor get.
    """
    helps = plan.lends & is_fit & (plan.rack_of_device >= 0)
    rack = plan.rack_of_device[helps]
    # A storage that charges by plan could stop, but its owner wants that energy: only what is free is counted.
    up = np.maximum(high_w[helps] - np.maximum(p_w[helps], 0.0), 0.0)
    down = np.maximum(np.minimum(p_w[helps], 0.0) - low_w[helps], 0.0)
    n, all_up = plan.n_racks, np.maximum(high_w[helps], 0.0)
    return sum_by(rack, down, n), sum_by(rack, up, n), sum_by(rack, all_up, n)


def bus_power_w(plan: TiePlan, params: FleetParameters, p_w: FloatArray) -> FloatArray:
    """Return what reaches the ties of powers that racks put into their ports, (n_racks,) W; at most the rating's."""
    stage = np.full(plan.n_racks, int(Converter.DC_DC), np.int64)
    return -params.converters.dc_power_w(-np.minimum(p_w, plan.rated_w), plan.rated_w, stage)


def give_back(
    plan: TiePlan,
    helping: Transfers,
    owed_wh: FloatArray,
    upper_w: FloatArray,
    charge_w: FloatArray,
    until_s: float,
    terms: KineticTerms,
) -> tuple[FloatArray, FloatArray]:
    """Return what borrowers send back now and what cables lose of it, (n_racks, n_racks) W each, `[from, to]`.

    Parameters
    ----------
    helping : Transfers
        Cables carry these already; a rack that is helped gives nothing back, a donor gets nothing back yet.
    owed_wh : float64 (n_racks, n_racks)
        `[borrower, lender]`.
    upper_w : float64 (n_racks,)
        The highest load to expect until it is decided again.
    charge_w : float64 (n_racks,)
        What each lender's storages can take.
    until_s : float
        Time until it is decided again: never more is sent than is owed by then.

    Notes
    -----
    The borrower sends from its feed: it pays at its own meter for what it gives back and for every loss on the way.
    """
    sent, lost = np.zeros_like(owed_wh), np.zeros_like(owed_wh)
    flow_a = helping.flow_a.copy()
    is_donor = helping.sent_w.sum(axis=1) - np.diag(helping.sent_w) > 0.0
    feed_w = np.where(helping.is_helped, 0.0, np.maximum(terms.stop_pu * plan.limit_w - upper_w, 0.0))
    room_w = np.where(helping.is_helped | is_donor, 0.0, charge_w)
    for borrower, lender in np.argwhere(owed_wh > LEAST_LOAN_WH).tolist():
        wanted = owed_wh[borrower, lender] * SECONDS_PER_HOUR / GIVE_BACK_S
        wanted = max(wanted, LEAST_LOAD_PU * float(plan.rated_w[borrower]))
        p_w = min(
            wanted,
            owed_wh[borrower, lender] * SECONDS_PER_HOUR / max(until_s, SHORTEST_BACK_S),
            float(feed_w[borrower]),
            float(room_w[lender]),
            float(plan.rated_w[borrower]),
        )
        if p_w <= LEAST_LOAD_PU * plan.rated_w[borrower] * 0.5 or is_donor[borrower]:
            continue
        path = best_path(plan.network, borrower, lender, p_w, flow_a)
        if path is None:
            continue
        cables = list(path.cables)
        flow_a[cables] += p_w / plan.network.bus_v
        sent[borrower, lender], lost[borrower, lender] = p_w, path.loss_w
        feed_w[borrower] -= p_w
        room_w[lender] -= p_w
    return sent, lost


def order(
    plan: TiePlan,
    params: FleetParameters,
    helping: Transfers,
    back_w: FloatArray,
    back_lost_w: FloatArray,
    headroom_w: tuple[FloatArray, FloatArray],
) -> TieOrder:
    """Turn transfers between racks into powers of ports and storages.

    Parameters
    ----------
    headroom_w : (down, up), float64 (n_devices,) each
        How much more each storage can charge and discharge; only storages that lend and are fit have any.
    """
    sent = helping.sent_w.copy()
    np.fill_diagonal(sent, 0.0)
    is_back = back_w > 0.0
    arrives = (sent - np.where(sent > 0.0, helping.loss_w, 0.0)) + (back_w - back_lost_w)
    sent = sent + back_w
    out_w, in_w = sent.sum(axis=1), arrives.sum(axis=0)
    net_w = _terminal_w(plan, params, in_w - out_w)
    # A port either sends or receives: each pair's share of its terminal power is its share of what it passes.
    given = _share(sent, out_w[:, None], np.maximum(-net_w, 0.0)[:, None])
    arrived = _share(arrives, in_w[None, :], np.maximum(net_w, 0.0)[None, :])
    n = params.n_devices
    port_w = np.zeros(n)
    port_w[plan.port] = np.rint(net_w * MILLI) / MILLI
    partner, reason = np.full(n, -1, np.int64), np.zeros(n, np.int64)
    storage_w = np.zeros(n)
    down, up = headroom_w
    for rack in np.flatnonzero(net_w != 0.0).tolist():
        sends = net_w[rack] < 0.0
        other = int(np.argmax(sent[rack] if sends else arrives[:, rack]))
        back = bool(is_back[rack].any() if sends else is_back[:, rack].any())
        # Storages move it at the lender's end: the donor's when helping, the one that gets back afterwards.
        at_lender = sends != back
        room = up if sends else down
        rows = np.flatnonzero((plan.rack_of_device == rack) & (room > 0.0) & at_lender)
        touched = np.r_[plan.port[rack], rows]
        partner[touched] = plan.node[other]
        reason[touched] = Reason.GIVES_BACK if back else Reason.PROACTIVE
        if rows.size:
            storage_w[rows] = -net_w[rack] * room[rows] / room[rows].sum()
    return TieOrder(port_w, storage_w, partner, reason, given, arrived, is_back)


def _terminal_w(plan: TiePlan, params: FleetParameters, bus_w: FloatArray) -> FloatArray:
    """Return ports' terminal power for what they take from the ties (> 0) or put into them (< 0)."""
    stage = np.full(plan.n_racks, int(Converter.DC_DC), np.int64)
    return params.converters.ac_power_w(bus_w.copy(), plan.rated_w, stage)


def _share(part: FloatArray, whole: FloatArray, of: FloatArray) -> FloatArray:
    share: FloatArray = part / np.where(whole > 0.0, whole, 1.0) * of
    return share


def owed_change_w(
    plan: TiePlan, params: FleetParameters, state: FleetState, tie: TieOrder, p_w: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return how fast debts grow and fall, (n_racks, n_racks) W each, `[borrower, lender]`.

    Parameters
    ----------
    state : FleetState
    p_w : float64 (n_devices,)
        What storages really do now.

    Notes
    -----
    A storage loses more or less with the transfer than without it: the difference at its source is what the loan takes
    out of the store or puts back.
    """
    rows = np.flatnonzero(tie.storage_w != 0.0)
    with_it = source_power_w(params, state, p_w)
    # A milliwatt that rounding left would keep the converter on: without the transfer it would be off.
    alone = p_w - tie.storage_w
    without = source_power_w(params, state, np.where(np.abs(alone) < OFF_BELOW_W, 0.0, alone))
    moved_w = sum_by(plan.rack_of_device[rows], (with_it - without)[rows], plan.n_racks)
    lent = np.where(tie.is_back, 0.0, tie.given_w)
    grows = _share(lent, lent.sum(axis=1)[:, None], np.maximum(moved_w, 0.0)[:, None]).T
    back = np.where(tie.is_back, tie.arrived_w, 0.0)
    falls = _share(back, back.sum(axis=0)[None, :], np.maximum(-moved_w, 0.0)[None, :])
    return grows, falls


def without_racks(helping: Transfers, is_cut_off: BoolArray) -> Transfers:
    """Return transfers without those from or to racks that are cut off."""
    keeps = ~(is_cut_off[:, None] | is_cut_off[None, :])
    return replace(helping, sent_w=helping.sent_w * keeps, loss_w=helping.loss_w * keeps)
