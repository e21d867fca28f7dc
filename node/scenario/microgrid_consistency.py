"""What does not fit about a scenario's microgrids: places and messages."""

from collections.abc import Iterator

from node.scenario.devices import ElectricVehicle
from node.scenario.models import Scenario

Found = tuple[tuple[str | int, ...], str]


def find_mistakes(scenario: Scenario) -> Iterator[Found]:
    """Return what is wrong with a scenario's microgrids."""
    parent = {node.id: node.parent for node in scenario.network}
    named = [grid.node for grid in scenario.microgrids]
    for i, grid in enumerate(scenario.microgrids):
        where = ("microgrids", i, "node")
        if grid.node not in parent:
            yield (where, f"expected the id of a network node, got {grid.node!r}")
            continue
        if grid.node in named[:i]:
            yield (where, f"expected another node: {grid.node!r} is a microgrid already")
        above = list(_path(grid.node, parent))[1:]
        if set(above) & set(named):
            yield (where, "expected a node that is not below another microgrid: one leader an island")
        if parent[grid.node] is not None and scenario.market.mechanism == "uniform":
            yield (
                where,
                "expected the root, or market.mechanism: network, which gives the island a price of its own",
            )
        if not _can_form(scenario, grid.node, parent):
            yield (where, "expected a storage that is no car below it: nobody could form the island")


def _path(node: str, parent: dict[str, str | None]) -> Iterator[str]:
    at: str | None = node
    for _ in range(len(parent) + 1):
        if at is None:
            return
        yield at
        at = parent.get(at)


def _can_form(scenario: Scenario, node: str, parent: dict[str, str | None]) -> bool:
    return any(
        node in _path(participant.node, parent)
        and any(not isinstance(device, ElectricVehicle) for device in participant.devices)
        for participant in scenario.participants
    )
