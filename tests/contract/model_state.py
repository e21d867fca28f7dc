"""What the model of the contracts knows: orders, readings, accounts, roles; and how it refuses."""

from collections import defaultdict
from copy import copy
from dataclasses import dataclass, field, replace

GRID, FEES = 0, 1
MAX_UNREAD = 480
MAX_ZONES = 32
MAX_CAPACITY = 2**39 - 1
MAX_REGISTER = 2**55 - 1
OPERATOR, ORACLE, REGISTRAR, CURTAILER = range(4)


class Refused(Exception):
    """The contracts refuse this."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def need(condition: bool, reason: str) -> None:
    """Refuse unless the condition holds."""
    if not condition:
        raise Refused(reason)


@dataclass(frozen=True)
class Order:
    """An order and who signed it."""

    account: int
    epoch: int
    is_buy: bool
    lane: int
    first: int
    last: int
    quantity: int
    limit: int
    signer: str = field(compare=False, default="")


@dataclass(frozen=True)
class Reading:
    """A register and who signed it."""

    account: int
    register: int
    is_substitute: bool
    signer: str


@dataclass(frozen=True)
class Chunk:
    """A settlement transaction."""

    sequence: int
    interval: int
    round: int
    prices: tuple[int, ...]
    fills: tuple[tuple[Order, int], ...]
    tariffs: tuple[tuple[int, int], ...]
    readings: tuple[Reading, ...]
    signer: str


@dataclass
class Exit:
    """Money on its way out."""

    amount: int = 0
    ready_s: int | None = None
    last: int = 0


@dataclass
class Account:
    """A connection; `agents` are (first interval, key, epoch), `meters` are (first interval, key, offset)."""

    owner: str
    agents: list[tuple[int, str, int]] = field(default_factory=list)
    meters: list[tuple[int, str, int]] = field(default_factory=list)
    zone: int = 0
    capacity: int = 0
    balance: int = 0
    owed: int = 0
    exit: Exit = field(default_factory=Exit)
    read: int = 0
    register: int = 0
    positions: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    lanes: set[tuple[int, int]] = field(default_factory=set)

    def copy(self) -> "Account":
        """Return an account that shares nothing with this one that either may change."""
        return replace(
            self,
            agents=list(self.agents),
            meters=list(self.meters),
            exit=copy(self.exit),
            positions=self.positions.copy(),
            lanes=set(self.lanes),
        )


@dataclass(frozen=True)
class Role:
    """Who holds a role, and who will."""

    holder: str
    heir: str | None = None
    since_s: int = 0
