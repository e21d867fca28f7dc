"""What the API says and takes. Energy in mWh, prices in micro-credit per kWh, money in pico-credit: integers.

1 credit = 10**12 pico-credit; 1 micro-credit per kWh times 1 mWh is 1 pico-credit exactly. Energies and prices
are signed: net export, and prices may be negative. Times are RFC 3339 in UTC; intervals are half-open.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Hex32 = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$", examples=["0x" + "ab" * 32])]
AddressText = Annotated[str, Field(examples=["0x9Fb4C2d1E0a39c7f6B5A40Df4ee2e2B3a0F5c1d7"])]
Time = Annotated[str, Field(examples=["2026-04-16T10:15:00Z"])]
IntervalIndex = Annotated[int, Field(ge=0, le=2**24 - 1, examples=[1973700])]


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True)


class Participant(Answer):
    """Who takes part: an account is one grid connection."""

    account: int = Field(examples=[2])
    name: str = Field(examples=["Adler"])
    kind: str = Field(examples=["home"])
    node: str = Field(examples=["connection:home-01"])
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
    exposure_pico: int = Field(description="the most that open orders and unread intervals may cost")
    block: int = Field(description="of the account's last change", examples=[61])


class StatementLine(Answer):
    """One account and interval: what it traded, what its meter said, what that came to."""

    interval: IntervalIndex
    start: Time
    end: Time
    sold_milli_wh: int
    bought_milli_wh: int
    traded_pico: int = Field(description="received for fills, fee included; negative: paid")
    metered_milli_wh: int
    imbalance_milli_wh: int = Field(description="after what was forgiven")
    imbalance_pico: int = Field(description="received; negative: paid")
    total_pico: int
    supplier_only_pico: int = Field(
        description="what the supplier alone would have paid or charged (negative)"
    )
    reason: str = Field(
        examples=["sold 1.2 kWh at 16.5 ct; 0.1 kWh less than sold, bought at the supplier's 25.5 ct"]
    )


class OrderIn(BaseModel):
    """An order as its agent signed it (EIP-712, type Order; see `/v1/terms` for the domain)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    account: int = Field(ge=0, le=2**32 - 1, examples=[2])
    epoch: int = Field(description="number of the agent's key", examples=[1])
    is_buy: bool
    lane: int = Field(description="0..31; signing a lane again amends it", examples=[0])
    first: int = Field(description="first interval", examples=[1973760])
    last: int = Field(description="last interval, included", examples=[1973760])
    quantity_milli_wh: int = Field(description="per interval; zero cancels", examples=[500_000])
    limit_micro_per_kwh: int = Field(description="all-in: the fee is inside", examples=[210_000])
    source: Literal["any", "solar", "storage"] = "any"
    signature: str = Field(
        pattern=r"^0x([0-9a-fA-F]{128}|[0-9a-fA-F]{130})$",
        description="r and vs (EIP-2098, 64 bytes), or r, s, v as wallets give it (65 bytes)",
    )


class CancelIn(BaseModel):
    """The signature of the same order with a quantity of zero."""

    model_config = ConfigDict(extra="forbid", strict=True)

    signature: str = Field(pattern=r"^0x([0-9a-fA-F]{128}|[0-9a-fA-F]{130})$")


class Receipt(Answer):
    """The operator's signed word that it received the order."""

    order_hash: Hex32
    sequence: int = Field(description="place in the queue of all orders", examples=[7301])
    received_at: Time
    signature: str = Field(
        description="of Receipt(bytes32 order,uint64 sequence,uint64 receivedAt), r and vs"
    )


class Order(Answer):
    """An order in the hub's store."""

    hash: Hex32
    sequence: int
    account: int
    epoch: int
    is_buy: bool
    lane: int
    first: int
    last: int
    quantity_milli_wh: int
    limit_micro_per_kwh: int
    received_at: Time
    signature: str


class Fill(Answer):
    """What a round gave an order."""

    interval: IntervalIndex
    start: Time
    round: int = Field(description="0 is the day-ahead round")
    sequence: int = Field(description="of the order")
    account: int
    is_buy: bool
    quantity_milli_wh: int
    price_micro_per_kwh: int = Field(description="before the fee")
    amount_pico: int = Field(description="received, fee included; negative: paid")


class Trade(Answer):
    """Two fills paired for people to look at; money is settled on fills."""

    interval: IntervalIndex
    start: Time
    round: int
    number: int
    buyer: int
    seller: int
    quantity_milli_wh: int
    price_micro_per_kwh: int


class Interval(Answer):
    """One delivery interval: what its rounds did, and the supplier's tariff."""

    interval: IntervalIndex
    start: Time
    end: Time
    rounds: list["Round"]
    short_micro_per_kwh: int | None = Field(description="supplier's price for what is missing")
    long_micro_per_kwh: int | None = Field(description="supplier's price for what is too much")


class Round(Answer):
    """One auction of an interval."""

    round: int
    cleared_at: Time
    price_micro_per_kwh: int | None
    low_micro_per_kwh: int | None
    high_micro_per_kwh: int | None
    volume_milli_wh: int
    n_orders: int
    book_root: Hex32


class BookLevel(Answer):
    """An order of a book, without its owner."""

    is_buy: bool
    limit_micro_per_kwh: int
    quantity_milli_wh: int


class Book(Answer):
    """The orders that one auction saw."""

    interval: IntervalIndex
    round: int
    price_micro_per_kwh: int | None
    volume_milli_wh: int
    orders: list[BookLevel]


class Device(Answer):
    """A device with its newest state and the reason of its last setpoint."""

    id: int
    name: str
    account: int
    kind: str
    node: str
    parameters: dict[str, Any]
    energy_wh: float | None = Field(description="stored; none for what stores nothing")
    mean_power_w: float | None = Field(description="of the newest interval; > 0 injects")
    setpoint_w: float | None
    setpoint_at: Time | None
    reason: str | None = Field(examples=["corrects the forecast error of the account in this interval"])


class GridEvent(Answer):
    """A flexibility event and what became of it."""

    name: str
    chain_id: int | None = Field(description="number in RevenueSplit")
    start: Time
    end: Time
    requested_w: int
    revenue_pico: int
    state: str
    baseline_root: Hex32
    members: list["EventMember"]


class EventMember(Answer):
    """One member's part in an event."""

    account: int
    baseline_milli_wh: int
    contribution_milli_wh: int | None
    paid_pico: int | None


class ChainStatus(Answer):
    """The chain, as far as it has been taken in."""

    chain_id: int
    height: int
    block_hash: Hex32
    settlement: AddressText
    token: AddressText
    revenue_split: AddressText
    next_sequence: int = Field(description="of the next settlement chunk")
    open_transactions: int
    differences: list[str] = Field(description="between store and chain; empty is right")


class Terms(Answer):
    """What an agent must know to trade here."""

    now: Time = Field(description="the market's clock")
    interval: IntervalIndex
    interval_s: int
    fee_micro_per_kwh: int
    price_cap_micro_per_kwh: int
    horizon_intervals: int
    gate_lead_s: int
    chain_id: int
    verifying_contract: AddressText
    domain_name: str = "Settlement"
    domain_version: str = "1"
    order_type: str
