"""Generators in the report: what they gave, what fuel it took, and what is left of it."""

import json
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from devices.generator import CO2_G_PER_FUEL_KWH, FUEL_WH_PER_L
from node.store.tables_devices import device_intervals, devices

WH_PER_KWH = 1_000.0

DEFINITIONS = {
    "Generators": "Electricity from fuel; litres and emissions by the fuel's lower heating value. It is bought energy: "
    "no part of self-sufficiency or self-consumption. What the fuel costs is in no bill.",
}


@dataclass(frozen=True, slots=True)
class Generated:
    """What one generator gave in a span, Wh of electricity and of fuel; `left_wh` at the span's end."""

    name: str
    given_wh: float
    burnt_wh: float
    left_wh: float


def generated(connection: Connection, span: range) -> tuple[Generated, ...]:
    """Return every generator's figures in a span."""
    found = []
    for row in connection.execute(
        select(devices).where(devices.c.kind == "generator").order_by(devices.c.id)
    ):
        mine = device_intervals.c.device == row.id
        inside = (device_intervals.c.interval >= span.start, device_intervals.c.interval < span.stop)
        given = connection.execute(
            select(func.sum(device_intervals.c.source_wh)).where(mine, *inside)
        ).scalar()
        tank = [
            connection.execute(
                select(device_intervals.c.energy_wh).where(mine, device_intervals.c.interval == interval)
            ).scalar()
            for interval in (span.start - 1, span.stop - 1)
        ]
        before = float(json.loads(row.parameters)["tank_wh"]) if tank[0] is None else float(tank[0])
        left = before if tank[1] is None else float(tank[1])
        found.append(Generated(row.name, float(given or 0.0), before - left, left))
    return tuple(found)


def lines(facts: tuple[Generated, ...]) -> list[tuple[str, str]]:
    """Return the figures as name and text; a generator that never ran has none."""
    return [
        (
            f"generator {one.name}",
            f"{one.given_wh / WH_PER_KWH:,.2f} kWh from {one.burnt_wh / FUEL_WH_PER_L:,.2f} l of fuel "
            f"({one.given_wh / one.burnt_wh:.0%} of it), "
            f"{one.burnt_wh / WH_PER_KWH * CO2_G_PER_FUEL_KWH / 1e3:,.1f} kg CO2; "
            f"{one.left_wh / FUEL_WH_PER_L:,.1f} l left",
        )
        for one in facts
        if one.burnt_wh > 0
    ]
