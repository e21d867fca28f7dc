"""Largest remainder: exact parts of a whole, checked against Python integers and by hand."""

from fractions import Fraction

import numpy as np
import pytest

from market.errors import SettlementError
from market.largest_remainder import split, split_segments, split_wide


def by_definition(amount: int, weights: list[int]) -> list[int]:
    """Hamilton's method in exact fractions, written from its definition."""
    total = sum(weights)
    quotas = [Fraction(amount * weight, total) for weight in weights]
    parts = [int(quota) for quota in quotas]
    ranking = sorted(range(len(weights)), key=lambda row: (int(quotas[row]) - quotas[row], row))
    for row in ranking[: amount - sum(parts)]:
        parts[row] += 1
    return parts


def test_ten_over_three_equal_weights_gives_the_odd_unit_to_the_first_row() -> None:
    assert split(10, np.array([7, 7, 7])).tolist() == [4, 3, 3]


def test_the_larger_remainder_wins_over_the_lower_row() -> None:
    # Quotas 0.9, 1.8, 2.3: floors 0, 1, 2 and two units left for the remainders 0.9 and 0.8.
    assert split(5, np.array([9, 18, 23])).tolist() == [1, 2, 2]


def test_a_row_without_weight_gets_nothing() -> None:
    assert split(3, np.array([0, 2, 0, 2])).tolist() == [0, 2, 0, 1]


def test_the_whole_of_the_weights_is_returned_as_it_is() -> None:
    assert split(9, np.array([4, 0, 5])).tolist() == [4, 0, 5]


def test_an_amount_larger_than_the_weights_is_shared_too() -> None:
    assert split(1_000, np.array([1, 2])).tolist() == [333, 667]


def test_nothing_over_no_weights_is_nothing() -> None:
    assert split(0, np.zeros(0, dtype=np.int64)).size == 0
    assert split(0, np.zeros(3, dtype=np.int64)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("amount", "weights"), [(-1, [1]), (1, [0, 0]), (1, []), (1, [2, -1])])
def test_what_cannot_be_split_is_refused(amount: int, weights: list[int]) -> None:
    with pytest.raises(SettlementError, match="cannot split"):
        split(amount, np.array(weights, dtype=np.int64))
    with pytest.raises(SettlementError, match="cannot split"):
        split_wide(amount, weights)


@pytest.mark.parametrize("top", [3, 50, 2**31, 2**39 - 1, 2**60])
def test_random_splits_equal_the_definition_in_exact_fractions(top: int) -> None:
    rng = np.random.default_rng(top)
    for _ in range(200):
        weights = rng.integers(0, top, rng.integers(1, 12))
        total = sum(weights.tolist())
        if total == 0:
            continue
        amount = int(rng.integers(0, min(total, 2**62) + 1))
        expected = by_definition(amount, weights.tolist())
        assert split(amount, weights).tolist() == expected
        assert split_wide(amount, weights.tolist()) == expected


def test_money_beyond_64_bits_is_split_exactly() -> None:
    parts = split_wide(10**25 + 1, [1, 1, 1])
    assert sum(parts) == 10**25 + 1
    assert max(parts) - min(parts) == 1


def test_no_part_exceeds_its_weight_when_the_amount_does_not_exceed_the_total() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        weights = rng.integers(0, 9, 20)
        amount = int(rng.integers(0, int(weights.sum()) + 1))
        parts = split(amount, weights)
        assert int(parts.sum()) == amount
        assert np.all((parts >= 0) & (parts <= weights))


@pytest.mark.parametrize("top", [4, 2**39 - 1, 2**57])
def test_segments_split_like_one_split_each(top: int) -> None:
    rng = np.random.default_rng(top)
    for _ in range(100):
        sizes = rng.integers(0, 6, 7)
        segment = np.repeat(np.arange(7), sizes)
        weights = rng.integers(0, top, segment.size)
        totals = np.array([int(weights[segment == s].sum()) for s in range(7)])
        amounts = np.array([int(rng.integers(0, total + 1)) for total in totals], dtype=np.int64)
        parts = split_segments(amounts, weights, segment)
        for s in range(7):
            assert parts[segment == s].tolist() == split(int(amounts[s]), weights[segment == s]).tolist()


def test_a_segment_asked_for_more_than_it_holds_is_refused_by_number() -> None:
    with pytest.raises(SettlementError, match="segment 1"):
        split_segments(np.array([1, 4]), np.array([2, 3]), np.array([0, 1]))


def test_segments_without_rows_carry_nothing() -> None:
    empty = np.zeros(0, dtype=np.int64)
    assert split_segments(np.array([0, 0]), empty, empty).size == 0
    with pytest.raises(SettlementError):
        split_segments(np.array([1]), empty, empty)
