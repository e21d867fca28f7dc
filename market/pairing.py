"""Pair the fills of one auction into trades for people to look at; money is settled on fills.

Energy is paired where it is nearest in the network: at each node of the tree, from the leaves to the root,
what is bought and what is sold below it meets, and only the rest goes one node up. How much of a row meets
at which node is decided by the order of rows alone. Preferences then choose **who** meets whom at the node,
among the energy that meets there anyway: nobody is moved farther away or gets less for another's wish.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.errors import SettlementError
from market.network_auction_tree import depths

NO_WISH: Final = -1


class Met(IntEnum):
    """Why two rows were paired: whose wish it was, or that they were the nearest."""

    NEAREST = 0
    BUYERS_PARTNER = 1
    SELLERS_PARTNER = 2
    BUYERS_GROUP = 3
    SELLERS_GROUP = 4
    BUYERS_SOURCE = 5


@dataclass(frozen=True, slots=True)
class Preferences:
    """Wishes of the rows, each an array `(n,)`; -1 where a row has none.

    Attributes
    ----------
    partner : NDArray[np.int64]
        Account with which the row would like to trade.
    group : NDArray[np.int64]
        Group (club, building, family) with whose members the row would like to trade.
    member_of : NDArray[np.int64]
        Group to which the row's account belongs.
    source_wanted : NDArray[np.int64]
        `Source` that a buyer would like; -1 or `Source.ANY` (0) for none.
    source : NDArray[np.int64]
        `Source` that a seller delivers from.

    Notes
    -----
    A wish for an account comes before one for a group, and that before one for a source; wishes of buyers
    come before equal wishes of sellers. Of what meets at a node, wishes of the first kind get as much as any
    pairing there could give them; every later kind gets as much as the kinds before it leave possible.
    """

    partner: NDArray[np.int64]
    group: NDArray[np.int64]
    member_of: NDArray[np.int64]
    source_wanted: NDArray[np.int64]
    source: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        is_buy: NDArray[np.bool_],
        source: NDArray[np.int64],
        partner: NDArray[np.int64],
        group: NDArray[np.int64],
        member_of: NDArray[np.int64],
    ) -> "Preferences":
        """Return the preferences of rows whose orders say so, 0 standing for none; a seller's source is its own."""

        def known(values: NDArray[np.int64]) -> NDArray[np.int64]:
            return np.where(values > 0, values, NO_WISH)

        return cls(
            known(partner),
            known(group),
            known(member_of),
            known(np.where(is_buy, source, 0)),
            known(np.where(is_buy, 0, source)),
        )

    @classmethod
    def none(cls, n_rows: int) -> "Preferences":
        """Return the preferences of rows that have none."""
        return cls(*(np.full(n_rows, NO_WISH, dtype=np.int64) for _ in range(5)))


@dataclass(frozen=True, slots=True)
class Trades:
    """Pairs of a buying and a selling row, each array `(n_trades,)`, in the order in which they met.

    Attributes
    ----------
    buyer, seller : NDArray[np.int64]
        Accounts.
    buyer_row, seller_row : NDArray[np.int64]
        Rows of the fills that were paired.
    quantity_milli_wh : NDArray[np.int64]
        Energy of the trade, > 0.
    met_at : NDArray[np.int64]
        Node of the network at which the two met.
    met : NDArray[np.int64]
        `Met`: why they did.
    """

    buyer: NDArray[np.int64]
    seller: NDArray[np.int64]
    buyer_row: NDArray[np.int64]
    seller_row: NDArray[np.int64]
    quantity_milli_wh: NDArray[np.int64]
    met_at: NDArray[np.int64]
    met: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.buyer.size)


def pair(
    account: NDArray[np.int64],
    is_buy: NDArray[np.bool_],
    fill_milli_wh: NDArray[np.int64],
    node: NDArray[np.int64],
    parent: NDArray[np.int64],
    preferences: Preferences | None = None,
) -> Trades:
    """Pair fills into trades, nearest in the network first.

    Parameters
    ----------
    account : NDArray[np.int64]
        Account of each fill, `(n,)`.
    is_buy : NDArray[np.bool_]
        Side of each fill, `(n,)`.
    fill_milli_wh : NDArray[np.int64]
        Energy of each fill, `(n,)`; bought and sold energy are equal.
    node : NDArray[np.int64]
        Node of the network at which each fill's account is connected, `(n,)`.
    parent : NDArray[np.int64]
        Parent of each node, `(n_nodes,)`; -1 (or itself) for the root.
    preferences : Preferences | None
        Wishes, honoured where they cost nobody anything.

    Returns
    -------
    Trades
        Trades whose energy sums to each row's fill exactly.

    Raises
    ------
    SettlementError
        If a fill is negative, bought and sold energy differ, or a node does not exist.
    InfeasibleNetwork
        If `parent` is no tree.
    """
    account, is_buy = np.asarray(account, dtype=np.int64), np.asarray(is_buy, dtype=np.bool_)
    left = np.array(fill_milli_wh, dtype=np.int64)
    _check(is_buy, left, node, parent)
    depth = depths(np.asarray(parent, dtype=np.int64))
    at = np.array(node, dtype=np.int64)
    wishes = [] if preferences is None else _wishes(account, preferences)
    trades: list[tuple[NDArray[np.int64], ...]] = []
    live = np.flatnonzero(left > 0)
    for level in range(int(depth.max()), -1, -1):
        here = live[depth[at[live]] == level]
        buys, sells = here[is_buy[here]], here[~is_buy[here]]
        if buys.size and sells.size:
            meeting = _meeting(at, left, buys, sells)
            left -= meeting
            for met, wants_of_buyer, offer_of_seller in wishes:
                trades += _match(at, meeting, buys, sells, met, wants_of_buyer, offer_of_seller)
            trades += _match(at, meeting, buys, sells, Met.NEAREST, None, None)
        here = here[left[here] > 0]
        at[here] = parent[at[here]]
        live = live[left[live] > 0]
    rows = [np.concatenate([part[i] for part in trades] or [np.zeros(0, np.int64)]) for i in range(5)]
    buyer_row, seller_row, quantity, met_at, met_why = rows
    return Trades(account[buyer_row], account[seller_row], buyer_row, seller_row, quantity, met_at, met_why)


def _check(
    is_buy: NDArray[np.bool_],
    fill_milli_wh: NDArray[np.int64],
    node: NDArray[np.int64],
    parent: NDArray[np.int64],
) -> None:
    if fill_milli_wh.size and int(fill_milli_wh.min()) < 0:
        row = int(fill_milli_wh.argmin())
        raise SettlementError(f"fill in row {row} is {int(fill_milli_wh[row])} mWh: need >= 0")
    bought, sold = int(fill_milli_wh[is_buy].sum()), int(fill_milli_wh[~is_buy].sum())
    if bought != sold:
        raise SettlementError(f"fills do not balance: {bought} mWh bought, {sold} mWh sold")
    if node.size and not 0 <= int(node.min()) <= int(node.max()) < parent.size:
        raise SettlementError(f"a fill names a node outside 0..{parent.size - 1}")


def _wishes(
    account: NDArray[np.int64], wish: Preferences
) -> list[tuple[Met, NDArray[np.int64], NDArray[np.int64]]]:
    """Return kind, key at a buyer's row, key at a seller's row per wish: rows with equal keys >= 0 may meet."""
    source_wanted = np.where(wish.source_wanted > 0, wish.source_wanted, NO_WISH)
    kinds = [
        (Met.BUYERS_PARTNER, wish.partner, account),
        (Met.SELLERS_PARTNER, account, wish.partner),
        (Met.BUYERS_GROUP, wish.group, wish.member_of),
        (Met.SELLERS_GROUP, wish.member_of, wish.group),
        (Met.BUYERS_SOURCE, source_wanted, wish.source),
    ]
    return [kind for kind in kinds if account.size and int(min(kind[1].max(), kind[2].max())) >= 0]


def _meeting(
    at: NDArray[np.int64], left: NDArray[np.int64], buys: NDArray[np.int64], sells: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return how much of each row meets at its node: the shorter side whole, the longer by row order."""
    meeting = np.zeros_like(left)
    most = int(at[np.concatenate([buys, sells])].max()) + 1
    total = [_sums(at[rows], left[rows], most) for rows in (buys, sells)]
    shorter = np.minimum(total[0], total[1])
    for rows in (buys, sells):
        order = rows[np.argsort(at[rows], kind="stable")]
        start, end = _spans(at[order], left[order])
        limit = shorter[at[order]]
        meeting[order] = np.minimum(end, limit) - np.minimum(start, limit)
    return meeting


def _match(
    at: NDArray[np.int64],
    meeting: NDArray[np.int64],
    buys: NDArray[np.int64],
    sells: NDArray[np.int64],
    met: Met,
    buyer_key: NDArray[np.int64] | None,
    seller_key: NDArray[np.int64] | None,
) -> list[tuple[NDArray[np.int64], ...]]:
    """Pair what meets at equal node and key, in the order of rows, and take it from `meeting`."""
    buys, sells = buys[meeting[buys] > 0], sells[meeting[sells] > 0]
    buy_group, sell_group = at[buys], at[sells]
    if buyer_key is not None and seller_key is not None:
        wishing, offering = buyer_key[buys] >= 0, seller_key[sells] >= 0
        buys, sells = buys[wishing], sells[offering]
        stride = int(max(buyer_key.max(), seller_key.max())) + 1
        buy_group = at[buys] * stride + buyer_key[buys]
        sell_group = at[sells] * stride + seller_key[sells]
    if not buys.size or not sells.size:
        return []
    _, compact = np.unique(np.concatenate([buy_group, sell_group]), return_inverse=True)
    n_groups = int(compact.max()) + 1
    sides = []
    for rows, group in ((buys, compact[: buys.size]), (sells, compact[buys.size :])):
        order = np.argsort(group, kind="stable")
        sides.append((rows[order], group[order], _sums(group, meeting[rows], n_groups)))
    shorter = np.minimum(sides[0][2], sides[1][2])
    base = np.cumsum(shorter) - shorter
    # Both sides lie on one axis of energy; its cuts are the borders of the trades.
    ends = []
    for rows, group, _ in sides:
        _, end = _spans(group, meeting[rows])
        ends.append(base[group] + np.minimum(end, shorter[group]))
    cuts = np.unique(np.concatenate(ends))
    quantity = np.diff(cuts, prepend=0)
    cuts, quantity = cuts[quantity > 0], quantity[quantity > 0]
    buyer_row = sides[0][0][np.searchsorted(ends[0], cuts)]
    seller_row = sides[1][0][np.searchsorted(ends[1], cuts)]
    np.subtract.at(meeting, buyer_row, quantity)
    np.subtract.at(meeting, seller_row, quantity)
    return [(buyer_row, seller_row, quantity, at[buyer_row], np.full(quantity.size, int(met), np.int64))]


def _sums(group: NDArray[np.int64], quantity: NDArray[np.int64], n_groups: int) -> NDArray[np.int64]:
    """Return exact integer sums per group; `np.bincount` would go through floats."""
    sums = np.zeros(n_groups, dtype=np.int64)
    np.add.at(sums, group, quantity)
    return sums


def _spans(
    group: NDArray[np.int64], quantity: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each row's start and end on its group's own axis; rows of a group lie next to each other."""
    end = np.cumsum(quantity)
    start = end - quantity
    first = np.searchsorted(group, group)
    offset = start[first]
    return start - offset, end - offset
