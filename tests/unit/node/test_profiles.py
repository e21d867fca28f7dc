"""The profile door: the shipped extract's calendar, and what users' files may and may not hold."""

import gzip
import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import profiles
from node.profiles import ProfileError, ProfileSet, shipped
from node.profiles.csv_files import read_by_header
from node.profiles.series import Gap, Series
from node.scenario import Scenario, load

ROOT = Path(__file__).parents[3]
SCENARIOS = ROOT / "scripts" / "scenarios"
BERLIN = ZoneInfo("Europe/Berlin")
MIDNIGHT = datetime(2026, 4, 16, tzinfo=BERLIN)
DATA = os.environ.get("SYMGRID_DATA")


def write(tmp_path: Path, text: str, name: str = "office.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def only(path: Path) -> Series:
    (series,) = read_by_header(path)
    return series


def scenario_with(
    load_fields: dict[str, object], start: date = date(2026, 4, 16), interval_s: int = 900
) -> Scenario:
    base = load(SCENARIOS / "neighbourhood.yaml").model_dump(mode="json")
    person = base["participants"][1] | {"load": load_fields, "solar": None, "devices": []}
    chain = {"fill_window_s": 7_200, "exit_delay_s": 30 * 86_400, "role_delay_s": 60 * 86_400}
    changed = {"participants": [person], "start_date": str(start), "events": []}
    changed |= {"interval_s": interval_s, "chain": chain}
    return Scenario.model_validate_json(json.dumps(base | changed))


def day_of(profile_set: ProfileSet) -> np.ndarray:
    return profile_set.load_w[0, profile_set.column(profile_set.delivery.start) :]


# ---------------------------------------------------------------------------- the shipped extract


def test_extract_is_small_complete_and_within_per_unit_bounds() -> None:
    extract = shipped.extract()
    file = ROOT / "devices" / "profiles" / "simbench_15min.csv.gz"
    assert file.stat().st_size < 1_500_000
    assert extract.values.shape == (16, 3 * 28 * 96)
    assert extract.values.min() >= 0
    assert extract.values.max() <= 1
    assert set(extract.full_load_hours) == set(extract.names)


def test_licence_and_attribution_lie_beside_the_extract() -> None:
    folder = ROOT / "devices" / "profiles"
    assert "Open Database License" in (folder / "LICENSE").read_text(encoding="utf-8")
    assert "Contains information from SimBench" in (folder / "ATTRIBUTION").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("day", "season"),
    [
        ("2026-03-20", "winter"), ("2026-03-21", "transition"), ("2026-05-14", "transition"),
        ("2026-05-15", "summer"), ("2026-09-14", "summer"), ("2026-09-15", "transition"),
        ("2026-10-31", "transition"), ("2026-11-01", "winter"), ("2027-01-01", "winter"),
    ],
)  # fmt: skip
def test_season_follows_the_vdew_calendar(day: str, season: str) -> None:
    assert shipped.season_of(date.fromisoformat(day)) == season


@given(st.dates(date(1990, 1, 1), date(2090, 12, 31)))
def test_date_finds_a_day_of_its_own_weekday_in_its_season(day: date) -> None:
    starts = shipped.extract().season_starts
    row = shipped.first_row_of(day, starts)
    offset_days = (row - starts[shipped.season_of(day)]) // 96
    assert 0 <= offset_days < 28
    assert offset_days % 7 == day.weekday()  # every season's block starts on a Monday
    assert shipped.first_row_of(day + timedelta(weeks=1), starts, 3) in (
        row,
        *(start + offset_days * 96 for start in starts.values()),
    )


def test_all_four_weeks_of_a_season_are_used_in_turn() -> None:
    starts = shipped.extract().season_starts
    days = [date(2026, 6, 1) + timedelta(weeks=k) for k in range(4)]
    assert len({shipped.first_row_of(day, starts) for day in days}) == 4


def test_yearly_energy_scales_by_the_whole_years_full_load_hours() -> None:
    day = day_of(profiles.load(scenario_with({"profile": "H0-A", "yearly_kwh": 3_500.0})))
    row = shipped.first_row_of(date(2026, 4, 16), shipped.extract().season_starts)
    expected = shipped.extract().values[0, row : row + 96] * 3_500_000 / 1_222.1
    np.testing.assert_allclose(day, expected, rtol=1e-12)


def test_clocks_going_forward_skip_the_third_hour_and_going_back_repeat_it() -> None:
    values = shipped.extract().values[0]
    starts = shipped.extract().season_starts
    for day, hours in ((date(2026, 3, 29), [0, 1, 3]), (date(2026, 10, 25), [0, 1, 2, 2, 3])):
        power = day_of(profiles.load(scenario_with({"profile": "H0-A", "peak_w": 1.0}, start=day)))
        row = shipped.first_row_of(day, starts)
        expected = np.concatenate([values[row + 4 * h : row + 4 * h + 4] for h in hours])
        np.testing.assert_array_equal(power[: expected.size], expected)
        assert power.size == 96 + (4 if day.month == 10 else -4)


@pytest.mark.parametrize("interval_s", [300, 600, 900, 1800, 3600])
def test_energy_of_a_day_does_not_depend_on_the_interval_length(interval_s: int) -> None:
    def energy_wh(length_s: int) -> float:
        scenario = scenario_with({"profile": "G1-A", "peak_w": 1_000.0}, interval_s=length_s)
        return float(day_of(profiles.load(scenario)).sum()) * length_s / 3_600

    assert energy_wh(interval_s) == pytest.approx(energy_wh(900), rel=1e-12)


def test_history_comes_before_the_delivery_days() -> None:
    profile_set = profiles.load(scenario_with({"profile": "H0-A", "peak_w": 1.0}), history_days=3)
    assert profile_set.delivery.start - profile_set.first == 3 * 96
    with pytest.raises(IndexError):
        profile_set.column(profile_set.first - 1)
    with pytest.raises(IndexError):
        profile_set.column(profile_set.delivery.stop)


def test_neighbourhood_binds_its_street_cable_at_noon_and_in_the_evening() -> None:
    scenario = load(SCENARIOS / "neighbourhood.yaml")
    profile_set = profiles.load(scenario)
    street = next(node for node in scenario.network if node.id == "street")
    rows = [i for i, person in enumerate(scenario.participants) if person.node == "street"]
    today = slice(profile_set.column(profile_set.delivery.start), None)
    surplus_w = (profile_set.solar_w - profile_set.load_w)[rows, today].sum(axis=0)
    over_wh = np.maximum(surplus_w - street.export_cap_w, 0).sum() / 4
    assert over_wh > 12_000  # without storage: some 16 kWh more than the cable exports
    cars_w = sum(
        device.p_charge_max_w
        for person in scenario.participants
        for device in person.devices
        if device.kind == "ev"
    )
    evening_w = -surplus_w[18 * 4 : 22 * 4].mean()
    assert cars_w + evening_w > 1.4 * street.import_cap_w


# ---------------------------------------------------------------------------- users' files


def test_kilowatt_hours_per_step_become_watts(tmp_path: Path) -> None:
    series = only(
        write(tmp_path, "time,load [kWh]\n2026-04-16T00:00+02:00,0.5\n2026-04-16T00:15+02:00,0.25\n")
    )
    assert (series.name, series.start_s, series.step_s) == ("office", int(MIDNIGHT.timestamp()), 900)
    np.testing.assert_allclose(series.values, [2_000, 1_000])


def test_every_unit_and_time_form_means_the_same(tmp_path: Path) -> None:
    unix = int(MIDNIGHT.timestamp())
    texts = [
        f"unix_s,load_w\n{unix},1500\n{unix + 900},3000\n",
        f"unix_s,load_kw\n{unix}.0,1.5\n{unix + 900}.0,3\n",
        "time,load [Wh]\n2026-04-15T22:00Z,375\n2026-04-15T22:15Z,750\n",
        "time [Europe/Berlin],load_kwh\n2026-04-16 00:00,0.375\n2026-04-16 00:15,0.75\n",
    ]
    for k, text in enumerate(texts):
        series = only(write(tmp_path, text, f"f{k}.csv"))
        assert series.start_s == unix
        np.testing.assert_allclose(series.values, [1_500, 3_000], rtol=1e-12)


def test_columns_of_one_file_become_profiles_of_their_own_names(tmp_path: Path) -> None:
    path = write(tmp_path, "time,house_w,roof [pu]\n2026-04-16T00:00Z,5,0.1\n2026-04-16T00:15Z,6,0.2\n")
    house, roof = read_by_header(path)
    assert (house.name, house.is_per_unit) == ("house", False)
    assert (roof.name, roof.is_per_unit) == ("roof", True)


def test_rows_in_another_order_are_sorted_where_times_are_absolute(tmp_path: Path) -> None:
    path = write(tmp_path, "unix_s,a_w\n1776290400,3\n1776288600,1\n1776289500,2\n")
    np.testing.assert_array_equal(only(path).values, [1, 2, 3])


def test_compressed_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"unix_s,a_w\n1776288600,1\n1776289500,2\n"))
    assert only(path).name == "a"


REFUSED = [
    ("time,load\n", "office.csv:1: column 'load' has no unit: expected W, kW, Wh, kWh or pu, such as 'load [W]'"),
    ("when,load_w\n", "office.csv:1: first column is 'when'"),
    ("time [Mars/Base],load_w\n", "'Mars/Base' is no time zone"),
    ("time,load_w\n2026-04-16T00:00,1\n", "office.csv:2: '2026-04-16T00:00' has no time zone"),
    ("time,load_w\n16.04.2026 00:00,1\n", "office.csv:2: expected a time such as"),
    ("unix_s,load_w\n1776290400000,1\n", "office.csv:2: expected unix time in seconds"),
    ("unix_s,load_w\n1776290400.5,1\n", "office.csv:2: expected whole seconds"),
    ("unix_s,load_w\n1776290400,one\n", "office.csv:2: load_w: expected a number, got 'one'"),
    ("unix_s,load_w\n1776290400,inf\n", "office.csv:2: load_w: expected a finite number, got 'inf'"),
    ("unix_s,load_w\n1776290400,-3\n", "office.csv:2: load_w: negative (-3)"),
    ("unix_s,load_w\n1776290400,1,2\n", "office.csv:2: expected 2 columns, got 3"),
    ("unix_s,load_w\n1776290400,1\n", "expected at least two rows of data, got 1"),
    ("unix_s,load_w\n1776290400,1\n1776291300,2\n1776290400,1\n",
     "office.csv:4: 2026-04-15T22:00:00+00:00 was already given in line 2"),
    ("unix_s,load_w\n1776290400,1\n1776291300,2\n1776292200,2\n1776292500,2\n",
     "office.csv:5: 300 s after the row before, while the file's step is 900 s"),
    ("unix_s,load_w\n1776290400,1\n1776376800,2\n", "steps of 86400 s: expected 1 to 3600 s"),
    ("unix_s,load_w,load_w\n1776290400,1,1\n", "expected one column 'load_w', got unix_s, load_w, load_w"),
    ("", "expected a header"),
    ('unix_s,"load_w\n', "broken CSV"),
    ("time [Europe/Berlin],load_w\n2026-03-29 01:45,1\n2026-03-29 02:00,1\n",
     "office.csv:3: 2026-03-29 02:00:00 does not exist in Europe/Berlin: clocks go forward in that hour"),
    ("time [Europe/Berlin],load_w\n2026-04-16 01:00,1\n2026-04-16 00:45,1\n",
     "office.csv:3: 2026-04-16 00:45:00 does not come after the row before"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_unclear_file_is_refused_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        read_by_header(write(tmp_path, text))
    assert message in str(caught.value)


def local_rows(first: datetime, hours: int) -> list[datetime]:
    start = first.astimezone(UTC)
    return [(start + timedelta(minutes=15 * k)).astimezone(BERLIN) for k in range(hours * 4)]


@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=BERLIN), datetime(2026, 10, 25, tzinfo=BERLIN)])
def test_local_times_of_clock_change_days_are_told_apart_by_their_order(
    tmp_path: Path, day: datetime
) -> None:
    rows = local_rows(day, 6)
    lines = [f"{row:%Y-%m-%d %H:%M},{k}" for k, row in enumerate(rows)]
    series = only(write(tmp_path, "\n".join(["time [Europe/Berlin],load_w", *lines])))
    assert (series.start_s, series.step_s, series.gaps) == (int(day.timestamp()), 900, ())
    np.testing.assert_array_equal(series.values, np.arange(24))


def test_autumn_hour_given_only_once_is_a_gap_not_a_guess(tmp_path: Path) -> None:
    rows = [row for row in local_rows(datetime(2026, 10, 25, tzinfo=BERLIN), 6) if not row.fold]
    lines = [f"{row:%Y-%m-%d %H:%M},1" for row in rows]
    series = only(write(tmp_path, "\n".join(["time [Europe/Berlin],load_w", *lines])))
    (gap,) = series.gaps
    assert gap.end_s - gap.start_s == 3_600
    with pytest.raises(ProfileError, match=r"office\.csv:13: office: no values from 2026-10-25T01:00Z"):
        series.mean_power(series.start_s, series.end_s, 900)


def day_file(missing: dict[int, str | None]) -> str:
    """Return 15 days of quarter hours; a missing one is left out (None) or has this text as its value."""
    first = int(MIDNIGHT.timestamp()) - 14 * 86_400
    rows = [f"{first + 900 * k},{missing.get(k, k)}" for k in range(15 * 96) if missing.get(k, k) is not None]
    return "\n".join(["unix_s,load_w", *rows])


@pytest.mark.parametrize("missing", [{1_400: None}, {1_400: ""}, {1_400: "NaN"}])
def test_gap_in_the_needed_days_is_refused_with_its_line(
    tmp_path: Path, missing: dict[int, str | None]
) -> None:
    write(tmp_path, day_file(missing))
    line = 1_401 if missing[1_400] is None else 1_402
    with pytest.raises(
        ProfileError, match=rf"participant home-02: .*office\.csv:{line}: office: no values from"
    ):
        profiles.load(scenario_with({"profile": "office", "scale_pu": 1.0}), tmp_path)


def test_gap_is_interpolated_only_where_allowed_and_reported() -> None:
    values = np.array([0.0, 10.0, np.nan, np.nan, 40.0, np.nan, np.nan, np.nan, 80.0])
    gaps = (Gap(1_800, 3_600, 3), Gap(4_500, 7_200, 6))
    series, notes = Series("a", "a.csv", False, 0, 900, values, gaps).filled(1_800)
    np.testing.assert_allclose(series.values[:5], [0, 10, 20, 30, 40])
    assert np.isnan(series.values[5:8]).all()
    assert series.gaps == gaps[1:]
    assert notes == ("a.csv:3: a: interpolated 1970-01-01T00:30Z to 1970-01-01T01:00Z",)


def test_users_profile_is_scaled_and_found_by_its_file_name(tmp_path: Path) -> None:
    write(tmp_path, day_file({}))
    profile_set = profiles.load(scenario_with({"profile": "office", "scale_pu": 2.0}), tmp_path)
    np.testing.assert_array_equal(day_of(profile_set), 2.0 * np.arange(14 * 96, 15 * 96))
    assert profile_set.delivery.start - profile_set.first == 14 * 96


@pytest.mark.parametrize(("scale", "power_w"), [({"peak_w": 200}, 200.0), ({"yearly_kwh": 8_760}, 1_000.0)])
def test_a_constant_load_is_the_same_all_year(scale: dict[str, object], power_w: float) -> None:
    profile_set = profiles.load(scenario_with({"profile": "CONST"} | scale))
    np.testing.assert_array_equal(profile_set.load_w, power_w)


def test_history_is_as_long_as_the_users_file_allows(tmp_path: Path) -> None:
    write(tmp_path, "\n".join(["unix_s,load_w", *day_file({}).splitlines()[1 + 12 * 96 + 5 :]]))
    profile_set = profiles.load(scenario_with({"profile": "office", "scale_pu": 1.0}), tmp_path)
    assert profile_set.delivery.start - profile_set.first == 1 * 96


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"profile": "office", "peak_w": 5.0}, "peak_w needs values per unit; these are in W: use scale_pu"),
        ({"profile": "office", "yearly_kwh": 5.0}, "yearly_kwh needs a whole year without gaps"),
        ({"profile": "H0-A", "scale_pu": 2.0}, "scale_pu needs values in W; these are per unit: use peak_w"),
        ({"profile": "H0-Z", "peak_w": 2.0}, "no profile 'H0-Z'; did you mean one of H0-"),
        ({"profile": "offce", "peak_w": 2.0}, "did you mean one of office?"),
    ],
)
def test_scale_that_does_not_fit_the_unit_is_refused(
    tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    write(tmp_path, day_file({}))
    with pytest.raises(ProfileError) as caught:
        profiles.load(scenario_with(fields), tmp_path)
    assert message in str(caught.value)


def test_file_that_does_not_reach_the_scenarios_days_is_refused(tmp_path: Path) -> None:
    write(tmp_path, day_file({}))
    with pytest.raises(
        ProfileError, match="covers 2026-04-01T22:00Z to 2026-04-16T22:00Z, the scenario needs"
    ):
        profiles.load(
            scenario_with({"profile": "office", "scale_pu": 1.0}, start=date(2026, 4, 17)), tmp_path
        )


@pytest.mark.parametrize(("step_s", "interval_s"), [(60, 900), (900, 3600), (3600, 900), (1800, 1800)])
def test_steps_are_averaged_or_held(step_s: int, interval_s: int) -> None:
    n_steps = 6 * 3_600 // step_s
    series = Series("a", "a.csv", False, 36_000, step_s, np.arange(n_steps, dtype=float))
    power = series.mean_power(36_000, 36_000 + 6 * 3_600, interval_s)
    assert power.size == 6 * 3_600 // interval_s
    assert power.sum() * interval_s == pytest.approx(series.values.sum() * step_s)


def test_steps_that_do_not_fit_the_intervals_are_refused() -> None:
    series = Series("a", "a.csv", False, 36_300, 900, np.ones(100))
    with pytest.raises(ProfileError, match="do not fit into intervals of 900 s"):
        series.mean_power(36_900, 37_800, 900)


def test_profile_in_two_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path, day_file({}), "office.csv")
    (tmp_path / "office.csv.gz").write_bytes(gzip.compress(day_file({}).encode()))
    with pytest.raises(ProfileError, match="profile 'office' is also in"):
        profiles.load(scenario_with({"profile": "office", "scale_pu": 1.0}), tmp_path)


def test_folder_without_files_is_refused(tmp_path: Path) -> None:
    scenario = scenario_with({"profile": "office", "scale_pu": 1.0})
    with pytest.raises(ProfileError, match=r"holds no \.csv"):
        profiles.load(scenario, tmp_path)
    with pytest.raises(ProfileError, match="no such folder"):
        profiles.load(scenario, tmp_path / "none")


def test_missing_data_folder_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYMGRID_DATA", raising=False)
    with pytest.raises(ProfileError) as caught:
        profiles.load(load(SCENARIOS / "hamlet.yaml"))
    assert str(caught.value) == (
        "profiles.folder $SYMGRID_DATA/homes: the environment variable SYMGRID_DATA is not set: "
        "set it to the data folder, or give the files' folder with --profiles"
    )


@pytest.mark.skipif(not DATA, reason="the HAMLET homes are not shipped; set SYMGRID_DATA")
def test_hamlet_homes_and_tariff_are_the_files_own() -> None:
    scenario = load(SCENARIOS / "hamlet.yaml")
    profile_set = profiles.load(scenario)
    folder = Path(str(DATA)) / "homes"
    day = slice(profile_set.column(profile_set.delivery.start), None)
    for row, home in enumerate(scenario.participants):
        table = np.loadtxt(folder / f"{home.id}.csv.gz", delimiter=",", skiprows=1)
        wanted = (table[:, 0] // 900 >= profile_set.delivery.start) & (
            table[:, 0] // 900 < profile_set.delivery.stop
        )
        np.testing.assert_array_equal(profile_set.load_w[row, day], table[wanted, 1])

    def tariff(name: str) -> dict[str, set[str]]:
        lines = gzip.decompress((folder / f"{name}.csv.gz").read_bytes()).decode().split()
        columns = zip(*(line.split(",") for line in lines), strict=True)
        return {column[0]: set(column[1:]) for column in columns}

    micro = 100  # one integer of HAMLET is 1e-7 EUR/Wh = 1e-4 EUR/kWh
    energy, grid, levies = tariff("energy"), tariff("grid"), tariff("levies")
    assert energy["energy_price_in"] == {str(scenario.tariff.long_price_micro_per_kwh // micro)}
    assert grid["grid_market_in"] == {"400"}
    assert grid["grid_retail_in"] == {"800"}
    assert levies["levies_price_in"] == {"1800"}
    assert energy["energy_price_out"] == {"1500"}
    assert scenario.tariff.levies_micro_per_kwh == (400 + 1_800) * micro
    assert scenario.tariff.short_price_micro_per_kwh(0) == (1_500 + 800 - 400) * micro
