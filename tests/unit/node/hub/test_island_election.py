"""Election over the bus: messages that travel as messages, late and lossy, and the same each time."""

import pytest

from node.bus.messages import ElectionNotice, IslandNotice, decode, encode
from node.bus.radio import RadioBus
from node.controller.election import candidate_of
from node.hub.island_election import PATIENCE_MS, elect

MEMBERS = tuple(range(7))


def test_one_of_the_candidates_leads_within_two_seconds():
    for seed in range(60):
        found = elect("street", MEMBERS, frozenset({1, 4}), (), seed, 0.3)
        assert found.leader in (1, 4) and candidate_of(found.term) == found.leader
        assert found.took_ms <= 2_000
        assert 0 < found.lost < found.sent


def test_the_same_seed_elects_the_same_with_the_same_messages():
    assert elect("street", MEMBERS, frozenset({1, 4}), (), 5, 0.3) == elect(
        "street", MEMBERS, frozenset({1, 4}), (), 5, 0.3
    )


def test_terms_outlive_an_election():
    first = elect("street", MEMBERS, frozenset(MEMBERS), (), 1, 0.3)
    second = elect("street", MEMBERS, frozenset(MEMBERS), first.terms, 2, 0.3)
    assert second.term > first.term


def test_a_leader_that_resigns_is_succeeded_by_another_candidate():
    for seed in range(60):
        first = elect("street", MEMBERS, frozenset({1, 4}), (), seed, 0.3)
        left = frozenset({1, 4}) - {first.leader}
        second = elect("street", MEMBERS, left, first.terms, seed + 1_000, 0.3, (first.leader, first.term))
        assert {second.leader} == left and second.term > first.term
        assert second.took_ms <= 2_000


def test_without_a_candidate_nobody_is_elected():
    found = elect("street", MEMBERS, frozenset(), (), 1, 0.3)
    assert (found.leader, found.term) == (-1, 0) and found.took_ms >= PATIENCE_MS


@pytest.mark.parametrize(
    "message",
    [
        ElectionNotice("VOTE", 1, 2, 1_025, (0, 1, 2), 40),
        IslandNotice("street", 7, 3, 1_025, (2, 3), (0.5, 1.0)),
    ],
)
def test_what_islands_say_travels_as_bytes(message):
    assert decode(encode(message)) == message


def test_the_radio_is_late_and_loses_what_its_seed_says():
    heard = []
    bus = RadioBus(3, 0.5, (10, 20))
    bus.subscribe("here", lambda message: heard.append((bus.now_ms, message.term)))
    for term in range(200):
        bus.publish("here", ElectionNotice("ACK", 1, 2, term, (1, 2), 0))
    assert bus.next_ms() is not None and 10 <= bus.next_ms() <= 20
    bus.deliver_until(9)
    assert heard == []
    bus.deliver_until(20)
    assert len(heard) == 200 - bus.lost and 70 < bus.lost < 130
    assert all(10 <= at <= 20 for at, _ in heard)
    assert bus.next_ms() is None
