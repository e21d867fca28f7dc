"""The members of an island elect its leader over the bus: each agent runs its own machine (controller/election)."""

from dataclasses import dataclass, replace

import numpy as np

from node.bus.messages import ElectionNotice, Message, election_topic
from node.bus.radio import RadioBus
from node.controller import election
from node.controller.control_plan import ControlPlan
from node.controller.election import Kind, Member, Role, Step
from node.controller.microgrid import BoolArray, Microgrid, MicrogridState

# Nobody waits longer: then the island stays without a leader, and its devices in their safe state.
PATIENCE_MS = 10_000


@dataclass(frozen=True, slots=True)
class Elected:
    """How an election ended.

    Parameters
    ----------
    leader : int
        Account, -1 if nobody was elected.
    term : int
    terms : tuple of int
        Highest term that each member has seen, in the order of the members: it outlives the election.
    took_ms : int
    sent, lost : int
        Messages.
    """

    leader: int
    term: int
    terms: tuple[int, ...]
    took_ms: int
    sent: int
    lost: int

    @property
    def told(self) -> str:
        """How it went, for people."""
        return f"{self.took_ms} ms, {self.sent} messages, {self.lost} lost"


class _Agent:
    """One member on the bus."""

    def __init__(self, node: str, state: Member, bus: RadioBus) -> None:
        self.state = state
        self._node = node
        self._bus = bus
        bus.subscribe(election_topic(node, state.row), self.hear)

    def hear(self, message: Message) -> None:
        assert isinstance(message, ElectionNotice)
        heard = election.Message(
            Kind[message.kind], message.sender, message.receiver, message.term,
            frozenset(message.component), message.sent_ms,
        )  # fmt: skip
        self._take(election.received(self.state, heard, self._bus.now_ms))

    def tick(self) -> None:
        if self.state.due_ms <= self._bus.now_ms:
            self._take(election.ticked(self.state, self._bus.now_ms))

    def resign(self) -> None:
        self._take(election.resigned(self.state, self._bus.now_ms))

    def _take(self, step: Step) -> None:
        self.state, sent = step
        for one in sent:
            notice = ElectionNotice(
                one.kind.name, one.sender, one.receiver, one.term, tuple(sorted(one.component)), one.sent_ms
            )
            self._bus.publish(election_topic(self._node, one.receiver), notice)


def able_members(grid: Microgrid, plan: ControlPlan, is_healthy: BoolArray) -> frozenset[int]:
    """Return the accounts that can form an island: those with a healthy storage."""
    accounts = plan.account_of_device[grid.storages[is_healthy[grid.storages]]]
    return frozenset(grid.members[grid.is_candidate & np.isin(grid.members, accounts)].tolist())


def hold_election(
    grid: Microgrid, state: MicrogridState, able: frozenset[int], at_ms: int, *, is_resigning: bool = False
) -> Elected:
    """Let a microgrid elect its leader at a moment; if the present one resigns, it hands over first."""
    resigning = (state.leader, state.term) if is_resigning else None
    seed = grid.seed * 1_000_003 + at_ms
    return elect(grid.name, tuple(grid.members.tolist()), able, state.terms, seed, grid.loss_pu, resigning)


def elect(
    node: str,
    members: tuple[int, ...],
    candidates: frozenset[int],
    terms: tuple[int, ...],
    seed: int,
    loss_pu: float,
    resigning: tuple[int, int] | None = None,
) -> Elected:
    """Let the members of a component elect, until one of them commands.

    Parameters
    ----------
    members : tuple of int
        Accounts behind the switch.
    candidates : frozenset of int
        Those that can form an island: the others only vote.
    terms : tuple of int
        What earlier elections left, in the order of the members; empty before any.
    resigning : (member, term) or None
        Who leads them and hands over now, because it can form no island any longer.
    """
    bus = RadioBus(seed, loss_pu)
    component = frozenset(members)
    agents = []
    for k, row in enumerate(members):
        state = election.member(row, seed, component, 0, standby=row not in candidates)
        if terms:
            state = replace(state, term=terms[k], voted=terms[k])
        agents.append(_Agent(node, state if resigning is None else _led(state, *resigning), bus))
    for agent in agents:
        if agent.state.role is Role.LEADER:
            agent.resign()
    while bus.now_ms < PATIENCE_MS:
        due = [agent.state.due_ms for agent in agents]
        arrives = bus.next_ms()
        bus.deliver_until(max(min(due if arrives is None else [*due, arrives]), bus.now_ms))
        for agent in agents:
            agent.tick()
        leading = [agent.state for agent in agents if agent.state.leads(bus.now_ms)]
        if leading:
            (leader,) = leading
            return _result(agents, leader.row, leader.term, bus)
    return _result(agents, -1, 0, bus)


def _led(state: Member, leader: int, term: int) -> Member:
    """Return a member as a leader's newest heartbeat left it."""
    if state.row == leader:
        return replace(state, role=Role.LEADER, leader=leader, term=term)
    heartbeat = election.Message(Kind.HEARTBEAT, leader, state.row, term, state.component)
    return election.received(state, heartbeat, 0)[0]


def _result(agents: list[_Agent], leader: int, term: int, bus: RadioBus) -> Elected:
    seen = tuple(max(agent.state.term, agent.state.voted) for agent in agents)
    return Elected(leader, term, seen, bus.now_ms, bus.sent, bus.lost)
