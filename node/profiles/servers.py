"""The shipped server profiles: CPU utilisation of five cloud servers in steps of 5 minutes, as power.

Four weeks from a Monday's midnight on; a date of any year finds its week by counting weeks modulo four, its day by
the weekday, and a moment its row by local wall-clock time, as in `shipped`.
"""

import csv
import gzip
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

import devices
from devices.server import server_power_pu

STEP_S: Final = 300
ROWS_PER_DAY: Final = 86_400 // STEP_S
DAYS: Final = 28


@dataclass(frozen=True, slots=True)
class Servers:
    """Names and power per unit of each server's peak, (n_profiles, 28 days in steps of 5 minutes)."""

    names: tuple[str, ...]
    power_pu: NDArray[np.float64]


@cache
def servers() -> Servers:
    """Return the profiles, read once a process."""
    path = Path(next(iter(devices.__path__))) / "profiles" / "servers_5min.csv.gz"
    text = gzip.decompress(path.read_bytes()).decode("ascii")
    rows = csv.reader(io.StringIO(text, newline=""))
    names = tuple(next(rows))
    percent = np.array([[float(cell) for cell in row] for row in rows]).T
    return Servers(names, server_power_pu(np.ascontiguousarray(percent) / 100.0))


def power_pu(
    name: str, start_s: int, end_s: int, step_s: int, zone: ZoneInfo, shift_weeks: int = 0
) -> NDArray[np.float64]:
    """Return a profile's mean per step of `[start_s, end_s)`, per unit of its peak; shorter steps lie in one row."""
    part_s = min(step_s, STEP_S)
    rows = []
    for unix_s in range(start_s, end_s, part_s):
        local = datetime.fromtimestamp(unix_s, UTC).astimezone(zone)
        days_from_monday_1 = local.toordinal() - 1 + 7 * shift_weeks  # 0001-01-01 was a Monday
        in_day = (local.hour * 3_600 + local.minute * 60 + local.second) // STEP_S
        rows.append(days_from_monday_1 % DAYS * ROWS_PER_DAY + in_day)
    shipped = servers()
    values = shipped.power_pu[shipped.names.index(name)][np.array(rows, np.int64)]
    return np.asarray(values.reshape(-1, step_s // part_s).mean(axis=1))
