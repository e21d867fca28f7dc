"""Import and export under one capacity tree: one flow may lean on the other, and never on a promise.

A node limits its net flow. An account's own supply serves its own demand behind the meter first; only the
rest is a claim on the feeder. Beyond that, imports below a node may exceed its import capacity by exports
below it, and the other way round, under two rules that keep every capacity whole:

* A flow that others lean on counts with the lesser of what is **measured** now and what is granted for the
  next period. A discharge that is only ramping up helps nobody yet; one that is told to stop helps nobody any
  more. Both sides therefore grow in turns, one period apart, and shrink at once.
* Exports are settled first, leaning only on imports that need no export themselves; imports come second and
  lean on those exports. Should the second step shrink an import that an export leans on, imports are instead
  only added to those of the first step. So at every node, import - firm export <= import capacity and
  export - firm import <= export capacity, in exact integers.

What remains is physics: if an export that imports lean on trips by itself, the net flow is too high until the
next period measures it (100 ms); a node whose fuse cannot bear that gets `leans=False` in the plan.
"""

from dataclasses import dataclass

import numpy as np

from node.controller.allocation import (
    Allocation,
    AllocationPlan,
    allocate,
    cap_milli_w,
    plan_allocation,
)
from node.controller.errors import InvalidRequest
from node.controller.network import NO_NODE, CapacityTree, FloatArray, IntArray, subtree_totals, sum_by


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
        own_imports=_own_supply(account_of_device, import_class),
        own_exports=_own_supply(account_of_device, export_class),
    )


def _own_supply(account: IntArray, klass: IntArray) -> _OwnSupply:
    order = np.lexsort((klass, account))
    group = account[order]
    return _OwnSupply(order, group, np.searchsorted(group, group).astype(np.int64))


def allocate_net(
    plan: NetPlan, wanted_milli_w: IntArray, measured_milli_w: IntArray, weight: FloatArray
) -> NetGrant:
    """Grant every device as much of its wanted power as the tree lets through.

    Parameters
    ----------
    wanted_milli_w : int64 (n_devices,)
        > 0 wants to inject, < 0 to withdraw.
    measured_milli_w : int64 (n_devices,)
        Terminal power measured now, same sign.
    weight : float64 (n_devices,)
        Share inside a class, > 0.

    Raises
    ------
    InvalidRequest
        As `allocation.allocate`.
    """
    imports, exports = np.maximum(-wanted_milli_w, 0), np.maximum(wanted_milli_w, 0)
    measured_in, measured_out = np.maximum(-measured_milli_w, 0), np.maximum(measured_milli_w, 0)
    if not plan.leans:
        measured_in, measured_out = np.zeros_like(imports), np.zeros_like(exports)
    firm_in, firm_out = np.minimum(imports, measured_in), np.minimum(exports, measured_out)
    import_room = plan.import_cap_milli_w - _usage(plan, imports)
    export_room = plan.export_cap_milli_w - _usage(plan, exports)
    if np.all(import_room + _usage(plan, firm_out) >= 0) and np.all(export_room + _usage(plan, firm_in) >= 0):
        return NetGrant(wanted_milli_w.copy(), np.full(imports.size, NO_NODE, np.int64))
    nothing = np.zeros_like(imports)
    weights = np.r_[weight, weight]
    alone = _both_rows(allocate(plan.imports, np.r_[nothing, imports], weights, plan.import_cap_milli_w))
    exported = _lean(
        plan.exports, plan, plan.own_exports, exports, weights,
        plan.export_cap_milli_w, np.minimum(alone.granted_milli_w, measured_in),
    )  # fmt: skip
    firm_out = np.minimum(exported.granted_milli_w, measured_out)
    imported = _lean(
        plan.imports, plan, plan.own_imports, imports, weights, plan.import_cap_milli_w, firm_out
    )
    still_firm = np.minimum(imported.granted_milli_w, measured_in)
    if np.any(_usage(plan, exported.granted_milli_w - still_firm) > plan.export_cap_milli_w):
        room = plan.import_cap_milli_w - _usage(plan, alone.granted_milli_w)
        rest = imports - alone.granted_milli_w
        added = _lean(plan.imports, plan, plan.own_imports, rest, weights, room, firm_out)
        imported = Allocation(alone.granted_milli_w + added.granted_milli_w, added.limiting_node)
    return NetGrant(
        exported.granted_milli_w - imported.granted_milli_w,
        np.where(imports > 0, imported.limiting_node, exported.limiting_node),
    )


def _usage(plan: NetPlan, p_milli_w: IntArray) -> IntArray:
    at_node = sum_by(plan.node_of_device, p_milli_w, plan.tree.n_nodes)
    return subtree_totals(plan.tree, at_node.astype(np.int64))


def _lean(
    claims: AllocationPlan, plan: NetPlan, own_supply: _OwnSupply, demand: IntArray, weights: FloatArray,
    capacity: IntArray, firm: IntArray,
) -> Allocation:  # fmt: skip
    """Allocate one direction while `firm` power of the other direction makes room."""
    budget = sum_by(plan.account_of_device, firm, plan.n_accounts).astype(np.int64)
    own = own_supply.share(demand, budget)
    return _both_rows(allocate(claims, np.r_[own, demand - own], weights, capacity + _usage(plan, firm)))


def _both_rows(allocation: Allocation) -> Allocation:
    """Add the own-supply row and the feeder row of each device."""
    own, feeder = np.split(allocation.granted_milli_w, 2)
    own_node, feeder_node = np.split(allocation.limiting_node, 2)
    return Allocation(own + feeder, np.where(feeder_node != NO_NODE, feeder_node, own_node))
