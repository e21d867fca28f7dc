"""A scenario's ties, generators and islands as the controller knows them, and what its memory begins with."""

from dataclasses import replace

import numpy as np

from devices.converter import Converter
from node.controller.forecast import ForecastTerms
from node.controller.kinetic import KineticTerms
from node.controller.paths import TieNetwork
from node.controller.ties import TiePlan
from node.hub.dispatch import Dispatch
from node.hub.dispatch_racks import RackControl
from node.hub.dispatch_ride import RideTerms
from node.hub.dispatch_state import World
from node.profiles import ProfileSet
from node.scenario import Generator, Scenario
from node.scenario.ties import Ties
from node.world.plant import Plant


def rack_control(scenario: Scenario, plant: Plant) -> RackControl | None:
    """Return what the controller knows of tied racks; None where nothing is tied."""
    ties = scenario.ties
    if ties is None:
        return None
    members = tied_members(scenario)
    rack_of = {row: rack for rack, row in enumerate(members)}
    rack_of_device = np.array([rack_of.get(int(owner), -1) for owner in plant.participant], np.int64)
    connection = plant.topology.node_of_participant[members]
    plan = TiePlan(
        network=_network(scenario, ties, members),
        account=np.array(members, np.int64),
        node=connection,
        port=np.array(
            [plant.fleet.row_of(f"{scenario.participants[row].id}.tie") for row in members], np.int64
        ),
        rated_w=np.full(len(members), ties.port_w),
        limit_w=plant.topology.import_cap_w[connection],
        lends=plant.lends,
        rack_of_device=rack_of_device,
    )
    step_s = scenario.load_step_s or scenario.interval_s
    return RackControl(
        plan,
        plant.fleet,
        KineticTerms(
            horizon_s=ties.hold_s,
            lead_s=ties.lead_s,
            hold_s=step_s / 10,
            margin_pu=ties.margin_pu,
            stage_w=idle_loss_w(plant, ties.port_w),
        ),
        ForecastTerms(step_s, ties.steps_ahead),
    )


def idle_loss_w(plant: Plant, rated_w: float) -> float:
    """Return what a port's stage loses merely by running, W: its loss at a ten-thousandth of its rating."""
    tiny = np.array([1e-4 * rated_w])
    drawn = plant.fleet.converters.dc_power_w(
        tiny.copy(), np.array([rated_w]), np.array([int(Converter.DC_DC)])
    )
    return float(drawn[0] - tiny[0])


def tied_members(scenario: Scenario) -> list[int]:
    """Return the rows of participants with a port, in the scenario's order."""
    tied = {name for cable in (scenario.ties.cables if scenario.ties else ()) for name in cable.between}
    return [row for row, participant in enumerate(scenario.participants) if participant.id in tied]


def _network(scenario: Scenario, ties: Ties, members: list[int]) -> TieNetwork:
    rack = {scenario.participants[row].id: k for k, row in enumerate(members)}
    return TieNetwork(
        n_nodes=len(members),
        ends=np.array([[rack[name] for name in cable.between] for cable in ties.cables], np.int64),
        length_m=np.array([cable.length_m for cable in ties.cables]),
        ohm_per_m=np.array([cable.ohm_per_m for cable in ties.cables]),
        limit_a=np.array([cable.limit_a for cable in ties.cables]),
        bus_v=ties.bus_v,
    )


def ride_terms(scenario: Scenario, plant: Plant) -> RideTerms | None:
    """Return how islands are ridden through; None where the scenario does not say."""
    if scenario.ride_through is None:
        return None
    start_s = np.full(plant.fleet.n_devices, np.inf)
    for participant in scenario.participants:
        for device in participant.devices:
            if isinstance(device, Generator):
                start_s[plant.fleet.row_of(device.id)] = device.start_s
    return RideTerms(scenario.ride_through.shutdown_s, start_s)


def first_world(scenario: Scenario, dispatch: Dispatch, profiles: ProfileSet) -> World:
    """Return the world before the first interval; racks remember the loads that meters saw before."""
    world, control = dispatch.first_world(), dispatch.racks
    if control is None:
        return world
    first = scenario.delivery_intervals().start
    history_w = past_loads_w(control, profiles, first)
    last_number = scenario.grid.start_s(first) // control.terms.step_s - 1
    return replace(world, racks=control.first_memory(history_w, last_number))


def past_loads_w(control: RackControl, profiles: ProfileSet, first: int) -> np.ndarray:
    """Return the racks' loads in all steps before an interval, (n_steps, n_racks) W; nothing known: at rest."""
    before = profiles.load_steps_w[control.ties.account, : profiles.column(first)]
    steps_w = before.reshape(control.ties.n_racks, -1).T
    return steps_w if len(steps_w) else np.zeros((1, control.ties.n_racks))
