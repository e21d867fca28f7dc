"""What the API says about price zones: the zones, their prices and tariffs, and quotes."""

from pydantic import Field

from node.api.schema_types import Answer, IntervalIndex, Time


class Zone(Answer):
    """A price zone and its edge to the parent's zone; where all trade at one price there is zone 0 alone."""

    zone: int = Field(examples=[1])
    node: str | None = Field(
        description="of the network; null where all trade at one price", examples=["street"]
    )
    parent: int | None = Field(description="zone; null at the root", examples=[0])
    import_cap_milli_wh: int | None = Field(description="per interval, from the parent", examples=[4_312_500])
    export_cap_milli_wh: int | None = Field(description="per interval, to the parent", examples=[4_312_500])
    fee_micro_per_kwh: int = Field(description="grid fee on what crosses the edge", examples=[3_000])


class Quote(Answer):
    """What a trade would come to as far as one can tell before its auction: no promise.

    The grid fee by distance is inside the zone's price. Levies on metered import are collected outside the market.
    """

    account: int = Field(examples=[2])
    zone: int = Field(examples=[1])
    interval: IntervalIndex
    start: Time
    is_buy: bool = Field(examples=[True])
    quantity_milli_wh: int = Field(examples=[500_000])
    basis: str = Field(examples=["price of round 0 of this interval"])
    price_micro_per_kwh: int | None = Field(
        description="of the zone, before the fee; null where nobody has traded yet", examples=[165_000]
    )
    fee_micro_per_kwh: int = Field(description="the operator's, paid by either side", examples=[2_500])
    all_in_micro_per_kwh: int | None = Field(
        description="buyer pays: price + fee; seller receives: price - fee", examples=[167_500]
    )
    amount_pico: int | None = Field(description="received; negative: paid", examples=[-83_750_000_000])
    levies_micro_per_kwh: int = Field(
        description="due on top on metered import, whoever sold it; a storage's on what it does not feed back",
        examples=[237_000],
    )
    supplier_micro_per_kwh: int = Field(
        description="the same energy from, or to, the supplier", examples=[255_000]
    )
    supplier_pico: int = Field(description="the same energy's amount there", examples=[-127_500_000_000])


class ZoneTariff(Answer):
    """What imbalance costs in a zone."""

    short_micro_per_kwh: int = Field(examples=[255_000])
    long_micro_per_kwh: int = Field(examples=[78_600])
    is_island: bool = Field(description="the zone's own prices: the supplier was away", examples=[False])


class ZonePrice(Answer):
    """What a round came to in one zone."""

    zone: int = Field(examples=[0])
    price_micro_per_kwh: int | None = Field(
        description="before the fee; null where nothing crossed", examples=[165_000]
    )
