"""A scenario's microgrids for the running system: their terms, forecasts for their leaders, notices to everybody."""

import numpy as np

from node.bus.messages import IslandNotice
from node.controller.microgrid import MicrogridTerms
from node.hub.dispatch import Dispatch
from node.hub.dispatch_islands import served_pu
from node.hub.dispatch_state import World
from node.hub.island_records import IslandAhead, IslandOutcome
from node.plant import Plant
from node.scenario import Scenario, Topology

# How far a leader looks ahead at most: past the next sunrise from any evening.
AHEAD_S = 86_400


def microgrid_terms(scenario: Scenario, topology: Topology) -> tuple[MicrogridTerms, ...]:
    """Return the scenario's microgrids with nodes as rows."""
    return tuple(
        MicrogridTerms(
            node=topology.ids.index(grid.node),
            nominal_hz=grid.nominal_hz,
            reserve_pu=grid.black_start_reserve_pu,
            loss_pu=grid.radio_loss_pu,
            seed=scenario.seed + k,
        )
        for k, grid in enumerate(scenario.microgrids)
    )


def is_any_cut(world: World) -> bool:
    """Return whether some part of the network is cut off from the grid."""
    return any(state.is_cut for state in world.islands)


def ahead(plant: Plant, load_w: np.ndarray, solar_w: np.ndarray) -> IslandAhead:
    """Return what agents expect, by device.

    Parameters
    ----------
    load_w, solar_w : float64 (n_accounts, n_intervals)
        The first column is the interval that begins now.
    """
    is_solar = plant.load_share_pu <= 0
    demand = load_w[plant.participant] * plant.load_share_pu[:, None]
    sun = np.zeros_like(demand)
    suns = np.flatnonzero(is_solar & (plant.fleet.capacity_wh <= 0))
    sun[suns] = solar_w[plant.participant[suns]]
    return IslandAhead(demand, sun)


def notices(
    dispatch: Dispatch, plant: Plant, world: World, interval: int, first_account: int
) -> list[IslandNotice]:
    """Return what each island's leader tells everybody at the beginning of an interval."""
    told = []
    for grid, state in zip(dispatch.microgrids, world.islands, strict=False):
        if not state.is_cut:
            continue
        share = served_pu(
            grid, state, plant.participant, plant.load_share_pu, len(plant.scenario.participants)
        )
        members = grid.members.tolist()
        told.append(
            IslandNotice(
                grid.name,
                interval,
                state.leader + first_account if state.leader >= 0 else -1,
                state.term,
                tuple(row + first_account for row in members),
                tuple(float(share[row]) for row in members),
            )
        )
    return told


def cut_zones(
    outcomes: tuple[IslandOutcome, ...], topology: Topology, n_zones: int, length_s: int
) -> np.ndarray:
    """Return the price zones that were cut off for a whole interval, `(n_zones,)`."""
    out = np.zeros(len(topology.ids), np.bool_)
    for one in outcomes:
        if one.cut_s >= length_s - 1e-6:
            out[topology.ids.index(one.node)] = True
    for row, parent in enumerate(topology.parent.tolist()):  # parents stand before their children
        if parent >= 0:
            out[row] |= out[parent]
    return out[:n_zones]
