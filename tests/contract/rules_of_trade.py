"""What fills, readings and curtailments do, with figures worked out by hand."""

from node.chain.contracts import FEES, GRID
from node.chain.words import NEVER, MeterWord
from tests.contract.scenes import rule
from tests.contract.world import ZONE_PRICES, ZONE_TARIFFS, World

SHORT, LONG = ZONE_TARIFFS[0].short_micro_per_kwh, ZONE_TARIFFS[0].long_micro_per_kwh
EVERYTHING = 2**256 - 1


# ---------------------------------------------------------------- fills


@rule
def a_fill_moves_money_energy_and_the_fee(w: World) -> None:
    fee, price = w.parameters.fee_micro_per_kwh, ZONE_PRICES[0]
    ann, ben, fees, money = w.balance(w.ann), w.balance(w.ben), w.balance(FEES), w.held()
    mined = w.do(*w.trade(1000))
    assert w.balance(w.ann) - ann == 1000 * (price - fee)
    assert w.balance(w.ben) - ben == -1000 * (price + fee)
    assert w.balance(FEES) - fees == 2000 * fee
    assert (w.word(w.ann).position_milli_wh, w.word(w.ben).position_milli_wh) == (1000, -1000)
    assert (w.word(w.ann).filled, w.word(w.ann).lanes) == (w.t, 1)
    assert w.held() == money
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
def orders_of_both_sides_may_be_cut_by_any_number_of_chunks(w: World) -> None:
    fee, price = w.parameters.fee_micro_per_kwh, ZONE_PRICES[0]
    sale, bid = w.sell(100, order_quantity_milli_wh=500), w.buy(100, order_quantity_milli_wh=500)
    ann, ben = w.balance(w.ann), w.balance(w.ben)
    for _ in range(3):
        w.do(sale, bid)
    w.do(bid, sale, bid, sale)
    assert (w.word(w.ann).position_milli_wh, w.word(w.ben).position_milli_wh) == (500, -500)
    assert (w.word(w.ann).lanes, w.word(w.ben).lanes) == (1, 1)
    assert (w.balance(w.ann) - ann, w.balance(w.ben) - ben) == (500 * (price - fee), -500 * (price + fee))


@rule
def readings_may_stand_between_the_parts_of_an_order(w: World) -> None:
    sale = w.sell(500, order_quantity_milli_wh=1000)
    w.do(sale, w.buy(500))
    w.do(readings=[w.meter(w.zoe)])
    w.do(sale, w.buy(500, lane=1), readings=[w.meter(w.ann, 1000)])
    assert w.word(w.ann).register_milli_wh == 1000


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
    money, exit_amount = w.held(), w.view("exits", w.ben.account)[0]
    assert w.balance(w.ben) == 0
    w.do(*w.trade(1000))
    paid = 1000 * (ZONE_PRICES[0] + w.parameters.fee_micro_per_kwh)
    assert w.view("exits", w.ben.account)[0] == exit_amount - paid
    assert w.held() == money


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
def readings_outside_a_chunk_are_told_with_their_signatures(w: World) -> None:
    # whoever calls through a contract of his own leaves no calldata that could be followed
    w.close_fills()
    read = (w.meter(w.ann, 5), w.meter(w.ben, -5))
    logs = w.do_read(*read).logs
    assert len(logs) == 1
    event = w.contracts.settlement.event(*logs[0][1:])
    assert event is not None
    assert event.name == "ReadingsBroughtIn"
    told = tuple((x.account, x.register_milli_wh, x.is_substitute, *x.signature) for x in read)
    assert event.arguments == {"interval": w.t, "readings": told}


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
    w.wait_for_substitutes()
    while w.t < first:
        w.evm.time_s = max(w.evm.time_s, w.end_s(w.t) + w.parameters.fill_window_s)
        w.do_read(w.meter(w.ann, 40))
        w.next_interval()
    balance = w.balance(w.ann)
    w.do(readings=[w.meter(w.ann, 5_050, signer=w.stranger)])
    assert w.balance(w.ann) - balance == 10 * LONG
    assert MeterWord.unpack(w.view("meters", w.ann.account)) == MeterWord(w.stranger.address, 0, NEVER)
    w.next_interval()
    w.do(readings=[w.meter(w.ann, 5_050, signer=w.stranger)])


@rule
def a_curtailment_counts_though_a_new_meter_is_announced_after_it(w: World) -> None:
    w.curtail(w.ann, w.t, 250)
    w.send(w.keys["registrar"], "replace_meter", w.ann.account, w.stranger.address, 0)
    balance = w.balance(w.ann)
    w.do(readings=[w.meter(w.ann, -400)])
    assert w.balance(w.ann) - balance == -150 * SHORT


@rule
def a_curtailment_of_the_interval_in_which_meters_are_exchanged_counts(w: World) -> None:
    w.send(w.keys["registrar"], "replace_meter", w.ann.account, w.stranger.address, 5_000)
    first = w.interval + 1 + w.parameters.exit_delay_s // w.parameters.length_s
    w.wait_for_substitutes()
    while w.t < first:
        w.evm.time_s = max(w.evm.time_s, w.end_s(w.t) + w.parameters.fill_window_s)
        w.do_read(w.meter(w.ann, 0))
        w.next_interval()
    w.curtail(w.ann, w.t, 250)
    balance = w.balance(w.ann)
    w.do(readings=[w.meter(w.ann, 4_600, signer=w.stranger)])
    assert w.balance(w.ann) - balance == -150 * SHORT
    assert MeterWord.unpack(w.view("meters", w.ann.account)) == MeterWord(w.stranger.address, w.t, NEVER)


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
    newest = MeterWord.unpack(w.view("meters", w.ann.account)).curtailed
    assert newest == w.interval + w.parameters.notice_intervals
    balance = w.balance(w.ann)
    w.do(readings=[w.meter(w.ann, -400)])
    assert w.balance(w.ann) - balance == -150 * SHORT
