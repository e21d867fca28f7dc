"""Who leads an electrical component: randomised timeouts, terms, votes, heartbeats, and a lease (after Raft).

A member is a pure state machine: it takes a moment, a message or a change of its component, and gives back itself
and the messages it sends. The shell carries messages and calls it again at `due_ms`.

| rule | why |
|---|---|
| a term belongs to one candidate: its row is in the number | no two leaders share a term, in whatever component |
| one vote per term, never for a lower term; both survive a crash | a majority names at most one leader a term |
| votes, heartbeats, acknowledgements name the component | a majority counts only among the same members |
| an acknowledgement promises `LEASE_MS` to that leader; a restart waits as long | two majorities share a member |
| a leader commands only while a majority's promises last | it ends before a successor begins |
| who sees its component change waits `SETTLE_MS` | by then every old leader counts its new component |
| a leader goes on in a changed component with that one's majority | a lost branch costs no election |
| whom a majority heeds steps down for a higher leader's heartbeat only | terms only rise: of two just one does |
| hearing of a higher term without a leader it goes on above it | a candidacy that failed unseats nobody |
| who steps down so hands its followers' promises over | the other need not wait for them, no third can win |
| who hears any leader neither stands nor votes | while two leaders settle it no third is elected |
| a component whose living members are no majority of it has no leader | its devices keep to their safe state |

References
----------
D. Ongaro, J. Ousterhout, In Search of an Understandable Consensus Algorithm, USENIX ATC 2014. C. Gray, D. Cheriton,
Leases, SOSP 1989. L. Lamport, The Part-Time Parliament, 1998 (numbers that belong to their proposer).
"""

from dataclasses import dataclass, replace
from enum import IntEnum

# A round trip in a building or street is some 10 ms to 100 ms over a radio mesh that loses every third message.
RETRY_MS = 50  # requests and heartbeats are repeated this often
TIMEOUT_MIN_MS = 60  # a candidacy starts this long after the leader is missed ...
TIMEOUT_SPREAD_MS = 400  # ... and a random part of this
CANDIDACY_MS = 450  # a candidate that is not elected by then stands again, in a higher term
LEASE_MS = 600  # ten heartbeats: at 30 % loss each way one member misses all of them once in a thousand times
SETTLE_MS = 150  # the longest time in which the members of a component notice that it changed
MAX_MEMBERS = 1 << 10


class Role(IntEnum):
    """What a member is at the moment."""

    FOLLOWER = 0
    CANDIDATE = 1
    LEADER = 2


class Kind(IntEnum):
    """What a message says."""

    REQUEST = 0  # elect me
    VOTE = 1  # I elect you
    HEARTBEAT = 2  # I lead
    ACK = 3  # you lead me
    REFUSAL = 4  # I have seen a higher term: stand again, or go on, above it
    HANDOVER = 5  # you promised yourself to me: be bound to the leader of this term instead; if it is mine, to nobody


@dataclass(frozen=True, slots=True)
class Message:
    """One message between two members of a component.

    Parameters
    ----------
    component : frozenset of int
        The members that the sender is connected with, itself among them.
    sent_ms : int
        In a heartbeat when it was sent; in an acknowledgement that of the heartbeat it answers.
    """

    kind: Kind
    sender: int
    receiver: int
    term: int
    component: frozenset[int]
    sent_ms: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """One member's state; begin with `member`.

    Parameters
    ----------
    row : int
        0 .. 1023, the member's own.
    seed : int
        Makes its timeouts.
    component : frozenset of int
        Who is connected with it, as it sees it.
    term, voted : int
        Highest term seen, and highest term it voted in: these two survive a crash.
    standby : bool
        True: votes, but never stands (it has nothing to form an island with).
    """

    row: int
    seed: int
    component: frozenset[int]
    term: int = 0
    voted: int = 0
    standby: bool = False
    role: Role = Role.FOLLOWER
    leader: int = -1
    votes: frozenset[int] = frozenset()
    acked_ms: tuple[tuple[int, int], ...] = ()  # (member, when the newest heartbeat it acknowledged was sent)
    stands_ms: int = 0  # when the next candidacy starts
    sends_ms: int = 0  # when requests or heartbeats are sent again
    bound_until_ms: int = 0  # before, it elects nobody and follows nobody but `leader`
    heard_until_ms: int = 0  # before, it elects nobody: it has heard another leader than its own
    draws: int = 0  # timeouts drawn so far

    @property
    def quorum(self) -> int:
        """Members of the component that make a majority."""
        return len(self.component) // 2 + 1

    @property
    def due_ms(self) -> int:
        """When the member wants to be called without a message."""
        return self.stands_ms if self.role is Role.FOLLOWER else min(self.stands_ms, self.sends_ms)

    def leads(self, now_ms: int) -> bool:
        """Return whether it commands now: elected, and a majority's promises last."""
        return self.role is Role.LEADER and now_ms < self.lease_until_ms(now_ms)

    def lease_until_ms(self, now_ms: int) -> int:
        """Return until when a majority, itself included, has promised itself to it; now if none has."""
        newest = sorted([now_ms, *(at for _, at in self.acked_ms)], reverse=True)
        return newest[self.quorum - 1] + LEASE_MS if len(newest) >= self.quorum else now_ms


_CLAIMS = (Kind.REQUEST, Kind.HEARTBEAT)  # by the member that the term belongs to, and nobody else

Step = tuple[Member, tuple[Message, ...]]


def member(row: int, seed: int, component: frozenset[int], now_ms: int, *, standby: bool = False) -> Member:
    """Return a member that starts for the first time.

    Raises
    ------
    ValueError
        If a row is out of range or the member is not in its component.
    """
    if row not in component or not 0 <= min(component) <= max(component) < MAX_MEMBERS:
        raise ValueError(
            f"member {row} of {sorted(component)}: need rows in 0..{MAX_MEMBERS - 1}, its own too"
        )
    return _wait(Member(row, seed, component, standby=standby), now_ms)


def restarted(before: Member, component: frozenset[int], now_ms: int) -> Member:
    """Return a member after a crash: only term and vote are left of it, and what it promised it has forgotten."""
    fresh = member(before.row, before.seed, component, now_ms, standby=before.standby)
    kept = replace(fresh, term=before.term, voted=before.voted, draws=before.draws)
    return _wait(replace(kept, bound_until_ms=now_ms + LEASE_MS), now_ms + LEASE_MS)


def reconnected(state: Member, component: frozenset[int], now_ms: int) -> Step:
    """Return the member after it noticed who its component is made of now."""
    if component == state.component:
        return state, ()
    bound = max(state.bound_until_ms, now_ms + SETTLE_MS)
    changed = replace(state, component=component, bound_until_ms=bound, heard_until_ms=0)
    if state.role is Role.LEADER:
        acked = tuple((one, at) for one, at in state.acked_ms if one in component)
        # Followers of another leader, which steps down, are free only when their promises to it have ended.
        patient = now_ms + 2 * LEASE_MS
        leading = replace(changed, acked_ms=acked, stands_ms=patient, sends_ms=now_ms + RETRY_MS)
        return leading, _to_all(leading, Kind.HEARTBEAT, now_ms)
    if state.leader in component and state.role is Role.FOLLOWER:
        return _wait(changed, now_ms + LEASE_MS), ()
    return _follower(changed, -1, bound), ()


def resigned(state: Member, now_ms: int) -> Step:
    """Return a leader that can form no island any longer: it only votes from now on, and frees who follows it."""
    freed = _to_all(state, Kind.HANDOVER, now_ms) if state.role is Role.LEADER else ()
    return replace(_follower(state, -1, now_ms), standby=True), freed


def ticked(state: Member, now_ms: int) -> Step:
    """Return the member at a moment without a message: it may stand, repeat itself, or step down."""
    if state.role is Role.LEADER:
        if now_ms >= state.stands_ms and not state.leads(now_ms):
            return _follower(state, -1, now_ms), ()
        if now_ms < state.sends_ms:
            return replace(state, stands_ms=max(state.stands_ms, state.lease_until_ms(now_ms))), ()
        return replace(state, sends_ms=now_ms + RETRY_MS), _to_all(state, Kind.HEARTBEAT, now_ms)
    if now_ms >= state.stands_ms:
        return _stand(state, now_ms)
    if state.role is Role.CANDIDATE and now_ms >= state.sends_ms:
        missing = sorted(state.component - state.votes)
        asked = tuple(_to(state, Kind.REQUEST, other, now_ms) for other in missing)
        return replace(state, sends_ms=now_ms + RETRY_MS), asked
    return state, ()


def received(state: Member, message: Message, now_ms: int) -> Step:
    """Return the member after a message; one of another component, or in a term not its sender's, is not heard."""
    is_claim = message.kind in _CLAIMS
    if message.component != state.component or (is_claim and candidate_of(message.term) != message.sender):
        return state, ()
    match message.kind:
        case Kind.REQUEST:
            return _answer(state, message, now_ms)
        case Kind.VOTE:
            return _count(state, message, now_ms)
        case Kind.HEARTBEAT:
            return _follow(state, message, now_ms)
        case Kind.ACK:
            return _renew(state, message, now_ms), ()
        case Kind.REFUSAL:
            return _heed(state, message, now_ms)
        case Kind.HANDOVER:
            return _change_over(state, message, now_ms), ()


def candidate_of(term: int) -> int:
    """Return the row of the only member that can lead a term."""
    return term % MAX_MEMBERS


def count_of(term: int) -> int:
    """Return a term as people count them: 1, 2, 3."""
    return term // MAX_MEMBERS


def _term_above(state: Member, term: int) -> int:
    return (count_of(term) + 1) * MAX_MEMBERS + state.row


def _stand(state: Member, now_ms: int) -> Step:
    if state.standby or now_ms < state.bound_until_ms:
        return _wait(state, max(now_ms, state.bound_until_ms)), ()
    term = _term_above(state, max(state.term, state.voted))
    standing = replace(
        _wait(state, now_ms + CANDIDACY_MS),
        role=Role.CANDIDATE,
        term=term,
        voted=term,
        leader=-1,
        votes=frozenset({state.row}),
        sends_ms=now_ms + RETRY_MS,
    )
    if standing.quorum == 1:
        return _lead(standing, now_ms)
    return standing, _to_all(standing, Kind.REQUEST, now_ms)


def _answer(state: Member, message: Message, now_ms: int) -> Step:
    """Vote for a candidate: in no lower term, not twice in one, not against a promise, nor where one leads."""
    if state.role is Role.LEADER:
        return _go_on_above(state, message, now_ms)
    highest = max(state.term, state.voted)
    if message.term < highest:
        return state, (replace(_to(state, Kind.REFUSAL, message.sender, now_ms), term=highest),)
    if now_ms < max(state.bound_until_ms, state.heard_until_ms):
        return state, ()
    voter = replace(_follower(state, -1, now_ms + CANDIDACY_MS), term=message.term, voted=message.term)
    return voter, (_to(voter, Kind.VOTE, message.sender, now_ms),)


def _count(state: Member, message: Message, now_ms: int) -> Step:
    if state.role is not Role.CANDIDATE or message.term != state.term:
        return state, ()
    counted = replace(state, votes=state.votes | {message.sender})
    if len(counted.votes & counted.component) < counted.quorum:
        return counted, ()
    return _lead(counted, now_ms)


def _lead(state: Member, now_ms: int) -> Step:
    """Lead, but command only when a majority has acknowledged a heartbeat: a vote is no promise."""
    leading = replace(
        state,
        role=Role.LEADER,
        leader=state.row,
        votes=frozenset(),
        acked_ms=(),
        stands_ms=now_ms + LEASE_MS,
        sends_ms=now_ms + RETRY_MS,
    )
    return leading, _to_all(leading, Kind.HEARTBEAT, now_ms)


def _follow(state: Member, message: Message, now_ms: int) -> Step:
    """Hear a leader: follow it and promise, unless a higher term is known or another leader has the promise."""
    if state.role is Role.LEADER and message.term < state.term:
        return state, (_to(state, Kind.HEARTBEAT, message.sender, now_ms),)
    is_promised = now_ms < state.bound_until_ms and message.sender != state.leader
    if is_promised and state.role is not Role.LEADER:
        return replace(_wait(state, now_ms + LEASE_MS), heard_until_ms=now_ms + LEASE_MS), ()
    if message.term < state.term:
        return state, (_to(state, Kind.REFUSAL, message.sender, now_ms),)
    follower = replace(
        _follower(state, message.sender, now_ms + LEASE_MS),
        term=message.term,
        bound_until_ms=max(state.bound_until_ms, now_ms + LEASE_MS),
    )
    ack = replace(_to(follower, Kind.ACK, message.sender, now_ms), sent_ms=message.sent_ms)
    if state.role is not Role.LEADER:
        return follower, (ack,)
    others = tuple(one for one in _to_all(follower, Kind.HANDOVER, now_ms) if one.receiver != message.sender)
    return follower, (ack, *others)


def _renew(state: Member, message: Message, now_ms: int) -> Member:
    if state.role is not Role.LEADER or message.term != state.term:
        return state
    known = dict(state.acked_ms)
    known[message.sender] = max(known.get(message.sender, message.sent_ms), message.sent_ms)
    renewed = replace(state, acked_ms=tuple(sorted(known.items())))
    return replace(renewed, stands_ms=max(state.stands_ms, renewed.lease_until_ms(now_ms)))


def _heed(state: Member, message: Message, now_ms: int) -> Step:
    """Take note of a higher term: a candidate of a lower one stands above it later, a leader goes on above it."""
    if message.term <= state.term:
        return state, ()
    if state.role is Role.LEADER:
        return _go_on_above(state, message, now_ms)
    noted = replace(state, term=message.term)
    return noted if state.role is Role.FOLLOWER else _follower(noted, -1, now_ms), ()


def _go_on_above(state: Member, message: Message, now_ms: int) -> Step:
    """Lead on in a term above one that nobody is known to lead: promises are to the leader, whatever its term."""
    if message.term > state.term:
        term = _term_above(state, message.term)
        state = replace(state, term=term, voted=term)
    return state, (_to(state, Kind.HEARTBEAT, message.sender, now_ms),)


def _change_over(state: Member, message: Message, now_ms: int) -> Member:
    """Be bound to whom the leader that one is bound to follows now: it has stepped down, so nobody else counts it."""
    if state.role is not Role.FOLLOWER or state.leader != message.sender:
        return state
    if message.term == state.term and candidate_of(message.term) == message.sender:
        # Not at once: the component may have changed a moment ago.
        until_ms = min(state.bound_until_ms, now_ms + SETTLE_MS)
        return replace(_follower(state, -1, until_ms), bound_until_ms=until_ms)
    if message.term <= state.term:
        return state
    return replace(_wait(state, now_ms + LEASE_MS), leader=candidate_of(message.term), term=message.term)


def _follower(state: Member, leader: int, from_ms: int) -> Member:
    follower = replace(state, role=Role.FOLLOWER, leader=leader, votes=frozenset(), acked_ms=())
    return _wait(follower, from_ms)


def _wait(state: Member, from_ms: int) -> Member:
    """Draw when the next candidacy starts."""
    drawn = replace(state, draws=state.draws + 1)
    return replace(drawn, stands_ms=from_ms + TIMEOUT_MIN_MS + _random_ms(drawn))


def _random_ms(state: Member) -> int:
    """Return the member's next random part of a timeout: a hash of seed, row and count, nothing hidden."""
    x = (state.seed * 0x9E3779B97F4A7C15 + state.row * 0xBF58476D1CE4E5B9 + state.draws) & (2**64 - 1)
    # SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014).
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (x ^ (x >> 31)) % TIMEOUT_SPREAD_MS


def _to(state: Member, kind: Kind, receiver: int, now_ms: int) -> Message:
    return Message(kind, state.row, receiver, state.term, state.component, now_ms)


def _to_all(state: Member, kind: Kind, now_ms: int) -> tuple[Message, ...]:
    return tuple(_to(state, kind, other, now_ms) for other in sorted(state.component - {state.row}))
