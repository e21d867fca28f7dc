"""The records of an interval's bundle: one dataclass a kind of line, and the order in which kinds stand.

Fields have the names of the store's columns. `key` names what tells lines of a kind apart, and sorts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NewType

Pico = NewType("Pico", int)


@dataclass(frozen=True, slots=True)
class Head:
    """Which interval of which contract this is."""

    key: ClassVar[tuple[str, ...]] = ()
    format: int
    interval: int
    chain_id: int
    settlement: bytes


@dataclass(frozen=True, slots=True)
class Network:
    """The tree by which fills are paired into trades, and where each account hangs in it.

    `parent` is -1 for the root; `node` is a row of `name`, one per entry of `account`; so are `member_of`, its
    group (0 for none), and `sources`, the sum of `1 << Source` over what it can sell from.
    """

    key: ClassVar[tuple[str, ...]] = ()
    name: tuple[str, ...]
    parent: tuple[int, ...]
    account: tuple[int, ...]
    node: tuple[int, ...]
    member_of: tuple[int, ...]
    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ZoneLine:
    """A price zone of a network auction and its edge to the parent's zone; none where there is one price.

    Capacities are energy of one interval; the root, zone 0, has no parent (-1).
    """

    key: ClassVar[tuple[str, ...]] = ("zone",)
    zone: int
    node: str
    parent: int
    import_cap_milli_wh: int
    export_cap_milli_wh: int
    fee_micro_per_kwh: int


@dataclass(frozen=True, slots=True)
class TariffLine:
    """The supplier's prices of a zone."""

    key: ClassVar[tuple[str, ...]] = ("zone",)
    zone: int
    short_micro_per_kwh: int
    long_micro_per_kwh: int


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A received order that covers the interval, with its agent's signature and the operator's receipt.

    `source`, `partner`, `group` are the wish that came beside the signed order, 0 for none.
    """

    key: ClassVar[tuple[str, ...]] = ("sequence",)
    sequence: int
    hash: bytes
    account: int
    epoch: int
    is_buy: bool
    lane: int
    first: int
    last: int
    quantity_milli_wh: int
    limit_micro_per_kwh: int
    source: int
    partner: int
    group: int
    signature: bytes
    received_at_s: int
    receipt: bytes


@dataclass(frozen=True, slots=True)
class RoundLine:
    """A round: it saw the orders before `next_sequence`, `book_root` commits to those that were open.

    Bit z of `cut_zones` is set where an outage had cut zone z off from its parent.
    """

    key: ClassVar[tuple[str, ...]] = ("round",)
    round: int
    cleared_at_s: int
    n_orders: int
    volume_milli_wh: int
    next_sequence: int
    book_root: bytes
    cut_zones: int


@dataclass(frozen=True, slots=True)
class PriceLine:
    """A round's price in a zone, before the fee; none where nothing crossed."""

    key: ClassVar[tuple[str, ...]] = ("round", "zone")
    round: int
    zone: int
    price_micro_per_kwh: int | None
    low_micro_per_kwh: int | None
    high_micro_per_kwh: int | None


@dataclass(frozen=True, slots=True)
class FillLine:
    """What a round gave an order."""

    key: ClassVar[tuple[str, ...]] = ("round", "sequence")
    round: int
    sequence: int
    account: int
    is_buy: bool
    lane: int
    quantity_milli_wh: int
    price_micro_per_kwh: int
    amount_pico: Pico


@dataclass(frozen=True, slots=True)
class TradeLine:
    """Two fills paired for people to look at.

    They met at a row of the network; `met` is `pairing.Met`, `source` is the offer's.
    """

    key: ClassVar[tuple[str, ...]] = ("round", "number")
    round: int
    number: int
    buyer: int
    seller: int
    quantity_milli_wh: int
    price_micro_per_kwh: int
    met_at: int
    met: int
    source: int


@dataclass(frozen=True, slots=True)
class CurtailmentLine:
    """What the controller took away from a position, signed by the grid role."""

    key: ClassVar[tuple[str, ...]] = ("account",)
    account: int
    quantity_milli_wh: int
    reason: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class ReadingLine:
    """A register at the end of `interval`, signed by the meter (a substitute: by the registrar).

    An older interval than the bundle's: the reading was missing then and is brought in with this one.
    """

    key: ClassVar[tuple[str, ...]] = ("interval", "account")
    interval: int
    account: int
    register_milli_wh: int
    is_substitute: bool
    signature: bytes


@dataclass(frozen=True, slots=True)
class ImbalanceLine:
    """What the hub told an account: position, metered energy, imbalance after forgiveness, its money."""

    key: ClassVar[tuple[str, ...]] = ("interval", "account")
    interval: int
    account: int
    position_milli_wh: int
    metered_milli_wh: int
    imbalance_milli_wh: int
    amount_pico: Pico


@dataclass(frozen=True, slots=True)
class Trailer:
    """How many lines stand above: a file that was cut short has none."""

    key: ClassVar[tuple[str, ...]] = ()
    lines: int


Line = (
    Head
    | Network
    | ZoneLine
    | TariffLine
    | OrderLine
    | RoundLine
    | PriceLine
    | FillLine
    | TradeLine
    | CurtailmentLine
    | ReadingLine
    | ImbalanceLine
    | Trailer
)
KINDS: Final[dict[str, type]] = {
    "interval": Head,
    "network": Network,
    "zone": ZoneLine,
    "tariff": TariffLine,
    "order": OrderLine,
    "round": RoundLine,
    "price": PriceLine,
    "fill": FillLine,
    "trade": TradeLine,
    "curtailment": CurtailmentLine,
    "reading": ReadingLine,
    "imbalance": ImbalanceLine,
    "end": Trailer,
}
NAMES: Final = {kind: name for name, kind in KINDS.items()}


def described(record: Any) -> str:
    """Return what a line is about, for people."""
    names = ", ".join(f"{name} {getattr(record, name)}" for name in record.key)
    return f"{NAMES[type(record)]} ({names})" if names else f"line of kind {NAMES[type(record)]}"


def columns(lines: Sequence[Any], *names: str) -> list[list[Any]]:
    """Return columns of records of one kind, for arrays."""
    return [[getattr(line, name) for line in lines] for name in names]
