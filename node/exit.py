"""What `symgrid exit` does: an owner takes the money out with nobody's help, straight on the chain.

Two transactions of the owner's key: `request_exit`, and after the contract's delay `withdraw`. Neither reads
hub, operator, oracle or registrar. Whoever holds an embedded chain's file makes its blocks, so there the
owner makes them too.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from market.units import PICO_PER_CREDIT
from node.chain import contracts as deployed
from node.chain.contracts import Contracts, Deployment
from node.chain.direct import DirectCall, produced_at, transact
from node.chain.embedded import EmbeddedChain
from node.chain.keys import LocalSigner, checksum
from node.chain.ports import Address, CallReverted, Chain, WrongChain
from node.chain.rpc import RpcChain
from node.errors import Permanent

EVERYTHING: Final = 2**256 - 1
"""Asked for where no amount is given: the contract pays what the balance holds."""
STEP_GAS: Final = 300_000
"""On an embedded chain, whose gas is free; an exit takes 103,000. Elsewhere the node estimates."""


class ExitRefused(Permanent):
    """An exit that the contract would not do, or nothing to take out; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for.

    `amount_pico` None asks for everything; `at_s` is the time of the blocks that are made on an embedded
    chain (None: now), and means nothing on others.
    """

    book: Path
    rpc: str | None
    chain: Path | None
    cache: Path
    account: int | None = None
    amount_pico: int | None = None
    at_s: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the contract holds for an account, and what it has let out to its owner."""

    account: int
    balance_pico: int
    owed_pico: int
    leaving_pico: int
    ready_s: int
    paid_out_pico: int


def run(options: Options, owner: LocalSigner, say: Callable[[str], None]) -> Standing:
    """Take the next step of an owner's exit: request it, wait, or withdraw; return how things stand after.

    Raises
    ------
    ExitRefused
        If the key owns no account (or not this one), or there is nothing to take out.
    ContractError, WrongChain, ChainLocked, ChainUnavailable, CallReverted
        As the chain says.
    """
    deployment = deployed.load_address_book(options.book)
    contracts = deployed.compile_contracts(options.cache)
    with _opened(options, deployment.chain_id, say) as (chain, mine):
        deployed.verify(chain, contracts, deployment)
        desk = ExitDesk(chain, contracts, deployment, mine)
        account = desk.account_of(owner.address, options.account)
        return desk.step(owner, account, options.amount_pico, _now(chain, options), say)


class ExitDesk:
    """The two transactions of an exit, on an open chain.

    Parameters
    ----------
    mine : Callable or None
        Makes a block where we make them; None waits for others to make one.
    """

    def __init__(
        self, chain: Chain, contracts: Contracts, deployment: Deployment, mine: Callable[[], None] | None
    ) -> None:
        self._chain = chain
        self._contracts = contracts
        self._deployment = deployment
        self._mine = mine

    def account_of(self, owner: Address, account: int | None) -> int:
        """Return the owner's account: the one named, or the only one.

        Raises
        ------
        ExitRefused
            If the owner has none, several and none was named, or not the one named.
        """
        if account is not None:
            if self._ask("owner_of", account) != owner:
                raise ExitRefused(f"account {account} does not belong to {checksum(owner)}")
            return account
        owned = [n for n in range(self._ask("count")) if self._ask("owner_of", n) == owner]
        if not owned:
            raise ExitRefused(f"{checksum(owner)} owns no account of this community")
        if len(owned) > 1:
            raise ExitRefused(f"{checksum(owner)} owns accounts {owned}: name one with --account")
        return owned[0]

    def standing(self, owner: Address, account: int) -> Standing:
        """Return how the account stands now."""
        leaving, ready_s, _last = self._ask("exits", account)
        token = self._contracts.token
        paid_out = self._chain.call(self._deployment.token, token.encode("balanceOf", owner))
        return Standing(
            account,
            self._ask("balance_of", account),
            self._ask("owed", account),
            leaving,
            ready_s,
            token.result("balanceOf", paid_out),
        )

    def step(
        self,
        owner: LocalSigner,
        account: int,
        amount_pico: int | None,
        now_s: int,
        say: Callable[[str], None],
    ) -> Standing:
        """Withdraw what is ready, else tell when it will be, else request the exit."""
        before = self.standing(owner.address, account)
        if before.ready_s == 0:
            return self._request(owner, before, amount_pico, say)
        if now_s < before.ready_s:
            say(
                f"account {account}: {credits_text(before.leaving_pico)} credits are on their way out, "
                f"ready at {time_text(before.ready_s)}; run this again then"
            )
            return before
        try:
            self._send(owner, "withdraw", account)
        except CallReverted:
            # Anyone may push a ready exit: if somebody was quicker, the owner has the money all the same.
            if self.standing(owner.address, account).ready_s == before.ready_s:
                raise
        after = self.standing(owner.address, account)
        paid = after.paid_out_pico - before.paid_out_pico
        say(f"account {account}: {credits_text(paid)} credits were paid out to {checksum(owner.address)}")
        return after

    def _request(
        self, owner: LocalSigner, before: Standing, amount_pico: int | None, say: Callable[[str], None]
    ) -> Standing:
        if before.balance_pico == 0:
            raise ExitRefused(f"account {before.account} has no balance to take out")
        self._send(owner, "request_exit", before.account, EVERYTHING if amount_pico is None else amount_pico)
        after = self.standing(owner.address, before.account)
        say(
            f"account {before.account}: {credits_text(after.leaving_pico)} credits leave its balance; "
            f"they can be withdrawn from {time_text(after.ready_s)} on: run this again then"
        )
        return after

    def _send(self, owner: LocalSigner, function: str, *arguments: Any) -> None:
        data = self._contracts.settlement.encode(function, *arguments)
        # our own block is later than the head at which a gas estimate would run: nothing was ready then
        gas = None if self._mine is None else STEP_GAS
        transact(self._chain, DirectCall(owner, self._deployment.settlement, data, gas), self._mine)

    def _ask(self, function: str, *arguments: Any) -> Any:
        contract = self._contracts.settlement
        data = contract.encode(function, *arguments)
        return contract.result(function, self._chain.call(self._deployment.settlement, data))


@contextmanager
def _opened(
    options: Options, chain_id: int, say: Callable[[str], None]
) -> Iterator[tuple[Chain, Callable[[], None] | None]]:
    """Open the chain to write to it: a node behind a URL, or an embedded chain's file that nobody else holds."""
    if (options.rpc is None) == (options.chain is None):
        raise ValueError("name the chain: either --rpc URL or --chain FILE")
    if options.rpc is not None:
        with closing(RpcChain(options.rpc, chain_id)) as remote:
            yield remote, None
        return
    assert options.chain is not None
    if not options.chain.is_file():
        raise WrongChain(f"chain {options.chain}: no such file")
    with closing(EmbeddedChain(options.chain)) as chain:
        if chain.chain_id != chain_id:
            raise WrongChain(f"chain {options.chain} has id {chain.chain_id}, expected {chain_id}")
        say(
            "warning: this makes blocks on this copy of an embedded chain; they count for others only "
            "if they go on from this file"
        )
        yield chain, produced_at(chain, lambda: _now(chain, options))


def _now(chain: Chain, options: Options) -> int:
    """Return the time that the next block will have, as far as we know it."""
    wished_s = int(time.time()) if options.at_s is None or options.rpc is not None else options.at_s
    return max(wished_s, chain.head().timestamp_s + 1)


def credits_text(amount_pico: int) -> str:
    """Return an amount in credits, exactly."""
    return f"{Decimal(amount_pico) / PICO_PER_CREDIT:f}"


def amount_of(text: str) -> int:
    """Return an amount in pico-credit from text in credits.

    Raises
    ------
    ValueError
        If it is no positive number with up to 12 decimals.
    """
    try:
        amount = Decimal(text) * PICO_PER_CREDIT
    except InvalidOperation as error:
        raise ValueError(f"amount {text!r}: expected credits, such as 12.5") from error
    if not amount.is_finite() or amount <= 0 or amount != amount.to_integral_value():
        raise ValueError(f"amount {text!r}: expected credits > 0 with up to 12 decimals")
    return int(amount)


def time_text(time_s: int) -> str:
    """Return a time as people read it."""
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
