"""Contracts against the model: for every step the same answer, the same reason, the same balances.

`SYMGRID_STATEFUL_EXAMPLES` sets how many runs of 50 steps are made (default 200, always the same ones;
4,000 make 200,000 steps, other ones each time).
Every step draws one seed from which it is made, so that a failing run shrinks to few steps.
"""

import os
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from market.orders import Order as SignedOrder
from node.chain import calldata, typed_data
from node.chain.calldata import ReadCall, SignedFill, SignedReading
from node.chain.contracts import FEES, GRID, Contracts
from node.chain.typed_data import Tariff
from tests.contract.model import Chunk, Model, Order, Reading, Refused
from tests.contract.twins import CAPACITY_MILLI_WH, PARAMETERS, Twins
from tests.contract.world import reason_of

DEFAULT_EXAMPLES = 200
EXAMPLES = int(os.environ.get("SYMGRID_STATEFUL_EXAMPLES", DEFAULT_EXAMPLES))
STEPS = 50
LEAST_ACCEPTED = 0.3
SEEDS = st.integers(0, 2**64 - 1)

# how often each step is made
KINDS = [
    kind
    for kind, weight in {
        "a_chunk_is_settled": 9,
        "time_passes": 5,
        "readings_are_brought_in": 7,
        "money_comes_in": 2,
        "an_exit_is_requested": 2,
        "an_exit_is_paid": 1,
        "a_debt_is_collected": 1,
        "something_is_curtailed": 3,
        "a_key_changes": 1,
        "tariffs_are_published": 1,
    }.items()
    for _ in range(weight)
]


class Contracts_against_model(RuleBasedStateMachine):
    """Steps that are mostly right and often wrong in one thing."""

    first: ClassVar[Twins]
    answers: ClassVar[Counter[str | None]] = Counter()
    done: ClassVar[Counter[str]] = Counter()

    @initialize()
    def begin(self) -> None:
        self.twins = self.first.fork()
        self.first_interval = self.model.now - 2

    # -------------------------------------------------------------- the comparison

    def both(self, predict: Callable[[Model], None], act: Callable[[], object]) -> bool:
        """Do it on both sides, compare, return whether it was accepted."""
        expected = None
        try:
            after = self.twins.model.act(predict)
        except Refused as refused:
            expected = refused.reason
        else:
            self.twins.model = after
        assert reason_of(act) == expected
        type(self).answers[expected] += 1
        if expected is None:
            self.twins.same()
            self.done["debts"] += sum(a.owed != 0 for a in self.model.accounts.values())
        return expected is None

    def send(self, name: str, function: str, *arguments: Any) -> Callable[[], object]:
        chain, keys = self.twins.chain, self.twins.keys
        return lambda: chain.send(keys[name], function, *arguments)

    # -------------------------------------------------------------- choices

    @property
    def model(self) -> Model:
        return self.twins.model

    def account(self, r: Random) -> int:
        """Return a member's account; rarely the supplier's, the operator's or none's."""
        if r.random() < 0.03:
            return r.choice([GRID, FEES])
        return r.randrange(2, len(self.model.accounts))

    def name(self, r: Random) -> str:
        return r.choice(list(self.twins.keys))

    def open_interval(self, r: Random) -> int:
        """Return an interval that may be filled now, newest rounds first; rarely another one."""
        now, newest = self.model.now, self.model.newest[0]
        first = max(now - PARAMETERS.fill_window_s // PARAMETERS.length_s, newest)
        if r.random() < 0.05 or first >= now:
            return now + r.randrange(-6, 2)
        unread = min(a.read for n, a in self.model.accounts.items() if n > FEES) + 1
        return r.choice([first, min(max(first, unread), now - 1), r.randrange(first, now)])

    def prices(self, r: Random, interval: int, round_: int) -> tuple[int, ...]:
        if (interval, round_) == self.model.newest[:2] and r.random() < 0.97:
            return self.model.newest[2]
        low = r.choice([-60_000, 100_000, 200_000])
        prices = (low, low + r.choice([0, 0, 30_000]))
        odd = r.random()
        if odd < 0.02:
            return prices[:1]
        return (*prices[:1], 4_000_001) if odd < 0.04 else prices

    def order(self, r: Random, account: int, is_buy: bool, quantity: int, interval: int) -> Order:
        """Return an order that is right for its account; sometimes wrong in one thing."""
        a = self.model.accounts[account]
        agents = [x for x in a.agents if x[0] <= interval] or [(0, "operator", 0)]
        _, signer, epoch = agents[-1]
        used = {lane for when, lane in a.lanes if when == interval}
        lane = min(set(range(33)) - used)
        limit = 4_000_000 if is_buy else -4_000_000
        whole = quantity + r.choice([0, 0, 500])
        first, last = interval - r.choice([0, 2]), interval + r.choice([0, 3])
        wrong = r.choice(["signer", "epoch", "lane", "first", "last", "limit", "whole"])
        if r.random() < 0.04:
            match wrong:
                case "signer":
                    signer = self.name(r)
                case "epoch":
                    epoch += r.choice([-1, 1]) if epoch else 1
                case "lane":
                    lane = r.choice([*used, 32])
                case "first":
                    first = last = interval + 1
                case "last":
                    first = last = interval - 1
                case "limit":
                    limit = 150_000
                case "whole":
                    whole = max(0, quantity - 1)
        return Order(account, epoch, is_buy, lane, first, last, whole, limit, signer)

    def fills(self, r: Random, interval: int) -> list[tuple[Order, int]]:
        """Return a balanced result of an auction: sellers first, then buyers, or the other way round."""
        found: list[tuple[Order, int]] = []
        unread = [n for n, a in self.model.accounts.items() if n > FEES and a.read < interval]
        unused = unread if r.random() < 0.97 else list(range(2, len(self.model.accounts)))
        r.shuffle(unused)
        for _ in range(r.randrange(0, 3)):
            if len(unused) < 2:
                break
            quantity = r.choice([1, 100, 1000, r.randrange(1, 3000)])
            seller, buyer = unused.pop(), unused.pop()
            if self.model.accounts[buyer].balance == 0:
                seller, buyer = buyer, seller
            if r.random() < 0.03:
                seller = self.account(r)
            if r.random() < 0.02:
                quantity = CAPACITY_MILLI_WH + 1
            sides = [(seller, False), (buyer, True)]
            r.shuffle(sides)
            found += [(self.order(r, who, buys, quantity, interval), quantity) for who, buys in sides]
        carried = self.model.carried
        if carried and interval == self.model.newest[0] and r.random() < 0.4:
            found = self.continuation(r, interval, unread)
        if found and r.random() < 0.03:
            row = r.randrange(len(found))
            found[row] = (found[row][0], found[row][1] + r.choice([-1, 1]))
        return found

    def continuation(self, r: Random, interval: int, unread: list[int]) -> list[tuple[Order, int]]:
        """Return fills that go on with the order filled last on either side, or on both."""
        carried = dict(self.model.carried)
        if len(carried) == 2 and r.random() < 0.5:
            left = min(order.quantity - filled for order, filled in carried.values())
            quantity = left if left > 0 and r.random() < 0.9 else left + 1
            found = [(order, quantity) for order, _ in carried.values()]
            r.shuffle(found)
            return found
        order, filled = carried[r.choice(list(carried))]
        left = max(order.quantity - filled, 1)
        others = [n for n in unread if n != order.account]
        if not others or order.account not in unread:
            return []
        other = self.order(r, r.choice(others), not order.is_buy, left, interval)
        part = left // 2
        # the other side's order is filled between two parts of this one
        parts = (
            [(order, part), (other, left), (order, left - part)] if part else [(order, left), (other, left)]
        )
        return parts if r.random() < 0.8 else parts[::-1]

    def reading(self, r: Random, account: int, interval: int) -> Reading:
        """Return a register near what was promised; sometimes wrong in one thing."""
        a = self.model.accounts[account]
        meters = [x for x in a.meters if x[0] <= interval] or [(0, "operator", 0)]
        offset = meters[-1][2] if len(meters) > 1 else 0
        missed = r.choice([0, r.randrange(-3000, 3000), r.randrange(-1000, 0)])
        delta = max(-CAPACITY_MILLI_WH, min(CAPACITY_MILLI_WH, a.positions.get(interval, 0) + missed))
        substitutes_s = self.model.end_s(interval) + 2 * PARAMETERS.fill_window_s
        is_substitute = self.model.now_s >= substitutes_s and r.random() < 0.5
        signer = self.model.holder(2) if is_substitute else meters[-1][1]
        if r.random() < 0.04:
            match r.choice(["signer", "jump", "substitute"]):
                case "signer":
                    signer = self.name(r)
                case "jump":
                    delta = a.capacity + 1
                case "substitute":
                    is_substitute = not is_substitute
        return Reading(account, a.register + offset + delta, is_substitute, signer)

    def readings(self, r: Random, interval: int) -> list[Reading]:
        due = [n for n, a in self.model.accounts.items() if n > FEES and a.read + 1 == interval]
        found = [self.reading(r, account, interval) for account in due if r.random() < 0.9]
        if r.random() < 0.03:
            found.append(self.reading(r, self.account(r), interval))
        return found

    def tariffs(self, r: Random, interval: int) -> tuple[tuple[int, int], ...]:
        if interval in self.model.tariffs and r.random() < 0.98:
            return self.model.tariffs[interval]
        return ((300_000, 80_000), (320_000, 60_000))

    # -------------------------------------------------------------- what is signed for the chain

    def signed_fill(self, order: Order, quantity: int) -> SignedFill:
        signed = SignedOrder(
            order.account, order.epoch, order.is_buy, order.lane, order.first, order.last, order.quantity, order.limit
        )  # fmt: skip
        return SignedFill(signed, quantity, self.twins.chain.sign(self.twins.keys[order.signer], signed))

    def signed_reading(self, x: Reading, interval: int) -> SignedReading:
        kind = typed_data.Substitute if x.is_substitute else typed_data.Reading
        message = kind(x.account, interval, x.register)
        signature = self.twins.chain.sign(self.twins.keys[x.signer], message)
        return SignedReading(x.account, x.register, x.is_substitute, signature)

    # -------------------------------------------------------------- steps

    @rule(kind=st.sampled_from(KINDS), seed=SEEDS)
    def step(self, kind: str, seed: int) -> None:
        getattr(self, kind)(Random(seed))

    def time_passes(self, r: Random) -> None:
        length = PARAMETERS.length_s
        steps = [length, length, length, length, length, 1, length // 2, r.randrange(9 * length)]
        self.twins.pass_time(r.choice(steps))
        for interval in range(max(self.model.tariffs, default=self.first_interval) + 1, self.model.now):
            if r.random() < 0.98:
                self._publish(r, interval)

    def _publish(self, r: Random, interval: int) -> None:
        short = r.choice([300_000, 250_000, -10_000])
        table = ((short, min(short, 80_000)), (short + 20_000, min(short, -5_000)))
        signer = self.model.holder(1)
        odd = r.random()
        if odd < 0.02:
            signer = self.name(r)
        elif odd < 0.04:
            table = ((4_000_001, 0), table[1])
        elif odd < 0.06:
            table = ((short, short + 1), table[1])
        elif odd < 0.08:
            table = table[:1]  # type: ignore[assignment]
        tariffs = typed_data.Tariffs(interval, tuple(Tariff(*row) for row in table))
        signature = self.twins.chain.sign(self.twins.keys[signer], tariffs)
        self.both(
            lambda m: m.publish(interval, table, signer),
            self.send("grid", "publish_tariffs", interval, list(table), *signature),
        )

    def tariffs_are_published(self, r: Random) -> None:
        unread = min(a.read for n, a in self.model.accounts.items() if n > FEES) + 1
        missing = [t for t in range(unread, self.model.now + 1) if t not in self.model.tariffs]
        self._publish(r, missing[0] if missing and r.random() < 0.9 else self.model.now - 1)

    def a_chunk_is_settled(self, r: Random) -> None:
        interval = self.open_interval(r)
        newest = self.model.newest
        round_ = r.choice([0, 0, 1, 3]) if interval != newest[0] else min(newest[1] + r.choice([0, 0, 1]), 4)
        fills = self.fills(r, interval)
        readings = self.readings(r, interval) if r.random() < 0.6 else []
        chunk = Chunk(
            sequence=self.model.sequence + (r.random() < 0.02),
            interval=interval,
            round=round_,
            prices=self.prices(r, interval, round_),
            fills=tuple(fills),
            tariffs=self.tariffs(r, interval) if readings else (),
            readings=tuple(readings),
            signer=self.model.holder(0) if r.random() > 0.02 else self.name(r),
        )
        chain = self.twins.chain
        call = chain.chunk(
            interval,
            [self.signed_fill(order, quantity) for order, quantity in fills],
            [self.signed_reading(x, interval) for x in readings],
            round_=round_,
            prices=chunk.prices,
            tariffs=[Tariff(*row) for row in chunk.tariffs],
            sequence=chunk.sequence,
            signer=self.twins.keys[chunk.signer],
        )
        if self.both(lambda m: m.settle(chunk), lambda: chain.carry_in(call)):
            self.done["fills"] += len(fills)
            self.done["readings"] += len(readings)

    def readings_are_brought_in(self, r: Random) -> None:
        reads = [a.read for n, a in self.model.accounts.items() if n > FEES]
        interval = r.choice([min(reads), r.choice(reads)]) + 1 if r.random() < 0.97 else self.model.now
        readings, tariffs = self.readings(r, interval), self.tariffs(r, interval)
        call = ReadCall(
            interval,
            tuple(Tariff(*row) for row in tariffs),
            tuple(self.signed_reading(x, interval) for x in readings),
        )
        chain = self.twins.chain
        data = calldata.read_calldata(call)
        if self.both(
            lambda m: m.read(interval, tariffs, tuple(readings)),
            lambda: chain.evm.send(chain.carrier, chain.deployment.settlement, data),
        ):
            self.done["readings without the operator"] += len(readings)

    def something_is_curtailed(self, r: Random) -> None:
        account, quantity = self.account(r), r.choice([100, 1000, 2**39 - 1, 0])
        interval = self.model.accounts[account].read + r.choice([1, 1, 1, 2, 0])
        if r.random() < 0.1:
            interval = self.model.now + r.randrange(PARAMETERS.notice_intervals + 2)
        signer = self.model.holder(3) if r.random() > 0.05 else self.name(r)
        signature = self.twins.chain.sign(
            self.twins.keys[signer], typed_data.Curtailment(account, interval, quantity)
        )
        self.both(
            lambda m: m.curtail(account, interval, quantity, signer),
            self.send("grid", "curtail", account, interval, quantity, *signature),
        )

    def money_comes_in(self, r: Random) -> None:
        chain, account = self.twins.chain, self.account(r)
        if r.random() < 0.05:
            account = len(self.model.accounts)
        sender, amount = self.name(r), r.choice([1, 1000, 10_000_000, 200_000_000])
        minted, allowed = (amount if r.random() > 0.1 else 0 for _ in range(2))
        chain.mint(self.twins.keys[sender], minted)
        chain.token(self.twins.keys[sender], "approve", chain.deployment.settlement, allowed)
        self.model.tokens[sender] += minted
        self.model.allowed[sender] = allowed
        self.both(lambda m: m.deposit(sender, account, amount), self.send(sender, "deposit", account, amount))

    def an_exit_is_requested(self, r: Random) -> None:
        account = self.account(r)
        sender = self.model.accounts[account].owner if r.random() > 0.1 else self.name(r)
        amount = r.choice([0, 100_000_000, 2**256 - 1, 2**256 - 1])
        self.both(
            lambda m: m.request_exit(sender, account, amount),
            self.send(sender, "request_exit", account, amount),
        )

    def an_exit_is_paid(self, r: Random) -> None:
        due = [n for n, a in self.model.accounts.items() if (a.exit.ready_s or 2**63) <= self.model.now_s]
        account = r.choice(due) if due else self.account(r)
        self.both(lambda m: m.withdraw(account), self.send("grid", "withdraw", account))

    def a_debt_is_collected(self, r: Random) -> None:
        owing = [n for n, a in self.model.accounts.items() if a.owed]
        account = r.choice(owing) if owing and r.random() < 0.9 else self.account(r)
        self.both(lambda m: m.collect(account), self.send("grid", "collect", account))

    def a_key_changes(self, r: Random) -> None:
        account, other = self.account(r), self.name(r)
        key = self.twins.keys[other].address
        registrar = self.model.holder(2) if r.random() > 0.1 else self.name(r)
        match r.choice(["agent", "agent", "role", "meter", "capacity"]):
            case "agent":
                owner = self.model.accounts[account].owner if r.random() > 0.1 else self.name(r)
                self.both(
                    lambda m: m.set_agent(owner, account, other), self.send(owner, "set_agent", account, key)
                )
            case "role":
                role = r.randrange(4)
                holder = self.model.holder(role) if r.random() > 0.2 else self.name(r)
                self.both(
                    lambda m: m.rotate(holder, role, other), self.send(holder, "rotate_role", role, key)
                )
            case "meter":
                offset = r.choice([0, 1000, -1000])
                self.both(
                    lambda m: m.replace_meter(registrar, account, other, offset),
                    self.send(registrar, "replace_meter", account, key, offset),
                )
            case "capacity":
                capacity = self.model.accounts[account].capacity + r.choice([0, 500, 500])
                self.both(
                    lambda m: m.raise_capacity(registrar, account, capacity),
                    self.send(registrar, "raise_capacity", account, capacity),
                )


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
def test_contracts_and_model_agree_on_every_step(contracts: Contracts) -> None:
    machine = Contracts_against_model
    machine.first, machine.answers, machine.done = Twins(contracts), Counter(), Counter()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=EXAMPLES == DEFAULT_EXAMPLES,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    total, accepted = machine.answers.total(), machine.answers[None]
    print(f"\n{total} steps, {accepted / total:.0%} accepted; refused:")
    for reason, count in machine.answers.most_common():
        print(f"{count:>8}  {reason or 'accepted'}")
    print(", ".join(f"{count} {what}" for what, count in machine.done.items()))
    assert accepted >= LEAST_ACCEPTED * total
