"""Attacks on rounds, prices and chunks."""

from dataclasses import replace

from node.chain import calldata
from node.chain.typed_data import Domain
from tests.contract.scenes import Act, attack
from tests.contract.world import ZONE_PRICES, ZONE_TARIFFS, World

SIGNATURE = "registry: signature"

# ---------------------------------------------------------------- rounds and prices


@attack("settlement: round")
def a_fifth_round_is_settled(w: World) -> Act:
    return lambda: w.do(round_=4)


@attack("settlement: round")
def round_256_passes_for_the_next_interval(w: World) -> Act:
    call = w.chunk(w.t, prices=ZONE_PRICES)
    return lambda: w.carry_in(replace(call, round=256))


@attack("settlement: round")
def a_round_is_settled_after_a_later_one(w: World) -> Act:
    w.do(round_=1)
    fills = w.trade()
    return lambda: w.do(*fills, round_=0)


@attack("settlement: round")
def an_interval_is_settled_after_a_later_one(w: World) -> Act:
    w.next_interval()
    w.do()
    fills = w.trade(interval=w.t - 1)
    return lambda: w.do(*fills, interval=w.t - 1)


@attack("settlement: round")
def a_price_is_changed_inside_a_round(w: World) -> Act:
    w.do(*w.trade())
    fills = [w.sell(lane=1), w.buy(lane=1)]
    return lambda: w.do(*fills, prices=(ZONE_PRICES[0] + 1, ZONE_PRICES[1]))


@attack("settlement: round")
def a_zone_is_added_inside_a_round(w: World) -> Act:
    w.do(*w.trade(), prices=ZONE_PRICES[:1])
    fills = [w.sell(lane=1), w.buy(member=w.zoe)]
    return lambda: w.do(*fills)


@attack("settlement: price")
def a_price_is_above_the_cap(w: World) -> Act:
    return lambda: w.do(prices=(0, w.parameters.price_cap_micro_per_kwh + 1))


@attack("settlement: price")
def a_price_is_below_the_cap(w: World) -> Act:
    return lambda: w.do(prices=(-w.parameters.price_cap_micro_per_kwh - 1, 0))


@attack("settlement: price")
def a_price_is_the_least_of_all_integers(w: World) -> Act:
    return lambda: w.do(prices=(-(2**255), 0))


@attack("settlement: zone")
def a_zone_without_a_price_is_filled(w: World) -> Act:
    fills = [w.sell(), w.buy(member=w.zoe)]
    return lambda: w.do(*fills, prices=ZONE_PRICES[:1])


# ---------------------------------------------------------------- chunks


@attack("settlement: energy")
def more_is_sold_than_bought(w: World) -> Act:
    fills = [w.sell(1001), w.buy(1000)]
    return lambda: w.do(*fills)


@attack("settlement: energy")
def more_is_bought_than_sold(w: World) -> Act:
    fills = [w.sell(1000), w.buy(1001)]
    return lambda: w.do(*fills)


@attack("settlement: rent")
def a_seller_is_paid_more_than_his_buyer_pays(w: World) -> Act:
    fills = [w.sell(member=w.zoe), w.buy()]
    return lambda: w.do(*fills)


@attack("settlement: sequence")
def a_chunk_is_settled_twice(w: World) -> Act:
    call = w.chunk(w.t, w.trade(), prices=ZONE_PRICES)
    w.carry_in(call)
    return lambda: w.carry_in(call)


@attack("settlement: sequence")
def a_chunk_is_skipped(w: World) -> Act:
    return lambda: w.do(sequence=1)


@attack("settlement: early")
def an_interval_is_filled_before_its_end(w: World) -> Act:
    w.evm.time_s = w.end_s(w.t) - 1
    fills = w.trade()
    return lambda: w.do(*fills)


@attack("settlement: late")
def an_interval_is_filled_after_its_window(w: World) -> Act:
    fills = w.trade()
    w.close_fills()
    return lambda: w.do(*fills)


@attack("ledger: interval")
def an_interval_does_not_fit_24_bits(w: World) -> Act:
    call = replace(w.chunk(w.t), interval=2**24)
    return lambda: w.carry_in(call)


@attack(SIGNATURE)
def a_chunk_is_signed_by_a_stranger(w: World) -> Act:
    fills = w.trade()
    return lambda: w.do(*fills, signer=w.stranger)


@attack(SIGNATURE)
def a_chunk_is_signed_by_the_oracle(w: World) -> Act:
    fills = w.trade()
    return lambda: w.do(*fills, signer=w.keys["oracle"])


@attack(SIGNATURE)
def a_chunk_of_another_chain_is_replayed(w: World) -> Act:
    call, _ = calldata.seal(
        w.keys["operator"],
        Domain(w.domain.chain_id + 1, w.domain.contract),
        sequence=0,
        interval=w.t,
        round_=0,
        prices_micro_per_kwh=ZONE_PRICES,
    )
    return lambda: w.carry_in(call)


@attack(SIGNATURE)
def fills_are_left_out_of_a_signed_chunk(w: World) -> Act:
    call = w.chunk(w.t, [*w.trade(), *w.trade(lane=1)], prices=ZONE_PRICES)
    return lambda: w.carry_in(replace(call, fills=call.fills[:2]))


@attack(SIGNATURE)
def fills_of_a_signed_chunk_change_places(w: World) -> Act:
    call = w.chunk(w.t, w.trade(), prices=ZONE_PRICES)
    return lambda: w.carry_in(replace(call, fills=call.fills[::-1]))


@attack(SIGNATURE)
def a_signed_chunk_is_carried_in_at_another_price(w: World) -> Act:
    call = w.chunk(w.t, w.trade(), prices=ZONE_PRICES)
    return lambda: w.carry_in(replace(call, prices_micro_per_kwh=(ZONE_PRICES[0] + 1, ZONE_PRICES[1])))


@attack(SIGNATURE)
def a_signed_chunk_is_carried_in_as_another_round(w: World) -> Act:
    call = w.chunk(w.t, w.trade(), prices=ZONE_PRICES)
    return lambda: w.carry_in(replace(call, round=1))


@attack(SIGNATURE)
def a_reading_is_added_to_a_signed_chunk(w: World) -> Act:
    call = w.chunk(w.t, w.trade(), prices=ZONE_PRICES)
    return lambda: w.carry_in(replace(call, readings=(w.meter(w.ann, 1000),), tariffs=ZONE_TARIFFS))


@attack(SIGNATURE)
def a_reading_is_left_out_of_a_signed_chunk(w: World) -> Act:
    call = w.chunk(w.t, w.trade(), [w.meter(w.ann, 1000)], prices=ZONE_PRICES, tariffs=ZONE_TARIFFS)
    return lambda: w.carry_in(replace(call, readings=()))
