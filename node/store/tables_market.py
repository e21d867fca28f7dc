"""Tables of the market: who takes part, what was ordered, cleared, metered and charged.

Energy is in mWh, prices in micro-credit per kWh, money in pico-credit (`Amount`: more than 64 bits), times
in unix seconds, intervals by index. Nothing here is a float.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from node.store.schema import Address20, Amount, FixedBytes, Hash32, metadata

# What this database belongs to: written once, compared at every start (scenario, chain, contracts, seed).
meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)

participants = Table(
    "participants",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("owner", Address20, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("account", Integer, primary_key=True, autoincrement=False),  # its number on chain
    Column("participant_id", ForeignKey("participants.id")),
    Column("agent", Address20, nullable=False),  # address that signs its orders
    Column("meter", Address20, nullable=False),  # address that signs its readings
    Column("epoch", Integer, nullable=False),
    Column("zone", Integer, nullable=False),
    Column("node", String, nullable=False),  # where it hangs in the network tree
    Column("capacity_milli_wh", BigInteger, nullable=False),  # per interval, either way
    Column("member_of", Integer, nullable=False, default=0),  # its group, 0 = none
    Column("sources", Integer, nullable=False, default=0),  # what it can sell from: sum of 1 << Source
)

# Groups of accounts that may wish to trade among themselves: clubs, buildings, families.
groups = Table(
    "groups",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String, nullable=False, unique=True),
)

# Price zones of a network auction; none where all trade at one price.
zones = Table(
    "zones",
    metadata,
    Column("zone", Integer, primary_key=True, autoincrement=False),
    Column("node", String, nullable=False),
    Column("parent", Integer, nullable=False),  # zone; -1 for the root
    Column("import_cap_milli_wh", BigInteger, nullable=False),  # per interval, from the parent
    Column("export_cap_milli_wh", BigInteger, nullable=False),
    Column("fee_micro_per_kwh", BigInteger, nullable=False),  # of the edge to the parent
)

# Written by the hundred thousand: bytes go in as they are, lengths were checked at the door.
orders = Table(
    "orders",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),  # of arrival
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    Column("account", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("is_buy", Boolean, nullable=False),
    Column("lane", Integer, nullable=False),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    Column("quantity_milli_wh", BigInteger, nullable=False),
    Column("limit_micro_per_kwh", BigInteger, nullable=False),
    # The wish beside the signed order, for pairing; 0 = none.
    Column("source", Integer, nullable=False),  # a bid would like it, an offer delivers from it
    Column("partner", Integer, nullable=False, default=0),  # account
    Column("group", Integer, nullable=False, default=0),
    Column("signature", LargeBinary(64), nullable=False),  # r, vs (EIP-2098)
    Column("received_at_s", BigInteger, nullable=False),
    Column("receipt", LargeBinary(64), nullable=False),  # the operator's signature
    Index("orders_by_account", "account", "first"),
    Index("orders_by_last", "last"),
)

order_refusals = Table(
    "order_refusals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at_s", BigInteger, nullable=False),
    Column("account", BigInteger, nullable=False),
    Column("hash", Hash32, nullable=False),
    Column("reason", String, nullable=False),
    Column("detail", String, nullable=False),
)

rounds = Table(
    "rounds",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("cleared_at_s", BigInteger, nullable=False),
    Column("n_orders", Integer, nullable=False),
    Column("volume_milli_wh", BigInteger, nullable=False),
    Column("next_sequence", BigInteger, nullable=False),  # orders before it have had their round
    Column("book_root", Hash32, nullable=False),
    Column("cut_zones", BigInteger, nullable=False, default=0),  # bit z: zone z was cut off from its parent
)

prices = Table(
    "prices",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("zone", Integer, primary_key=True, autoincrement=False),
    Column("price_micro_per_kwh", BigInteger),  # none where nothing crossed
    Column("low_micro_per_kwh", BigInteger),  # every price in low..high clears the same fills
    Column("high_micro_per_kwh", BigInteger),
)

fills = Table(
    "fills",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("sequence", ForeignKey("orders.sequence"), primary_key=True),
    Column("account", Integer, nullable=False),
    Column("is_buy", Boolean, nullable=False),
    Column("lane", Integer, nullable=False),
    Column("quantity_milli_wh", BigInteger, nullable=False),
    Column("price_micro_per_kwh", BigInteger, nullable=False),  # of the account's zone, before the fee
    Column("amount_pico", Amount, nullable=False),  # received, fee included; negative for a buyer
    Index("fills_by_account", "account", "interval"),
    sqlite_with_rowid=False,
)

# What of fills did not reach the chain within its fill window: void, and settled as imbalance (hub/voiding).
voided_fills = Table(
    "voided_fills",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("sequence", ForeignKey("orders.sequence"), primary_key=True),
    Column("account", Integer, nullable=False),
    Column("is_buy", Boolean, nullable=False),
    Column("lane", Integer, nullable=False),
    Column("quantity_milli_wh", BigInteger, nullable=False),
    Column("price_micro_per_kwh", BigInteger, nullable=False),
    Column("amount_pico", Amount, nullable=False),  # that was not received; negative for a buyer
)

# Bundles whose rows have changed since they were committed to: what was said then is published (audit/publishing).
kept_bundles = Table(
    "kept_bundles",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)

trades = Table(
    "trades",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("buyer", Integer, nullable=False),
    Column("seller", Integer, nullable=False),
    Column("quantity_milli_wh", BigInteger, nullable=False),
    Column("price_micro_per_kwh", BigInteger, nullable=False),
    Column("met_at", Integer, nullable=False),  # row of the network's node below which both are
    Column("met", Integer, nullable=False),  # market.pairing.Met: whose wish paired them
    Column("source", Integer, nullable=False),  # what the offer delivers from, 0 = not known
    Index("trades_by_buyer", "buyer"),
    Index("trades_by_seller", "seller"),
    sqlite_with_rowid=False,
)

tariffs = Table(
    "tariffs",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("zone", Integer, primary_key=True, autoincrement=False),
    Column("short_micro_per_kwh", BigInteger, nullable=False),  # paid for what is missing
    Column("long_micro_per_kwh", BigInteger, nullable=False),  # received for what is too much
    Column(
        "is_island", Boolean, nullable=False, default=False
    ),  # the zone's own prices, the supplier being away
)

readings = Table(
    "readings",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("register_milli_wh", BigInteger, nullable=False),  # cumulative export - import
    Column("is_substitute", Boolean, nullable=False),
    Column("signature", FixedBytes(64), nullable=False),
    Column("received_at_s", BigInteger, nullable=False),
    # The interval with whose settlement it goes on chain: its own, or a later one where readings before it were
    # missing; none as long as it waits for them.
    Column("settled_in", Integer, index=True),
    Index("readings_by_account", "account", "interval"),
    sqlite_with_rowid=False,
)

# Readings that the registrar signed instead of a meter (hub/late_readings).
substitutes = Table(
    "substitutes",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("reason", String, nullable=False),
    Column("expected_import_milli_wh", BigInteger, nullable=False),
    Column("told_register_milli_wh", BigInteger),  # what the meter showed, if it told
)

# Readings that others brought in on chain past the hub, and which the hub took over (hub/carried_readings).
carried_readings = Table(
    "carried_readings",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("register_milli_wh", BigInteger, nullable=False),  # as the chain has it
    Column("known_register_milli_wh", BigInteger),  # what the hub had, if anything
    Column("taken_over_in", Integer, nullable=False),  # interval with whose settlement it counts
)

curtailments = Table(
    "curtailments",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("quantity_milli_wh", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    Column("signature", FixedBytes(64), nullable=False),
)

# Curtailments that came after their interval was read: nothing is forgiven (hub/voiding).
voided_curtailments = Table(
    "voided_curtailments",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("quantity_milli_wh", BigInteger, nullable=False),
)

imbalances = Table(
    "imbalances",
    metadata,
    Column("interval", Integer, primary_key=True, autoincrement=False),
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("position_milli_wh", BigInteger, nullable=False),  # sold - bought
    Column("metered_milli_wh", BigInteger, nullable=False),  # change of the register
    Column("imbalance_milli_wh", BigInteger, nullable=False),  # after what was forgiven
    Column("amount_pico", Amount, nullable=False),  # received; negative when paid
    Column("settled_in", Integer, nullable=False, index=True),  # as its reading
    sqlite_with_rowid=False,
)

# What one settlement transaction holds; its calldata and fate are in the outbox.
chunks = Table(
    "chunks",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("interval", Integer, nullable=False, index=True),
    Column("round", Integer, nullable=False),
    Column("n_fills", Integer, nullable=False),
    Column("n_readings", Integer, nullable=False),
    Column("outbox_id", BigInteger, nullable=False),
)

flex_events = Table(
    "flex_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("chain_id", Integer),  # its number in RevenueSplit, once opened
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    Column("requested_w", BigInteger, nullable=False),
    Column("revenue_pico", Amount, nullable=False),
    Column("root", Hash32, nullable=False),  # of the baselines
    Column("state", String, nullable=False),  # planned, opened, recorded, paid, refunded
    Column("split", String, nullable=False),  # contract, or how its buyer itself splits it: pro_rata, shapley
    Column("score_ppm", Integer),  # how well a frequency service was delivered, in millionths
)

flex_members = Table(
    "flex_members",
    metadata,
    Column("event_id", ForeignKey("flex_events.id"), primary_key=True),
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("baseline_milli_wh", BigInteger, nullable=False),  # expected net export during the event
    Column("reserved_milli_wh", BigInteger),  # power sold as reserve, times the service's length
    Column("contribution_milli_wh", BigInteger),  # metered less baseline, where positive; or by telemetry
    Column("due_pico", Amount),  # what a buyer that splits itself owes
    Column("paid_pico", Amount),
)
