"""Pairing: conservation, nearness by a slow independent pairing, and wishes that cost nobody anything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from market.errors import MarketError
from market.orders import Source
from market.pairing import NO_WISH, Met, Preferences, Trades, pair

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


# ------------------------------------------------------------------ wishes cost nobody anything

STREET = np.array([-1, 0, 0])


@st.composite
def wishful_fills(draw: st.DrawFn) -> tuple[tuple, Preferences]:
    """Fills at a root and two streets, in balance, whose rows wish for anything."""
    n = draw(st.integers(2, 10))
    whole = st.lists(st.integers(0, 12), min_size=n, max_size=n)
    fill, is_buy = np.array(draw(whole)), np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    is_buy[0], is_buy[1] = True, False
    gap = int(fill[is_buy].sum() - fill[~is_buy].sum())
    fill[1 if gap > 0 else 0] += abs(gap)

    def column(low: int, high: int) -> NDArray[np.int64]:
        return np.array(draw(st.lists(st.integers(low, high), min_size=n, max_size=n)), np.int64)

    account, node = column(2, 5), column(0, 2)
    wishes = Preferences.of(
        is_buy, column(0, 2), np.where(column(0, 1), column(2, 5), 0), column(0, 2), column(0, 2)
    )
    return (account, is_buy, fill, node, STREET), wishes


def energy_of(trades: Trades, met: Met, at: int) -> int:
    return int(trades.quantity_milli_wh[(trades.met == met) & (trades.met_at == at)].sum())


@given(wishful_fills())
def test_wishes_change_no_rows_energy_nor_how_far_it_goes(case) -> None:
    fills, wishes = case
    plain, wishful = pair(*fills), pair(*fills, wishes)
    assert met_of(plain) == met_of(wishful)
    assert (plain.met == Met.NEAREST).all()


@given(wishful_fills())
def test_the_same_fills_and_wishes_give_the_same_trades(case) -> None:
    fills, wishes = case
    first, second = pair(*fills, wishes), pair(*(np.array(part) for part in fills), wishes)
    for name in Trades.__slots__:
        assert np.array_equal(getattr(first, name), getattr(second, name))


@given(wishful_fills())
def test_what_is_said_to_be_a_wish_is_one(case) -> None:
    fills, wishes = case
    trades = pair(*fills, wishes)
    for met, b, s in zip(trades.met, trades.buyer_row, trades.seller_row, strict=True):
        account = fills[0]
        assert {
            Met.NEAREST: True,
            Met.BUYERS_PARTNER: wishes.partner[b] == account[s],
            Met.SELLERS_PARTNER: wishes.partner[s] == account[b],
            Met.BUYERS_GROUP: wishes.group[b] == wishes.member_of[s] >= 0,
            Met.SELLERS_GROUP: wishes.group[s] == wishes.member_of[b] >= 0,
            Met.BUYERS_SOURCE: wishes.source_wanted[b] == wishes.source[s] > 0,
        }[Met(met)]


@given(wishful_fills())
def test_wishes_of_buyers_for_partners_get_all_that_any_pairing_at_the_node_could_give(case) -> None:
    """Maximum flow from what meets of wishing buyers to what meets of those they wish for (linear programme)."""
    fills, wishes = case
    account, is_buy, *_ = fills
    meets, trades = met_of(pair(*fills)), pair(*fills, wishes)
    for at in range(STREET.size):
        here = {row: quantity for (row, node), quantity in meets.items() if node == at}
        pairs = [
            (b, s)
            for b in here
            for s in here
            if is_buy[b] and not is_buy[s] and wishes.partner[b] == account[s]
        ]
        most = 0.0
        if pairs:
            limits = np.array([[row in pair_ for pair_ in pairs] for row in here], float)
            solved = linprog(-np.ones(len(pairs)), A_ub=limits, b_ub=list(here.values()), method="highs")
            most = -solved.fun
        assert energy_of(trades, Met.BUYERS_PARTNER, at) == round(most)


@given(wishful_fills())
def test_no_two_rows_that_wish_for_each_other_are_both_left_to_the_nearest(case) -> None:
    fills, wishes = case
    account, trades = fills[0], pair(*fills, wishes)
    rest = trades.met == Met.NEAREST
    for at in range(STREET.size):
        left = rest & (trades.met_at == at)
        for b in trades.buyer_row[left]:
            for s in trades.seller_row[left]:
                assert wishes.partner[b] != account[s] and wishes.partner[s] != account[b]
                assert not 0 <= wishes.group[b] == wishes.member_of[s]
                assert not 0 <= wishes.group[s] == wishes.member_of[b]
                assert not 0 < wishes.source_wanted[b] == wishes.source[s]
