"""The table of timeslots: runs of intervals that are traded as one, as they were announced."""

from sqlalchemy import BigInteger, Column, Float, Integer, Table

from node.store.schema import metadata

timeslots = Table(
    "timeslots",
    metadata,
    Column("first", Integer, primary_key=True, autoincrement=False),
    Column("last", Integer, nullable=False),
    Column("announced_at_s", BigInteger, nullable=False),
    Column("gate_s", BigInteger, nullable=False),  # first gate that closes for it
    Column("price_spread_pu", Float, nullable=False),  # expected inside it, over the day's mean
    Column("demand_spread_pu", Float, nullable=False),
)
