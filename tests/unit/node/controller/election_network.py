"""A seeded network of members: delay, loss, partitions, crashes; it checks the promise of election at every event."""

import heapq
from dataclasses import dataclass, field
from random import Random

from node.controller import election
from node.controller.election import Member, Message, Role

DELAY_MS = (2, 40)


@dataclass
class Network:
    """Members in electrical components; messages travel inside a component only, and `loss` of them get lost."""

    n: int
    seed: int
    loss: float = 0.3
    standby: frozenset[int] = frozenset()
    now_ms: int = 0
    random: Random = field(init=False)
    members: dict[int, Member] = field(default_factory=dict)
    crashed: dict[int, Member] = field(default_factory=dict)
    components: list[frozenset[int]] = field(default_factory=list)
    queue: list = field(default_factory=list)
    led: dict[int, int] = field(default_factory=dict)  # term -> row, of every leader there ever was
    merged_ms: int = -10_000
    messages: int = 0
    demoted: list[int] = field(default_factory=list)
    first_command_ms: dict[frozenset[int], int] = field(default_factory=dict)

    def __post_init__(self):
        self.random = Random(self.seed)
        self.components = [frozenset(range(self.n))]
        for row in range(self.n):
            self.members[row] = election.member(
                row, self.seed, self.components[0], 0, standby=row in self.standby
            )
            self._call_again(row)

    def component_of(self, row):
        return next(one for one in self.components if row in one)

    def partition(self, *components):
        """Cut or close lines: members notice within `SETTLE_MS`."""
        self.components = [frozenset(one) for one in components]
        seen = [
            {self.members[row].component for row in one if row in self.members} for one in self.components
        ]
        if any(len(views) > 1 for views in seen):
            self.merged_ms = self.now_ms  # also where a healing was not noticed before the next cut
        self.first_command_ms = {}
        for row in range(self.n):
            at = self.now_ms + self.random.randint(0, election.SETTLE_MS)
            self._push(at, ("notice", row, self.component_of(row)))

    def crash(self, row):
        if row in self.members:
            self.crashed[row] = self.members.pop(row)

    def restart(self, row):
        if row in self.crashed:
            before = self.crashed.pop(row)
            self._take(row, (election.restarted(before, self.component_of(row), self.now_ms), ()))

    def resign(self, row):
        """Let a leader say that it can form no island any longer."""
        self._take(row, election.resigned(self.members[row], self.now_ms))

    def run(self, until_ms, *, stop=None):
        """Let events happen up to a moment, or until `stop()` says so; return the moment."""
        while self.queue and self.queue[0][0] <= until_ms:
            at, _, what = heapq.heappop(self.queue)
            self.now_ms = max(self.now_ms, at)
            self._happen(what)
            self.check()
            if stop is not None and stop():
                return self.now_ms
        self.now_ms = until_ms
        return until_ms

    def _happen(self, what):
        kind, row, content = what
        state = self.members.get(row)
        if state is None:
            return
        if kind == "tick":
            if state.due_ms <= self.now_ms:
                self._take(row, election.ticked(state, self.now_ms))
        elif kind == "notice":
            if content == self.component_of(row):
                self._take(row, election.reconnected(state, content, self.now_ms))
        elif row in self.component_of(content.sender):
            self.messages += 1
            self._take(row, election.received(state, content, self.now_ms))

    def _take(self, row, step):
        before = self.members.get(row)
        self.members[row], sent = step
        if before is not None and before.role is Role.LEADER and self.members[row].role is not Role.LEADER:
            self.demoted.append(row)
        for message in sent:
            if self.random.random() >= self.loss:
                self._push(
                    self.now_ms + self.random.randint(*DELAY_MS), ("message", message.receiver, message)
                )
        self._call_again(row)

    def _call_again(self, row):
        self._push(max(self.members[row].due_ms, self.now_ms + 1), ("tick", row, None))

    def _push(self, at, what):
        self.queue_number = getattr(self, "queue_number", 0) + 1
        heapq.heappush(self.queue, (at, self.queue_number, what))

    def leaders(self):
        return [row for row, one in self.members.items() if one.leads(self.now_ms)]

    def check(self):
        """No two leaders in one term, ever, and no two that command one component and know of it.

        At the moment in which lines close two components have one leader each, and each goes on until it has noticed:
        no message can be faster than that.
        """
        for row, one in self.members.items():
            if one.role is Role.LEADER:
                assert self.led.setdefault(one.term, row) == row, f"two leaders in term {one.term}"
        commanding = self.leaders()
        for component in self.components:
            here = [row for row in commanding if row in component]
            if here:
                self.first_command_ms.setdefault(component, self.now_ms)
            knowing = [row for row in here if self.members[row].component == component]
            assert len(knowing) <= 1, f"{knowing} command {sorted(component)} and know of it"
            if len(here) > 1:
                assert self.now_ms <= self.merged_ms + election.SETTLE_MS, (
                    f"{here} command {sorted(component)}"
                )


def has_leaders(network):
    """Return whether every component with a living majority has one that commands."""
    commanding = network.leaders()
    return all(
        any(row in component for row in commanding)
        for component in network.components
        if len(component & set(network.members)) > len(component) // 2
    )


__all__ = ["Message", "Network", "has_leaders"]
