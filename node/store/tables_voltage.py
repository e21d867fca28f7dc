"""Tables of the feeder's voltage: what was, and what the twin with its taps at home shows beside it."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, String, Table

from node.store.schema import Amount, metadata

# One row per interval for the day as it was, one for the twin.
voltage_intervals = Table(
    "voltage_intervals",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("is_twin", Boolean, primary_key=True),
    Column("position", Integer, nullable=False),  # of the taps, at the end
    Column("switchings", Integer, nullable=False),  # of the local day so far
    Column("low_pu", Float, nullable=False),  # lowest minute of any customer
    Column("high_pu", Float, nullable=False),
    Column("outside_s", Float, nullable=False),  # customers' time outside the band, summed
    Column("source_wh", Float, nullable=False),  # delivered by the medium-voltage source
    Column("loss_wh", Float, nullable=False),  # of transformer and lines: the network operator's
    Column("load_wh", Float, nullable=False),  # drawn by loads
    Column("solar_wh", Float, nullable=False),  # generated
    Column("curtailed_wh", Float, nullable=False),  # solar that was there and not taken
    Column("stored_wh", Float, nullable=False),  # in all storages at the end
    Column("deferred_wh", Float, nullable=False),  # what thermostats still have to draw at the end
    Column("options", String, nullable=False),  # JSON: per position, power drawn, lowest and highest voltage
)

# Extremes of each connection's minutes.
voltage_nodes = Table(
    "voltage_nodes",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("node", String, primary_key=True),
    Column("is_twin", Boolean, primary_key=True),
    Column("low_pu", Float, nullable=False),
    Column("high_pu", Float, nullable=False),
)

tap_changes = Table(
    "tap_changes",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at_s", Float, nullable=False),
    Column("before", Integer, nullable=False),
    Column("after", Integer, nullable=False),
    Column("reason", String, nullable=False),
)

# What each account's meter would have shown with the taps at home, and been paid for its imbalance.
voltage_accounts = Table(
    "voltage_accounts",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("net_export_milli_wh", BigInteger, nullable=False),
    Column("amount_pico", Amount, nullable=False),
)
