"""Attacks on readings, tariffs and curtailments."""

from dataclasses import replace

from node.chain.calldata import SignedReading
from node.chain.typed_data import (
    READING_TYPE,
    Curtailment,
    Domain,
    Reading,
    Substitute,
    Tariff,
    Tariffs,
    sign,
)
from tests.contract.scenes import Act, attack
from tests.contract.world import ZONE_TARIFFS, World

SIGNATURE = "registry: signature"
CAPACITY = 10_000_000
LAST_REGISTER = 2**55 - 1

# ---------------------------------------------------------------- the order of readings


@attack("settlement: order of readings")
def an_interval_is_read_twice(w: World) -> Act:
    reading = w.meter(w.ann, 5)
    w.do(readings=[reading])
    return lambda: w.do(readings=[reading])


@attack("settlement: order of readings")
def an_interval_is_read_twice_in_one_chunk(w: World) -> Act:
    return lambda: w.do(readings=[w.meter(w.ann, 5), w.meter(w.ann, 5)])


@attack("settlement: order of readings")
def a_reading_is_skipped(w: World) -> Act:
    w.next_interval()
    return lambda: w.do(readings=[w.meter(w.ann, 5)])


@attack("settlement: order of readings")
def an_interval_before_the_meters_installation_is_read(w: World) -> Act:
    w.publish(w.t - 1, ZONE_TARIFFS)
    w.do()
    return lambda: w.do_read(w.meter(w.ann, 5, interval=w.t - 1), interval=w.t - 1)


@attack("settlement: order of readings")
def the_suppliers_account_is_read(w: World) -> Act:
    reading = replace(w.meter(w.ann, 5), account=0)
    return lambda: w.do(readings=[reading])


@attack("settlement: order of readings")
def an_account_that_was_never_opened_is_read(w: World) -> Act:
    reading = replace(w.meter(w.ann, 5), account=w.view("count"))
    return lambda: w.do(readings=[reading])


@attack("settlement: fills first")
def a_reading_is_brought_in_before_the_interval_is_filled(w: World) -> Act:
    w.evm.time_s = w.end_s(w.t) + w.parameters.fill_window_s - 1
    return lambda: w.do_read(w.meter(w.ann, 5))


@attack("settlement: fills first")
def a_reading_is_brought_in_while_its_interval_is_being_filled(w: World) -> Act:
    w.do(*w.trade())
    return lambda: w.do_read(w.meter(w.ann, 5))


@attack("ledger: interval")
def a_reading_of_an_interval_beyond_24_bits(w: World) -> Act:
    return lambda: w.do_read(interval=2**24)


# ---------------------------------------------------------------- who signs


@attack(SIGNATURE)
def a_reading_is_signed_by_the_agent(w: World) -> Act:
    return lambda: w.do(readings=[w.meter(w.ann, 5, signer=w.ann.agent)])


@attack(SIGNATURE)
def a_reading_is_of_another_meter(w: World) -> Act:
    return lambda: w.do(readings=[w.meter(w.ann, 5, signer=w.ben.meter)])


@attack(SIGNATURE)
def a_reading_is_claimed_by_another_account(w: World) -> Act:
    reading = replace(w.meter(w.ann, 5), account=w.ben.account)
    return lambda: w.do(readings=[reading])


@attack(SIGNATURE)
def a_register_is_changed_after_signing(w: World) -> Act:
    reading = replace(w.meter(w.ann, 5), register_milli_wh=6)
    return lambda: w.do(readings=[reading])


@attack(SIGNATURE)
def a_reading_of_another_interval_is_replayed(w: World) -> Act:
    w.do(readings=[w.meter(w.ann, 5)])
    old = w.meter(w.ann, 5)
    w.next_interval()
    return lambda: w.do(readings=[old])


@attack(SIGNATURE)
def a_reading_of_another_chain_is_replayed(w: World) -> Act:
    message = Reading(w.ann.account, w.t, 5)
    foreign = sign(w.ann.meter, Domain(w.domain.chain_id + 1, w.domain.contract), message)
    reading = replace(w.meter(w.ann, 5), signature=foreign)
    return lambda: w.do(readings=[reading])


# ---------------------------------------------------------------- registers


@attack("settlement: register")
def a_register_jumps_up_by_more_than_the_connection_carries(w: World) -> Act:
    return lambda: w.do(readings=[w.meter(w.ann, CAPACITY + 1)])


@attack("settlement: register")
def a_register_jumps_down_by_more_than_the_connection_carries(w: World) -> Act:
    return lambda: w.do(readings=[w.meter(w.ann, -CAPACITY - 1)])


@attack("settlement: register")
def a_register_leaves_its_field_upwards(w: World) -> Act:
    member = w.join("at the top", register_milli_wh=LAST_REGISTER)
    w.t = w.interval + 1
    w.pass_intervals(2)
    w.publish(w.t, ZONE_TARIFFS)
    # more than the reading's EIP-712 type takes
    signature = w.sign_raw(member.meter, READING_TYPE, member.account, w.t, LAST_REGISTER + 1)
    reading = SignedReading(member.account, LAST_REGISTER + 1, False, signature)
    return lambda: w.do(readings=[reading])


@attack("settlement: register")
def a_register_leaves_its_field_downwards(w: World) -> Act:
    member = w.join("at the bottom", register_milli_wh=-LAST_REGISTER)
    w.t = w.interval + 1
    w.pass_intervals(2)
    w.publish(w.t, ZONE_TARIFFS)
    return lambda: w.do(readings=[w.meter(member, -LAST_REGISTER - 1)])


# ---------------------------------------------------------------- substitutes


@attack("settlement: substitute")
def a_substitute_comes_a_second_too_early(w: World) -> Act:
    w.wait_for_substitutes()
    w.evm.time_s -= 1
    return lambda: w.do_read(w.substitute(w.ann, w.t, 5))


@attack("settlement: substitute")
def a_substitute_comes_in_the_operators_chunk(w: World) -> Act:
    return lambda: w.do(readings=[w.substitute(w.ann, w.t, 5)])


@attack(SIGNATURE)
def a_substitute_is_signed_by_the_operator(w: World) -> Act:
    w.wait_for_substitutes()
    return lambda: w.do_read(w.substitute(w.ann, w.t, 5, signer=w.keys["operator"]))


@attack(SIGNATURE)
def a_meters_reading_passes_for_a_substitute(w: World) -> Act:
    w.wait_for_substitutes()
    return lambda: w.do_read(replace(w.meter(w.ann, 5), is_substitute=True))


@attack(SIGNATURE)
def a_substitute_passes_for_a_meters_reading(w: World) -> Act:
    w.wait_for_substitutes()
    return lambda: w.do_read(replace(w.substitute(w.ann, w.t, 5), is_substitute=False))


@attack(SIGNATURE)
def a_registrar_signs_a_reading_instead_of_a_substitute(w: World) -> Act:
    return lambda: w.do(readings=[w.meter(w.ann, 5, signer=w.keys["registrar"])])


# ---------------------------------------------------------------- exchanged meters


def _exchange(w: World) -> int:
    """Exchange Ann's meter for the stranger's key; return the first interval it counts in."""
    w.send(w.keys["registrar"], "replace_meter", w.ann.account, w.stranger.address, 100)
    return w.interval + 1 + w.parameters.exit_delay_s // w.parameters.length_s


@attack(SIGNATURE)
def a_new_meter_reads_before_its_time(w: World) -> Act:
    _exchange(w)
    return lambda: w.do(readings=[w.meter(w.ann, 5, signer=w.stranger)])


@attack(SIGNATURE)
def an_old_meter_reads_after_its_time(w: World) -> Act:
    first = _exchange(w)
    w.wait_for_substitutes()
    while w.t < first:
        w.evm.time_s = max(w.evm.time_s, w.end_s(w.t) + w.parameters.fill_window_s)
        w.do_read(w.meter(w.ann, 5))
        w.next_interval()
    return lambda: w.do(readings=[w.meter(w.ann, 5)])


# ---------------------------------------------------------------- tariffs


@attack("settlement: tariffs")
def an_interval_is_read_before_its_tariffs_are_published(w: World) -> Act:
    w.do(readings=[w.meter(w.ann, 5)])
    w.t += 1
    w.pass_intervals(1)
    return lambda: w.do(readings=[w.meter(w.ann, 5)])


@attack("settlement: tariffs")
def a_reading_comes_with_other_tariffs_in_a_chunk(w: World) -> Act:
    return lambda: w.do(readings=[w.meter(w.ann, 5)], tariffs=(Tariff(300_000, 300_000), ZONE_TARIFFS[1]))


@attack("settlement: tariffs")
def a_reading_comes_with_other_tariffs(w: World) -> Act:
    w.close_fills()
    return lambda: w.read(w.t, [w.meter(w.ann, 5)], ZONE_TARIFFS[:1])


@attack("settlement: zone")
def a_zone_without_a_tariff_is_read_in_a_chunk(w: World) -> Act:
    w.do(readings=[w.meter(w.zoe, 5)])
    w.t += 1
    w.pass_intervals(1)
    w.publish(w.t, ZONE_TARIFFS[:1])
    return lambda: w.do(readings=[w.meter(w.zoe, 5)], tariffs=ZONE_TARIFFS[:1])


@attack("settlement: zone")
def a_zone_without_a_tariff_is_read(w: World) -> Act:
    w.do(readings=[w.meter(w.zoe, 5)])
    w.t += 1
    w.publish(w.t, ZONE_TARIFFS[:1])
    w.close_fills()
    return lambda: w.read(w.t, [w.meter(w.zoe, 5)], ZONE_TARIFFS[:1])


@attack("settlement: published")
def tariffs_are_published_twice(w: World) -> Act:
    return lambda: w.publish(w.t, (Tariff(1, 0), Tariff(1, 0)))


@attack(SIGNATURE)
def tariffs_are_published_by_a_stranger(w: World) -> Act:
    signature = w.sign(w.stranger, Tariffs(w.t + 1, ZONE_TARIFFS))
    return lambda: w.send(w.stranger, "publish_tariffs", w.t + 1, list(ZONE_TARIFFS), *signature)


@attack(SIGNATURE)
def a_published_table_differs_from_the_signed_one(w: World) -> Act:
    signature = w.sign(w.keys["oracle"], Tariffs(w.t + 1, ZONE_TARIFFS))
    return lambda: w.send(w.carrier, "publish_tariffs", w.t + 1, list(ZONE_TARIFFS[::-1]), *signature)


@attack("settlement: tariff")
def too_much_is_worth_more_than_too_little(w: World) -> Act:
    return lambda: w.publish(w.t + 1, (Tariff(80_000, 80_001),))


@attack("settlement: tariff")
def a_tariff_is_above_the_cap(w: World) -> Act:
    return lambda: w.publish(w.t + 1, (Tariff(w.parameters.price_cap_micro_per_kwh + 1, 0),))


@attack("settlement: tariff")
def a_tariff_is_below_the_cap(w: World) -> Act:
    return lambda: w.publish(w.t + 1, (Tariff(0, -w.parameters.price_cap_micro_per_kwh - 1),))


# ---------------------------------------------------------------- curtailments


@attack("ledger: interval")
def a_curtailment_is_of_an_interval_beyond_24_bits(w: World) -> Act:
    w.evm.time_s = 2**24 * w.parameters.length_s
    values = (w.ann.account, 2**24, 500)
    kind = "Curtailment(uint32 account,uint24 interval,uint40 quantity)"
    signature = w.sign_raw(w.keys["curtailer"], kind, *values)
    return lambda: w.send(w.carrier, "curtail", *values, *signature)


@attack("registry: curtailed")
def a_curtailment_is_replayed(w: World) -> Act:
    w.curtail(w.ann, w.t, 5)
    return lambda: w.curtail(w.ann, w.t, 5)


@attack("registry: curtailed")
def a_curtailment_is_raised(w: World) -> Act:
    w.curtail(w.ann, w.t, 5)
    return lambda: w.curtail(w.ann, w.t, 6)


@attack("registry: read")
def a_read_interval_is_curtailed(w: World) -> Act:
    w.do(readings=[w.meter(w.ann, 5)])
    return lambda: w.curtail(w.ann, w.t, 5)


@attack("registry: quantity")
def a_curtailment_is_of_nothing(w: World) -> Act:
    return lambda: w.curtail(w.ann, w.t, 0)


@attack("registry: quantity")
def a_curtailment_is_larger_than_any_connection(w: World) -> Act:
    return lambda: w.curtail(w.ann, w.t, 2**39)


@attack("registry: notice")
def a_curtailment_is_further_ahead_than_any_auction(w: World) -> Act:
    return lambda: w.curtail(w.ann, w.interval + w.parameters.notice_intervals + 1, 5)


@attack("registry: account")
def an_account_without_a_meter_is_curtailed(w: World) -> Act:
    return lambda: w.curtail(w.lot, w.t, 5)


@attack(SIGNATURE)
def a_curtailment_is_signed_by_the_one_it_pays(w: World) -> Act:
    signature = w.sign(w.ann.agent, Curtailment(w.ann.account, w.t, 5))
    return lambda: w.send(w.ann.owner, "curtail", w.ann.account, w.t, 5, *signature)


@attack(SIGNATURE)
def a_curtailment_is_given_to_another_account(w: World) -> Act:
    signature = w.sign(w.keys["curtailer"], Curtailment(w.ann.account, w.t, 5))
    return lambda: w.send(w.carrier, "curtail", w.ben.account, w.t, 5, *signature)


@attack(SIGNATURE)
def a_substitute_passes_for_a_curtailment(w: World) -> Act:
    signature = w.sign(w.keys["curtailer"], Substitute(w.ann.account, w.t, 5))
    return lambda: w.send(w.carrier, "curtail", w.ann.account, w.t, 5, *signature)
