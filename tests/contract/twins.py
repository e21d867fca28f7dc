"""A community on the EVM and the model of it, side by side."""

from node.bench.community import Community
from node.bench.evm import TranslatedEvm
from node.chain.contracts import GRID, Contracts, Parameters
from node.chain.keys import LocalSigner
from node.chain.words import AccountWord, KeyWord, MeterWord
from tests.contract.model import Model
from tests.contract.model_state import Account

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
        self.chain = Community(contracts, PARAMETERS, evm=TranslatedEvm)
        self.model = Model(PARAMETERS, self.chain.evm.time_s, list(ROLES), ("grid", "fees"))
        self.keys: dict[str, LocalSigner] = dict(self.chain.keys)
        self._fund("grid", GRID, DEPOSIT_PICO)
        for number, zone in enumerate(ZONES):
            self.join(f"member {number}", zone, DEPOSIT_PICO if number else 0)
        self.pass_time(2 * PARAMETERS.length_s)

    def fork(self) -> "Twins":
        """Return an independent copy of both."""
        other = object.__new__(Twins)
        other.chain, other.model, other.keys = self.chain.fork(), self.model.copy(), dict(self.keys)
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

    def same(self, before: Model | None = None) -> None:
        """Compare every account's word; debts, exits and tokens held where they are not as in `before`.

        What neither the model nor an account's word has changed is compared at the end of a run.
        """
        model, chain = self.model, self.chain
        accounts = list(model.accounts)
        words = chain.view("words", accounts)
        for word, (number, a) in zip(words, model.accounts.items(), strict=True):
            found = AccountWord.unpack(word)
            newest = found.filled
            assert (found.balance_pico, found.is_in_debt) == (a.balance, a.owed > 0), f"account {number}"
            assert (found.read, found.register_milli_wh) == (a.read, a.register), f"account {number}"
            assert found.position_milli_wh == a.positions.get(newest, 0), f"account {number}"
            assert found.lanes == sum(1 << lane for interval, lane in a.lanes if interval == newest)
            old = before.accounts.get(number) if before else None
            if old is None or a.owed != old.owed:
                assert chain.view("owed", number) == a.owed, f"account {number}"
            if old is None or a.exit != old.exit:
                assert chain.view("exits", number) == (a.exit.amount, a.exit.ready_s or 0, a.exit.last)
        if before is None or model.inside() != before.inside():
            assert chain.token_view("balanceOf", chain.deployment.settlement) == model.inside()
        if before is None or model.splits.held != before.splits.held:
            assert chain.token_view("balanceOf", chain.deployment.split) == model.splits.held

    def same_to_the_last_word(self) -> None:
        """Compare everything that the contracts know, also what no step has asked for."""
        self.same()
        model, chain = self.model, self.chain
        assert chain.view("next_seq") == model.sequence
        for role, held in enumerate(model.roles):
            heir = self.keys[held.heir].address if held.heir else bytes(20)
            assert chain.view("roles", role) == (self.keys[held.holder].address, heir, held.since_s)
        for name, key in self.keys.items():
            assert chain.token_view("balanceOf", key.address) == model.tokens[name], name
        for number, a in model.accounts.items():
            assert chain.view("owner_of", number) == self.keys[a.owner].address
            if a.agents:
                since, agent, epoch = a.agents[-1]
                key_word = KeyWord(self.keys[agent].address, epoch, since, a.zone, a.capacity)
                assert KeyWord.unpack(chain.view("keys", number)) == key_word
            if a.meters:
                assert MeterWord.unpack(chain.view("meters", number)) == self._meter_word(number, a)
            if len(a.meters) > 1:
                _, meter, offset = a.meters[1]
                assert chain.view("next_meters", number) == (self.keys[meter].address, offset)
            newest = chain.word(number).filled
            for interval in {traded for traded, _ in a.lanes} - {newest}:
                assert chain.view("parked", number, interval) == a.positions.get(interval, 0)
        for (number, interval), quantity in model.curtailed.items():
            assert chain.view("curtailed", number, interval) == quantity
        for interval in model.tariffs:
            assert chain.view("tariffs_of", interval) != bytes(32)
        for number, event in enumerate(model.splits.events):
            *_, revenue, total = chain.split_view("events", number)
            assert (revenue, total) == (event.revenue, event.total)
            for account in event.baselines:
                assert chain.split_view("shares", number, account) == event.shares.get(account, (0, 0))

    def _meter_word(self, number: int, a: Account) -> MeterWord:
        curtailed = max((t for account, t in self.model.curtailed if account == number), default=0)
        first = a.meters[1][0] if len(a.meters) > 1 else MeterWord(bytes(20)).next_first
        return MeterWord(self.keys[a.meters[0][1]].address, curtailed, first)
