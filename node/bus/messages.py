"""The one schema of everything that travels between agents, hub, controller and devices.

| message | topic | from | to |
|---|---|---|---|
| `OrderBatch` | `orders` | agent | hub/trading |
| `Receipts` | `receipts/{account}` | hub/trading | agent |
| `RoundCleared` | `rounds` | hub/clearing | everybody |
| `ReadingBatch` | `readings` | meters | hub/metering |
| `CurtailmentNotice` | `curtailments` | controller | hub/metering |
| `ElectionNotice` | `islands/{node}/{member}` | agent | one other agent behind the same switch |
| `IslandNotice` | `islands` | an island's leader | everybody |

Energy is in mWh, prices in micro-credit per kWh, times in unix seconds. Signatures are compact (EIP-2098).
"""

from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter

from market.orders import NO_WISH, Order, Wish

TOPIC_ORDERS: Final = "orders"
TOPIC_ROUNDS: Final = "rounds"
TOPIC_READINGS: Final = "readings"
TOPIC_CURTAILMENTS: Final = "curtailments"
TOPIC_ISLANDS: Final = "islands"


def receipts_topic(account: int) -> str:
    """Return the topic on which one account hears what became of its orders."""
    return f"receipts/{account}"


def election_topic(node: str, member: int) -> str:
    """Return the topic on which a member of an island hears the others."""
    return f"islands/{node}/{member}"


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """An order with its agent's signature, and beside it a wish for pairing, which costs nobody anything."""

    order: Order
    r: int
    vs: int
    wish: Wish = NO_WISH


@dataclass(frozen=True, slots=True)
class OrderBatch:
    """Orders of one account, handed in together."""

    account: int
    orders: tuple[SignedOrder, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The hub's signed answer: this order arrived as number `sequence`."""

    order_hash: str
    sequence: int
    received_at_s: int
    r: int
    vs: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """An order that did not enter the book, and why."""

    order_hash: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Receipts:
    """What became of a batch, in the batch's order."""

    account: int
    answers: tuple[Receipt | Refusal, ...]


@dataclass(frozen=True, slots=True)
class RoundCleared:
    """Prices of a cleared round, per zone (none where nothing crossed)."""

    interval: int
    round: int
    volume_milli_wh: int
    price_micro_per_kwh: tuple[int | None, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class MeterReading:
    """A meter's signed cumulative net register (export - import) at the end of an interval."""

    account: int
    interval: int
    register_milli_wh: int
    r: int
    vs: int
    is_substitute: bool = False


@dataclass(frozen=True, slots=True)
class ReadingBatch:
    """Readings handed in together."""

    readings: tuple[MeterReading, ...]


@dataclass(frozen=True, slots=True)
class CurtailmentNotice:
    """Energy that the controller took away from a position, signed by the grid role."""

    account: int
    interval: int
    quantity_milli_wh: int
    reason: str
    r: int
    vs: int


@dataclass(frozen=True, slots=True)
class ElectionNotice:
    """What one member of an electrical component tells another while they elect (node/controller/election)."""

    kind: str
    sender: int
    receiver: int
    term: int
    component: tuple[int, ...]
    sent_ms: int


@dataclass(frozen=True, slots=True)
class IslandNotice:
    """What holds behind a switch that is open: who leads, and which share of each account's load is served.

    `account` and `served_pu` are parallel. An empty notice (no accounts) says that the grid is back.
    """

    node: str
    interval: int
    leader: int
    term: int
    account: tuple[int, ...]
    served_pu: tuple[float, ...]


Message = (
    OrderBatch | Receipts | RoundCleared | ReadingBatch | CurtailmentNotice | ElectionNotice | IslandNotice
)

_ADAPTERS: Final[dict[str, TypeAdapter]] = {
    kind.__name__: TypeAdapter(kind)
    for kind in (
        OrderBatch,
        Receipts,
        RoundCleared,
        ReadingBatch,
        CurtailmentNotice,
        ElectionNotice,
        IslandNotice,
    )
}


def encode(message: Message) -> bytes:
    """Return the message as one line of JSON that begins with its kind."""
    kind = type(message).__name__
    return kind.encode() + b" " + _ADAPTERS[kind].dump_json(message)


def decode(raw: bytes) -> Message:
    """Return the message that `encode` wrote.

    Raises
    ------
    ValueError
        If the kind is unknown or a field is missing, unknown or of the wrong type.
    """
    kind, _, body = raw.partition(b" ")
    adapter = _ADAPTERS.get(kind.decode(errors="replace"))
    if adapter is None:
        raise ValueError(f"unknown message kind {kind[:32]!r}: expected one of {', '.join(_ADAPTERS)}")
    return adapter.validate_json(body, strict=True)
