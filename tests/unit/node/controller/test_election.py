"""Election: one leader a term and component through loss, crashes, partitions and healing, and soon."""

from itertools import pairwise
from random import Random

import numpy as np
import pytest

from node.controller import election
from node.controller.election import (
    Kind,
    Member,
    Message,
    Role,
    count_of,
    member,
    received,
    restarted,
    ticked,
)
from tests.unit.node.controller.election_network import Network, has_leaders

THREE = frozenset({0, 1, 2})


def story(seed):
    """A crash during the election, a restart, a partition, its healing, a resignation.

    Return the times to a leader, and who led before the healing and does not afterwards.
    """
    random = Random(seed)
    net = Network(random.randint(3, 9), seed)
    victim = random.randrange(net.n)
    net.run(random.randint(20, 300))
    net.crash(victim)
    net.run(8_000, stop=lambda: has_leaders(net))
    took = [net.now_ms]
    net.run(net.now_ms + random.randint(0, 400))
    net.restart(victim)
    net.run(net.now_ms + 700)
    rows = list(range(net.n))
    random.shuffle(rows)
    cut = random.randint(1, net.n - 1)
    took.append(_change(net, rows[:cut], rows[cut:]))
    net.run(net.now_ms + 300)
    led_before = _in_office(net)
    took.append(_change(net, rows))
    net.run(net.now_ms + 600)
    led_after = _in_office(net)
    began = net.now_ms
    for row in led_after:
        net.resign(row)
    net.run(began + 8_000, stop=lambda: has_leaders(net))
    took.append(net.now_ms - began)
    return took, led_before, led_after


def _in_office(net):
    return [row for row, one in net.members.items() if one.role is Role.LEADER]


def _change(net, *components):
    began = net.now_ms
    net.partition(*components)
    net.run(began + election.SETTLE_MS)
    net.run(began + 8_000, stop=lambda: has_leaders(net) and _is_single(net))
    return net.now_ms - began


def _is_single(net):
    return all(sum(net.members[row].role is Role.LEADER for row in one) <= 1 for one in net.components)


def check_stories(seeds):
    """Safety is checked by the network at every event; here how long it took, and what healing left."""
    stories = [story(seed) for seed in seeds]
    took_ms = np.array([one[0] for one in stories])
    assert np.percentile(took_ms, 99, axis=0).max() <= 2_000
    for _, before, after in stories:
        assert len(before) == 2
        assert len(after) == 1 and after[0] in before, "healing demotes exactly one"
    return took_ms


def harder_story(seed):
    """Several islands heal at once, then while they still elect, then while a leader crashes.

    Return the loss of messages, who led before the first healing, who does afterwards, and whether anybody does at
    the end.
    """
    random = Random(seed)
    net = Network(random.randint(4, 9), seed, loss=random.choice((0.0, 0.3, 0.45)))
    rows = list(range(net.n))
    net.run(3_000)
    _cut(net, rows, random)
    net.run(net.now_ms + 3_000)
    net.run(net.now_ms + 3_000, stop=lambda: has_leaders(net))
    led_before = set(_in_office(net))
    net.partition(rows)
    # Who has not noticed yet may still be elected by its own component.
    net.run(net.now_ms + election.SETTLE_MS, stop=lambda: led_before.update(_in_office(net)))
    net.run(net.now_ms + 2_000)
    led_after = _in_office(net)
    for _ in range(2):
        _cut(net, rows, random)
        net.run(net.now_ms + random.randint(0, 1_200))
        net.partition(rows)
        net.run(net.now_ms + random.randint(0, 300))
        for row in _in_office(net)[:1]:
            net.crash(row)
        net.run(net.now_ms + random.randint(0, 900))
        for row in rows:
            net.restart(row)
    net.run(net.now_ms + 4_000, stop=lambda: has_leaders(net))
    return net.loss, led_before, led_after, has_leaders(net)


def _cut(net, rows, random):
    random.shuffle(rows)
    at = sorted(random.sample(range(1, net.n), random.randint(1, 3)))
    net.partition(*(rows[low:high] for low, high in pairwise([0, *at, net.n])))


def check_harder_stories(seeds):
    """Safety is checked at every event, also where so much is lost that leaders cannot stay in office."""
    for seed in seeds:
        loss, before, after, is_led = harder_story(seed)
        assert is_led
        if loss <= 0.3:
            assert len(before) >= 2
            assert len(after) == 1 and after[0] in before, "healing demotes all but one"


def test_no_two_leaders_in_a_term_and_component_and_one_within_two_seconds():
    check_stories(range(250))


@pytest.mark.slow
def test_the_same_over_ten_thousand_seeds():
    check_stories(range(10_000))


def test_of_several_islands_that_heal_at_once_one_leader_remains():
    check_harder_stories(range(60))


@pytest.mark.slow
def test_the_same_of_harder_stories_over_three_thousand_seeds():
    check_harder_stories(range(3_000))


def test_the_same_seed_tells_the_same_story():
    assert story(11) == story(11)


def test_a_component_of_one_leads_itself():
    net = Network(1, 5)
    net.run(1_000)
    assert net.leaders() == [0]


def test_without_a_living_majority_nobody_leads():
    net = Network(4, 3)
    net.run(3_000, stop=lambda: has_leaders(net))
    for row in (0, 1):
        net.crash(row)
    net.run(net.now_ms + election.LEASE_MS + 100)
    for _ in range(20):
        net.run(net.now_ms + 100)
        assert net.leaders() == []


def test_who_only_votes_never_leads():
    for seed in range(20):
        net = Network(5, seed, standby=frozenset({0, 1, 2, 3}))
        net.run(3_000, stop=lambda: has_leaders(net))  # noqa: B023
        assert net.leaders() == [4]


def test_a_lost_branch_costs_no_election():
    """The leader goes on in what is left of its component."""
    net = Network(7, 2, loss=0.0)
    net.run(3_000, stop=lambda: has_leaders(net))
    (leader,) = net.leaders()
    term = net.members[leader].term
    lost = (leader + 1) % 7
    net.partition(set(range(7)) - {lost}, {lost})
    net.run(net.now_ms + 2_000)
    assert net.members[leader].leads(net.now_ms) and net.members[leader].term == term
    assert set(net.leaders()) == {leader, lost}


def test_terms_belong_to_their_candidate():
    standing, requests = ticked(member(2, 7, THREE, 0), 10_000)
    assert standing.role is Role.CANDIDATE
    assert election.candidate_of(standing.term) == 2 and count_of(standing.term) == 1
    assert {m.receiver for m in requests} == {0, 1}
    stolen = Message(Kind.REQUEST, 0, 1, standing.term, THREE)
    voter = member(1, 7, THREE, 0)
    assert received(voter, stolen, 5) == (voter, ())


def voted_for_2():
    voter, answer = received(member(1, 7, THREE, 0), Message(Kind.REQUEST, 2, 1, 1_026, THREE), 5)
    assert [(m.kind, m.receiver, m.term) for m in answer] == [(Kind.VOTE, 2, 1_026)]
    return voter


def test_a_lower_term_is_refused_and_told_the_higher():
    _, answer = received(voted_for_2(), Message(Kind.REQUEST, 0, 1, 1_024, THREE), 6)
    assert [(m.kind, m.term) for m in answer] == [(Kind.REFUSAL, 1_026)]


def test_a_vote_survives_a_crash_and_a_restarted_member_waits_a_lease():
    again = restarted(voted_for_2(), THREE, 100)
    assert again.voted == 1_026
    later = Message(Kind.REQUEST, 2, 1, 2_050, THREE)
    assert received(again, later, 100 + election.LEASE_MS - 1)[1] == ()
    assert received(again, later, 100 + election.LEASE_MS)[1][0].kind is Kind.VOTE


def test_who_follows_a_leader_votes_for_nobody_while_the_promise_lasts():
    follower, ack = received(voted_for_2(), Message(Kind.HEARTBEAT, 2, 1, 1_026, THREE, sent_ms=40), 50)
    assert ack[0].kind is Kind.ACK and ack[0].sent_ms == 40
    higher = Message(Kind.REQUEST, 0, 1, 9_216, THREE)
    assert received(follower, higher, 50 + election.LEASE_MS - 1)[1] == ()
    assert received(follower, higher, 50 + election.LEASE_MS)[1][0].kind is Kind.VOTE


def test_messages_of_another_component_are_not_heard():
    voter = member(1, 7, THREE, 0)
    assert received(voter, Message(Kind.REQUEST, 2, 1, 1_026, frozenset({1, 2})), 5) == (voter, ())


def leader_of_three():
    standing, _ = ticked(member(2, 7, THREE, 0), 10_000)
    leader, _ = received(standing, Message(Kind.VOTE, 0, 2, standing.term, THREE), 10_020)
    assert leader.role is Role.LEADER
    return leader


def test_an_elected_leader_commands_only_when_a_majority_has_promised():
    leader = leader_of_three()
    assert not leader.leads(10_020)
    acked, _ = received(leader, Message(Kind.ACK, 0, 2, leader.term, THREE, sent_ms=10_020), 10_060)
    assert acked.leads(10_060)
    assert acked.leads(10_020 + election.LEASE_MS - 1)
    assert not acked.leads(10_020 + election.LEASE_MS)


def test_a_leader_that_nobody_acknowledges_steps_down():
    leader = leader_of_three()
    after, _ = ticked(leader, 10_020 + election.LEASE_MS)
    assert after.role is Role.FOLLOWER


def test_a_leader_steps_down_before_a_higher_term():
    leader = leader_of_three()
    after, answer = received(leader, Message(Kind.HEARTBEAT, 1, 2, 9_217, THREE, sent_ms=1), 10_030)
    assert after.role is Role.FOLLOWER and after.leader == 1
    assert [(m.kind, m.receiver, m.term) for m in answer] == [(Kind.ACK, 1, 9_217), (Kind.HANDOVER, 0, 9_217)]


@pytest.mark.parametrize("kind", [Kind.REFUSAL, Kind.REQUEST])
def test_a_leader_goes_on_above_a_higher_term_that_nobody_leads(kind):
    leader = leader_of_three()
    after, answer = received(leader, Message(kind, 1, 2, 9_217, THREE), 10_030)
    assert after.role is Role.LEADER and after.acked_ms == leader.acked_ms
    assert (election.candidate_of(after.term), count_of(after.term)) == (2, 10) and after.voted == after.term
    assert [(m.kind, m.receiver, m.term) for m in answer] == [(Kind.HEARTBEAT, 1, after.term)]


def test_a_leader_answers_a_lower_one_that_it_leads():
    leader = leader_of_three()
    after, answer = received(leader, Message(Kind.HEARTBEAT, 0, 2, 1_024 - 1_024, THREE), 10_030)
    assert after == leader
    assert [(m.kind, m.receiver, m.term) for m in answer] == [(Kind.HEARTBEAT, 0, leader.term)]


def follower_of_2():
    follower, _ = received(voted_for_2(), Message(Kind.HEARTBEAT, 2, 1, 1_026, THREE, sent_ms=40), 50)
    return follower


def test_a_promise_is_handed_over_to_whom_the_leader_follows_and_to_nobody_else():
    bound, _ = received(follower_of_2(), Message(Kind.HANDOVER, 2, 1, 9_216, THREE), 60)
    assert (bound.leader, bound.bound_until_ms) == (0, 50 + election.LEASE_MS)
    assert received(bound, Message(Kind.HEARTBEAT, 0, 1, 9_216, THREE), 70)[1][0].kind is Kind.ACK
    assert received(bound, Message(Kind.HEARTBEAT, 2, 1, 9_218, THREE), 70)[1] == ()


@pytest.mark.parametrize(("sender", "term"), [(0, 9_216), (2, 2), (2, 1_025)])
def test_a_handover_by_another_or_to_a_lower_term_changes_nothing(sender, term):
    follower = follower_of_2()
    assert received(follower, Message(Kind.HANDOVER, sender, 1, term, THREE), 60) == (follower, ())


def test_a_leader_that_resigns_frees_its_followers_when_their_component_has_settled():
    leader = leader_of_three()
    gone, told = election.resigned(leader, 10_100)
    assert gone.role is Role.FOLLOWER and gone.standby
    assert {(m.kind, m.receiver, m.term) for m in told} == {
        (Kind.HANDOVER, row, leader.term) for row in (0, 1)
    }
    free, _ = received(follower_of_2(), Message(Kind.HANDOVER, 2, 1, 1_026, THREE), 60)
    assert (free.leader, free.bound_until_ms) == (-1, 60 + election.SETTLE_MS)


def test_who_hears_another_leader_than_its_own_neither_stands_nor_votes():
    heard, answer = received(follower_of_2(), Message(Kind.HEARTBEAT, 0, 1, 9_216, THREE), 600)
    assert answer == () and heard.stands_ms > 600 + election.LEASE_MS
    asked = Message(Kind.REQUEST, 0, 1, 10_240, THREE)
    assert received(heard, asked, 600 + election.LEASE_MS - 1)[1] == ()
    assert received(heard, asked, 600 + election.LEASE_MS)[1][0].kind is Kind.VOTE


@pytest.mark.parametrize(
    ("row", "component"), [(5, THREE), (0, frozenset({0, 1_024})), (0, frozenset({0, -1}))]
)
def test_a_member_outside_its_component_or_out_of_range_is_refused(row, component):
    with pytest.raises(ValueError, match=r"need rows in 0\.\.1023"):
        member(row, 1, component, 0)


def test_timeouts_spread_over_their_whole_range():
    drawn = [member(row, seed, frozenset(range(10)), 0).stands_ms for row in range(10) for seed in range(40)]
    assert min(drawn) < election.TIMEOUT_MIN_MS + 20
    assert max(drawn) >= election.TIMEOUT_MIN_MS + election.TIMEOUT_SPREAD_MS - 20
    assert isinstance(member(0, 1, THREE, 0), Member)
