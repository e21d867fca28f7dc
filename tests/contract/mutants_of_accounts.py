"""Faults in meters, roles, agents, money and flexibility."""

from tests.contract.mutants import Mutant, without

MUTANTS = [
    # ------------------------------------------------------------ exchange of meters
    Mutant(
        "a meter is exchanged at once",
        "registry",
        "first: uint256 = ledger.now() + 1 + ledger.EXIT_DELAY // ledger.LENGTH",
        "first: uint256 = ledger.now() + 1",
    ),
    Mutant(
        "a meter is exchanged an interval early",
        "registry",
        "ledger.now() + 1 + ledger.EXIT_DELAY // ledger.LENGTH",
        "ledger.now() + ledger.EXIT_DELAY // ledger.LENGTH",
    ),
    without("an exchanged meter's offset is forgotten", "Settlement", "a.register += next.offset"),
    Mutant(
        "an exchange is for ever pending",
        "Settlement",
        "word = (registry.NEVER << registry.NEXT_AT) | curtailed",
        "word = (word & (registry.BITS24 << registry.NEXT_AT)) | curtailed",
    ),
    Mutant(
        "an exchange forgets curtailments",
        "Settlement",
        "(registry.NEVER << registry.NEXT_AT) | curtailed | convert",
        "(registry.NEVER << registry.NEXT_AT) | convert",
    ),
    Mutant(
        "the old meter still reads after its exchange",
        "Settlement",
        "curtailed | convert(next.meter, uint256)",
        "curtailed | (word & registry.BITS160)",
    ),
    without(
        "a due exchange is overwritten",
        "registry",
        'assert word >> NEXT_AT > ledger.now(), "registry: pending"',
    ),
    Mutant(
        "a scheduled exchange forgets curtailments",
        "registry",
        "(word & (2**NEXT_AT - 1)) | (first << NEXT_AT)",
        "(word & BITS160) | (first << NEXT_AT)",
    ),
    Mutant(
        "other contracts ask the old meter",
        "registry",
        "meter = self.next_meters[account].meter",
        "pass",
        is_left_to_scenes=True,
    ),
    # ------------------------------------------------------------ roles, agents, curtailments
    Mutant("a role passes on at once", "registry", "block.timestamp + ROLE_DELAY", "block.timestamp + 1"),
    Mutant(
        "a role passes on a second late", "registry", "block.timestamp >= since:", "block.timestamp > since:"
    ),
    Mutant(
        "an heir may be named by anyone", "registry", 'assert msg.sender == holder, "registry: role"', "pass"
    ),
    Mutant(
        "an agent counts at once",
        "registry",
        "since = ledger.now() + 1 + ledger.NOTICE",
        "since = ledger.now() + 1",
    ),
    Mutant(
        "an agent changes while the last change is pending",
        "registry",
        "block.timestamp >= ledger.end(since) + FILL_WINDOW",
        "block.timestamp >= ledger.end(since)",
    ),
    without("the old agent is forgotten", "registry", "self.previous_keys[account] = word"),
    Mutant(
        "an agent's change loses the site",
        "registry",
        "| (since << SINCE_AT) | site)",
        "| (since << SINCE_AT) | (site & BITS40))",
    ),
    Mutant("a capacity is lowered", "registry", "capacity > word & BITS40 and", ""),
    without(
        "a curtailment is replayed",
        "registry",
        'assert self.curtailed[account][interval] == 0, "registry: curtailed"',
    ),
    without(
        "a read interval is curtailed",
        "registry",
        'assert interval > ledger.load(account).read, "registry: read"',
    ),
    Mutant(
        "a curtailment is far ahead",
        "registry",
        "interval <= ledger.now() + ledger.NOTICE",
        "interval <= ledger.now() + ledger.NOTICE + 1",
    ),
    Mutant(
        "the newest curtailment is the last one told",
        "registry",
        "if interval > (word >> CURTAILED_AT) & BITS24:",
        "if True:",
    ),
    # ------------------------------------------------------------ money
    without(
        "who owes stays out of debt",
        "ledger",
        "after = self._owe(account, after, missing if amount < 0 else -missing)",
    ),
    Mutant(
        "the debt bit stays",
        "ledger",
        "(balance & ~IN_DEBT) | (IN_DEBT if owed > 0 else 0)",
        "balance | (IN_DEBT if owed > 0 else 0)",
    ),
    Mutant(
        "an exit answers an interval less",
        "ledger",
        "last=self.now() + NOTICE",
        "last=self.now() + NOTICE - 1",
    ),
    Mutant(
        "an exit is ready early",
        "ledger",
        "ready: uint256 = block.timestamp + EXIT_DELAY",
        "ready: uint256 = block.timestamp",
    ),
    without("an exit is paid twice", "ledger", "self.exits[account] = empty(Exit)"),
    Mutant("an earlier exit is lost", "ledger", "self.credit(account, self.exits[account].amount)", "pass"),
    Mutant(
        "an exit forgets what is owed",
        "ledger",
        "self.credit(account, self.exits[account].amount)\n    self._collect(account)",
        "self.credit(account, self.exits[account].amount)",
    ),
    Mutant(
        "a stranger requests an exit",
        "ledger",
        'assert msg.sender == self.owner_of[account], "ledger: owner"',
        "pass",
    ),
    Mutant(
        "an exit is taken from before the balance",
        "ledger",
        "self.exits[account].amount = exit.amount - taken",
        "pass",
    ),
    Mutant(
        "a deposit is not paid",
        "ledger",
        'assert extcall TOKEN.transferFrom(msg.sender, self, amount), "ledger: token"',
        "pass",
    ),
    # ------------------------------------------------------------ flexibility
    Mutant(
        "an event is opened late",
        "RevenueSplit",
        "first > block.timestamp // LENGTH and",
        "first >= block.timestamp // LENGTH and",
    ),
    Mutant(
        "a contribution is recorded late",
        "RevenueSplit",
        "block.timestamp >= (e.last + 1) * LENGTH + RECORD_FOR",
        "block.timestamp > (e.last + 1) * LENGTH + RECORD_FOR",
    ),
    Mutant(
        "a contribution is recorded twice",
        "RevenueSplit",
        'assert self.shares[id][account].size == 0, "split: recorded"',
        "pass",
    ),
    Mutant(
        "a baseline counts for the member",
        "RevenueSplit",
        "before.value - baseline",
        "before.value + baseline",
    ),
    Mutant(
        "the register before is an interval late",
        "RevenueSplit",
        "account, e.first - 1, before.value",
        "account, e.first, before.value",
    ),
    Mutant(
        "two meters make a contribution",
        "RevenueSplit",
        'assert meter == meter_after, "split: meter"',
        "pass",
        is_left_to_scenes=True,
    ),
    Mutant(
        "a share is cut by its size alone",
        "RevenueSplit",
        "e.revenue * (s.start + s.size) // e.total - e.revenue * s.start // e.total",
        "e.revenue * s.size // e.total",
    ),
    Mutant("a share is paid twice", "RevenueSplit", "self.shares[id][account] = empty(Share)", "pass"),
    Mutant(
        "what was delivered is refunded", "RevenueSplit", 'assert e.total == 0, "split: delivered"', "pass"
    ),
    Mutant("an event is refunded twice", "RevenueSplit", "self.events[id].revenue = 0", "pass"),
    Mutant(
        "a debt is collected without a word",
        "ledger",
        "log Collected(account=account)",
        "pass",
        is_left_to_scenes=True,
    ),
]
