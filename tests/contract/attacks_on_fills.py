"""Attacks on orders and their fills."""

from dataclasses import astuple, replace

import coincurve

from market.orders import Order
from node.chain.calldata import SignedFill
from node.chain.signatures import HALF_N, address_of
from node.chain.typed_data import (
    ORDER_TYPE,
    CompactSignature,
    Domain,
    Reading,
    order_hash,
    sign,
)
from tests.contract.scenes import Act, attack
from tests.contract.world import ZONE_PRICES, World

SIGNATURE = "registry: signature"

# ---------------------------------------------------------------- signatures of orders


@attack(SIGNATURE)
def an_order_is_forged_by_a_stranger(w: World) -> Act:
    fills = [w.sell(signer=w.stranger), w.buy()]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def an_order_is_signed_by_its_owner_instead_of_its_agent(w: World) -> Act:
    fills = [w.sell(signer=w.ann.owner), w.buy()]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def an_orders_quantity_is_raised_after_signing(w: World) -> Act:
    fills = [w.sell(2000), w.resigned(w.buy(2000, order_quantity_milli_wh=1000), quantity_milli_wh=2000)]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def an_orders_limit_is_raised_after_signing(w: World) -> Act:
    fills = [w.sell(), w.resigned(w.buy(limit=0), limit_micro_per_kwh=400_000)]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def a_bid_is_turned_into_an_offer_after_signing(w: World) -> Act:
    fills = [w.resigned(w.buy(), is_buy=False), w.buy(member=w.zoe)]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def an_orders_lane_is_changed_after_signing(w: World) -> Act:
    fills = [w.resigned(w.sell(), lane=1), w.buy()]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def an_orders_validity_is_stretched_after_signing(w: World) -> Act:
    fills = [w.resigned(w.sell(interval=w.t + 1), first=w.t), w.buy()]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def an_order_is_charged_to_another_account(w: World) -> Act:
    fills = [w.sell(), w.resigned(w.buy(), account=w.zoe.account)]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def an_order_has_a_valid_signature_with_a_high_s(w: World) -> Act:
    # a compact signature has no room for most high s; the first that fits is made valid by its agent
    order = Order(w.view("count"), 1, False, 0, w.t, w.t, 1000, 0)
    r, s = w.sell().signature.r, HALF_N + 1
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big") + b"\0"
    digest = order_hash(w.domain, order)
    agent = address_of(coincurve.PublicKey.from_signature_and_message(raw, digest, hasher=None))
    w.send(w.stranger, "open_account", agent)
    fills = [SignedFill(order, 1000, CompactSignature(r, s)), w.buy()]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def an_order_has_a_signature_of_zeros(w: World) -> Act:
    fills = [replace(w.sell(), signature=CompactSignature(0, 0)), w.buy()]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def an_order_has_the_other_parity(w: World) -> Act:
    fill = w.sell()
    flipped = CompactSignature(fill.signature.r, fill.signature.vs ^ 1 << 255)
    fills = [replace(fill, signature=flipped), w.buy()]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def an_account_with_agent_zero_is_charged_with_an_invalid_signature(w: World) -> Act:
    account = w.view("count")
    w.send(w.stranger, "open_account", bytes(20))
    order = Order(account, 1, False, 0, w.t, w.t, 1000, 0)
    fills = [SignedFill(order, 1000, CompactSignature(0, 0)), w.buy()]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def an_order_of_another_chain_is_replayed(w: World) -> Act:
    order = w.sell().order
    foreign = sign(w.ann.agent, Domain(w.domain.chain_id + 1, w.domain.contract), order)
    fills = [SignedFill(order, 1000, foreign), w.buy()]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def an_order_of_another_community_is_replayed(w: World) -> Act:
    order = w.sell().order
    foreign = sign(w.ann.agent, Domain(w.domain.chain_id, w.deployment.split), order)
    fills = [SignedFill(order, 1000, foreign), w.buy()]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def a_message_of_another_kind_passes_for_an_order(w: World) -> Act:
    signature = w.sign(w.ann.agent, Reading(w.ann.account, w.t, 1000))
    fills = [replace(w.sell(), signature=signature), w.buy()]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def an_order_names_an_account_that_was_never_opened(w: World) -> Act:
    order = Order(w.view("count"), 0, False, 0, w.t, w.t, 1000, 0)
    fills = [SignedFill(order, 1000, w.sign(w.stranger, order)), w.buy()]
    return lambda: w.do(*fills)


@attack("settlement: epoch")
def the_suppliers_account_trades(w: World) -> Act:
    order = Order(0, 1, False, 0, w.t, w.t, 1000, 0)
    fills = [SignedFill(order, 1000, w.sign(w.keys["grid"], order)), w.buy()]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def the_fee_account_trades(w: World) -> Act:
    order = Order(1, 0, False, 0, w.t, w.t, 1000, 0)
    fills = [SignedFill(order, 1000, w.sign(w.keys["fees"], order)), w.buy()]
    return lambda: w.do(*fills)


# ---------------------------------------------------------------- agents and epochs


def _with_new_agent(w: World) -> int:
    """Ann's agent becomes the stranger's key; return the first interval in which it signs."""
    w.send(w.ann.owner, "set_agent", w.ann.account, w.stranger.address)
    return w.interval + 1 + w.parameters.notice_intervals


@attack("settlement: epoch")
def an_order_of_an_epoch_to_come_is_filled(w: World) -> Act:
    fills = [w.sell(epoch=2), w.buy()]
    return lambda: w.do(*fills)


@attack("settlement: epoch")
def a_new_agent_signs_before_the_notice_is_over(w: World) -> Act:
    _with_new_agent(w)
    fills = [w.sell(epoch=2, signer=w.stranger), w.buy()]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def a_new_agent_signs_in_the_old_ones_epoch(w: World) -> Act:
    _with_new_agent(w)
    fills = [w.sell(epoch=1, signer=w.stranger), w.buy()]
    return lambda: w.do(*fills)


def _at_new_agents_time(w: World) -> None:
    w.t = _with_new_agent(w)
    w.evm.time_s = w.end_s(w.t)


@attack("settlement: epoch")
def an_old_agents_order_is_filled_after_the_notice(w: World) -> Act:
    _at_new_agents_time(w)
    fills = [w.sell(epoch=1), w.buy()]
    return lambda: w.do(*fills)


@attack(SIGNATURE)
def an_old_agent_signs_in_the_new_ones_epoch(w: World) -> Act:
    _at_new_agents_time(w)
    fills = [w.sell(epoch=2), w.buy()]
    return lambda: w.do(*fills)


# ---------------------------------------------------------------- limits of an order


@attack("settlement: validity")
def an_order_is_filled_before_its_first_interval(w: World) -> Act:
    fills = [w.resigned(w.sell(), w.ann.agent, first=w.t + 1, last=w.t + 1), w.buy()]
    return lambda: w.do(*fills)


@attack("settlement: validity")
def an_order_is_filled_after_its_last_interval(w: World) -> Act:
    fills = [w.resigned(w.sell(), w.ann.agent, first=w.t - 1, last=w.t - 1), w.buy()]
    return lambda: w.do(*fills)


@attack("settlement: quantity")
def a_fill_is_of_nothing(w: World) -> Act:
    fills = [w.sell(0, order_quantity_milli_wh=1000)]
    return lambda: w.do(*fills)


@attack("settlement: quantity")
def a_fill_is_larger_than_its_order(w: World) -> Act:
    fills = [w.sell(1001, order_quantity_milli_wh=1000), w.buy(1001)]
    return lambda: w.do(*fills)


@attack("settlement: quantity")
def a_fill_wraps_around_256_bits(w: World) -> Act:
    fill = replace(w.sell(), quantity_milli_wh=2**256 - 1)
    call = replace(w.chunk(w.t, [w.buy()], prices=ZONE_PRICES), fills=(fill, w.buy()))
    return lambda: w.carry_in(call)


@attack("settlement: quantity")
def a_fill_does_not_fit_the_carry_word(w: World) -> Act:
    # more than the order's EIP-712 type takes
    order = astuple(replace(w.sell().order, quantity_milli_wh=2**48))
    signature = w.sign_raw(w.ann.agent, ORDER_TYPE, *order)
    chunk = (*w.sell().signature, w.view("next_seq"), w.t, 0, ZONE_PRICES)
    return lambda: w.send(w.carrier, "settle", *chunk, [(order, 2**48, *signature)], [], [])


@attack("settlement: capacity")
def a_fill_that_just_fits_the_carry_word_is_more_than_any_connection_carries(w: World) -> Act:
    order = astuple(replace(w.sell().order, quantity_milli_wh=2**48))
    signature = w.sign_raw(w.ann.agent, ORDER_TYPE, *order)
    chunk = (*w.sell().signature, w.view("next_seq"), w.t, 0, ZONE_PRICES)
    return lambda: w.send(w.carrier, "settle", *chunk, [(order, 2**48 - 1, *signature)], [], [])


@attack("settlement: limit")
def a_buyer_pays_more_than_his_limit_by_the_fee(w: World) -> Act:
    limit = ZONE_PRICES[0] + w.parameters.fee_micro_per_kwh - 1
    fills = [w.sell(), w.buy(limit=limit)]
    return lambda: w.do(*fills)


@attack("settlement: limit")
def a_seller_receives_less_than_his_limit_by_the_fee(w: World) -> Act:
    limit = ZONE_PRICES[0] - w.parameters.fee_micro_per_kwh + 1
    fills = [w.sell(limit=limit), w.buy()]
    return lambda: w.do(*fills)


# ---------------------------------------------------------------- lanes and the carry words


@attack("settlement: lane")
def a_lane_is_filled_by_two_orders(w: World) -> Act:
    fills = [w.sell(1000), w.sell(500), w.buy(1500)]
    return lambda: w.do(*fills)


@attack("settlement: lane")
def an_order_is_filled_again_after_another_one(w: World) -> Act:
    sale = w.sell(500, order_quantity_milli_wh=1000)
    fills = [sale, w.sell(500, lane=1), w.buy(1500), sale]
    return lambda: w.do(*fills)


@attack("settlement: lane")
def a_bid_is_filled_again_after_another_one(w: World) -> Act:
    bid = w.buy(500, order_quantity_milli_wh=1000)
    fills = [bid, w.buy(500, lane=1), w.sell(1500), bid]
    return lambda: w.do(*fills)


@attack("settlement: lane")
def an_order_is_filled_again_in_the_next_chunk_after_another_one(w: World) -> Act:
    sale = w.sell(500, order_quantity_milli_wh=1000)
    w.do(sale, w.sell(500, lane=1), w.buy(1000))
    fills = [sale, w.buy(500, lane=1)]
    return lambda: w.do(*fills)


@attack("settlement: lane")
def a_bid_is_filled_again_in_the_next_chunk_after_another_one(w: World) -> Act:
    bid = w.buy(500, order_quantity_milli_wh=1000)
    w.do(w.sell(1000), bid, w.buy(500, lane=1))
    fills = [w.sell(500, lane=1), bid]
    return lambda: w.do(*fills)


@attack("settlement: lane")
def a_sale_passes_for_the_bid_that_is_carried(w: World) -> Act:
    # same account, same lane: only the side, and so the hash, differs
    w.do(w.sell(500, member=w.ann), w.buy(500, order_quantity_milli_wh=1000))
    fills = [w.sell(500, member=w.ben, order_quantity_milli_wh=1000), w.buy(500, member=w.zoe)]
    return lambda: w.do(*fills)


@attack("settlement: lane")
def an_order_is_filled_again_in_a_later_round(w: World) -> Act:
    sale = w.sell(500, order_quantity_milli_wh=1000)
    w.do(w.buy(500), sale)
    fills = [sale, w.buy(500, lane=1)]
    return lambda: w.do(*fills, round_=1)


@attack("settlement: lane")
def a_lane_is_filled_by_another_order_in_a_later_round(w: World) -> Act:
    w.do(*w.trade())
    fills = [w.sell(500), w.buy(500, lane=1)]
    return lambda: w.do(*fills, round_=1)


@attack("settlement: lane")
def a_lane_is_out_of_range(w: World) -> Act:
    fills = [w.sell(lane=32), w.buy()]
    return lambda: w.do(*fills)


@attack("settlement: quantity")
def parts_of_an_order_add_up_to_more_than_it(w: World) -> Act:
    sale = w.sell(600, order_quantity_milli_wh=1000)
    fills = [w.buy(1200), sale, sale]
    return lambda: w.do(*fills)


@attack("settlement: quantity")
def parts_of_an_order_with_the_other_side_between_them_add_up_to_more_than_it(w: World) -> Act:
    sale = w.sell(600, order_quantity_milli_wh=1000)
    fills = [sale, w.buy(1200), sale]
    return lambda: w.do(*fills)


@attack("settlement: quantity")
def parts_of_a_bid_with_the_other_side_between_them_add_up_to_more_than_it(w: World) -> Act:
    bid = w.buy(600, order_quantity_milli_wh=1000)
    fills = [bid, w.sell(1200), bid]
    return lambda: w.do(*fills)


@attack("settlement: quantity")
def a_carried_order_is_overfilled_in_the_next_chunk(w: World) -> Act:
    sale = w.sell(600, order_quantity_milli_wh=1000)
    w.do(w.buy(600), sale)
    fills = [sale, w.buy(600, lane=1)]
    return lambda: w.do(*fills)


@attack("settlement: quantity")
def a_carried_bid_is_overfilled_in_the_next_chunk(w: World) -> Act:
    bid = w.buy(600, order_quantity_milli_wh=1000)
    w.do(bid, w.sell(600))
    fills = [w.sell(600, lane=1), bid]
    return lambda: w.do(*fills)


@attack("settlement: quantity")
def orders_of_both_sides_are_carried_and_one_is_overfilled(w: World) -> Act:
    # an accomplice bids for more than was ever offered: what is oversold the supplier would have to deliver
    sale, bid = w.sell(400, order_quantity_milli_wh=1000), w.buy(400, order_quantity_milli_wh=100_000)
    w.do(sale, bid)
    w.do(bid, sale)
    return lambda: w.do(sale, bid)


@attack("settlement: quantity")
def a_carried_order_is_overfilled_after_a_chunk_of_readings(w: World) -> Act:
    sale = w.sell(600, order_quantity_milli_wh=1000)
    w.do(sale, w.buy(600))
    w.do(readings=[w.meter(w.zoe)])
    fills = [sale, w.buy(600, lane=1)]
    return lambda: w.do(*fills)


@attack("settlement: lane")
def an_order_is_carried_over_an_empty_round(w: World) -> Act:
    sale = w.sell(500, order_quantity_milli_wh=1000)
    w.do(w.buy(500), sale)
    w.do(round_=1)
    fills = [sale, w.buy(500, lane=1)]
    return lambda: w.do(*fills, round_=1)


# ---------------------------------------------------------------- positions and money


@attack("settlement: capacity")
def a_seller_sells_a_unit_more_than_his_connection_carries(w: World) -> Act:
    fills = w.trade(10_000_001)
    return lambda: w.do(*fills)


@attack("settlement: capacity")
def a_buyer_buys_more_than_his_connection_carries_in_several_lanes(w: World) -> Act:
    fills = [
        w.sell(5_000_001),
        w.sell(5_000_000, member=w.zoe),
        w.buy(5_000_001),
        w.buy(5_000_000, lane=1),
    ]
    return lambda: w.do(*fills)


@attack("settlement: capacity")
def the_supplier_is_drained_by_sales_in_later_rounds(w: World) -> Act:
    w.do(*w.trade(10_000_000))
    fills = [w.sell(1, lane=1), w.buy(1, member=w.zoe)]
    return lambda: w.do(*fills, round_=1)


@attack("settlement: unread")
def an_account_without_a_meter_trades(w: World) -> Act:
    fills = [w.sell(member=w.lot), w.buy()]
    return lambda: w.do(*fills)


@attack("settlement: funds")
def a_buyer_has_no_money(w: World) -> Act:
    fills = [w.sell(), w.buy(member=w.pim)]
    return lambda: w.do(*fills)


@attack("settlement: funds")
def a_buyer_lacks_one_pico_credit(w: World) -> Act:
    due = 1000 * (ZONE_PRICES[0] + w.parameters.fee_micro_per_kwh)
    w.deposit(w.pim.owner, w.pim.account, due - 1)
    fills = [w.sell(), w.buy(member=w.pim)]
    return lambda: w.do(*fills)


@attack("settlement: funds")
def a_seller_at_a_negative_price_has_no_money(w: World) -> Act:
    fills = [w.sell(member=w.pim), w.buy()]
    return lambda: w.do(*fills, prices=(-100_000, 0))


@attack("settlement: funds")
def a_buyers_exit_was_requested_in_time_to_escape(w: World) -> Act:
    w.send(w.ben.owner, "request_exit", w.ben.account, 2**256 - 1)
    w.pass_intervals(w.parameters.notice_intervals + 2)
    w.t = w.interval - 1
    fills = w.trade()
    return lambda: w.do(*fills)


@attack("settlement: in debt")
def an_account_in_debt_trades(w: World) -> Act:
    w.put_into_debt(w.pim)
    w.next_interval()
    fills = [w.sell(member=w.pim), w.buy()]
    return lambda: w.do(*fills)


@attack("settlement: read")
def an_interval_is_filled_after_it_was_read(w: World) -> Act:
    w.do(*w.trade(), readings=[w.meter(w.ann, 1000)])
    fills = [w.sell(lane=1), w.buy(lane=1)]
    return lambda: w.do(*fills)


@attack("settlement: unread")
def an_account_trades_481_intervals_ahead_of_its_readings(w: World) -> Act:
    w.t += 480
    w.evm.time_s = w.end_s(w.t)
    fills = w.trade()
    return lambda: w.do(*fills)
