"""A flexibility event in the small community: baselines, their tree, and who did what."""

from dataclasses import dataclass

from eth_hash.auto import keccak

from node.bench.community import Member
from node.bench.evm import Mined
from node.chain.typed_data import Reading
from tests.contract.world import World

REVENUE = 1_000_000_007
BASELINES = {"ann": 1_000, "ben": -2_000, "zoe": 0, "pim": 500}
BEFORE = {"ann": 100, "ben": 200, "zoe": -300, "pim": 0}
CONTRIBUTIONS = {"ann": 7_001, "ben": 3_000, "zoe": 1_003, "pim": 0}


def leaf(account: int, baseline: int) -> bytes:
    """Return the leaf of an account: hashed twice, so that no inner node passes for it."""
    words = account.to_bytes(32, "big") + baseline.to_bytes(32, "big", signed=True)
    return keccak(keccak(words))


def _pair(a: bytes, b: bytes) -> bytes:
    return keccak(min(a, b) + max(a, b))


@dataclass
class Tree:
    """A Merkle tree with sorted pairs; an odd node goes up alone."""

    layers: list[list[bytes]]

    @classmethod
    def of(cls, leaves: list[bytes]) -> "Tree":
        layers = [sorted(leaves)]
        while len(layers[-1]) > 1:
            row = layers[-1]
            layers.append(
                [_pair(*row[i : i + 2]) if i + 1 < len(row) else row[i] for i in range(0, len(row), 2)]
            )
        return cls(layers)

    @property
    def root(self) -> bytes:
        return self.layers[-1][0]

    def proof(self, of: bytes) -> list[bytes]:
        """Return the siblings on the way from a leaf to the root."""
        at, siblings = self.layers[0].index(of), []
        for row in self.layers[:-1]:
            if at ^ 1 < len(row):
                siblings.append(row[at ^ 1])
            at //= 2
        return siblings


class Flex:
    """An event over two intervals that has been opened and is over."""

    def __init__(self, world: World, root: bytes | None = None) -> None:
        self.world = world
        self.members: dict[str, Member] = {name: getattr(world, name) for name in BASELINES}
        self.tree = Tree.of([leaf(m.account, BASELINES[name]) for name, m in self.members.items()])
        self.root = root or self.tree.root
        self.buyer = world.stranger
        self.first = world.interval + 1
        self.last = world.interval + 2
        world.mint(self.buyer, 3 * REVENUE)
        world.token(self.buyer, "approve", world.deployment.split, 3 * REVENUE)
        self.id = self.open()
        world.evm.time_s = world.end_s(self.last)

    def open(self, **changes: int) -> int:
        """Open an event and return its number."""
        values = {"first": self.first, "last": self.last, "revenue": REVENUE} | changes
        number: int = self.world.split_view("count")
        self.world.split(self.buyer, "open", self.root, *values.values())
        return number

    def register(self, name: str, interval: int, value: int) -> tuple[int, int, int]:
        """Return a register as RevenueSplit wants it."""
        member = self.members[name]
        return value, *self.world.sign(member.meter, Reading(member.account, interval, value))

    def record(self, name: str, **changes: object) -> Mined:
        """Record what a member delivered."""
        member, baseline = self.members[name], BASELINES[name]
        delivered = changes.pop("contribution", CONTRIBUTIONS[name])
        assert isinstance(delivered, int)
        after = BEFORE[name] + baseline + delivered
        values = {
            "id": self.id,
            "account": member.account,
            "baseline": baseline,
            "proof": self.tree.proof(leaf(member.account, baseline)),
            "before": self.register(name, self.first - 1, BEFORE[name]),
            "after": self.register(name, self.last, after),
        } | changes
        return self.world.split(self.world.carrier, "record", *values.values())

    def close(self) -> None:
        """Wait until recording is over."""
        self.world.evm.time_s = self.world.end_s(self.last) + self.world.parameters.record_for_s

    def pay(self, *names: str) -> Mined:
        """Pay members their shares."""
        accounts = [self.members[name].account for name in names]
        return self.world.split(self.world.carrier, "pay", self.id, accounts)

    def refund(self) -> Mined:
        """Give the buyer its money back."""
        return self.world.split(self.world.carrier, "refund", self.id)
