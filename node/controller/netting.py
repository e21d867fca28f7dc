"""Import and export under one capacity tree: one flow may lean on the other, and never on a promise.

A node limits its net flow. An account's own supply serves its own demand behind the meter first; only the
rest is a claim on the feeder. Beyond that, imports below a node may exceed its import capacity by exports
below it, and the other way round, under three rules that keep every capacity whole:

* A flow that others lean on counts with the lesser of what is granted and what is **assured**: measured now,
  plus what the device reaches within one step of its firmware. A discharge that is only ramping up helps
  nobody yet; one that is told to stop helps nobody any more. Both sides grow in turns and shrink at once.
* A flow that has to go but is still ramping down is **held**: it keeps its claim until it is gone.
* Both directions lean on each other in turns until both capacities hold. Should that not settle, exports are
  allocated leaning only on imports that need no export themselves, and imports are only added to those. So at
  every node, import - firm export <= import capacity and export - firm import <= export capacity, in exact
  integers.

What remains is physics: an export that trips by itself, or a load that jumps, is measured one period later
(100 ms) and answered within the ramp of what has to give way. Where not even that is allowed, `leans=False`
solves both sides apart.
"""

from dataclasses import dataclass

import numpy as np

from node.controller.allocation import (
    Allocation,
    AllocationPlan,
    allocate_scarce,
    cap_milli_w,
    check_total,
    check_weights,
    plan_allocation,
)
from node.controller.errors import InvalidRequest
from node.controller.network import NO_NODE, CapacityTree, FloatArray, IntArray, subtree_totals, sum_by

# Nearly all cases settle in one or two turns; of adversarial islands one in two hundred takes more than these.
MAX_TURNS = 16


@dataclass(frozen=True, slots=True)
class _OwnSupply:
    """Devices by (account, class): the order in which an account's own supply reaches its own demand."""

    order: IntArray  # (n_devices,)
    group: IntArray  # account of each ordered row
    first_row: IntArray  # (n_devices,) first row of the account of each ordered row

    def share(self, demand_milli_w: IntArray, budget_milli_w: IntArray) -> IntArray:
        """Return what each device gets of its account's budget, most important class first."""
        demand = demand_milli_w[self.order]
        before = np.cumsum(demand) - demand
        before -= before[self.first_row] if demand.size else 0
        own = np.empty_like(demand)
        own[self.order] = np.clip(budget_milli_w[self.group] - before, 0, demand)
        return own


@dataclass(frozen=True, slots=True)
class _Direction:
    """What does not change of imports or of exports."""

    cap_milli_w: IntArray  # (n_nodes,)
    feeder: AllocationPlan  # one claim a device: what own supply leaves
    both: AllocationPlan  # two claims a device: own supply first, then the feeder's
    own: _OwnSupply
    holds_first: bool  # what only flows on comes before everything else


@dataclass(frozen=True, slots=True)
class NetPlan:
    """What netting needs to know before demands come."""

    tree: CapacityTree
    node_of_device: IntArray
    account_of_device: IntArray
    n_accounts: int
    leans: bool
    import_class: IntArray
    into: _Direction
    out: _Direction
    nobody: IntArray  # (n_devices,) of -1: the limiting nodes where no node limits; cannot be written to


@dataclass(frozen=True, slots=True)
class NetGrant:
    """Granted power per device, > 0 injects, and the node that cut it (-1: nobody did)."""

    p_milli_w: IntArray
    limiting_node: IntArray


def plan_net(
    tree: CapacityTree,
    node_of_device: IntArray,
    account_of_device: IntArray,
    import_class: IntArray,
    export_class: IntArray,
    leans: bool = True,
) -> NetPlan:
    """Prepare allocation of both directions.

    Parameters
    ----------
    node_of_device, account_of_device : int64 (n_devices,)
    import_class, export_class : int64 (n_devices,)
        Priority when withdrawing and when injecting; 0 is served first and curtailed last.
    leans : bool
        Whether imports may count measured exports and the other way round; False solves both sides apart,
        which holds even if every export trips at once.

    Raises
    ------
    InvalidRequest
        If a node or class is unknown, or an account is negative.
    """
    if account_of_device.size and account_of_device.min() < 0:
        raise InvalidRequest(f"account of device {int(np.argmin(account_of_device))} is negative")
    twice = np.r_[node_of_device, node_of_device]

    def direction(cap_w: FloatArray, klass: IntArray, holds_first: bool) -> _Direction:
        # Own supply goes to the most important demand first, also where a place behind the meter is narrow.
        own = np.zeros_like(klass) if holds_first else klass
        return _Direction(
            cap_milli_w=cap_milli_w(cap_w),
            feeder=plan_allocation(tree, node_of_device, klass),
            both=plan_allocation(tree, twice, np.r_[own, 1 + own.max(initial=-1) + klass]),
            own=_own_supply(account_of_device, klass),
            holds_first=holds_first,
        )

    return NetPlan(
        tree=tree,
        node_of_device=node_of_device,
        account_of_device=account_of_device,
        n_accounts=int(account_of_device.max(initial=-1)) + 1,
        leans=leans,
        import_class=import_class,
        into=direction(tree.import_cap_w, import_class, holds_first=False),
        out=direction(tree.export_cap_w, export_class, holds_first=True),
        nobody=_nobody(import_class.size),
    )


def _nobody(n_devices: int) -> IntArray:
    nobody = np.full(n_devices, NO_NODE, np.int64)
    nobody.setflags(write=False)
    return nobody


def _own_supply(account: IntArray, klass: IntArray) -> _OwnSupply:
    order = np.lexsort((klass, account))
    group = account[order]
    return _OwnSupply(order, group, np.searchsorted(group, group).astype(np.int64))


def allocate_net(
    plan: NetPlan,
    wanted_milli_w: IntArray,
    assured_milli_w: IntArray,
    weight: FloatArray,
    held_milli_w: IntArray | None = None,
) -> NetGrant:
    """Grant every device as much of its wanted power as the tree lets through.

    Parameters
    ----------
    wanted_milli_w : int64 (n_devices,)
        > 0 wants to inject, < 0 to withdraw.
    assured_milli_w : int64 (n_devices,)
        Terminal power that surely flows if granted: measured now, give or take what the device can change
        within one step of its firmware; same sign.
    weight : float64 (n_devices,)
        Share inside a class, > 0.
    held_milli_w : int64 (n_devices,) or None
        What flows anyway in the next period, because it can only ramp down; same sign.

    Raises
    ------
    InvalidRequest
        If a weight is not positive, or claims of one direction sum to 2**53 mW or more.
    """
    imports, exports = np.maximum(-wanted_milli_w, 0), np.maximum(wanted_milli_w, 0)
    held_in = held_out = None
    if held_milli_w is not None:
        held_out = np.maximum(held_milli_w, 0)
        held_in = np.where(-held_milli_w > imports, -held_milli_w, 0)
    if plan.leans:
        sure_in, sure_out = np.maximum(-assured_milli_w, 0), np.maximum(assured_milli_w, 0)
    else:
        sure_in = sure_out = np.zeros_like(imports)
    into = _side(plan, plan.into, weight, imports, sure_in, held_in)
    out = _side(plan, plan.out, weight, exports, sure_out, held_out)
    if into.fits(out.firm) and out.fits(into.firm):
        return NetGrant(wanted_milli_w.copy(), plan.nobody)
    check_weights(weight)
    check_total(into.claims)
    check_total(out.claims)
    got_in, got_out = _together(into, out) or _one_after_the_other(into, out)
    given_in = np.minimum(got_in.granted_milli_w, imports)
    if np.any(given_in < imports) and np.any(exports > sure_out):
        # What only ramps up may push firm exports aside: then the firm ones alone serve more.
        firm = _together(into.assured(), out.assured())
        if firm is not None and _are_kept(into, out, *firm):
            firm_in = np.minimum(firm[0].granted_milli_w, imports)
            if _by_class(plan, firm_in) > _by_class(plan, given_in):
                (got_in, got_out), given_in = firm, firm_in
    given_out = np.minimum(got_out.granted_milli_w, exports)
    limiting = np.where(given_out < exports, got_out.limiting_node, NO_NODE)
    return NetGrant(given_out - given_in, np.where(given_in < imports, got_in.limiting_node, limiting))


@dataclass(frozen=True, slots=True)
class _Flow:
    """Power of one direction that the other may lean on."""

    p_milli_w: IntArray  # (n_devices,)
    usage_milli_w: IntArray  # (n_nodes,)


@dataclass(frozen=True, slots=True)
class _Got:
    """What one direction is granted, claims that are only held included, and what is firm of it."""

    granted_milli_w: IntArray  # (n_devices,)
    limiting_node: IntArray
    firm: _Flow


@dataclass(frozen=True, slots=True)
class _Side:
    """What one direction claims in one period."""

    plan: NetPlan
    direction: _Direction
    weight: FloatArray
    wanted: IntArray  # (n_devices,)
    claims: IntArray  # wanted, or what still flows
    sure: IntArray
    held: IntArray | None
    room: IntArray  # (n_nodes,) capacity less claims
    firm: _Flow  # while everything is granted

    def fits(self, other: _Flow) -> bool:
        """Return whether everything is granted while these flows of the other direction make room."""
        return bool((self.room + other.usage_milli_w >= 0).all())

    def allocate(self, other: _Flow) -> _Got:
        """Grant what capacities let through while firm flows of the other direction make room."""
        if self.fits(other):
            return _Got(self.claims, self.plan.nobody, self.firm)
        own = self.direction.own.share(self.wanted, _by_account(self.plan, other.p_milli_w))
        if self.direction.holds_first and self.held is not None:
            own = np.maximum(own, self.held)
        return self.got(self.grant(own, self.claims, self.direction.cap_milli_w + other.usage_milli_w))

    def grant(self, own: IntArray, claims: IntArray, capacity: IntArray) -> Allocation:
        """Allocate to own supply first, then to the rest of the claims; return both together."""
        rest = claims - own
        left = capacity - _usage(self.plan, own)
        if (left >= 0).all():
            done = allocate_scarce(self.direction.feeder, rest, self.weight, left)
            return Allocation(own + done.granted_milli_w, done.limiting_node)
        # Narrow places behind the meter: own supply itself has to share them.
        weights = np.concatenate([self.weight, self.weight])
        done = allocate_scarce(self.direction.both, np.concatenate([own, rest]), weights, capacity)
        n = own.size
        own_node, feeder_node = done.limiting_node[:n], done.limiting_node[n:]
        return Allocation(
            done.granted_milli_w[:n] + done.granted_milli_w[n:],
            np.where(feeder_node != NO_NODE, feeder_node, own_node),
        )

    def got(self, done: Allocation) -> _Got:
        """Return an allocation with what is firm of it."""
        return _Got(done.granted_milli_w, done.limiting_node, self.firm_part(done.granted_milli_w))

    def firm_part(self, granted: IntArray) -> _Flow:
        """Return the part of what is granted that the other direction may lean on."""
        return _flow(self.plan, np.minimum(np.minimum(granted, self.wanted), self.sure))

    def holds(self, granted: IntArray, other: _Flow) -> bool:
        """Return whether what is granted keeps its capacities leaning on these flows only."""
        used = _usage(self.plan, np.minimum(granted, self.wanted)) - other.usage_milli_w
        return bool((used <= self.direction.cap_milli_w).all())

    def assured(self) -> "_Side":
        """Return the same claims without what is only ramping up: nothing is granted that is not firm.

        Where an island needs more than ramps assure in one step, each turn loses the part that is not firm again;
        without it, turns settle at what is firm, and the rest comes a period later.
        """
        firm = self.firm.p_milli_w
        return _side(self.plan, self.direction, self.weight, firm, self.sure, self.held)


def _side(
    plan: NetPlan, direction: _Direction, weight: FloatArray, wanted: IntArray, sure: IntArray,
    held: IntArray | None,
) -> _Side:  # fmt: skip
    claims = wanted if held is None else np.maximum(wanted, held)
    return _Side(
        plan=plan,
        direction=direction,
        weight=weight,
        wanted=wanted,
        claims=claims,
        sure=sure,
        held=held,
        room=direction.cap_milli_w - _usage(plan, claims),
        firm=_flow(plan, np.minimum(wanted, sure)),
    )


def _are_kept(into: _Side, out: _Side, got_in: _Got, got_out: _Got) -> bool:
    """Return whether both directions keep their capacities leaning on what is firm of the other only."""
    granted_in, granted_out = got_in.granted_milli_w, got_out.granted_milli_w
    return into.holds(granted_in, out.firm_part(granted_out)) and out.holds(
        granted_out, into.firm_part(granted_in)
    )


def _together(into: _Side, out: _Side) -> tuple[_Got, _Got] | None:
    """Let both directions lean on each other, starting from all that could flow; None if that does not settle.

    Notes
    -----
    An island has no capacity at all: what flows in there has to lean on what flows out, and the reverse. Each
    turn allocates exports on the last imports and imports on those exports; whole milliwatts make it finite.
    Exports keep their capacities on the imports they were allocated on; on others they are audited.
    """
    leaned_on = out.firm
    got_in = into.allocate(leaned_on)
    for _ in range(MAX_TURNS):
        got_out = out.allocate(got_in.firm)
        if _is_same(got_out.firm, leaned_on):
            return got_in, got_out  # imports would be the same again
        leaned_on, firm_in = got_out.firm, got_in.firm
        got_in = into.allocate(leaned_on)
        if _is_same(got_in.firm, firm_in) or out.holds(got_out.granted_milli_w, got_in.firm):
            return got_in, got_out
    return None


def _is_same(one: _Flow, other: _Flow) -> bool:
    return one is other or bool((one.p_milli_w == other.p_milli_w).all())


def _one_after_the_other(into: _Side, out: _Side) -> tuple[_Got, _Got]:
    """Settle imports that need no export, exports that lean on those, then add imports that lean on these."""
    plan = into.plan
    alone = into.allocate(_flow(plan, np.zeros_like(into.wanted)))
    base = np.minimum(alone.granted_milli_w, into.wanted)
    got_out = out.allocate(alone.firm)
    firm_out = got_out.firm
    got_in = into.allocate(firm_out)
    if out.holds(got_out.granted_milli_w, got_in.firm):
        return got_in, got_out
    room = into.direction.cap_milli_w - _usage(plan, base)
    rest = into.wanted - base
    own = into.direction.own.share(rest, _by_account(plan, firm_out.p_milli_w))
    added = into.grant(own, rest, room + firm_out.usage_milli_w)
    return into.got(Allocation(base + added.granted_milli_w, added.limiting_node)), got_out


def _by_class(plan: NetPlan, imports: IntArray) -> tuple[int, ...]:
    """Return granted imports by class, the most important first: the greater tuple serves better."""
    by_class = sum_by(plan.import_class, imports, int(plan.import_class.max(initial=0)) + 1)
    return tuple(by_class.astype(np.int64).tolist())


def _flow(plan: NetPlan, p_milli_w: IntArray) -> _Flow:
    return _Flow(p_milli_w, _usage(plan, p_milli_w))


def _usage(plan: NetPlan, p_milli_w: IntArray) -> IntArray:
    at_node = sum_by(plan.node_of_device, p_milli_w, plan.tree.n_nodes)
    return subtree_totals(plan.tree, at_node.astype(np.int64))


def _by_account(plan: NetPlan, p_milli_w: IntArray) -> IntArray:
    return sum_by(plan.account_of_device, p_milli_w, plan.n_accounts).astype(np.int64)
