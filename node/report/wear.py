"""Wear of storages in the report: what time and cycles took of every battery, from the newest checkpoint."""

import json
from collections.abc import Sequence

from sqlalchemy import Connection, select

from node.hub.dispatch_state import world_from_bytes
from node.store.tables_devices import checkpoints, devices

HEADS = (
    "storage", "kind", "capacity kWh", "moved kWh", "full cycles", "capacity lost to time", "to cycles",
    "resistance grown",
)  # fmt: skip
MOST_ROWS = 30
CAPTION = "Wear of storages"

DEFINITIONS = {
    "Wear of storages": "Since the community began. Full cycles: energy moved through the store, both ways, over twice "
    "its capacity. Batteries age by published laws of half cycles and of calendar time (by its square root: the first "
    "days take most); supercapacitors and flywheels are taken not to age.",
}


def tables(connection: Connection) -> dict[str, tuple[Sequence[str], Sequence[Sequence[str]]]]:
    """Return the report's table by caption, the most worn first; none where nothing stores."""
    saved = connection.execute(select(checkpoints.c.content).where(checkpoints.c.name == "world")).scalar()
    if saved is None:
        return {}
    fleet = world_from_bytes(saved).fleet
    found = []
    for row in connection.execute(select(devices).order_by(devices.c.id)):
        capacity_wh = float(json.loads(row.parameters).get("capacity_wh", 0.0))
        if capacity_wh > 0:
            lost = float(fleet.calendar_fade_pu[row.id]), float(fleet.cycle_fade_pu[row.id])
            found.append((sum(lost), row, capacity_wh, lost))
    found.sort(key=lambda one: (-one[0], one[1].id))
    rows = [
        (
            row.name,
            row.kind,
            f"{capacity_wh / 1e3:,.2f}",
            f"{fleet.throughput_wh[row.id] / 1e3:,.2f}",
            f"{fleet.throughput_wh[row.id] / (2 * capacity_wh):,.2f}",
            *(f"{part:.4%}" for part in lost),
            f"{fleet.resistance_factor[row.id] - 1:.4%}",
        )
        for _, row, capacity_wh, lost in found[:MOST_ROWS]
    ]
    more = f" (the {MOST_ROWS} most worn of {len(found)})" if len(found) > MOST_ROWS else ""
    return {CAPTION + more: (HEADS, rows)} if rows else {}
