"""Attacks and rules together take every branch of the contracts' source both ways."""

from node.bench.evm import Reverted
from node.chain.contracts import NAMES, SOURCES
from tests.contract import test_scenes  # noqa: F401 - it fills the lists
from tests.contract.branches import ASSERT, compile_with_map, recorded
from tests.contract.scenes import ATTACKS, RULES
from tests.contract.world import World


def test_every_branch_of_the_source_is_taken_both_ways(world: World) -> None:
    codes = [code for name in NAMES for code in compile_with_map(SOURCES, name)]
    with recorded(codes):
        World(world.contracts, world.hostile)
        for attack in ATTACKS:
            act = attack.prepare(world.fork())
            try:
                act()
            except Reverted:
                continue
        for rule in RULES:
            rule.run(world.fork())
    missed = [line for code in codes for line in code.missed()]
    assert missed == []
    asserts = sum(code.checks.get(at) == ASSERT for code in codes for at in code.of_source())
    assert asserts > 80  # the source map is read as it is meant to be
