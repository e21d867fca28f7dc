"""Between the store's values and the API's: times, hashes, signatures, intervals."""

from datetime import UTC, datetime

from market.errors import OrderRefused, RefusalReason
from node.api.problems import BadRequest
from node.chain.typed_data import CompactSignature


def utc(unix_s: float) -> str:
    """Return a time as RFC 3339."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def hexed(value: bytes) -> str:
    """Return bytes as 0x-prefixed hex."""
    return f"0x{value.hex()}"


def unhexed(text: str, length: int, name: str) -> bytes:
    """Read 0x-prefixed hex of a fixed length.

    Raises
    ------
    BadRequest
        If it is none.
    """
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise BadRequest(f"{name}: {text[:80]!r} is not hex") from error
    if len(value) != length:
        raise BadRequest(f"{name}: expected {length} bytes, got {len(value)}")
    return value


def moment(text: str, name: str) -> float:
    """Read an RFC 3339 time with a zone.

    Raises
    ------
    BadRequest
        If it is none, or has no zone.
    """
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(f"{name}: {text[:80]!r} is no RFC 3339 time such as 2026-04-16T10:15:00Z") from error
    if value.tzinfo is None:
        raise BadRequest(f"{name}: {text!r} has no zone: add Z or an offset such as +02:00")
    return value.timestamp()


def signature(text: str) -> CompactSignature:
    """Read a signature of 64 bytes (r, vs) or 65 (r, s, v).

    Raises
    ------
    OrderRefused
        If v is neither 0, 1, 27 nor 28, or s does not leave room for the parity.
    """
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) == 64:
        return CompactSignature.from_bytes(raw)
    r, s, v = raw[:32], int.from_bytes(raw[32:64], "big"), raw[64]
    parity = v - 27 if v >= 27 else v
    if parity not in (0, 1) or s >> 255:
        raise OrderRefused(RefusalReason.BAD_SIGNATURE, "v must be 0, 1, 27 or 28, and s in the lower half")
    return CompactSignature(int.from_bytes(r, "big"), s | parity << 255)
