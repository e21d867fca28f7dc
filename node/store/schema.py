"""The store's metadata and the column types that keep integers and bytes exact in SQLite and PostgreSQL.

Every `node/store/tables_*.py` hangs its tables on the one `metadata` here. Times are unix seconds in plain
integer columns (`*_s`): SQLite has no time type, and an integer cannot lose its zone.
"""

from decimal import Decimal
from typing import Any

from sqlalchemy import LargeBinary, MetaData, Numeric, String
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

AMOUNT_DIGITS = 40

# Constraint names that are the same in both databases, so that migrations can address them.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)


class Amount(TypeDecorator[int]):
    """A signed integer beyond 64 bits (pico-credits, words): TEXT in SQLite, NUMERIC(40, 0) in PostgreSQL.

    Notes
    -----
    In SQLite the text neither sorts nor sums as a number: add amounts up in Python. Magnitudes of
    `10**40` and more are refused (a balance has 79 bits, a product of price and energy 2**88).
    """

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type by database."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Numeric(AMOUNT_DIGITS, 0))
        return dialect.type_descriptor(String(AMOUNT_DIGITS + 1))

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        """Refuse what is no exact integer, pass on the rest."""
        if value is None:
            return None
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"an amount is an int, not {type(value).__name__}: {value!r}")
        number = value.__index__()
        if abs(number) >= 10**AMOUNT_DIGITS:
            raise ValueError(f"amount {number} has more than {AMOUNT_DIGITS} digits")
        return Decimal(number) if dialect.name == "postgresql" else str(number)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Return a Python int."""
        return None if value is None else int(value)


class FixedBytes(TypeDecorator[bytes]):
    """Bytes of one exact length: BLOB in SQLite, BYTEA in PostgreSQL."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        """Refuse bytes of another length."""
        if value is None:
            return None
        if len(value) != self.length:
            raise ValueError(f"expected {self.length} bytes, got {len(value)}: {bytes(value).hex()}")
        return bytes(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        """Return bytes, whatever buffer the driver uses."""
        return None if value is None else bytes(value)


class Hash32(FixedBytes):
    """A 32-byte hash (transaction, block, order)."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(32)


class Address20(FixedBytes):
    """A 20-byte address; `node.chain.keys.checksum` writes it for people."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(20)
