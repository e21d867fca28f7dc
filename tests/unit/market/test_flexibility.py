"""A flexibility event pays signed delivery only, and every unit of its revenue."""

import numpy as np
import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from market.errors import SettlementError
from market.flexibility import (
    Baselines,
    FlexProduct,
    baseline_of_days,
    baseline_of_schedule,
    contributions_milli_wh,
    cut_shares_pico,
    delivery_score,
    settle_event,
    split_by_largest_remainder,
)
from market.merkle import MerkleTree, is_proved, leaf

PRODUCT = FlexProduct(first=100, last=103, requested_milli_wh=1000, revenue_pico=100)


def test_leaf_is_the_double_hash_of_the_abi_words():
    words = (7).to_bytes(32, "big") + b"\xff" * 31 + b"\xfe"  # account 7, baseline -2
    assert leaf(7, -2) == keccak(keccak(words))


def test_three_leaves_make_the_tree_worked_out_by_hand():
    a, b, c = (leaf(i, 10 * i) for i in (2, 3, 4))
    ab = keccak(min(a, b) + max(a, b))
    tree = MerkleTree.of([a, b, c])
    assert tree.root == keccak(min(ab, c) + max(ab, c))
    assert tree.proof(0) == (b, c)
    assert tree.proof(2) == (ab,)


@given(st.lists(st.tuples(st.integers(0, 2**32), st.integers(-(2**62), 2**62)), min_size=1, max_size=40))
def test_every_proof_holds_and_proves_nothing_else(rows):
    leaves = [leaf(*row) for row in rows]
    tree = MerkleTree.of(leaves)
    for i, one in enumerate(leaves):
        assert is_proved(one, tree.proof(i), tree.root)
        assert not is_proved(leaf(rows[i][0], rows[i][1] + 1), tree.proof(i), tree.root)
        assert len(tree.proof(i)) <= 6


def test_inner_node_does_not_pass_for_a_leaf():
    tree = MerkleTree.of([leaf(i, 0) for i in range(4)])
    assert tree.levels[1][0] not in tree.levels[0]
    with pytest.raises(SettlementError):
        tree.proof(4)


def test_tree_without_leaves_is_refused():
    with pytest.raises(SettlementError, match="0 baselines"):
        MerkleTree.of([])


@pytest.mark.parametrize(("account", "baseline"), [(-1, 0), (2, 2**63), (2, -(2**63))])
def test_baseline_out_of_range_is_refused(account, baseline):
    with pytest.raises(SettlementError, match="out of range"):
        leaf(account, baseline)


def test_same_members_give_the_same_root_in_any_order():
    one = Baselines.commit([5, 2, 9], [50, 20, 90])
    other = Baselines.commit([9, 5, 2], [90, 50, 20])
    assert one.root == other.root
    assert one.account == (2, 5, 9)
    assert is_proved(leaf(5, 50), one.proof(5), one.root)


def test_account_with_two_baselines_and_stranger_are_refused():
    with pytest.raises(SettlementError, match="two baselines"):
        Baselines.commit([2, 2], [1, 2])
    with pytest.raises(SettlementError, match="no member"):
        Baselines.commit([2], [1]).proof(3)


def test_baseline_is_the_mean_of_the_days_rounded_against_the_member():
    history = np.array([[[-10, -20], [-11, -20]], [[5, 5], [5, 6]]])  # two members, two days, two intervals
    assert baseline_of_days(history).tolist() == [-30, 11]  # -30.5 and 10.5


def test_history_without_days_is_refused():
    with pytest.raises(SettlementError, match="history"):
        baseline_of_days(np.zeros((2, 0, 4), np.int64))


def test_baseline_of_a_schedule_is_its_sum():
    assert baseline_of_schedule(np.array([[1, -4], [0, 7]])).tolist() == [-3, 7]


def test_contribution_is_metered_above_the_baseline_and_never_negative():
    before, after = np.array([100, 0, -50]), np.array([400, -90, -60])
    assert contributions_milli_wh(before, after, np.array([100, -80, -30])).tolist() == [200, 0, 20]


def test_event_is_settled_to_the_unit_and_scored():
    baselines = Baselines.commit([2, 3, 4], [0, 0, 0])
    outcome = settle_event(PRODUCT, baselines, np.zeros(3, np.int64), np.array([300, 300, 300]))
    assert outcome.share_pico == (33, 33, 34)  # cuts at floor(100/3) and floor(200/3)
    assert (outcome.refund_pico, outcome.score) == (0, 0.9)


def test_event_that_nobody_delivered_is_refunded():
    baselines = Baselines.commit([2, 3], [10, 0])
    outcome = settle_event(PRODUCT, baselines, np.zeros(2, np.int64), np.array([10, -5]))
    assert outcome.share_pico == (0, 0)
    assert outcome.refund_pico == PRODUCT.revenue_pico
    assert outcome.score == 0


@given(st.integers(1, 2**79 - 1), st.lists(st.integers(0, 2**40), min_size=1, max_size=50))
def test_shares_sum_to_the_revenue_and_are_within_one_unit_of_their_due(revenue, sizes):
    shares = cut_shares_pico(revenue, sizes)
    total = sum(sizes)
    assert sum(shares) == (revenue if total else 0)
    for share, size in zip(shares, sizes, strict=True):
        assert abs(share * total - revenue * size) < max(total, 1)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=10), st.integers(1, 10**6), st.data())
def test_splitting_one_identity_into_two_gains_less_than_two_units(sizes, revenue, data):
    part = data.draw(st.integers(0, sizes[0]))
    whole = cut_shares_pico(revenue, sizes)[0]
    split = sum(cut_shares_pico(revenue, [part, sizes[0] - part, *sizes[1:]])[:2])
    assert abs(whole - split) <= 1


def test_largest_remainder_is_at_hand_for_other_splits():
    assert split_by_largest_remainder(100, [1, 1, 1]) == [34, 33, 33]


def test_negative_contributions_are_refused():
    with pytest.raises(SettlementError, match="negative"):
        cut_shares_pico(10, [1, -1])


@pytest.mark.parametrize(
    "changes",
    [
        {"first": 0},
        {"last": 99},
        {"last": 2**24},
        {"requested_milli_wh": 0},
        {"revenue_pico": 0},
        {"revenue_pico": 2**79},
    ],
)
def test_product_out_of_range_is_refused(changes):
    fields = {"first": 100, "last": 103, "requested_milli_wh": 1, "revenue_pico": 1, **changes}
    with pytest.raises(SettlementError):
        FlexProduct(**fields)


def test_registers_are_read_at_the_ends_of_the_interval_before_and_the_last():
    assert PRODUCT.register_intervals == (99, 103)
    assert PRODUCT.n_intervals == 4
    assert delivery_score(PRODUCT, np.array([500])) == 0.5
