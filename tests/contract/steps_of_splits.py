"""Steps on flexibility events: opened, recorded, paid, refunded."""

from random import Random

from node.chain.typed_data import Reading
from tests.contract.flex import Tree, leaf
from tests.contract.model_of_splits import MAX_ENERGY, Event, Register
from tests.contract.model_state import MAX_REGISTER
from tests.contract.steps_of_accounts import AccountSteps


class SplitSteps(AccountSteps):
    """What buyers of flexibility and those who delivered it do."""

    def _events(self, *, is_closed: bool) -> list[int]:
        """Return the events in which something can be recorded, or paid."""
        m = self.model
        found = []
        for number, event in enumerate(m.splits.events):
            end_s = m.end_s(event.last)
            from_s, to_s = end_s, end_s + m.p.record_for_s
            if is_closed:
                from_s, to_s = to_s, 2**63
            if event.revenue and from_s <= m.now_s < to_s and (event.shares or not event.total):
                found.append(number)
        return found

    def _any_event(self, r: Random, wanted: list[int]) -> int:
        """Return one of the wanted events; rarely another one, or none that there is."""
        if r.random() > 0.05:
            return r.choice(wanted)
        return r.randrange(len(self.model.splits.events) + 1)

    def _split(self, name: str, function: str, *arguments: object) -> object:
        return self.twins.chain.split(self.twins.keys[name], function, *arguments)

    def an_event_is_opened(self, r: Random) -> None:
        buyer = self.name(r)
        revenue = r.choice([1, 7, 1_000_003, 0]) if r.random() > 0.02 else 2**79
        first = self.model.now + r.choice([1, 1, 1, 2, 0])
        last = first + r.choice([0, 0, 1, -1])
        baselines = {number: r.randrange(-2000, 2000) for number in self.members}
        baselines[0] = 0
        if r.random() < 0.1:
            baselines[r.choice(list(baselines))] = r.choice([-MAX_ENERGY - 1, MAX_ENERGY + 1])
        self.give_tokens(r, buyer, min(revenue, 10_000_000), "split")
        root = Tree.of([leaf(*one) for one in baselines.items()]).root
        self.both(
            lambda m: m.splits.open(m, buyer, baselines, first, last, revenue),
            lambda: self._split(buyer, "open", root, first, last, revenue),
        )

    def a_contribution_is_recorded(self, r: Random) -> None:
        events, running = self.model.splits.events, self._events(is_closed=False)
        if not running:
            ahead = [self.model.end_s(event.last) - self.model.now_s for event in events]
            if max(ahead, default=0) <= 0:
                return self.an_event_is_opened(r)
            self.twins.pass_time(max(ahead) - (r.random() < 0.1))
            running = [len(events) - 1]
        number = self._any_event(r, running)
        event = events[number] if number < len(events) else Event({2: 0}, "", 9, 9, 1)
        unrecorded = [n for n in event.baselines if n not in event.shares] or [2]
        account = r.choice(unrecorded)
        if event.shares and r.random() < 0.15:
            account = r.choice(list(event.shares))
        baseline = event.baselines.get(account, 0)
        delivered = r.choice([1, 700, 3_000, 3_000, 0, -5])
        value = r.choice([0, -5_000, 9_000])
        before = self._register(r, account, event.first - 1, value)
        after = self._register(r, account, event.last, value + baseline + delivered)
        proof = Tree.of([leaf(*one) for one in event.baselines.items()]).proof(leaf(account, baseline))
        claimed = baseline - 1 if r.random() < 0.03 else baseline
        arguments = (
            number, account, claimed, proof, self._signed(account, before), self._signed(account, after)
        )  # fmt: skip
        if self.both(
            lambda m: m.splits.record(m, number, account, claimed, before, after),
            lambda: self._split("grid", "record", *arguments),
        ):
            self.tally.done["contributions"] += 1
        return None

    def _register(self, r: Random, account: int, interval: int, value: int) -> Register:
        """Return a register that the account's meter signed; rarely somebody else, or for another interval."""
        signer = self.model.meter_of(account, interval) or "grid"
        odd = r.random()
        if odd < 0.03:
            signer = self.name(r)
        elif odd < 0.06:
            interval += 1
        elif odd < 0.07:
            value = -MAX_REGISTER - 1
        return Register(max(-MAX_REGISTER - 1, min(value, MAX_REGISTER)), signer, interval)

    def _signed(self, account: int, register: Register) -> tuple[int, int, int]:
        message = Reading(account, register.interval, register.value)
        return register.value, *self.sign(register.signer, message)

    def an_event_is_paid(self, r: Random) -> None:
        events, closed = self.model.splits.events, self._events(is_closed=True)
        if not closed:
            recorded = [event for event in events if event.shares]
            if not recorded or r.random() < 0.3:
                return self.a_contribution_is_recorded(r)
            over_s = self.model.end_s(recorded[-1].last) + self.model.p.record_for_s
            self.twins.pass_time(max(over_s - self.model.now_s - (r.random() < 0.1), 0))
        number = self._any_event(r, closed or [0])
        event = events[number] if number < len(events) else None
        if event is None or not event.total or r.random() < 0.05:
            self.both(lambda m: m.splits.refund(m, number), lambda: self._split("grid", "refund", number))
            return None
        accounts = [n for n in event.shares if r.random() < 0.7]
        r.shuffle(accounts)
        if r.random() < 0.1:
            accounts.append(r.choice([self.account(r), *accounts]))
        if self.both(
            lambda m: m.splits.pay(m, number, accounts),
            lambda: self._split("grid", "pay", number, accounts),
        ):
            self.tally.done["shares paid"] += len(accounts)
        return None
