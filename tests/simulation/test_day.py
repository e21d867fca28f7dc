"""A community's day, looked at from all sides: energy, money, limits, chain. Conservation first."""

import json

import numpy as np
import pytest
from sqlalchemy import func, select

from node.chain.reconcile import reconcile
from node.report.summary import summarise
from node.store.tables_chain import chain_accounts, chain_events, outbox
from node.store.tables_devices import device_intervals, devices, node_intervals, nodes, setpoints
from node.store.tables_market import (
    chunks,
    fills,
    flex_events,
    flex_members,
    imbalances,
    order_refusals,
    orders,
    prices,
    readings,
    trades,
)

RELATIVE = 1e-9


def rows(ran, query):
    with ran.community.store.read() as connection:
        return connection.execute(query).all()


def test_every_device_closes_its_energy_book_in_every_interval(ran):
    found = rows(ran, select(device_intervals))
    assert len(found) == 24 * ran.community.plant.fleet.n_devices
    for row in found:
        flows = (row.source_wh, row.sink_wh, row.stored_delta_wh, row.loss_wh, row.terminal_wh)
        residual = row.source_wh - row.sink_wh - row.stored_delta_wh - row.loss_wh - row.terminal_wh
        assert abs(residual) <= RELATIVE * max(1.0, *map(abs, flows))


def test_what_a_storage_holds_is_what_it_began_with_and_gained(ran):
    fleet = ran.community.plant.fleet
    held = fleet.initial_wh.copy()
    for row in rows(ran, select(device_intervals).order_by(device_intervals.c.interval)):
        held[row.device] += row.stored_delta_wh
        if fleet.capacity_wh[row.device] > 0:
            assert row.energy_wh == pytest.approx(held[row.device], rel=1e-9, abs=1e-6)
            assert -1e-6 <= row.energy_wh <= fleet.capacity_wh[row.device] + 1e-6


def test_owners_keep_their_reserve(ran):
    fleet = ran.community.plant.fleet
    cars = set(ran.community.plant.vehicles.tolist())
    for row in rows(ran, select(device_intervals)):
        if row.device not in cars and fleet.capacity_wh[row.device] > 0:
            assert row.energy_wh >= fleet.reserve_wh[row.device] - 0.02 * fleet.capacity_wh[row.device]


def test_the_car_has_what_it_needs_at_departure(ran):
    plant = ran.community.plant
    departs = [t for t in ran.scenario.delivery_intervals() if _local_hour(ran, t) == 6]
    held = rows(
        ran,
        select(device_intervals.c.energy_wh).where(
            device_intervals.c.device == int(plant.vehicles[0]),
            device_intervals.c.interval == departs[0],
        ),
    )
    assert held[0][0] >= 0.99 * plant.cars[0].required_wh


def _local_hour(ran, interval):
    return ran.scenario.grid.start(interval).astimezone(ran.scenario.zone).hour


def test_the_communitys_energy_book_closes(ran):
    with ran.community.store.read() as connection:
        energy = summarise(connection, ran.scenario).energy
    assert energy.gap_share < 1e-3
    assert abs(energy.gap_wh) < 0.001 * 24 * 4, "only meters' rounding below 1 mWh may be left"


def test_meters_show_what_the_devices_did(ran):
    metered = {(row.interval, row.account): row.metered_milli_wh for row in rows(ran, select(imbalances))}
    device_sum = {}
    for row in rows(
        ran,
        select(device_intervals.c.interval, devices.c.account, func.sum(device_intervals.c.terminal_wh))
        .join(devices, devices.c.id == device_intervals.c.device)
        .group_by(device_intervals.c.interval, devices.c.account),
    ):
        device_sum[(row[0], row[1])] = row[2] * 1_000
    assert metered.keys() == device_sum.keys()
    for key, milli_wh in metered.items():
        assert abs(milli_wh - device_sum[key]) <= 2


def test_no_node_carries_more_than_its_capacity(ran):
    caps = {row.name: row for row in rows(ran, select(nodes))}
    bound = 0
    for row in rows(ran, select(node_intervals)):
        assert row.peak_import_w <= caps[row.node].import_cap_w + 0.5
        assert row.peak_export_w <= caps[row.node].export_cap_w + 0.5
        bound += row.is_export_binding or row.is_import_binding
    assert bound, "the cable is too small at noon: a capacity must have bound"


def test_every_fill_keeps_its_orders_limit_and_quantity(ran):
    fee = ran.scenario.market.fee_micro_per_kwh
    found = rows(
        ran,
        select(fills, orders.c.limit_micro_per_kwh, orders.c.quantity_milli_wh.label("ordered")).join(
            orders, orders.c.sequence == fills.c.sequence
        ),
    )
    assert found
    for row in found:
        assert 0 < row.quantity_milli_wh <= row.ordered
        all_in = row.price_micro_per_kwh + fee if row.is_buy else row.price_micro_per_kwh - fee
        assert all_in <= row.limit_micro_per_kwh if row.is_buy else all_in >= row.limit_micro_per_kwh
        assert abs(row.amount_pico) == all_in * row.quantity_milli_wh


def test_every_round_balances_and_has_one_price(ran):
    by_round = {}
    for row in rows(ran, select(fills)):
        entry = by_round.setdefault((row.interval, row.round), [0, set()])
        entry[0] += -row.quantity_milli_wh if row.is_buy else row.quantity_milli_wh
        entry[1].add(row.price_micro_per_kwh)
    assert by_round
    for balance, found in by_round.values():
        assert balance == 0
        assert len(found) == 1


def test_trades_are_the_fills_paired(ran):
    bought = {}
    for row in rows(ran, select(fills)):
        side = "buyer" if row.is_buy else "seller"
        key = (row.interval, row.round, side, row.account)
        bought[key] = bought.get(key, 0) + row.quantity_milli_wh
    for row in rows(ran, select(trades)):
        for side in ("buyer", "seller"):
            bought[(row.interval, row.round, side, getattr(row, side))] -= row.quantity_milli_wh
    assert set(bought.values()) == {0}


def test_the_imbalance_of_the_hub_is_the_money_that_moved_on_chain(ran):
    """Independent recount: deposits, fills, imbalances and events must give the chain's balances."""
    expected = {}
    for row in rows(ran, select(chain_events).where(chain_events.c.name == "Deposited")):
        amount = int(json.loads(row.arguments)["amount"])
        expected[row.account] = expected.get(row.account, 0) + amount
    for table in (fills, imbalances):
        for row in rows(ran, select(table).where(table.c.interval < ran.scenario.delivery_intervals().stop)):
            expected[row.account] = expected.get(row.account, 0) + row.amount_pico
    for row in rows(ran, select(chain_accounts).where(chain_accounts.c.account >= 2)):
        assert row.balance_pico == expected[row.account]
        assert row.owed_pico == 0


def test_all_balances_together_are_what_was_minted(ran):
    community = ran.community
    token = community.contracts.token
    supply = token.result(
        "totalSupply", community.chain.call(community.deployment.token, token.encode("totalSupply"))
    )
    held = sum(row.balance_pico + row.exit_amount_pico for row in rows(ran, select(chain_accounts)))
    address = community.deployment.settlement
    backed = token.result(
        "balanceOf", community.chain.call(community.deployment.token, token.encode("balanceOf", address))
    )
    assert held == backed
    deposits = sum(p.deposit_credits for p in ran.scenario.participants)
    minted = deposits + ran.scenario.tariff.supplier_deposit_credits + 2
    assert supply == minted * 10**12


def test_everything_owed_to_the_chain_is_final_and_every_fill_is_settled_once(ran):
    assert {row.state for row in rows(ran, select(outbox.c.state).distinct())} == {"final"}
    settled = rows(ran, select(func.sum(chunks.c.n_fills), func.sum(chunks.c.n_readings)))[0]
    delivered = rows(
        ran,
        select(func.count())
        .select_from(fills)
        .where(fills.c.interval < ran.scenario.delivery_intervals().stop),
    )[0][0]
    # an order may be cut between two chunks and then counts in both
    assert delivered <= settled[0] <= delivered + rows(ran, select(func.count()).select_from(chunks))[0][0]
    assert settled[1] == rows(ran, select(func.count()).select_from(readings))[0][0] == 24 * 4


def test_store_and_chain_agree_in_every_account(ran):
    community = ran.community
    with community.store.read() as connection:
        found = reconcile(
            connection, community.chain, community.contracts, community.deployment, is_full=True
        )
    assert found == []


def test_the_event_pays_its_revenue_to_the_unit(ran):
    event = rows(ran, select(flex_events))[0]
    assert event.state == "paid"
    found = rows(ran, select(flex_members))
    assert sum(row.paid_pico or 0 for row in found) == event.revenue_pico == 2 * 10**12
    for row in found:
        assert (row.paid_pico or 0) == 0 or row.contribution_milli_wh > 0


def test_every_setpoint_has_a_reason_and_a_lease(ran):
    found = rows(ran, select(setpoints))
    assert found
    for row in found:
        assert row.reason
        assert row.expires_s > row.at_s
    assert any("grid event" in row.reason for row in found)


def test_no_honest_order_was_refused(ran):
    assert rows(ran, select(order_refusals)) == []


def test_prices_stay_between_what_the_supplier_pays_and_charges(ran):
    tariff = ran.scenario.tariff
    for row in rows(ran, select(prices).where(prices.c.price_micro_per_kwh.is_not(None))):
        assert row.price_micro_per_kwh >= tariff.long_price_micro_per_kwh - 10_000
        assert row.price_micro_per_kwh <= 255_000


def test_savings_are_signed_and_add_up(ran):
    with ran.community.store.read() as connection:
        summary = summarise(connection, ran.scenario)
    for bill in summary.bills:
        assert bill.saving_pico == bill.supplier_only_pico - bill.market_pico
    assert summary.own_use.self_sufficiency is not None
    assert np.isfinite(summary.own_use.self_consumption)
    assert summary.jain_of_savings is not None
    assert 0 <= summary.jain_of_savings <= 1
