"""Price zones of a scenario: one for all, or one for every node of its network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from market.network_auction_tree import depths
from market.tariffs import edge_fees
from market.units import MILLI_WH_PER_WH
from node.scenario import topology
from node.scenario.models import Scenario


@dataclass(frozen=True, slots=True)
class PriceZone:
    """A node whose accounts trade at one price, and its edge to the parent's zone (-1: the root has none)."""

    zone: int
    node: str
    parent: int
    import_cap_milli_wh: int
    export_cap_milli_wh: int
    fee_micro_per_kwh: int


def price_zones(scenario: Scenario) -> Sequence[PriceZone]:
    """Return the zones of a network auction by number, parents first; none where there is one price for all."""
    if scenario.market.mechanism == "uniform":
        return ()
    tree = topology.build(scenario)
    own = {node.id: node.grid_fee_micro_per_kwh for node in scenario.network}
    level = depths(tree.parent)[: len(scenario.network)]
    by_level = (0, *scenario.market.grid_fee_by_level_micro_per_kwh)
    fee = edge_fees(level, by_level) if len(by_level) > 1 else np.zeros(level.size, np.int64)

    def per_interval(power_w: float) -> int:
        return int(power_w * scenario.interval_s * MILLI_WH_PER_WH) // 3_600

    return [
        PriceZone(
            row,
            tree.ids[row],
            int(tree.parent[row]),
            per_interval(float(tree.import_cap_w[row])),
            per_interval(float(tree.export_cap_w[row])),
            own[tree.ids[row]] + int(fee[row]),
        )
        for row in range(len(scenario.network))
    ]


def zone_of_participants(scenario: Scenario) -> list[int]:
    """Return the zone of each participant's account."""
    number = {zone.node: zone.zone for zone in price_zones(scenario)}
    return [number.get(participant.node, 0) for participant in scenario.participants]
