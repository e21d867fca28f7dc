"""The swarm's day: a real frequency followed, a lost generator held, scored, paid on chain, and bought back."""

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from node import profiles
from node.chain.reconcile import reconcile
from node.community import open_community
from node.report import frequency
from node.report.summary import summarise
from node.report.terminal import figures
from node.scenario import load
from node.simulation import Simulation
from node.store.tables_devices import device_intervals, setpoints
from node.store.tables_frequency import frequency_members, frequency_steps
from node.store.tables_market import curtailments, fills, flex_events, flex_members, readings

SCENARIO = Path(__file__).parents[2] / "scripts" / "scenarios" / "swarm.yaml"
VALLEY, MILL, WHEEL = 7, 8, 9


@pytest.fixture(scope="module")
def day():
    scenario = load(SCENARIO)
    community = open_community(scenario, profiles.load(scenario), None)
    Simulation(community).run(scenario.delivery_intervals().stop)
    yield community
    community.close()


@pytest.fixture(scope="module")
def services(day):
    with day.store.read() as connection:
        return {one.name: one for one in frequency.service_figures(connection, day.scenario)}


def rows(day, query):
    with day.store.read() as connection:
        return connection.execute(query).all()


def test_a_real_day_is_tracked_within_three_percent_and_scores_above_0_95(services):
    for name in ("regulation-morning", "regulation-evening"):
        one = services[name]
        assert one.largest_error_pu <= 0.03
        assert one.score >= 0.95
        assert one.reserve_violations == 0
        assert one.delivered_wh == pytest.approx(one.asked_wh, rel=0.03)
        assert one.reserved_w == pytest.approx(12_000.0, rel=1e-3)


def test_the_lost_generator_is_held_far_above_what_the_area_alone_would_reach(services):
    one = services["containment"]
    assert one.alone_hz == pytest.approx(49.06, abs=0.01)
    assert one.lowest_hz >= 49.68
    assert one.highest_hz < 50.05
    assert one.reserve_violations == 0
    assert one.score >= 0.95


def test_no_later_dip_of_the_incident_is_below_the_first(day):
    steps = rows(
        day, select(frequency_steps).where(frequency_steps.c.is_incident).order_by(frequency_steps.c.at_ms)
    )
    f = np.array([row.deviation_hz for row in steps])
    assert f.size == 4_800, "480 s in steps of 100 ms"
    first = f.argmin()
    assert np.all(f[first + 30 :] > f[first] + 0.05)
    assert f[-1] > -0.02, "secondary control brought it back"


def test_no_storage_ever_falls_below_its_owners_reserve(day):
    fleet = day.plant.fleet
    for row in rows(day, select(device_intervals)):
        if fleet.capacity_wh[row.device] > 0:
            assert row.energy_wh >= fleet.reserve_wh[row.device] - 1e-6


def test_fine_steps_are_taken_only_while_something_happens(day):
    steps = rows(day, select(frequency_steps))
    deadband = 0.015
    quiet = [row for row in steps if not row.is_incident and abs(row.deviation_hz) < deadband / 2]
    assert len(quiet) < 0.01 * len(steps)
    assert len(steps) < 0.45 * 76_000, "of the seconds in which services were sold"


def test_revenue_split_pays_the_incident_by_what_signed_registers_show(day):
    (event,) = rows(day, select(flex_events).where(flex_events.c.name == "containment"))
    members = rows(day, select(flex_members).where(flex_members.c.event_id == event.id))
    assert {m.account for m in members} == {VALLEY, MILL, WHEEL}
    assert (event.split, event.state) == ("contract", "paid")
    register = {(r.account, r.interval): r.register_milli_wh for r in rows(day, select(readings))}
    for m in members:
        metered = register[m.account, event.last] - register[m.account, event.first - 1]
        assert m.contribution_milli_wh == max(metered - m.baseline_milli_wh, 0)
    assert sum(m.paid_pico for m in members) == event.revenue_pico > 0
    total = sum(m.contribution_milli_wh for m in members)
    for m in members:
        assert abs(m.paid_pico - event.revenue_pico * m.contribution_milli_wh // total) <= 1


def test_the_meters_show_what_the_telemetry_says_of_the_incident(day):
    (event,) = rows(day, select(flex_events).where(flex_events.c.name == "containment"))
    told = {
        r.account: r.delivered_milli_wh
        for r in rows(day, select(frequency_members).where(frequency_members.c.interval == event.first))
    }
    for m in rows(day, select(flex_members).where(flex_members.c.event_id == event.id)):
        assert m.contribution_milli_wh == pytest.approx(told[m.account], rel=0.25)


def test_the_buyer_pays_price_times_score_to_the_last_unit(day):
    for event in rows(day, select(flex_events).where(flex_events.c.split == "shapley")):
        members = rows(day, select(flex_members).where(flex_members.c.event_id == event.id))
        due = event.revenue_pico * event.score_ppm // 1_000_000
        assert sum(m.due_pico for m in members) == due > 0
        assert [m.paid_pico for m in members] == [m.due_pico for m in members], "on chain, and final"
        assert 950_000 <= event.score_ppm < 1_000_000


def test_what_the_incident_took_is_bought_back_by_orders(day, services):
    (event,) = rows(day, select(flex_events).where(flex_events.c.name == "containment"))
    level = {
        (row.device, row.interval): row.energy_wh
        for row in rows(day, select(device_intervals).where(device_intervals.c.interval >= event.first - 1))
    }
    for account, name in ((VALLEY, "valley-battery-1"), (MILL, "mill-battery-1")):
        device = day.plant.fleet.row_of(name)
        taken_wh = level[device, event.first - 1] - level[device, event.last]
        assert taken_wh > 30.0
        bought = rows(
            day,
            select(fills).where(
                fills.c.account == account,
                fills.c.is_buy,
                fills.c.interval == event.last + 2,
                fills.c.round == 1,
            ),
        )
        assert sum(fill.quantity_milli_wh for fill in bought) / 1_000 == pytest.approx(taken_wh, rel=0.15)
        back_wh = level[device, event.last + 4] - level[device, event.last]
        assert back_wh >= 0.8 * taken_wh
    assert services["containment"].recovered_wh > 0


def test_the_morning_peak_is_shaved_to_its_cap_and_paid_by_the_contract(day):
    (event,) = rows(day, select(flex_events).where(flex_events.c.name == "morning-peak"))
    register = {(r.account, r.interval): r.register_milli_wh for r in rows(day, select(readings))}
    accounts = {account for account, _ in register}
    for interval in range(event.first, event.last + 1):
        net = sum(register[a, interval] - register[a, interval - 1] for a in accounts)
        # What the frequency asks for meanwhile goes on top: at most a tenth of the cap here.
        assert -net / 1_000 <= 1.1 * 2_500.0 * day.scenario.interval_s / 3_600
    members = rows(day, select(flex_members).where(flex_members.c.event_id == event.id))
    assert sum(m.paid_pico for m in members) == event.revenue_pico
    reasons = {row.reason for row in rows(day, select(setpoints.c.reason).distinct())}
    assert any(reason.startswith("grid event morning-peak") for reason in reasons)


def test_setpoints_say_why_and_withdrawals_are_forgiven(day):
    reasons = {row.reason for row in rows(day, select(setpoints.c.reason).distinct())}
    assert "answers the grid's frequency: regulation-morning" in reasons
    assert "answers the grid's frequency: containment" in reasons
    assert "frequency" in {row.reason for row in rows(day, select(curtailments.c.reason).distinct())}


def test_figures_tables_and_pictures_show_it(day):
    with day.store.read() as connection:
        summary = summarise(connection, day.scenario)
        pictures = frequency.pictures(connection, day.scenario)
        differences = reconcile(connection, day.chain, day.contracts, day.deployment, is_full=True)
    assert not differences
    shown = figures(summary)
    names = [name for name, _ in shown]
    assert "frequency service containment" in names
    assert "grid event morning-peak" in names
    assert "grid event containment" not in names, "said once"
    text = dict(shown)["frequency service containment"]
    assert "nadir 49.69" in text and "without the swarm" in text
    assert "by RevenueSplit: Valley battery" in text
    assert "score 0.98" in dict(shown)["frequency service regulation-morning"]
    assert set(pictures) == {f"frequency-{service.name}" for service in summary.frequency}
    traces = {trace["name"] for trace in pictures["frequency-containment"]["data"]}
    assert traces == {"frequency", "without the swarm", "asked", "given"}
    (table,) = frequency.tables(summary.frequency, day.scenario.interval_s).values()
    assert len(table[1]) == 4 + 4 + 3
    assert summary.as_json()["frequency"][0]["score"] >= 0.95
    assert summary.energy.gap_share < 1e-3
