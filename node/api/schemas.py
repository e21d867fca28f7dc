"""What the API says and takes. Energy in mWh, prices in micro-credit per kWh, money in pico-credit: integers.

1 credit = 10**12 pico-credit; 1 micro-credit per kWh times 1 mWh is 1 pico-credit exactly. Energies and prices
are signed: net export, and prices may be negative. Times are RFC 3339 in UTC; intervals are half-open.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from node.api.schema_types import AddressText, Answer, CompactText, Hex32, IntervalIndex, SignatureText, Time
from node.api.schemas_zones import ZonePrice, ZoneTariff


class Participant(Answer):
    """Who takes part: an account is one grid connection."""

    account: int = Field(examples=[2])
    name: str = Field(examples=["Adler"])
    kind: str = Field(examples=["home"])
    node: str = Field(examples=["connection:home-01"])
    zone: int = Field(description="price zone", examples=[0])
    group: int = Field(description="its group's number; 0: none", examples=[1])
    sources: list[Literal["solar", "storage"]] = Field(
        description="what it can sell from", examples=[["solar"]]
    )
    capacity_milli_wh: int = Field(description="per interval, either way", examples=[4312500])
    owner: AddressText
    agent: AddressText
    meter: AddressText


class Balance(Answer):
    """What the Settlement contract holds for an account, as of a block."""

    account: int = Field(examples=[2])
    balance_pico: int = Field(examples=[99_120_331_000_000])
    owed_pico: int = Field(
        description="by the account to the supplier; negative: to the account", examples=[0]
    )
    exit_pico: int = Field(description="on its way out", examples=[0])
    position_milli_wh: int = Field(description="sold - bought, newest interval, until read", examples=[0])
    register_milli_wh: int = Field(description="cumulative export - import", examples=[-4_120_334])
    read_interval: int = Field(examples=[1973700])
    exposure_pico: int = Field(
        description="the most that open orders and unread intervals may cost", examples=[1_099_687_500_000]
    )
    block: int = Field(description="of the account's last change", examples=[61])


class StatementLine(Answer):
    """One account and interval: what it traded, what its meter said, what that came to."""

    interval: IntervalIndex
    start: Time
    end: Time
    sold_milli_wh: int = Field(examples=[1_200_000])
    bought_milli_wh: int = Field(examples=[0])
    traded_pico: int = Field(
        description="received for fills, fee included; negative: paid", examples=[198_000_000_000]
    )
    metered_milli_wh: int = Field(description="export - import", examples=[1_100_000])
    imbalance_milli_wh: int = Field(description="after what was forgiven", examples=[-100_000])
    imbalance_pico: int = Field(description="received; negative: paid", examples=[-25_500_000_000])
    total_pico: int = Field(description="traded_pico + imbalance_pico", examples=[172_500_000_000])
    supplier_only_pico: int = Field(
        description="what the supplier alone would have paid or charged (negative)",
        examples=[86_460_000_000],
    )
    reason: str = Field(
        examples=[
            "sold 1.200 kWh (16.50 ct/kWh with the fee); "
            "0.100 kWh missing, bought from the supplier at 25.50 ct/kWh"
        ]
    )


class OrderIn(BaseModel):
    """An order as its agent signed it (EIP-712, type Order; see `/v1/terms` for the domain).

    Beside what is signed stands a wish (`source`, `partner`, `group`) for pairing. It changes neither fill nor
    price, so it needs no signature; what nobody here could meet is refused.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    account: int = Field(ge=0, le=2**32 - 1, examples=[2])
    epoch: int = Field(description="number of the agent's key", examples=[1])
    is_buy: bool = Field(examples=[True])
    lane: int = Field(description="0..31; signing a lane again amends it", examples=[0])
    first: int = Field(description="first interval", examples=[1973760])
    last: int = Field(description="last interval, included", examples=[1973760])
    quantity_milli_wh: int = Field(description="per interval; zero cancels", examples=[500_000])
    limit_micro_per_kwh: int = Field(description="all-in: the fee is inside", examples=[210_000])
    source: Literal["any", "solar", "storage"] = Field(
        default="any", description="a bid would like it, an offer delivers from it", examples=["solar"]
    )
    partner: int = Field(default=0, description="account it would like to trade with; 0: none", examples=[3])
    group: int = Field(default=0, description="group it would like to trade within; 0: none", examples=[0])
    signature: SignatureText


class CancelIn(BaseModel):
    """The signature of the same order with a quantity of zero."""

    model_config = ConfigDict(extra="forbid", strict=True)

    signature: SignatureText
    limit_micro_per_kwh: int | None = Field(
        default=None, description="if it was signed with another limit than the order's", examples=[210_001]
    )


class Receipt(Answer):
    """The operator's signed word that it received the order."""

    order_hash: Hex32
    sequence: int = Field(description="place in the queue of all orders", examples=[7301])
    received_at: Time
    signature: CompactText = Field(
        description="of Receipt(bytes32 order,uint64 sequence,uint64 receivedAt), r and vs"
    )


class Order(Answer):
    """An order in the hub's store."""

    hash: Hex32
    sequence: int = Field(description="place in the queue of all orders", examples=[7301])
    account: int = Field(examples=[2])
    epoch: int = Field(examples=[1])
    is_buy: bool = Field(examples=[True])
    lane: int = Field(examples=[0])
    first: IntervalIndex
    last: IntervalIndex
    quantity_milli_wh: int = Field(description="per interval; zero: a cancel", examples=[500_000])
    limit_micro_per_kwh: int = Field(description="all-in: the fee is inside", examples=[210_000])
    source: Literal["any", "solar", "storage"] = Field(
        description="a bid would like it, an offer delivers from it", examples=["solar"]
    )
    partner: int = Field(description="account it would like to trade with; 0: none", examples=[3])
    group: int = Field(description="group it would like to trade within; 0: none", examples=[0])
    received_at: Time
    signature: CompactText = Field(description="the agent's, r and vs")
    receipt: CompactText = Field(description="the operator's signature of the receipt, r and vs")


class Fill(Answer):
    """What a round gave an order."""

    interval: IntervalIndex
    start: Time
    round: int = Field(description="0 is the day-ahead round", examples=[0])
    sequence: int = Field(description="of the order", examples=[7301])
    account: int = Field(examples=[2])
    is_buy: bool = Field(examples=[True])
    quantity_milli_wh: int = Field(examples=[500_000])
    price_micro_per_kwh: int = Field(description="of the account's zone, before the fee", examples=[165_000])
    all_in_micro_per_kwh: int = Field(
        description="buyer paid: price + fee; seller received: price - fee", examples=[167_500]
    )
    amount_pico: int = Field(description="received, fee included; negative: paid", examples=[-83_750_000_000])


class Trade(Answer):
    """Two fills paired for people to look at; money is settled on fills."""

    interval: IntervalIndex
    start: Time
    round: int = Field(examples=[0])
    number: int = Field(description="within the round", examples=[0])
    buyer: int = Field(description="account", examples=[2])
    seller: int = Field(description="account", examples=[3])
    quantity_milli_wh: int = Field(examples=[500_000])
    price_micro_per_kwh: int = Field(description="of the buyer's zone, before the fee", examples=[165_000])
    source: Literal["any", "solar", "storage"] = Field(
        description="what the offer delivers from; any: not known", examples=["solar"]
    )
    met: str = Field(description="why these two: whose wish it was, or nearest", examples=["buyers_partner"])


class Interval(Answer):
    """One delivery interval: what its rounds did, and the supplier's tariff."""

    interval: IntervalIndex
    start: Time
    end: Time
    rounds: list["Round"]
    short_micro_per_kwh: int | None = Field(
        description="supplier's price for what is missing; null before delivery", examples=[255_000]
    )
    long_micro_per_kwh: int | None = Field(
        description="supplier's price for what is too much; null before delivery", examples=[78_600]
    )
    zones: list[ZoneTariff] = Field(description="tariff of every zone by number; empty before delivery")


class Round(Answer):
    """One auction of an interval."""

    round: int = Field(examples=[0])
    cleared_at: Time
    price_micro_per_kwh: int | None = Field(description="null where nothing crossed", examples=[165_000])
    low_micro_per_kwh: int | None = Field(
        description="every price from here to `high` clears the same fills", examples=[160_000]
    )
    high_micro_per_kwh: int | None = Field(examples=[170_000])
    zones: list[ZonePrice] = Field(description="price of every zone by number")
    volume_milli_wh: int = Field(examples=[4_200_000])
    n_orders: int = Field(description="that the auction saw", examples=[37])
    book_root: Hex32 = Field(description="keccak256 over the order hashes in tie order")


class BookLevel(Answer):
    """An order of a book, without its owner."""

    is_buy: bool = Field(examples=[True])
    limit_micro_per_kwh: int = Field(examples=[210_000])
    quantity_milli_wh: int = Field(examples=[500_000])


class Book(Answer):
    """The orders that one auction saw."""

    interval: IntervalIndex
    round: int = Field(examples=[0])
    price_micro_per_kwh: int | None = Field(examples=[165_000])
    volume_milli_wh: int = Field(examples=[4_200_000])
    orders: list[BookLevel]


class Device(Answer):
    """A device with its newest state and the reason of its last setpoint."""

    id: int = Field(examples=[7])
    name: str = Field(examples=["adler/battery"])
    account: int = Field(examples=[2])
    kind: str = Field(examples=["battery"])
    node: str = Field(examples=["connection:adler"])
    parameters: dict[str, Any] = Field(
        description="with units in their names", examples=[{"capacity_wh": 8000.0, "p_charge_max_w": 4000.0}]
    )
    energy_wh: float | None = Field(
        description="stored, or fuel in a tank; null if neither", examples=[5120.4]
    )
    mean_power_w: float | None = Field(description="of the newest interval; > 0 injects", examples=[-1250.0])
    setpoint_w: float | None = Field(description="the last one; > 0 injects", examples=[-1250.0])
    setpoint_at: Time | None
    reason: str | None = Field(examples=["corrects the forecast error of the account in this interval"])


class GridEvent(Answer):
    """A flexibility event and what became of it."""

    name: str = Field(examples=["evening"])
    chain_id: int | None = Field(description="number in RevenueSplit", examples=[1])
    start: Time
    end: Time
    requested_w: int = Field(examples=[6_000])
    revenue_pico: int = Field(description="what the buyer pays for it", examples=[6_000_000_000_000])
    state: str = Field(description="opened, recorded, paid or refunded", examples=["paid"])
    baseline_root: Hex32 = Field(description="of the members' baselines, on chain before the event")
    members: list["EventMember"]


class EventMember(Answer):
    """One member's part in an event."""

    account: int = Field(examples=[2])
    baseline_milli_wh: int = Field(description="expected net export during the event", examples=[-420_000])
    contribution_milli_wh: int | None = Field(
        description="metered less baseline, where positive; null before the end", examples=[1_310_000]
    )
    paid_pico: int | None = Field(examples=[750_000_000_000])


class ChainStatus(Answer):
    """The chain, as far as it has been taken in."""

    chain_id: int = Field(examples=[1848])
    height: int = Field(description="newest block taken in", examples=[214])
    block_hash: Hex32
    settlement: AddressText
    token: AddressText
    revenue_split: AddressText
    next_sequence: int = Field(description="of the next settlement chunk", examples=[192])
    open_transactions: int = Field(description="sent or planned, not final", examples=[0])
    differences: list[str] = Field(description="between store and chain; empty is right", examples=[[]])


class Terms(Answer):
    """What an agent must know to trade here."""

    now: Time = Field(description="the market's clock")
    interval: IntervalIndex
    interval_s: int = Field(examples=[900])
    fee_micro_per_kwh: int = Field(description="each side pays it", examples=[2_500])
    price_cap_micro_per_kwh: int = Field(description="of limits, either sign", examples=[1_000_000])
    horizon_intervals: int = Field(description="how far ahead an order may reach", examples=[160])
    gate_lead_s: int = Field(description="the last gate closes so long before the interval", examples=[300])
    chain_id: int = Field(examples=[1848])
    verifying_contract: AddressText
    domain_name: str = Field(default="Settlement", examples=["Settlement"])
    domain_version: str = Field(default="1", examples=["1"])
    order_type: str = Field(
        description="EIP-712",
        examples=[
            "Order(uint32 account,uint24 epoch,bool buy,uint8 lane,uint24 first,uint24 last,"
            "uint40 quantity,int64 limit)"
        ],
    )


class Health(Answer):
    """Alive, or ready to take orders."""

    status: str = Field(examples=["ready"])


class Incident(Answer):
    """Something that happened to supply, control or voltage."""

    interval: int = Field(examples=[986_000])
    at: Time
    kind: str = Field(
        description="supply_failed, leader_elected, island_formed, ...", examples=["leader_elected"]
    )
    subject: str = Field(description="the node, or node and details", examples=["street: account 4 term 1"])


class Island(Answer):
    """A part of the network in an interval in which it was cut off for a while."""

    interval: int = Field(examples=[986_000])
    node: str = Field(examples=["street"])
    phase: str = Field(description="at the interval's end", examples=["islanded"])
    leader: int | None = Field(description="account that led at the end", examples=[4])
    term: int = Field(description="of the leader", examples=[1])
    cut_s: float = Field(description="seconds without the grid", examples=[900.0])
    usable_wh: float = Field(
        description="above floor and black-start reserve, at the end", examples=[12_000.0]
    )
    services: list["IslandService"]


class IslandService(Answer):
    """What loads of one priority wanted and got while cut off, Wh."""

    priority: str = Field(examples=["critical"])
    wanted_wh: float = Field(examples=[800.0])
    served_wh: float = Field(examples=[800.0])
