"""Puts a scenario's load and solar together: every participant's power in every interval, with history."""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from node.profiles import roofs, servers, shipped
from node.profiles.csv_files import Column, read_by_header, read_columns
from node.profiles.errors import ProfileError
from node.profiles.series import Series
from node.scenario import Load, ProfileSources, Scenario, Solar

WEEK_S = 7 * 86_400
DEFAULT_HISTORY_DAYS = 14
# A load that never changes, one per unit of its peak.
CONSTANT = "CONST"
HOURS_PER_YEAR = 8_760.0


@dataclass(frozen=True, slots=True)
class ProfileSet:
    """Load and solar of all participants, in the scenario's order.

    Parameters
    ----------
    first : interval of column 0; columns before `delivery` are history for forecasts
    delivery : the scenario's delivery intervals
    load_w : (n_participants, n_intervals) mean consumption, W, >= 0
    solar_w : (n_participants, n_intervals) mean available generation, W, >= 0
    notes : what was filled in, one line each
    load_steps_w, solar_steps_w : (n_participants, n_intervals, n_steps) the same inside intervals, in equal steps
    """

    first: int
    delivery: range
    load_w: NDArray[np.float64]
    solar_w: NDArray[np.float64]
    notes: tuple[str, ...]
    load_steps_w: NDArray[np.float64]
    solar_steps_w: NDArray[np.float64]

    @property
    def n_steps(self) -> int:
        """Return how many times power changes in an interval; 1: it is constant."""
        return int(self.load_steps_w.shape[2])

    def column(self, interval: int) -> int:
        """Return the column of an interval.

        Raises
        ------
        IndexError
            If the set does not reach there.
        """
        column = interval - self.first
        if not 0 <= column < self.load_w.shape[1]:
            raise IndexError(f"interval {interval} is outside {self.first}..{self.delivery.stop - 1}")
        return column


def load(
    scenario: Scenario, folder: Path | None = None, history_days: int = DEFAULT_HISTORY_DAYS
) -> ProfileSet:
    """Read and scale all profiles of a scenario.

    Parameters
    ----------
    scenario : a checked scenario
    folder : the user's CSV files (`--profiles`); for a scenario that names its files, where these are
    history_days : days wanted before the first; fewer where users' files begin later

    Raises
    ------
    ProfileError
        For an unknown profile, or a file that is unclear or does not reach far enough.
    """
    own, notes = _own_series(scenario.profiles, folder)
    return _Assembly(scenario, own, history_days).profile_set(notes)


def _own_series(
    sources: ProfileSources | None, folder: Path | None
) -> tuple[dict[str, Series], tuple[str, ...]]:
    if sources is not None:
        at = _expanded(sources.folder) if folder is None else folder
        read = []
        for file in sources.files:
            column = Column(file.name, file.value_column, file.unit.lower())
            read += read_columns(at / file.file, file.time_column, [column], None)
    elif folder is not None:
        if not folder.is_dir():
            raise ProfileError(f"{folder}: no such folder: --profiles takes a folder of CSV files")
        files = sorted(f for f in folder.iterdir() if f.name.endswith((".csv", ".csv.gz")))
        if not files:
            raise ProfileError(f"{folder}: holds no .csv or .csv.gz file")
        read = [series for file in files for series in read_by_header(file)]
    else:
        return {}, ()
    own: dict[str, Series] = {}
    notes: list[str] = []
    for series in read:
        if series.name in own:
            raise ProfileError(
                f"{series.source}: profile {series.name!r} is also in {own[series.name].source}"
            )
        own[series.name], filled = series.filled(0 if sources is None else sources.fill_gaps_up_to_s)
        notes += filled
    return own, tuple(notes)


def _expanded(folder: str) -> Path:
    """Replace a leading `$NAME` by that environment variable."""
    if not folder.startswith("$"):
        return Path(folder)
    name, _, rest = folder[1:].partition("/")
    value = os.environ.get(name)
    if not value:
        raise ProfileError(
            f"profiles.folder {folder}: the environment variable {name} is not set: "
            f"set it to the data folder, or give the files' folder with --profiles"
        )
    path = Path(value) / rest
    if not path.is_dir():
        raise ProfileError(f"profiles.folder {folder}: no folder {path}")
    return path


class _Assembly:
    """The time range and the sources, while profiles are put together."""

    def __init__(self, scenario: Scenario, own: dict[str, Series], history_days: int) -> None:
        self._scenario = scenario
        self._own = own
        self._step_s = scenario.load_step_s or scenario.interval_s
        self._delivery = scenario.delivery_intervals()
        length_s = scenario.interval_s
        self._end_s = self._delivery.stop * length_s
        self._start_s = self._delivery.start * length_s - self._history_s(history_days)
        self._rows: dict[int, NDArray[np.int64]] = {}
        self._power: dict[tuple[str, int], NDArray[np.float64]] = {}

    def _history_s(self, days: int) -> int:
        """Return how much history all used files of the user have, whole days up to the wish."""
        start_s = self._delivery.start * self._scenario.interval_s
        for participant in self._scenario.participants:
            for part in (participant.load, participant.solar):
                if part is None or part.profile not in self._own:
                    continue
                shift_s = part.shift_weeks * WEEK_S if isinstance(part, Load) else 0
                days = min(days, (start_s + shift_s - self._own[part.profile].start_s) // 86_400)
        return max(0, days) * 86_400

    def profile_set(self, notes: tuple[str, ...]) -> ProfileSet:
        people = self._scenario.participants
        length_s = self._scenario.interval_s
        shape = (len(people), (self._end_s - self._start_s) // length_s, length_s // self._step_s)
        load_w, solar_w = np.zeros(shape), np.zeros(shape)
        for row, participant in enumerate(people):
            try:
                if participant.load is not None:
                    load_w[row] = self._load_w(participant.load).reshape(shape[1:])
                if participant.solar is not None:
                    solar_w[row] = self._solar_w(participant.solar).reshape(shape[1:])
            except ProfileError as error:
                raise ProfileError(f"participant {participant.id}: {error}") from error
        means = load_w.mean(axis=2), solar_w.mean(axis=2)
        for values in (load_w, solar_w, *means):
            values.flags.writeable = False
        return ProfileSet(self._start_s // length_s, self._delivery, *means, notes, load_w, solar_w)

    def _load_w(self, part: Load) -> NDArray[np.float64]:
        power = self._mean_power(part.profile, part.shift_weeks)
        own = self._own.get(part.profile)
        if part.yearly_kwh is not None:
            hours = own.full_load_hours() if own else self._shipped_hours(part.profile)
            return power * (part.yearly_kwh * 1_000 / hours)
        is_per_unit = own is None or own.is_per_unit
        if part.peak_w is not None:
            if not is_per_unit:
                raise ProfileError(
                    f"profile {part.profile}: peak_w needs values per unit; these are in W: use scale_pu"
                )
            return power * part.peak_w
        assert part.scale_pu is not None  # the model has exactly one scale
        if is_per_unit:
            raise ProfileError(
                f"profile {part.profile}: scale_pu needs values in W; these are per unit: use peak_w"
            )
        return power * part.scale_pu

    def _shipped_hours(self, name: str) -> float:
        if name == CONSTANT:
            return HOURS_PER_YEAR
        hours = shipped.extract().full_load_hours
        if name not in hours:
            raise ProfileError(f"profile {name}: four weeks say nothing about a year: use peak_w")
        return hours[name]

    def _solar_w(self, part: Solar) -> NDArray[np.float64]:
        if part.profile is None:
            assert part.roof is not None  # the model has exactly one of the two
            return roofs.power_w(part.roof, part.peak_w, self._start_s, self._end_s, self._step_s)
        own = self._own.get(part.profile)
        if own is not None and not own.is_per_unit:
            raise ProfileError(
                f"profile {part.profile}: solar needs values per unit of the plant's peak (pu)"
            )
        return self._mean_power(part.profile, 0) * part.peak_w

    def _mean_power(self, name: str, shift_weeks: int) -> NDArray[np.float64]:
        key = (name, shift_weeks)
        if key not in self._power:
            self._power[key] = self._read_power(name, shift_weeks)
        return self._power[key]

    def _read_power(self, name: str, shift_weeks: int) -> NDArray[np.float64]:
        step_s = self._step_s
        if name in self._own:
            shift_s = shift_weeks * WEEK_S
            return self._own[name].mean_power(self._start_s + shift_s, self._end_s + shift_s, step_s)
        if name == CONSTANT:
            return np.ones((self._end_s - self._start_s) // step_s)
        if name in servers.servers().names:
            zone = self._scenario.zone
            return servers.power_pu(name, self._start_s, self._end_s, step_s, zone, shift_weeks)
        known = (*self._own, CONSTANT, *shipped.names(), *servers.servers().names)
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3) or known
            raise ProfileError(f"no profile {name!r}; did you mean one of {', '.join(close)}?")
        if shift_weeks not in self._rows:
            self._rows[shift_weeks] = shipped.rows_for(
                self._start_s, self._end_s, step_s, self._scenario.zone, shift_weeks
            )
        return shipped.power_pu(name, self._rows[shift_weeks])
