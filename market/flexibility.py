"""Flexibility: a virtual power plant's event, what each member contributed, and its exact share of the revenue.

1. Before the event every member's baseline is fixed: what it would export without the event. The root of all
   baselines is committed on chain together with the buyer's money, so neither can be bent afterwards.
2. A contribution is metered, never claimed: `register after - register before - baseline`, from registers
   that the member's meter signed. Who delivers less than its baseline contributes nothing.
3. The revenue is cut between rounded points, exactly as contracts/RevenueSplit.vy does: the parts sum to it.
   If nobody delivered, the buyer has all of it back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.errors import SettlementError
from market.largest_remainder import split_wide
from market.merkle import MerkleTree, leaf
from market.orders import MAX_INTERVAL
from market.units import MAX_BALANCE_PICO

IntArray = NDArray[np.int64]

MAX_REVENUE_PICO: Final = MAX_BALANCE_PICO


@dataclass(frozen=True, slots=True)
class FlexProduct:
    """What a buyer asks of the community: more net export in some intervals, for a price.

    Attributes
    ----------
    first, last : int
        Intervals of the event, both inclusive.
    requested_milli_wh : int
        Net export above the baselines asked for, over the whole event.
    revenue_pico : int
        Paid in before the event and split among who delivers.

    Raises
    ------
    SettlementError
        If a field is out of range.
    """

    first: int
    last: int
    requested_milli_wh: int
    revenue_pico: int

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last <= MAX_INTERVAL:
            raise SettlementError(
                f"event {self.first}..{self.last}: need 1 <= first <= last <= {MAX_INTERVAL}"
            )
        if self.requested_milli_wh <= 0:
            raise SettlementError(f"requested {self.requested_milli_wh} mWh: need more than zero")
        if not 0 < self.revenue_pico <= MAX_REVENUE_PICO:
            raise SettlementError(f"revenue {self.revenue_pico} pico-credit: need 1..{MAX_REVENUE_PICO}")

    @property
    def n_intervals(self) -> int:
        """Return how many intervals the event has."""
        return self.last - self.first + 1

    @property
    def register_intervals(self) -> tuple[int, int]:
        """Return the intervals at whose ends the registers before and after are read."""
        return self.first - 1, self.last


def baseline_of_days(net_export_milli_wh: IntArray) -> IntArray:
    """Return each member's baseline from days without an event, `(n_members,)` mWh over the event's hours.

    Parameters
    ----------
    net_export_milli_wh : IntArray
        Metered net export in the event's intervals of earlier days of the same kind (weekdays, or days off),
        `(n_members, n_days, n_intervals)`; at least one day.

    Notes
    -----
    The mean over the days, rounded up: a unit in doubt is the buyer's. Days with an event must be left out,
    or a member could raise its later contributions by consuming more in earlier events.
    """
    if net_export_milli_wh.ndim != 3 or net_export_milli_wh.shape[1] == 0:
        raise SettlementError(f"history has shape {net_export_milli_wh.shape}: need members, days, intervals")
    totals = net_export_milli_wh.sum(axis=(1, 2))
    return np.asarray(-(-totals // net_export_milli_wh.shape[1]), np.int64)


def baseline_of_schedule(scheduled_export_milli_wh: IntArray) -> IntArray:
    """Return each member's baseline from what it was scheduled to export, `(n_members,)`.

    `scheduled_export_milli_wh` is `(n_members, n_intervals)` and fixed before the event is known, such as the
    positions of the day-ahead round. For storage this is the better baseline: yesterday says little about it.
    """
    return np.asarray(scheduled_export_milli_wh.sum(axis=1), np.int64)


@dataclass(frozen=True, slots=True)
class Baselines:
    """Members' baselines and their tree; the leaf of row i is `leaf(account[i], baseline[i])`."""

    account: tuple[int, ...]
    baseline_milli_wh: tuple[int, ...]
    tree: MerkleTree

    @classmethod
    def commit(cls, account: Sequence[int], baseline_milli_wh: Sequence[int]) -> "Baselines":
        """Fix the baselines, in order of account, so that the same members give the same root.

        Raises
        ------
        SettlementError
            If there are none, an account appears twice, or a baseline is out of range.
        """
        rows = sorted(zip(map(int, account), map(int, baseline_milli_wh), strict=True))
        accounts = tuple(a for a, _ in rows)
        if len(set(accounts)) != len(accounts):
            raise SettlementError("an account has two baselines")
        return cls(accounts, tuple(b for _, b in rows), MerkleTree.of([leaf(a, b) for a, b in rows]))

    @property
    def root(self) -> bytes:
        """What is committed on chain before the event."""
        return self.tree.root

    def proof(self, account: int) -> tuple[bytes, ...]:
        """Return the proof of an account's baseline.

        Raises
        ------
        SettlementError
            If the account is no member.
        """
        if account not in self.account:
            raise SettlementError(f"account {account} is no member of this event")
        return self.tree.proof(self.account.index(account))


def contributions_milli_wh(
    register_before_milli_wh: IntArray, register_after_milli_wh: IntArray, baseline_milli_wh: IntArray
) -> IntArray:
    """Return what each member delivered above its baseline, `(n_members,)`, zero where it fell short."""
    delivered = register_after_milli_wh - register_before_milli_wh - baseline_milli_wh
    return np.asarray(np.maximum(delivered, 0), np.int64)


def delivery_score(product: FlexProduct, contribution_milli_wh: IntArray) -> float:
    """Return how much of what was requested was delivered, 0 and up; more than 1 is over-delivery."""
    return int(contribution_milli_wh.sum()) / product.requested_milli_wh


def cut_shares_pico(revenue_pico: int, contribution_milli_wh: Sequence[int]) -> list[int]:
    """Return each member's share of the revenue as the contract pays it, in the order of recording.

    Contributions lie end to end on a line from 0 to their total; the revenue is laid along it, and share i is
    `floor(revenue * end / total) - floor(revenue * start / total)`. The shares sum to the revenue and each is
    within one pico-credit of its exact due, whoever is paid first. All are zero if nobody contributed.

    Raises
    ------
    SettlementError
        If a contribution or the revenue is negative.
    """
    if revenue_pico < 0 or min(contribution_milli_wh, default=0) < 0:
        raise SettlementError("revenue and contributions must not be negative")
    total = sum(contribution_milli_wh)
    shares = []
    start = 0
    for size in contribution_milli_wh:
        if size:
            shares.append(revenue_pico * (start + size) // total - revenue_pico * start // total)
        else:
            shares.append(0)
        start += size
    return shares


def split_by_largest_remainder(amount_pico: int, weights: Sequence[int]) -> list[int]:
    """Return parts of an amount in proportion to weights that sum to it exactly, ties to the earlier row.

    For splits that no contract makes; independent of the order of payment by construction.
    """
    return split_wide(amount_pico, weights)


@dataclass(frozen=True, slots=True)
class FlexOutcome:
    """What an event came to: contributions and shares by row of its baselines, and what the buyer gets back."""

    contribution_milli_wh: tuple[int, ...]
    share_pico: tuple[int, ...]
    refund_pico: int
    score: float


def settle_event(
    product: FlexProduct,
    baselines: Baselines,
    register_before_milli_wh: IntArray,
    register_after_milli_wh: IntArray,
) -> FlexOutcome:
    """Settle an event from signed registers, `(n_members,)` each in the order of the baselines' accounts.

    Contributions are recorded in that order, so the shares are those that the contract pays.
    """
    contribution = contributions_milli_wh(
        register_before_milli_wh,
        register_after_milli_wh,
        np.array(baselines.baseline_milli_wh, np.int64),
    )
    sizes = [int(c) for c in contribution.tolist()]
    shares = cut_shares_pico(product.revenue_pico, sizes)
    refund_pico = 0 if any(sizes) else product.revenue_pico
    return FlexOutcome(tuple(sizes), tuple(shares), refund_pico, delivery_score(product, contribution))
