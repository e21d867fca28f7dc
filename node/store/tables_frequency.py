"""Tables of the grid's frequency and what the swarm did about it: fine steps, and telemetry by interval and member."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, String, Table

from node.store.schema import metadata

# Steps in which something was asked for or an incident went on; nothing was asked in between.
frequency_steps = Table(
    "frequency_steps",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("at_ms", Integer, primary_key=True, autoincrement=False),  # after the interval's start
    Column("length_ms", Integer, nullable=False),
    Column("deviation_hz", Float, nullable=False),
    Column("asked_w", Float, nullable=False),  # by the curve, of all that was sold
    Column("given_w", Float, nullable=False),  # beyond the plans
    Column("is_incident", Boolean, nullable=False),
    Column("mode", String, nullable=False),  # standby, grid_support, emergency
    Column("gain_pu", Float, nullable=False),
)

frequency_intervals = Table(
    "frequency_intervals",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("service", String, nullable=False),
    Column("asked_milli_wh", BigInteger, nullable=False),  # either way counted up
    Column("reserve_violations", Integer, nullable=False),  # unit-steps that ended below an owner's reserve
)

frequency_members = Table(
    "frequency_members",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("delivered_milli_wh", BigInteger, nullable=False),  # as asked, either way counted up, by telemetry
)
