"""A scenario's microgrids as the controller knows them."""

from node.controller.microgrid import MicrogridTerms
from node.scenario import Scenario, Topology


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
