"""The book keeps the newest order of each cell, finds an interval's without the others, and forgets in time."""

import tracemalloc

import numpy as np
import pytest

from market.auction import clear
from market.book import COLUMNS, Book
from market.errors import BookInconsistent
from market.replay import ClearedRound, first_difference


def columns(*rows, sequence=0):
    """Rows of (account, lane, first, last, quantity, limit, is_buy)."""
    table = {name: [] for name in COLUMNS}
    for i, (account, lane, first, last, quantity, limit, is_buy) in enumerate(rows):
        values = (sequence + i, account, is_buy, lane, first, last, quantity, limit, 0, 0, 0)
        for name, value in zip(COLUMNS, values, strict=True):
            table[name].append(value)
    return {name: np.array(values) for name, values in table.items()}


def book_of(*rows):
    book = Book()
    book.submit(**columns(*rows))
    return book


def quantities(book, interval, **before):
    return book.select(interval, **before).orders.quantity_milli_wh.tolist()


def test_newest_order_of_a_lane_holds_the_intervals_it_covers():
    book = book_of((2, 0, 10, 19, 100, 5, True), (2, 0, 12, 13, 50, 5, True))
    assert [quantities(book, t) for t in (9, 10, 12, 13, 14, 20)] == [[], [100], [50], [50], [100], []]


def test_quantity_zero_cancels_and_other_lanes_and_accounts_stay():
    book = book_of(
        (2, 0, 10, 10, 100, 5, True),
        (2, 1, 10, 10, 7, 5, True),
        (3, 0, 10, 10, 8, 5, True),
        (2, 0, 10, 10, 0, 5, True),
    )
    assert quantities(book, 10) == [7, 8]


def test_selection_stands_in_the_order_of_arrival():
    book = book_of((9, 0, 1, 4, 1, 5, True), (2, 0, 2, 2, 2, 5, True), (5, 0, 0, 7, 3, 5, False))
    selection = book.select(2)
    assert selection.sequence.tolist() == [0, 1, 2]
    assert selection.orders.account.tolist() == [9, 2, 5]
    assert selection.orders.is_buy.tolist() == [True, True, False]


def test_cells_of_a_round_are_closed_and_other_lanes_take_part_in_the_next():
    book = book_of((2, 0, 10, 11, 100, 5, True))
    book.close_round(10, 1)
    book.submit(**columns((2, 0, 11, 11, 60, 5, True), (2, 1, 10, 10, 40, 5, True), sequence=1))
    assert quantities(book, 10) == [40]
    assert quantities(book, 11) == [60]
    assert [book.is_closed(10, 2, lane) for lane in (0, 1)] == [True, False]
    assert not book.is_closed(11, 2, 0)
    assert not book.is_closed(10, 3, 0)


def test_cell_that_was_cancelled_before_the_round_is_not_closed():
    book = book_of((2, 0, 10, 10, 100, 5, True), (2, 0, 10, 10, 0, 5, True))
    book.close_round(10, 2)
    assert not book.is_closed(10, 2, 0)


def test_closed_cells_of_earlier_rounds_stay_closed():
    book = book_of((2, 0, 10, 10, 100, 5, True))
    book.close_round(10, 1)
    book.submit(**columns((2, 1, 10, 10, 1, 5, True), sequence=1))
    book.close_round(10, 2)
    assert book.is_closed(10, 2, 0) and book.is_closed(10, 2, 1)


def test_round_sees_only_orders_before_its_gate():
    book = book_of((2, 0, 10, 10, 100, 5, True), (2, 0, 10, 10, 60, 5, True))
    assert quantities(book, 10, before=1) == [100]


@pytest.mark.parametrize("account", [2, 2**32 - 1])
def test_cells_far_apart_are_told_apart(account):
    book = book_of(
        (0, 0, 10, 10, 1, 5, True), (account, 31, 10, 10, 2, 5, True), (account, 31, 10, 10, 3, 5, True)
    )
    assert quantities(book, 10) == [1, 3]
    assert book.select(10).orders.account.tolist() == [0, account]


def test_settled_intervals_are_forgotten_and_sequences_go_on():
    book = book_of(*[(2, 0, t, t + 1, t, 5, True) for t in range(1, 9)])
    book.close_round(3, 8)
    book.forget_before(8)
    assert len(book) == 2
    assert [quantities(book, t) for t in (2, 8, 9, 10)] == [[], [8], [8], []]
    assert not book.is_closed(3, 2, 0)
    assert book.next_sequence() == 8
    assert book.column("sequence").tolist() == [6, 7]


def test_rows_amended_over_the_same_intervals_are_dropped():
    book = book_of(*[(2, 0, 5, 6, q, 5, True) for q in range(1, 9)])
    book.submit(**columns((2, 0, 1, 1, 1, 1, True), sequence=8))
    book.forget_before(2)
    assert len(book) == 9, "half of the rows must be settled before any row is moved"
    settled = columns(*[(2, 0, 2, 2, 9, 5, True)] * 9, sequence=9)
    book.submit(**settled)
    book.forget_before(3)
    assert quantities(book, 5) == [8]
    assert len(book) == 1


def test_book_that_forgot_everything_takes_orders_again():
    book = book_of((2, 0, 5, 6, 1, 5, True))
    book.forget_before(7)
    assert len(book) == 0
    book.submit(**columns((2, 0, 7, 7, 4, 5, True), sequence=1))
    assert quantities(book, 7) == [4]


def test_bytes_restore_the_book_and_are_the_same_for_the_same_book():
    book = book_of((2, 0, 10, 19, 100, 5, True), (3, 1, 12, 13, 50, -5, False))
    book.close_round(12, 2)
    book.forget_before(11)
    twin = Book.from_bytes(book.to_bytes())
    assert twin.to_bytes() == book.to_bytes()
    assert twin.next_sequence() == 2
    assert quantities(book, 10) == []
    for t in range(9, 21):
        assert quantities(twin, t) == quantities(book, t)
    assert twin.is_closed(12, 3, 1)
    twin.submit(**columns((4, 0, 13, 13, 1, 1, True), sequence=2))
    assert quantities(twin, 13) == [100, 50, 1]


@pytest.mark.parametrize("spoil", [lambda b: b"x" + b, lambda b: b[:-1], lambda b: b + b"0"])
def test_bytes_that_are_no_book_are_refused(spoil):
    with pytest.raises(BookInconsistent):
        Book.from_bytes(spoil(book_of((2, 0, 10, 10, 1, 1, True)).to_bytes()))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("sequence", 3, "must grow"),
        ("account", 2**32, "account"),
        ("account", -1, "account"),
        ("lane", 32, "lane"),
        ("first", -1, "first"),
        ("last", 2**24, "last"),
        ("last", 9, "before first"),
    ],
)
def test_order_that_breaks_the_book_is_refused_and_changes_nothing(field, value, message):
    book = book_of(*[(2, 0, 10, 10, 1, 1, True)] * 4)
    bad = columns((2, 0, 10, 10, 7, 1, True), sequence=4)
    bad[field] = np.array([value])
    before = book.to_bytes()
    with pytest.raises(BookInconsistent, match=message):
        book.submit(**bad)
    assert book.to_bytes() == before


def test_columns_that_miss_or_differ_in_length_are_refused():
    whole = columns((2, 0, 10, 10, 1, 1, True))
    with pytest.raises(BookInconsistent, match="expected"):
        Book().submit(**{k: v for k, v in whole.items() if k != "lane"})
    with pytest.raises(BookInconsistent, match="values"):
        Book().submit(**whole | {"lane": np.zeros(2)})
    assert Book().submit(**{name: np.zeros(0) for name in COLUMNS}).size == 0


# ---------------------------------------------------------------- replay


def recorded(book, interval, round_, fee=0):
    selection = book.select(interval)
    result = clear(selection.orders, fee)
    pairs = zip(selection.sequence.tolist(), result.fills_milli_wh.tolist(), strict=True)
    fills = {sequence: quantity for sequence, quantity in pairs if quantity}
    price = result.price_micro_per_kwh if fills else None
    record = ClearedRound(interval, round_, book.next_sequence(), (price,), fills)
    book.close_round(interval, book.next_sequence())
    return record


def test_replay_finds_no_difference_in_a_true_record_and_the_first_in_a_false_one():
    live, log = Book(), []
    batches = [
        [(2, 0, 10, 11, 100, 50, False), (3, 0, 10, 10, 70, 60, True), (3, 0, 11, 11, 30, 10, True)],
        [(2, 1, 10, 10, 30, 40, False), (4, 0, 10, 10, 30, 90, True)],
    ]
    orders = Book()
    for round_, rows in enumerate(batches):
        batch = columns(*rows, sequence=live.next_sequence())
        live.submit(**batch)
        orders.submit(**batch)
        log += [recorded(live, 10, round_, fee=1)] + ([recorded(live, 11, 0, fee=1)] if round_ == 0 else [])
    data = orders.to_bytes()
    assert first_difference(Book.from_bytes(data), log, 1) is None
    forged = [log[0], log[1], ClearedRound(10, 1, 5, log[2].prices_micro_per_kwh, {3: 30, 4: 29})]
    difference = first_difference(Book.from_bytes(data), forged, 1)
    assert str(difference) == "interval 10, round 1: the fill of order 4 is recorded as 29, replayed as 30"
    wrong_fee = first_difference(Book.from_bytes(data), [ClearedRound(10, 0, 3, (99,), {})], 1)
    assert wrong_fee.what == "the price"


# ---------------------------------------------------------------- a million open orders


def million():
    n = 10**6
    rng = np.random.default_rng(11)
    first = rng.integers(0, 96, n).astype(np.int32)
    return {
        "sequence": np.arange(n),
        "account": (2 + np.arange(n) // 32).astype(np.uint32),
        "is_buy": rng.random(n) < 0.5,
        "lane": (np.arange(n) % 32).astype(np.uint8),
        "first": first,
        "last": first,
        "quantity_milli_wh": rng.integers(1, 10**6, n),
        "limit_micro_per_kwh": rng.integers(80_000, 300_000, n),
        "source": np.zeros(n, np.uint8),
        "partner": np.zeros(n, np.uint32),
        "group": np.zeros(n, np.uint16),
    }


def test_a_million_open_orders_fit_in_150_mb_and_load_save_and_replay_to_the_same_bytes():
    orders = million()
    tracemalloc.start()
    book = Book()
    book.submit(**orders)
    held_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert sum(len(book.select(t).rows) for t in range(96)) == 10**6
    assert held_bytes <= 150e6
    # saved and loaded
    saved = book.to_bytes()
    loaded = Book.from_bytes(saved)
    assert loaded.to_bytes() == saved
    # replayed in batches of another size
    replayed = Book()
    for start in range(0, 10**6, 77_777):
        replayed.submit(**{name: column[start : start + 77_777] for name, column in orders.items()})
    assert replayed.to_bytes() == saved
    # and every interval clears to the same prices and fills from each of them
    for interval in range(0, 96, 19):
        results = [clear(each.select(interval).orders, 2_500) for each in (book, loaded, replayed)]
        assert len({result.price_micro_per_kwh for result in results}) == 1
        assert len({result.fills_milli_wh.tobytes() for result in results}) == 1
        assert results[0].volume_milli_wh > 0


def test_an_order_that_comes_in_moves_no_other():
    """Peers sort their book again at every insert; here rows stay, but for 14 growths of the columns by half."""
    book, moves = Book(), 0
    for i in range(10_000):
        before = book.column("account")
        book.submit(**columns((2 + i, 0, 7, 7, 5, 9, True), sequence=i))
        moves += bool(i) and not np.shares_memory(before, book.column("account"))
    assert moves <= 14
    assert book.column("account").tolist() == list(range(2, 10_002))
