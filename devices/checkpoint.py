"""Records of arrays as bytes and back: equal records give equal bytes on every platform."""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final, TypeVar

import numpy as np

from devices.errors import BadCheckpoint

VERSION: Final = 1
_MAGIC: Final = b"SYMARRAY"
_KINDS: Final = {"f": "<f8", "i": "<i8", "b": "|b1"}

Record = TypeVar("Record")
Fill = Callable[[dict[str, Any]], Any]


def to_bytes(record: Any) -> bytes:
    """Return a dataclass of float64, int64 and bool arrays as bytes.

    Notes
    -----
    Layout: magic, uint32 length of a JSON header {version, name, arrays: [[field, kind, shape]..]}, the
    header, then the arrays one after the other, little-endian.
    """
    described: list[list[Any]] = []
    parts: list[bytes] = []
    for field in fields(record):
        values = np.ascontiguousarray(getattr(record, field.name))
        described.append([field.name, values.dtype.kind, list(values.shape)])
        parts.append(values.astype(_KINDS[values.dtype.kind], copy=False).tobytes())
    header = {"version": VERSION, "name": type(record).__name__, "arrays": described}
    text = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    return b"".join([_MAGIC, struct.pack("<I", len(text)), text, *parts])


def from_bytes(kind: type[Record], data: bytes, added: Mapping[str, Fill] | None = None) -> Record:
    """Return the record of class `kind` that `to_bytes` wrote.

    Parameters
    ----------
    added : Mapping of str to Fill, optional
        Fields that records of earlier programs lack, and what they would have held, from all that was read.

    Raises
    ------
    BadCheckpoint
        If the bytes are no such record of this version.
    """
    what = kind.__name__
    begin = len(_MAGIC) + 4
    if len(data) < begin or data[: len(_MAGIC)] != _MAGIC:
        raise BadCheckpoint(f"{what}: the bytes do not begin as a record of arrays")
    length = struct.unpack("<I", data[len(_MAGIC) : begin])[0]
    try:
        header = json.loads(data[begin : begin + length])
        version, name = header["version"], header["name"]
        described = [(str(f), _KINDS[k], tuple(int(n) for n in s)) for f, k, s in header["arrays"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BadCheckpoint(f"{what}: header unreadable ({error})") from error
    expected = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    found = [f for f, _, _ in described]
    fills = {f: fill for f, fill in (added or {}).items() if f not in found}
    if version != VERSION or name != what or found != [f for f in expected if f not in fills]:
        raise BadCheckpoint(f"{what}: version {version} of {name}, expected version {VERSION} of {what}")
    body = data[begin + length :]
    sizes = [int(np.prod(shape)) * np.dtype(dtype).itemsize for _, dtype, shape in described]
    if len(body) != sum(sizes):
        raise BadCheckpoint(f"{what}: {len(body)} bytes of arrays, expected {sum(sizes)}")
    arrays: dict[str, Any] = {}
    at = 0
    for (field_name, dtype, shape), size in zip(described, sizes, strict=True):
        raw = np.frombuffer(body[at : at + size], dtype=dtype)
        arrays[field_name] = raw.reshape(shape).astype(raw.dtype.newbyteorder("="))
        at += size
    return kind(**arrays | {f: fill(arrays) for f, fill in fills.items()})
