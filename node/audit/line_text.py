"""One line of a bundle: a record as JSON in the one form that it has, and back.

Keys are sorted, there are no spaces, bytes are 0x..., money is decimal strings (it exceeds what browsers hold
in a number).
"""

import json
from dataclasses import fields
from functools import cache
from typing import Any, Final, get_type_hints

from node.audit.lines import KINDS, NAMES, Line, Pico, described
from node.errors import Permanent

# A record has six brackets at most; a name may hold some more.
_MAX_BRACKETS: Final = 1_000


class BundleError(Permanent):
    """A bundle that cannot be read: `.line` counts from 1, 0 where the whole file is meant."""

    def __init__(self, line: int, detail: str) -> None:
        super().__init__(f"line {line}: {detail}" if line else detail)
        self.line = line
        self.detail = detail


@cache
def _types(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def to_text(record: Line) -> str:
    """Return a record's line."""
    kind: type = type(record)
    plain: dict[str, Any] = {
        name: _plain(getattr(record, name), wanted) for name, wanted in _types(kind).items()
    }
    plain["kind"] = NAMES[type(record)]
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


def from_text(number: int, line: str) -> Any:
    """Read a line.

    Raises
    ------
    BundleError
        If it is no record, or has another form than `to_text` gives it.
    """
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
        raise BundleError(number, f"a line of kind {NAMES[kind]} with fields missing or unknown: {odd}")
    values = {field: _value(number, field, plain[field], wanted[field]) for field in wanted}
    record = kind(**values)
    if to_text(record) != line:
        raise BundleError(number, f"{described(record)} is not in the one form that it has")
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
