"""market/ does to accounts what the contract does, to the unit, and refuses what it refuses, for its reason.

Random calls, good and bad, go to the compiled contract on an EVM in memory and to the mirror side by side;
after each, both accepted or both refused with the same words, and every account is the same.
"""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import ledger as books
from market import registry, settlement
from market.chunks import Chunk, Fill, Reading, Tariff
from market.errors import ChunkRefused
from market.ledger import FEES, GRID, AccountState
from market.orders import Order
from market.settlement import Ledger, Terms
from node.bench.community import Community, Member
from node.bench.evm import Reverted
from node.chain import typed_data
from node.chain.calldata import SignedFill, SignedReading
from node.chain.contracts import Parameters, compile_contracts

FEE, CAP, CAPACITY = 3, 500, 2000
PARAMETERS = Parameters(
    notice_intervals=4,
    fill_window_s=3_600,
    exit_delay_s=15 * 900,
    role_delay_s=20 * 900,
    record_for_s=3_600,
    fee_micro_per_kwh=FEE,
    price_cap_micro_per_kwh=CAP,
)
TARIFFS = (Tariff(300, 80), Tariff(-20, -90))
ZONES = {"ann": 0, "ben": 0, "zoe": 1, "pim": 0}
DEPOSITS = {"ann": 900_000, "ben": 900_000, "zoe": 900_000, "pim": 30_000}


@dataclass
class Twins:
    """The contract and its mirror, driven side by side."""

    chain: Community
    ledger: Ledger
    members: list[Member]
    start: int

    @classmethod
    def founded(cls) -> "Twins":
        chain = Community(compile_contracts(), PARAMETERS)
        chain.fund_grid(400_000)
        ledger = Ledger(
            Terms(
                fee_micro_per_kwh=FEE,
                price_cap_micro_per_kwh=CAP,
                notice=4,
                fill_window_s=3_600,
                exit_delay_s=15 * 900,
                role_delay_s=20 * 900,
            )
        )
        ledger.accounts[GRID].balance_pico = 400_000
        members = []
        for name, zone in ZONES.items():
            deposit = DEPOSITS[name]
            members.append(chain.join(name, zone=zone, capacity_milli_wh=CAPACITY, deposit_pico=deposit))
            account = registry.open_account(ledger)
            registry.install(ledger, account, 0, zone, CAPACITY, chain.interval)
            ledger.accounts[account].balance_pico = deposit
        members.append(chain.open_account("lot"))
        registry.open_account(ledger)
        return cls(chain, ledger, members, chain.interval + 1)

    def fork(self) -> "Twins":
        state = {account: one.draft() for account, one in self.ledger.accounts.items()}
        ledger = Ledger(self.ledger.terms, state)
        return Twins(self.chain.fork(), ledger, self.members, self.start)

    def both(self, on_chain, in_mirror) -> None:
        reason = None
        try:
            on_chain()
        except Reverted as reverted:
            reason = reverted.reason
        try:
            in_mirror()
            refused = None
        except ChunkRefused as error:
            refused = error.reason
        assert refused == reason
        self.compare()

    def compare(self) -> None:
        for account in (GRID, FEES, *(m.account for m in self.members)):
            state, word = self.ledger.accounts[account], self.chain.word(account)
            seen = (
                word.balance_pico,
                word.is_in_debt,
                word.lanes,
                word.filled,
                word.read,
                word.position_milli_wh,
                word.register_milli_wh,
            )
            assert seen == (
                state.balance_pico,
                state.in_debt,
                state.lanes,
                state.filled,
                state.read,
                state.position_milli_wh,
                state.register_milli_wh,
            )
            assert self.chain.view("owed", account) == state.owed_pico
            assert tuple(self.chain.view("exits", account)) == (
                state.exit_amount_pico,
                state.exit_ready_s,
                state.exit_last,
            )

    # -------------------------------------------------------------- calls

    def wait(self, intervals, move) -> None:
        """Let time pass; with a move, every meter is read in every interval that can be read."""
        for _ in range(intervals):
            newest = self.chain.interval - 1
            if newest not in self.ledger.tariffs:
                self.publish(newest, TARIFFS)
            accounts = self.ledger.accounts
            due = [i for i in range(4) if accounts[self.members[i].account].read == newest - 1]
            if move is not None and due:
                self.settle(newest, 3, (0, 0), [], [(i, move, False) for i in due], TARIFFS)
            self.chain.pass_intervals()

    def fill(self, who, lane, whole, quantity, is_buy, limit, interval) -> tuple[SignedFill, Fill]:
        member = self.members[who]
        epoch = self.ledger.accounts[member.account].epoch
        order = Order(member.account, epoch, is_buy, lane, interval, interval, whole, limit)
        signature = self.chain.sign(member.agent, order)
        name = typed_data.order_hash(self.chain.domain, order)
        return SignedFill(order, quantity, signature), Fill(order, name, quantity)

    def settle(self, interval, round_, prices, legs, readings, tariffs) -> None:
        fills = []
        for (seller, buyer, lanes, whole, quantity, limits), flipped, excess in legs:
            pair = [
                self.fill(seller, lanes[0], whole, quantity + excess, False, limits[0], interval),
                self.fill(buyer, lanes[1], whole, quantity, True, limits[1], interval),
            ]
            fills += pair[::-1] if flipped else pair
        signed, plain = self.readings(interval, readings)
        sequence = self.ledger.next_sequence
        call = self.chain.chunk(
            interval, [f for f, _ in fills], signed, round_=round_, prices=prices, tariffs=tariffs
        )
        chunk = Chunk(
            sequence, interval, round_, prices, [f for _, f in fills], tariffs if readings else (), plain
        )
        self.both(
            lambda: self.chain.carry_in(call),
            lambda: settlement.settle(self.ledger, chunk, self.chain.evm.time_s),
        )

    def readings(self, interval, moves) -> tuple[list[SignedReading], list[Reading]]:
        signed, plain = [], []
        for who, move, is_substitute in moves:
            member = self.members[who]
            register = self.ledger.accounts[member.account].register_milli_wh + move
            make = self.chain.substitute if is_substitute else self.chain.reading
            signed.append(make(member, interval, register))
            plain.append(Reading(member.account, register, is_substitute))
        return signed, plain

    def read(self, interval, moves, tariffs) -> None:
        signed, plain = self.readings(interval, moves)
        self.both(
            lambda: self.chain.read(interval, signed, tariffs),
            lambda: settlement.read(self.ledger, interval, tariffs, plain, self.chain.evm.time_s),
        )

    def publish(self, interval, tariffs) -> None:
        self.both(
            lambda: self.chain.publish(interval, tariffs),
            lambda: settlement.publish_tariffs(self.ledger, interval, tariffs),
        )

    def curtail(self, who, interval, quantity) -> None:
        member = self.members[who]
        self.both(
            lambda: self.chain.curtail(member, interval, quantity),
            lambda: registry.curtail(self.ledger, member.account, interval, quantity, self.chain.interval),
        )

    def request_exit(self, who, amount) -> None:
        member, accounts = self.members[who], self.ledger.accounts
        self.both(
            lambda: self.chain.send(member.owner, "request_exit", member.account, amount),
            lambda: books.request_exit(
                accounts[member.account],
                accounts[GRID],
                amount,
                ready_s=self.chain.evm.time_s + PARAMETERS.exit_delay_s,
                last_interval=self.chain.interval + PARAMETERS.notice_intervals,
            ),
        )

    def withdraw(self, who) -> None:
        account = self.members[who].account
        self.both(
            lambda: self.chain.send(self.chain.carrier, "withdraw", account),
            lambda: books.withdraw(self.ledger.accounts[account], self.chain.evm.time_s),
        )

    def collect(self, who) -> None:
        accounts, account = self.ledger.accounts, self.members[who].account
        self.both(
            lambda: self.chain.send(self.chain.carrier, "collect", account),
            lambda: books.collect(accounts[account], accounts[GRID]),
        )

    def deposit(self, who, amount) -> None:
        account = GRID if who is None else self.members[who].account
        owner = self.members[who or 0].owner
        self.both(
            lambda: self.chain.deposit(owner, account, amount),
            lambda: books.credit(self.ledger.accounts[account], amount),
        )

    def renew_agent(self, who) -> None:
        member = self.members[who]
        self.both(
            lambda: self.chain.send(member.owner, "set_agent", member.account, member.agent.address),
            lambda: registry.set_agent(self.ledger, member.account, self.chain.evm.time_s),
        )

    def replace_meter(self, who, offset) -> None:
        member, registrar = self.members[who], self.chain.keys["registrar"]
        self.both(
            lambda: self.chain.send(registrar, "replace_meter", member.account, member.meter.address, offset),
            lambda: registry.replace_meter(self.ledger, member.account, offset, self.chain.interval),
        )

    def raise_capacity(self, who, capacity) -> None:
        account, registrar = self.members[who].account, self.chain.keys["registrar"]
        self.both(
            lambda: self.chain.send(registrar, "raise_capacity", account, capacity),
            lambda: registry.raise_capacity(self.ledger, account, capacity),
        )


who = st.integers(0, 4)
member = st.integers(0, 3)
energy = st.sampled_from([1, 400, 1000, 2000, 2001])
legs = st.lists(
    st.tuples(
        st.tuples(
            member,
            member,
            st.tuples(st.integers(0, 2), st.integers(0, 2)),
            st.sampled_from([400, 1000, 2000]),
            st.sampled_from([200, 400, 1000]),
            st.sampled_from([(-CAP, CAP), (-CAP, CAP), (-CAP, CAP), (100, 110)]),
        ),
        st.booleans(),
        st.sampled_from([0] * 12 + [1]),
    ),
    max_size=4,
)
moves = st.lists(
    st.tuples(
        who,
        st.one_of(st.sampled_from([0, -CAPACITY, CAPACITY, CAPACITY + 1]), st.integers(-CAPACITY, CAPACITY)),
        st.sampled_from([False] * 5 + [True]),
    ),
    max_size=3,
    unique_by=lambda one: one[0],
)
tables = st.sampled_from([TARIFFS] * 8 + [TARIFFS[:1], (Tariff(10, 20),), (Tariff(CAP + 1, 0),)])
prices = st.sampled_from([(100, 100), (100, 140), (-60, -60), (100, 100), (140, 100), (100,), (CAP + 1, 0)])
calls = st.one_of(
    st.tuples(st.just("settle"), st.integers(0, 1), st.integers(0, 4), prices, legs, moves, tables),
    st.tuples(
        st.just("settle"), st.just(0), st.integers(0, 2), st.just((100, 120)), legs, moves, st.just(TARIFFS)
    ),
    st.tuples(st.just("read"), st.sampled_from([0] * 5 + [1]), moves, st.just(TARIFFS)),
    st.tuples(st.just("read"), st.just(0), moves, tables),
    st.tuples(st.just("publish"), st.integers(0, 1), tables),
    st.tuples(st.just("curtail"), who, st.integers(-3, 5), st.sampled_from([0, 100, 900])),
    st.tuples(st.just("request_exit"), member, st.sampled_from([0, 20_000, 10**12])),
    st.tuples(st.sampled_from(["withdraw", "collect", "renew_agent"]), member),
    st.tuples(st.just("deposit"), st.one_of(st.none(), member), st.sampled_from([1, 50_000])),
    st.tuples(st.just("replace_meter"), who, st.sampled_from([0, 7_000, -3, 2**55])),
    st.tuples(st.just("raise_capacity"), who, st.sampled_from([CAPACITY, CAPACITY + 1, 2**39])),
    st.tuples(st.just("wait"), st.just(1), st.sampled_from([None, 0, 600, -900])),
    st.tuples(st.just("wait"), st.sampled_from([1, 4, 8, 16]), st.sampled_from([None, 0, -1500])),
)


@pytest.fixture(scope="module")
def founded() -> Twins:
    return Twins.founded()


@settings(deadline=None, max_examples=25)
@given(st.lists(calls, min_size=10, max_size=25))
def test_contract_and_mirror_agree_on_every_call(founded, steps):
    twins = founded.fork()
    chain = twins.chain
    chain.pass_intervals(2)
    for name, *arguments in steps:
        if name == "wait":
            twins.wait(*arguments)
            continue
        if name in ("settle", "publish"):
            arguments[0] = chain.interval - 1 - arguments[0]
        if name == "read":
            account = twins.members[arguments[1][0][0]].account if arguments[1] else GRID
            arguments[0] += twins.ledger.accounts[account].read + 1
        if name == "curtail":
            arguments[1] += chain.interval
        getattr(twins, name)(*arguments)


def test_draft_of_an_account_is_a_copy():
    state = AccountState(balance_pico=5)
    draft = state.draft()
    draft.balance_pico += 1
    assert (state.balance_pico, draft.balance_pico) == (5, 6)
