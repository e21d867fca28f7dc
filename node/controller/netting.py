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

from dataclasses import dataclass, replace

import numpy as np

from node.controller.allocation import (
    Allocation,
    AllocationPlan,
    allocate_checked,
    cap_milli_w,
    check_claims,
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
class NetPlan:
    """What netting needs to know before demands come."""

    tree: CapacityTree
    node_of_device: IntArray
    account_of_device: IntArray
    n_accounts: int
    leans: bool
    import_cap_milli_w: IntArray
    export_cap_milli_w: IntArray
    imports: AllocationPlan  # two claims a device: own supply (class 0), then the feeder's
    exports: AllocationPlan
    import_class: IntArray
    own_imports: _OwnSupply
    own_exports: _OwnSupply


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
    own = np.zeros_like(import_class)
    return NetPlan(
        tree=tree,
        node_of_device=node_of_device,
        account_of_device=account_of_device,
        n_accounts=int(account_of_device.max(initial=-1)) + 1,
        leans=leans,
        import_cap_milli_w=cap_milli_w(tree.import_cap_w),
        export_cap_milli_w=cap_milli_w(tree.export_cap_w),
        imports=plan_allocation(tree, twice, np.r_[own, 1 + import_class]),
        exports=plan_allocation(tree, twice, np.r_[own, 1 + export_class]),
        import_class=import_class,
        own_imports=_own_supply(account_of_device, import_class),
        own_exports=_own_supply(account_of_device, export_class),
    )


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
        As `allocation.allocate`.
    """
    imports, exports = np.maximum(-wanted_milli_w, 0), np.maximum(wanted_milli_w, 0)
    sure_in, sure_out = np.maximum(-assured_milli_w, 0), np.maximum(assured_milli_w, 0)
    if not plan.leans:
        sure_in, sure_out = np.zeros_like(imports), np.zeros_like(exports)
    held = np.zeros_like(imports) if held_milli_w is None else held_milli_w
    held_out = np.maximum(held, 0)
    claims_in, claims_out = np.maximum(imports, -held), np.maximum(exports, held_out)
    firm_in, firm_out = np.minimum(imports, sure_in), np.minimum(exports, sure_out)
    import_room = plan.import_cap_milli_w - _usage(plan, claims_in)
    export_room = plan.export_cap_milli_w - _usage(plan, claims_out)
    if np.all(import_room + _usage(plan, firm_out) >= 0) and np.all(export_room + _usage(plan, firm_in) >= 0):
        return NetGrant(wanted_milli_w.copy(), np.full(imports.size, NO_NODE, np.int64))
    weights = np.concatenate([weight, weight])
    for claims, cap in ((claims_in, plan.import_cap_milli_w), (claims_out, plan.export_cap_milli_w)):
        check_claims(plan.imports, np.concatenate([claims, np.zeros_like(claims)]), weights, cap)
    book = _Claims(plan, weights, imports, exports, claims_in, claims_out, sure_in, sure_out, held_out)
    into, out = _together(book, firm_out) or _one_after_the_other(book)
    if np.any(exports > sure_out):
        # What only ramps up may push firm exports aside: then the firm ones alone serve more.
        firm = _together(book.assured(), firm_out)
        if (
            firm is not None
            and book.keeps_capacities(*firm)
            and _served(plan, firm[0], imports) > _served(plan, into, imports)
        ):
            into, out = firm
    given_in, given_out = np.minimum(into.granted_milli_w, imports), np.minimum(out.granted_milli_w, exports)
    return NetGrant(
        given_out - given_in,
        np.where(
            given_in < imports, into.limiting_node, np.where(given_out < exports, out.limiting_node, NO_NODE)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Claims:
    """What both directions claim in one period; arrays (n_devices,) but for the weights of both rows."""

    plan: NetPlan
    weights: FloatArray
    imports: IntArray
    exports: IntArray
    claims_in: IntArray  # imports, or what still flows in
    claims_out: IntArray
    sure_in: IntArray
    sure_out: IntArray
    held_out: IntArray

    def assured(self) -> "_Claims":
        """Return the same claims without what is only ramping up: nothing is granted that is not firm.

        Where an island needs more than ramps assure in one step, each turn loses the part that is not firm again;
        without it, turns settle at what is firm, and the rest comes a period later.
        """
        imports, exports = np.minimum(self.imports, self.sure_in), np.minimum(self.exports, self.sure_out)
        held_in = np.where(self.claims_in > self.imports, self.claims_in, 0)
        return replace(
            self,
            imports=imports,
            exports=exports,
            claims_in=np.maximum(imports, held_in),
            claims_out=np.maximum(exports, self.held_out),
        )

    def allocate_in(self, firm_out: IntArray) -> Allocation:
        """Allocate imports while firm exports make room."""
        plan = self.plan
        own = plan.own_imports.share(self.imports, _by_account(plan, firm_out))
        return _lean(plan.imports, plan, own, self.claims_in, self.weights, plan.import_cap_milli_w, firm_out)

    def allocate_out(self, firm_in: IntArray) -> Allocation:
        """Allocate exports while firm imports make room; what still flows out comes first."""
        plan = self.plan
        own = plan.own_exports.share(self.exports, _by_account(plan, firm_in))
        own = np.maximum(own, self.held_out)
        return _lean(plan.exports, plan, own, self.claims_out, self.weights, plan.export_cap_milli_w, firm_in)

    def firm_in(self, into: Allocation) -> IntArray:
        """Return the part of granted imports that exports may lean on."""
        return np.minimum(np.minimum(into.granted_milli_w, self.imports), self.sure_in)

    def firm_out(self, out: Allocation) -> IntArray:
        """Return the part of granted exports that imports may lean on."""
        return np.minimum(np.minimum(out.granted_milli_w, self.exports), self.sure_out)

    def holds(self, into: Allocation, out: Allocation) -> bool:
        """Return whether exports keep their capacities leaning on these imports only."""
        granted = np.minimum(out.granted_milli_w, self.exports)
        net = _usage(self.plan, granted - self.firm_in(into))
        return bool(np.all(net <= self.plan.export_cap_milli_w))

    def keeps_capacities(self, into: Allocation, out: Allocation) -> bool:
        """Return whether both directions keep their capacities leaning on what is firm of the other only."""
        granted = np.minimum(into.granted_milli_w, self.imports)
        net = _usage(self.plan, granted - self.firm_out(out))
        return bool(np.all(net <= self.plan.import_cap_milli_w)) and self.holds(into, out)


def _served(plan: NetPlan, into: Allocation, imports: IntArray) -> tuple[int, ...]:
    """Return granted imports by class, the most important first: the greater tuple serves better."""
    granted = np.minimum(into.granted_milli_w, imports)
    by_class = sum_by(plan.import_class, granted, int(plan.import_class.max(initial=0)) + 1)
    return tuple(by_class.astype(np.int64).tolist())


def _together(book: _Claims, firm_out: IntArray) -> tuple[Allocation, Allocation] | None:
    """Let both directions lean on each other, starting from all that could flow; None if that does not settle.

    Notes
    -----
    An island has no capacity at all: what flows in there has to lean on what flows out, and the reverse. Each
    turn allocates exports on the last imports and imports on those exports; whole milliwatts make it finite.
    """
    into, leaned_on = book.allocate_in(firm_out), firm_out
    for _ in range(MAX_TURNS):
        out = book.allocate_out(book.firm_in(into))
        firm = book.firm_out(out)
        is_same = np.array_equal(firm, leaned_on)  # often: then imports would be the same again
        if not is_same:
            into, leaned_on = book.allocate_in(firm), firm
        if book.holds(into, out):
            return into, out
        if is_same:
            return None  # every further turn would be this one
    return None


def _one_after_the_other(book: _Claims) -> tuple[Allocation, Allocation]:
    """Settle imports that need no export, exports that lean on those, then add imports that lean on these."""
    plan = book.plan
    nothing = np.zeros_like(book.imports)
    alone = book.allocate_in(nothing)
    base = np.minimum(alone.granted_milli_w, book.imports)
    out = book.allocate_out(book.firm_in(alone))
    firm_out = book.firm_out(out)
    into = book.allocate_in(firm_out)
    if book.holds(into, out):
        return into, out
    room = plan.import_cap_milli_w - _usage(plan, base)
    rest = book.imports - base
    own = plan.own_imports.share(rest, _by_account(plan, firm_out))
    added = _lean(plan.imports, plan, own, rest, book.weights, room, firm_out)
    return Allocation(base + added.granted_milli_w, added.limiting_node), out


def _usage(plan: NetPlan, p_milli_w: IntArray) -> IntArray:
    at_node = sum_by(plan.node_of_device, p_milli_w, plan.tree.n_nodes)
    return subtree_totals(plan.tree, at_node.astype(np.int64))


def _by_account(plan: NetPlan, p_milli_w: IntArray) -> IntArray:
    return sum_by(plan.account_of_device, p_milli_w, plan.n_accounts).astype(np.int64)


def _lean(
    claims: AllocationPlan, plan: NetPlan, own: IntArray, demand: IntArray, weights: FloatArray,
    capacity: IntArray, firm: IntArray,
) -> Allocation:  # fmt: skip
    """Allocate one direction while `firm` power of the other direction makes room."""
    both = np.concatenate([own, demand - own])
    return _both_rows(allocate_checked(claims, both, weights, capacity + _usage(plan, firm)))


def _both_rows(allocation: Allocation) -> Allocation:
    """Add the own-supply row and the feeder row of each device."""
    n = allocation.granted_milli_w.size // 2
    own, feeder = allocation.granted_milli_w[:n], allocation.granted_milli_w[n:]
    own_node, feeder_node = allocation.limiting_node[:n], allocation.limiting_node[n:]
    return Allocation(own + feeder, np.where(feeder_node != NO_NODE, feeder_node, own_node))
