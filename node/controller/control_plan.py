"""What the controller knows that does not change from period to period: devices, places, classes, caps."""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from devices.parameters import FleetParameters
from devices.specification import Kind
from node.controller.errors import InvalidRequest
from node.controller.netting import NetPlan, plan_net
from node.controller.network import NO_NODE, CapacityTree, FloatArray, IntArray
from node.controller.relief import ReliefPlan, plan_relief
from node.controller.virtual_battery import best_load_w

FIRMWARE_STEP_S = 0.01


class ImportClass(IntEnum):
    """Who is served first when importing; loads by their own priority, then cars, then other storages."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3
    DEFERRABLE = 4
    VEHICLE = 5
    STORAGE = 6


class ExportClass(IntEnum):
    """Who is curtailed last when exporting: the sun is lost, stored energy only waits."""

    SOLAR = 0
    STORAGE = 1


@dataclass(frozen=True, slots=True)
class ControlPlan:
    """The controller's static knowledge; build with `plan_control`.

    Parameters
    ----------
    storage : int64 (n_storages,)
        Rows of devices with storage.
    tracking : int64 (n_tracking,)
        Rows of storages that keep their account on target; vehicles keep to their plans.
    reach_w : float64 (n_storages,)
        What a storage's ramp assures within one step of its firmware.
    free_w : float64 (n_devices,)
        Setpoint of a load or source without limit: -inf or inf.
    shared_depth : int64 (n_devices,)
        Depth of the device's connection: nodes above it are shared with others.
    lends : bool (n_devices,)
        Storages that also help nodes above their own connection.
    best_load_w : float64 (n_devices,)
        Power at which a storage's converter loses least per energy.
    bridge : ReliefPlan
        Who bridges the time that slow storages need: in an island whoever is fast, wherever it hangs.
    island : bool (n_nodes,)
        Nodes at or below a failed supply.
    in_island : bool (n_devices,)
        Devices at these nodes.
    island_root : int64 (n_nodes,)
        The nearest failed node at or above, -1 outside: what has it in common is one island.
    """

    tree: CapacityTree
    params: FleetParameters
    node_of_device: IntArray
    account_of_device: IntArray
    connection_of_account: IntArray
    import_class: IntArray
    export_class: IntArray
    storage: IntArray
    tracking: IntArray
    reach_w: FloatArray
    free_w: FloatArray
    shared_depth: IntArray
    lends: NDArray[np.bool_]
    weight: FloatArray
    best_load_w: FloatArray
    net: NetPlan
    relief: ReliefPlan
    bridge: ReliefPlan
    island: NDArray[np.bool_]
    in_island: NDArray[np.bool_]
    island_root: IntArray

    @property
    def n_accounts(self) -> int:
        """Return the number of accounts."""
        return int(self.connection_of_account.size)


def plan_control(
    tree: CapacityTree,
    params: FleetParameters,
    node_of_device: IntArray,
    account_of_device: IntArray,
    connection_of_account: IntArray,
    lends: NDArray[np.bool_] | None = None,
) -> ControlPlan:
    """Prepare the controller for a fleet on a tree.

    Parameters
    ----------
    node_of_device : int64 (n_devices,)
        The account's connection, or a node below it (PDU, rack, outlet).
    account_of_device : int64 (n_devices,)
    connection_of_account : int64 (n_accounts,)
    lends : bool (n_devices,) or None
        None: nobody lends.

    Raises
    ------
    InvalidRequest
        If a device does not hang below its account's connection.
    """
    n = params.n_devices
    above = tree.ancestors()
    connection = connection_of_account[account_of_device]
    lost = np.flatnonzero(above[tree.depth[connection], node_of_device] != connection)
    if lost.size:
        device = int(lost[0])
        raise InvalidRequest(
            f"device {params.names[device]} hangs at node {tree.names[node_of_device[device]]}, "
            f"which is not below its account's connection {tree.names[connection[device]]}"
        )
    is_vehicle = params.kind == Kind.VEHICLE
    storage = np.flatnonzero(params.is_storage)
    import_class = np.where(
        is_vehicle, ImportClass.VEHICLE, np.where(params.is_storage, ImportClass.STORAGE, params.priority)
    ).astype(np.int64)
    export_class = np.where(params.is_storage, ExportClass.STORAGE, ExportClass.SOLAR).astype(np.int64)
    shared_depth = tree.depth[connection]
    lending = np.zeros(n, np.bool_) if lends is None else lends & params.is_storage
    relief = _plan_helpers(tree, node_of_device, is_vehicle, storage, np.where(lending, 0, shared_depth))
    return ControlPlan(
        tree=tree,
        params=params,
        node_of_device=node_of_device,
        account_of_device=account_of_device,
        connection_of_account=connection_of_account,
        import_class=import_class,
        export_class=export_class,
        storage=storage,
        tracking=storage[~is_vehicle[storage]],
        reach_w=params.ramp_w_per_s[storage] * FIRMWARE_STEP_S,
        free_w=np.where(np.isinf(params.p_discharge_max_w), np.inf, -np.inf),
        shared_depth=shared_depth,
        lends=lending,
        weight=np.ones(n),
        best_load_w=best_load_w(params),
        net=plan_net(tree, node_of_device, account_of_device, import_class, export_class),
        relief=relief,
        bridge=relief,
        island=np.zeros(tree.n_nodes, np.bool_),
        in_island=np.zeros(n, np.bool_),
        island_root=np.full(tree.n_nodes, NO_NODE, np.int64),
    )


def _plan_helpers(
    tree: CapacityTree,
    node_of_device: IntArray,
    is_vehicle: NDArray[np.bool_],
    storage: IntArray,
    reach_depth: IntArray,
) -> ReliefPlan:
    helper = storage[~is_vehicle[storage]]
    return plan_relief(tree, node_of_device, helper, reach_depth[helper])


def islanded(plan: ControlPlan, failed: IntArray) -> ControlPlan:
    """Return the plan while nothing flows through some nodes.

    Parameters
    ----------
    failed : int64 (n_failed,)
        Nodes whose supply failed; everything below each is an island of its own.

    Notes
    -----
    Inside an island, storages that do not lend serve their own connection: its import capacity counts as 0 when
    relief is planned, while allocation still lets the connection take what the others can spare.
    """
    if not failed.size:
        return plan
    tree = plan.tree
    root = np.full(tree.n_nodes, NO_NODE, np.int64)
    root[failed] = failed
    for level in tree.levels[1:]:
        root[level] = np.where(root[level] == NO_NODE, root[tree.parent[level]], root[level])
    island = root != NO_NODE
    import_cap, export_cap = tree.import_cap_w.copy(), tree.export_cap_w.copy()
    import_cap[failed] = 0.0
    export_cap[failed] = 0.0
    cut_off = CapacityTree(tree.names, tree.parent, import_cap, export_cap)
    self_supplied = import_cap.copy()
    self_supplied[plan.connection_of_account[island[plan.connection_of_account]]] = 0.0
    frugal = CapacityTree(tree.names, tree.parent, self_supplied, export_cap)
    is_vehicle = plan.params.kind == Kind.VEHICLE
    reach = np.where(plan.lends, 0, plan.shared_depth)
    return replace(
        plan,
        tree=cut_off,
        net=plan_net(
            cut_off, plan.node_of_device, plan.account_of_device, plan.import_class, plan.export_class
        ),
        relief=_plan_helpers(frugal, plan.node_of_device, is_vehicle, plan.storage, reach),
        bridge=_plan_helpers(cut_off, plan.node_of_device, is_vehicle, plan.storage, reach),
        island=island,
        in_island=island[plan.node_of_device],
        island_root=root,
    )
