"""An order may meet any number of others: planned, settled by the mirror and by the compiled contract alike."""

import numpy as np
import pytest

from market import settlement
from market.chunks import Chunk, Fill, Reading, RoundFills, Tariff, plan_chunks
from market.ledger import FEES, GRID, AccountState
from market.orders import MAX_LANES
from market.settlement import Ledger, Terms
from node.bench.community import DEPOSIT_PICO, PRICE, TARIFF, Community, Member
from node.chain import calldata, typed_data
from node.chain.calldata import SignedFill
from node.chain.contracts import compile_contracts
from node.chain.words import NO_CARRIES

CAPACITY_MILLI_WH = 10**9
N_ACCOUNTS = 36

rng = np.random.default_rng(4)
MANY = rng.integers(1, 5_000, 1_000)
RESULTS = {
    "one sell against 1,000 buys": np.array([MANY.sum(), *-MANY]),
    "one buy against 1,000 sells": np.array([-MANY.sum(), *MANY]),
    "many of both": np.concatenate([MANY[:300], -MANY[:300][::-1]]),
    "wide orders beside small ones": np.array(
        [700_000, *[7] * 200, 300_000, -500_000, *[-1] * 200, *[-2_500] * 200, -1_200]
    ),
}
"""Energy sold in mWh, by order."""


def founded() -> tuple[Community, list[Member]]:
    community = Community(compile_contracts())
    community.fund_grid(DEPOSIT_PICO)
    members = [
        community.join(f"member {row}", capacity_milli_wh=CAPACITY_MILLI_WH) for row in range(N_ACCOUNTS)
    ]
    community.pass_intervals(2)
    return community, members


@pytest.fixture(scope="module")
def first() -> tuple[Community, list[Member]]:
    return founded()


def mirror_of(community: Community, members: list[Member]) -> Ledger:
    p = community.parameters
    ledger = Ledger(
        Terms(
            p.fee_micro_per_kwh,
            p.price_cap_micro_per_kwh,
            p.length_s,
            p.notice_intervals,
            p.fill_window_s,
            p.exit_delay_s,
            p.role_delay_s,
        )
    )
    for account in (GRID, FEES):
        ledger.accounts[account].balance_pico = community.balance(account)
    for member in members:
        word = community.word(member)
        ledger.accounts[member.account] = AccountState(
            balance_pico=word.balance_pico,
            epoch=1,
            is_metered=True,
            capacity_milli_wh=CAPACITY_MILLI_WH,
            read=word.read,
            register_milli_wh=word.register_milli_wh,
        )
    return ledger


def orders_of(
    community: Community, members: list[Member], sold: np.ndarray, interval: int
) -> list[tuple[SignedFill, bytes]]:
    """Return a signed order for each row: first one account's lanes, then the next one's; sides are apart."""
    made = []
    used = {True: (0, 0), False: (N_ACCOUNTS - 1, 0)}
    for one in sold.tolist():
        is_buy = one < 0
        row, lane = used[is_buy]
        fill = community.fill(members[row], abs(one), interval, is_buy=is_buy, lane=lane)
        made.append((fill, typed_data.order_hash(community.domain, fill.order)))
        step = 1 if is_buy else -1
        used[is_buy] = (row + step, 0) if lane == MAX_LANES - 1 else (row, lane + 1)
    return made


@pytest.mark.parametrize("name", RESULTS)
def test_result_settles_on_chain_as_in_the_mirror_without_a_revert(first, name):
    community, members = first[0].fork(), first[1]
    sold, interval = RESULTS[name], community.interval - 1
    community.publish(interval)
    ledger = mirror_of(community, members)
    settlement.publish_tariffs(ledger, interval, (Tariff(*TARIFF),))
    orders = orders_of(community, members, sold, interval)
    fills = RoundFills(
        0,
        np.array([fill.order.account for fill, _ in orders]),
        sold,
        np.full(sold.size, PRICE),
    )
    plans = plan_chunks([fills], np.array([member.account for member in members]), max_fills=100)
    carries = NO_CARRIES
    for sequence, plan in enumerate(plans):
        parts = [
            (orders[row][0], orders[row][1], quantity)
            for row, quantity in zip(plan.rows.tolist(), plan.quantity_milli_wh.tolist(), strict=True)
        ]
        by_account = {member.account: member for member in members}
        readings = [
            community.reading(by_account[account], interval, 0) for account in plan.reading_accounts.tolist()
        ]
        call, carries = calldata.seal(
            community.keys["operator"],
            community.domain,
            sequence=sequence,
            interval=interval,
            round_=0,
            prices_micro_per_kwh=(PRICE,),
            fills=[SignedFill(fill.order, quantity, fill.signature) for fill, _, quantity in parts],
            order_hashes=[order_hash for _, order_hash, _ in parts],
            tariffs=(TARIFF,) if readings else (),
            readings=readings,
            carries=carries,
        )
        community.carry_in(call)
        settlement.settle(
            ledger,
            Chunk(
                sequence,
                interval,
                0,
                (PRICE,),
                [Fill(fill.order, order_hash, quantity) for fill, order_hash, quantity in parts],
                (Tariff(*TARIFF),) if readings else (),
                [Reading(x.account, x.register_milli_wh) for x in readings],
            ),
            community.evm.time_s,
        )
    for account, state in ledger.accounts.items():
        word = community.word(account)
        assert (word.balance_pico, word.lanes, word.read) == (state.balance_pico, state.lanes, state.read)
        if account > FEES:
            assert state.read == interval
    assert community.carries(interval, 0, (PRICE,)) == carries
    assert [carry.word() for carry in ledger.carries] == [carry.pack() for carry in carries]
    fee = community.parameters.fee_micro_per_kwh
    assert community.balance(FEES) == int(np.abs(sold).sum()) * fee
