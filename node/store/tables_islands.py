"""Tables of parts of the network that were cut off: who led them, whom they served, their voltage and frequency."""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, String, Table

from node.store.schema import metadata

# One row per microgrid and interval in which it was cut off for a while.
island_intervals = Table(
    "island_intervals",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("node", String, primary_key=True),
    Column("phase", String, nullable=False),  # at the end
    Column("leader", Integer),  # account at the end, none if nobody led
    Column("term", BigInteger, nullable=False),  # as people count: 1, 2, 3
    Column("cut_s", Float, nullable=False),
    Column("usable_wh", Float, nullable=False),  # above floor and black-start reserve, at the end
)

# What loads wanted and got while their part was cut off.
island_services = Table(
    "island_services",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("node", String, primary_key=True),
    Column("priority", String, primary_key=True),
    Column("wanted_wh", Float, nullable=False),
    Column("served_wh", Float, nullable=False),
)

# Voltage and frequency over spans that end at `at_s`; fine where something moved, coarse where nothing did.
island_samples = Table(
    "island_samples",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("interval", Integer, nullable=False),
    Column("node", String, nullable=False),
    Column("at_s", Float, nullable=False),
    Column("phase", String, nullable=False),
    Column("f_min_hz", Float, nullable=False),
    Column("f_max_hz", Float, nullable=False),
    Column("v_min_pu", Float, nullable=False),
    Column("v_max_pu", Float, nullable=False),
    Column("load_w", Float, nullable=False),  # drawn from the forming storages, inrush included
    Column("usable_wh", Float, nullable=False),
    Index("island_samples_by_node", "node", "interval"),
)
