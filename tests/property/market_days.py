"""Random market intervals from the book to the last reading, on the compiled contracts and in `market/`.

Books of signed orders, up to four rounds an interval with one price or on a network of zones, results cut into
chunks anywhere, curtailments, tariffs of either sign, meters that are read in the operator's chunk, later, or
never, so that the registrar substitutes them, exits and accounts in debt. What the contracts hold is compared
with what `market.settlement` computes after every interval, to the unit; any revert fails the test.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from market import ledger as books
from market import registry, settlement
from market.chunks import Chunk, Fill, Reading, RoundFills, plan_chunks
from market.ledger import FEES, GRID
from market.network_auction_tree import MarketTree
from market.orders import MAX_LANES, Order, OrderArrays
from market.settlement import Ledger, Terms
from market.zones import Zoning, clear
from node.bench.community import Community, Member
from node.bench.evm import TranslatedEvm
from node.chain import calldata, typed_data
from node.chain.calldata import SignedFill, SignedReading
from node.chain.contracts import Contracts, Parameters
from node.chain.typed_data import Tariff
from node.chain.words import NO_CARRIES, AccountWord

N_ACCOUNTS, N_POOR = 20, 2
CAPACITY_MILLI_WH = 8_000
DEPOSIT_PICO, POOR_PICO = 10**14, 10**8
PARAMETERS = Parameters(
    notice_intervals=4, fill_window_s=3_600, exit_delay_s=15 * 900, role_delay_s=20 * 900, record_for_s=3_600
)
AMPLE = 2**45


@dataclass
class Tally:
    """What happened in all days together."""

    counts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))


@dataclass
class Founded:
    """A community on the EVM with its mirror, from which days begin."""

    chain: Community
    ledger: Ledger
    members: dict[int, Member]
    n_zones: int

    @classmethod
    def new(cls, contracts: Contracts, n_zones: int) -> "Founded":
        chain = Community(contracts, PARAMETERS, evm=TranslatedEvm)
        chain.fund_grid(DEPOSIT_PICO)
        p = PARAMETERS
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
        ledger.accounts[GRID].balance_pico = DEPOSIT_PICO
        members = {}
        for row in range(N_ACCOUNTS):
            zone, deposit = row % n_zones, POOR_PICO if row < N_POOR else DEPOSIT_PICO
            member = chain.join(
                f"member {row}", zone=zone, capacity_milli_wh=CAPACITY_MILLI_WH, deposit_pico=deposit
            )
            registry.open_account(ledger)
            registry.install(ledger, member.account, 0, zone, CAPACITY_MILLI_WH, chain.interval)
            ledger.accounts[member.account].balance_pico = deposit
            members[member.account] = member
        chain.pass_intervals()  # a meter's first interval is the one after its installation
        return cls(chain, ledger, members, n_zones)

    def fork(self) -> "Founded":
        """Return an independent copy."""
        accounts = {account: one.draft() for account, one in self.ledger.accounts.items()}
        return Founded(self.chain.fork(), Ledger(self.ledger.terms, accounts), self.members, self.n_zones)


class MarketDay:
    """Intervals one after the other, all from one seed."""

    def __init__(self, founded: Founded, seed: int, tally: Tally) -> None:
        self.world = founded.fork()
        self.chain, self.ledger = self.world.chain, self.world.ledger
        self.members = self.world.members
        self.rng = np.random.default_rng(seed)
        self.tally = tally.counts
        self.accounts = np.array(sorted(self.members), np.int64)
        self.traders = self.accounts[N_POOR:]
        self.unread: dict[int, list[tuple[int, int, bool]]] = {a: [] for a in self.members}
        self.silent_until = dict.fromkeys(self.members, 0)
        self.true_register = dict.fromkeys(self.members, 0)

    # -------------------------------------------------------------- one interval

    def interval(self) -> None:
        """Run one interval and compare."""
        interval = self.chain.interval
        rounds, signed = self._auctions(interval)
        self.chain.pass_intervals()
        tariffs = self._publish(interval)
        self._curtail(interval)
        self._meter(interval, rounds)
        self._settle(interval, rounds, signed, tariffs)
        self._bring_in_late(interval)
        self._read_in_a_chunk(interval, tariffs)
        self._exits()
        self.compare()
        self.tally["intervals"] += 1

    def _zoning(self) -> Zoning | None:
        n, rng = self.world.n_zones, self.rng
        if n == 1:
            return None
        parent = np.array([-1, *(rng.integers(0, row) for row in range(1, n))], np.int64)
        caps = rng.choice([0, 500, 3_000, AMPLE], (2, n)).astype(np.int64)
        fees = rng.choice([0, 0, 4_000], n).astype(np.int64)
        zone = np.array([self.ledger.accounts[a].zone for a in self.accounts.tolist()], np.int64)
        return Zoning(self.accounts, zone, MarketTree(parent, *caps, fees))

    def _auctions(self, interval: int) -> tuple[list[tuple[RoundFills, tuple[int, ...]]], dict]:
        """Hold up to four rounds; return their fills and prices, and the signed orders of each."""
        rng, zoning = self.rng, self._zoning()
        free = {a: list(range(MAX_LANES)) for a in self.traders.tolist()}
        room = dict.fromkeys(free, CAPACITY_MILLI_WH)
        net = np.zeros(self.world.n_zones, np.int64)
        held, signed = [], {}
        for number in range(4):
            if rng.random() < 0.4:
                continue
            orders = self._book(interval, free, room)
            book = OrderArrays(
                np.array([o.account for o in orders], np.int64),
                np.array([o.is_buy for o in orders], np.bool_),
                np.array([o.quantity_milli_wh for o in orders], np.int64),
                np.array([o.limit_micro_per_kwh for o in orders], np.int64),
            )
            result = clear(book, PARAMETERS.fee_micro_per_kwh, zoning, net if zoning else None)
            net = net + result.net_export_milli_wh
            rows = np.flatnonzero(result.fills_milli_wh)
            if not rows.size:
                continue
            sold = np.where(book.is_buy, -result.fills_milli_wh, result.fills_milli_wh)[rows]
            prices = tuple(price or 0 for price in result.prices_micro_per_kwh)
            fills = RoundFills(number, book.account[rows], sold, np.array(prices)[result.zone[rows]])
            held.append((fills, prices))
            signed[number] = [self._signed(orders[row]) for row in rows.tolist()]
            self.tally["fills"] += rows.size
        return held, signed

    def _book(self, interval: int, free: dict[int, list[int]], room: dict[int, int]) -> list[Order]:
        """Return random orders that the door would let in: lanes unused, within the connection."""
        rng, orders = self.rng, []
        centre = int(rng.choice([200_000, 20_000, -50_000]))
        for _ in range(int(rng.integers(0, 28))):
            account = int(rng.choice(self.traders))
            quantity = int(rng.choice([1, 3, 250, int(rng.integers(1, 2_500))]))
            if quantity > room[account] or not free[account]:
                continue
            room[account] -= quantity
            lane = free[account].pop(int(rng.integers(len(free[account]))))
            is_buy = bool(rng.random() < 0.5)
            limit = centre + int(rng.integers(-60_000, 60_000)) + (30_000 if is_buy else -30_000)
            first, last = interval - int(rng.integers(0, 2)), interval + int(rng.integers(0, 3))
            orders.append(Order(account, 1, is_buy, lane, first, last, quantity, limit))
        return orders

    def _signed(self, order: Order) -> tuple[SignedFill, bytes]:
        name = typed_data.order_hash(self.chain.domain, order)
        signature = self.chain.sign(self.members[order.account].agent, order)
        return SignedFill(order, 0, signature), name

    def _publish(self, interval: int) -> tuple[Tariff, ...]:
        table = []
        for _ in range(self.world.n_zones):
            short = int(self.rng.choice([300_000, 250_000, 0, -40_000]))
            table.append(Tariff(short, short - int(self.rng.choice([0, 90_000, 400_000]))))
        self.chain.publish(interval, table)
        settlement.publish_tariffs(self.ledger, interval, tuple(table))
        return tuple(table)

    def _curtail(self, interval: int) -> None:
        for account in self.accounts.tolist():
            if self.rng.random() < 0.08:
                quantity = int(self.rng.integers(1, 3_000))
                self.chain.curtail(self.members[account], interval, quantity)
                registry.curtail(self.ledger, account, interval, quantity, self.chain.interval)
                self.tally["curtailments"] += 1

    # -------------------------------------------------------------- settlement

    def _settle(self, interval: int, held: list, signed: dict, tariffs: tuple[Tariff, ...]) -> None:
        readable = [a for a, waiting in self.unread.items() if waiting == [(interval, waiting[-1][1], True)]]
        readers = np.array([a for a in readable if self.rng.random() < 0.85], np.int64)
        rounds = [fills for fills, _ in held]
        prices_of = {fills.round: prices for fills, prices in held}
        if not rounds:
            nothing = np.zeros(0, np.int64)
            rounds, prices_of = [RoundFills(0, nothing, nothing, nothing)], {0: (0,) * self.world.n_zones}
        plans = plan_chunks(rounds, readers, max_fills=int(self.rng.integers(2, 40)))
        carries, before = NO_CARRIES, None
        for plan in plans:
            carries, before = (carries if plan.round == before else NO_CARRIES), plan.round
            parts = [
                (*signed[plan.round][row], quantity)
                for row, quantity in zip(plan.rows.tolist(), plan.quantity_milli_wh.tolist(), strict=True)
            ]
            read = [(a, self.unread[a][0][1]) for a in plan.reading_accounts.tolist()]
            call, carries = calldata.seal(
                self.chain.keys["operator"],
                self.chain.domain,
                sequence=self.ledger.next_sequence,
                interval=interval,
                round_=plan.round,
                prices_micro_per_kwh=prices_of[plan.round],
                fills=[SignedFill(fill.order, quantity, fill.signature) for fill, _, quantity in parts],
                order_hashes=[name for _, name, _ in parts],
                tariffs=tariffs if read else (),
                readings=[self.chain.reading(self.members[a], interval, register) for a, register in read],
                carries=carries,
            )
            self.chain.carry_in(call)
            settlement.settle(
                self.ledger,
                Chunk(
                    self.ledger.next_sequence,
                    interval,
                    plan.round,
                    prices_of[plan.round],
                    [Fill(fill.order, name, quantity) for fill, name, quantity in parts],
                    tariffs if read else (),
                    [Reading(a, register) for a, register in read],
                ),
                self.chain.evm.time_s,
            )
            for account, _ in read:
                self.unread[account].pop(0)
            self.tally["chunks"] += 1
            self.tally["readings"] += len(read)

    # -------------------------------------------------------------- meters

    def _meter(self, interval: int, held: list) -> None:
        """Let every meter count, often what its account promised; a silent one tells nobody."""
        positions = dict.fromkeys(self.members, 0)
        for fills, _ in held:
            for account, sold in zip(fills.account.tolist(), fills.sold_milli_wh.tolist(), strict=True):
                positions[account] += sold
        for account, waiting in self.unread.items():
            missed = int(self.rng.choice([0, self.rng.integers(-2_000, 2_000)]))
            moved = max(-CAPACITY_MILLI_WH, min(CAPACITY_MILLI_WH, positions[account] + missed))
            self.true_register[account] += moved
            if self.rng.random() < 0.004:
                self.silent_until[account] = interval + int(self.rng.integers(1, 14))
            waiting.append((interval, self.true_register[account], interval >= self.silent_until[account]))

    def _bring_in_late(self, interval: int) -> None:
        """Bring in what was not read in its interval: true registers, or substitutes of those that are missing."""
        for account, waiting in self.unread.items():
            if not waiting or (waiting[-1][2] and self.rng.random() < 0.4):
                continue
            while waiting and waiting[0][0] < interval:
                if not self._bring_in(account, *waiting[0]):
                    break
                waiting.pop(0)

    def _bring_in(self, account: int, interval: int, register: int, is_told: bool) -> bool:
        state, chain = self.ledger.accounts[account], self.chain
        now_s = chain.evm.time_s
        if interval >= self.ledger.interval and now_s < chain.end_s(interval) + PARAMETERS.fill_window_s:
            return False
        moved = register - state.register_milli_wh
        is_substitute = not is_told or abs(moved) > CAPACITY_MILLI_WH
        if is_substitute:
            if now_s < chain.end_s(interval) + 2 * PARAMETERS.fill_window_s:
                return False
            bounded = max(-CAPACITY_MILLI_WH, min(CAPACITY_MILLI_WH, moved)) if is_told else -900
            register = state.register_milli_wh + bounded
        make = chain.substitute if is_substitute else chain.reading
        signed: SignedReading = make(self.members[account], interval, register)
        tariffs = self.ledger.tariffs[interval]
        chain.read(interval, [signed], [Tariff(*row) for row in tariffs])
        late = [Reading(account, register, is_substitute)]
        settlement.read(self.ledger, interval, tariffs, late, now_s)
        self.tally["substitutes" if is_substitute else "late readings"] += 1
        return True

    def _read_in_a_chunk(self, interval: int, tariffs: tuple[Tariff, ...]) -> None:
        """Let the operator read who has caught up, in a chunk without fills."""
        ledger, chain = self.ledger, self.chain
        told = [
            a
            for a, waiting in self.unread.items()
            if [(t, is_told) for t, _, is_told in waiting] == [(interval, True)]
        ]
        if not told or ledger.interval != interval or self.rng.random() < 0.3:
            return
        prices = ledger.prices_micro_per_kwh or ()
        registers = [self.unread[a].pop()[1] for a in told]
        signed = [chain.reading(self.members[a], interval, x) for a, x in zip(told, registers, strict=True)]
        chain.settle(interval, (), signed, round_=ledger.round, prices=prices, tariffs=tariffs)
        plain = [Reading(a, x) for a, x in zip(told, registers, strict=True)]
        chunk = Chunk(ledger.next_sequence, interval, ledger.round, prices, [], tariffs, plain)
        settlement.settle(ledger, chunk, chain.evm.time_s)
        self.tally["readings"] += len(told)

    # -------------------------------------------------------------- money out, and the comparison

    def _exits(self) -> None:
        chain, ledger = self.chain, self.ledger
        for account in self.accounts.tolist():
            state = ledger.accounts[account]
            if self.rng.random() < 0.02:
                amount = int(self.rng.integers(0, 10**12))
                chain.send(self.members[account].owner, "request_exit", account, amount)
                books.request_exit(
                    state,
                    ledger.accounts[GRID],
                    amount,
                    ready_s=chain.evm.time_s + PARAMETERS.exit_delay_s,
                    last_interval=chain.interval + PARAMETERS.notice_intervals,
                )
            elif state.exit_ready_s and chain.evm.time_s >= state.exit_ready_s:
                chain.send(chain.carrier, "withdraw", account)
                books.withdraw(state, chain.evm.time_s)
                self.tally["exits"] += 1
            if state.owed_pico and self.rng.random() < 0.2:
                chain.send(chain.carrier, "collect", account)
                books.collect(state, ledger.accounts[GRID])
        self.tally["debts"] += sum(one.owed_pico > 0 for one in ledger.accounts.values())

    def compare(self) -> None:
        """Compare every account, and all the money there is, to the unit."""
        chain, ledger = self.chain, self.ledger
        numbers = sorted(ledger.accounts)
        words, debts = chain.view("words", numbers), chain.view("debts", numbers)
        for number, word, owed in zip(numbers, words, debts, strict=True):
            state, found = ledger.accounts[number], AccountWord.unpack(word)
            assert found == AccountWord(
                state.balance_pico,
                state.in_debt,
                state.lanes,
                state.filled,
                state.read,
                state.position_milli_wh,
                state.register_milli_wh,
            ), number
            assert owed == state.owed_pico, number
        assert chain.token_view("balanceOf", chain.deployment.settlement) == ledger.held_pico()
        assert ledger.accounts[FEES].balance_pico % PARAMETERS.fee_micro_per_kwh == 0
