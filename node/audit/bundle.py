"""The bundle of an interval: everything that decided its money, as lines of JSON, one a record.

Every record has one form only: keys sorted, no spaces, bytes as 0x..., money as decimal strings (it exceeds
what browsers hold in a number). Lines stand in the order of `KINDS`, within a kind by their key. So the same
content is the same bytes, and a line that is changed, missing, doubled or moved shows.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, Final, NewType, get_type_hints

from node.errors import Permanent

FORMAT: Final = 1
# A record has six brackets at most; a name may hold some more.
_MAX_BRACKETS: Final = 1_000
_MOST: Final = 2**53  # of a capacity, mWh, or a grid fee
Pico = NewType("Pico", int)


class BundleError(Permanent):
    """A bundle that cannot be read: `.line` counts from 1, 0 where the whole file is meant."""

    def __init__(self, line: int, detail: str) -> None:
        super().__init__(f"line {line}: {detail}" if line else detail)
        self.line = line
        self.detail = detail


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
    """A register at the end of the interval, signed by the meter (a substitute: by the registrar)."""

    key: ClassVar[tuple[str, ...]] = ("account",)
    account: int
    register_milli_wh: int
    is_substitute: bool
    signature: bytes


@dataclass(frozen=True, slots=True)
class ImbalanceLine:
    """What the hub told an account: position, metered energy, imbalance after forgiveness, its money."""

    key: ClassVar[tuple[str, ...]] = ("account",)
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
_NAMES: Final = {kind: name for name, kind in KINDS.items()}
_RANKS: Final = {kind: rank for rank, kind in enumerate(KINDS.values())}
_SINGLE: Final = (Head, Network, Trailer)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle's records by kind, each in the order of its key."""

    head: Head
    network: Network
    zones: tuple[ZoneLine, ...]
    tariffs: tuple[TariffLine, ...]
    orders: tuple[OrderLine, ...]
    rounds: tuple[RoundLine, ...]
    prices: tuple[PriceLine, ...]
    fills: tuple[FillLine, ...]
    trades: tuple[TradeLine, ...]
    curtailments: tuple[CurtailmentLine, ...]
    readings: tuple[ReadingLine, ...]
    imbalances: tuple[ImbalanceLine, ...]


def file_name(interval: int) -> str:
    """Return the name of an interval's file; names sort as intervals do."""
    return f"{interval:08d}.jsonl"


def encode(records: Iterable[Line]) -> bytes:
    """Return the file of these records; the trailer is added.

    Records come in any order; they are laid out as the format asks.
    """
    ordered = sorted(records, key=_place)
    lines = [_text(record) for record in ordered]
    lines.append(_text(Trailer(len(lines))))
    return "".join(f"{line}\n" for line in lines).encode()


def decode(data: bytes) -> Bundle:
    """Read a bundle.

    Raises
    ------
    BundleError
        With the first line that is no record, has another form than `encode` gives it, stands twice or out of
        order; or with what is missing.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BundleError(line, "a byte that is no UTF-8") from error
    if not text.endswith("\n"):
        raise BundleError(0, "the file does not end with a line: it was cut short")
    records: list[Any] = []
    for number, row in enumerate(text[:-1].split("\n"), 1):
        record = _record(number, row)
        if records:
            _check_place(number, records[-1], record)
        records.append(record)
    if not isinstance(records[-1], Trailer):
        raise BundleError(0, "there is no last line that counts the others: the file was cut short")
    if records[-1].lines != len(records) - 1:
        raise BundleError(
            len(records), f"{len(records) - 1} lines stand above, the last says {records[-1].lines}"
        )
    by_kind: dict[type, list[Any]] = {kind: [] for kind in KINDS.values()}
    for record in records:
        by_kind[type(record)].append(record)
    for kind in (Head, Network):
        if not by_kind[kind]:
            raise BundleError(0, f"there is no line of kind {_NAMES[kind]}")
    head, network = by_kind[Head][0], by_kind[Network][0]
    if head.format != FORMAT:
        raise BundleError(1, f"format {head.format}: this version reads {FORMAT}")
    _check_network(network)
    _check_zones(by_kind[ZoneLine])
    rest = [tuple(by_kind[kind]) for kind in KINDS.values() if kind not in _SINGLE]
    return Bundle(head, network, *rest)


def _place(record: Any) -> tuple[int, tuple[int, ...]]:
    return _RANKS[type(record)], tuple(getattr(record, name) for name in record.key)


def _check_place(number: int, before: Any, record: Any) -> None:
    earlier, later = _place(before), _place(record)
    if later == earlier:
        raise BundleError(number, f"a second {_described(record)}")
    if later < earlier:
        raise BundleError(number, f"{_described(record)} stands after {_described(before)}")


def _described(record: Any) -> str:
    names = ", ".join(f"{name} {getattr(record, name)}" for name in record.key)
    return f"{_NAMES[type(record)]} ({names})" if names else f"line of kind {_NAMES[type(record)]}"


def _check_network(network: Network) -> None:
    n_nodes = len(network.name)
    if not n_nodes or network.parent.count(-1) != 1:
        raise BundleError(2, "the network has not one root")
    if len(network.parent) != n_nodes or any(
        len(column) != len(network.account) for column in (network.node, network.member_of, network.sources)
    ):
        raise BundleError(2, "the network's columns have different lengths")
    if any(not -1 <= parent < row for row, parent in enumerate(network.parent)):
        raise BundleError(2, "the network's parents must stand before their children")
    if list(network.account) != sorted(set(network.account)) or any(
        not 0 <= row < n_nodes for row in network.node
    ):
        raise BundleError(2, "an account of the network hangs nowhere, or stands twice")


def _check_zones(zones: Sequence[ZoneLine]) -> None:
    for number, zone in enumerate(zones):
        if zone.zone != number or not (-1 <= zone.parent < number and (zone.parent == -1) == (number == 0)):
            raise BundleError(0, f"zone {zone.zone}: zones count from 0, parents stand before their children")
        edge = (zone.import_cap_milli_wh, zone.export_cap_milli_wh, zone.fee_micro_per_kwh)
        if not all(0 <= value < _MOST for value in edge):
            raise BundleError(0, f"zone {zone.zone}: a capacity or fee is negative or beyond all measure")


# ------------------------------------------------------------------ one line


@cache
def _types(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _text(record: Line) -> str:
    kind: type = type(record)
    plain: dict[str, Any] = {
        name: _plain(getattr(record, name), wanted) for name, wanted in _types(kind).items()
    }
    plain["kind"] = _NAMES[type(record)]
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any, wanted: Any) -> Any:
    if wanted is bytes:
        return f"0x{value.hex()}"
    if wanted is Pico:
        return str(value)
    return value


def parse(text: str) -> Any:
    """Return what a JSON text says.

    Raises
    ------
    ValueError
        If it is no JSON, or has so many brackets that a nest of them could exhaust the reader's stack.
    """
    if text.count("[") + text.count("{") > _MAX_BRACKETS:
        raise ValueError("too many brackets")
    return json.loads(text)


def _record(number: int, line: str) -> Any:
    try:
        plain = parse(line)
    except ValueError as error:
        raise BundleError(number, "no JSON") from error
    name = plain.pop("kind", None) if isinstance(plain, dict) else None
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise BundleError(number, f"of no known kind: expected one of {', '.join(KINDS)}")
    wanted = _types(kind)
    if plain.keys() != wanted.keys():
        odd = sorted(plain.keys() ^ wanted.keys())
        raise BundleError(number, f"a line of kind {_NAMES[kind]} with fields missing or unknown: {odd}")
    values = {field: _value(number, field, plain[field], wanted[field]) for field in wanted}
    record = kind(**values)
    if _text(record) != line:
        raise BundleError(number, f"{_described(record)} is not in the one form that it has")
    return record


def _value(number: int, name: str, value: Any, wanted: Any) -> Any:
    found = _read(value, wanted)
    if found is _WRONG:
        raise BundleError(
            number, f"{name} is {json.dumps(value)[:80]}: no {_WORDS.get(wanted, 'such value')}"
        )
    return found


_WRONG: Final = object()
_WORDS: Final[dict[Any, str]] = {int: "integer", bool: "true or false", bytes: "0x...", Pico: "decimal text"}


def _read(value: Any, wanted: Any) -> Any:
    """Return a JSON value as its type, or `_WRONG`."""
    if wanted in (int, bool, str):
        return value if type(value) is wanted else _WRONG
    if wanted == int | None:
        return value if value is None or type(value) is int else _WRONG
    if wanted is bytes:
        return _read_bytes(value)
    if wanted is Pico:
        return _read_pico(value)
    item = int if wanted == tuple[int, ...] else str
    if not isinstance(value, list) or any(type(part) is not item for part in value):
        return _WRONG
    return tuple(value)


def _read_bytes(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith("0x"):
        return _WRONG
    try:
        return bytes.fromhex(value[2:])
    except ValueError:
        return _WRONG


def _read_pico(value: Any) -> Any:
    # 79 bits of balance have 24 digits; a million digits would be an attack on the reader
    if not isinstance(value, str) or not 0 < len(value) <= 32:
        return _WRONG
    try:
        return Pico(int(value))
    except ValueError:
        return _WRONG


def columns(lines: Sequence[Any], *names: str) -> list[list[Any]]:
    """Return columns of records of one kind, for arrays."""
    return [[getattr(line, name) for line in lines] for name in names]
