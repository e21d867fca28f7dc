"""Loads inside intervals: finer profiles arrive at devices, and the interval's energy stays what the meter sees."""

import json
from pathlib import Path

import numpy as np
import pytest

from node import profiles
from node.profiles import ProfileError, servers
from node.scenario import Scenario, load
from node.scenario.consistency import find_mistakes
from node.world import plant

SCENARIOS = Path(__file__).parents[3] / "scripts" / "scenarios"


def scenario_with(load_fields, **changes):
    base = load(SCENARIOS / "neighbourhood.yaml").model_dump(mode="json")
    person = base["participants"][1] | {"load": load_fields, "solar": None, "devices": []}
    return Scenario.model_validate_json(json.dumps(base | {"participants": [person], "events": []} | changes))


def test_server_profiles_are_whole_and_per_unit():
    shipped = servers.servers()
    assert shipped.power_pu.shape == (5, 28 * 288)
    assert np.all((shipped.power_pu >= 0.3) & (shipped.power_pu <= 1.0))
    for name in ("LICENSE.numenta", "README.md"):
        assert (SCENARIOS.parents[1] / "devices" / "profiles" / name).exists()


def test_loads_change_inside_an_interval_and_their_mean_is_the_intervals():
    fine = profiles.load(scenario_with({"profile": "SRV-A", "peak_w": 1_000.0}, load_step_s=300))
    flat = profiles.load(scenario_with({"profile": "SRV-A", "peak_w": 1_000.0}))
    assert fine.n_steps == 3 and flat.n_steps == 1
    assert np.ptp(fine.load_steps_w, axis=2).max() > 200.0
    assert fine.load_w == pytest.approx(flat.load_w, rel=1e-12)
    assert fine.load_steps_w.mean(axis=2) == pytest.approx(fine.load_w, rel=1e-12)


def test_the_hourly_job_of_the_first_server_is_where_it_was_measured():
    # NAB's series has a job five minutes past every hour of that Thursday, and next to nothing in between.
    zone = load(SCENARIOS / "neighbourhood.yaml").zone
    midnight_s = 1_776_290_400
    day = servers.power_pu("SRV-A", midnight_s, midnight_s + 86_400, 300, zone, 2).reshape(24, 12)
    assert set(day.argmax(axis=1)) == {1}
    assert np.median(day.max(axis=1)) > 1.5 * np.median(day)


def test_devices_get_every_step_and_a_car_still_comes_and_goes_between_them():
    scenario = load(SCENARIOS / "neighbourhood.yaml")
    finer = scenario.model_copy(update={"load_step_s": 300})
    loaded, built = profiles.load(finer), plant.build(finer)
    coarse, coarse_plant = profiles.load(scenario), plant.build(scenario)
    for interval in list(loaded.delivery)[::7]:
        inputs = built.inputs(loaded, interval)
        plain = coarse_plant.inputs(coarse, interval)
        assert {0.0, 300.0, 600.0} <= set(inputs.offset_s) and set(plain.offset_s) <= set(inputs.offset_s)

        def energy_wh(one):
            spans = np.diff([*one.offset_s, 900.0])
            return sum(s.load_demand_w * span / 3_600 for s, span in zip(one.steps, spans, strict=True))

        assert energy_wh(inputs) == pytest.approx(energy_wh(plain), rel=1e-12)


def test_users_files_finer_than_the_interval_keep_their_steps(tmp_path):
    scenario = scenario_with({"profile": "rack", "scale_pu": 1.0}, load_step_s=60)
    start_s = scenario.grid.start_s(scenario.delivery_intervals().start)
    rows = "".join(f"{start_s + 60 * k},{500 + k % 15}\n" for k in range(1_440))
    (tmp_path / "rack.csv").write_text("unix_s,load_w\n" + rows)
    loaded = profiles.load(scenario, tmp_path)
    assert loaded.load_steps_w[0, 0].tolist() == [500.0 + k for k in range(15)]
    assert loaded.load_w[0, 0] == pytest.approx(507.0)


def test_steps_that_do_not_divide_the_interval_are_told():
    mistakes = find_mistakes(scenario_with({"profile": "SRV-A", "peak_w": 1.0}, load_step_s=400))
    assert (("load_step_s",), "expected a divisor of interval_s = 900") in [
        (mistake.location, mistake.message) for mistake in mistakes
    ]


def test_four_weeks_of_a_server_are_no_year():
    with pytest.raises(ProfileError, match="use peak_w"):
        profiles.load(scenario_with({"profile": "SRV-A", "yearly_kwh": 1_000.0}))
