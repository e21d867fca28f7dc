"""One run of steps on contracts and model, each made from a seed: by Hypothesis, or against a mutant."""

from random import Random

from tests.contract.steps_of_splits import SplitSteps
from tests.contract.steps_of_trade import TradeSteps

# how often each step is made
KINDS = [
    kind
    for kind, weight in {
        "a_chunk_is_settled": 11,
        "time_passes": 5,
        "days_go_by": 1,
        "readings_are_brought_in": 7,
        "money_comes_in": 3,
        "an_exit_is_requested": 2,
        "an_exit_is_paid": 1,
        "a_debt_is_collected": 1,
        "something_is_curtailed": 3,
        "tariffs_are_published": 1,
        "somebody_joins": 1,
        "an_agent_changes": 1,
        "a_role_passes_on": 1,
        "a_meter_is_replaced": 2,
        "a_capacity_is_raised": 1,
        "a_contribution_is_recorded": 3,
        "an_event_is_paid": 3,
    }.items()
    for _ in range(weight)
]


class Play(TradeSteps, SplitSteps):
    """Everything that can happen."""

    def step(self, kind: str, seed: int) -> None:
        """Do one of `KINDS`."""
        getattr(self, kind)(Random(seed))
