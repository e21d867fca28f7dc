"""Contracts against the model: for every step the same answer, the same reason, the same balances.

`SYMGRID_STATEFUL_EXAMPLES` sets how many runs of 50 steps are made (default 200, always the same ones;
other numbers make other ones each time).
Every step draws one seed from which it is made, so that a failing run shrinks to few steps.
"""

import os
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from node.chain.contracts import Contracts
from tests.contract.choices import Tally
from tests.contract.play import KINDS, Play
from tests.contract.twins import Twins

DEFAULT_EXAMPLES = 200
EXAMPLES = int(os.environ.get("SYMGRID_STATEFUL_EXAMPLES", DEFAULT_EXAMPLES))
STEPS = 50
LEAST_ACCEPTED = 0.3
SEEDS = st.integers(0, 2**64 - 1)


class Contracts_against_model(RuleBasedStateMachine):
    """Steps that are mostly right and often wrong in one thing."""

    first: ClassVar[Twins]
    tally: ClassVar[Tally]

    @initialize()
    def begin(self) -> None:
        self.play = Play(self.first.fork(), self.tally)

    @rule(kind=st.sampled_from(KINDS), seed=SEEDS)
    def step(self, kind: str, seed: int) -> None:
        self.tally.done["steps"] += 1
        self.play.step(kind, seed)

    def teardown(self) -> None:
        self.play.twins.same_to_the_last_word()


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
def test_contracts_and_model_agree_on_every_step(contracts: Contracts) -> None:
    machine = Contracts_against_model
    machine.first, machine.tally = Twins(contracts), Tally()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=EXAMPLES == DEFAULT_EXAMPLES,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    answers, done = machine.tally.answers, machine.tally.done
    total, accepted = answers.total(), answers[None]
    print(f"\n{done['steps']} steps, {total} acts compared, {accepted / total:.0%} accepted; refused:")
    for reason, count in answers.most_common():
        print(f"{count:>8}  {reason or 'accepted'}")
    print(", ".join(f"{count} {what}" for what, count in done.items()))
    assert accepted >= LEAST_ACCEPTED * total
