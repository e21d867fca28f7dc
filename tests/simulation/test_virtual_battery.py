"""The textbook case of the virtual battery, run as a day: what arrives is what physics lets through."""

import re

import pytest
from sqlalchemy import select

from node import profiles
from node.community import open_community
from node.report import borrowed, writing
from node.report.summary import summarise
from node.scenario import Study, load
from node.scenario.shipped import scenario_path
from node.simulation import Simulation
from node.store.tables_devices import device_intervals, devices, setpoints
from node.store.tables_racks import debts, transfers

FIRST, INTERVALS = 8, 24  # from the third hour on everything is as it stays
A, B, C, D = 2, 3, 4, 5


@pytest.fixture(scope="module")
def hours():
    scenario = load(scenario_path("virtual-battery"))
    scenario = scenario.model_copy(update={"study": Study(chain=False, signing=False)})
    community = open_community(scenario, profiles.load(scenario), None)
    start = scenario.delivery_intervals().start
    Simulation(community).run(start + INTERVALS)
    with community.store.read() as connection:
        yield scenario, connection, range(start + FIRST, start + INTERVALS)
    community.close()


def per_hour(scenario, span, energy_wh):
    return energy_wh / (len(span) * scenario.interval_s / 3_600)


def test_of_a_hundred_watts_94_arrive_and_the_rest_is_missing(hours):
    scenario, connection, span = hours
    one = borrowed.borrowed(connection, span, scenario.interval_s)[A]
    power = [per_hour(scenario, span, wh) for wh in (one.beyond_wh, one.given_wh, one.arrived_wh)]
    assert power[:2] == pytest.approx([100.0, 100.0], abs=0.05)
    # By hand: two stages at half load, 97.0 % each by their curve, and 28 mohm at 97 W / 48 V: 0.11 W.
    assert power[2] == pytest.approx(100.0 * 0.970 * 0.970 - 0.11, abs=0.3)
    assert per_hour(scenario, span, one.unserved_wh) == pytest.approx(100.0 - power[2], abs=0.05)
    assert one.given_by_wh == {B: pytest.approx(one.given_wh)}


def test_who_can_borrow_what_the_way_loses_on_top_is_served_in_full(hours):
    scenario, connection, span = hours
    one = borrowed.borrowed(connection, span, scenario.interval_s)[C]
    assert one.unserved_wh == pytest.approx(0.0, abs=1e-6)
    assert 100.0 < per_hour(scenario, span, one.arrived_wh) < per_hour(scenario, span, one.given_wh) <= 115.0


def test_the_report_says_who_is_short_by_how_much_and_why(hours, tmp_path):
    scenario, connection, span = hours
    heads, rows = borrowed.tables(connection, span, scenario.interval_s)[borrowed.CAPTION]
    assert [len(row) for row in rows] == [len(heads)] * 2
    assert re.fullmatch(
        r"short by 5\.[89] W in 16 of 16 intervals: lenders could give 100\.0 W of the 100\.0 W lacking then, "
        r"and 5\.[89] W were lost in ports and cables",
        rows[0][-1],
    )
    assert rows[1][-1].startswith("served: D")
    page = writing.write(connection, scenario, summarise(connection, scenario), tmp_path).read_text()
    assert borrowed.CAPTION in page and "short by 5." in page
    assert "overload of 100 W measured at" in page


def test_units_that_nobody_plans_ask_below_their_low_threshold_and_contribute_above_the_high_one(hours):
    scenario, connection, _ = hours
    start = scenario.delivery_intervals().start
    found = connection.execute(
        select(devices.c.name, setpoints.c.reason).join(devices, devices.c.id == setpoints.c.device)
    ).all()
    for name, reason in (
        ("pdu-empty", "asked for energy: below its low threshold"),
        ("pdu-full", "contributes to its account's load: above its high threshold"),
    ):
        assert {row.name[:-3] for row in found if row.reason == reason} == {name}
    stored = {
        row.name: row.energy_wh
        for row in connection.execute(
            select(devices.c.name, device_intervals.c.energy_wh)
            .join(device_intervals, device_intervals.c.device == devices.c.id)
            .where(device_intervals.c.interval == start + INTERVALS - 1, devices.c.kind == "pdu_module")
        )
    }
    # Modules of 50 Wh: up to the low threshold of 0.3, and down to where 5 W are not worth a converter above 0.8.
    for name, wh in stored.items():
        assert wh == pytest.approx(15.0, abs=0.1) if "empty" in name else 40.0 <= wh < 45.1


def test_what_the_way_loses_is_owed_with_the_loan(hours):
    _, connection, span = hours
    lent = {D: 0.0, B: 0.0}
    for row in connection.execute(select(debts).where(debts.c.interval >= span.start)):
        lent[row.lender] += row.lent_wh
        assert row.returned_wh == 0.0, "nobody has anything to give back with"
    given = {D: 0.0, B: 0.0}
    for row in connection.execute(select(transfers).where(transfers.c.interval >= span.start)):
        given[row.source] += row.given_wh
    # What left the stores: what was given and what battery and inverter lost for it.
    assert all(1.0 < lent[who] / given[who] < 1.1 for who in (B, D))
