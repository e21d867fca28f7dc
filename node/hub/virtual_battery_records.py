"""What all fit lenders could do together as one battery, written to the store."""

import json

from sqlalchemy import Connection, insert

from node.controller.virtual_battery import VirtualBattery
from node.store.tables_control import virtual_battery


def record(connection: Connection, interval: int, together: VirtualBattery, units: int) -> None:
    """Store the virtual battery at an interval's end in the caller's transaction."""
    connection.execute(
        insert(virtual_battery),
        {
            "interval": interval,
            "units": units,
            "p_charge_w": together.p_charge_w,
            "p_discharge_w": together.p_discharge_w,
            "energy_wh": together.energy_wh,
            "room_wh": together.room_wh,
            "duration_s": together.duration_s,
            "efficiency_pu": json.dumps([round(one, 6) for one in together.efficiency_pu.tolist()]),
        },
    )
