"""Faults put into the contracts on purpose are noticed by the attacks and rules, or by the stateful test.

`python -m pytest -s tests/contract/test_mutants.py` prints who noticed what.
"""

from pathlib import Path
from random import Random

import pytest

from node.bench.evm import Reverted, TranslatedEvm
from node.chain.contracts import Contracts
from tests.contract import (
    mutants_of_accounts,
    mutants_of_trade,
    test_scenes,  # noqa: F401 - it fills the lists
)
from tests.contract.choices import Tally
from tests.contract.mutants import Mutant
from tests.contract.play import KINDS, Play
from tests.contract.scenes import ATTACKS, RULES, Attack, Rule
from tests.contract.twins import Twins
from tests.contract.world import World

RUNS, STEPS = 200, 50  # as many as in the stateful test
MUTANTS = [*mutants_of_trade.MUTANTS, *mutants_of_accounts.MUTANTS]


def test_every_mutant_changes_a_place_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len({(m.before, m.after) for m in MUTANTS})
    for mutant in MUTANTS:
        assert mutant.places() == 1, mutant.name


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_fault_is_noticed(mutant: Mutant, first_world: World, tmp_path: Path) -> None:
    contracts = mutant.compiled(tmp_path)
    scene, steps = noticing_scene(contracts, first_world), steps_until_noticed(contracts)
    print(f"\n{mutant.source}: {mutant.name}: noticed by {scene}; by the stateful test after {steps} steps")
    assert scene
    assert steps or mutant.is_left_to_scenes


def noticing_scene(contracts: Contracts, first_world: World) -> str | None:
    """Return the first attack or rule that does not end as it should."""
    try:
        world = World(contracts, first_world.hostile, evm=TranslatedEvm)
    except Reverted:
        return "the founding"
    for scene in (*ATTACKS, *RULES):
        if not _holds(scene, world.fork()):  # type: ignore[arg-type]
            return scene.name
    return None


def _holds(scene: Attack | Rule, world: World) -> bool:
    """Return whether a scene ends as it should: with its reason, or without an assertion that fails."""
    try:
        if isinstance(scene, Rule):
            scene.run(world)
            return True
        scene.prepare(world)()
    except Reverted as refused:
        return isinstance(scene, Attack) and refused.reason == scene.reason
    except AssertionError:
        return False
    return False


def steps_until_noticed(contracts: Contracts) -> int | None:
    """Return after how many steps contracts and model differ; None if they never do."""
    try:
        first = Twins(contracts)
        first.same_to_the_last_word()
    except (Reverted, AssertionError):
        return 1
    for run in range(RUNS):
        r, play = Random(run), Play(first.fork(), Tally())
        for step in range(STEPS):
            try:
                play.step(r.choice(KINDS), r.getrandbits(64))
                if step == STEPS - 1:
                    play.twins.same_to_the_last_word()
            except (Reverted, AssertionError):
                return run * STEPS + step + 1
    return None
