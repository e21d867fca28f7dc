"""A community on the EVM and the model of it, side by side."""

from copy import deepcopy

from node.bench.community import Community
from node.chain.contracts import GRID, Contracts, Parameters
from node.chain.keys import LocalSigner
from node.chain.words import AccountWord
from tests.contract.model import Model

# short delays, so that 50 steps reach what comes after them
PARAMETERS = Parameters(
    notice_intervals=2, fill_window_s=1_800, exit_delay_s=9 * 900, role_delay_s=12 * 900, record_for_s=3_600
)
CAPACITY_MILLI_WH = 5_000
DEPOSIT_PICO = 500_000_000  # buys 2,500 mWh: money runs out
ZONES = (0, 0, 0, 1, 1)
ROLES = ("operator", "oracle", "registrar", "curtailer")


class Twins:
    """A community on the EVM and the model of it."""

    def __init__(self, contracts: Contracts) -> None:
        self.chain = Community(contracts, PARAMETERS)
        self.model = Model(PARAMETERS, self.chain.evm.time_s, list(ROLES), ("grid", "fees"))
        self.keys: dict[str, LocalSigner] = dict(self.chain.keys)
        self._fund("grid", GRID, DEPOSIT_PICO)
        for number, zone in enumerate(ZONES):
            self.join(f"member {number}", zone, DEPOSIT_PICO if number else 0)
        self.pass_time(2 * PARAMETERS.length_s)

    def fork(self) -> "Twins":
        """Return an independent copy of both."""
        other = object.__new__(Twins)
        other.chain, other.model, other.keys = self.chain.fork(), deepcopy(self.model), dict(self.keys)
        return other

    def pass_time(self, seconds: int) -> None:
        self.chain.evm.time_s += seconds
        self.model.now_s += seconds

    def join(self, name: str, zone: int, amount: int) -> None:
        member = self.chain.join(name, zone=zone, capacity_milli_wh=CAPACITY_MILLI_WH, deposit_pico=0)
        parts = {"owner": member.owner, "agent": member.agent, "meter": member.meter}
        self.keys |= {f"{part} of {name}": key for part, key in parts.items()}
        account = self.model.open(f"owner of {name}", f"agent of {name}")
        holder = self.model.holder(2)
        self.model.install(holder, account, f"meter of {name}", 0, zone, CAPACITY_MILLI_WH)
        self._fund(f"owner of {name}", account, amount)

    def _fund(self, name: str, account: int, amount: int) -> None:
        self.chain.deposit(self.keys[name], account, amount)
        self.model.accounts[account].balance += amount

    def same(self) -> None:
        """Compare every account, what is owed, every exit, and who holds which tokens."""
        model, chain = self.model, self.chain
        accounts = list(model.accounts)
        words = chain.view("words", accounts)
        assert chain.view("debts", accounts) == tuple(a.owed for a in model.accounts.values())
        for word, (number, a) in zip(words, model.accounts.items(), strict=True):
            found = AccountWord.unpack(word)
            newest = found.filled
            assert (found.balance_pico, found.is_in_debt) == (a.balance, a.owed > 0), f"account {number}"
            assert (found.read, found.register_milli_wh) == (a.read, a.register), f"account {number}"
            assert found.position_milli_wh == a.positions.get(newest, 0), f"account {number}"
            assert found.lanes == sum(1 << lane for interval, lane in a.lanes if interval == newest)
            if a.exit.ready_s is not None:
                assert chain.view("exits", number) == (a.exit.amount, a.exit.ready_s, a.exit.last)
        inside = sum(a.balance + a.exit.amount for a in model.accounts.values())
        assert chain.token_view("balanceOf", chain.deployment.settlement) == inside
