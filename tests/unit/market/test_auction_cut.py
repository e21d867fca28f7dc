"""The cut guessed from a sample is the cut that looks at every row, to the unit, with any fee."""

import numpy as np
import pytest

from market import auction_cut
from market.orders import OrderArrays


def random_book(rng: np.random.Generator) -> OrderArrays:
    """Return a book of any shape: few or many prices, one-sided or balanced, quantities of zero included."""
    n, span = int(rng.integers(64, 400)), int(rng.choice([3, 20, 300, 5_000]))
    is_buy = rng.random(n) < rng.choice([0.3, 0.5, 0.7])
    limit = np.where(is_buy, rng.integers(-span // 4, span, n), rng.integers(-span // 3, span, n))
    return OrderArrays(np.arange(n), is_buy, rng.integers(0, int(rng.choice([2, 10, 1_000])), n), limit)


def test_a_guess_from_a_sample_is_the_exact_cut_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auction_cut, "SAMPLE_ROWS", 32)
    monkeypatch.setattr(auction_cut, "BLOCK_ROWS", 50)
    rng = np.random.default_rng(5)
    n_guessed = n_with_fee = 0
    for _ in range(600):
        orders = random_book(rng)
        span = int(np.ptp(orders.limit_micro_per_kwh))
        fee = int(rng.choice([0, 1, span // 10, span // 3, span]))
        book = auction_cut._Rows(orders.limit_micro_per_kwh, orders.is_buy, orders.quantity_milli_wh, fee)
        exact = auction_cut._cut_by_histogram(book, None)
        for sigmas in (0.3, 1.5, 6.0):
            guess = auction_cut._cut_by_sample(book, sigmas)
            if guess is None:
                continue
            n_guessed, n_with_fee = n_guessed + 1, n_with_fee + (fee > 1)
            assert np.array_equal(guess.fills, exact.fills)
            assert (guess.low, guess.high, guess.volume) == (exact.low, exact.high, exact.volume)
    assert n_guessed > 300
    assert n_with_fee > 50


def test_a_large_book_is_cut_by_its_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    n = auction_cut.SAMPLED_FROM
    orders = OrderArrays(
        np.arange(n), rng.random(n) < 0.5, rng.integers(1, 5_000, n), rng.integers(0, 2_000, n)
    )
    by_sample = auction_cut.cut(orders, 10)
    monkeypatch.setattr(auction_cut, "SAMPLED_FROM", n + 1)
    exact = auction_cut.cut(orders, 10)
    assert np.array_equal(by_sample.fills, exact.fills)
    assert (by_sample.low, by_sample.high, by_sample.volume) == (exact.low, exact.high, exact.volume)
