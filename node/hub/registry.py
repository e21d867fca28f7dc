"""Who is connected: accounts with their keys, zone, node and capacity, as arrays by account number."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from node.chain.ports import Address
from node.store.tables_market import accounts

GRID = 0  # the supplier's account on chain: everybody's counterparty for imbalance
FEES = 1  # receives the operator's published fee


@dataclass(frozen=True, slots=True)
class Registry:
    """Accounts in the order of their numbers; rows beyond the two reserved ones are members.

    `account` is `(n_accounts,)`, all other fields have the same length. `member_of` is a group's number, 0 for
    none; `sources` is the sum of `1 << Source` over what an account can sell from.
    """

    account: NDArray[np.int64]
    agent: tuple[Address, ...]
    meter: tuple[Address, ...]
    epoch: NDArray[np.int64]
    zone: NDArray[np.int64]
    node: tuple[str, ...]
    capacity_milli_wh: NDArray[np.int64]
    member_of: NDArray[np.int64]
    sources: NDArray[np.int64]
    _rows: dict[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", {number: at for at, number in enumerate(self.account.tolist())})

    @classmethod
    def load(cls, connection: Connection) -> "Registry":
        """Read all accounts from the store."""
        rows = connection.execute(select(accounts).order_by(accounts.c.account)).all()
        return cls(
            account=np.array([row.account for row in rows], np.int64),
            agent=tuple(row.agent for row in rows),
            meter=tuple(row.meter for row in rows),
            epoch=np.array([row.epoch for row in rows], np.int64),
            zone=np.array([row.zone for row in rows], np.int64),
            node=tuple(row.node for row in rows),
            capacity_milli_wh=np.array([row.capacity_milli_wh for row in rows], np.int64),
            member_of=np.array([row.member_of for row in rows], np.int64),
            sources=np.array([row.sources for row in rows], np.int64),
        )

    def row(self, account: int) -> int | None:
        """Return the row of an account number, or None if nobody has it."""
        return self._rows.get(account)

    def __len__(self) -> int:
        return int(self.account.size)
