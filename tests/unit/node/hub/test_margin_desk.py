"""Exposures follow every order, round and settlement, and a restart finds them again from the store."""

import pytest
from sqlalchemy import update

from market.chunks import Tariff
from market.errors import OrderRefused, RefusalReason
from node.hub.margin_desk import MarginDesk
from node.store.tables_chain import chain_accounts
from tests.unit.node.hub.small_hub import ACCOUNTS, CAP, CAPACITY, FEE, LONG, SHORT, Hub, T, order, reading


@pytest.fixture
def hub() -> Hub:
    return Hub.open()


def exposures(hub):
    return {account: hub.desk.exposure_pico(account) for account in ACCOUNTS}


def test_without_orders_nothing_is_at_stake(hub):
    assert exposures(hub) == dict.fromkeys(ACCOUNTS, 0)


def test_an_order_stakes_the_whole_connection_besides_itself(hub):
    hub.submit(order(2, quantity_milli_wh=1_000_000, limit_micro_per_kwh=200_000))
    unfilled = CAPACITY * SHORT
    # filled, and its connection importing all it can: the bought kWh is not missing then
    filled = 1_000_000 * 200_000 + (CAPACITY - 1_000_000) * SHORT
    assert hub.desk.exposure_pico(2) == max(unfilled, filled)


def test_an_account_that_the_chain_does_not_know_has_no_margin(hub):
    desk = MarginDesk(hub.registry, lambda _interval: Tariff(SHORT, LONG), T - 1)
    with pytest.raises(OrderRefused, match="no balance on chain yet") as refusal:
        desk.admit(order())
    assert refusal.value.reason == RefusalReason.MARGIN


def test_a_study_without_chain_knows_no_margin(hub):
    desk = MarginDesk(hub.registry, lambda _interval: Tariff(SHORT, LONG), T - 1, is_bounded=False)
    desk.admit(order(last=T + 50, quantity_milli_wh=CAPACITY, limit_micro_per_kwh=CAP))
    assert desk.exposure_pico(2) > 0


def test_a_failed_transaction_takes_back_amends_in_the_right_order(hub):
    hub.submit(order(quantity_milli_wh=100_000))
    before = exposures(hub)
    with pytest.raises(RuntimeError, match="disk"), hub.desk.transaction():  # noqa: PT012
        for quantity in (3_000_000, 200_000, 0, 4_000_000):
            hub.desk.admit(order(quantity_milli_wh=quantity, limit_micro_per_kwh=CAP))
        hub.desk.admit(order(3, lane=7))
        raise RuntimeError("disk")
    assert exposures(hub) == before


def test_settled_intervals_bind_nothing_any_more(hub):
    hub.submit(order(2), order(3))
    hub.clearing.clear(0, [T])
    assert hub.desk.exposure_pico(2) > 0
    with hub.store.begin() as connection:
        batch = [reading(account, T, 0) for account in ACCOUNTS]
        hub.metering.read(connection, T, batch)
        hub.desk.settled(connection, T)
    assert exposures(hub) == dict.fromkeys(ACCOUNTS, 0)


def test_refreshing_takes_over_balances_and_debts(hub):
    with hub.store.begin() as connection:
        connection.execute(
            update(chain_accounts)
            .where(chain_accounts.c.account == 2)
            .values(balance_pico=CAPACITY * SHORT - 1)
        )
        hub.desk.refresh(connection)
    assert hub.submit(order(2, quantity_milli_wh=1))[0].reason == RefusalReason.MARGIN
    with hub.store.begin() as connection:
        connection.execute(
            update(chain_accounts).where(chain_accounts.c.account == 2).values(balance_pico=CAPACITY * SHORT)
        )
        hub.desk.refresh(connection)
    assert hub.submit(order(2, quantity_milli_wh=1))[0].sequence == 0


def test_replaying_the_store_gives_the_same_exposures(hub):
    hub.submit(order(2, last=T + 3), order(3, last=T + 1), order(4, limit_micro_per_kwh=1_000))
    hub.submit(order(2, first=T + 1, last=T + 1, quantity_milli_wh=0, limit_micro_per_kwh=1))
    hub.clearing.clear(0, [T, T + 1])
    hub.submit(order(2, lane=2, first=T + 1, last=T + 1), order(5, last=T + 2, lane=3))
    hub.clearing.clear(1, [T])
    hub.submit(order(4, lane=9, first=T + 2, last=T + 6, limit_micro_per_kwh=-10_000))
    assert exposures(hub.restart()) == exposures(hub)


def test_replaying_admits_what_the_balance_would_not_carry_today(hub):
    hub.submit(order(2))
    with hub.store.begin() as connection:
        connection.execute(update(chain_accounts).values(balance_pico=0))
    again = hub.restart()
    assert exposures(again) == exposures(hub)
    assert again.submit(order(2, lane=1))[0].reason == RefusalReason.MARGIN


@pytest.mark.parametrize("limit", [3 * FEE, -50_000])
def test_replaying_knows_negative_prices(hub, limit):
    hub.submit(order(2, limit_micro_per_kwh=limit), order(3, limit_micro_per_kwh=limit - 2 * FEE))
    hub.clearing.clear(0, [T])
    assert exposures(hub.restart()) == exposures(hub)
