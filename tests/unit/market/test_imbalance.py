"""Own deviation only, from cumulative registers, to the unit as the contract charges it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.chunks import Reading, Tariff
from market.errors import SettlementError
from market.imbalance import imbalance_milli_wh, receipts_pico, substitute_register_milli_wh
from market.ledger import AccountState
from market.settlement import apply_reading

CAPACITY = 2**39 - 1
energies = st.integers(-(2**38), 2**38)
prices = st.integers(-(2**38) + 1, 2**38 - 1)


@given(energies, energies, energies, st.integers(0, CAPACITY), st.tuples(prices, prices).map(sorted))
def test_python_arrays_charge_what_the_contract_charges(last, moved, position, curtailed, tariff):
    long, short = tariff
    account = AccountState(
        balance_pico=2**78,
        read=6,
        filled=7,
        position_milli_wh=position,
        register_milli_wh=last,
        capacity_milli_wh=CAPACITY,
        is_metered=True,
        curtailed_milli_wh={7: curtailed},
        curtailed_newest=7,
    )
    grid = AccountState(balance_pico=2**78)
    apply_reading(account, grid, Reading(2, last + moved), 7, Tariff(short, long))
    imbalance = imbalance_milli_wh([last + moved], [last], [position], [curtailed], [short])
    (received,) = receipts_pico(imbalance, [short], [long])
    assert account.balance_pico - 2**78 - account.owed_pico == received
    assert account.balance_pico + grid.balance_pico == 2**79


def test_who_delivers_as_traded_pays_nothing_whatever_others_do():
    imbalance = imbalance_milli_wh([1500, 900], [1000, 0], [500, 1000])
    assert imbalance.tolist() == [0, -100]
    assert receipts_pico(imbalance, 300, 80) == [0, -30_000]


def test_night_without_trade_costs_the_supplier_tariff():
    assert receipts_pico(imbalance_milli_wh([-250], [0], [0]), [320], [80]) == [-80_000]


def test_surplus_at_a_negative_long_tariff_costs_money():
    assert receipts_pico(imbalance_milli_wh([100], [0], [0]), [10], [-20]) == [-2_000]


def test_shortfall_at_a_negative_short_tariff_earns_money_and_is_not_forgiven_away():
    imbalance = imbalance_milli_wh([-100], [0], [0], [60], [-5])
    assert imbalance.tolist() == [-100]
    assert receipts_pico(imbalance, [-5], [-9]) == [500]


def test_curtailment_larger_than_the_shortfall_leaves_no_surplus():
    assert imbalance_milli_wh([900], [0], [1000], [400]).tolist() == [0]


@pytest.mark.parametrize(
    ("position", "expected_import", "capacity", "moved"),
    [
        (1000, 0, 5000, 0),  # sold, nothing measured: short of all of it
        (-800, 0, 5000, -800),  # bought: consumed as bought
        (-800, 1200, 5000, -1200),  # usually consumes more than it bought
        (1000, 300, 5000, -300),
        (-800, 9000, 5000, -5000),  # the connection carries no more
    ],
)
def test_substitute_never_rewards_a_withheld_reading(position, expected_import, capacity, moved):
    register = substitute_register_milli_wh([70], [position], [capacity], [expected_import])
    assert register.tolist() == [70 + moved]
    assert imbalance_milli_wh(register, [70], [position]).max() <= 0


def test_substitute_and_the_next_true_register_together_meter_every_milli_watt_hour_once():
    substitute = substitute_register_milli_wh([0], [500], [5000])
    first = imbalance_milli_wh(substitute, [0], [500])
    second = imbalance_milli_wh([700], substitute, [0])
    assert int(first[0] + second[0]) == 700 - 500


def test_negative_expected_import_is_refused():
    with pytest.raises(SettlementError, match="expected import"):
        substitute_register_milli_wh([0], [0], [10], np.array([-1]))
