"""What a step of the stateful test chooses from, and how an act is compared with the model."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from node.chain import typed_data
from node.chain.typed_data import CompactSignature
from tests.contract.model import Model
from tests.contract.model_state import FEES, GRID, Account, Refused
from tests.contract.twins import Twins
from tests.contract.world import reason_of


@dataclass
class Tally:
    """What happened in all runs together."""

    answers: Counter[str | None] = field(default_factory=Counter)  # None: accepted
    done: Counter[str] = field(default_factory=Counter)


class Choices:
    """Twins on which steps act, each step mostly right and sometimes wrong in one thing."""

    def __init__(self, twins: Twins, tally: Tally) -> None:
        self.twins = twins
        self.tally = tally
        self.first_interval = self.model.now - 2

    # -------------------------------------------------------------- the comparison

    def both(self, predict: Callable[[Model], None], act: Callable[[], object]) -> bool:
        """Do it on both sides, compare, return whether it was accepted."""
        expected, before = None, self.twins.model
        try:
            after = before.act(predict)
        except Refused as refused:
            expected = refused.reason
        else:
            self.twins.model = after
        assert reason_of(act) == expected
        self.tally.answers[expected] += 1
        if expected is None:
            self.twins.same(before)
            self.tally.done["debts"] += sum(a.owed != 0 for a in self.model.accounts.values())
        return expected is None

    def send(self, name: str, function: str, *arguments: Any) -> Callable[[], object]:
        """Return the act of calling Settlement."""
        chain, keys = self.twins.chain, self.twins.keys
        return lambda: chain.send(keys[name], function, *arguments)

    def sign(self, name: str, message: typed_data.Message) -> CompactSignature:
        """Sign a message by name."""
        return self.twins.chain.sign(self.twins.keys[name], message)

    # -------------------------------------------------------------- who and when

    @property
    def model(self) -> Model:
        """The model as it is now."""
        return self.twins.model

    @property
    def members(self) -> dict[int, Account]:
        """Accounts with a meter."""
        return {number: a for number, a in self.model.accounts.items() if a.meters}

    def account(self, r: Random) -> int:
        """Return a member's account; rarely the supplier's, the operator's, or one without a meter."""
        if r.random() < 0.03:
            return r.choice([GRID, FEES])
        return r.randrange(2, len(self.model.accounts))

    def name(self, r: Random) -> str:
        """Return anybody."""
        return r.choice(list(self.twins.keys))

    def oldest_unread(self) -> int:
        """Return the first interval in which somebody's meter was not read."""
        return min(a.read for a in self.members.values()) + 1
