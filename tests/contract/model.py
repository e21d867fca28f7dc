"""The rules of CONTRACTS.md a second time: plain dictionaries, no words, no storage, no signatures.

Who signed what is a name beside the message. An act either changes the model or raises `Refused` with the
reason the contracts would give; it is never half done, because acts run on a copy.
"""

from collections import defaultdict
from collections.abc import Callable
from copy import copy

from node.chain.contracts import Parameters
from tests.contract.model_of_splits import Splits
from tests.contract.model_state import (
    CURTAILER,
    FEES,
    GRID,
    MAX_CAPACITY,
    MAX_REGISTER,
    MAX_UNREAD,
    MAX_ZONES,
    OPERATOR,
    ORACLE,
    REGISTRAR,
    Account,
    Chunk,
    Exit,
    Order,
    Reading,
    Role,
    need,
)


class Model:
    """Everything that the contracts know."""

    def __init__(self, parameters: Parameters, now_s: int, roles: list[str], owners: tuple[str, str]) -> None:
        self.p = parameters
        self.now_s = now_s
        self.roles = [Role(name) for name in roles]
        self.accounts = {GRID: Account(owners[0]), FEES: Account(owners[1])}
        self.tokens: dict[str, int] = defaultdict(int)
        self.allowed: dict[tuple[str, str], int] = defaultdict(int)  # by holder and contract
        self.tariffs: dict[int, tuple[tuple[int, int], ...]] = {}
        self.curtailed: dict[tuple[int, int], int] = {}
        self.sequence = 0
        self.newest: tuple[int, int, tuple[int, ...]] = (0, 0, ())
        self.carried: dict[bool, tuple[Order, int]] = {}  # by side
        self.splits = Splits()

    def act(self, deed: Callable[["Model"], None]) -> "Model":
        """Return the model after a deed; this one is left as it was."""
        after = self.copy()
        deed(after)
        return after

    def copy(self) -> "Model":
        """Return an independent copy."""
        other = copy(self)
        other.roles = list(self.roles)
        other.accounts = {number: a.copy() for number, a in self.accounts.items()}
        other.tokens, other.allowed = self.tokens.copy(), self.allowed.copy()
        other.tariffs, other.curtailed = dict(self.tariffs), dict(self.curtailed)
        other.carried, other.splits = dict(self.carried), self.splits.copy()
        return other

    def inside(self) -> int:
        """Return the tokens that Settlement holds: all balances and all exits."""
        return sum(a.balance + a.exit.amount for a in self.accounts.values())

    # -------------------------------------------------------------- time and roles

    @property
    def now(self) -> int:
        return self.now_s // self.p.length_s

    def end_s(self, interval: int) -> int:
        return (interval + 1) * self.p.length_s

    def holder(self, role: int) -> str:
        r = self.roles[role]
        return r.heir if r.heir is not None and self.now_s >= r.since_s else r.holder

    def rotate(self, sender: str, role: int, heir: str) -> None:
        need(sender == self.holder(role), "registry: role")
        self.roles[role] = Role(sender, heir, self.now_s + self.p.role_delay_s)

    # -------------------------------------------------------------- accounts

    def open(self, owner: str, agent: str) -> int:
        account = len(self.accounts)
        self.accounts[account] = Account(owner, [(0, agent, 1)])
        return account

    def install(self, sender: str, account: int, meter: str, register: int, zone: int, capacity: int) -> None:
        need(sender == self.holder(REGISTRAR), "registry: role")
        a = self.accounts.get(account)
        need(a is not None and account > FEES and not a.meters, "registry: account")
        need(abs(register) <= MAX_REGISTER, "registry: register")
        need(zone < MAX_ZONES and capacity <= MAX_CAPACITY, "registry: site")
        assert a is not None
        a.meters.append((0, meter, 0))
        a.zone, a.capacity, a.register, a.read = zone, capacity, register, self.now

    def raise_capacity(self, sender: str, account: int, capacity: int) -> None:
        need(sender == self.holder(REGISTRAR), "registry: role")
        need(bool(self.accounts[account].meters), "registry: account")
        need(self.accounts[account].capacity < capacity <= MAX_CAPACITY, "registry: site")
        self.accounts[account].capacity = capacity

    def replace_meter(self, sender: str, account: int, meter: str, offset: int) -> None:
        need(sender == self.holder(REGISTRAR), "registry: role")
        a = self.accounts[account]
        need(bool(a.meters), "registry: account")
        need(abs(offset) <= MAX_REGISTER, "registry: register")
        need(len(a.meters) == 1 or a.meters[1][0] > self.now, "registry: pending")
        a.meters[1:] = [(self.now + 1 + self.p.exit_delay_s // self.p.length_s, meter, offset)]

    def set_agent(self, sender: str, account: int, agent: str) -> None:
        a = self.accounts[account]
        need(sender == a.owner and account > FEES, "registry: owner")
        since, _, epoch = a.agents[-1]
        over_s = self.end_s(since) + self.p.fill_window_s
        need(since == 0 or self.now_s >= over_s, "registry: pending")
        a.agents.append((self.now + 1 + self.p.notice_intervals, agent, epoch + 1))

    def curtail(self, account: int, interval: int, quantity: int, signer: str) -> None:
        need(signer == self.holder(CURTAILER), "registry: signature")
        a = self.accounts.get(account)
        need(a is not None and bool(a.meters), "registry: account")
        need(0 < quantity <= MAX_CAPACITY, "registry: quantity")
        need(interval <= self.now + self.p.notice_intervals, "registry: notice")
        need((account, interval) not in self.curtailed, "registry: curtailed")
        assert a is not None
        need(interval > a.read, "registry: read")
        self.curtailed[account, interval] = quantity

    def meter_of(self, account: int, interval: int) -> str | None:
        """Return whose signature counts for a register; an exchanged meter's counts no more."""
        a = self.accounts.get(account, Account(""))
        if len(a.meters) > 1 and interval >= a.meters[1][0]:
            return a.meters[1][1]
        return a.meters[0][1] if a.meters else None

    # -------------------------------------------------------------- money in and out

    def deposit(self, sender: str, account: int, amount: int) -> None:
        need(account in self.accounts, "ledger: account")
        self.take_tokens(sender, "settlement", amount)
        self.accounts[account].balance += amount

    def take_tokens(self, sender: str, contract: str, amount: int) -> None:
        """A contract takes tokens of which it was told that it may; where they are then, it knows itself."""
        need(amount <= self.allowed[sender, contract], "token: allowance")
        need(amount <= self.tokens[sender], "token: balance")
        self.allowed[sender, contract] -= amount
        self.tokens[sender] -= amount

    def request_exit(self, sender: str, account: int, amount: int) -> None:
        a = self.accounts.get(account)
        need(a is not None and sender == a.owner, "ledger: owner")
        assert a is not None
        a.balance += a.exit.amount
        self.collect(account)
        asked = min(amount, a.balance)
        a.balance -= asked
        a.exit = Exit(asked, self.now_s + self.p.exit_delay_s, self.now + self.p.notice_intervals)

    def withdraw(self, account: int) -> None:
        a = self.accounts.get(account, Account(""))
        need(a.exit.ready_s is not None and self.now_s >= a.exit.ready_s, "ledger: not ready")
        self.tokens[a.owner] += a.exit.amount
        a.exit = Exit()

    def collect(self, account: int) -> None:
        a, grid = self.accounts[account], self.accounts[GRID]
        if a.owed > 0:
            paid = min(a.owed, a.balance)
            a.balance, grid.balance, a.owed = a.balance - paid, grid.balance + paid, a.owed - paid
        else:
            paid = min(-a.owed, grid.balance)
            a.balance, grid.balance, a.owed = a.balance + paid, grid.balance - paid, a.owed + paid

    # -------------------------------------------------------------- settlement

    def settle(self, c: Chunk) -> None:
        p = self.p
        need(c.sequence == self.sequence, "settlement: sequence")
        self.sequence += 1
        need(self.now_s >= self.end_s(c.interval), "settlement: early")
        need(self.now_s < self.end_s(c.interval) + p.fill_window_s, "settlement: late")
        need(c.round < 4, "settlement: round")
        if (c.interval, c.round, c.prices) != self.newest:
            need((c.interval, c.round) > self.newest[:2], "settlement: round")
            need(all(abs(price) <= p.price_cap_micro_per_kwh for price in c.prices), "settlement: price")
            self.newest, self.carried = (c.interval, c.round, c.prices), {}
        sold = bought = income = 0
        for order, quantity in c.fills:
            zone = self._zone(order.account)
            need(zone < len(c.prices), "settlement: zone")
            received = self._fill(order, quantity, c.interval, c.prices[zone])
            sold += 0 if order.is_buy else quantity
            bought += quantity if order.is_buy else 0
            income += received
        fee = (sold + bought) * p.fee_micro_per_kwh
        need(sold == bought, "settlement: energy")
        need(-income - fee >= 0, "settlement: rent")
        self.accounts[FEES].balance += fee
        self.accounts[GRID].balance += -income - fee
        if c.readings:
            self._read_all(c.interval, c.tariffs, c.readings)
        need(c.signer == self.holder(OPERATOR), "registry: signature")

    def _zone(self, account: int) -> int:
        return self.accounts[account].zone if account in self.accounts else 0

    def _fill(self, order: Order, quantity: int, interval: int, price: int) -> int:
        a = self.accounts.get(order.account, Account(""))
        _, agent, epoch = next((x for x in reversed(a.agents) if x[0] <= interval), (0, None, 0))
        need(order.epoch == epoch, "settlement: epoch")
        need(agent is not None and order.signer == agent, "registry: signature")
        need(order.first <= interval <= order.last, "settlement: validity")
        need(a.owed <= 0, "settlement: in debt")
        need(interval > a.read, "settlement: read")
        need(interval - a.read <= MAX_UNREAD, "settlement: unread")
        need(quantity > 0, "settlement: quantity")
        filled = quantity
        last, so_far = self.carried.get(order.is_buy, (None, 0))
        if last == order:
            filled += so_far
        else:
            need(order.lane < 32 and (interval, order.lane) not in a.lanes, "settlement: lane")
            a.lanes.add((interval, order.lane))
        need(filled <= order.quantity, "settlement: quantity")
        self.carried[order.is_buy] = order, filled
        fee = self.p.fee_micro_per_kwh
        if order.is_buy:
            need(price + fee <= order.limit, "settlement: limit")
            a.positions[interval] -= quantity
            received = -quantity * (price + fee)
        else:
            need(price - fee >= order.limit, "settlement: limit")
            a.positions[interval] += quantity
            received = quantity * (price - fee)
        need(abs(a.positions[interval]) <= a.capacity, "settlement: capacity")
        if a.balance + received < 0:
            need(self._available(a, interval) + received >= 0, "settlement: funds")
        self._move(a, received, interval)
        return received

    @staticmethod
    def _available(a: Account, interval: int) -> int:
        """Money that answers for an interval."""
        return a.balance + (a.exit.amount if interval <= a.exit.last else 0)

    @staticmethod
    def _move(a: Account, amount: int, interval: int) -> int:
        """Add to an account, or take what there is: first its balance, then its exit. Return what moved."""
        if amount >= 0:
            a.balance += amount
            return amount
        from_balance = min(-amount, a.balance)
        a.balance -= from_balance
        from_exit = min(-amount - from_balance, a.exit.amount) if interval <= a.exit.last else 0
        a.exit.amount -= from_exit
        return -from_balance - from_exit

    # -------------------------------------------------------------- readings

    def publish(self, interval: int, tariffs: tuple[tuple[int, int], ...], signer: str) -> None:
        need(signer == self.holder(ORACLE), "registry: signature")
        need(interval not in self.tariffs, "settlement: published")
        cap = self.p.price_cap_micro_per_kwh
        need(all(-cap <= long <= short <= cap for short, long in tariffs), "settlement: tariff")
        self.tariffs[interval] = tariffs

    def read(
        self, interval: int, tariffs: tuple[tuple[int, int], ...], readings: tuple[Reading, ...]
    ) -> None:
        is_over = self.now_s >= self.end_s(interval) + self.p.fill_window_s
        need(interval < self.newest[0] or is_over, "settlement: fills first")
        self._read_all(interval, tariffs, readings)

    def _read_all(
        self, interval: int, tariffs: tuple[tuple[int, int], ...], readings: tuple[Reading, ...]
    ) -> None:
        need(tariffs == self.tariffs.get(interval), "settlement: tariffs")
        for x in readings:
            zone = self._zone(x.account)
            need(zone < len(tariffs), "settlement: zone")
            self._read(x, interval, *tariffs[zone])

    def _read(self, x: Reading, interval: int, short: int, long: int) -> None:
        a = self.accounts.get(x.account, Account(""))
        need(interval == a.read + 1, "settlement: order of readings")
        if len(a.meters) > 1 and interval >= a.meters[1][0]:
            a.register += a.meters[1][2]
            del a.meters[0]
        if x.is_substitute:
            late_s = self.end_s(interval) + 2 * self.p.fill_window_s
            need(self.now_s >= late_s, "settlement: substitute")
            need(x.signer == self.holder(REGISTRAR), "registry: signature")
        else:
            need(x.signer == a.meters[0][1], "registry: signature")
        metered = x.register - a.register
        need(abs(x.register) <= MAX_REGISTER and abs(metered) <= a.capacity, "settlement: register")
        imbalance = metered - a.positions.pop(interval, 0)
        a.register, a.read = x.register, interval
        forgiven = self.curtailed.get((x.account, interval), 0)
        if imbalance < 0 and short > 0:
            imbalance = min(0, imbalance + forgiven)
        amount = imbalance * (short if imbalance < 0 else long)
        payer, payee = (a, self.accounts[GRID]) if amount < 0 else (self.accounts[GRID], a)
        paid = -self._move(payer, -abs(amount), interval)
        payee.balance += paid
        lacking = abs(amount) - paid
        a.owed += lacking if amount < 0 else -lacking
