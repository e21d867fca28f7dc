"""Bulk inserts store exactly what ordinary inserts store."""

import numpy as np
import pytest
from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, MetaData, String, Table, insert, select
from sqlalchemy.exc import IntegrityError

from node.store.bulk import insert_all, insert_columns
from node.store.schema import Amount
from node.store.unit_of_work import Store

METADATA = MetaData()
COLUMNS = (
    ("id", Integer),
    ("flag", Boolean),
    ("power_w", Float),
    ("raw", LargeBinary),
    ("name", String),
    ("amount", Amount),
)
PLAIN = Table("plain", METADATA, *(Column(n, t, primary_key=n == "id") for n, t in COLUMNS))
BULK = Table("bulk", METADATA, *(Column(n, t, primary_key=n == "id") for n, t in COLUMNS))
ROWS = [
    {"id": 1, "flag": True, "power_w": -0.1, "raw": b"\x00\xff", "name": "a'b", "amount": -(2**79)},
    {"id": 2, "flag": False, "power_w": 1e-300, "raw": b"", "name": "ä", "amount": 0},
    {"id": 3, "flag": None, "power_w": None, "raw": None, "name": None, "amount": None},
]


@pytest.fixture
def store():
    store = Store("sqlite://")
    store.create_tables(METADATA)
    yield store
    store.close()


def test_rows_are_the_same_as_those_of_an_ordinary_insert(store):
    with store.begin() as connection:
        connection.execute(insert(PLAIN), ROWS)
        insert_all(connection, BULK, ROWS)
        assert connection.execute(select(BULK)).all() == connection.execute(select(PLAIN)).all()


def test_columns_may_come_in_any_order_and_be_left_out(store):
    with store.begin() as connection:
        insert_all(connection, BULK, [{"name": "x", "id": 7}])
        row = connection.execute(select(BULK)).one()
    assert (row.id, row.name, row.flag, row.amount) == (7, "x", None, None)


def test_one_column_and_no_rows(store):
    with store.begin() as connection:
        insert_all(connection, BULK, [])
        insert_all(connection, BULK, [{"id": 1}, {"id": 2}])
        assert len(connection.execute(select(BULK)).all()) == 2


def test_a_violated_key_undoes_the_whole_transaction(store):
    with pytest.raises(IntegrityError), store.begin() as connection:
        insert_all(connection, BULK, [{"id": 1}, {"id": 1}])
    with store.read() as connection:
        assert connection.execute(select(BULK)).all() == []


def test_an_amount_that_is_no_integer_is_refused(store):
    with pytest.raises(TypeError, match="an amount is an int"), store.begin() as connection:
        insert_all(connection, BULK, [{"id": 1, "amount": 1.5}])


def test_columns_may_be_arrays_sequences_or_one_value_for_all(store):
    with store.begin() as connection:
        insert_columns(
            connection,
            BULK,
            {
                "name": "same",
                "id": np.array([5, 6]),
                "power_w": np.array([0.1, -2.5]),
                "flag": np.array([True, False]),
                "amount": [2**79, -1],
                "raw": (b"a", b"b"),
            },
        )
        found = connection.execute(select(BULK).order_by(BULK.c.id)).all()
    assert [tuple(row) for row in found] == [
        (5, True, 0.1, b"a", "same", 2**79),
        (6, False, -2.5, b"b", "same", -1),
    ]


def test_an_amount_that_all_rows_share_is_converted_too(store):
    with store.begin() as connection:
        insert_columns(connection, BULK, {"id": [1, 2], "amount": -(2**79)})
        assert connection.execute(select(BULK.c.amount)).scalars().all() == [-(2**79)] * 2


def test_columns_of_no_rows_are_fine(store):
    with store.begin() as connection:
        insert_columns(connection, BULK, {"id": np.zeros(0, np.int64), "name": "x"})
        assert connection.execute(select(BULK)).all() == []


@pytest.mark.parametrize("columns", [{"id": [1, 2], "name": ["x"]}, {"id": 1, "name": "x"}])
def test_columns_of_different_or_no_length_are_refused(store, columns):
    with pytest.raises(ValueError, match="columns of bulk have lengths"), store.begin() as connection:
        insert_columns(connection, BULK, columns)
