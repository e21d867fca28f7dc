"""Steps on money, keys, roles and meters."""

from random import Random

from tests.contract.choices import Choices
from tests.contract.model_state import MAX_CAPACITY, MAX_REGISTER
from tests.contract.twins import CAPACITY_MILLI_WH

MOST_ACCOUNTS = 10


class AccountSteps(Choices):
    """What owners, the registrar and holders of roles do."""

    # -------------------------------------------------------------- money

    def give_tokens(self, r: Random, sender: str, amount: int, contract: str) -> None:
        """Mint what somebody is about to pay and let a contract take it; sometimes leave one of both out."""
        chain = self.twins.chain
        minted, allowed = (amount if r.random() > 0.1 else 0 for _ in range(2))
        chain.mint(self.twins.keys[sender], minted)
        address = getattr(chain.deployment, contract)
        chain.token(self.twins.keys[sender], "approve", address, allowed)
        self.model.tokens[sender] += minted
        self.model.allowed[sender, contract] = allowed

    def money_comes_in(self, r: Random) -> None:
        account = len(self.model.accounts) if r.random() < 0.05 else self.account(r)
        sender, amount = self.name(r), r.choice([1, 1000, 10_000_000, 200_000_000])
        self.give_tokens(r, sender, amount, "settlement")
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

    # -------------------------------------------------------------- accounts and who signs for them

    def somebody_joins(self, r: Random) -> None:
        """Open an account and install its meter, or try to install one where there is one."""
        owner, agent, meter = (self.name(r) for _ in range(3))
        account = self.account(r)
        if len(self.model.accounts) < MOST_ACCOUNTS:
            account = len(self.model.accounts)
            agent_key = self.twins.keys[agent].address
            self.both(lambda m: m.open(owner, agent), self.send(owner, "open_account", agent_key))
        sender, key = self.registrar(r), self.twins.keys[meter].address
        register, zone, capacity = r.choice([0, -MAX_REGISTER, 77]), r.randrange(2), CAPACITY_MILLI_WH
        match r.randrange(40):
            case 0:
                register = r.choice([MAX_REGISTER + 1, -MAX_REGISTER - 1])
            case 1:
                zone = 32
            case 2:
                capacity = MAX_CAPACITY + 1
            case 3:
                account = len(self.model.accounts)
        self.both(
            lambda m: m.install(sender, account, meter, register, zone, capacity),
            self.send(sender, "install", account, key, register, zone, capacity),
        )

    def an_agent_changes(self, r: Random) -> None:
        account, agent = self.account(r), self.name(r)
        owner = self.model.accounts[account].owner if r.random() > 0.1 else self.name(r)
        key = self.twins.keys[agent].address
        self.both(lambda m: m.set_agent(owner, account, agent), self.send(owner, "set_agent", account, key))

    def registrar(self, r: Random) -> str:
        """Return the registrar; sometimes somebody else."""
        return self.model.holder(2) if r.random() > 0.1 else self.name(r)

    def a_role_passes_on(self, r: Random) -> None:
        role, heir = r.randrange(4), self.name(r)
        holder = self.model.holder(role) if r.random() > 0.2 else self.name(r)
        key = self.twins.keys[heir].address
        self.both(lambda m: m.rotate(holder, role, heir), self.send(holder, "rotate_role", role, key))

    def a_meter_is_replaced(self, r: Random) -> None:
        account, meter, registrar = self.account(r), self.name(r), self.registrar(r)
        due = [n for n, a in self.members.items() if len(a.meters) > 1 and a.meters[1][0] <= self.model.now]
        if due and r.random() < 0.5:
            account = r.choice(due)
        bounds = [MAX_REGISTER + 1, -MAX_REGISTER - 1]
        offset = r.choice([0, 1000, -1000, 77_000]) if r.random() > 0.05 else r.choice(bounds)
        key = self.twins.keys[meter].address
        self.both(
            lambda m: m.replace_meter(registrar, account, meter, offset),
            self.send(registrar, "replace_meter", account, key, offset),
        )

    def a_capacity_is_raised(self, r: Random) -> None:
        account, registrar = self.account(r), self.registrar(r)
        capacity = self.model.accounts[account].capacity + r.choice([0, 500, 500, -1])
        if r.random() < 0.05:
            capacity = MAX_CAPACITY + 1
        capacity = max(capacity, 0)
        self.both(
            lambda m: m.raise_capacity(registrar, account, capacity),
            self.send(registrar, "raise_capacity", account, capacity),
        )
