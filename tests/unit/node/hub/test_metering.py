"""What meters say: in order, once, signed, possible; and what it costs."""

import pytest
from sqlalchemy import delete

from market.errors import ReadingRefused
from node.bus.messages import MeterReading
from node.store.tables_market import curtailments, imbalances, readings, tariffs
from tests.unit.node.hub.small_hub import CAPACITY, LONG, SHORT, Hub, T, curtailment, order, reading


@pytest.fixture
def hub() -> Hub:
    return Hub.open()


def read(hub, interval, *batch):
    with hub.store.begin() as connection:
        hub.metering.read(connection, interval, batch)


def curtail(hub, *notices):
    with hub.store.begin() as connection:
        hub.metering.curtail(connection, notices)


def refused(hub, match, call, *arguments):
    """The call is refused, saying why, and changes nothing."""
    before = hub.state()
    with pytest.raises(ReadingRefused, match=match):
        call(hub, *arguments)
    assert hub.state() == before


def test_a_reading_is_priced_against_the_position(hub):
    hub.submit(order(2), order(3))
    hub.clearing.clear(0, [T])
    read(hub, T, reading(2, T, -600_000), reading(3, T, 450_000), reading(4, T, 20_000), reading(5, T, -7))
    found = {row.account: (row.imbalance_milli_wh, row.amount_pico) for row in hub.rows(imbalances)}
    assert found == {
        2: (-100_000, -100_000 * SHORT),
        3: (-50_000, -50_000 * SHORT),
        4: (20_000, 20_000 * LONG),
        5: (-7, -7 * SHORT),
    }


def test_registers_are_cumulative_and_only_their_change_counts(hub):
    read(hub, T, reading(2, T, -600_000))
    read(hub, T + 1, reading(2, T + 1, -500_000))
    assert [row.metered_milli_wh for row in hub.rows(imbalances)] == [-600_000, 100_000]


def test_the_same_reading_again_is_harmless(hub):
    read(hub, T, reading(2, T, -600_000), reading(3, T, 1))
    before = hub.state()
    read(hub, T, reading(2, T, -600_000), reading(3, T, 1))
    assert hub.state() == before


def test_another_value_for_a_read_interval_is_refused(hub):
    read(hub, T, reading(2, T, -600_000))
    refused(hub, "register -599999 mWh, but -600000 mWh was read before", read, T, reading(2, T, -599_999))


def test_one_conflicting_reading_refuses_the_whole_batch(hub):
    read(hub, T, reading(2, T, -600_000))
    refused(hub, "was read before", read, T, reading(3, T, 5), reading(2, T, 0))
    assert hub.count(readings) == 1


def test_meters_of_one_interval_may_come_in_two_batches(hub):
    read(hub, T, reading(2, T, -600_000), reading(3, T, 100))
    read(hub, T + 1, reading(2, T + 1, -700_000))
    read(hub, T + 1, reading(3, T + 1, 300), reading(2, T + 1, -700_000))
    found = {(row.interval, row.account): row.metered_milli_wh for row in hub.rows(imbalances)}
    assert found == {(T, 2): -600_000, (T, 3): 100, (T + 1, 2): -100_000, (T + 1, 3): 200}


def waiting(hub):
    return [(row.account, row.interval) for row in hub.rows(readings) if row.settled_in is None]


def test_a_reading_after_a_gap_waits_and_costs_nothing_yet(hub):
    read(hub, T, reading(2, T, -600_000), reading(3, T, 100))
    read(hub, T + 2, reading(2, T + 2, -700_000))
    assert waiting(hub) == [(2, T + 2)]
    assert [row.interval for row in hub.rows(imbalances)] == [T, T]


def test_a_meter_that_was_silent_from_the_beginning_is_not_taken_for_a_new_one(hub):
    read(hub, T, reading(2, T, 0))
    read(hub, T + 1, reading(2, T + 1, 0), reading(3, T + 1, 300))
    assert waiting(hub) == [(3, T + 1)]


def test_a_missing_reading_that_comes_after_all_waits_for_the_next_settlement(hub):
    read(hub, T, reading(2, T, 0))
    read(hub, T + 1, reading(2, T + 1, 0))
    read(hub, T, reading(3, T, 7))
    assert waiting(hub) == [(3, T)]


def test_a_late_reading_that_another_key_signed_is_refused(hub):
    read(hub, T, reading(2, T, 0))
    refused(hub, "account 2: signed by 0x", read, T + 2, reading(2, T + 2, 0, "meter/3"))


def test_an_interval_before_the_newest_is_refused(hub):
    read(hub, T + 1, reading(3, T + 1, 0))
    refused(hub, f"the next one is {T + 2}", read, T, reading(3, T, 0))


def test_a_reading_of_another_interval_among_those_of_this_one_is_refused(hub):
    refused(hub, f"reading of interval {T + 1} among those of {T}", read, T, reading(2, T + 1, 0))


def test_two_readings_of_one_account_in_a_batch_are_refused(hub):
    refused(hub, "two readings", read, T, reading(2, T, 0), reading(2, T, 0))


@pytest.mark.parametrize("by", ["meter/3", "agent/2", "operator"])
def test_a_reading_that_another_key_signed_is_refused(hub, by):
    refused(hub, "account 2: signed by 0x", read, T, reading(2, T, 5, by))


def test_a_reading_that_was_changed_on_its_way_is_refused(hub):
    good = reading(2, T, 5)
    refused(hub, "account 2", read, T, MeterReading(2, T, 6, good.r, good.vs))


def test_a_signature_that_no_key_can_have_made_is_refused(hub):
    refused(hub, "account 2", read, T, MeterReading(2, T, 5, 0, 0))


@pytest.mark.parametrize("step", [CAPACITY + 1, -CAPACITY - 1])
def test_a_register_that_jumps_beyond_the_connection_waits_and_holds_up_nobody(hub, step):
    read(hub, T, reading(2, T, 1_000), reading(3, T, 0))
    read(hub, T + 1, reading(2, T + 1, 1_000 + step), reading(3, T + 1, 7))
    waiting = [(row.account, row.settled_in) for row in hub.rows(readings) if row.interval == T + 1]
    assert waiting == [(2, None), (3, T + 1)]
    assert [row.account for row in hub.rows(imbalances) if row.interval == T + 1] == [3]


@pytest.mark.parametrize("step", [CAPACITY, -CAPACITY])
def test_a_register_may_move_by_all_that_the_connection_carries(hub, step):
    read(hub, T, reading(2, T, step))
    assert hub.rows(imbalances)[0].metered_milli_wh == step


def test_an_unknown_account_is_refused(hub):
    refused(hub, "account 9 is not connected", read, T, reading(9, T, 0))


def test_an_interval_without_tariff_is_refused(hub):
    with hub.store.begin() as connection:
        connection.execute(delete(tariffs).where(tariffs.c.interval == T))
    refused(hub, "has no tariff yet", read, T, reading(2, T, 0))


def test_a_substitute_is_not_a_meters_to_send(hub):
    good = reading(2, T, 5)
    substitute = MeterReading(2, T, 5, good.r, good.vs, is_substitute=True)
    refused(hub, "the registrar's to sign", read, T, substitute)


def sold(hub):
    """Account 3 sold half a kWh."""
    hub.submit(order(2), order(3))
    hub.clearing.clear(0, [T])


@pytest.mark.parametrize(
    ("register", "imbalance"),
    [(500_000, 0), (400_000, 0), (300_000, 0), (250_000, -50_000), (0, -300_000), (510_000, 10_000)],
)
def test_a_shortfall_is_forgiven_up_to_the_curtailment_and_never_turned_into_a_surplus(
    hub, register, imbalance
):
    sold(hub)
    curtail(hub, curtailment(3, T, 200_000))
    read(hub, T, reading(3, T, register))
    (row,) = hub.rows(imbalances)
    assert row.imbalance_milli_wh == imbalance
    assert row.amount_pico == imbalance * (SHORT if imbalance < 0 else LONG)


def test_a_curtailment_helps_only_its_account_and_interval(hub):
    sold(hub)
    curtail(hub, curtailment(4, T, 200_000), curtailment(3, T + 1, 200_000))
    read(hub, T, reading(3, T, 0))
    assert hub.rows(imbalances)[0].imbalance_milli_wh == -500_000


def test_the_same_curtailment_twice_is_stored_once(hub):
    curtail(hub, curtailment(3, T, 200_000))
    curtail(hub, curtailment(3, T, 200_000), curtailment(3, T, 200_000))
    assert hub.count(curtailments) == 1


def test_another_curtailment_of_the_same_interval_is_refused(hub):
    curtail(hub, curtailment(3, T, 200_000))
    refused(hub, "curtailed by 200000 mWh already", curtail, curtailment(3, T, 200_001))


@pytest.mark.parametrize("by", ["meter/3", "operator"])
def test_a_curtailment_that_the_controller_did_not_sign_is_refused(hub, by):
    refused(hub, "account 3: signed by 0x", curtail, curtailment(3, T, 200_000, by))


def test_what_fails_later_in_the_transaction_takes_readings_back(hub):
    before = hub.state()
    with pytest.raises(RuntimeError, match="later"), hub.store.begin() as connection:  # noqa: PT012
        hub.metering.curtail(connection, [curtailment(3, T, 200_000)])
        hub.metering.read(connection, T, [reading(2, T, 0), reading(3, T, 0)])
        raise RuntimeError("later")
    assert hub.state() == before
