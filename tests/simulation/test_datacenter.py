"""The data centre's day: everything that goes wrong is seen, bridged, and written down with its reason."""

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from node import profiles
from node.community import open_community
from node.hub.dispatch_state import world_from_bytes
from node.report.summary import summarise
from node.report.terminal import figures
from node.scenario import load
from node.simulation import Simulation
from node.store.tables_devices import (
    alerts,
    checkpoints,
    device_intervals,
    devices,
    incidents,
    loans,
    node_intervals,
    nodes,
    setpoints,
)
from node.store.tables_market import imbalances

SCENARIO = Path(__file__).parents[2] / "scripts" / "scenarios" / "datacenter.yaml"


@pytest.fixture(scope="module")
def day():
    scenario = load(SCENARIO)
    community = open_community(scenario, profiles.load(scenario), None)
    Simulation(community).run(scenario.delivery_intervals().stop)
    yield community
    community.close()


def rows(day, query):
    with day.store.read() as connection:
        return connection.execute(query).all()


def first(day):
    return day.scenario.delivery_intervals().start


def device(day, name):
    return day.plant.fleet.row_of(name)


def found_by_device(day):
    by_device = {}
    for row in rows(day, select(alerts, devices.c.name).join(devices, devices.c.id == alerts.c.device)):
        by_device.setdefault(row.name, {})[row.cause] = row.interval - first(day)
    return by_device


def test_the_broken_units_are_found_with_their_cause_and_nobody_else_is_blamed(day):
    found = found_by_device(day)
    assert set(found) == {"bbu-a3", "bbu-b2"}
    assert "internal short" in found["bbu-a3"]
    assert set(found["bbu-b2"]) == {"stuck current"}
    assert min(found["bbu-a3"].values()) > 6, "not before it breaks at 03:00"
    assert found["bbu-b2"]["stuck current"] > 12, "not before it breaks at 06:00"


def test_who_is_unhealthy_does_no_more_duty(day):
    for name, causes in found_by_device(day).items():
        after = min(causes.values()) + first(day)
        flows = rows(
            day,
            select(device_intervals).where(
                device_intervals.c.device == device(day, name), device_intervals.c.interval > after
            ),
        )
        assert flows
        # In the first interval it still ramps down.
        assert all(abs(row.terminal_wh) < 1e-6 for row in flows[1:])
        assert abs(flows[0].terminal_wh) < 1.0


def test_an_internal_short_is_paid_for_by_its_owners_energy_and_the_books_close(day):
    lost = [
        row.loss_wh
        for row in rows(
            day, select(device_intervals).where(device_intervals.c.device == device(day, "bbu-a3"))
        )
    ]
    # 0.02 / h of 2.4 kWh is 48 W: 24 Wh in half an hour on top of what it lost before.
    assert np.mean(lost[8:12]) - np.mean(lost[:6]) == pytest.approx(24.0, abs=6.0)
    for row in rows(day, select(device_intervals)):
        flows = (row.source_wh, row.sink_wh, row.stored_delta_wh, row.loss_wh, row.terminal_wh)
        residual = row.source_wh - row.sink_wh - row.stored_delta_wh - row.loss_wh - row.terminal_wh
        assert abs(residual) <= 1e-9 * max(1.0, *map(abs, flows))


def test_batteries_are_a_little_older_in_the_evening(day):
    (saved,) = rows(day, select(checkpoints.c.content).where(checkpoints.c.name == "world"))
    fleet = world_from_bytes(saved.content).fleet
    row = device(day, "battery-a")
    assert 0 < 1 - fleet.capacity_factor[row] < 0.01
    assert fleet.capacity_factor[device(day, "module-a")] == 1.0


def test_the_small_feeder_is_never_overrun_because_neighbours_lend(day):
    caps = {row.name: row.import_cap_w for row in rows(day, select(nodes))}
    peaks = {}
    for row in rows(day, select(node_intervals)):
        assert row.peak_import_w <= caps[row.node] * 1.001 + 0.5
        peaks[row.node] = max(peaks.get(row.node, 0.0), row.peak_import_w)
    assert peaks["hall-a"] == pytest.approx(caps["hall-a"], rel=1e-3), "it must have been the limit"
    reasons = {row.reason for row in rows(day, select(setpoints.c.reason).distinct())}
    assert "relieves node hall-a" in reasons


def test_what_is_lent_is_what_is_borrowed_and_what_the_meters_settle(day):
    book = rows(day, select(loans))
    by_interval = {}
    for row in book:
        lent, borrowed = by_interval.get(row.interval, (0.0, 0.0))
        by_interval[row.interval] = (lent + row.lent_wh, borrowed + row.borrowed_wh)
    assert sum(lent for lent, _ in by_interval.values()) > 500
    for lent, borrowed in by_interval.values():
        assert borrowed == pytest.approx(lent, rel=1e-6, abs=0.05)
    metered = {(row.interval, row.account): row.metered_milli_wh for row in rows(day, select(imbalances))}
    at_terminal = {}
    for row in rows(
        day,
        select(device_intervals, devices.c.account).join(devices, devices.c.id == device_intervals.c.device),
    ):
        key = (row.interval, row.account)
        at_terminal[key] = at_terminal.get(key, 0.0) + row.terminal_wh * 1_000
    for row in book:
        assert abs(metered[row.interval, row.account] - at_terminal[row.interval, row.account]) <= 2


def test_no_server_stops_while_the_supply_is_gone(day):
    start_s = day.scenario.grid.start_s(first(day))
    happened = [(row.kind, row.subject, row.at_s - start_s) for row in rows(day, select(incidents))]
    assert ("supply_failed", "hall-b", 14 * 3_600 + 20 * 60) in happened
    assert ("supply_back", "hall-b", 14 * 3_600 + 22 * 60) in happened
    unserved = {}
    for row in rows(
        day,
        select(devices.c.kind, device_intervals.c.unserved_wh).join(
            devices, devices.c.id == device_intervals.c.device
        ),
    ):
        unserved[row.kind] = unserved.get(row.kind, 0.0) + row.unserved_wh
    assert unserved["load (critical)"] == pytest.approx(0.0, abs=1e-6)
    # The rack without a backup of its own lived on its neighbours.
    b3 = next(i for i, p in enumerate(day.scenario.participants) if p.id == "rack-b3") + 2
    assert any(row.account == b3 and row.borrowed_wh > 0 for row in rows(day, select(loans)))


def test_a_standby_controller_takes_over_within_a_second(day):
    start_s = day.scenario.grid.start_s(first(day))
    (takeover,) = (row for row in rows(day, select(incidents)) if row.kind == "takeover")
    assert 0 < takeover.at_s - start_s - (11 * 3_600 + 7 * 60) < 1
    assert takeover.subject == "1"


def test_the_figures_show_each_of_it(day):
    with day.store.read() as connection:
        summary = summarise(connection, day.scenario)
    shown = dict(figures(summary))
    assert "bbu-a3: internal short" in shown["health alerts"]
    assert shown["controller takeovers"] == "1"
    assert shown["supplies lost"] == "1"
    assert "Kinetic module A" in shown["lent between owners"]
    assert "Rack B3" in shown["borrowed"]
    assert summary.energy.gap_share < 1e-3
    assert summary.differences == 0
    assert summary.as_json()["operations"]["islands"] == 1
