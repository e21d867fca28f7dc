"""Tables of the controller itself: how often it decided, and what all lenders could do together as one battery."""

from sqlalchemy import Column, Float, Integer, String, Table

from node.store.schema import metadata

control_intervals = Table(
    "control_intervals",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("periods", Integer, nullable=False),  # of 10 to 100 ms, while something moved
    Column("coasts", Integer, nullable=False),  # longer steps in which nothing did
    Column("tie_switches", Integer, nullable=False),  # beginnings and ends of help over ties
)

# Of storages that lend and are fit, at the interval's end; a community without any has no rows.
virtual_battery = Table(
    "virtual_battery",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("units", Integer, nullable=False),
    Column("p_charge_w", Float, nullable=False),  # what all can hold for an interval
    Column("p_discharge_w", Float, nullable=False),
    Column("energy_wh", Float, nullable=False),  # in the stores, above every owner's reserve
    Column("room_wh", Float, nullable=False),
    Column("duration_s", Float, nullable=False),  # how long p_discharge_w lasts
    Column("efficiency_pu", String, nullable=False),  # JSON: at the loads in node/controller/virtual_battery
)
