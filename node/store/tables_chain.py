"""Tables of the chain: what we send to it, what it told us, and the account states that follow from both."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from node.store.schema import Address20, Amount, Hash32, metadata

# Every transaction we owe the chain, from the plan to finality (node.chain.sender).
outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(32), nullable=False),  # chunk, tariffs, curtailment, ...
    Column("ref", String(64), nullable=False),  # what it is about; (kind, ref) is planned once
    Column("signer", String(32), nullable=False),
    Column("to", Address20),  # none creates a contract
    Column("data", LargeBinary),  # calldata until it is signed; from then on it stands in `raw`
    Column("gas", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("sender", Address20),
    Column("nonce", BigInteger),
    Column("raw", LargeBinary),
    Column("hash", Hash32, unique=True),
    Column("block_number", BigInteger),
    Column("block_hash", Hash32),
    Column("gas_used", BigInteger),
    Column("reason", Text),  # why it reverted
    UniqueConstraint("kind", "ref"),
    UniqueConstraint("sender", "nonce"),
    CheckConstraint(
        "CASE WHEN state = 'planned' THEN data IS NOT NULL ELSE nonce IS NOT NULL AND raw IS NOT NULL END",
        name="bytes",
    ),
    Index("outbox_by_state", "state", "id"),
)

# All that our transactions have offered on a chain that takes fees; bids of one share nonce and payload.
fee_bids = Table(
    "fee_bids",
    metadata,
    Column("outbox_id", ForeignKey("outbox.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("raw", LargeBinary, nullable=False),
    Column("hash", Hash32, nullable=False, unique=True),
    Column("max_fee_per_gas", Amount, nullable=False),  # wei
    Column("max_priority_fee_per_gas", Amount, nullable=False),
    Column("made_at_block", BigInteger, nullable=False),  # head when it was signed
)

# Transactions of others that did what ours wanted, which therefore reverted: anyone may carry in what is signed.
carriers = Table(
    "carriers",
    metadata,
    Column("outbox_id", ForeignKey("outbox.id"), primary_key=True),
    Column("hash", Hash32, nullable=False),
)

# The next nonce of each key that signs for the outbox; only the outbox may use these keys.
nonces = Table(
    "nonces",
    metadata,
    Column("sender", Address20, primary_key=True),
    Column("next", BigInteger, nullable=False),
)

# The canonical blocks we have seen.
blocks = Table(
    "blocks",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", Hash32, nullable=False, unique=True),
    Column("parent", Hash32, nullable=False),
    Column("timestamp_s", BigInteger, nullable=False),
)

chain_events = Table(
    "chain_events",
    metadata,
    Column("block_hash", Hash32, ForeignKey("blocks.hash"), primary_key=True),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("block_number", BigInteger, nullable=False),
    Column("transaction_hash", Hash32, nullable=False),
    Column("contract", Address20, nullable=False),
    Column("name", String(32), nullable=False),
    Column("account", BigInteger),  # whom it is about, where it is about one
    Column("arguments", Text, nullable=False),  # JSON; bytes as 0x..., integers beyond 2**53 as strings
    Index("chain_events_by_block", "block_number", "log_index"),
    Index("chain_events_by_account", "account", "block_number"),
)

# What the Settlement contract holds for each account, by its mined calls and events (node.chain.projection).
chain_accounts = Table(
    "chain_accounts",
    metadata,
    Column("account", BigInteger, primary_key=True, autoincrement=False),
    Column("block_number", BigInteger, nullable=False),  # of the last change
    Column("owner", Address20),
    Column("balance_pico", Amount, nullable=False),
    Column("owed_pico", Amount, nullable=False),
    Column("lanes", BigInteger, nullable=False),
    Column("filled", Integer, nullable=False),
    Column("read", Integer, nullable=False),
    Column("position_milli_wh", BigInteger, nullable=False),
    Column("register_milli_wh", BigInteger, nullable=False),
    Column("parked_milli_wh", Text, nullable=False),  # JSON, by interval
    Column("exit_amount_pico", Amount, nullable=False),
    Column("exit_ready_s", BigInteger, nullable=False),
    Column("exit_last", Integer, nullable=False),
    Column("zone", Integer, nullable=False),
    Column("capacity_milli_wh", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("epoch_since", Integer, nullable=False),
    Column("is_metered", Boolean, nullable=False),
    Column("curtailed_milli_wh", Text, nullable=False),  # JSON, by interval
    Column("curtailed_newest", Integer, nullable=False),
    Column("next_meter_first", Integer, nullable=False),
    Column("next_meter_offset_milli_wh", BigInteger, nullable=False),
)

# One row: how far the projection is, and what the contract keeps beside its accounts.
chain_state = Table(
    "chain_state",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("block_number", BigInteger, nullable=False),
    Column("block_hash", Hash32, nullable=False),
    Column("next_sequence", BigInteger, nullable=False),
    Column("interval", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("prices", Text),  # JSON
    Column("carries", Text, nullable=False),  # JSON: [tag, filled] of sells and of buys
)

chain_tariffs = Table(
    "chain_tariffs",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("block_number", BigInteger, nullable=False),
    Column("tariffs", Text, nullable=False),  # JSON: [short, long] by zone
)

# How to take back a block that is not final yet: rows as they were before it.
chain_undo = Table(
    "chain_undo",
    metadata,
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
    Column("content", Text, nullable=False),  # JSON
)
