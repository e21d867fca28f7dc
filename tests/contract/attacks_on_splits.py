"""Attacks on the split of a flexibility event's revenue."""

from node.chain.typed_data import Reading
from tests.contract.attacks_on_money import with_hostile_token
from tests.contract.flex import BASELINES, BEFORE, REVENUE, Flex, leaf
from tests.contract.scenes import Act, attack
from tests.contract.world import BALANCE_BOUND, World

# ---------------------------------------------------------------- opening


@attack("split: interval")
def an_event_is_opened_after_it_began(w: World) -> Act:
    flex = Flex(w)
    return lambda: flex.open(first=w.interval, last=w.interval + 1)


@attack("split: interval")
def an_event_ends_before_it_begins(w: World) -> Act:
    flex = Flex(w)
    return lambda: flex.open(first=w.interval + 2, last=w.interval + 1)


@attack("split: interval")
def an_event_ends_beyond_24_bits(w: World) -> Act:
    flex = Flex(w)
    return lambda: flex.open(first=w.interval + 1, last=2**24)


@attack("split: revenue")
def an_event_is_worth_nothing(w: World) -> Act:
    flex = Flex(w)
    return lambda: flex.open(first=w.interval + 1, last=w.interval + 1, revenue=0)


@attack("split: revenue")
def an_event_is_worth_more_than_there_can_be(w: World) -> Act:
    flex = Flex(w)
    return lambda: flex.open(first=w.interval + 1, last=w.interval + 1, revenue=BALANCE_BOUND + 1)


@attack("token: allowance")
def an_event_is_opened_without_money(w: World) -> Act:
    return lambda: w.split(w.stranger, "open", bytes(32), w.interval + 1, w.interval + 1, 1)


@attack("split: token")
def a_token_says_that_opening_failed(w: World) -> Act:
    h = with_hostile_token(w)
    h.evm.send(h.carrier, h.deployment.token, w.hostile.encode("lie"))
    return lambda: h.split(h.stranger, "open", bytes(32), h.interval + 1, h.interval + 1, 1)


@attack("split: token")
def a_token_refuses_the_splits_approval(w: World) -> Act:
    h = with_hostile_token(w)
    h.evm.send(h.carrier, h.deployment.token, w.hostile.encode("lie"))
    data = h.contracts.split.creation(h.deployment.settlement, h.parameters.record_for_s)
    return lambda: h.evm.create(h.carrier, data)


@attack("split: record for")
def a_split_leaves_no_time_to_record(w: World) -> Act:
    data = w.contracts.split.creation(w.deployment.settlement, 3_599)
    return lambda: w.evm.create(w.carrier, data)


@attack("split: record for")
def a_split_never_pays(w: World) -> Act:
    data = w.contracts.split.creation(w.deployment.settlement, 366 * 86_400 + 1)
    return lambda: w.evm.create(w.carrier, data)


# ---------------------------------------------------------------- recording


@attack("split: event")
def a_contribution_is_recorded_to_no_event(w: World) -> Act:
    flex = Flex(w)
    return lambda: flex.record("ann", id=7)


@attack("split: time")
def a_contribution_is_recorded_before_the_event_is_over(w: World) -> Act:
    flex = Flex(w)
    w.evm.time_s = w.end_s(flex.last) - 1
    return lambda: flex.record("ann")


@attack("split: time")
def a_contribution_is_recorded_when_paying_has_begun(w: World) -> Act:
    flex = Flex(w)
    flex.close()
    return lambda: flex.record("ann")


@attack("split: recorded")
def a_contribution_is_recorded_twice(w: World) -> Act:
    flex = Flex(w)
    flex.record("ann")
    return lambda: flex.record("ann")


@attack("split: baseline")
def a_contribution_is_measured_against_another_baseline(w: World) -> Act:
    flex = Flex(w)
    return lambda: flex.record("ann", baseline=BASELINES["ann"] - 1)


@attack("split: baseline")
def a_contribution_is_proved_with_somebody_elses_leaf(w: World) -> Act:
    flex = Flex(w)
    proof = flex.tree.proof(leaf(w.ben.account, BASELINES["ben"]))
    return lambda: flex.record("ann", proof=proof)


@attack("split: baseline")
def an_inner_node_passes_for_a_leaf(w: World) -> Act:
    flex = Flex(w)
    return lambda: flex.record("ann", proof=flex.tree.proof(leaf(w.ann.account, 1000))[:-1])


@attack("split: baseline")
def a_baseline_is_too_large_though_its_buyer_committed_to_it(w: World) -> Act:
    flex = Flex(w, leaf(w.ann.account, 2**63))
    return lambda: flex.record("ann", baseline=2**63, proof=[])


@attack("split: baseline")
def a_baseline_is_too_small_though_its_buyer_committed_to_it(w: World) -> Act:
    flex = Flex(w, leaf(w.ann.account, -(2**63)))
    return lambda: flex.record("ann", baseline=-(2**63), proof=[])


@attack("registry: signature")
def a_register_before_the_event_is_forged(w: World) -> Act:
    flex = Flex(w)
    value, r, vs = flex.register("ann", flex.first - 1, BEFORE["ann"])
    return lambda: flex.record("ann", before=(value - 1, r, vs))


@attack("registry: signature")
def a_register_after_the_event_is_of_another_interval(w: World) -> Act:
    flex = Flex(w)
    return lambda: flex.record("ann", after=flex.register("ann", flex.last + 1, 10_000))


@attack("split: meter")
def the_meter_was_exchanged_during_the_event(w: World) -> Act:
    w.send(w.keys["registrar"], "replace_meter", w.ann.account, w.stranger.address, 0)
    w.evm.time_s += w.parameters.exit_delay_s - w.parameters.length_s
    flex = Flex(w)
    first = flex.first + 1  # of the new meter, inside the event
    assert w.interval >= first
    signature = w.sign(w.stranger, Reading(w.ann.account, flex.last, 10_000))
    return lambda: flex.record("ann", after=(10_000, *signature))


@attack("split: undelivered")
def who_met_his_baseline_exactly_is_recorded(w: World) -> Act:
    flex = Flex(w)
    return lambda: flex.record("ann", contribution=0)


@attack("split: undelivered")
def who_fell_short_of_his_baseline_is_recorded(w: World) -> Act:
    flex = Flex(w)
    return lambda: flex.record("ann", contribution=-1)


# ---------------------------------------------------------------- paying


@attack("split: event")
def an_event_that_never_was_is_paid(w: World) -> Act:
    return lambda: w.split(w.carrier, "pay", 7, [])


@attack("split: time")
def an_event_is_paid_while_it_is_recorded(w: World) -> Act:
    flex = Flex(w)
    flex.record("ann")
    flex.close()
    w.evm.time_s -= 1
    return lambda: flex.pay("ann")


@attack("split: share")
def a_share_is_paid_twice(w: World) -> Act:
    flex = Flex(w)
    flex.record("ann")
    flex.record("ben")
    flex.close()
    flex.pay("ann")
    return lambda: flex.pay("ann")


@attack("split: share")
def a_share_is_paid_twice_in_one_call(w: World) -> Act:
    flex = Flex(w)
    flex.record("ann")
    flex.record("ben")
    flex.close()
    return lambda: flex.pay("ben", "ben")


@attack("split: share")
def who_has_no_share_is_paid(w: World) -> Act:
    flex = Flex(w)
    flex.record("ann")
    flex.close()
    return lambda: flex.pay("ben")


# ---------------------------------------------------------------- refunds


@attack("split: time")
def an_event_is_refunded_while_it_is_recorded(w: World) -> Act:
    flex = Flex(w)
    return flex.refund


@attack("split: delivered")
def an_event_in_which_somebody_delivered_is_refunded(w: World) -> Act:
    flex = Flex(w)
    flex.record("ben")
    flex.close()
    return flex.refund


@attack("split: event")
def an_event_is_refunded_twice(w: World) -> Act:
    flex = Flex(w)
    flex.close()
    flex.refund()
    return flex.refund


@attack("split: token")
def a_token_says_that_a_refund_failed(w: World) -> Act:
    h = with_hostile_token(w)
    first = h.interval + 1
    h.split(h.stranger, "open", bytes(32), first, first, REVENUE)
    h.evm.time_s = h.end_s(first) + h.parameters.record_for_s
    h.evm.send(h.carrier, h.deployment.token, w.hostile.encode("lie"))
    return lambda: h.split(h.stranger, "refund", 0)
