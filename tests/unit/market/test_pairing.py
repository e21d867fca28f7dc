"""Pairing: conservation, nearness by a slow independent pairing, and wishes that cost nobody anything."""

import numpy as np
import pytest
from numpy.typing import NDArray

from market.errors import MarketError
from market.orders import Source
from market.pairing import NO_WISH, Preferences, Trades, pair

# 0 is the root, 1 and 2 are streets, 3..6 are homes.
STREETS = np.array([-1, 0, 0, 1, 1, 2, 2])
BUY, SELL = True, False


def arrays(
    *rows: tuple[bool, int, int],
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Return account, side, fill and node of rows (side, fill, node); accounts are 10, 11, ..."""
    return (
        np.arange(10, 10 + len(rows)),
        np.array([row[0] for row in rows], dtype=np.bool_),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.int64),
    )


def as_tuples(trades: Trades) -> list[tuple[int, int, int, int]]:
    columns = (trades.buyer, trades.seller, trades.quantity_milli_wh, trades.met_at)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def random_fills(
    rng: np.random.Generator, n: int, parent: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    buy = rng.random(n) < 0.5
    buy[0], buy[1] = True, False
    fill = rng.integers(0, 30, n)
    gap = int(fill[buy].sum()) - int(fill[~buy].sum())
    fill[1 if gap > 0 else 0] += abs(gap)
    return rng.integers(2, 2 + max(2, n // 2), n), buy, fill, rng.integers(0, parent.size, n)


def random_preferences(rng: np.random.Generator, account: NDArray[np.int64]) -> Preferences:
    n = account.size
    return Preferences(
        partner=np.where(rng.random(n) < 0.5, rng.choice(account, n), NO_WISH),
        group=rng.integers(-1, 3, n),
        member_of=rng.integers(-1, 3, n),
        source_wanted=rng.integers(-1, 3, n),
        source=rng.integers(0, 3, n),
    )


def met_per_node(
    is_buy: NDArray[np.bool_], fill: NDArray[np.int64], node: NDArray[np.int64], parent: NDArray[np.int64]
) -> dict[tuple[int, int], int]:
    """Walk row by row, node by node: energy of (row, node at which it meets)."""
    children: dict[int, list[int]] = {}
    for child, above in enumerate(parent.tolist()):
        children.setdefault(above, []).append(child)
    met: dict[tuple[int, int], int] = {}

    def rise(at: int) -> dict[int, int]:
        rest = {row: int(fill[row]) for row in range(fill.size) if node[row] == at}
        for child in children.get(at, []):
            rest |= rise(child)
        meets = min(
            sum(q for r, q in rest.items() if is_buy[r]), sum(q for r, q in rest.items() if not is_buy[r])
        )
        for side in (True, False):
            left = meets
            for row in sorted(r for r in rest if bool(is_buy[r]) is side):
                part = min(left, rest[row])
                left -= part
                rest[row] -= part
                if part:
                    met[row, at] = part
        return rest

    assert all(q == 0 for q in rise(0).values())
    return met


def met_of(trades: Trades) -> dict[tuple[int, int], int]:
    met: dict[tuple[int, int], int] = {}
    for rows in (trades.buyer_row, trades.seller_row):
        for row, at, quantity in zip(
            rows.tolist(), trades.met_at.tolist(), trades.quantity_milli_wh.tolist(), strict=True
        ):
            met[row, at] = met.get((row, at), 0) + quantity
    return met


def test_neighbours_trade_before_the_street_and_the_street_before_the_town() -> None:
    fills = arrays((BUY, 10, 3), (SELL, 4, 3), (SELL, 4, 4), (SELL, 2, 5))
    assert as_tuples(pair(*fills, STREETS)) == [(10, 11, 4, 3), (10, 12, 4, 1), (10, 13, 2, 0)]


def test_within_a_node_rows_meet_in_their_order() -> None:
    fills = arrays((BUY, 3, 3), (BUY, 5, 3), (SELL, 4, 3), (SELL, 4, 3))
    assert as_tuples(pair(*fills, STREETS)) == [(10, 12, 3, 3), (11, 12, 1, 3), (11, 13, 4, 3)]


@pytest.mark.parametrize("with_wishes", [False, True])
def test_random_fills_meet_at_the_nodes_of_a_walk_up_the_tree(with_wishes: bool) -> None:
    rng = np.random.default_rng(11)
    for _ in range(150):
        n_nodes = int(rng.integers(1, 12))
        parent = np.array([-1] + [int(rng.integers(0, child)) for child in range(1, n_nodes)])
        account, buy, fill, node = random_fills(rng, int(rng.integers(2, 25)), parent)
        wishes = random_preferences(rng, account) if with_wishes else None
        trades = pair(account, buy, fill, node, parent, wishes)
        assert np.all(trades.quantity_milli_wh > 0)
        assert buy[trades.buyer_row].all() and not buy[trades.seller_row].any()
        assert np.array_equal(account[trades.buyer_row], trades.buyer)
        assert np.array_equal(account[trades.seller_row], trades.seller)
        assert met_of(trades) == met_per_node(buy, fill, node, parent)


def test_a_preferred_partner_is_met_where_both_meet_anyway() -> None:
    fills = arrays((BUY, 4, 3), (BUY, 4, 3), (SELL, 4, 3), (SELL, 4, 3))
    wishes = Preferences.none(4)
    wishes.partner[0] = 13
    assert as_tuples(pair(*fills, STREETS, wishes)) == [(10, 13, 4, 3), (11, 12, 4, 3)]


def test_a_seller_may_prefer_a_buyer() -> None:
    fills = arrays((BUY, 4, 3), (BUY, 4, 3), (SELL, 4, 3), (SELL, 4, 3))
    wishes = Preferences.none(4)
    wishes.partner[3] = 10
    assert as_tuples(pair(*fills, STREETS, wishes)) == [(10, 13, 4, 3), (11, 12, 4, 3)]


def test_a_preferred_source_and_a_preferred_group_are_met() -> None:
    fills = arrays((BUY, 4, 3), (BUY, 4, 3), (SELL, 4, 3), (SELL, 4, 3))
    wishes = Preferences.none(4)
    wishes.source_wanted[0] = Source.SOLAR
    wishes.source[2:] = (Source.STORAGE, Source.SOLAR)
    assert as_tuples(pair(*fills, STREETS, wishes))[0] == (10, 13, 4, 3)
    wishes = Preferences.none(4)
    wishes.group[1], wishes.member_of[2] = 7, 7
    assert as_tuples(pair(*fills, STREETS, wishes)) == [(11, 12, 4, 3), (10, 13, 4, 3)]


def test_a_wish_moves_nobody_farther_away() -> None:
    """Row 1 wishes for the near seller, but row 0 comes first: the wish would push row 0 up the street."""
    fills = arrays((BUY, 4, 3), (BUY, 4, 3), (SELL, 4, 3), (SELL, 4, 4))
    wishes = Preferences.none(4)
    wishes.partner[1] = 12
    assert as_tuples(pair(*fills, STREETS, wishes)) == [(10, 12, 4, 3), (11, 13, 4, 1)]


def test_no_fills_give_no_trades() -> None:
    assert len(pair(*arrays(), STREETS)) == 0
    assert len(pair(*arrays((BUY, 0, 3), (SELL, 0, 4)), STREETS)) == 0


def test_energies_beyond_the_exact_range_of_floats_are_paired_to_the_unit() -> None:
    fills = arrays((BUY, 2**60 + 1, 3), (SELL, 2**60, 3), (SELL, 1, 6))
    assert as_tuples(pair(*fills, STREETS)) == [(10, 11, 2**60, 3), (10, 12, 1, 0)]


@pytest.mark.parametrize(
    ("rows", "parent", "message"),
    [
        ([(BUY, 5, 3), (SELL, 4, 3)], STREETS, "do not balance: 5 mWh bought, 4 mWh sold"),
        ([(BUY, -5, 3), (SELL, -5, 3)], STREETS, "row 0 is -5"),
        ([(BUY, 5, 9), (SELL, 5, 3)], STREETS, "node outside"),
        ([(BUY, 5, 0), (SELL, 5, 1)], np.array([-1, -1]), "2 roots"),
        ([(BUY, 5, 0), (SELL, 5, 1)], np.array([-1, 2, 1]), "circle"),
    ],
)
def test_what_cannot_be_paired_is_refused(
    rows: list[tuple[bool, int, int]], parent: NDArray[np.int64], message: str
) -> None:
    with pytest.raises(MarketError, match=message):
        pair(*arrays(*rows), parent)
