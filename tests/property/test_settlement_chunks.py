"""Any result of a round can be cut into chunks that the contract takes; cutting changes nobody's money."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.chunks import Chunk, Fill, GasModel, Reading, RoundFills, Tariff, plan_chunks
from market.errors import SettlementError
from market.ledger import FEES, GRID, AccountState
from market.orders import Order
from market.settlement import Ledger, Terms, publish_tariffs, settle

INTERVAL = 1000
FEE = 7
NOW_S = (INTERVAL + 1) * 900
CAPACITY = 2**39 - 1
NOBODY = np.zeros(0, np.int64)


def ledger_of(accounts, zones):
    ledger = Ledger(Terms(fee_micro_per_kwh=FEE))
    for account, zone in zip(accounts, zones, strict=True):
        ledger.accounts[account] = AccountState(
            balance_pico=10**18,
            epoch=1,
            is_metered=True,
            zone=zone,
            capacity_milli_wh=CAPACITY,
            read=INTERVAL - 1,
        )
    ledger.accounts[GRID].balance_pico = 10**18
    return ledger


def fill_of(account, lane, sold, quantity):
    order = Order(account, 1, sold < 0, lane, INTERVAL, INTERVAL, abs(sold), 10**9 if sold < 0 else -(10**9))
    return Fill(order, hashlib.sha256(repr((account, lane)).encode()).digest(), quantity)


@st.composite
def round_results(draw):
    """Fills of one interval: each sell is laid on buys from a zone that is as dear, or dearer."""
    prices = sorted(draw(st.lists(st.integers(-500, 900), min_size=1, max_size=3)))
    n = draw(st.integers(2, 60))
    sizes = draw(st.lists(st.integers(1, 40), min_size=n, max_size=n))
    zone_of = draw(st.lists(st.integers(0, len(prices) - 1), min_size=n, max_size=n))
    n_sells = draw(st.integers(1, n - 1))
    sells, buys = sizes[:n_sells], sizes[n_sells:]
    short = sum(sells) - sum(buys)
    (buys if short > 0 else sells)[0] += abs(short)
    # transport from cheap to dear: sort both sides by zone
    zones = sorted(zone_of[:n_sells]), sorted(zone_of[n_sells:])
    zones = [0] * n_sells, zones[1] if draw(st.booleans()) else [0] * (n - n_sells)
    lanes = draw(st.integers(1, 4))
    return prices, sells, buys, list(zones[0]), list(zones[1]), lanes


@settings(deadline=None)
@given(round_results(), st.integers(2, 9), st.booleans())
def test_every_cut_settles_and_leaves_the_same_balances_as_one_chunk(result, most, with_readings):
    prices, sells, buys, sell_zones, buy_zones, lanes = result
    sold = np.array(sells + [-b for b in buys])
    zone = np.array(sell_zones + buy_zones)
    # up to `lanes` orders of one zone and side belong to one account
    account, lane, next_account = [], [], 2
    seen = {}
    for side, z in zip(np.sign(sold).tolist(), zone.tolist(), strict=True):
        owner, used = seen.get((side, z), (0, lanes))
        if used == lanes:
            owner, used, next_account = next_account, 0, next_account + 1
        account.append(owner)
        lane.append(used)
        seen[side, z] = owner, used + 1
    account = np.array(account)
    zone_of = dict(zip(account.tolist(), zone.tolist(), strict=True))
    fills = RoundFills(0, account, sold, np.array(prices)[zone])
    readers = np.unique(account) if with_readings else NOBODY
    plans = plan_chunks([fills], readers, max_fills=most)

    ledger = ledger_of(zone_of.keys(), zone_of.values())
    before = ledger.held_pico()
    tariffs = tuple(Tariff(300, 80) for _ in prices)
    publish_tariffs(ledger, INTERVAL, tariffs)
    for sequence, plan in enumerate(plans):
        assert plan.rows.size <= most
        settle(
            ledger,
            Chunk(
                sequence,
                INTERVAL,
                plan.round,
                tuple(prices),
                [
                    fill_of(int(account[r]), lane[r], int(sold[r]), q)
                    for r, q in zip(plan.rows.tolist(), plan.quantity_milli_wh.tolist(), strict=True)
                ],
                tariffs,
                [Reading(a, 0) for a in plan.reading_accounts.tolist()],
            ),
            NOW_S,
        )
    assert ledger.held_pico() == before
    volume = int(np.abs(sold).sum())
    assert ledger.accounts[FEES].balance_pico == volume * FEE
    for owner, state in ((a, ledger.accounts[a]) for a in zone_of):
        mine = account == owner
        income = sum(s * (prices[zone_of[owner]] - (FEE if s > 0 else -FEE)) for s in sold[mine].tolist())
        position = int(sold[mine].sum())
        assert state.position_milli_wh == (0 if with_readings else position)
        if with_readings:
            income += -position * (80 if position < 0 else 300)
        assert state.balance_pico - state.owed_pico == 10**18 + income


@pytest.mark.parametrize("sign", [1, -1])
def test_an_order_may_meet_any_number_of_others(sign):
    n = 10_000
    sold = sign * np.array([n, *[-1] * n])
    fills = RoundFills(0, np.arange(2, n + 3), sold, np.zeros(n + 1, np.int64))
    plans = plan_chunks([fills], NOBODY, max_fills=100)
    # the wide order takes one place in every chunk
    assert [plan.rows.size for plan in plans] == [100] * 101 + [2]
    assert all((plan.rows == 0).sum() == 1 for plan in plans)
    filled = np.zeros(n + 1, np.int64)
    for plan in plans:
        assert (sold[plan.rows] // np.abs(sold[plan.rows]) * plan.quantity_milli_wh).sum() == 0
        np.add.at(filled, plan.rows, plan.quantity_milli_wh)
    assert filled.tolist() == np.abs(sold).tolist()


def test_chunks_are_as_full_as_they_can_be():
    # borders at 10, 20, 30: two sells and a buy, or two buys and a sell
    sold = np.array([10, 20, -20, -10])
    fills = RoundFills(0, np.arange(2, 6), sold, np.zeros(4, np.int64))
    for most, parts in ((2, [2, 2, 2]), (3, [3, 2]), (4, [4])):
        plans = plan_chunks([fills], NOBODY, max_fills=most)
        assert [plan.rows.size for plan in plans] == parts


def test_every_chunk_stays_within_its_gas():
    n = 500
    sold = np.array([10] * n + [-10] * n)
    fills = RoundFills(0, np.arange(2, 2 * n + 2), sold, np.zeros(2 * n, np.int64))
    gas = GasModel(limit=3_000_000)
    plans = plan_chunks([fills], np.arange(2, 2 * n + 500), gas=gas)
    assert all(gas.of(p.rows.size, p.reading_accounts.size) <= gas.limit for p in plans)
    assert sorted(np.concatenate([p.reading_accounts for p in plans]).tolist()) == list(range(2, 2 * n + 500))


BALANCED = RoundFills(0, np.array([2, 3]), np.array([5, -5]), np.zeros(2, np.int64))


@pytest.mark.parametrize(
    ("rounds", "readers", "options", "message"),
    [
        ([BALANCED], [], {"max_fills": 1}, "cannot balance"),
        ([BALANCED, BALANCED], [], {}, "growing order"),
        ([RoundFills(0, np.array([2]), np.array([5]), np.array([0]))], [], {}, "sells 5 mWh more"),
        ([], [2], {}, "need a round"),
        ([BALANCED], [2, 2], {}, "read twice"),
    ],
)
def test_what_cannot_be_cut_is_refused(rounds, readers, options, message):
    with pytest.raises(SettlementError, match=message):
        plan_chunks(rounds, np.array(readers, np.int64), **options)


def test_round_in_which_nothing_was_traded_still_carries_readings():
    nothing = RoundFills(1, NOBODY, NOBODY, NOBODY)
    plans = plan_chunks([nothing], np.arange(2, 300))
    assert [plan.reading_accounts.size for plan in plans] == [128, 128, 42]
    assert {plan.round for plan in plans} == {1}
    assert plan_chunks([], NOBODY) == []


def test_reading_stands_with_the_last_fill_of_its_account_or_later():
    first = RoundFills(0, np.array([2, 3]), np.array([5, -5]), np.zeros(2, np.int64))
    second = RoundFills(1, np.array([2, 4]), np.array([5, -5]), np.zeros(2, np.int64))
    plans = plan_chunks([first, second], np.array([2, 3, 4, 9]))
    assert [plan.reading_accounts.tolist() for plan in plans] == [[3, 9], [2, 4]]
