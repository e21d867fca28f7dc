"""Tables of tied racks: overloads foreseen or not, transfers over the ties, and what is owed for them."""

from sqlalchemy import Column, Float, Integer, String, Table

from node.store.schema import metadata

# A load step in which a rack drew more than its feed carries, or was expected to.
overloads = Table(
    "overloads",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("at_s", Float, primary_key=True),
    Column("first_s", Float),  # since when it was predicted; null: it was not
    Column("predicted_w", Float),  # upper edge of the last prediction before it
    Column("load_w", Float, nullable=False),
    Column("limit_w", Float, nullable=False),
)

# Energy that one rack's storages gave another, or got back, without a pause inside an interval.
transfers = Table(
    "transfers",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),  # help, give_back
    Column("source", Integer, nullable=False),  # account
    Column("target", Integer, nullable=False),
    Column("start_s", Float, nullable=False),
    Column("end_s", Float, nullable=False),
    Column("given_wh", Float, nullable=False),  # at the source's terminal
    Column("arrived_wh", Float, nullable=False),  # at the target's
    Column("expected_w", Float),  # load that help began for; null when given back
    Column("for_s", Float),  # the step it was expected in
)

# What borrowers owe lenders for transfers, in the lender's storage; a pair without a change has no row.
debts = Table(
    "debts",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("borrower", Integer, primary_key=True, autoincrement=False),
    Column("lender", Integer, primary_key=True, autoincrement=False),
    Column("lent_wh", Float, nullable=False),
    Column("returned_wh", Float, nullable=False),
    Column("owed_wh", Float, nullable=False),  # at the interval's end
)
