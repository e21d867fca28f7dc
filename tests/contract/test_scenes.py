"""Every attack is refused with exactly its reason; every rule holds."""

import re

import pytest

from node.bench.evm import Reverted
from node.chain.contracts import MODULES, NAMES, SOURCES
from tests.contract import (  # noqa: F401 - they fill the lists
    attacks_on_chunks,
    attacks_on_fills,
    attacks_on_keys,
    attacks_on_money,
    attacks_on_readings,
    attacks_on_splits,
    rules_of_accounts,
    rules_of_trade,
)
from tests.contract.scenes import ATTACKS, RULES, Attack, Rule
from tests.contract.world import World


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_is_refused(attack: Attack, world: World) -> None:
    act = attack.prepare(world)
    with pytest.raises(Reverted) as refused:
        act()
    assert refused.value.reason == attack.reason


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_holds(rule: Rule, world: World) -> None:
    rule.run(world)


def test_every_reason_of_every_assert_is_met_by_an_attack() -> None:
    reasons: set[str] = set()
    for name in (*NAMES, *MODULES):
        for line in (SOURCES / f"{name}.vy").read_text().splitlines():
            if re.match(r"\s*assert ", line):
                found = re.search(r', "([a-z]+: [a-z ]+)"(\s+#.*)?$', line)
                assert found, f"{name}.vy has an assert without a reason of its own: {line.strip()}"
                reasons.add(found[1])
    assert reasons - {attack.reason for attack in ATTACKS} == set()


def test_names_of_attacks_and_rules_are_unique() -> None:
    names = [scene.name for scene in (*ATTACKS, *RULES)]
    assert len(names) == len(set(names))
    assert len(ATTACKS) >= 60
