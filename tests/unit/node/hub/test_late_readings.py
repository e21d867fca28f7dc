"""Accounts that are behind: what is brought in when, at which price, signed by whom, and why."""

import pytest

from node.chain import typed_data
from node.chain.typed_data import CompactSignature
from node.hub.late_readings import LateReadings, WindowTerms
from node.store.tables_market import imbalances, readings, substitutes
from tests.unit.node.hub.small_hub import (
    ACCOUNTS,
    CAPACITY,
    DOMAIN,
    LENGTH_S,
    SHORT,
    Hub,
    T,
    key,
    order,
    reading,
)

WINDOW = 2  # intervals; so a substitute comes four intervals later


@pytest.fixture
def hub() -> Hub:
    return Hub.open()


def end(hub, interval, *told):
    """End an interval: everybody's meter is read, but account 2 tells only what is given."""
    late = LateReadings(DOMAIN, hub.registry, WindowTerms(LENGTH_S, WINDOW * LENGTH_S), key("registrar"))
    others = [reading(account, interval, 0) for account in ACCOUNTS if account != 2]
    with hub.store.begin() as connection:
        hub.metering.read(connection, interval, [*others, *told])
        return late.bring_in(connection, interval)


def counted(hub):
    """Return what counted of account 2: interval, register, by the registrar?, with which settlement."""
    return [
        (row.interval - T, row.register_milli_wh, row.is_substitute, row.settled_in - T)
        for row in hub.rows(readings)
        if row.account == 2 and row.settled_in is not None
    ]


def test_nobody_is_behind_where_every_meter_tells(hub):
    assert [end(hub, T + n, reading(2, T + n, n)) for n in range(3)] == [0, 0, 0]
    assert hub.count(substitutes) == 0


def test_a_silent_meter_is_substituted_when_two_fill_windows_are_over(hub):
    end(hub, T, reading(2, T, 5))
    assert [end(hub, T + n) for n in range(1, 7)] == [0, 0, 0, 0, 1, 1]
    assert counted(hub) == [(0, 5, False, 0), (1, 5, True, 5), (2, 5, True, 6)]
    assert {row.reason for row in hub.rows(substitutes)} == {"silent"}


def test_a_substitute_is_signed_by_the_registrar(hub):
    for n in range(6):
        end(hub, T + n, *([reading(2, T, 5)] if n == 0 else []))
    row = next(row for row in hub.rows(readings) if row.is_substitute)
    message = typed_data.Substitute(2, row.interval, row.register_milli_wh)
    signature = CompactSignature.from_bytes(row.signature)
    assert typed_data.recover(DOMAIN, message, signature) == key("registrar").address


def test_what_was_bought_counts_as_used_and_what_was_usual_if_that_is_more(hub):
    hub.submit(order(2, first=T + 1, last=T + 1), order(3, first=T + 1, last=T + 1))
    hub.clearing.clear(0, [T + 1])
    end(hub, T, reading(2, T, -70_000))
    for n in range(1, 7):
        end(hub, T + n)
    assert counted(hub)[1:] == [(1, -570_000, True, 5), (2, -640_000, True, 6)]
    assert [row.expected_import_milli_wh for row in hub.rows(substitutes)] == [70_000, 70_000]
    costs = {row.interval - T: row.amount_pico for row in hub.rows(imbalances) if row.account == 2}
    assert costs == {0: -70_000 * SHORT, 1: 0, 2: -70_000 * SHORT}


def test_a_meter_that_tells_again_before_that_has_its_later_registers_wait(hub):
    end(hub, T, reading(2, T, 0))
    end(hub, T + 1)
    for n in (2, 3, 4):
        assert end(hub, T + n, reading(2, T + n, 10 * n)) == 0
    assert end(hub, T + 5, reading(2, T + 5, 50)) == 5
    assert counted(hub) == [(0, 0, False, 0), (1, 0, True, 5), *[(n, 10 * n, False, 5) for n in (2, 3, 4, 5)]]
    assert end(hub, T + 6, reading(2, T + 6, 60)) == 0


def test_a_missing_reading_that_comes_after_all_needs_no_substitute(hub):
    end(hub, T, reading(2, T, 0))
    end(hub, T + 1)
    end(hub, T + 2, reading(2, T + 2, 8))
    with hub.store.begin() as connection:
        hub.metering.read(connection, T + 1, [reading(2, T + 1, 3)])
    assert end(hub, T + 3, reading(2, T + 3, 9)) == 3
    assert counted(hub) == [(0, 0, False, 0), (1, 3, False, 3), (2, 8, False, 3), (3, 9, False, 3)]


def test_a_true_register_out_of_reach_is_approached_and_the_told_one_is_kept_beside_it(hub):
    far = 2 * CAPACITY
    end(hub, T, reading(2, T, 0))
    end(hub, T + 1)
    for n in range(2, 7):
        end(hub, T + n, reading(2, T + n, far))
    assert counted(hub) == [
        (0, 0, False, 0),
        (1, 0, True, 5),
        (2, CAPACITY, True, 6),
        *[(n, far, False, 6) for n in (3, 4, 5, 6)],
    ]
    told = [(row.reason, row.told_register_milli_wh) for row in hub.rows(substitutes)]
    assert told == [("silent", None), ("too_far", far)]


def test_a_meter_that_was_silent_from_the_beginning_is_behind(hub):
    for n in range(5):
        end(hub, T + n)
    assert counted(hub) == [(0, 0, True, 4)]


def test_when_all_meters_are_silent_substitutes_wait_for_a_chunk_or_for_the_window(hub):
    end(hub, T, reading(2, T, 0))
    late = LateReadings(DOMAIN, hub.registry, WindowTerms(LENGTH_S, WINDOW * LENGTH_S), None)
    for n in range(1, 6):
        with hub.store.begin() as connection:
            assert late.bring_in(connection, T + n) == (4 if n == 5 else 0)
