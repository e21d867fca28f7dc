"""Readings that others brought in on chain: the hub takes over what counts there, at the right price."""

import json

import pytest
from sqlalchemy import func, insert, select

from node.chain import typed_data
from node.chain.typed_data import CompactSignature
from node.hub.carried_readings import CarriedReadings
from node.hub.late_readings import LateReadings, WindowTerms
from node.store.tables_chain import blocks, chain_events, chain_undo
from node.store.tables_market import carried_readings, imbalances, readings, substitutes
from tests.unit.node.hub.small_hub import (
    ACCOUNTS,
    CAPACITY,
    DOMAIN,
    LENGTH_S,
    LONG,
    SHORT,
    Hub,
    T,
    key,
    reading,
)

WINDOW = 2  # intervals; so a substitute comes four intervals later


class Case:
    """A hub whose account 2 does not tell its hub everything."""

    def __init__(self) -> None:
        self.hub = Hub.open()
        self.carried = CarriedReadings(self.hub.registry)

    def bring_in(self, interval: int, register: int, account: int = 2, is_substitute: bool = False) -> None:
        """Let somebody bring a reading in, in a block of its own."""
        signed = reading(account, interval, register)
        row = (account, register, is_substitute, str(signed.r), str(signed.vs))
        with self.hub.store.begin() as connection:
            number = connection.execute(select(func.count()).select_from(blocks)).scalar_one()
            name = number.to_bytes(32, "big")
            block = {"number": number, "hash": name, "parent": bytes(32), "timestamp_s": number}
            connection.execute(insert(blocks).values(block))
            connection.execute(
                insert(chain_events).values(
                    block_hash=name,
                    log_index=0,
                    block_number=number,
                    transaction_hash=name,
                    contract=bytes(20),
                    name="ReadingsBroughtIn",
                    arguments=json.dumps({"interval": interval, "readings": [row]}),
                )
            )

    def end(self, interval: int, *told) -> int:
        """End an interval as the hub does: everybody tells, account 2 what is given; return what was taken over."""
        late = LateReadings(
            DOMAIN, self.hub.registry, WindowTerms(LENGTH_S, WINDOW * LENGTH_S), key("registrar")
        )
        others = [reading(account, interval, 0) for account in ACCOUNTS if account != 2]
        with self.hub.store.begin() as connection:
            taken = self.carried.take_over(connection, interval, (interval + 1) * LENGTH_S)
            self.hub.metering.read(connection, interval, [*others, *told])
            late.bring_in(connection, interval)
        return taken

    def counted(self) -> list[tuple[int, int, bool, int]]:
        """Return what counted of account 2: interval, register, by the registrar?, with which settlement."""
        return [
            (row.interval - T, row.register_milli_wh, row.is_substitute, row.settled_in - T)
            for row in self.hub.rows(readings)
            if row.account == 2 and row.settled_in is not None
        ]

    def paid(self) -> list[tuple[int, int, int]]:
        """Return account 2's imbalances: interval, energy metered, money received."""
        return [
            (row.interval - T, row.metered_milli_wh, row.amount_pico)
            for row in self.hub.rows(imbalances)
            if row.account == 2
        ]


@pytest.fixture
def case() -> Case:
    return Case()


def test_where_nobody_brings_anything_in_nothing_is_taken_over(case):
    assert [case.end(T + n, reading(2, T + n, n)) for n in range(3)] == [0, 0, 0]
    assert case.hub.count(carried_readings) == 0


def test_what_the_hub_never_got_is_taken_over_with_its_signature_and_the_next_counts_at_once(case):
    case.end(T, reading(2, T, 5))
    case.end(T + 1)  # silent towards the hub
    case.bring_in(T + 1, 12)
    assert case.end(T + 2, reading(2, T + 2, 10)) == 1
    assert case.counted() == [(0, 5, False, 0), (1, 12, False, 2), (2, 10, False, 2)]
    assert case.paid() == [(0, 5, 5 * LONG), (1, 7, 7 * LONG), (2, -2, -2 * SHORT)]
    (row,) = [row for row in case.hub.rows(readings) if (row.account, row.interval) == (2, T + 1)]
    message = typed_data.Reading(2, T + 1, 12)
    signer = typed_data.recover(DOMAIN, message, CompactSignature.from_bytes(row.signature))
    assert signer == key("meter/2").address
    (note,) = case.hub.rows(carried_readings)
    assert (note.known_register_milli_wh, note.taken_over_in - T) == (None, 2)


def test_a_reading_that_waited_here_counts_once_somebody_has_brought_it_in(case):
    case.end(T, reading(2, T, 5))
    case.end(T + 1)
    case.end(T + 2, reading(2, T + 2, 9))  # waits for that of T + 1
    case.bring_in(T + 1, 7)
    case.bring_in(T + 2, 9)
    assert case.end(T + 3, reading(2, T + 3, 9)) == 2
    assert case.counted()[1:] == [(1, 7, False, 3), (2, 9, False, 3), (3, 9, False, 3)]


def test_the_meters_own_reading_takes_the_place_of_a_substitute_and_what_followed_is_priced_anew(case):
    case.end(T, reading(2, T, 5))
    for n in range(1, 6):
        case.end(T + n)
    assert case.counted() == [(0, 5, False, 0), (1, 5, True, 5)]
    case.bring_in(T + 1, 8)  # before our substitute was mined
    case.end(T + 6)
    assert case.counted() == [(0, 5, False, 0), (1, 8, False, 6), (2, 8, True, 6)]
    assert case.paid()[1:] == [(1, 3, 3 * LONG), (2, 0, 0)]
    assert [row.interval - T for row in case.hub.rows(substitutes)] == [2]
    (note,) = case.hub.rows(carried_readings)
    assert (note.register_milli_wh, note.known_register_milli_wh) == (8, 5)


def test_of_several_substitutes_in_one_settlement_the_second_is_priced_from_what_counts(case):
    case.end(T, reading(2, T, 5))
    for n in range(1, 7):
        case.end(T + n)  # two substitutes: of T + 1 with T + 5, of T + 2 with T + 6
    case.bring_in(T + 1, 9)
    case.end(T + 7)
    assert case.paid()[1:3] == [(1, 4, 4 * LONG), (2, -4, -4 * SHORT)]
    assert sum(energy for _, energy, _ in case.paid()) == 0 + case.counted()[-1][1]


def test_looking_again_takes_nothing_twice_also_after_a_restart(case):
    case.end(T, reading(2, T, 5))
    case.end(T + 1)
    case.bring_in(T + 1, 12)
    assert case.end(T + 2, reading(2, T + 2, 12)) == 1
    assert case.end(T + 3, reading(2, T + 3, 12)) == 0
    case.carried = CarriedReadings(case.hub.registry)
    assert case.end(T + 4, reading(2, T + 4, 12)) == 0
    assert case.hub.count(carried_readings) == 1


def test_a_block_that_may_still_be_replaced_is_looked_at_again(case):
    case.end(T, reading(2, T, 5))
    case.end(T + 1)
    case.bring_in(T + 1, 12)
    with case.hub.store.begin() as connection:
        connection.execute(insert(chain_undo).values(block_number=0, content="{}"))
    assert case.end(T + 2, reading(2, T + 2, 12)) == 1
    assert case.carried._seen == -1


def test_readings_of_accounts_that_are_not_members_are_not_the_hubs(case):
    case.end(T, reading(2, T, 5))
    case.bring_in(T, 12, account=77)
    assert case.end(T + 1, reading(2, T + 1, 5)) == 0


def test_what_is_not_over_by_the_hubs_time_is_taken_over_later(case):
    case.end(T, reading(2, T, 5))
    case.bring_in(T + 1, 6)
    assert case.end(T + 1, reading(2, T + 1, 7)) == 0
    assert case.end(T + 2, reading(2, T + 2, 7)) == 1  # the meter signed two: what the chain took counts
    assert case.counted()[1:] == [(1, 6, False, 2), (2, 7, False, 2)]
    assert case.paid()[1:] == [(1, 1, LONG), (2, 1, LONG)]


def test_a_false_register_that_its_own_meter_signed_holds_up_that_account_only(case):
    """Whoever holds a meter's key can bound the cost of a lie to what the connection carries, but stop nobody."""
    case.end(T, reading(2, T, 0))
    case.end(T + 1)
    case.bring_in(T + 1, CAPACITY)  # as much as the contract takes; the truth is now out of reach
    for n in range(2, 8):
        case.end(T + n, reading(2, T + n, -5 * n))
    counted = {interval: (register, by_registrar) for interval, register, by_registrar, _ in case.counted()}
    assert counted[1] == (CAPACITY, False)
    assert counted[2] == (0, True)  # as far towards the truth as may be
    assert counted[3] == (-15, False)
    assert [row.reason for row in case.hub.rows(substitutes)] == ["too_far"]
