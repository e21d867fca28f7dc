"""The book of arrays answers as a dictionary of cells would, and does not care how orders were batched."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.book import COLUMNS, Book

orders = st.tuples(
    st.integers(2, 5),  # account
    st.integers(0, 2),  # lane
    st.integers(0, 40),  # first
    st.integers(0, 20),  # how many more intervals
    st.integers(0, 3),  # quantity; 0 cancels
)
actions = st.lists(
    st.one_of(
        st.lists(orders, min_size=1, max_size=8),
        st.tuples(st.just("close"), st.integers(0, 60)),
        st.tuples(st.just("forget"), st.integers(0, 30)),
    ),
    max_size=15,
)


class CellModel:
    def __init__(self):
        self.open, self.closed, self.forgotten = {}, set(), 0

    def submit(self, sequence, order):
        account, lane, first, more, quantity = order
        for t in range(max(first, self.forgotten), first + more + 1):
            self.open.setdefault(t, {})[account, lane] = (sequence, quantity)

    def select(self, t):
        return sorted((s, q) for s, q in self.open.get(t, {}).values() if q)

    def close(self, t):
        self.closed |= {(t, *cell) for cell, (_, q) in self.open.pop(t, {}).items() if q}

    def forget(self, t):
        self.forgotten = max(self.forgotten, t)
        self.open = {u: cells for u, cells in self.open.items() if u >= t}
        self.closed = {one for one in self.closed if one[0] >= t}


def batch_of(batch, sequence):
    account, lane, first, more, quantity = (np.array(column) for column in zip(*batch, strict=True))
    n = len(batch)
    values = (
        np.arange(sequence, sequence + n),
        account,
        quantity % 2 == 0,
        lane,
        first,
        first + more,
        quantity,
        quantity * 7,
        np.zeros(n, int),
        np.zeros(n, int),
        np.zeros(n, int),
    )
    return dict(zip(COLUMNS, values, strict=True))


@given(actions)
def test_book_answers_as_a_dictionary_of_cells(steps):
    book, model, sequence = Book(), CellModel(), 0
    for step in steps:
        if isinstance(step, list):
            book.submit(**batch_of(step, sequence))
            for order in step:
                model.submit(sequence, order)
                sequence += 1
        elif step[0] == "close":
            if step[1] >= model.forgotten:
                book.close_round(step[1], sequence)
                model.close(step[1])
        else:
            book.forget_before(step[1])
            model.forget(step[1])
    for t in range(model.forgotten, 62):
        selection = book.select(t)
        seen = zip(selection.sequence.tolist(), selection.orders.quantity_milli_wh.tolist(), strict=True)
        assert list(seen) == model.select(t)
        for account in range(2, 6):
            for lane in range(3):
                assert book.is_closed(t, account, lane) == ((t, account, lane) in model.closed)


@given(st.lists(orders, min_size=1, max_size=30), st.lists(st.integers(0, 30)))
def test_how_orders_are_batched_leaves_no_trace(rows, cuts):
    whole, pieces = Book(), Book()
    whole.submit(**batch_of(rows, 0))
    borders = sorted({0, len(rows), *(min(c, len(rows)) for c in cuts)})
    for a, b in zip(borders, borders[1:], strict=False):
        pieces.submit(**batch_of(rows[a:b], a))
    assert whole.to_bytes() == pieces.to_bytes()
    for t in range(0, 62, 7):
        assert whole.select(t).rows.tolist() == pieces.select(t).rows.tolist()


@given(st.lists(orders, min_size=1, max_size=30))
def test_restored_book_goes_on_as_the_original(rows):
    book = Book()
    book.submit(**batch_of(rows, 0))
    book.close_round(20, len(rows))
    book.forget_before(10)
    twin = Book.from_bytes(book.to_bytes())
    more = batch_of(rows[::-1], len(rows))
    book.submit(**more)
    twin.submit(**more)
    assert book.to_bytes() == twin.to_bytes()
    for t in range(10, 62):
        assert book.select(t).sequence.tolist() == twin.select(t).sequence.tolist()
