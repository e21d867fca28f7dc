"""Ledger: what an account holds, and how money moves between it and GRID, as contracts/ledger.vy does.

Everything here changes the `AccountState` it is given, in place, and does nothing else. A chunk that is
refused half-way must change nothing: `market.settlement` works on copies and keeps them only at the end.
"""

from dataclasses import dataclass, field
from typing import Final

from market.errors import ChunkRefused
from market.units import MAX_BALANCE_PICO

GRID: Final = 0
"""Account of the supplier who balances everyone."""
FEES: Final = 1
"""Account that receives the operator's published fee."""


@dataclass(slots=True)
class AccountState:
    """All that the contracts store about one account.

    Attributes
    ----------
    balance_pico : int
        What it can trade with or ask to be paid out.
    owed_pico : int
        By the account to GRID; negative: by GRID to the account.
    lanes : int
        Bit per lane used in interval `filled`.
    filled, read : int
        Newest interval with a fill, and with a reading.
    position_milli_wh : int
        Sold minus bought in interval `filled`, until that is read.
    register_milli_wh : int
        The meter's register at the end of interval `read`.
    parked_milli_wh : dict[int, int]
        Positions of intervals older than `filled` that are not read yet.
    exit_amount_pico, exit_ready_s, exit_last : int
        Money on its way out, when it may be paid (unix time; 0: no exit), and the last interval that it
        still answers for.
    zone, capacity_milli_wh : int
        Price zone, and what the connection carries in one interval, either way.
    epoch, epoch_since : int
        Number of the newest agent key, and the first interval in which it signs; before that, the one
        before it does.
    is_metered : bool
        Whether a meter is installed.
    curtailed_milli_wh : dict[int, int]
        Shortfall that GRID forgives, by interval.
    curtailed_newest : int
        Newest interval with a curtailment.
    next_meter_first, next_meter_offset_milli_wh : int
        First interval of the next meter (0: none), and its register minus the old meter's.
    """

    balance_pico: int = 0
    owed_pico: int = 0
    lanes: int = 0
    filled: int = 0
    read: int = 0
    position_milli_wh: int = 0
    register_milli_wh: int = 0
    parked_milli_wh: dict[int, int] = field(default_factory=dict)
    exit_amount_pico: int = 0
    exit_ready_s: int = 0
    exit_last: int = 0
    zone: int = 0
    capacity_milli_wh: int = 0
    epoch: int = 0
    epoch_since: int = 0
    is_metered: bool = False
    curtailed_milli_wh: dict[int, int] = field(default_factory=dict)
    curtailed_newest: int = 0
    next_meter_first: int = 0
    next_meter_offset_milli_wh: int = 0

    @property
    def in_debt(self) -> bool:
        """Whether the account owes GRID; it cannot trade until that is paid."""
        return self.owed_pico > 0

    def draft(self) -> "AccountState":
        """Return a copy for a chunk to change; curtailments, which no chunk changes, are shared."""
        return AccountState(
            self.balance_pico,
            self.owed_pico,
            self.lanes,
            self.filled,
            self.read,
            self.position_milli_wh,
            self.register_milli_wh,
            dict(self.parked_milli_wh) if self.parked_milli_wh else {},
            self.exit_amount_pico,
            self.exit_ready_s,
            self.exit_last,
            self.zone,
            self.capacity_milli_wh,
            self.epoch,
            self.epoch_since,
            self.is_metered,
            self.curtailed_milli_wh,
            self.curtailed_newest,
            self.next_meter_first,
            self.next_meter_offset_milli_wh,
        )

    def held_pico(self) -> int:
        """Return the money that the contract holds for this account, on its way out or not."""
        return self.balance_pico + self.exit_amount_pico


def credit(state: AccountState, amount_pico: int) -> None:
    """Add to a balance.

    Raises
    ------
    ChunkRefused
        `ledger: balance`, if the balance would not fit its 79 bits.
    """
    balance_pico = state.balance_pico + amount_pico
    if balance_pico > MAX_BALANCE_PICO:
        raise ChunkRefused("ledger: balance", f"{balance_pico} pico-credit would not fit 79 bits")
    state.balance_pico = balance_pico


def recall(state: AccountState, amount_pico: int, interval: int) -> int:
    """Take up to `amount_pico` from an exit requested too late to escape `interval`; return what was."""
    if interval > state.exit_last:
        return 0
    taken_pico = min(amount_pico, state.exit_amount_pico)
    state.exit_amount_pico -= taken_pico
    return taken_pico


def debit(state: AccountState, amount_pico: int, interval: int) -> int:
    """Take up to `amount_pico` on account of `interval`, balance first, then exit; return what was taken."""
    taken_pico = min(amount_pico, state.balance_pico)
    state.balance_pico -= taken_pico
    if taken_pico < amount_pico:
        taken_pico += recall(state, amount_pico - taken_pico, interval)
    return taken_pico


def exchange(account: AccountState, grid: AccountState, amount_pico: int, interval: int) -> None:
    """Have GRID pay the account, or the account GRID if negative; what the payer lacks stays owed."""
    payer, receiver = (account, grid) if amount_pico < 0 else (grid, account)
    due_pico = abs(amount_pico)
    paid_pico = debit(payer, due_pico, interval)
    credit(receiver, paid_pico)
    if paid_pico < due_pico:
        missing_pico = due_pico - paid_pico
        account.owed_pico += missing_pico if amount_pico < 0 else -missing_pico


def collect(account: AccountState, grid: AccountState) -> None:
    """Have what is owed paid, either way, as far as the debtor's balance goes."""
    owed_pico = account.owed_pico
    debtor, creditor = (account, grid) if owed_pico > 0 else (grid, account)
    paid_pico = min(abs(owed_pico), debtor.balance_pico)
    if paid_pico > 0:
        debtor.balance_pico -= paid_pico
        credit(creditor, paid_pico)
        account.owed_pico += -paid_pico if owed_pico > 0 else paid_pico


def request_exit(
    account: AccountState, grid: AccountState, amount_pico: int, *, ready_s: int, last_interval: int
) -> int:
    """Move money from the balance to its way out; replaces an earlier request.

    Parameters
    ----------
    account, grid : AccountState
        The account that asks, and GRID, with whom debts are settled first.
    amount_pico : int
        What is asked; the balance bounds it.
    ready_s : int
        When it may be paid: the block's time plus the exit delay.
    last_interval : int
        The last interval it answers for: the block's interval plus the notice.

    Returns
    -------
    int
        What is on its way out now.
    """
    credit(account, account.exit_amount_pico)
    account.exit_amount_pico = 0
    collect(account, grid)
    asked_pico = min(amount_pico, account.balance_pico)
    account.balance_pico -= asked_pico
    account.exit_amount_pico = asked_pico
    account.exit_ready_s = ready_s
    account.exit_last = last_interval
    return asked_pico


def withdraw(account: AccountState, now_s: int) -> int:
    """Pay an exit that is ready; return the amount that leaves the contract.

    Raises
    ------
    ChunkRefused
        `ledger: not ready`, if there is no exit or its delay is not over.
    """
    if account.exit_ready_s == 0 or now_s < account.exit_ready_s:
        raise ChunkRefused("ledger: not ready", f"ready at {account.exit_ready_s}, now {now_s}")
    paid_pico = account.exit_amount_pico
    account.exit_amount_pico = account.exit_ready_s = account.exit_last = 0
    return paid_pico
