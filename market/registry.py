"""Registry: accounts, agents, meters and curtailments, as contracts/registry.vy keeps them.

Who may call what is the contract's business; here is what a call that was let through does. Intervals and
times are arguments: `now_interval` is the block's time divided by the interval length.
"""

from typing import Final

from market.errors import ChunkRefused
from market.ledger import AccountState
from market.metering import MAX_REGISTER_MILLI_WH
from market.settlement import MAX_ZONES, Ledger
from market.units import MAX_QUANTITY_MILLI_WH

FIRST_ACCOUNT: Final = 2
"""Accounts 0 and 1 are GRID and FEES."""


def open_account(ledger: Ledger) -> int:
    """Open an account with its first agent; return its number."""
    account = max(ledger.accounts) + 1
    ledger.accounts[account] = AccountState(epoch=1)
    return account


def set_agent(ledger: Ledger, account: int, now_s: int) -> int:
    """Give an account its next agent; return the first interval in which that one signs.

    Raises
    ------
    ChunkRefused
        `registry: owner` (GRID, FEES or no such account) or `registry: pending`.
    """
    terms = ledger.terms
    state = ledger.accounts.get(account)
    if state is None or account < FIRST_ACCOUNT:
        raise ChunkRefused("registry: owner", f"account {account} has no agent", account)
    free_s = (state.epoch_since + 1) * terms.length_s + terms.fill_window_s
    if state.epoch_since and now_s < free_s:
        raise ChunkRefused("registry: pending", f"the agent before signs until {free_s}", account)
    state.epoch += 1
    state.epoch_since = now_s // terms.length_s + 1 + terms.notice
    return state.epoch_since


def install(
    ledger: Ledger, account: int, register_milli_wh: int, zone: int, capacity_milli_wh: int, now_interval: int
) -> None:
    """Install an account's meter, once.

    Raises
    ------
    ChunkRefused
        `registry: account`, `registry: register` or `registry: site`.
    """
    state = ledger.accounts.get(account)
    if state is None or account < FIRST_ACCOUNT or state.is_metered:
        raise ChunkRefused("registry: account", f"account {account} is unknown or has a meter", account)
    if abs(register_milli_wh) > MAX_REGISTER_MILLI_WH:
        raise ChunkRefused("registry: register", f"register {register_milli_wh} mWh", account)
    if not (0 <= zone < MAX_ZONES and 0 <= capacity_milli_wh <= MAX_QUANTITY_MILLI_WH):
        raise ChunkRefused("registry: site", f"zone {zone}, capacity {capacity_milli_wh} mWh", account)
    state.is_metered = True
    state.zone, state.capacity_milli_wh = zone, capacity_milli_wh
    state.read, state.register_milli_wh = now_interval, register_milli_wh


def raise_capacity(ledger: Ledger, account: int, capacity_milli_wh: int) -> None:
    """Raise what a connection carries; it is never lowered.

    Raises
    ------
    ChunkRefused
        `registry: account` or `registry: site`.
    """
    state = _metered(ledger, account)
    if not state.capacity_milli_wh < capacity_milli_wh <= MAX_QUANTITY_MILLI_WH:
        raise ChunkRefused(
            "registry: site", f"{capacity_milli_wh} mWh after {state.capacity_milli_wh}", account
        )
    state.capacity_milli_wh = capacity_milli_wh


def replace_meter(ledger: Ledger, account: int, offset_milli_wh: int, now_interval: int) -> int:
    """Announce an account's next meter; return the first interval that it counts.

    Raises
    ------
    ChunkRefused
        `registry: account`, `registry: register` or `registry: pending`.
    """
    terms = ledger.terms
    state = _metered(ledger, account)
    if abs(offset_milli_wh) > MAX_REGISTER_MILLI_WH:
        raise ChunkRefused("registry: register", f"offset {offset_milli_wh} mWh", account)
    if state.next_meter_first and state.next_meter_first <= now_interval:
        raise ChunkRefused("registry: pending", "the next meter awaits its first reading", account)
    state.next_meter_first = now_interval + 1 + terms.exit_delay_s // terms.length_s
    state.next_meter_offset_milli_wh = offset_milli_wh
    return state.next_meter_first


def curtail(ledger: Ledger, account: int, interval: int, quantity_milli_wh: int, now_interval: int) -> None:
    """Forgive an account up to so much of its shortfall in an interval, once, before it is read.

    Raises
    ------
    ChunkRefused
        `registry: account`, `registry: quantity`, `registry: notice`, `registry: curtailed` or
        `registry: read`.
    """
    state = _metered(ledger, account)
    if not 0 < quantity_milli_wh <= MAX_QUANTITY_MILLI_WH:
        raise ChunkRefused("registry: quantity", f"{quantity_milli_wh} mWh", account)
    newest = now_interval + ledger.terms.notice
    if interval > newest:
        raise ChunkRefused("registry: notice", f"interval {interval}: up to {newest} now", account)
    if interval in state.curtailed_milli_wh:
        raise ChunkRefused("registry: curtailed", f"interval {interval} has its curtailment", account)
    if interval <= state.read:
        raise ChunkRefused("registry: read", f"interval {interval}, read up to {state.read}", account)
    # a new dict, because drafts of the account share the old one
    state.curtailed_milli_wh = {**state.curtailed_milli_wh, interval: quantity_milli_wh}
    state.curtailed_newest = max(state.curtailed_newest, interval)


def _metered(ledger: Ledger, account: int) -> AccountState:
    state = ledger.accounts.get(account)
    if state is None or not state.is_metered:
        raise ChunkRefused("registry: account", f"account {account} has no meter", account)
    return state
