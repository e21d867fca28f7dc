"""Leadership: renewed by its holder, taken over when it has run out, always with a higher fencing number."""

import pytest

from node.controller.errors import InvalidLease
from node.controller.takeover import LEADERSHIP_S, PERIOD_S, TAKEOVER_S, Leadership, claim


def test_the_holder_renews_and_keeps_its_fencing_number():
    lease = claim(Leadership(1, 7, 10.0), 1, 9.9)
    assert lease == Leadership(1, 7, 9.9 + LEADERSHIP_S)


def test_nobody_else_gets_it_while_it_runs():
    with pytest.raises(InvalidLease, match="controller 1 leads until 10"):
        claim(Leadership(1, 7, 10.0), 2, 9.999)


def test_the_standby_takes_over_when_it_has_run_out():
    assert claim(Leadership(1, 7, 10.0), 2, 10.0) == Leadership(2, 8, 10.0 + LEADERSHIP_S)


def test_a_holder_that_slept_comes_back_with_a_new_number():
    assert claim(Leadership(1, 7, 10.0), 1, 12.0).fence == 8


def test_takeover_ends_within_a_second_of_the_last_renewal():
    # Both ask every period; the active one dies right after renewing at t = 0.
    lease = Leadership(1, 0, LEADERSHIP_S)
    ticks = 0
    while lease.holder != 2:
        ticks += 1
        now_s = ticks * PERIOD_S
        if now_s >= lease.until_s - 1e-12:
            lease = claim(lease, 2, max(now_s, lease.until_s))
    assert ticks * PERIOD_S <= TAKEOVER_S < 1.0
