"""What debts, exits, keys, tokens and flexibility events do, with figures worked out by hand."""

from node.chain.contracts import GRID
from node.chain.words import AccountWord, KeyWord, MeterWord
from tests.contract.flex import CONTRIBUTIONS, REVENUE, Flex
from tests.contract.scenes import rule
from tests.contract.world import ZONE_TARIFFS, World

SHORT, LONG = ZONE_TARIFFS[0].short_micro_per_kwh, ZONE_TARIFFS[0].long_micro_per_kwh
EVERYTHING = 2**256 - 1


# ---------------------------------------------------------------- debts


@rule
def what_an_account_lacks_is_taken_from_its_exit_and_then_owed(w: World) -> None:
    w.deposit(w.pim.owner, w.pim.account, 10 * SHORT)
    w.send(w.pim.owner, "request_exit", w.pim.account, 4 * SHORT)
    grid, money = w.balance(GRID), w.held()
    w.do(readings=[w.meter(w.pim, -25)])
    assert w.balance(GRID) - grid == 10 * SHORT
    assert w.view("exits", w.pim.account)[0] == 0
    assert w.view("owed", w.pim.account) == 15 * SHORT
    assert w.word(w.pim).is_in_debt
    assert w.held() == money


@rule
def no_more_is_taken_from_an_exit_than_the_balance_lacks(w: World) -> None:
    w.deposit(w.pim.owner, w.pim.account, 10 * SHORT)
    w.send(w.pim.owner, "request_exit", w.pim.account, 4 * SHORT)
    w.do(readings=[w.meter(w.pim, -8)])
    assert w.balance(w.pim) == 0
    assert w.view("exits", w.pim.account)[0] == 2 * SHORT
    assert w.view("owed", w.pim.account) == 0


@rule
def no_more_is_taken_from_the_suppliers_exit_than_its_balance_lacks(w: World) -> None:
    w.send(w.keys["grid"], "request_exit", GRID, w.balance(GRID) - 30 * LONG)
    before = w.view("exits", GRID)[0]
    w.do(readings=[w.meter(w.ann, 50)])
    assert (w.balance(GRID), w.view("exits", GRID)[0]) == (0, before - 20 * LONG)


@rule
def a_debt_is_collected_in_parts(w: World) -> None:
    owed = w.put_into_debt(w.pim)
    w.send(w.carrier, "collect", w.pim.account)
    assert w.view("owed", w.pim.account) == owed
    w.deposit(w.ann.owner, w.pim.account, owed - 1)
    w.send(w.carrier, "collect", w.pim.account)
    assert w.view("owed", w.pim.account) == 1
    assert w.word(w.pim).is_in_debt
    w.deposit(w.ann.owner, w.pim.account, 2)
    w.send(w.carrier, "collect", w.pim.account)
    assert w.view("debts", [w.pim.account, w.ann.account]) == (0, 0)
    assert w.word(w.pim) == AccountWord(1, False, 0, 0, w.t, 0, -1_000_000)


@rule
def a_collection_is_told_whether_anything_was_paid_or_not(w: World) -> None:
    w.put_into_debt(w.pim)

    def told() -> list[str]:
        logs = w.send(w.carrier, "collect", w.pim.account).logs
        events = [w.contracts.settlement.event(*log[1:]) for log in logs]
        return [event.name for event in events if event is not None]

    assert told() == ["Collected"]
    w.deposit(w.ann.owner, w.pim.account, 1)
    assert told() == ["Owed", "Collected"]


@rule
def what_the_supplier_lacks_is_owed_too(w: World) -> None:
    w.send(w.keys["grid"], "request_exit", GRID, EVERYTHING)
    w.evm.time_s += w.parameters.exit_delay_s
    w.send(w.carrier, "withdraw", GRID)
    w.t = w.interval - 1
    member = w.join("new")
    w.t = w.interval + 1
    w.pass_intervals(2)
    w.publish(w.t, ZONE_TARIFFS)
    balance = w.balance(member)
    w.do(readings=[w.meter(member, 50)])
    assert w.view("owed", member.account) == -50 * LONG
    assert not w.word(member).is_in_debt
    assert w.balance(member) == balance
    w.fund_grid(30 * LONG)
    w.send(w.carrier, "collect", member.account)
    assert w.view("owed", member.account) == -20 * LONG
    assert w.balance(member) - balance == 30 * LONG


@rule
def the_suppliers_exit_answers_for_a_surplus(w: World) -> None:
    w.send(w.keys["grid"], "request_exit", GRID, EVERYTHING)
    exit_amount = w.view("exits", GRID)[0]
    w.do(readings=[w.meter(w.ann, 50)])
    assert w.view("exits", GRID)[0] == exit_amount - 50 * LONG
    assert w.view("owed", w.ann.account) == 0


# ---------------------------------------------------------------- exits


@rule
def an_exit_is_paid_to_the_owner_whoever_asks(w: World) -> None:
    balance = w.balance(w.ann)
    w.send(w.ann.owner, "request_exit", w.ann.account, balance // 3)
    assert w.balance(w.ann) == balance - balance // 3
    w.evm.time_s += w.parameters.exit_delay_s
    w.send(w.stranger, "withdraw", w.ann.account)
    assert w.token_view("balanceOf", w.ann.owner.address) == balance // 3


@rule
def an_exit_needs_no_role_and_no_round(w: World) -> None:
    for role in range(4):
        name = ("operator", "oracle", "registrar", "curtailer")[role]
        w.send(w.keys[name], "rotate_role", role, bytes(20))
    w.evm.time_s += w.parameters.role_delay_s
    balance = w.balance(w.ann)
    w.send(w.ann.owner, "request_exit", w.ann.account, EVERYTHING)
    w.evm.time_s += w.parameters.exit_delay_s
    w.send(w.ann.owner, "withdraw", w.ann.account)
    assert w.token_view("balanceOf", w.ann.owner.address) == balance


@rule
def a_second_request_replaces_the_first(w: World) -> None:
    balance = w.balance(w.ann)
    w.send(w.ann.owner, "request_exit", w.ann.account, balance)
    w.pass_intervals(1)
    w.send(w.ann.owner, "request_exit", w.ann.account, 7)
    assert w.balance(w.ann) == balance - 7
    amount, ready, last = w.view("exits", w.ann.account)
    assert amount == 7
    assert ready == w.evm.time_s + w.parameters.exit_delay_s
    assert last == w.interval + w.parameters.notice_intervals


@rule
def an_exit_pays_debts_first(w: World) -> None:
    owed = w.put_into_debt(w.pim)
    w.deposit(w.ann.owner, w.pim.account, owed + 5)
    w.send(w.pim.owner, "request_exit", w.pim.account, EVERYTHING)
    assert w.view("exits", w.pim.account)[0] == 5
    assert not w.word(w.pim).is_in_debt


# ---------------------------------------------------------------- agents, sites and roles


@rule
def a_new_agent_signs_after_the_notice_and_the_old_one_until_then(w: World) -> None:
    w.send(w.ann.owner, "set_agent", w.ann.account, w.stranger.address)
    since = w.interval + 1 + w.parameters.notice_intervals
    assert KeyWord.unpack(w.view("keys", w.ann.account)) == KeyWord(
        w.stranger.address, 2, since, 0, 10_000_000
    )
    w.do(*w.trade())
    w.t = since
    w.evm.time_s = w.end_s(since)
    w.do(w.sell(epoch=2, signer=w.stranger), w.buy())
    w.evm.time_s = w.end_s(since) + w.parameters.fill_window_s
    w.send(w.ann.owner, "set_agent", w.ann.account, w.ann.agent.address)
    assert KeyWord.unpack(w.view("keys", w.ann.account)).epoch == 3


@rule
def an_agent_may_be_changed_before_the_meter_is_installed(w: World) -> None:
    w.send(w.lot.owner, "set_agent", w.lot.account, w.stranger.address)
    w.send(w.keys["registrar"], "install", w.lot.account, w.lot.meter.address, 3, 31, 2**39 - 1)
    key = KeyWord.unpack(w.view("keys", w.lot.account))
    assert (key.agent, key.zone, key.capacity_milli_wh) == (w.stranger.address, 31, 2**39 - 1)
    assert w.word(w.lot) == AccountWord(read=w.interval, register_milli_wh=3)


@rule
def an_agents_change_leaves_the_connection_as_it_is(w: World) -> None:
    before = KeyWord.unpack(w.view("keys", w.zoe.account))
    w.send(w.zoe.owner, "set_agent", w.zoe.account, w.stranger.address)
    after = KeyWord.unpack(w.view("keys", w.zoe.account))
    assert (after.zone, after.capacity_milli_wh) == (before.zone, before.capacity_milli_wh) == (1, 10_000_000)


@rule
def a_register_may_use_its_whole_field(w: World) -> None:
    for name, bound in (("top", 2**55 - 1), ("bottom", -(2**55) + 1)):
        member = w.join(name, register_milli_wh=bound)
        assert w.word(member).register_milli_wh == bound


@rule
def a_role_passes_on_after_its_delay_and_may_be_taken_back(w: World) -> None:
    operator = w.keys["operator"]
    w.send(operator, "rotate_role", 0, w.stranger.address)
    w.do()
    w.send(operator, "rotate_role", 0, operator.address)
    w.evm.time_s += w.parameters.role_delay_s
    w.t = w.interval - 1
    w.do()
    w.send(operator, "rotate_role", 0, w.stranger.address)
    w.evm.time_s += w.parameters.role_delay_s
    w.t = w.interval - 1
    w.do(signer=w.stranger)
    w.send(w.stranger, "rotate_role", 0, operator.address)


@rule
def another_contract_may_ask_who_signed_a_reading(w: World) -> None:
    reading = w.meter(w.ann, -77)
    found = w.view("verify_reading", w.ann.account, w.t, -77, *reading.signature)
    assert found == w.ann.meter.address


# ---------------------------------------------------------------- views, token


@rule
def account_words_are_read_many_at_once(w: World) -> None:
    accounts = list(range(w.view("count"))) * 60
    words = w.view("words", accounts)
    assert words == tuple(w.view("accounts", account) for account in range(w.view("count"))) * 60
    assert w.view("balance_of", w.ann.account) == AccountWord.unpack(words[w.ann.account]).balance_pico


@rule
def tokens_are_minted_moved_and_burnt(w: World) -> None:
    supply, token = w.token_view("totalSupply"), w.token_view
    w.mint(w.stranger, 2**79 - 1 - supply)
    assert token("totalSupply") == 2**79 - 1
    w.token(w.stranger, "transfer", w.keys["issuer"].address, 10)
    w.token(w.keys["issuer"], "burn", 10)
    assert token("totalSupply") == 2**79 - 11
    w.token(w.stranger, "approve", w.carrier, 5)
    w.token(w.carrier, "transferFrom", w.stranger.address, w.carrier, 3)
    assert token("allowance", w.stranger.address, w.carrier) == 2
    assert token("balanceOf", w.carrier) == 3
    assert (token("name"), token("symbol"), token("decimals")) == ("Community Credit", "CREDIT", 12)


# ---------------------------------------------------------------- flexibility


@rule
def a_revenue_is_split_by_contribution_to_the_last_unit(w: World) -> None:
    flex = Flex(w)
    before = {name: w.balance(member) for name, member in flex.members.items()}
    for name in ("zoe", "ann", "ben"):
        flex.record(name)
    flex.close()
    flex.pay("ben")
    flex.pay("ann", "zoe")
    paid = {name: w.balance(member) - before[name] for name, member in flex.members.items()}
    assert sum(paid.values()) == REVENUE
    total = sum(CONTRIBUTIONS.values())
    for name, amount in paid.items():
        assert abs(amount - REVENUE * CONTRIBUTIONS[name] / total) < 1
    assert w.token_view("balanceOf", w.deployment.split) == 0


@rule
def an_event_in_which_nobody_delivered_is_refunded(w: World) -> None:
    flex = Flex(w)
    before = w.token_view("balanceOf", flex.buyer.address)
    flex.close()
    flex.refund()
    assert w.token_view("balanceOf", flex.buyer.address) - before == REVENUE


@rule
def a_contribution_may_be_recorded_by_an_exchanged_meter(w: World) -> None:
    w.send(w.keys["registrar"], "replace_meter", w.ann.account, w.stranger.address, 0)
    w.evm.time_s += w.parameters.exit_delay_s + w.parameters.length_s
    flex = Flex(w)
    flex.members["ann"] = type(w.ann)(w.ann.account, w.ann.owner, w.ann.agent, w.stranger)
    flex.record("ann")
    assert flex.world.split_view("shares", flex.id, w.ann.account) == (0, CONTRIBUTIONS["ann"])


@rule
def the_last_interval_that_fits_its_field_is_packed_as_it_is(w: World) -> None:
    last = 2**24 - 1
    length, delay = w.parameters.length_s, w.parameters.exit_delay_s // w.parameters.length_s
    key, meter = KeyWord.unpack(w.view("keys", w.ann.account)), w.view("meters", w.ben.account)
    w.evm.time_s = (last - 1 - delay) * length
    w.send(w.keys["registrar"], "replace_meter", w.ben.account, w.stranger.address, 0)
    before = MeterWord.unpack(meter)
    assert w.view("meters", w.ben.account) == MeterWord(before.meter, before.curtailed, last).pack()
    w.evm.time_s = (last - 1 - w.parameters.notice_intervals) * length
    w.send(w.ann.owner, "set_agent", w.ann.account, w.stranger.address)
    expected = KeyWord(w.stranger.address, key.epoch + 1, last, key.zone, key.capacity_milli_wh)
    assert w.view("keys", w.ann.account) == expected.pack()
    w.evm.time_s = last * length
    w.curtail(w.ben, last, 7)
    assert w.view("meters", w.ben.account) == MeterWord(before.meter, last, last).pack()
