# pragma version 0.4.3
"""
@title   ledger (module of Settlement)
@license Apache-2.0
@notice  Account words, money in and out, and what is owed between accounts and GRID.

         Invariants
         1. Tokens held = sum of all balances + sum of all exits. What is owed is a record, not money.
         2. No balance is negative. What a payer lacks is taken from an exit that was requested too late to
            escape the interval, and what is still missing is owed.
         3. Deposits, exits, withdrawals and collections ask nobody's leave: they read no role and no round.
         4. An account is in debt (one bit of its word) exactly while it owes GRID.

         Account word, from the top:
         register(56, signed) | position(40, signed) | read(24) | filled(24) | lanes(32) | in debt(1) | balance(79)
"""
from ethereum.ercs import IERC20

GRID: constant(uint256) = 0   # account of the supplier who balances everyone
FEES: constant(uint256) = 1   # account that receives the operator's published fee
MAX_VIEW: constant(uint256) = 512   # accounts looked at in one call

BALANCE: constant(uint256) = 2**79 - 1
IN_DEBT: constant(uint256) = 2**79
LANES_AT: constant(uint256) = 80
FILLED_AT: constant(uint256) = 112
READ_AT: constant(uint256) = 136
POSITION_AT: constant(uint256) = 160
REGISTER_AT: constant(uint256) = 200
BITS24: constant(uint256) = 2**24 - 1
BITS32: constant(uint256) = 2**32 - 1
BITS40: constant(uint256) = 2**40 - 1

struct Account:
    balance: uint256   # pico-credit, and the debt bit
    lanes: uint256     # lanes used in interval `filled`
    filled: uint256    # newest interval with a fill
    read: uint256      # newest interval with a reading
    position: int256   # mWh sold - bought in interval `filled`, until that is read
    register: int256   # mWh, the meter's at the end of interval `read`

struct Exit:
    amount: uint256
    ready: uint256     # time from which it may be paid
    last: uint256      # last interval whose charges it still answers for

event Deposited:
    account: indexed(uint256)
    amount: uint256

event ExitRequested:
    account: indexed(uint256)
    amount: uint256
    ready: uint256

event Withdrawn:
    account: indexed(uint256)
    amount: uint256

event Owed:
    account: indexed(uint256)
    owed: int256

event Collected:
    account: indexed(uint256)

TOKEN: public(immutable(IERC20))
LENGTH: public(immutable(uint256))       # seconds per interval
NOTICE: public(immutable(uint256))       # intervals the auction may run ahead
EXIT_DELAY: public(immutable(uint256))   # seconds

accounts: public(HashMap[uint256, uint256])
owner_of: public(HashMap[uint256, address])
exits: public(HashMap[uint256, Exit])
owed: public(HashMap[uint256, int256])   # by the account to GRID; negative: by GRID to the account

@deploy
def __init__(token: address, grid: address, fees: address, length: uint256, notice: uint256, exit_delay: uint256):
    TOKEN = IERC20(token)
    LENGTH = length
    NOTICE = notice
    EXIT_DELAY = exit_delay
    self.owner_of[GRID] = grid
    self.owner_of[FEES] = fees

# ---------------------------------------------------------------- time

@internal
@view
def now() -> uint256:
    """The interval we are in."""
    return block.timestamp // LENGTH

@internal
@view
def end(interval: uint256) -> uint256:
    """The first second after an interval; every interval that is packed into a word passes here first."""
    assert interval <= BITS24, "ledger: interval"
    return (interval + 1) * LENGTH

# ---------------------------------------------------------------- words

@internal
@view
def load(account: uint256) -> Account:
    word: uint256 = self.accounts[account]
    signed: int256 = convert(convert(word, bytes32), int256)
    return Account(
        balance=word & (IN_DEBT | BALANCE),
        lanes=(word >> LANES_AT) & BITS32,
        filled=(word >> FILLED_AT) & BITS24,
        read=(word >> READ_AT) & BITS24,
        position=(signed << 56) >> 216,
        register=signed >> REGISTER_AT)

@internal
def store(account: uint256, a: Account):
    """Every field fits: the caller's checks bound the balance, `end` the intervals, the connection's
       capacity the position, and the check of a reading the register."""
    position: uint256 = convert(convert(a.position, bytes32), uint256) & BITS40
    register: uint256 = convert(convert(a.register, bytes32), uint256)
    self.accounts[account] = (a.balance | (a.lanes << LANES_AT) | (a.filled << FILLED_AT)
        | (a.read << READ_AT) | (position << POSITION_AT) | (register << REGISTER_AT))

@external
@view
def balance_of(account: uint256) -> uint256:
    return self.accounts[account] & BALANCE

@external
@view
def words(accounts: DynArray[uint256, MAX_VIEW]) -> DynArray[uint256, MAX_VIEW]:
    """Account words, to compare with a store's."""
    found: DynArray[uint256, MAX_VIEW] = []
    for account: uint256 in accounts:
        found.append(self.accounts[account])
    return found

@external
@view
def debts(accounts: DynArray[uint256, MAX_VIEW]) -> DynArray[int256, MAX_VIEW]:
    """What each account owes GRID; negative: what GRID owes it."""
    found: DynArray[int256, MAX_VIEW] = []
    for account: uint256 in accounts:
        found.append(self.owed[account])
    return found

# ---------------------------------------------------------------- payments

@internal
def credit(account: uint256, amount: uint256):
    word: uint256 = self.accounts[account]
    assert amount <= BALANCE - (word & BALANCE), "ledger: balance"
    self.accounts[account] = word + amount

@internal
def recall(account: uint256, amount: uint256, interval: uint256) -> uint256:
    """Up to `amount` from money whose exit was requested too late to escape `interval`."""
    exit: Exit = self.exits[account]
    if interval > exit.last:
        return 0
    taken: uint256 = min(amount, exit.amount)
    self.exits[account].amount = exit.amount - taken
    return taken

@internal
def exchange(account: uint256, balance: uint256, amount: int256, interval: uint256) -> uint256:
    """GRID pays the account, or the account GRID if negative; what the payer lacks stays owed. Takes the
       account's balance (and debt bit) as loaded and returns what the caller has to store."""
    due: uint256 = convert(abs(amount), uint256)
    paid: uint256 = 0
    after: uint256 = balance
    if amount < 0:
        paid = min(due, balance & BALANCE)
        after -= paid
        if paid < due:
            paid += self.recall(account, due - paid, interval)
        self.credit(GRID, paid)
    else:
        word: uint256 = self.accounts[GRID]
        paid = min(due, word & BALANCE)
        self.accounts[GRID] = word - paid
        if paid < due:
            paid += self.recall(GRID, due - paid, interval)
        assert paid <= BALANCE - (balance & BALANCE), "ledger: balance"
        after += paid
    if paid < due:
        missing: int256 = convert(due - paid, int256)
        after = self._owe(account, after, missing if amount < 0 else -missing)
    return after

@internal
def _owe(account: uint256, balance: uint256, amount: int256) -> uint256:
    """Returns the balance (or account word) with the right debt bit."""
    owed: int256 = self.owed[account] + amount
    self.owed[account] = owed
    log Owed(account=account, owed=owed)
    return (balance & ~IN_DEBT) | (IN_DEBT if owed > 0 else 0)

@internal
def _collect(account: uint256):
    owed: int256 = self.owed[account]
    debtor: uint256 = account if owed > 0 else GRID
    paid: uint256 = min(convert(abs(owed), uint256), self.accounts[debtor] & BALANCE)
    if paid > 0:
        self.accounts[debtor] -= paid
        self.credit(GRID if owed > 0 else account, paid)
        amount: int256 = convert(paid, int256)
        self.accounts[account] = self._owe(account, self.accounts[account], -amount if owed > 0 else amount)

@external
def collect(account: uint256):
    """Have what is owed paid, either way, as far as the debtor's balance goes."""
    self._collect(account)
    log Collected(account=account)

# ---------------------------------------------------------------- in and out

@external
@nonreentrant
def deposit(account: uint256, amount: uint256):
    assert self.owner_of[account] != empty(address), "ledger: account"
    self.credit(account, amount)
    assert extcall TOKEN.transferFrom(msg.sender, self, amount), "ledger: token"
    log Deposited(account=account, amount=amount)

@external
def request_exit(account: uint256, amount: uint256):
    """Replaces an earlier request. The amount leaves the balance now, so that no later trade counts on
       it; until it is paid it still answers for intervals up to now + NOTICE."""
    assert msg.sender == self.owner_of[account], "ledger: owner"
    self.credit(account, self.exits[account].amount)
    self._collect(account)
    asked: uint256 = min(amount, self.accounts[account] & BALANCE)
    self.accounts[account] -= asked
    ready: uint256 = block.timestamp + EXIT_DELAY
    self.exits[account] = Exit(amount=asked, ready=ready, last=self.now() + NOTICE)
    log ExitRequested(account=account, amount=asked, ready=ready)

@external
@nonreentrant
def withdraw(account: uint256):
    """Anyone may push an owner's exit once it is ready; the money goes to the owner."""
    exit: Exit = self.exits[account]
    assert exit.ready != 0 and block.timestamp >= exit.ready, "ledger: not ready"
    self.exits[account] = empty(Exit)
    assert extcall TOKEN.transfer(self.owner_of[account], exit.amount), "ledger: token"
    log Withdrawn(account=account, amount=exit.amount)
