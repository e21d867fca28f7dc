"""What the market refuses, and why.

MarketError
├── OrderRefused          an order that may not enter the book; `.reason` is a `RefusalReason`
├── BookInconsistent      arrays that break an invariant of the book
├── InfeasibleNetwork     a capacity tree that is no tree, or has a negative capacity or fee
└── SettlementError       fills, readings or splits that cannot be settled
    ├── ChunkRefused      what the contract would revert; `.reason` is its reason string
    └── ReadingRefused    metered energy that no meter could have counted
"""

from enum import StrEnum


class MarketError(Exception):
    """Base of all errors of this package."""


class RefusalReason(StrEnum):
    """Why an order was refused; the value is stable and part of the API."""

    MALFORMED = "malformed"
    UNKNOWN_ACCOUNT = "unknown-account"
    BAD_SIGNATURE = "bad-signature"
    WRONG_EPOCH = "wrong-epoch"
    QUANTITY = "quantity"
    LIMIT = "limit"
    LANE = "lane"
    VALIDITY = "validity"
    GATE_CLOSED = "gate-closed"
    TOO_EARLY = "too-early"
    DUPLICATE = "duplicate"
    LANE_CLOSED = "lane-closed"
    TIMESLOT = "timeslot"
    MARGIN = "margin"
    CAPACITY = "capacity"
    IN_DEBT = "in-debt"
    SUPERSEDED = "superseded"
    WISH = "wish"


class OrderRefused(MarketError):
    """An order was refused at the door; nothing was changed."""

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class BookInconsistent(MarketError):
    """Arrays break an invariant of the book; the message names the field and the first offending row."""


class InfeasibleNetwork(MarketError):
    """A capacity tree that is no tree, or has a negative capacity or fee."""


class SettlementError(MarketError):
    """Fills, readings or splits that cannot be settled."""


class ChunkRefused(SettlementError):
    """The contract would revert this chunk; nothing was changed.

    `reason` is the contract's own reason string; `account` names the account it met, if it met one.
    """

    def __init__(self, reason: str, detail: str = "", account: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.account = account


class ReadingRefused(SettlementError):
    """Metered energy that no meter could have counted; the message names the row, the value and the bound."""
