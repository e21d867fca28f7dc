"""A grid event's four steps, each planned once: baselines before, registers after, money only for delivery."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import insert

from market.flexibility import Baselines
from market.intervals import IntervalGrid
from node.chain.keys import LocalSigner
from node.hub.flexibility import Flexibility, PlannedEvent, SplitDesk
from node.store.tables_chain import blocks, chain_events, outbox
from node.store.tables_market import flex_events, flex_members, readings
from tests.unit.node.chain.live import contracts
from tests.unit.node.hub.small_hub import ACCOUNTS, LENGTH_S, T, key, reading
from tests.unit.node.hub.test_settlement import open_desk

FIRST = T + 3
EVENT = PlannedEvent(
    "evening", FIRST, FIRST + 1, 2_000.0, 5 * 10**12, "schedule", (2, 3), np.array([True, False])
)
RECORD_WINDOW_S = 2 * LENGTH_S


class Events:
    """A small hub with one event; meters and chain do what a test tells them."""

    def __init__(self, *events: PlannedEvent, with_chain: bool = True) -> None:
        desk = open_desk()
        self.hub = desk.hub
        split = SplitDesk(desk.sender, contracts(), desk.deployment)
        self.service = Flexibility(
            events or (EVENT,),
            IntervalGrid(LENGTH_S),
            ACCOUNTS[0],
            lambda span: np.full((len(ACCOUNTS), len(span)), -0.1),
            RECORD_WINDOW_S,
            split if with_chain else None,
        )

    def read(self, interval: int, **registers: int) -> None:
        batch = [reading(account, interval, registers.get(f"a{account}", 0)) for account in ACCOUNTS]
        with self.hub.store.begin() as connection:
            self.hub.metering.read(connection, interval, batch)

    def after(self, interval: int) -> None:
        with self.hub.store.begin() as connection:
            self.service.after(connection, interval)

    def chain_opens(self, number: int = 1) -> None:
        """Let the chain say that it opened the event."""
        self._chain_opens_for(key("buyer"), number)

    def somebody_opens(self, number: int) -> None:
        """Let the chain say that a stranger opened an event with the same baselines."""
        self._chain_opens_for(key("stranger"), number)

    def _chain_opens_for(self, buyer: LocalSigner, number: int) -> None:
        (row,) = self.hub.rows(flex_events)
        root, who = f"0x{row.root.hex()}", f"0x{buyer.address.hex()}"
        details = [root, who, row.first, row.last, row.revenue_pico, 0]
        self._chain_says("Opened", {"id": number, "details": details}, number)

    def chain_pays(self, account: int, amount: int, number: int = 1) -> None:
        self._chain_says("Paid", {"id": number, "account": account, "amount": str(amount)}, 10 + account)

    def _chain_says(self, name: str, arguments: dict, block: int) -> None:
        digest = bytes([block]) * 32
        with self.hub.store.begin() as connection:
            connection.execute(
                insert(blocks), {"number": block, "hash": digest, "parent": bytes(32), "timestamp_s": 1}
            )
            connection.execute(
                insert(chain_events),
                {
                    "block_hash": digest,
                    "log_index": 0,
                    "block_number": block,
                    "transaction_hash": digest,
                    "contract": bytes(20),
                    "name": name,
                    "arguments": json.dumps(arguments),
                },
            )

    def planned(self) -> list[tuple[str, str]]:
        return [(row.kind, row.ref) for row in self.hub.rows(outbox)]

    def deliver(self, **exported: int) -> None:
        """Run up to the event's end; `exported` is what accounts export over the event, mWh."""
        for interval in range(T, FIRST + 2):
            registers = exported if interval == FIRST + 1 else {}
            self.read(interval, **registers)
            self.after(interval)
            if interval == FIRST - 2:
                self.chain_opens()


def test_two_intervals_before_the_baselines_are_fixed_and_their_root_goes_on_chain():
    events = Events()
    events.after(FIRST - 3)
    assert events.hub.count(flex_events) == 0
    events.after(FIRST - 2)
    (row,) = events.hub.rows(flex_events)
    # what was planned: 0.1 Wh of import in each of two intervals
    assert [m.baseline_milli_wh for m in events.hub.rows(flex_members)] == [-200, -200]
    assert row.root == Baselines.commit([2, 3], [-200, -200]).root
    assert events.planned() == [("flex-open", "evening")]


def test_opening_twice_is_opening_once():
    events = Events()
    events.after(FIRST - 2)
    before = events.hub.state()
    events.after(FIRST - 2)
    assert events.hub.state() == before


def test_only_who_delivered_is_recorded_and_paid():
    events = Events()
    events.deliver(a2=1_000, a3=-200)
    contributions = {m.account: m.contribution_milli_wh for m in events.hub.rows(flex_members)}
    assert contributions == {2: 1_200, 3: 0}
    assert events.planned()[1:] == [("flex-record", "evening/2")]
    events.after(FIRST + 1 + 2)
    assert events.planned()[2:] == [("flex-pay", "evening/0")]
    assert events.hub.rows(flex_events)[0].state == "paid"
    assert events.hub.rows(flex_events)[0].chain_id == 1


def test_if_nobody_delivered_the_buyer_has_the_money_back():
    events = Events()
    events.deliver(a2=-300, a3=-200)
    events.after(FIRST + 3)
    assert events.planned() == [("flex-open", "evening"), ("flex-refund", "evening")]
    assert events.hub.rows(flex_events)[0].state == "refunded"


def test_recording_and_paying_twice_is_doing_so_once():
    events = Events()
    events.deliver(a2=1_000, a3=500)
    before = events.hub.state()
    events.after(FIRST + 1)
    assert events.hub.state() == before
    events.after(FIRST + 3)
    before = events.hub.state()
    events.after(FIRST + 3)
    events.after(FIRST + 1)
    assert events.hub.state() == before
    assert events.hub.rows(flex_events)[0].state == "paid"


def test_an_event_whose_opening_was_missed_does_nothing():
    events = Events()
    for interval in (T, T + 1, T + 2, T + 3, T + 4):
        events.read(interval)
    events.after(FIRST + 1)
    events.after(FIRST + 3)
    assert events.planned() == []


def test_an_event_that_the_chain_did_not_open_stops_loudly():
    events = Events()
    for interval in range(T, FIRST + 2):
        events.read(interval)
    events.after(FIRST - 2)
    with pytest.raises(LookupError, match="evening was opened, but the chain has no such event"):
        events.after(FIRST + 1)


def test_an_event_that_a_stranger_opened_with_our_baselines_is_not_ours():
    events = Events()
    for interval in range(T, FIRST + 2):
        events.read(interval, a2=1_000 * (interval == FIRST + 1))
    events.after(FIRST - 2)
    events.somebody_opens(4)
    events.chain_opens(5)
    events.after(FIRST + 1)
    (row,) = events.hub.rows(flex_events)
    assert (row.chain_id, row.state) == (5, "recorded")


def test_what_the_chain_paid_is_taken_over_for_its_members():
    events = Events()
    events.deliver(a2=1_000, a3=500)
    events.after(FIRST + 3)
    events.chain_pays(2, 3 * 10**12)
    events.chain_pays(3, 2 * 10**12)
    for _ in range(2):
        with events.hub.store.begin() as connection:
            events.service.observe(connection)
    assert [m.paid_pico for m in events.hub.rows(flex_members)] == [3 * 10**12, 2 * 10**12]


def test_a_study_without_chain_plans_nothing_but_keeps_its_books():
    events = Events(with_chain=False)
    for interval in range(T, FIRST + 2):
        events.read(interval, **({"a2": 1_000} if interval == FIRST + 1 else {}))
        events.after(interval)
    events.after(FIRST + 3)
    assert events.planned() == []
    assert events.hub.rows(flex_members)[0].contribution_milli_wh == 1_200


def test_the_controller_sees_the_event_only_while_it_lasts():
    service = Events().service
    assert [bool(service.during(t)) for t in range(FIRST - 1, FIRST + 3)] == [False, True, True, False]
    (seen,) = service.during(FIRST)
    assert (seen.start_s, seen.end_s) == (FIRST * LENGTH_S, (FIRST + 2) * LENGTH_S)
    assert seen.members.tolist() == [True, False]


def test_the_previous_interval_as_baseline_counts_for_every_interval_of_the_event():
    events = Events(replace(EVENT, baseline="previous_interval"))
    events.read(T, a2=100, a3=-40)
    events.read(T + 1, a2=350, a3=-90)
    events.after(FIRST - 2)
    assert [m.baseline_milli_wh for m in events.hub.rows(flex_members)] == [2 * 250, 2 * -50]


def days(events: Events, export_by_day: dict[int, int]) -> None:
    """Read meters of the event's two intervals, and of the one before, on days before it."""
    for back, export in sorted(export_by_day.items(), reverse=True):
        for interval, register in zip(
            range(FIRST - 1 - 96 * back, FIRST + 2 - 96 * back), (0, export, 2 * export), strict=True
        ):
            rows = [
                {
                    "interval": interval,
                    "account": account,
                    "register_milli_wh": register,
                    "is_substitute": False,
                    "signature": bytes(64),
                    "received_at_s": 0,
                }
                for account in ACCOUNTS
            ]
            with events.hub.store.begin() as connection:
                connection.execute(insert(readings), rows)


def test_earlier_days_as_baseline_are_averaged_and_rounded_up():
    events = Events(replace(EVENT, baseline="previous_days"))
    days(events, {1: 10, 2: 21})
    events.after(FIRST - 2)
    # two intervals each: (20 + 42) / 2 = 31
    assert [m.baseline_milli_wh for m in events.hub.rows(flex_members)] == [31, 31]


def test_days_with_an_event_are_no_baseline():
    earlier = replace(EVENT, name="yesterday", first=FIRST - 96, last=FIRST - 95)
    events = Events(replace(EVENT, baseline="previous_days"), earlier)
    days(events, {1: 1_000, 2: 21})
    events.after(FIRST - 2)
    assert [m.baseline_milli_wh for m in events.hub.rows(flex_members)] == [42, 42]


def test_without_any_earlier_day_the_plan_is_the_baseline():
    events = Events(replace(EVENT, baseline="previous_days"))
    events.after(FIRST - 2)
    assert [m.baseline_milli_wh for m in events.hub.rows(flex_members)] == [-200, -200]
