"""Tables of what the devices and the controller did: floats in SI units, one row per device and interval."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
)

from node.store.schema import metadata

devices = Table(
    "devices",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # its row in the fleet
    Column("name", String, nullable=False, unique=True),
    Column("account", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("node", String, nullable=False),
    Column("parameters", String, nullable=False),  # JSON, for people
)

device_intervals = Table(
    "device_intervals",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("terminal_wh", Float, nullable=False),  # net export at its AC terminal
    Column("source_wh", Float, nullable=False),  # generated
    Column("sink_wh", Float, nullable=False),  # load served
    Column("stored_delta_wh", Float, nullable=False),
    Column("loss_wh", Float, nullable=False),
    Column("curtailed_wh", Float, nullable=False),  # available and not taken
    Column("unserved_wh", Float, nullable=False),  # wanted and not served
    Column("energy_wh", Float, nullable=False),  # stored at the end; a generator's: fuel in its tank
    Index("device_intervals_by_device", "device", "interval"),
    sqlite_with_rowid=False,
)

setpoints = Table(
    "setpoints",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("device", ForeignKey("devices.id"), nullable=False),
    Column("interval", Integer, nullable=False),
    Column("at_s", Float, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("p_w", Float, nullable=False),
    Column("expires_s", Float, nullable=False),
    Column("reason", String, nullable=False),
    Index("setpoints_by_device", "device", "id"),
    Index("setpoints_by_interval", "interval"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("name", String, primary_key=True),
    Column("parent", String),
    Column("import_cap_w", Float, nullable=False),
    Column("export_cap_w", Float, nullable=False),
)

node_intervals = Table(
    "node_intervals",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("node", ForeignKey("nodes.name"), primary_key=True),
    Column("peak_import_w", Float, nullable=False),
    Column("peak_export_w", Float, nullable=False),
    Column("is_import_binding", Boolean, nullable=False),
    Column("is_export_binding", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

# What the health monitor found, each cause of a device once, with the interval after which it was found.
alerts = Table(
    "alerts",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("cause", String, primary_key=True),
)

# Takeovers of control and lost supplies, in the order they happened.
incidents = Table(
    "incidents",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at_s", Float, nullable=False),
    Column("kind", String, nullable=False),  # takeover, supply_failed, supply_back
    Column("subject", String, nullable=False),  # fencing number of the new controller, or a node
)

# Energy that accounts' storages gave beyond their own need, and who needed it; accounts with neither have no row.
loans = Table(
    "loans",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("lent_wh", Float, nullable=False),
    Column("borrowed_wh", Float, nullable=False),
)

# What each account's meter would have shown without the market (node/world/reference).
reference_intervals = Table(
    "reference_intervals",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("net_export_milli_wh", BigInteger, nullable=False),
    Column("stored_wh", Float, nullable=False),  # at the end, in all the account's storages
    sqlite_with_rowid=False,
)

# What a restarted simulation continues from, each with the interval at whose end it was taken.
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("name", String, primary_key=True),  # world, meters, plan, reference, health
    Column("interval", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
