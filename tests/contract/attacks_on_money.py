"""Attacks on deposits, exits, the token and the bounds of balances."""

from node.chain.contracts import Parameters
from tests.contract.scenes import Act, attack
from tests.contract.world import BALANCE_BOUND, World

# ---------------------------------------------------------------- in and out


@attack("ledger: account")
def money_is_deposited_to_an_account_that_was_never_opened(w: World) -> Act:
    return lambda: w.send(w.ann.owner, "deposit", w.view("count"), 1)


@attack("token: allowance")
def money_is_deposited_without_allowance(w: World) -> Act:
    w.mint(w.ann.owner, 10)
    w.token(w.ann.owner, "approve", w.deployment.settlement, 9)
    return lambda: w.send(w.ann.owner, "deposit", w.ann.account, 10)


@attack("token: balance")
def money_is_deposited_that_is_not_there(w: World) -> Act:
    w.mint(w.ann.owner, 9)
    w.token(w.ann.owner, "approve", w.deployment.settlement, 10)
    return lambda: w.send(w.ann.owner, "deposit", w.ann.account, 10)


@attack("ledger: balance")
def a_deposit_overflows_a_balance(w: World) -> Act:
    held = w.balance(w.ann)
    return lambda: w.send(w.ann.owner, "deposit", w.ann.account, BALANCE_BOUND - held + 1)


@attack("ledger: balance")
def a_deposit_wraps_around_256_bits(w: World) -> Act:
    return lambda: w.send(w.ann.owner, "deposit", w.ann.account, 2**256 - 1)


@attack("ledger: owner")
def a_stranger_requests_an_exit(w: World) -> Act:
    return lambda: w.send(w.stranger, "request_exit", w.ann.account, 1)


@attack("ledger: owner")
def an_agent_requests_an_exit(w: World) -> Act:
    return lambda: w.send(w.ann.agent, "request_exit", w.ann.account, 1)


@attack("ledger: not ready")
def an_exit_is_paid_without_a_request(w: World) -> Act:
    return lambda: w.send(w.ann.owner, "withdraw", w.ann.account)


@attack("ledger: not ready")
def an_exit_is_paid_a_second_too_early(w: World) -> Act:
    w.send(w.ann.owner, "request_exit", w.ann.account, 1)
    w.evm.time_s += w.parameters.exit_delay_s - 1
    return lambda: w.send(w.ann.owner, "withdraw", w.ann.account)


@attack("ledger: not ready")
def an_exit_is_paid_twice(w: World) -> Act:
    w.send(w.ann.owner, "request_exit", w.ann.account, 1)
    w.evm.time_s += w.parameters.exit_delay_s
    w.send(w.ann.owner, "withdraw", w.ann.account)
    return lambda: w.send(w.ann.owner, "withdraw", w.ann.account)


@attack("ledger: not ready")
def an_exit_is_replaced_to_be_paid_at_the_old_time(w: World) -> Act:
    w.send(w.ann.owner, "request_exit", w.ann.account, 1)
    w.evm.time_s += w.parameters.exit_delay_s - 1
    w.send(w.ann.owner, "request_exit", w.ann.account, 2**256 - 1)
    w.evm.time_s += 1
    return lambda: w.send(w.ann.owner, "withdraw", w.ann.account)


# ---------------------------------------------------------------- a token that cannot be trusted


def with_hostile_token(w: World) -> World:
    """Return a world whose token is hostile; its tokens cost nothing."""
    token = w.hostile
    return World(w.contracts, w.hostile, token_creation=token.creation(w.keys["issuer"].address))


def _tell(w: World, function: str, *arguments: object) -> None:
    w.evm.send(w.carrier, w.deployment.token, w.hostile.encode(function, *arguments))


@attack("ledger: token")
def a_token_says_that_a_deposit_failed(w: World) -> Act:
    h = with_hostile_token(w)
    _tell(h, "lie")
    return lambda: h.send(h.ann.owner, "deposit", h.ann.account, 1)


@attack("ledger: token")
def a_token_says_that_a_withdrawal_failed(w: World) -> Act:
    h = with_hostile_token(w)
    h.send(h.ann.owner, "request_exit", h.ann.account, 1)
    h.evm.time_s += h.parameters.exit_delay_s
    _tell(h, "lie")
    return lambda: h.send(h.ann.owner, "withdraw", h.ann.account)


@attack("")
def a_token_withdraws_again_while_it_is_withdrawn(w: World) -> Act:
    h = with_hostile_token(w)
    h.send(h.ann.owner, "request_exit", h.ann.account, 1)
    h.evm.time_s += h.parameters.exit_delay_s
    _tell(h, "call_back", h.deployment.settlement, h.contracts.settlement.encode("withdraw", h.ann.account))
    return lambda: h.send(h.ann.owner, "withdraw", h.ann.account)


@attack("")
def a_token_deposits_again_while_it_is_deposited(w: World) -> Act:
    h = with_hostile_token(w)
    again = h.contracts.settlement.encode("deposit", h.ann.account, 1)
    _tell(h, "call_back", h.deployment.settlement, again)
    return lambda: h.send(h.ann.owner, "deposit", h.ann.account, 1)


@attack("")
def a_token_withdraws_while_it_is_deposited(w: World) -> Act:
    h = with_hostile_token(w)
    h.send(h.ann.owner, "request_exit", h.ann.account, 1)
    h.evm.time_s += h.parameters.exit_delay_s
    _tell(h, "call_back", h.deployment.settlement, h.contracts.settlement.encode("withdraw", h.ann.account))
    return lambda: h.send(h.ann.owner, "deposit", h.ann.account, 1)


# ---------------------------------------------------------------- balances at their bound
# CreditToken's cap keeps honest tokens away from here; the ledger does not count on it.


@attack("settlement: balance")
def a_seller_s_balance_overflows(w: World) -> Act:
    h = with_hostile_token(w)
    h.send(h.ann.owner, "deposit", h.ann.account, BALANCE_BOUND - h.balance(h.ann))
    fills = h.trade()
    return lambda: h.do(*fills)


@attack("ledger: balance")
def the_fee_account_overflows(w: World) -> Act:
    h = with_hostile_token(w)
    h.send(h.ann.owner, "deposit", 1, BALANCE_BOUND)
    fills = h.trade()
    return lambda: h.do(*fills)


@attack("ledger: balance")
def the_rent_overflows_the_suppliers_account(w: World) -> Act:
    h = with_hostile_token(w)
    h.send(h.ann.owner, "deposit", 0, BALANCE_BOUND - h.balance(0))
    fills = [h.sell(), h.buy(member=h.zoe)]
    return lambda: h.do(*fills)


@attack("ledger: balance")
def a_surplus_overflows_an_account(w: World) -> Act:
    h = with_hostile_token(w)
    h.send(h.ann.owner, "deposit", h.ann.account, BALANCE_BOUND - h.balance(h.ann))
    return lambda: h.do(readings=[h.meter(h.ann, 5)])


# ---------------------------------------------------------------- CreditToken


@attack("token: issuer")
def a_stranger_mints(w: World) -> Act:
    return lambda: w.token(w.stranger, "mint", w.stranger.address, 1, bytes(31) + b"\xff")


@attack("token: minted")
def a_payment_counts_twice(w: World) -> Act:
    w.token(w.keys["issuer"], "mint", w.ann.owner.address, 1, b"\xff" * 32)
    return lambda: w.token(w.keys["issuer"], "mint", w.ann.owner.address, 1, b"\xff" * 32)


@attack("token: cap")
def more_is_minted_than_an_account_can_hold(w: World) -> Act:
    amount = BALANCE_BOUND - w.token_view("totalSupply") + 1
    return lambda: w.mint(w.stranger, amount)


@attack("token: cap")
def an_amount_minted_wraps_around_256_bits(w: World) -> Act:
    return lambda: w.mint(w.stranger, 2**256 - 1)


@attack("token: receiver")
def nobody_is_minted_for(w: World) -> Act:
    return lambda: w.token(w.keys["issuer"], "mint", bytes(20), 1, b"\xff" * 32)


@attack("token: balance")
def more_is_burnt_than_there_is(w: World) -> Act:
    w.mint(w.stranger, 5)
    return lambda: w.token(w.stranger, "burn", 6)


@attack("token: balance")
def more_is_transferred_than_there_is(w: World) -> Act:
    w.mint(w.stranger, 5)
    return lambda: w.token(w.stranger, "transfer", w.ann.owner.address, 6)


@attack("token: receiver")
def tokens_are_sent_to_nobody(w: World) -> Act:
    w.mint(w.stranger, 5)
    return lambda: w.token(w.stranger, "transfer", bytes(20), 5)


@attack("token: allowance")
def tokens_are_taken_beyond_the_allowance(w: World) -> Act:
    w.mint(w.ann.owner, 5)
    w.token(w.ann.owner, "approve", w.stranger.address, 4)
    return lambda: w.token(w.stranger, "transferFrom", w.ann.owner.address, w.stranger.address, 5)


@attack("token: allowance")
def an_allowance_is_used_twice(w: World) -> Act:
    w.mint(w.ann.owner, 5)
    w.token(w.ann.owner, "approve", w.stranger.address, 4)
    w.token(w.stranger, "transferFrom", w.ann.owner.address, w.stranger.address, 4)
    return lambda: w.token(w.stranger, "transferFrom", w.ann.owner.address, w.stranger.address, 1)


@attack("token: issuer")
def a_token_is_deployed_without_an_issuer(w: World) -> Act:
    return lambda: w.evm.create(w.carrier, w.contracts.token.creation(bytes(20)))


# ---------------------------------------------------------------- deployments that would not hold


def _deploy(w: World, **changes: int) -> Act:
    p = Parameters()
    values = {
        "length": p.length_s,
        "notice": p.notice_intervals,
        "fill_window": p.fill_window_s,
        "exit_delay": p.exit_delay_s,
        "role_delay": p.role_delay_s,
        "fee": p.fee_micro_per_kwh,
        "price_cap": p.price_cap_micro_per_kwh,
    } | changes
    roles = w.deployment.roles
    data = w.contracts.settlement.creation(
        w.deployment.token, roles.grid, roles.fees, roles.signers, *values.values()
    )
    return lambda: w.evm.create(w.carrier, data)


DAY_S = 86_400
YEAR_S = 366 * DAY_S


@attack("settlement: length")
def intervals_are_so_short_that_their_numbers_run_out(w: World) -> Act:
    return _deploy(w, length=299)


@attack("settlement: length")
def intervals_are_longer_than_a_year(w: World) -> Act:
    return _deploy(w, length=YEAR_S + 1)


@attack("settlement: role delay")
def a_role_passes_on_as_fast_as_an_exit(w: World) -> Act:
    return _deploy(w, role_delay=Parameters().exit_delay_s)


@attack("settlement: role delay")
def a_role_never_passes_on(w: World) -> Act:
    return _deploy(w, role_delay=YEAR_S + 1)


@attack("settlement: fill window")
def a_fill_window_is_shorter_than_an_interval(w: World) -> Act:
    return _deploy(w, fill_window=Parameters().length_s - 1)


@attack("settlement: fill window")
def a_fill_window_is_longer_than_positions_are_kept(w: World) -> Act:
    return _deploy(w, fill_window=240 * 900, exit_delay=30 * DAY_S, role_delay=40 * DAY_S)


@attack("settlement: exit delay")
def an_exit_is_paid_before_what_it_answers_for_is_settled(w: World) -> Act:
    p = Parameters()
    return _deploy(w, exit_delay=(p.notice_intervals + 2) * p.length_s + 2 * p.fill_window_s)


@attack("settlement: exit delay")
def a_notice_wraps_around_256_bits(w: World) -> Act:
    return _deploy(w, notice=2**255)


@attack("settlement: price cap")
def a_fee_is_above_the_cap(w: World) -> Act:
    return _deploy(w, fee=Parameters().price_cap_micro_per_kwh + 1)


@attack("settlement: price cap")
def a_price_cap_does_not_fit_a_balance(w: World) -> Act:
    return _deploy(w, price_cap=2**38)
