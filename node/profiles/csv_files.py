"""Reads users' own CSV files into series: units and time zones are stated, never guessed."""

import csv
import gzip
import io
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from node.profiles.errors import ProfileError
from node.profiles.series import Gap, Series

# Factor from the unit to W, or for energies to watt-hours of a step.
POWER_UNITS: Final = {"w": 1.0, "kw": 1e3, "pu": 1.0}
ENERGY_UNITS: Final = {"wh": 1.0, "kwh": 1e3}
UNIT = re.compile(r"^(?P<name>.*?)(?:\s*\[(?P<bracket>[^\]]+)\]|_(?P<suffix>w|kw|wh|kwh|pu))$", re.IGNORECASE)
TIME_HEADERS: Final = ("time", "timestamp", "unix_s", "datetime", "start")
# Unix seconds between 1973 and 2128: milliseconds are refused instead of becoming the year 50,000.
UNIX_S_RANGE: Final = (1e8, 5e9)
MIN_STEP_S: Final = 1
MAX_STEP_S: Final = 3_600
MAX_FILE_BYTES: Final = 200_000_000
MISSING: Final = frozenset({"", "nan", "na", "null", "none", "-"})


@dataclass(frozen=True, slots=True)
class Column:
    """A value column: the profile it becomes, its header, and its unit (W, kW, Wh, kWh, pu)."""

    name: str
    header: str
    unit: str


def read_by_header(path: Path) -> list[Series]:
    """Read every value column of a file whose header names units: `load [kWh]`, `office_w`.

    A single value column takes the file's name as profile name, several take their own names.

    Raises
    ------
    ProfileError
        With file and line, if anything in the file is unclear.
    """
    header, _ = _rows(path)
    time_header = header[0]
    zone = _zone_of_header(time_header, path)
    columns = []
    for text in header[1:]:
        match = UNIT.match(text)
        unit = (match["bracket"] or match["suffix"]).lower() if match else ""
        if match is None or unit not in POWER_UNITS | ENERGY_UNITS:
            raise ProfileError(
                f"{path}:1: column {text!r} has no unit: expected W, kW, Wh, kWh or pu, such as '{text} [W]'"
            )
        columns.append(Column(match["name"].strip(), text, unit))
    stem = path.name.removesuffix(".gz").removesuffix(".csv")
    if len(columns) == 1:
        columns = [Column(stem, columns[0].header, columns[0].unit)]
    return read_columns(path, time_header, columns, zone)


def _zone_of_header(header: str, path: Path) -> ZoneInfo | None:
    name, _, rest = header.partition("[")
    if name.strip().lower() not in TIME_HEADERS:
        raise ProfileError(
            f"{path}:1: first column is {header!r}: expected one of {', '.join(TIME_HEADERS)}, "
            "if needed with a zone, such as 'time [Europe/Berlin]'"
        )
    zone = rest.rstrip("] ")
    if not zone or zone == "unix s":
        return None
    try:
        return ZoneInfo(zone)
    except (ValueError, OSError, KeyError) as error:
        raise ProfileError(
            f"{path}:1: {zone!r} is no time zone: expected one such as Europe/Berlin"
        ) from error


def read_columns(path: Path, time_header: str, columns: list[Column], zone: ZoneInfo | None) -> list[Series]:
    """Read named columns of a file; a time without a zone is local time of `zone`, or refused."""
    header, rows = _rows(path)
    for wanted in (time_header, *(column.header for column in columns)):
        if header.count(wanted) != 1:
            raise ProfileError(f"{path}:1: expected one column {wanted!r}, got {', '.join(header)}")
    time_at = header.index(time_header)
    value_at = [header.index(column.header) for column in columns]
    to_unix = _TimeReader(path, zone)
    times: list[int] = []
    lines: list[int] = []
    values: list[list[float]] = [[] for _ in columns]
    for line, row in rows:
        if len(row) != len(header):
            raise ProfileError(f"{path}:{line}: expected {len(header)} columns, got {len(row)}")
        times.append(to_unix(row[time_at], line))
        lines.append(line)
        for column, series, at in zip(columns, values, value_at, strict=True):
            series.append(_number(row[at], column, path, line))
    if len(times) < 2:
        raise ProfileError(f"{path}: expected at least two rows of data, got {len(times)}")
    return _series(path, columns, np.array(times), np.array(lines), values)


def _rows(path: Path) -> tuple[list[str], Iterable[tuple[int, list[str]]]]:
    """Return the header and the numbered rows after it."""
    try:
        raw = path.read_bytes()
        if path.name.endswith(".gz"):
            raw = gzip.decompress(raw)
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ProfileError(f"{path}: broken gzip file: {error}") from error
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error
    if len(text) > MAX_FILE_BYTES:
        raise ProfileError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise ProfileError(f"{path}:{reader.line_num}: broken CSV: {error}") from error
    if not rows or len(rows[0][1]) < 2:
        raise ProfileError(
            f"{path}:1: expected a header with a time column and value columns, comma-separated"
        )
    return [name.strip() for name in rows[0][1]], rows[1:]


def _number(text: str, column: Column, path: Path, line: int) -> float:
    """Return a value, NaN where it is missing."""
    if text.strip().lower() in MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError as error:
        raise ProfileError(f"{path}:{line}: {column.header}: expected a number, got {text!r}") from error
    if not math.isfinite(value):
        raise ProfileError(f"{path}:{line}: {column.header}: expected a finite number, got {text!r}")
    if value < 0:
        raise ProfileError(
            f"{path}:{line}: {column.header}: negative ({text}): a load profile counts consumption, "
            "a solar profile generation, both from 0 up"
        )
    return value


class _TimeReader:
    """Turns the text of a time column into unix seconds."""

    def __init__(self, path: Path, zone: ZoneInfo | None) -> None:
        self._path = path
        self._zone = zone
        self._seen_in_fold: set[datetime] = set()
        self._last_local: datetime | None = None

    def __call__(self, text: str, line: int) -> int:
        unix_s = self._unix_s(text.strip(), line)
        if unix_s != int(unix_s):
            raise ProfileError(f"{self._path}:{line}: expected whole seconds, got {text!r}")
        if not UNIX_S_RANGE[0] < unix_s < UNIX_S_RANGE[1]:
            raise ProfileError(f"{self._path}:{line}: expected unix time in seconds, got {text!r}")
        return int(unix_s)

    def _unix_s(self, text: str, line: int) -> float:
        try:
            return float(text)
        except ValueError:
            pass
        try:
            time = datetime.fromisoformat(text)
        except ValueError as error:
            raise ProfileError(
                f"{self._path}:{line}: expected a time such as 2026-04-22T00:15+02:00 or unix seconds, "
                f"got {text!r}"
            ) from error
        if time.tzinfo is not None:
            return time.timestamp()
        if self._zone is None:
            raise ProfileError(
                f"{self._path}:{line}: {text!r} has no time zone: write it as {text}+01:00 or {text}Z, "
                "or name the zone in the header: 'time [Europe/Berlin]'"
            )
        return self._local(time, self._zone, line)

    def _local(self, time: datetime, zone: ZoneInfo, line: int) -> float:
        """Read a wall-clock time; the hour that comes twice in autumn is told apart by its order."""
        early = time.replace(tzinfo=zone, fold=0)
        late = time.replace(tzinfo=zone, fold=1)
        early_offset, late_offset = early.utcoffset(), late.utcoffset()
        assert early_offset is not None and late_offset is not None  # a ZoneInfo always has one
        if early_offset < late_offset:
            raise ProfileError(
                f"{self._path}:{line}: {time} does not exist in {zone.key}: clocks go forward in that hour"
            )
        is_twice = early_offset != late_offset
        if self._last_local is not None and time <= self._last_local and not is_twice:
            raise ProfileError(
                f"{self._path}:{line}: {time} does not come after the row before: local times must be in "
                "order and without duplicates"
            )
        self._last_local = time
        if is_twice and time in self._seen_in_fold:
            return late.timestamp()
        if is_twice:
            self._seen_in_fold.add(time)
        return early.timestamp()


def _series(
    path: Path,
    columns: list[Column],
    times: np.ndarray,
    lines: np.ndarray,
    values: list[list[float]],
) -> list[Series]:
    order = np.argsort(times, kind="stable")  # rows in any order are fine where their times are absolute
    times, lines = times[order], lines[order]
    differences = np.diff(times)
    if (differences == 0).any():
        at = int(np.argmax(differences == 0))
        when = datetime.fromtimestamp(int(times[at]), UTC).isoformat()
        first, second = sorted((int(lines[at]), int(lines[at + 1])))
        raise ProfileError(f"{path}:{second}: {when} was already given in line {first}")
    step_s = Counter(differences.tolist()).most_common(1)[0][0]
    if not MIN_STEP_S <= step_s <= MAX_STEP_S:
        raise ProfileError(f"{path}: steps of {step_s} s: expected {MIN_STEP_S} to {MAX_STEP_S} s")
    if (differences % step_s).any():
        at = int(np.argmax(differences % step_s != 0))
        raise ProfileError(
            f"{path}:{int(lines[at + 1])}: {int(differences[at])} s after the row before, "
            f"while the file's step is {step_s} s"
        )
    rows = (times - times[0]) // step_s
    n_steps = int(rows[-1]) + 1
    line_of_step = np.zeros(n_steps, dtype=np.int64)
    line_of_step[rows] = lines
    result = []
    for column, given in zip(columns, values, strict=True):
        power = np.full(n_steps, np.nan)
        power[rows] = np.array(given)[order] * _to_power(column.unit, step_s)
        gaps = _gaps(power, line_of_step, int(times[0]), step_s)
        result.append(Series(column.name, str(path), column.unit == "pu", int(times[0]), step_s, power, gaps))
    return result


def _to_power(unit: str, step_s: int) -> float:
    return POWER_UNITS[unit] if unit in POWER_UNITS else ENERGY_UNITS[unit] * 3_600 / step_s


def _gaps(power: np.ndarray, line_of_step: np.ndarray, start_s: int, step_s: int) -> tuple[Gap, ...]:
    """Find runs of missing values; their line is the missing value's own, or the row before the hole."""
    missing = np.concatenate(([False], np.isnan(power), [False]))
    borders = np.flatnonzero(missing[1:] != missing[:-1])
    return tuple(
        Gap(
            start_s=start_s + int(first) * step_s,
            end_s=start_s + int(last) * step_s,
            line=int(line_of_step[first] or line_of_step[first - 1]),
        )
        for first, last in zip(borders[::2], borders[1::2], strict=True)
    )
