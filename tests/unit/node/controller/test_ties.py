"""Ties count every loss, lose no energy, and remember what was lent in the lender's storage."""

from dataclasses import replace

import numpy as np
import pytest

from devices.catalogue import fixed_load, home_battery
from devices.converter import SHIPPED_CONVERTERS, Converter
from devices.parameters import build_fleet
from devices.specification import DeviceSpec, Kind
from devices.state import initial_state
from node.controller.kinetic import KineticTerms, Transfers, balance
from node.controller.paths import TieNetwork
from node.controller.reasons import Reason
from node.controller.ties import TiePlan, bus_power_w, give_back, module_power_w, order, owed_change_w

RATED_W = 2_000.0
OHM = 0.1


def stage(p_dc_w):
    """Return a port's terminal power for a power on the ties' side, straight from the converter's table."""
    return float(
        SHIPPED_CONVERTERS.ac_power_w(
            np.array([p_dc_w]), np.array([RATED_W]), np.array([int(Converter.DC_DC)])
        )[0]
    )


@pytest.fixture
def pair():
    """Two racks, a and b, with a load, a battery and a port each, joined by 0.1 ohm on 380 V."""
    specs = []
    for name in "ab":
        specs += [
            fixed_load(f"load-{name}"),
            home_battery(f"battery-{name}"),
            DeviceSpec(name=f"port-{name}", kind=Kind.TIE_PORT),
        ]
    params = build_fleet(specs)
    plan = TiePlan(
        network=TieNetwork(
            2, np.array([[0, 1]]), np.array([10.0]), np.array([OHM / 10]), np.array([20.0]), 380.0
        ),
        account=np.array([0, 1]),
        node=np.array([1, 2]),
        port=np.array([2, 5]),
        rated_w=np.full(2, RATED_W),
        limit_w=np.full(2, 3_000.0),
        lends=np.ones(6, bool),
        rack_of_device=np.array([0, 0, 0, 1, 1, 1]),
    )
    return plan, params


def helping(sent_w):
    """Return a transfer of `sent_w` from b to a."""
    none = Transfers.none(2, 1)
    sent = np.array([[0.0, 0.0], [sent_w, 0.0]])
    loss = OHM * (sent / 380) ** 2
    return replace(
        none, sent_w=sent, loss_w=loss, flow_a=np.array([sent_w / 380]), is_helped=np.array([True, False])
    )


HEADROOM = (np.array([0.0, 3e3, 0, 0, 3e3, 0]), np.array([0.0, 3e3, 0, 0, 3e3, 0]))
NOTHING = np.zeros((2, 2))


def test_a_transfer_pays_both_stages_and_the_cable(pair):
    plan, params = pair
    tie = order(plan, params, helping(1_000.0), NOTHING, NOTHING, HEADROOM)
    cable = OHM * (1_000.0 / 380) ** 2
    assert tie.port_w[5] == pytest.approx(stage(-1_000.0), abs=1e-3)
    assert tie.port_w[2] == pytest.approx(stage(1_000.0 - cable), abs=1e-3)
    assert tie.given_w[1, 0] == pytest.approx(-tie.port_w[5], abs=1e-3)
    assert tie.arrived_w[1, 0] == pytest.approx(tie.port_w[2], abs=1e-3)
    # About 3 % in each stage at half load, under a tenth of a percent in the cable.
    assert 0.05 < 1 - tie.arrived_w[1, 0] / tie.given_w[1, 0] < 0.08
    # The donor's battery gives just what its port draws, so its feed sees nothing.
    assert tie.storage_w[4] == pytest.approx(-tie.port_w[5], abs=1e-3)
    assert tie.reason[[2, 4, 5]].tolist() == [Reason.PROACTIVE] * 3
    assert tie.partner.tolist() == [-1, -1, 2, -1, 1, 1]


def test_a_loan_is_what_left_the_lenders_store_and_is_paid_back_into_it(pair):
    plan, params = pair
    lending = order(plan, params, helping(1_000.0), NOTHING, NOTHING, HEADROOM)
    grows, falls = owed_change_w(plan, params, initial_state(params), lending, lending.storage_w)
    drawn = SHIPPED_CONVERTERS.dc_power_w(
        lending.storage_w[4:5], params.units.rated_w[1:2], params.units.converter[1:2]
    )[0]
    # The converter's loss by its table, and a percent or two in the cells.
    assert 1.0 < grows[0, 1] / drawn < 1.03
    assert not falls.any()
    sent, lost = give_back(
        plan, Transfers.none(2, 1), np.array([[0, 500.0], [0, 0]]), np.array([1e3, 1e3]), np.array([3e3, 3e3]),
        900.0, KineticTerms(),
    )  # fmt: skip
    returning = order(plan, params, Transfers.none(2, 1), sent, lost, HEADROOM)
    grows, falls = owed_change_w(plan, params, initial_state(params), returning, returning.storage_w)
    assert not grows.any()
    # What arrives in the store is less than what the borrower's feed gave, by four converters and the cable.
    assert 0.8 < falls[0, 1] / returning.given_w[0, 1] < 0.95
    assert returning.storage_w[4] == pytest.approx(-returning.port_w[5], abs=1e-3)
    assert returning.storage_w[1] == 0, "the borrower gives from its feed"
    assert returning.reason[5] == Reason.GIVES_BACK


def test_never_more_is_given_back_than_is_owed_or_than_feed_and_lender_have_room_for(pair):
    plan, _ = pair
    owed = np.array([[0, 500.0], [0, 0]])
    room = np.array([3e3, 3e3])

    def sent(upper=1e3, charge=room, until_s=900.0, before=None):
        before = Transfers.none(2, 1) if before is None else before
        return give_back(plan, before, owed, np.full(2, upper), charge, until_s, KineticTerms())[0]

    assert sent()[0, 1] == pytest.approx(1_000.0)  # 500 Wh over half an hour
    assert sent(until_s=3_600.0)[0, 1] == pytest.approx(500.0)  # no more than is owed by then
    assert sent(upper=0.85 * 3_000 - 300)[0, 1] == pytest.approx(300.0)  # the feed's room
    assert sent(charge=np.array([0, 250.0]))[0, 1] == pytest.approx(250.0)  # the lender's
    assert not sent(upper=3_000.0).any()
    assert not sent(before=helping(500.0)).any(), "who is helped gives nothing back"


def test_unhealthy_and_private_storages_take_no_part(pair):
    plan, _ = pair
    low, high, idle = np.full(6, -1e3), np.full(6, 2e3), np.zeros(6)
    fit = np.array([True, True, True, True, False, True])
    assert [p.tolist() for p in module_power_w(plan, low, high, idle, np.ones(6, bool))][1] == [6e3, 6e3]
    storages = np.array([False, True, False, False, True, False])
    plan = replace(plan, lends=storages)
    down, up, everything = module_power_w(
        plan, low, high, np.array([0, 500.0, 0, 0, -200.0, 0]), np.ones(6, bool)
    )
    assert (
        down.tolist() == [1e3, 800.0] and up.tolist() == [1_500.0, 2e3] and everything.tolist() == [2e3, 2e3]
    )
    assert module_power_w(plan, low, high, idle, fit)[1].tolist() == [2e3, 0.0]
    assert module_power_w(replace(plan, lends=~storages & False), low, high, idle, fit)[1].tolist() == [
        0.0,
        0.0,
    ]


def test_the_textbook_case_is_short_by_just_what_the_way_loses(pair):
    """A needs 200 W and has 100, B needs 50 W and has 150: B's 100 W do not arrive whole."""
    plan, params = pair
    small = replace(plan, rated_w=np.full(2, 200.0))
    terms = KineticTerms(relief_pu=1.0, stop_pu=0.9, margin_pu=0.0)
    spare = bus_power_w(small, params, np.array([0.0, 100.0]))
    got = balance(small.network, np.array([200.0, 50.0]), np.array([100.0, 150.0]), np.zeros(2), spare,
                  Transfers.none(2, 1), 0.0, terms)  # fmt: skip
    tie = order(small, params, got, NOTHING, NOTHING, HEADROOM)
    assert tie.given_w[1, 0] == pytest.approx(100.0, abs=0.01)
    # By hand from the stages' curve at half load: 97.0 % each, and OHM * (97 / 380)^2 = 7 mW in the cable.
    assert tie.arrived_w[1, 0] == pytest.approx(100.0 * 0.970 * 0.970, abs=0.3)
