# pragma version 0.4.3
# pragma evm-version prague
"""
@title   RevenueSplit
@license Apache-2.0
@notice  Splits what a buyer pays for a flexibility event by metered contribution. The buyer opens an
         event before it starts, with its money and the Merkle root of all baselines. Afterwards anyone
         records contributions signed by meters, and anyone pays them out, exactly.

         Invariants
         1. An event's baselines and revenue are fixed, and the revenue is here, before its first interval.
         2. A contribution is what one meter signed: its register after less its register before the event,
            less the baseline, greater than zero, once per account.
         3. A share is cut between two rounded points of the revenue, so the shares sum to it exactly,
            whoever is paid first, and each is within one pico-credit of its due.
         4. Nobody delivered: the buyer, and only the buyer, has its money back.
         5. Recording ends RECORD_FOR after the event and only then paying begins: a share never changes.
"""
from ethereum.ercs import IERC20

interface ISettlement:
    def deposit(account: uint256, amount: uint256): nonpayable
    def verify_reading(account: uint256, interval: uint256, register: int256, r: uint256, vs: uint256) -> address: view
    def TOKEN() -> address: view
    def LENGTH() -> uint256: view

MAX_DEPTH: constant(uint256) = 20   # a million baselines
MAX_PAID: constant(uint256) = 128   # accounts in one call
MAX_REVENUE: constant(uint256) = 2**79 - 1
MAX_ENERGY: constant(uint256) = 2**63 - 1   # mWh
MAX_INTERVAL: constant(uint256) = 2**24 - 1
MIN_RECORD_FOR: constant(uint256) = 3600    # seconds: whoever watches can still bring in its readings
MAX_RECORD_FOR: constant(uint256) = 366 * 86400

struct Flex:
    root: bytes32        # of leaves keccak256(keccak256(account, baseline)), pairs sorted
    buyer: address
    first: uint256       # intervals
    last: uint256
    revenue: uint256     # pico-credit; 0 when there is no such event
    total: uint256       # mWh, of contributions so far

struct Share:            # of the range 0 .. total, in the order of recording
    start: uint256
    size: uint256

struct Register:         # as the meter signed it
    value: int256
    r: uint256
    vs: uint256

event Opened:
    id: indexed(uint256)
    details: Flex

event Recorded:
    id: indexed(uint256)
    account: indexed(uint256)
    contribution: uint256

event Paid:
    id: indexed(uint256)
    account: indexed(uint256)
    amount: uint256

event Refunded:
    id: indexed(uint256)
    amount: uint256

SETTLEMENT: public(immutable(ISettlement))
TOKEN: public(immutable(IERC20))
LENGTH: public(immutable(uint256))
RECORD_FOR: public(immutable(uint256))   # seconds after the event in which contributions are recorded

count: public(uint256)
events: public(HashMap[uint256, Flex])
shares: public(HashMap[uint256, HashMap[uint256, Share]])

@deploy
def __init__(settlement: address, record_for: uint256):
    assert record_for >= MIN_RECORD_FOR and record_for <= MAX_RECORD_FOR, "split: record for"
    SETTLEMENT = ISettlement(settlement)
    TOKEN = IERC20(staticcall SETTLEMENT.TOKEN())
    LENGTH = staticcall SETTLEMENT.LENGTH()
    RECORD_FOR = record_for
    assert extcall TOKEN.approve(settlement, max_value(uint256)), "split: token"

@external
def open(root: bytes32, first: uint256, last: uint256, revenue: uint256) -> uint256:
    assert first > block.timestamp // LENGTH and last >= first and last <= MAX_INTERVAL, "split: interval"
    assert revenue > 0 and revenue <= MAX_REVENUE, "split: revenue"
    id: uint256 = self.count
    self.count = id + 1
    e: Flex = Flex(root=root, buyer=msg.sender, first=first, last=last, revenue=revenue, total=0)
    self.events[id] = e
    assert extcall TOKEN.transferFrom(msg.sender, self, revenue), "split: token"
    log Opened(id=id, details=e)
    return id

@internal
@view
def _closed(e: Flex) -> bool:
    """Recording is over and paying begins."""
    assert e.revenue > 0, "split: event"
    return block.timestamp >= (e.last + 1) * LENGTH + RECORD_FOR

@external
def record(id: uint256, account: uint256, baseline: int256, proof: DynArray[bytes32, MAX_DEPTH], before: Register, after: Register):
    """Contribution: net export metered from the end of the interval before the event to its end, less the baseline."""
    e: Flex = self.events[id]
    assert not self._closed(e) and block.timestamp >= (e.last + 1) * LENGTH, "split: time"
    assert self.shares[id][account].size == 0, "split: recorded"
    assert baseline >= -convert(MAX_ENERGY, int256) and baseline <= convert(MAX_ENERGY, int256), "split: baseline"
    node: bytes32 = keccak256(keccak256(abi_encode(account, baseline)))
    for other: bytes32 in proof:
        is_left: bool = convert(node, uint256) < convert(other, uint256)
        node = keccak256(concat(node, other)) if is_left else keccak256(concat(other, node))
    assert node == e.root, "split: baseline"
    meter: address = staticcall SETTLEMENT.verify_reading(account, e.first - 1, before.value, before.r, before.vs)
    meter_after: address = staticcall SETTLEMENT.verify_reading(account, e.last, after.value, after.r, after.vs)
    assert meter == meter_after, "split: meter"   # registers of two meters have nothing to do with each other
    contribution: int256 = after.value - before.value - baseline
    assert contribution > 0, "split: undelivered"
    size: uint256 = convert(contribution, uint256)
    self.shares[id][account] = Share(start=e.total, size=size)
    self.events[id].total = e.total + size
    log Recorded(id=id, account=account, contribution=size)

@external
def pay(id: uint256, accounts: DynArray[uint256, MAX_PAID]):
    """Into the accounts of Settlement, by anyone, in any order."""
    e: Flex = self.events[id]
    assert self._closed(e), "split: time"
    for account: uint256 in accounts:
        s: Share = self.shares[id][account]
        assert s.size > 0, "split: share"
        self.shares[id][account] = empty(Share)
        amount: uint256 = e.revenue * (s.start + s.size) // e.total - e.revenue * s.start // e.total
        extcall SETTLEMENT.deposit(account, amount)
        log Paid(id=id, account=account, amount=amount)

@external
def refund(id: uint256):
    """Nobody delivered: the buyer has its money back."""
    e: Flex = self.events[id]
    assert self._closed(e), "split: time"
    assert e.total == 0, "split: delivered"
    self.events[id].revenue = 0
    assert extcall TOKEN.transfer(e.buyer, e.revenue), "split: token"
    log Refunded(id=id, amount=e.revenue)
