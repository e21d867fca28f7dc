"""Named attacks and rules: each is a function on a fresh world, kept in a list.

An attack prepares and returns the one act that must be refused, with exactly the reason it names. A rule acts
and asserts. Both run as tests of their own and, together, under the branch recorder.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.contract.world import World

Act = Callable[[], object]


@dataclass(frozen=True)
class Attack:
    """An act that the contracts refuse, and with which reason."""

    name: str
    reason: str
    prepare: Callable[[World], Act]


@dataclass(frozen=True)
class Rule:
    """What the contracts do."""

    name: str
    run: Callable[[World], None]


ATTACKS: list[Attack] = []
RULES: list[Rule] = []


def attack(reason: str) -> Callable[[Callable[[World], Act]], Callable[[World], Act]]:
    """Name an attack and the reason with which it is refused."""

    def add(prepare: Callable[[World], Act]) -> Callable[[World], Act]:
        ATTACKS.append(Attack(prepare.__name__, reason, prepare))
        return prepare

    return add


def rule(run: Callable[[World], None]) -> Callable[[World], None]:
    """Name a rule."""
    RULES.append(Rule(run.__name__, run))
    return run
