"""Attacks on agents, meters' installation, roles, and the readings that other contracts ask for."""

from node.chain.typed_data import Reading
from tests.contract.scenes import Act, attack
from tests.contract.world import World

LAST_REGISTER = 2**55 - 1
LAST_CAPACITY = 2**39 - 1
LAST_INTERVAL = 2**24 - 1


@attack("registry: owner")
def a_stranger_changes_an_agent(w: World) -> Act:
    return lambda: w.send(w.stranger, "set_agent", w.ann.account, w.stranger.address)


@attack("registry: owner")
def an_agent_replaces_itself(w: World) -> Act:
    return lambda: w.send(w.ann.agent, "set_agent", w.ann.account, w.stranger.address)


@attack("registry: owner")
def the_supplier_gives_its_account_an_agent(w: World) -> Act:
    return lambda: w.send(w.keys["grid"], "set_agent", 0, w.stranger.address)


@attack("registry: owner")
def the_fee_account_gets_an_agent(w: World) -> Act:
    return lambda: w.send(w.keys["fees"], "set_agent", 1, w.stranger.address)


@attack("registry: pending")
def an_agent_is_changed_again_before_the_old_ones_intervals_are_over(w: World) -> Act:
    w.send(w.ann.owner, "set_agent", w.ann.account, w.stranger.address)
    since = w.interval + 1 + w.parameters.notice_intervals
    w.evm.time_s = w.end_s(since) + w.parameters.fill_window_s - 1
    return lambda: w.send(w.ann.owner, "set_agent", w.ann.account, w.ben.agent.address)


@attack("ledger: interval")
def an_agent_would_count_from_an_interval_beyond_24_bits(w: World) -> Act:
    # the bit that does not fit would pass for another epoch, and the agent for one that counts already
    w.evm.time_s = (LAST_INTERVAL - w.parameters.notice_intervals) * w.parameters.length_s
    return lambda: w.send(w.ann.owner, "set_agent", w.ann.account, w.stranger.address)


@attack("ledger: interval")
def a_new_meter_would_count_from_an_interval_beyond_24_bits(w: World) -> Act:
    delay = w.parameters.exit_delay_s // w.parameters.length_s
    w.evm.time_s = (LAST_INTERVAL - delay) * w.parameters.length_s
    return lambda: w.send(w.keys["registrar"], "replace_meter", w.ann.account, w.stranger.address, 0)


@attack("ledger: interval")
def a_meter_is_installed_after_the_last_interval(w: World) -> Act:
    w.evm.time_s = (LAST_INTERVAL + 1) * w.parameters.length_s
    return _install(w)


# ---------------------------------------------------------------- installation


def _install(w: World, *, account: int | None = None, **changes: object) -> Act:
    values = {"meter": w.stranger.address, "register": 0, "zone": 0, "capacity": 1} | changes
    sender = values.pop("sender", w.keys["registrar"])
    target = w.lot.account if account is None else account
    return lambda: w.send(sender, "install", target, *values.values())  # type: ignore[arg-type]


@attack("registry: role")
def a_stranger_installs_a_meter(w: World) -> Act:
    return _install(w, sender=w.stranger)


@attack("registry: role")
def the_operator_installs_a_meter(w: World) -> Act:
    return _install(w, sender=w.keys["operator"])


@attack("registry: account")
def a_meter_is_installed_twice(w: World) -> Act:
    return _install(w, account=w.ann.account)


@attack("registry: account")
def a_meter_is_installed_for_the_supplier(w: World) -> Act:
    return _install(w, account=0)


@attack("registry: account")
def a_meter_is_installed_for_the_fee_account(w: World) -> Act:
    return _install(w, account=1)


@attack("registry: account")
def a_meter_is_installed_for_an_account_out_of_range(w: World) -> Act:
    return _install(w, account=w.view("count"))


@attack("registry: meter")
def meter_zero_is_installed(w: World) -> Act:
    return _install(w, meter=bytes(20))


@attack("registry: register")
def a_meter_starts_above_its_field(w: World) -> Act:
    return _install(w, register=LAST_REGISTER + 1)


@attack("registry: register")
def a_meter_starts_below_its_field(w: World) -> Act:
    return _install(w, register=-LAST_REGISTER - 1)


@attack("registry: site")
def a_zone_is_out_of_range(w: World) -> Act:
    return _install(w, zone=32)


@attack("registry: site")
def a_zone_would_reach_into_the_next_field(w: World) -> Act:
    return _install(w, zone=256)


@attack("registry: site")
def a_capacity_does_not_fit_a_position(w: World) -> Act:
    return _install(w, capacity=LAST_CAPACITY + 1)


# ---------------------------------------------------------------- changes of a site


@attack("registry: role")
def a_stranger_raises_a_capacity(w: World) -> Act:
    return lambda: w.send(w.ann.owner, "raise_capacity", w.ann.account, LAST_CAPACITY)


@attack("registry: site")
def a_capacity_is_lowered(w: World) -> Act:
    return lambda: w.send(w.keys["registrar"], "raise_capacity", w.ann.account, 9_999_999)


@attack("registry: site")
def a_capacity_is_raised_to_what_it_is(w: World) -> Act:
    return lambda: w.send(w.keys["registrar"], "raise_capacity", w.ann.account, 10_000_000)


@attack("registry: site")
def a_capacity_is_raised_above_its_field(w: World) -> Act:
    return lambda: w.send(w.keys["registrar"], "raise_capacity", w.ann.account, LAST_CAPACITY + 1)


@attack("registry: account")
def a_capacity_is_raised_where_no_meter_is(w: World) -> Act:
    return lambda: w.send(w.keys["registrar"], "raise_capacity", w.lot.account, 1)


def _replace(w: World, *, sender: object = None, account: int | None = None, **changes: object) -> Act:
    values = {"meter": w.stranger.address, "offset": 0} | changes
    by = sender or w.keys["registrar"]
    target = w.ann.account if account is None else account
    return lambda: w.send(by, "replace_meter", target, *values.values())  # type: ignore[arg-type]


@attack("registry: role")
def a_stranger_replaces_a_meter(w: World) -> Act:
    return _replace(w, sender=w.ann.owner)


@attack("registry: account")
def a_meter_is_replaced_where_none_is(w: World) -> Act:
    return _replace(w, account=w.lot.account)


@attack("registry: meter")
def a_meter_is_replaced_by_zero(w: World) -> Act:
    return _replace(w, meter=bytes(20))


@attack("registry: register")
def a_new_meters_offset_is_above_its_field(w: World) -> Act:
    return _replace(w, offset=LAST_REGISTER + 1)


@attack("registry: register")
def a_new_meters_offset_is_below_its_field(w: World) -> Act:
    return _replace(w, offset=-LAST_REGISTER - 1)


@attack("registry: pending")
def a_meter_that_is_due_is_replaced_before_its_first_reading(w: World) -> Act:
    _replace(w)()
    w.evm.time_s += w.parameters.exit_delay_s + w.parameters.length_s
    return _replace(w, meter=w.ben.meter.address)


# ---------------------------------------------------------------- roles


@attack("registry: role")
def a_stranger_takes_a_role(w: World) -> Act:
    return lambda: w.send(w.stranger, "rotate_role", 0, w.stranger.address)


@attack("registry: role")
def a_role_takes_another_role(w: World) -> Act:
    return lambda: w.send(w.keys["operator"], "rotate_role", 1, w.keys["operator"].address)


@attack("registry: role")
def a_role_out_of_range_is_taken(w: World) -> Act:
    return lambda: w.send(w.stranger, "rotate_role", 4, w.stranger.address)


@attack("registry: role")
def an_heir_acts_a_second_before_his_time(w: World) -> Act:
    w.send(w.keys["registrar"], "rotate_role", 2, w.stranger.address)
    w.evm.time_s += w.parameters.role_delay_s - 1
    return _install(w, sender=w.stranger)


@attack("registry: role")
def a_former_holder_acts(w: World) -> Act:
    w.send(w.keys["registrar"], "rotate_role", 2, w.stranger.address)
    w.evm.time_s += w.parameters.role_delay_s
    return _install(w)


@attack("registry: signature")
def an_operator_who_gave_up_its_role_signs_a_chunk(w: World) -> Act:
    w.send(w.keys["operator"], "rotate_role", 0, w.stranger.address)
    w.evm.time_s += w.parameters.role_delay_s
    w.t = w.interval - 1
    return lambda: w.do()


@attack("registry: signature")
def a_role_given_to_nobody_signs_with_zeros(w: World) -> Act:
    w.send(w.keys["operator"], "rotate_role", 0, bytes(20))
    w.evm.time_s += w.parameters.role_delay_s
    w.t = w.interval - 1
    call = (0, 0, w.view("next_seq"), w.t, 0, [], [], [], [])
    return lambda: w.send(w.stranger, "settle", *call)


# ---------------------------------------------------------------- readings for other contracts


def _verify(w: World, register: int, signed: int | None = None) -> Act:
    message = Reading(w.ann.account, w.t, 0 if signed is None else signed)
    signature = w.sign(w.ann.meter, message)
    return lambda: w.view("verify_reading", w.ann.account, w.t, register, *signature)


@attack("registry: signature")
def another_contract_is_shown_a_register_that_no_meter_signed(w: World) -> Act:
    return _verify(w, 6, signed=5)


@attack("registry: register")
def another_contract_is_shown_a_register_above_its_field(w: World) -> Act:
    return _verify(w, LAST_REGISTER + 1)


@attack("registry: register")
def another_contract_is_shown_a_register_below_its_field(w: World) -> Act:
    return _verify(w, -LAST_REGISTER - 1)
