# pragma version 0.4.3
# pragma evm-version prague
"""
@title   Settlement
@license Apache-2.0
@notice  Fills of signed orders and metered imbalance of a local energy market.
         Energy is net export in mWh, prices are micro-credit per kWh and may be negative, money is
         pico-credit, so money = energy * price exactly, without division.

         Invariants (ledger.vy and registry.vy list theirs)
         1. A balance moves only by a fill its agent signed, a reading, a collection or its owner's exit.
            There is no admin, no pause, no upgrade: a new version is a new contract to which members move.
         2. A fill keeps the order's limit with the fee, its quantity and its validity; a lane of an account
            is filled by one order per interval. The parts of one order's fill may lie in any number of chunks
            of a round as long as no other order of the same side lies between them.
         3. In a round of an interval every zone has one price. Rounds only go forward, at most MAX_ROUNDS an
            interval. No price and no tariff leaves +-PRICE_CAP.
         4. In a chunk energy sums to zero; what buyers pay is what sellers receive, the fee (to FEES) and
            the network's rent >= 0 (to GRID). Chunks come in exact sequence, signed by the operator, between
            the interval's end and the end of its fill window.
         5. Nobody's position leaves what its connection carries in an interval, and no reading moves the
            register by more: that bounds the cost of a false one.
         6. Readings of an account are consecutive. imbalance = register - last register - position, at the
            zone's tariff of that interval; a tariff table is published once, signed by the oracle.
         7. Nobody trades in debt, nor more than MAX_UNREAD intervals ahead of its readings.
         8. Whatever changes an account says so in an event, so it can be followed whoever calls; a chunk's
            event says which chunk it was.

         Round word, from the top:  interval(24) | round(8) | hash of its prices(224)
         Carry word, from the top:  hash of the sell, or buy, filled last(208) | how much of it is filled(48)
"""
import ledger
import registry
initializes: ledger
initializes: registry[ledger := ledger]
exports: (ledger.__interface__, registry.__interface__)

MAX_FILLS: constant(uint256) = 128
MAX_ROUNDS: constant(uint256) = 4
MAX_LANES: constant(uint256) = 32
MAX_UNREAD: constant(uint256) = 480   # intervals an account may trade ahead of its readings
MIN_LENGTH: constant(uint256) = 300   # seconds; with these, 24 bits number the intervals until 2129
MAX_DELAY: constant(uint256) = 366 * 86400
MAX_PRICE: constant(uint256) = 2**38 - 1   # times MAX_CAPACITY it still fits a balance

ROUND_AT: constant(uint256) = 224
INTERVAL_AT: constant(uint256) = 232
HASH_AT: constant(uint256) = 48
CARRIED: constant(uint256) = 2**48 - 1

struct Order:
    account: uint256
    epoch: uint256       # number of the agent that signs
    buy: bool
    lane: uint256        # one order per lane and interval is filled
    first: uint256       # interval
    last: uint256
    quantity: uint256    # mWh per interval
    limit: int256        # micro-credit per kWh with the fee

struct Fill:
    order: Order
    quantity: uint256    # mWh
    r: uint256
    vs: uint256

struct Reading:
    account: uint256
    register: int256     # mWh, cumulative net export
    substitute: bool     # estimated and signed by the registrar instead of the meter
    r: uint256
    vs: uint256

struct Tariff:           # of a zone, micro-credit per kWh
    short: int256        # paid for what is missing
    long: int256         # received for what is too much

event ChunkSettled:
    seq: indexed(uint256)
    interval: indexed(uint256)
    round: uint256
    volume: int256
    fee: int256
    rent: int256

event TariffsPublished:
    interval: indexed(uint256)
    tariffs: DynArray[Tariff, registry.MAX_ZONES]

event ReadingsBroughtIn:   # outside a chunk: whoever calls through a contract leaves no calldata to follow
    interval: indexed(uint256)
    readings: DynArray[Reading, MAX_FILLS]

event Substituted:
    account: indexed(uint256)
    interval: indexed(uint256)
    register: int256

ORDER_TYPE: constant(bytes32) = keccak256("Order(uint32 account,uint24 epoch,bool buy,uint8 lane,uint24 first,uint24 last,uint40 quantity,int64 limit)")
CHUNK_TYPE: constant(bytes32) = keccak256("Chunk(uint64 seq,uint256 round,bytes32 done)")
SUBSTITUTE_TYPE: constant(bytes32) = keccak256("Substitute(uint32 account,uint24 interval,int56 register)")
TARIFFS_TYPE: constant(bytes32) = keccak256("Tariffs(uint24 interval,bytes32 table)")

FEE: public(immutable(int256))         # micro-credit per kWh, each side
PRICE_CAP: public(immutable(int256))   # bound of every price and tariff, either sign

next_seq: public(uint256)
round: public(uint256)
carries: public(uint256[2])   # of sells and of buys
tariffs_of: public(HashMap[uint256, bytes32])
parked: public(HashMap[uint256, HashMap[uint256, int256]])   # positions older than the account word's, unread

@deploy
def __init__(token: address, grid: address, fees: address, holders: address[registry.ROLES], length: uint256,
             notice: uint256, fill_window: uint256, exit_delay: uint256, role_delay: uint256, fee: uint256,
             price_cap: uint256):
    assert length >= MIN_LENGTH and length <= MAX_DELAY, "settlement: length"
    assert role_delay <= MAX_DELAY and role_delay > exit_delay, "settlement: role delay"
    assert fill_window >= length and 2 * fill_window < MAX_UNREAD * length, "settlement: fill window"
    # what an exit answers for is filled and read, if need be by a substitute, before it is paid
    assert notice <= MAX_DELAY and exit_delay > (notice + 2) * length + 2 * fill_window, "settlement: exit delay"
    assert fee <= price_cap and price_cap <= MAX_PRICE, "settlement: price cap"
    ledger.__init__(token, grid, fees, length, notice, exit_delay)
    registry.__init__(holders, fill_window, role_delay)
    FEE = convert(fee, int256)
    PRICE_CAP = convert(price_cap, int256)

# ---------------------------------------------------------------- fills

@external
def settle(r: uint256, vs: uint256, seq: uint256, interval: uint256, round: uint256,
           prices: DynArray[int256, registry.MAX_ZONES], fills: DynArray[Fill, MAX_FILLS],
           tariffs: DynArray[Tariff, registry.MAX_ZONES], readings: DynArray[Reading, MAX_FILLS]):
    """A chunk of an auction's result, and readings of its interval. The operator's signature is the
       authority; anyone may carry it in."""
    assert seq == self.next_seq, "settlement: sequence"
    self.next_seq = seq + 1
    end: uint256 = ledger.end(interval)
    assert block.timestamp >= end, "settlement: early"
    assert block.timestamp < end + registry.FILL_WINDOW, "settlement: late"
    sells: uint256 = 0               # carry words
    buys: uint256 = 0
    if self._enter(interval, round, prices):
        sells = self.carries[0]
        buys = self.carries[1]

    done: bytes32 = empty(bytes32)   # hash chain of all that the chunk does
    energy: int256 = 0               # sold - bought
    volume: int256 = 0               # sold + bought
    income: int256 = 0               # of all accounts together
    for f: Fill in fills:
        key: uint256 = registry.keys[f.order.account]
        zone: uint256 = (key >> registry.ZONE_AT) & registry.BITS8
        assert zone < len(prices), "settlement: zone"
        sold: int256 = 0
        received: int256 = 0
        carry: uint256 = 0
        if f.order.buy:
            sold, received, buys = self._fill(f, key, interval, prices[zone], buys)
            carry = buys
        else:
            sold, received, sells = self._fill(f, key, interval, prices[zone], sells)
            carry = sells
        done = keccak256(abi_encode(done, carry, sold))
        energy += sold
        volume += abs(sold)
        income += received
    self.carries = [sells, buys]

    fee: int256 = volume * FEE
    rent: int256 = -income - fee     # of the network, where zones have different prices
    assert energy == 0, "settlement: energy"
    assert rent >= 0, "settlement: rent"
    ledger.credit(ledger.FEES, convert(fee, uint256))
    ledger.credit(ledger.GRID, convert(rent, uint256))

    if len(readings) > 0:
        self._check_tariffs(interval, tariffs)
        for x: Reading in readings:
            key: uint256 = registry.keys[x.account]
            zone: uint256 = (key >> registry.ZONE_AT) & registry.BITS8
            assert zone < len(tariffs), "settlement: zone"
            self._read(x, interval, key & registry.BITS40, tariffs[zone])
            done = keccak256(abi_encode(done, x.account, x.register))

    # last, because what is signed is what was done; `self.round` holds interval, round and prices
    registry.check(keccak256(abi_encode(CHUNK_TYPE, seq, self.round, done)), r, vs, registry.holder(registry.OPERATOR))
    log ChunkSettled(seq=seq, interval=interval, round=round, volume=volume, fee=fee, rent=rent)

@internal
def _enter(interval: uint256, round: uint256, prices: DynArray[int256, registry.MAX_ZONES]) -> bool:
    """Rounds only go forward, and all chunks of a round have the same prices. Returns whether it goes on."""
    assert round < MAX_ROUNDS, "settlement: round"   # or a high round would pass for a later interval
    mark: uint256 = (interval << 8) | round
    word: uint256 = (mark << ROUND_AT) | (convert(keccak256(abi_encode(prices)), uint256) >> 32)
    if word == self.round:
        return True
    assert mark > self.round >> ROUND_AT, "settlement: round"
    for price: int256 in prices:
        assert price >= -PRICE_CAP and price <= PRICE_CAP, "settlement: price"
    self.round = word
    return False

@internal
def _fill(f: Fill, key: uint256, interval: uint256, price: int256, carry: uint256) -> (int256, int256, uint256):
    """Returns energy sold, money received (both negative for a buyer) and its side's new carry word."""
    order: Order = f.order
    signer: uint256 = registry.signer_of(order.account, key, interval)
    assert order.epoch == (signer >> registry.EPOCH_AT) & registry.BITS24, "settlement: epoch"
    digest: bytes32 = registry.check(keccak256(abi_encode(ORDER_TYPE, order)), f.r, f.vs,
        convert(signer >> registry.AGENT_AT, address))
    assert order.first <= interval and interval <= order.last, "settlement: validity"

    a: ledger.Account = ledger.load(order.account)
    assert a.balance < ledger.IN_DEBT, "settlement: in debt"
    assert interval > a.read, "settlement: read"
    assert interval - a.read <= MAX_UNREAD, "settlement: unread"
    if a.filled != interval:   # then it is older, as rounds only go forward
        if a.position != 0:
            self.parked[order.account][a.filled] = a.position
        a.filled = interval
        a.position = 0
        a.lanes = 0

    # A fill may go on with the order filled before it on its side, also in the next chunk, so that a result
    # can be cut anywhere. The parts count as one fill: one lane, and in one round, at one price.
    assert f.quantity > 0, "settlement: quantity"
    tag: uint256 = convert(digest, uint256) >> HASH_AT
    filled: uint256 = f.quantity
    if tag == carry >> HASH_AT:
        filled += carry & CARRIED
    else:
        assert order.lane < MAX_LANES and (a.lanes >> order.lane) & 1 == 0, "settlement: lane"
        a.lanes |= 1 << order.lane
    assert filled <= order.quantity and filled <= CARRIED, "settlement: quantity"

    sold: int256 = convert(f.quantity, int256)
    all_in: int256 = price - FEE
    if order.buy:
        sold = -sold
        all_in = price + FEE
        assert all_in <= order.limit, "settlement: limit"
    else:
        assert all_in >= order.limit, "settlement: limit"
    a.position += sold
    assert convert(abs(a.position), uint256) <= key & registry.BITS40, "settlement: capacity"

    received: int256 = sold * all_in
    balance: int256 = convert(a.balance, int256) + received
    if balance < 0:
        balance += convert(ledger.recall(order.account, convert(-balance, uint256), interval), int256)
    assert balance >= 0, "settlement: funds"
    a.balance = convert(balance, uint256)
    assert a.balance <= ledger.BALANCE, "settlement: balance"
    ledger.store(order.account, a)
    return sold, received, (tag << HASH_AT) | filled

# ---------------------------------------------------------------- readings

@external
def publish_tariffs(interval: uint256, tariffs: DynArray[Tariff, registry.MAX_ZONES], r: uint256, vs: uint256):
    """Once per interval, so that the oracle cannot tell two stories."""
    table: bytes32 = keccak256(abi_encode(tariffs))
    registry.check(keccak256(abi_encode(TARIFFS_TYPE, interval, table)), r, vs, registry.holder(registry.ORACLE))
    assert self.tariffs_of[interval] == empty(bytes32), "settlement: published"
    for t: Tariff in tariffs:
        assert t.long >= -PRICE_CAP and t.long <= t.short and t.short <= PRICE_CAP, "settlement: tariff"
    self.tariffs_of[interval] = table
    log TariffsPublished(interval=interval, tariffs=tariffs)

@external
def read(interval: uint256, tariffs: DynArray[Tariff, registry.MAX_ZONES], readings: DynArray[Reading, MAX_FILLS]):
    """Anyone, once the interval cannot be filled any more."""
    passed: bool = interval < self.round >> INTERVAL_AT
    assert passed or block.timestamp >= ledger.end(interval) + registry.FILL_WINDOW, "settlement: fills first"
    self._check_tariffs(interval, tariffs)
    for x: Reading in readings:
        key: uint256 = registry.keys[x.account]
        zone: uint256 = (key >> registry.ZONE_AT) & registry.BITS8
        assert zone < len(tariffs), "settlement: zone"
        self._read(x, interval, key & registry.BITS40, tariffs[zone])
    log ReadingsBroughtIn(interval=interval, readings=readings)

@internal
@view
def _check_tariffs(interval: uint256, tariffs: DynArray[Tariff, registry.MAX_ZONES]):
    assert keccak256(abi_encode(tariffs)) == self.tariffs_of[interval], "settlement: tariffs"

@internal
def _read(x: Reading, interval: uint256, capacity: uint256, tariff: Tariff):
    a: ledger.Account = ledger.load(x.account)
    assert interval == a.read + 1, "settlement: order of readings"
    word: uint256 = registry.meters[x.account]
    if interval >= word >> registry.NEXT_AT:
        next: registry.NextMeter = registry.next_meters[x.account]
        curtailed: uint256 = word & (registry.BITS24 << registry.CURTAILED_AT)
        word = (registry.NEVER << registry.NEXT_AT) | curtailed | convert(next.meter, uint256)
        registry.meters[x.account] = word
        a.register += next.offset
    if x.substitute:
        assert block.timestamp >= ledger.end(interval) + 2 * registry.FILL_WINDOW, "settlement: substitute"
        registry.check(keccak256(abi_encode(SUBSTITUTE_TYPE, x.account, interval, x.register)), x.r, x.vs,
            registry.holder(registry.REGISTRAR))
        log Substituted(account=x.account, interval=interval, register=x.register)
    else:
        registry.check(keccak256(abi_encode(registry.READING_TYPE, x.account, interval, x.register)), x.r, x.vs,
            convert(word & registry.BITS160, address))

    # what the connection can carry bounds the cost of a false reading; what it cuts off the next one holds
    assert x.register >= -registry.MAX_REGISTER and x.register <= registry.MAX_REGISTER, "settlement: register"
    imbalance: int256 = x.register - a.register
    assert convert(abs(imbalance), uint256) <= capacity, "settlement: register"
    if interval < a.filled:
        imbalance -= self.parked[x.account][interval]
        self.parked[x.account][interval] = 0
    else:
        imbalance -= a.position
        a.position = 0
    if imbalance < 0 and tariff.short > 0 and interval <= (word >> registry.CURTAILED_AT) & registry.BITS24:
        imbalance = min(imbalance + convert(registry.curtailed[x.account][interval], int256), 0)
    a.register = x.register
    a.read = interval
    price: int256 = tariff.short if imbalance < 0 else tariff.long
    a.balance = ledger.exchange(x.account, a.balance, imbalance * price, interval)
    ledger.store(x.account, a)
