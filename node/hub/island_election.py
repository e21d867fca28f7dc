"""The members of an island elect its leader over the bus: each agent runs its own machine (controller/election)."""

from dataclasses import dataclass, replace

from node.bus.messages import ElectionNotice, Message, election_topic
from node.bus.radio import RadioBus
from node.controller import election
from node.controller.election import Kind, Member, Step

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

    def _take(self, step: Step) -> None:
        self.state, sent = step
        for one in sent:
            notice = ElectionNotice(
                one.kind.name, one.sender, one.receiver, one.term, tuple(sorted(one.component)), one.sent_ms
            )
            self._bus.publish(election_topic(self._node, one.receiver), notice)


def elect(
    node: str,
    members: tuple[int, ...],
    candidates: frozenset[int],
    terms: tuple[int, ...],
    seed: int,
    loss_pu: float,
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
    """
    bus = RadioBus(seed, loss_pu)
    component = frozenset(members)
    agents = []
    for k, row in enumerate(members):
        state = election.member(row, seed, component, 0, standby=row not in candidates)
        if terms:
            state = replace(state, term=terms[k], voted=terms[k])
        agents.append(_Agent(node, state, bus))
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


def _result(agents: list[_Agent], leader: int, term: int, bus: RadioBus) -> Elected:
    seen = tuple(max(agent.state.term, agent.state.voted) for agent in agents)
    return Elected(leader, term, seen, bus.now_ms, bus.sent, bus.lost)
