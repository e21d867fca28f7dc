# pragma version 0.4.3
"""
@title   registry (module of Settlement)
@license Apache-2.0
@notice  Who signs for what: roles, agents of accounts, meters, curtailments. Nothing here moves money.

         Invariants
         1. A role passes on only by its holder's will and only after ROLE_DELAY, which is longer than an exit
            takes: nobody has to stay for a holder he did not come for.
         2. In any interval one agent key signs for an account. A new one counts after the notice, and the
            change after that waits until no interval of the old key can be filled.
         3. An account's zone never changes; its capacity only grows; its meter changes after an exit's time,
            between two readings.
         4. A curtailment counts once per (account, interval) and not after that interval was read.

         Key word, from the top:    agent(160) | epoch(24) | since(24) | zone(8) | capacity(40)
         Meter word, from the top:  unused(48) | first interval of the next meter, or NEVER(24)
                                    | newest curtailed interval(24) | meter(160)
"""
import ledger
uses: ledger

OPERATOR: constant(uint256) = 0     # signs chunks
ORACLE: constant(uint256) = 1       # signs the supplier's tariffs
REGISTRAR: constant(uint256) = 2    # installs meters, signs substitutes of readings
CURTAILER: constant(uint256) = 3    # signs what the controller took away
ROLES: constant(uint256) = 4
MAX_ZONES: constant(uint256) = 32
MAX_CAPACITY: constant(uint256) = 2**39 - 1   # mWh per interval
MAX_REGISTER: constant(int256) = 2**55 - 1    # mWh
# half of the order of secp256k1; a larger s is the same signature in other clothes (EIP-2)
HALF_N: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168

ZONE_AT: constant(uint256) = 40
SINCE_AT: constant(uint256) = 48
EPOCH_AT: constant(uint256) = 72
AGENT_AT: constant(uint256) = 96
CURTAILED_AT: constant(uint256) = 160
NEXT_AT: constant(uint256) = 184
NEVER: constant(uint256) = 2**24 - 1   # an interval that does not come
BITS8: constant(uint256) = 2**8 - 1
BITS24: constant(uint256) = 2**24 - 1
BITS40: constant(uint256) = 2**40 - 1
BITS160: constant(uint256) = 2**160 - 1

struct NextMeter:
    meter: address
    offset: int256     # its register minus the old meter's when they are exchanged

struct Role:
    holder: address
    heir: address
    since: uint256     # time from which the heir holds it; 0: no heir

event AccountOpened:
    account: indexed(uint256)
    owner: indexed(address)

event KeyChanged:
    account: indexed(uint256)
    key: uint256

event MeterChanged:
    account: indexed(uint256)
    meter: address
    offset: int256
    first: uint256

event Curtailed:
    account: indexed(uint256)
    interval: indexed(uint256)
    quantity: uint256

event RoleChange:
    role: indexed(uint256)
    heir: address
    since: uint256

DOMAIN_TYPE: constant(bytes32) = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
READING_TYPE: constant(bytes32) = keccak256("Reading(uint32 account,uint24 interval,int56 register)")
CURTAILMENT_TYPE: constant(bytes32) = keccak256("Curtailment(uint32 account,uint24 interval,uint40 quantity)")

DOMAIN: public(immutable(bytes32))
FILL_WINDOW: public(immutable(uint256))   # seconds after an interval in which it may be filled
ROLE_DELAY: public(immutable(uint256))

keys: public(HashMap[uint256, uint256])
previous_keys: public(HashMap[uint256, uint256])
meters: public(HashMap[uint256, uint256])
next_meters: public(HashMap[uint256, NextMeter])
curtailed: public(HashMap[uint256, HashMap[uint256, uint256]])   # by account and interval
roles: public(HashMap[uint256, Role])
count: public(uint256)                    # of accounts

@deploy
def __init__(holders: address[ROLES], fill_window: uint256, role_delay: uint256):
    FILL_WINDOW = fill_window
    ROLE_DELAY = role_delay
    DOMAIN = keccak256(abi_encode(DOMAIN_TYPE, keccak256("Settlement"), keccak256("1"), chain.id, self))
    for role: uint256 in range(ROLES):
        self.roles[role].holder = holders[role]
    self.count = ledger.FEES + 1

# ---------------------------------------------------------------- signatures and roles

@internal
@view
def check(struct_hash: bytes32, r: uint256, vs: uint256, signer: address) -> bytes32:
    """EIP-712 with a compact signature (EIP-2098: the top bit of vs is the parity). Returns the digest."""
    digest: bytes32 = keccak256(concat(0x1901, DOMAIN, struct_hash))
    s: uint256 = vs & (2**255 - 1)
    assert s <= HALF_N and signer != empty(address), "registry: signature"
    assert ecrecover(digest, 27 + (vs >> 255), r, s) == signer, "registry: signature"
    return digest

@internal
@view
def holder(role: uint256) -> address:
    since: uint256 = self.roles[role].since
    if since != 0 and block.timestamp >= since:
        return self.roles[role].heir
    return self.roles[role].holder

@external
def rotate_role(role: uint256, heir: address):
    """Replaces an heir who is still waiting; naming oneself takes a rotation back."""
    holder: address = self.holder(role)
    assert msg.sender == holder, "registry: role"
    since: uint256 = block.timestamp + ROLE_DELAY
    self.roles[role] = Role(holder=holder, heir=heir, since=since)
    log RoleChange(role=role, heir=heir, since=since)

# ---------------------------------------------------------------- accounts and their agents

@internal
def _set_key(account: uint256, word: uint256):
    self.keys[account] = word
    log KeyChanged(account=account, key=word)

@external
def open_account(agent: address) -> uint256:
    account: uint256 = self.count
    self.count = account + 1
    ledger.owner_of[account] = msg.sender
    log AccountOpened(account=account, owner=msg.sender)
    self._set_key(account, (convert(agent, uint256) << AGENT_AT) | (1 << EPOCH_AT))
    return account

@external
def set_agent(account: uint256, agent: address):
    """The old agent's orders stay good up to now + NOTICE, so that nobody slips out of an auction; for
       the same reason the next change waits until the old agent's intervals cannot be filled any more."""
    assert msg.sender == ledger.owner_of[account] and account > ledger.FEES, "registry: owner"
    word: uint256 = self.keys[account]
    since: uint256 = (word >> SINCE_AT) & BITS24
    assert since == 0 or block.timestamp >= ledger.end(since) + FILL_WINDOW, "registry: pending"
    self.previous_keys[account] = word
    epoch: uint256 = ((word >> EPOCH_AT) & BITS24) + 1
    since = ledger.now() + 1 + ledger.NOTICE
    ledger.end(since)   # it fits its field
    site: uint256 = word & (2**SINCE_AT - 1)
    self._set_key(account, (convert(agent, uint256) << AGENT_AT) | (epoch << EPOCH_AT) | (since << SINCE_AT) | site)

@internal
@view
def signer_of(account: uint256, key: uint256, interval: uint256) -> uint256:
    """The key word whose agent and epoch count in an interval; `key` is the account's newest."""
    if interval < (key >> SINCE_AT) & BITS24:
        return self.previous_keys[account]
    return key

# ---------------------------------------------------------------- meters and curtailments

@external
def install(account: uint256, meter: address, register: int256, zone: uint256, capacity: uint256):
    """Once. An account is a connection: its zone never changes, and who moves opens another one."""
    assert msg.sender == self.holder(REGISTRAR), "registry: role"
    assert account > ledger.FEES and account < self.count and self.meters[account] == 0, "registry: account"
    assert meter != empty(address), "registry: meter"
    assert register >= -MAX_REGISTER and register <= MAX_REGISTER, "registry: register"
    assert zone < MAX_ZONES and capacity <= MAX_CAPACITY, "registry: site"
    self.meters[account] = convert(meter, uint256) | (NEVER << NEXT_AT)
    self._set_key(account, self.keys[account] | (zone << ZONE_AT) | capacity)
    a: ledger.Account = ledger.load(account)
    a.read = ledger.now()
    ledger.end(a.read)
    a.register = register
    ledger.store(account, a)
    log MeterChanged(account=account, meter=meter, offset=register, first=a.read + 1)

@external
def raise_capacity(account: uint256, capacity: uint256):
    """Never lowered: that would stop an account's readings and trades."""
    assert msg.sender == self.holder(REGISTRAR), "registry: role"
    word: uint256 = self.keys[account]
    assert self.meters[account] != 0, "registry: account"
    assert capacity > word & BITS40 and capacity <= MAX_CAPACITY, "registry: site"
    self._set_key(account, (word & ~BITS40) | capacity)

@external
def replace_meter(account: uint256, meter: address, offset: int256):
    """Counts after EXIT_DELAY: who does not trust the new meter can be gone by then."""
    assert msg.sender == self.holder(REGISTRAR), "registry: role"
    word: uint256 = self.meters[account]
    assert word != 0, "registry: account"
    assert meter != empty(address), "registry: meter"
    assert offset >= -MAX_REGISTER and offset <= MAX_REGISTER, "registry: register"
    # one that is due awaits its first reading
    assert word >> NEXT_AT > ledger.now(), "registry: pending"
    first: uint256 = ledger.now() + 1 + ledger.EXIT_DELAY // ledger.LENGTH
    ledger.end(first)
    self.meters[account] = (word & (2**NEXT_AT - 1)) | (first << NEXT_AT)
    self.next_meters[account] = NextMeter(meter=meter, offset=offset)
    log MeterChanged(account=account, meter=meter, offset=offset, first=first)

@external
@view
def verify_reading(account: uint256, interval: uint256, register: int256, r: uint256, vs: uint256) -> address:
    """For other contracts: the account's meter of that interval; reverts unless it signed this register."""
    assert register >= -MAX_REGISTER and register <= MAX_REGISTER, "registry: register"
    word: uint256 = self.meters[account]
    meter: address = convert(word & BITS160, address)
    if interval >= word >> NEXT_AT:
        meter = self.next_meters[account].meter
    self.check(keccak256(abi_encode(READING_TYPE, account, interval, register)), r, vs, meter)
    return meter

@external
def curtail(account: uint256, interval: uint256, quantity: uint256, r: uint256, vs: uint256):
    """GRID forgives up to `quantity` of a shortfall: once per interval, before it is read."""
    self.check(keccak256(abi_encode(CURTAILMENT_TYPE, account, interval, quantity)), r, vs, self.holder(CURTAILER))
    word: uint256 = self.meters[account]
    assert word != 0, "registry: account"
    assert quantity > 0 and quantity <= MAX_CAPACITY, "registry: quantity"
    ledger.end(interval)
    assert interval <= ledger.now() + ledger.NOTICE, "registry: notice"
    assert self.curtailed[account][interval] == 0, "registry: curtailed"
    assert interval > ledger.load(account).read, "registry: read"
    self.curtailed[account][interval] = quantity
    if interval > (word >> CURTAILED_AT) & BITS24:
        self.meters[account] = (word & ~(BITS24 << CURTAILED_AT)) | (interval << CURTAILED_AT)
    log Curtailed(account=account, interval=interval, quantity=quantity)
