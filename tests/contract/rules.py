"""What the contracts do, with figures worked out by hand."""

from node.chain.contracts import FEES, GRID
from node.chain.words import NEVER, AccountWord, KeyWord, MeterWord
from tests.contract.flex import CONTRIBUTIONS, REVENUE, Flex
from tests.contract.scenes import rule
from tests.contract.world import ZONE_PRICES, ZONE_TARIFFS, World

SHORT, LONG = ZONE_TARIFFS[0].short_micro_per_kwh, ZONE_TARIFFS[0].long_micro_per_kwh
EVERYTHING = 2**256 - 1


def held(w: World) -> int:
    """Return all money in balances and exits; it must be what the token says Settlement holds."""
    accounts = range(w.view("count"))
    money = sum(w.balance(account) + w.view("exits", account)[0] for account in accounts)
    assert money == w.token_view("balanceOf", w.deployment.settlement)
    return money


# ---------------------------------------------------------------- fills


@rule
def a_fill_moves_money_energy_and_the_fee(w: World) -> None:
    fee, price = w.parameters.fee_micro_per_kwh, ZONE_PRICES[0]
    ann, ben, fees, money = w.balance(w.ann), w.balance(w.ben), w.balance(FEES), held(w)
    mined = w.do(*w.trade(1000))
    assert w.balance(w.ann) - ann == 1000 * (price - fee)
    assert w.balance(w.ben) - ben == -1000 * (price + fee)
    assert w.balance(FEES) - fees == 2000 * fee
    assert (w.word(w.ann).position_milli_wh, w.word(w.ben).position_milli_wh) == (1000, -1000)
    assert (w.word(w.ann).filled, w.word(w.ann).lanes) == (w.t, 1)
    assert held(w) == money
    event = w.contracts.settlement.event(*mined.logs[-1][1:])
    assert event is not None
    assert event.name == "ChunkSettled"
    assert event.arguments == {
        "seq": 0, "interval": w.t, "round": 0, "volume": 2000, "fee": 2000 * fee, "rent": 0,
    }  # fmt: skip


@rule
def a_limit_may_be_met_exactly(w: World) -> None:
    fee, price = w.parameters.fee_micro_per_kwh, ZONE_PRICES[0]
    w.do(w.sell(limit=price - fee), w.buy(limit=price + fee))


@rule
def a_capacity_may_be_used_to_the_last_unit(w: World) -> None:
    w.do(*w.trade(10_000_000))
    assert w.word(w.ben).position_milli_wh == -10_000_000


@rule
def a_position_may_use_its_whole_field(w: World) -> None:
    bound = 2**39 - 1
    for member in (w.ann, w.ben):
        w.send(w.keys["registrar"], "raise_capacity", member.account, bound)
        w.deposit(member.owner, member.account, bound * w.parameters.fee_micro_per_kwh)
    w.do(*w.trade(bound), prices=(0, 0), tariffs=())
    assert w.word(w.ann).position_milli_wh == bound
    assert w.word(w.ben).position_milli_wh == -bound


@rule
def the_spread_between_zones_is_the_suppliers_not_the_operators(w: World) -> None:
    fee, grid, fees = w.parameters.fee_micro_per_kwh, w.balance(GRID), w.balance(FEES)
    w.do(w.sell(1000), w.buy(1000, member=w.zoe))
    assert w.balance(GRID) - grid == 1000 * (ZONE_PRICES[1] - ZONE_PRICES[0])
    assert w.balance(FEES) - fees == 2000 * fee


@rule
def energy_at_a_negative_price_is_paid_by_its_seller(w: World) -> None:
    fee, ann, ben = w.parameters.fee_micro_per_kwh, w.balance(w.ann), w.balance(w.ben)
    w.do(*w.trade(1000), prices=(-50_000, 0))
    assert w.balance(w.ann) - ann == 1000 * (-50_000 - fee)
    assert w.balance(w.ben) - ben == 1000 * (50_000 - fee)


@rule
def prices_may_lie_on_the_cap(w: World) -> None:
    cap = w.parameters.price_cap_micro_per_kwh
    w.do(prices=(-cap, cap))


@rule
def a_result_may_be_cut_in_the_middle_of_an_order(w: World) -> None:
    sale, balance = w.sell(400, order_quantity_milli_wh=1000), w.balance(w.ann)
    w.do(w.buy(400, order_quantity_milli_wh=400), sale)
    w.do(sale, w.buy(600, member=w.zoe, lane=3), w.resigned(w.sell(200, lane=1), w.ann.agent))
    assert w.word(w.ann).position_milli_wh == 1000
    assert w.word(w.ann).lanes == 0b11
    received = 1000 * (ZONE_PRICES[0] - w.parameters.fee_micro_per_kwh)
    assert w.balance(w.ann) - balance == received


@rule
def one_order_may_be_filled_in_every_interval_of_its_validity(w: World) -> None:
    sale, bid = w.sell(100, last=w.t + 1), w.buy(100, last=w.t + 1)
    w.do(sale, bid)
    w.next_interval()
    w.do(sale, bid)
    assert w.view("parked", w.ann.account, w.t - 1) == 100
    assert w.word(w.ann).position_milli_wh == 100


@rule
def four_rounds_fill_four_lanes_of_an_interval(w: World) -> None:
    for round_ in range(4):
        w.do(*w.trade(100, lane=31 - round_), round_=round_)
    assert w.word(w.ben).lanes == 0b1111 << 28
    assert w.word(w.ben).position_milli_wh == -400


@rule
def an_account_may_trade_480_intervals_ahead_of_its_readings(w: World) -> None:
    w.t += 479
    w.evm.time_s = w.end_s(w.t)
    w.do(*w.trade())


@rule
def a_chunk_may_come_in_the_last_second_of_its_window(w: World) -> None:
    w.close_fills()
    w.evm.time_s -= 1
    w.do(*w.trade())


@rule
def a_buyer_may_pay_with_money_that_is_on_its_way_out(w: World) -> None:
    w.send(w.ben.owner, "request_exit", w.ben.account, EVERYTHING)
    money, exit_amount = held(w), w.view("exits", w.ben.account)[0]
    assert w.balance(w.ben) == 0
    w.do(*w.trade(1000))
    paid = 1000 * (ZONE_PRICES[0] + w.parameters.fee_micro_per_kwh)
    assert w.view("exits", w.ben.account)[0] == exit_amount - paid
    assert held(w) == money


# ---------------------------------------------------------------- readings


@rule
def a_shortfall_is_bought_from_the_supplier_at_the_short_tariff(w: World) -> None:
    w.do(*w.trade(1000))
    ann, grid = w.balance(w.ann), w.balance(GRID)
    w.do(readings=[w.meter(w.ann, 400)])
    assert w.balance(w.ann) - ann == -600 * SHORT
    assert w.balance(GRID) - grid == 600 * SHORT
    assert w.word(w.ann).register_milli_wh == 400
    assert (w.word(w.ann).read, w.word(w.ann).position_milli_wh) == (w.t, 0)


@rule
def a_surplus_is_sold_to_the_supplier_at_the_long_tariff(w: World) -> None:
    ann, zoe = w.balance(w.ann), w.balance(w.zoe)
    w.do(readings=[w.meter(w.ann, 10_000_000), w.meter(w.zoe, 5)])
    assert w.balance(w.ann) - ann == 10_000_000 * LONG
    assert w.balance(w.zoe) - zoe == 5 * ZONE_TARIFFS[1].long_micro_per_kwh


@rule
def who_delivers_what_he_sold_pays_nothing(w: World) -> None:
    balance = w.balance(w.ann)
    w.do(w.sell(1000), w.buy(1000), readings=[w.meter(w.ann, 1000)])
    assert w.balance(w.ann) - balance == 1000 * (ZONE_PRICES[0] - w.parameters.fee_micro_per_kwh)


@rule
def anybody_may_bring_a_reading_in_when_the_round_has_moved_on(w: World) -> None:
    w.next_interval()
    w.do(*w.trade())
    w.t -= 1
    w.do_read(w.meter(w.ann, 5))
    assert w.word(w.ann).read == w.t


@rule
def anybody_may_bring_a_reading_in_when_the_window_is_over(w: World) -> None:
    w.close_fills()
    w.do_read(w.meter(w.ann, 5), w.meter(w.ben, -5))
    assert w.word(w.ben).register_milli_wh == -5


@rule
def a_fill_of_the_next_interval_does_not_cancel_the_imbalance_of_this_one(w: World) -> None:
    # one register for both intervals would let the sale of t + 1 stand for the shortfall of t
    w.do(*w.trade(1000))
    t = w.t
    w.next_interval()
    w.do(*w.trade(300, lane=1))
    balance = w.balance(w.ann)
    w.t = t
    w.do_read(w.meter(w.ann, 0))
    assert w.balance(w.ann) - balance == -1000 * SHORT
    assert w.view("parked", w.ann.account, t) == 0
    assert w.word(w.ann).position_milli_wh == 300
    w.t = t + 1
    w.do(readings=[w.meter(w.ann, 300)])
    assert w.balance(w.ann) - balance == -1000 * SHORT


@rule
def what_a_substitute_got_wrong_the_next_reading_puts_right(w: World) -> None:
    balance = w.balance(w.ann)
    w.wait_for_substitutes()
    mined = w.do_read(w.substitute(w.ann, w.t, 700))
    assert any(w.contracts.settlement.event(*log[1:]).name == "Substituted" for log in mined.logs)  # type: ignore[union-attr]
    w.next_interval()
    w.close_fills()
    w.do_read(w.meter(w.ann, 500))
    assert w.balance(w.ann) - balance == 700 * LONG - 200 * SHORT
    assert w.word(w.ann).register_milli_wh == 500


@rule
def an_interval_without_a_trade_is_read_after_one_with_a_trade(w: World) -> None:
    w.do(*w.trade(1000), readings=[w.meter(w.ann, 1000)])
    balance = w.balance(w.ann)
    w.next_interval()
    w.do(readings=[w.meter(w.ann, 1000)])
    assert w.balance(w.ann) == balance


@rule
def a_new_meter_goes_on_where_the_old_one_stopped(w: World) -> None:
    w.send(w.keys["registrar"], "replace_meter", w.ann.account, w.stranger.address, 5_000)
    first = w.interval + 1 + w.parameters.exit_delay_s // w.parameters.length_s
    assert MeterWord.unpack(w.view("meters", w.ann.account)) == MeterWord(w.ann.meter.address, 0, first)
    w.curtail(w.ann, w.t, 9)
    w.wait_for_substitutes()
    while w.t < first:
        w.evm.time_s = max(w.evm.time_s, w.end_s(w.t) + w.parameters.fill_window_s)
        w.do_read(w.meter(w.ann, 40))
        w.next_interval()
    balance = w.balance(w.ann)
    w.do(readings=[w.meter(w.ann, 5_050, signer=w.stranger)])
    assert w.balance(w.ann) - balance == 10 * LONG
    curtailed = MeterWord.unpack(w.view("meters", w.ann.account)).curtailed
    assert MeterWord.unpack(w.view("meters", w.ann.account)) == MeterWord(
        w.stranger.address, curtailed, NEVER
    )
    w.next_interval()
    w.do(readings=[w.meter(w.ann, 5_050, signer=w.stranger)])


@rule
def a_waiting_meter_may_be_replaced_by_another_before_it_is_due(w: World) -> None:
    for meter in (w.stranger, w.ben.meter):
        w.send(w.keys["registrar"], "replace_meter", w.ann.account, meter.address, 0)
    assert w.view("next_meters", w.ann.account)[0] == w.ben.meter.address


# ---------------------------------------------------------------- curtailments


@rule
def a_curtailed_shortfall_is_forgiven(w: World) -> None:
    w.do(*w.trade(1000))
    w.curtail(w.ann, w.t, 250)
    balance = w.balance(w.ann)
    w.do(readings=[w.meter(w.ann, 400)])
    assert w.balance(w.ann) - balance == -350 * SHORT


@rule
def a_curtailment_larger_than_the_shortfall_earns_nothing(w: World) -> None:
    w.do(*w.trade(1000))
    w.curtail(w.ann, w.t, 2**39 - 1)
    balance = w.balance(w.ann)
    w.do(readings=[w.meter(w.ann, 400)])
    assert w.balance(w.ann) == balance


@rule
def a_curtailment_does_not_change_a_surplus(w: World) -> None:
    w.curtail(w.ann, w.t, 250)
    balance = w.balance(w.ann)
    w.do(readings=[w.meter(w.ann, 400)])
    assert w.balance(w.ann) - balance == 400 * LONG


@rule
def a_shortfall_that_earns_money_is_not_forgiven_away(w: World) -> None:
    w.do(readings=[w.meter(w.ann, 0)])
    w.t += 1
    w.pass_intervals(1)
    w.publish(w.t, ((-10, -20), (0, 0)))  # type: ignore[arg-type]
    w.curtail(w.ann, w.t, 250)
    balance = w.balance(w.ann)
    w.do(readings=[w.meter(w.ann, -400)], tariffs=((-10, -20), (0, 0)))
    assert w.balance(w.ann) - balance == 400 * 10


@rule
def curtailments_may_be_recorded_in_any_order(w: World) -> None:
    w.curtail(w.ann, w.interval + w.parameters.notice_intervals, 9)
    w.curtail(w.ann, w.t, 250)
    balance = w.balance(w.ann)
    w.do(readings=[w.meter(w.ann, -400)])
    assert w.balance(w.ann) - balance == -150 * SHORT


# ---------------------------------------------------------------- debts


@rule
def what_an_account_lacks_is_taken_from_its_exit_and_then_owed(w: World) -> None:
    w.deposit(w.pim.owner, w.pim.account, 10 * SHORT)
    w.send(w.pim.owner, "request_exit", w.pim.account, 4 * SHORT)
    grid, money = w.balance(GRID), held(w)
    w.do(readings=[w.meter(w.pim, -25)])
    assert w.balance(GRID) - grid == 10 * SHORT
    assert w.view("exits", w.pim.account)[0] == 0
    assert w.view("owed", w.pim.account) == 15 * SHORT
    assert w.word(w.pim).is_in_debt
    assert held(w) == money


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
