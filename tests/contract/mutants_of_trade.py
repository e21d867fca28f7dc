"""Faults in chunks, fills and readings."""

from tests.contract.mutants import Mutant, without

MUTANTS = [
    # ------------------------------------------------------------ chunks and rounds
    without(
        "the sequence is not checked", "Settlement", 'assert seq == self.next_seq, "settlement: sequence"'
    ),
    Mutant(
        "an interval is filled early", "Settlement", "block.timestamp >= end,", "block.timestamp + 1 >= end,"
    ),
    Mutant(
        "a fill window is a second longer",
        "Settlement",
        "block.timestamp < end + registry.FILL_WINDOW",
        "block.timestamp <= end + registry.FILL_WINDOW",
    ),
    Mutant("there is a fifth round", "Settlement", "round < MAX_ROUNDS", "round <= MAX_ROUNDS"),
    Mutant(
        "rounds go back",
        "Settlement",
        "assert mark > self.round >> ROUND_AT",
        "assert mark != self.round >> ROUND_AT",
    ),
    Mutant(
        "prices change inside a round",
        "Settlement",
        "mark > self.round >> ROUND_AT",
        "mark >= self.round >> ROUND_AT",
    ),
    Mutant(
        "a price may be above the cap",
        "Settlement",
        "price >= -PRICE_CAP and price <= PRICE_CAP",
        "price >= -PRICE_CAP",
    ),
    without("energy need not balance", "Settlement", 'assert energy == 0, "settlement: energy"'),
    without("rent may be negative", "Settlement", 'assert rent >= 0, "settlement: rent"'),
    Mutant(
        "the fee is charged on one side only", "Settlement", "volume += abs(sold)", "volume += max(sold, 0)"
    ),
    Mutant(
        "the rent goes to the operator",
        "Settlement",
        "ledger.credit(ledger.GRID, convert(rent, uint256))",
        "ledger.credit(ledger.FEES, convert(rent, uint256))",
    ),
    Mutant(
        "anybody signs a chunk",
        "Settlement",
        "r, vs, registry.holder(registry.OPERATOR))",
        "r, vs, ecrecover(keccak256(concat(0x1901, registry.DOMAIN, keccak256(abi_encode(CHUNK_TYPE, seq, self.round,"
        " done)))), 27 + (vs >> 255), r, vs & (2**255 - 1)))",
    ),
    # ------------------------------------------------------------ fills
    without(
        "the epoch is not checked",
        "Settlement",
        'assert order.epoch == (signer >> registry.EPOCH_AT) & registry.BITS24, "settlement: epoch"',
    ),
    Mutant(
        "an order is good an interval longer",
        "Settlement",
        "interval <= order.last",
        "interval <= order.last + 1",
    ),
    without("debtors trade", "Settlement", 'assert a.balance < ledger.IN_DEBT, "settlement: in debt"'),
    Mutant(
        "a read interval is filled", "Settlement", "assert interval > a.read,", "assert interval >= a.read,"
    ),
    without(
        "older positions are not parked", "Settlement", "self.parked[order.account][a.filled] = a.position"
    ),
    without("lanes of an older interval stay used", "Settlement", "a.lanes = 0"),
    Mutant("a continued order is counted anew", "Settlement", "filled += carry & CARRIED", "filled += 0"),
    without("a lane is not marked as used", "Settlement", "a.lanes |= 1 << order.lane"),
    Mutant(
        "an order is overfilled by one",
        "Settlement",
        "filled <= order.quantity and",
        "filled <= order.quantity + 1 and",
    ),
    Mutant(
        "carries of both sides are exchanged",
        "Settlement",
        "self.carries = [sells, buys]",
        "self.carries = [buys, sells]",
    ),
    Mutant(
        "a buyer's limit is without the fee",
        "Settlement",
        "assert all_in <= order.limit",
        "assert price <= order.limit",
    ),
    Mutant(
        "a seller receives the fee",
        "Settlement",
        "all_in: int256 = price - FEE",
        "all_in: int256 = price + FEE",
    ),
    Mutant(
        "a position may be one above the capacity",
        "Settlement",
        "convert(abs(a.position), uint256) <= key & registry.BITS40",
        "convert(abs(a.position), uint256) <= (key & registry.BITS40) + 1",
    ),
    Mutant(
        "an exit pays any interval's fills",
        "ledger",
        "if interval > exit.last:",
        "if interval > exit.last + 1000:",
    ),
    # ------------------------------------------------------------ readings
    without(
        "readings are not consecutive",
        "Settlement",
        'assert interval == a.read + 1, "settlement: order of readings"',
    ),
    Mutant(
        "anyone reads before the fills",
        "Settlement",
        "passed or block.timestamp >= ledger.end(interval) + registry.FILL_WINDOW",
        "passed or block.timestamp >= ledger.end(interval)",
    ),
    Mutant(
        "a substitute comes after one window",
        "Settlement",
        "ledger.end(interval) + 2 * registry.FILL_WINDOW",
        "ledger.end(interval) + registry.FILL_WINDOW",
    ),
    Mutant(
        "the operator signs substitutes",
        "Settlement",
        "registry.holder(registry.REGISTRAR))",
        "registry.holder(registry.OPERATOR))",
    ),
    Mutant(
        "a register may jump one further",
        "Settlement",
        "convert(abs(imbalance), uint256) <= capacity",
        "convert(abs(imbalance), uint256) <= capacity + 1",
    ),
    Mutant(
        "a parked position is not used",
        "Settlement",
        "imbalance -= self.parked[x.account][interval]",
        "imbalance -= 0",
    ),
    without("a parked position stays", "Settlement", "self.parked[x.account][interval] = 0"),
    Mutant(
        "a position stays after its reading",
        "Settlement",
        "a.position = 0\n    if imbalance < 0",
        "pass\n    if imbalance < 0",
    ),
    Mutant(
        "an imbalance has the wrong sign of position",
        "Settlement",
        "imbalance -= a.position",
        "imbalance += a.position",
    ),
    Mutant(
        "a curtailment forgives too much",
        "Settlement",
        "min(imbalance + convert(registry.curtailed[x.account][interval], int256), 0)",
        "imbalance + convert(registry.curtailed[x.account][interval], int256)",
    ),
    Mutant(
        "a shortfall that earns is forgiven",
        "Settlement",
        "imbalance < 0 and tariff.short > 0 and",
        "imbalance < 0 and",
    ),
    Mutant(
        "short and long are exchanged",
        "Settlement",
        "tariff.short if imbalance < 0 else tariff.long",
        "tariff.long if imbalance < 0 else tariff.short",
    ),
    Mutant(
        "a tariff is published twice",
        "Settlement",
        'assert self.tariffs_of[interval] == empty(bytes32), "settlement: published"',
        "pass",
    ),
    Mutant("a tariff pays more than it costs", "Settlement", "t.long <= t.short and", ""),
    Mutant(
        "readings are brought in without a word",
        "Settlement",
        "log ReadingsBroughtIn(interval=interval, readings=readings)",
        "pass",
        is_left_to_scenes=True,
    ),
]
