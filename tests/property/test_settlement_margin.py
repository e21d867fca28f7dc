"""What the door lets in settles: no fill meets `funds` or `in debt`, and no covered reading leaves a debt.

The meters are adversaries within what their connections can carry, readings may come late, orders are
amended and cancelled, owners request exits at any moment, and the supplier may be unable to pay.
"""

from hashlib import sha256
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from market.auction import clear
from market.chunks import NO_CARRY, Chunk, Fill, Reading, RoundFills, Tariff, plan_chunks
from market.errors import OrderRefused
from market.ledger import GRID, AccountState, request_exit
from market.margin import AccountExposure
from market.orders import Order, OrderArrays
from market.settlement import Ledger, Terms, apply_fill, apply_reading, publish_tariffs, read, settle

T = 1000
N_INTERVALS = 3
ACCOUNTS = (2, 3, 4, 5)
CAPACITY = 100
FEE = 3

order_flow = st.lists(
    st.tuples(
        st.sampled_from(ACCOUNTS),
        st.booleans(),
        st.integers(0, 1),  # lane
        st.integers(0, N_INTERVALS - 1),
        st.integers(0, N_INTERVALS - 1),
        st.one_of(st.just(CAPACITY), st.integers(0, CAPACITY)),
        st.integers(-60, 60),
    ),
    max_size=14,
)
"""Account, side, lane, two ends of its validity, quantity, limit: buys bid high and sells ask low on the whole."""


class Market:
    def __init__(self, balances, tariffs, grid_balance, exact):
        self.tariffs = tariffs
        self.exact = exact
        self.ledger = Ledger(Terms(fee_micro_per_kwh=FEE, notice=N_INTERVALS))
        self.ledger.accounts[GRID].balance_pico = grid_balance
        self.exposures = {}
        self.registers = dict.fromkeys(ACCOUNTS, 0)
        self.cells = {}
        self.rounds = {t: [] for t in range(T, T + N_INTERVALS)}
        self.accepted = 0
        for account, balance in zip(ACCOUNTS, balances, strict=True):
            self.ledger.accounts[account] = AccountState(
                balance_pico=balance, epoch=1, is_metered=True, capacity_milli_wh=CAPACITY, read=T - 1
            )
            self.exposures[account] = AccountExposure(CAPACITY, T - 1, lambda t: tariffs[t - T])
        self.minted = self.ledger.held_pico()

    def offer(self, flow, round_):
        for account, is_buy, lane, a, b, quantity, limit in flow:
            first, last = T + min(a, b), T + max(a, b)
            limit += 25 if is_buy else -25
            order = Order(account, 1, is_buy, lane + 2 * round_, first, last, quantity, limit)
            state, exposure = self.ledger.accounts[account], self.exposures[account]
            try:
                exposure.admit(order, 2**70 if account in self.exact else state.balance_pico)
            except OrderRefused:
                continue
            if account in self.exact:  # pays in what the margin asks for, and not a unit more
                missing = max(0, exposure.exposure_pico - state.balance_pico)
                state.balance_pico += missing
                self.minted += missing
            self.accepted += 1
            for t in range(first, last + 1):
                self.cells.setdefault(t, {})[account, order.lane] = order

    def exit(self, account, share):
        state = self.ledger.accounts[account]
        request_exit(
            state,
            self.ledger.accounts[GRID],
            state.balance_pico * share // 4,
            ready_s=2**40,
            last_interval=T + N_INTERVALS - 1,
        )

    def clear(self, interval, round_):
        orders = [o for o in self.cells.pop(interval, {}).values() if o.quantity_milli_wh]
        result = clear(
            OrderArrays(
                np.array([o.account for o in orders], np.int64),
                np.array([o.is_buy for o in orders], bool),
                np.array([o.quantity_milli_wh for o in orders], np.int64),
                np.array([o.limit_micro_per_kwh for o in orders], np.int64),
            ),
            FEE,
        )
        price = result.price_micro_per_kwh
        filled = [(o, q) for o, q in zip(orders, result.fills_milli_wh.tolist(), strict=True) if q]
        if filled:
            self.rounds[interval].append((round_, price, filled))
        for account, exposure in self.exposures.items():
            exposure.close_round(
                interval, [(o.is_buy, q, _all_in(price, o)) for o, q in filled if o.account == account]
            )

    def settle(self, interval, moves, on_time):
        tariffs = (self.tariffs[interval - T],)
        publish_tariffs(self.ledger, interval, tariffs)
        for account, move in zip(ACCOUNTS, moves, strict=True):
            self.registers[account] += move
        readings = [a for a, prompt in zip(ACCOUNTS, on_time, strict=True) if prompt]
        rounds = self.rounds[interval]
        fills = [
            RoundFills(
                round_,
                np.array([o.account for o, _ in filled]),
                np.array([-q if o.is_buy else q for o, q in filled]),
                np.full(len(filled), price),
            )
            for round_, price, filled in rounds
        ]
        prompt_now = [a for a in readings if self.ledger.accounts[a].read == interval - 1]
        plans = plan_chunks(fills, np.array(prompt_now if fills else [], np.int64), max_fills=8)
        now_s = self.ledger.terms.end_s(interval)
        by_round = {round_: (price, filled) for round_, price, filled in rounds}
        for plan in plans:
            price, filled = by_round[plan.round]
            chosen = zip(plan.rows.tolist(), plan.quantity_milli_wh.tolist(), strict=True)
            parts = [(filled[row][0], q) for row, q in chosen]
            settle(
                self.ledger,
                Chunk(
                    self.ledger.next_sequence,
                    interval,
                    plan.round,
                    (price,),
                    [Fill(o, sha256(repr(o).encode()).digest(), q) for o, q in parts],
                    tariffs,
                    [Reading(a, self.registers[a]) for a in plan.reading_accounts.tolist()],
                ),
                now_s,
            )
            for order, quantity in parts:
                self.exposures[order.account].book(interval, order.is_buy, quantity, _all_in(price, order))
            self._were_read(interval, plan.reading_accounts.tolist())
        done = prompt_now if fills else []
        return [(interval, a, self.registers[a]) for a in ACCOUNTS if a not in done]

    def read_late(self, interval, account, register):
        tariffs = (self.tariffs[interval - T],)
        now_s = self.ledger.terms.end_s(interval) + self.ledger.terms.fill_window_s
        read(self.ledger, interval, tariffs, [Reading(account, register)], now_s)
        self._were_read(interval, [account])

    def _were_read(self, interval, accounts):
        for account in accounts:
            if self.exposures[account].covers(interval):
                assert self.ledger.accounts[account].owed_pico <= 0, "a covered reading leaves no debt"
            self.exposures[account].read(interval)


def _all_in(price, order):
    return price + FEE if order.is_buy else price - FEE


def _tariffs(draw):
    pairs = draw(
        st.lists(
            st.tuples(st.integers(-60, 60), st.integers(-60, 60)),
            min_size=N_INTERVALS,
            max_size=N_INTERVALS,
        )
    )
    return [Tariff(max(pair), min(pair)) for pair in pairs]


@settings(deadline=None)
@given(st.data())
def test_any_accepted_flow_of_orders_settles_without_refusal(data):
    draw = data.draw
    balances = draw(st.lists(st.integers(0, 30_000), min_size=4, max_size=4))
    exact = draw(st.sets(st.sampled_from(ACCOUNTS)))
    market = Market(balances, _tariffs(draw), draw(st.sampled_from([0, 10**9])), exact)
    intervals = range(T, T + N_INTERVALS)

    market.offer(draw(order_flow), 0)
    market.exit(draw(st.sampled_from(ACCOUNTS)), draw(st.integers(0, 4)))
    market.offer(draw(order_flow), 0)
    for t in intervals:
        market.clear(t, 0)
    market.offer(draw(order_flow), 1)
    market.exit(draw(st.sampled_from(ACCOUNTS)), draw(st.integers(0, 4)))
    for t in intervals:
        market.clear(t, 1)

    meter = st.one_of(st.sampled_from([-CAPACITY, CAPACITY]), st.integers(-CAPACITY, CAPACITY))
    waiting = []
    for t in intervals:
        moves = draw(st.lists(meter, min_size=4, max_size=4))
        waiting += market.settle(t, moves, draw(st.lists(st.booleans(), min_size=4, max_size=4)))
    for interval, account, register in waiting:
        market.read_late(interval, account, register)
    assert market.ledger.held_pico() == market.minted
    assert all(market.ledger.accounts[a].read == T + N_INTERVALS - 1 for a in ACCOUNTS)
    assert all(e.exposure_pico == 0 for e in market.exposures.values())


@given(
    st.integers(-CAPACITY, CAPACITY),
    st.lists(
        st.tuples(st.booleans(), st.integers(1, CAPACITY // 4), st.integers(-60, 60)), min_size=1, max_size=4
    ),
    st.tuples(st.integers(-60, 60), st.integers(-60, 60)),
)
def test_exposure_of_an_interval_is_the_worst_that_can_happen_and_not_a_unit_more(position, orders, pair):
    tariff = Tariff(max(pair), min(pair))
    exposure = AccountExposure(2 * CAPACITY, T - 1, lambda _: tariff)
    exposure.set_position(T, position)
    orders = [Order(2, 1, is_buy, lane, T, T, q, limit) for lane, (is_buy, q, limit) in enumerate(orders)]
    for order in orders:
        exposure.admit(order, 2**70)

    def cost(are_filled, moved):
        account = AccountState(
            balance_pico=2**60,
            epoch=1,
            is_metered=True,
            capacity_milli_wh=2 * CAPACITY,
            read=T - 1,
            filled=T,
            position_milli_wh=position,
        )
        for order, is_filled in zip(orders, are_filled, strict=True):
            if is_filled:
                fill = Fill(order, sha256(repr(order).encode()).digest(), order.quantity_milli_wh)
                price = order.limit_micro_per_kwh + (-FEE if order.is_buy else FEE)
                apply_fill(account, fill, T, price, FEE, NO_CARRY)
        traded = account.balance_pico
        apply_reading(account, AccountState(balance_pico=2**60), Reading(2, moved), T, tariff)
        return 2**60 - min(account.balance_pico, traded)  # what GRID pays may stay owed

    worst = max(
        cost(are_filled, moved)
        for are_filled in product((False, True), repeat=len(orders))
        for moved in (-2 * CAPACITY, 2 * CAPACITY)
    )
    assert exposure.exposure_pico == max(worst, 0)
