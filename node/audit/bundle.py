"""The bundle of an interval: everything that decided its money, as lines of JSON, one a record.

Every record has one form only (`line_text`). Lines stand in the order of `KINDS`, within a kind by their key. So
the same content is the same bytes, and a line that is changed, missing, doubled or moved shows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from node.audit.line_text import BundleError, from_text, to_text
from node.audit.lines import (
    KINDS,
    NAMES,
    CurtailmentLine,
    FillLine,
    Head,
    ImbalanceLine,
    Line,
    Network,
    OrderLine,
    PriceLine,
    ReadingLine,
    RoundLine,
    TariffLine,
    TradeLine,
    Trailer,
    ZoneLine,
    described,
)

FORMAT: Final = 2
_MOST: Final = 2**53  # of a capacity, mWh, or a grid fee
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
    lines = [to_text(record) for record in ordered]
    lines.append(to_text(Trailer(len(lines))))
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
        record = from_text(number, row)
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
            raise BundleError(0, f"there is no line of kind {NAMES[kind]}")
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
        raise BundleError(number, f"a second {described(record)}")
    if later < earlier:
        raise BundleError(number, f"{described(record)} stands after {described(before)}")


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
