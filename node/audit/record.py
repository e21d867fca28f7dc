"""Everything the chain says about a community, replayed once from its first block.

Calls and events go through the mirror of the contract, so every balance and register is computed here again
and compared with the contract's own words at the end of each block that settled an interval.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from market.ledger import FEES, GRID, AccountState
from market.settlement import Ledger
from node.audit.commitment import Note, decode_note, noticeboard
from node.chain import calldata
from node.chain.abi import Event
from node.chain.calldata import SettleCall, SignedReading
from node.chain.contracts import Contracts, Deployment, events_of
from node.chain.mirror import Mirror, ProjectionError, readings_of, terms_of
from node.chain.ports import Address, Block, CallReverted, Chain, ChainUnavailable, MinedCall
from node.chain.typed_data import Tariff
from node.chain.words import AccountWord, KeyWord

OPERATOR: Final = 0
ORACLE: Final = 1
REGISTRAR: Final = 2
CURTAILER: Final = 3
ROLE_NAMES: Final = ("operator", "oracle", "registrar", "curtailer")
# Accounts per view call: contracts/ledger.vy, MAX_VIEW.
_BATCH: Final = 512
_BATCH_BLOCKS: Final = 256


@dataclass(frozen=True, slots=True)
class MinedNote:
    """A note of the operator, and in which block it stands."""

    note: Note
    block: int


@dataclass(slots=True)
class OnChain:
    """What the chain holds of one interval, in the order of mining."""

    chunks: list[SettleCall] = field(default_factory=list)
    readings: dict[int, SignedReading] = field(default_factory=dict)
    notes: list[MinedNote] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


class Holders:
    """Who held each role when, as the contract's `holder` says."""

    def __init__(self, first: tuple[Address, ...]) -> None:
        self._since: list[list[tuple[int, Address]]] = [[(0, address)] for address in first]

    def change(self, role: int, heir: Address, since_s: int, now_s: int) -> None:
        """Take in a rotation; it replaces one that still waits."""
        self._since[role] = [one for one in self._since[role] if one[0] <= now_s]
        self._since[role].append((since_s, heir))

    def at(self, role: int, time_s: int) -> Address:
        """Return who holds a role at a time."""
        return next(holder for since, holder in reversed(self._since[role]) if since <= max(time_s, 0))


class ChainRecord:
    """The replayed chain of one deployment.

    Attributes
    ----------
    by_interval : dict[int, OnChain]
        Chunks, readings and notes.
    ledger : Ledger
        All accounts as recomputed, after the newest block.
    holders : Holders
        Of the contract's roles.
    head : Block
        The newest block taken in.
    is_historical : bool
        Whether the node still answers about old blocks: balances were then compared after every interval,
        otherwise after the newest block only.
    """

    def __init__(self, chain: Chain, contracts: Contracts, deployment: Deployment) -> None:
        self._chain = chain
        self._contracts = contracts
        self.deployment = deployment
        roles = deployment.roles
        self.holders = Holders(roles.signers)
        self.by_interval: defaultdict[int, OnChain] = defaultdict(OnChain)
        self.ledger = Ledger(terms_of(deployment))
        self.general: list[str] = []
        self.is_historical = True
        self.head = self._taken = Block(-1, b"", b"", 0, ())
        owners: dict[int, Address] = {GRID: roles.grid, FEES: roles.fees}
        self._mirror = Mirror(deployment, self.ledger, owners, lambda _account: None, self._operators_own)
        self._agents: dict[tuple[int, int], Address] = {}
        self._meters: defaultdict[int, list[tuple[int, Address, int]]] = defaultdict(list)
        self._registers: dict[tuple[int, int], int] = {}
        self._board = noticeboard(deployment.settlement)

    # -------------------------------------------------------------- what an auditor asks

    def agent(self, account: int, epoch: int) -> Address | None:
        """Return the key that signs an account's orders of an epoch."""
        return self._agents.get((account, epoch))

    def meter(self, account: int, interval: int) -> Address | None:
        """Return the meter whose readings of an interval count."""
        return next((m for first, m, _ in reversed(self._meters[account]) if first <= interval), None)

    def register_before(self, account: int, interval: int) -> int | None:
        """Return the register from which an interval counts; None if its meter was not installed then."""
        found = self._registers.get((account, interval - 1))
        if found is None:
            return None
        exchanged = self._meters[account][1:]
        return found + sum(offset for first, _, offset in exchanged if first == interval)

    def position_milli_wh(self, account: int, interval: int) -> int:
        """Return what an account sold minus bought in an interval, by the chunks that settled it."""
        fills = (fill for chunk in self.by_interval[interval].chunks for fill in chunk.fills)
        return sum(fill.sold_milli_wh for fill in fills if fill.order.account == account)

    def tariffs(self, interval: int) -> tuple[Tariff, ...] | None:
        """Return an interval's published tariffs."""
        table = self.ledger.tariffs.get(interval)
        return None if table is None else tuple(Tariff(*row) for row in table)

    # -------------------------------------------------------------- replay

    def replay(self, on_block: Callable[[int, int], None] = lambda _number, _head: None) -> None:
        """Take in all blocks up to the chain's newest final one.

        Differences between the contract and its recomputation are noted with their interval, or in `general`.
        """
        head = self._chain.finalized()
        addresses = (self.deployment.settlement,)
        for first in range(self.head.number + 1, head + 1, _BATCH_BLOCKS):
            last = min(first + _BATCH_BLOCKS - 1, head)
            logs: defaultdict[int, defaultdict[int, list[Event]]] = defaultdict(lambda: defaultdict(list))
            for log in self._chain.logs(first, last, addresses):
                event = events_of(self._contracts, self.deployment, log)
                if event is not None:
                    logs[log.block_number][log.transaction_index].append(event)
            for number in range(first, last + 1):
                block = self._chain.block(number)
                if block is None:
                    raise ChainUnavailable(f"block {number} of {head} is missing")
                if not self._take(block, logs[number]):
                    return
                on_block(number, head)
        self._compare(self.head, None)
        self._compare_roles()

    def _take(self, block: Block, logs: dict[int, list[Event]]) -> bool:
        """Take in a block; False where the mirror cannot follow the chain any more."""
        calls = []
        if block.transactions:
            calls = self._chain.calls(block, (self.deployment.settlement, self._board))
        by_index = {call.index: call for call in calls if call.is_success}
        settled: set[int] = set()
        self._taken = block
        for index in sorted(set(by_index) | set(logs)):
            call, events = by_index.get(index), logs.get(index, [])
            if call is not None and call.to == self._board:
                self._take_note(call, block)
                continue
            settled |= {one.arguments["interval"] for one in events if one.name == "ChunkSettled"}
            try:
                chunks = self._mirror.apply(block.timestamp_s, call, events)
            except ProjectionError as error:
                for interval in settled or [-1]:
                    self._differ(None if interval < 0 else interval, f"block {block.number}: {error}")
                return False
            for chunk in chunks:
                self.by_interval[chunk.interval].chunks.append(chunk)
                self._take_readings(chunk.interval, chunk.readings)
            for event in events:
                self._take_event(event, block)
        self.head = block
        for interval in sorted(settled):
            self._compare(block, interval)
        return True

    def _operators_own(self, sequence: int) -> bytes | None:
        """Return the operator's own transaction of a chunk that came through a contract of somebody's.

        It came too late and reverted, in the same block or a later one; its calldata tells what the contract's
        event does not.
        """
        for number in range(self._taken.number, self._chain.finalized() + 1):
            block = self._chain.block(number)
            if block is None or not block.transactions:
                continue
            operator = self.holders.at(OPERATOR, block.timestamp_s)
            for call in self._chain.calls(block, (self.deployment.settlement,)):
                if call.is_success or call.sender != operator:
                    continue
                try:
                    if calldata.decode_settle(call.data).sequence == sequence:
                        return call.data
                except calldata.BadCalldata:
                    continue  # not a chunk
        return None

    def _take_note(self, call: MinedCall, block: Block) -> None:
        note = decode_note(call.data)
        if note is not None and call.sender == self.holders.at(OPERATOR, block.timestamp_s):
            self.by_interval[note.interval].notes.append(MinedNote(note, block.number))

    def _take_readings(self, interval: int, readings: Iterable[SignedReading]) -> None:
        for reading in readings:
            self.by_interval[interval].readings[reading.account] = reading
            self._registers[(reading.account, interval)] = reading.register_milli_wh

    def _take_event(self, event: Event, block: Block) -> None:
        told = event.arguments
        if event.name == "KeyChanged":
            key = KeyWord.unpack(told["key"])
            self._agents[(told["account"], key.epoch)] = key.agent
        elif event.name == "MeterChanged":
            now = block.timestamp_s // self.ledger.terms.length_s
            known = self._meters[told["account"]]
            if not known:
                self._registers[(told["account"], told["first"] - 1)] = told["offset"]
            # a replacement takes the place of one that is not due yet
            kept = [one for i, one in enumerate(known) if i == 0 or one[0] <= now]
            self._meters[told["account"]] = [*kept, (told["first"], told["meter"], told["offset"])]
        elif event.name == "ReadingsBroughtIn":
            self._take_readings(told["interval"], readings_of(event))
        elif event.name == "RoleChange":
            self.holders.change(told["role"], told["heir"], told["since"], block.timestamp_s)

    # -------------------------------------------------------------- comparison with the contract's words

    def _compare(self, block: Block, interval: int | None) -> None:
        """Compare all accounts with the contract's words after a block."""
        if interval is not None and not self.is_historical:
            return
        numbers = sorted(self.ledger.accounts)
        try:
            for start in range(0, len(numbers), _BATCH):
                part = numbers[start : start + _BATCH]
                words = self._view(block, "words", part)
                debts = self._view(block, "debts", part)
                for number, word, owed in zip(part, words, debts, strict=True):
                    for what in _differing(self.ledger.accounts[number], AccountWord.unpack(word), owed):
                        self._differ(interval, f"account {number}: {what}")
        except (ChainUnavailable, CallReverted):
            if interval is None:
                raise
            self.is_historical = False  # the node keeps no old states

    def _compare_roles(self) -> None:
        for role, name in enumerate(ROLE_NAMES):
            holder, heir, since = self._view(self.head, "roles", role)
            now_s = self.head.timestamp_s
            found = heir if since and now_s >= since else holder
            if found != self.holders.at(role, now_s):
                told = self.holders.at(role, now_s).hex()
                self.general.append(
                    f"the {name} is 0x{found.hex()} on chain, 0x{told} by address book and events"
                )

    def _view(self, block: Block, function: str, argument: Any) -> Any:
        contract = self._contracts.settlement
        data = contract.encode(function, argument)
        returned = self._chain.call(self.deployment.settlement, data, block=block.number)
        return contract.result(function, returned)

    def _differ(self, interval: int | None, text: str) -> None:
        if interval is None:
            self.general.append(text)
        else:
            self.by_interval[interval].differences.append(text)


def _differing(ours: AccountState, theirs: AccountWord, owed_pico: int) -> Iterator[str]:
    pairs = (
        ("balance", "pico-credit", ours.balance_pico, theirs.balance_pico),
        ("debt", "pico-credit", ours.owed_pico, owed_pico),
        ("register", "mWh", ours.register_milli_wh, theirs.register_milli_wh),
        ("position", "mWh", ours.position_milli_wh, theirs.position_milli_wh),
        ("newest interval read", "", ours.read, theirs.read),
        ("newest interval filled", "", ours.filled, theirs.filled),
        ("lanes", "", ours.lanes, theirs.lanes),
    )
    for name, unit, recomputed, found in pairs:
        if recomputed != found:
            yield f"{name} on chain is {found} {unit}".rstrip() + f", recomputed {recomputed}"
