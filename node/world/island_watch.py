"""Microgrids beside the day: forecasts for leaders, notices to agents, who trades with whom, when the chain is reached.

Meters, agents and hub of a community stand on its feeder. While a part of it is cut off, the hub has no way to the
chain: what intervals owe it is planned as ever and waits in the outbox. Once everything is connected again it is
carried in, in order, inside the contract's fill window.
"""

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from node.bus.messages import TOPIC_ISLANDS, IslandNotice
from node.community import FIRST_ACCOUNT, Community
from node.controller.microgrid import served_pu
from node.controller.microgrid_detection import DETECTION_LIMIT_S
from node.controller.microgrid_reconnection import ENTER_SERVICE_S, SYNCHRONISATION_S
from node.hub.dispatch_records import Disturbance, IntervalOutcome, SupplyFailure
from node.hub.dispatch_state import World
from node.hub.island_records import IslandAhead
from node.hub.island_store import record_islands

# How far a leader looks ahead at most: past the next sunrise from any evening.
AHEAD_S = 86_400


class IslandWatch:
    """Does nothing where the scenario has no microgrids."""

    def __init__(self, community: Community, failures: tuple[Disturbance, ...]) -> None:
        self._community = community
        self._grids = community.dispatch.microgrids
        self._failures = failures
        self._told: set[str] = set()

    def is_cut(self, world: World) -> bool:
        """Return whether some part is cut off: then the chain is out of reach."""
        return any(state.is_cut for state in world.islands)

    def begin(self, interval: int, world: World) -> None:
        """Let each island's leader tell everybody what holds as an interval begins."""
        plant, bus = self._community.plant, self._community.bus
        for grid, state in zip(self._grids, world.islands, strict=False):
            if state.is_cut:
                share = served_pu(
                    grid, state, plant.participant, plant.load_share_pu, len(plant.scenario.participants)
                )
                rows = grid.members.tolist()
                leader = state.leader + FIRST_ACCOUNT if state.leader >= 0 else -1
                account = tuple(row + FIRST_ACCOUNT for row in rows)
                served = tuple(float(share[row]) for row in rows)
                bus.publish(
                    TOPIC_ISLANDS,
                    IslandNotice(grid.name, interval, leader, state.term, account, served),
                )
                self._told.add(grid.name)
            elif grid.name in self._told:
                bus.publish(TOPIC_ISLANDS, IslandNotice(grid.name, interval, -1, state.term, (), ()))
                self._told.remove(grid.name)
        if self._grids:
            bus.deliver()

    def ahead(self, interval: int, world: World) -> IslandAhead | None:
        """Return what agents expect of the day ahead, by device; None unless some part is cut off or will be."""
        community = self._community
        start_s, end_s = community.scenario.grid.start_s(interval), community.scenario.grid.end_s(interval)
        if not self._grids or not (self.is_cut(world) or self._fails_between(start_s, end_s)):
            return None
        plant = community.plant
        load_w, solar_w = community.agents.forecast_w(interval, AHEAD_S // community.scenario.interval_s)
        demand = load_w[plant.participant] * plant.load_share_pu[:, None]
        sun = np.zeros_like(demand)
        for grid in self._grids:
            sun[grid.suns] = solar_w[plant.participant[grid.suns]]
        return IslandAhead(demand, sun)

    def cut_zones(self, interval: int, world: World, gate_s: float) -> int:
        """Return the price zones that the hub knows to be cut off at a gate inside `interval`, as bits.

        Known is what the interval began with, and what has failed or come back since.
        """
        if self._community.clearing.n_zones == 1:
            return 0
        start_s = self._community.scenario.grid.start_s(interval)
        found = 0
        for k, grid in enumerate(self._grids):
            above = set(self._community.dispatch.plan.tree.path_to_root(grid.node))
            lost = [f for f in self._failures if isinstance(f, SupplyFailure) and f.node in above]
            was_cut = bool(world.islands) and world.islands[k].is_cut
            has_failed = any(start_s <= f.start_s <= gate_s - DETECTION_LIMIT_S for f in lost)
            ended_s = max((f.end_s for f in lost if f.start_s < gate_s), default=0.0)
            is_back = ended_s + ENTER_SERVICE_S + SYNCHRONISATION_S <= gate_s
            if (was_cut or has_failed) and not is_back:
                found |= 1 << grid.node
        return found

    def cut_throughout(self, outcome: IntervalOutcome, n_zones: int) -> NDArray[np.bool_]:
        """Return which price zones were cut off for all of an interval, `(n_zones,)`."""
        tree = self._community.dispatch.plan.tree
        out = np.zeros(tree.n_nodes, np.bool_)
        for one in outcome.islands:
            if one.cut_s >= self._community.scenario.interval_s - 1e-6:
                out[tree.names.index(one.node)] = True
        for level in tree.levels[1:]:
            out[level] |= out[tree.parent[level]]
        return out[:n_zones]

    def record(self, connection: Connection, outcome: IntervalOutcome) -> None:
        """Store what microgrids did in the caller's transaction."""
        record_islands(connection, outcome, FIRST_ACCOUNT)

    def _fails_between(self, start_s: float, end_s: float) -> bool:
        return any(isinstance(f, SupplyFailure) and start_s <= f.start_s < end_s for f in self._failures)
