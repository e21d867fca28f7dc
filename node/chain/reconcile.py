"""Compare the accounts in the store with the contract's own words; and start again after whatever happened."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from market.ledger import FEES, GRID, AccountState
from node.chain.contracts import Contracts, Deployment
from node.chain.outbox import ANEW
from node.chain.ports import Chain
from node.chain.projection import account_of
from node.chain.sender import Driven, Sender, SettlementHalted
from node.chain.watcher import Ingested, Watcher
from node.chain.words import AccountWord
from node.store.tables_chain import chain_accounts, chain_events, chain_state, outbox
from node.store.unit_of_work import Store

# Accounts per view call: contracts/ledger.vy, MAX_VIEW.
BATCH = 512


@dataclass(frozen=True, slots=True)
class Difference:
    """Store and chain disagree; `account` is None where the whole contract is meant."""

    account: int | None
    field: str
    store: int
    chain: int

    def __str__(self) -> str:
        who = "the contract" if self.account is None else f"account {self.account}"
        return f"{who}, {self.field}: store {self.store}, chain {self.chain}, by {self.chain - self.store}"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a start found and did."""

    ingested: Ingested
    orphaned: int
    driven: Driven


def reconcile(
    connection: Connection,
    chain: Chain,
    contracts: Contracts,
    deployment: Deployment,
    *,
    is_full: bool = False,
) -> list[Difference]:
    """Compare the projection with the contract at the block it stands at; no difference, no entry.

    Parameters
    ----------
    is_full : bool
        Also compare every account's exit, the number of accounts and the chunk sequence: at start. Without
        it, exits only where the store has one.

    Returns
    -------
    list[Difference]
        By account; the contract as a whole last.
    """
    state = connection.execute(select(chain_state)).one_or_none()
    if state is None:
        return []
    view = _View(chain, contracts, deployment, state.block_number)
    rows = connection.execute(select(chain_accounts).order_by(chain_accounts.c.account))
    accounts = {row.account: account_of(dict(row._mapping)) for row in rows}
    for reserved in (GRID, FEES):
        accounts.setdefault(reserved, AccountState())
    numbers = sorted(accounts)
    found: list[Difference] = []
    for start in range(0, len(numbers), BATCH):
        part = numbers[start : start + BATCH]
        words, debts = view.settlement("words", part), view.settlement("debts", part)
        for number, word, owed in zip(part, words, debts, strict=True):
            found += _compare(number, accounts[number], AccountWord.unpack(word), owed)
    for number in numbers:
        held = accounts[number]
        if is_full or held.exit_ready_s or held.exit_amount_pico:
            found += _compare_exit(number, held, view.settlement("exits", number))
    held_pico = sum(held.held_pico() for held in accounts.values())
    backed_pico = view.token("balanceOf", deployment.settlement)
    if backed_pico < held_pico:  # more is harmless: anyone may send tokens to the contract
        found.append(Difference(None, "token balance", held_pico, backed_pico))
    if is_full:
        whole = (
            ("number of accounts", len(numbers), view.settlement("count")),
            ("next sequence", state.next_sequence, view.settlement("next_seq")),
        )
        found += [Difference(None, name, ours, theirs) for name, ours, theirs in whole if ours != theirs]
    return found


def reconcile_or_halt(
    store: Store, chain: Chain, contracts: Contracts, deployment: Deployment, *, is_full: bool = False
) -> None:
    """Do `reconcile` and let nothing pass.

    Raises
    ------
    SettlementHalted
        At any difference, naming account and amount.
    """
    with store.read() as connection:
        found = reconcile(connection, chain, contracts, deployment, is_full=is_full)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise SettlementHalted("reconciliation", f"of {deployment.settlement.hex()}", f"{found[0]}{more}")


def recover(
    store: Store,
    chain: Chain,
    contracts: Contracts,
    deployment: Deployment,
    sender: Sender,
    watcher: Watcher,
) -> Recovery:
    """Bring store and chain together after any kind of stop, and drive what was under way.

    Reads the chain first (blocks, events, accounts, reorganisations), then compares nonces, then sends again
    what the chain does not have, byte for byte, and finally compares all accounts.

    Raises
    ------
    SettlementHalted
        If the store is older than the chain, a key was used elsewhere, a transaction reverted, or store and
        chain differ.
    """
    ingested = watcher.ingest()
    _refuse_older_store(store)
    orphaned = sender.resume()
    driven = sender.drive()
    reconcile_or_halt(store, chain, contracts, deployment, is_full=True)
    return Recovery(ingested, orphaned, driven)


def _refuse_older_store(store: Store) -> None:
    """Halt where the chain has settled chunks that this store never planned, as after a restored backup."""
    with store.read() as connection:
        settled = connection.execute(select(chain_state.c.next_sequence)).scalar() or 0
        refs = connection.execute(select(outbox.c.ref).where(outbox.c.kind == "chunk")).scalars()
        planned = max((int(ref.rstrip(ANEW)) + 1 for ref in refs), default=0)
        if settled <= planned:
            return
        said = connection.execute(
            select(chain_events.c.arguments).where(chain_events.c.name == "ChunkSettled")
        ).scalars()
        events = [json.loads(text) for text in said]
    missing = sorted({event["interval"] for event in events if event["seq"] >= planned})
    raise SettlementHalted(
        "chunk",
        str(planned),
        f"the store is older than the chain: chunks {planned} to {settled - 1} are settled, of intervals "
        f"{missing[0]} to {missing[-1]}, but this store has never planned them, and lacks whatever came after; "
        "restore a newer backup of the store",
    )


class _View:
    """Reads the contracts at one block."""

    def __init__(self, chain: Chain, contracts: Contracts, deployment: Deployment, block: int) -> None:
        self._chain = chain
        self._contracts = contracts
        self._deployment = deployment
        self._block = block

    def settlement(self, function: str, *arguments: Any) -> Any:
        contract = self._contracts.settlement
        data = contract.encode(function, *arguments)
        returned = self._chain.call(self._deployment.settlement, data, block=self._block)
        return contract.result(function, returned)

    def token(self, function: str, *arguments: Any) -> Any:
        contract = self._contracts.token
        data = contract.encode(function, *arguments)
        return contract.result(function, self._chain.call(self._deployment.token, data, block=self._block))


def _compare(number: int, ours: AccountState, theirs: AccountWord, owed_pico: int) -> Iterator[Difference]:
    pairs = (
        ("balance_pico", ours.balance_pico, theirs.balance_pico),
        ("owed_pico", ours.owed_pico, owed_pico),
        ("in debt", int(ours.in_debt), int(theirs.is_in_debt)),
        ("lanes", ours.lanes, theirs.lanes),
        ("filled", ours.filled, theirs.filled),
        ("read", ours.read, theirs.read),
        ("position_milli_wh", ours.position_milli_wh, theirs.position_milli_wh),
        ("register_milli_wh", ours.register_milli_wh, theirs.register_milli_wh),
    )
    for name, store, chain in pairs:
        if store != chain:
            yield Difference(number, name, store, chain)


def _compare_exit(number: int, ours: AccountState, theirs: Sequence[int]) -> Iterator[Difference]:
    names = ("exit_amount_pico", "exit_ready_s", "exit_last")
    stored = (ours.exit_amount_pico, ours.exit_ready_s, ours.exit_last)
    for name, store, chain in zip(names, stored, theirs, strict=True):
        if store != chain:
            yield Difference(number, name, store, chain)
