#!/usr/bin/env python3
"""Rebuild devices/profiles/servers_5min.csv.gz from five CPU series of the Numenta Anomaly Benchmark.

Usage: scripts/rebuild_server_profiles.py FOLDER [--out FOLDER]
FOLDER holds the CSV files of https://github.com/numenta/NAB, data/realAWSCloudwatch and data/realKnownCause.
Standard library only.
"""

import argparse
import csv
import gzip
import io
from datetime import datetime, timedelta
from pathlib import Path

STEP_S = 300
DAYS = 28
PER_DAY = 86_400 // STEP_S
SERIES = {
    "SRV-A": "cpu_utilization_asg_misconfiguration",  # a job that runs every hour, on working days above all
    "SRV-B": "ec2_cpu_utilization_5f5533",  # steady work with short swings
    "SRV-C": "ec2_cpu_utilization_ac20cd",  # steady, then saturated for two days
    "SRV-D": "ec2_cpu_utilization_77c1ca",  # idle between batch jobs
    "SRV-E": "ec2_cpu_utilization_825cc2",  # nearly always full
}


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "devices" / "profiles")
    options = parser.parse_args()
    columns = [four_weeks(read(options.folder / f"{name}.csv")) for name in SERIES.values()]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SERIES)
    writer.writerows([f"{value:.3g}" for value in row] for row in zip(*columns, strict=True))
    packed = gzip.compress(text.getvalue().encode(), compresslevel=9, mtime=0)
    (options.out / "servers_5min.csv.gz").write_bytes(packed)
    print(f"{len(SERIES)} profiles, {DAYS} days, {len(packed)} bytes in {options.out}")


def read(path: Path) -> list[tuple[datetime, float]]:
    """Return times, moved to the step they lie in, and CPU utilisation in percent; holes are interpolated."""
    found: list[tuple[datetime, float]] = []
    with path.open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for time, value in rows:
            at = datetime.fromisoformat(time)
            at -= timedelta(minutes=at.minute % 5)
            if found and at <= found[-1][0]:
                continue
            while found and at - found[-1][0] > timedelta(seconds=STEP_S):
                missing = (at - found[-1][0]) // timedelta(seconds=STEP_S)
                before = found[-1][1]
                found.append(
                    (found[-1][0] + timedelta(seconds=STEP_S), before + (float(value) - before) / missing)
                )
            found.append((at, float(value)))
    return found


def four_weeks(series: list[tuple[datetime, float]]) -> list[float]:
    """Return 28 days from a Monday's midnight on; a series of 14 days comes twice, its seam where it began."""
    monday = next(
        k for k, (at, _) in enumerate(series) if at.weekday() == 0 and (at.hour, at.minute) == (0, 0)
    )
    wanted = DAYS * PER_DAY
    values = [value for _, value in series]
    if len(values) - monday >= wanted:
        return values[monday : monday + wanted]
    fortnight = values[: 14 * PER_DAY]
    fortnight += [fortnight[-1]] * (14 * PER_DAY - len(fortnight))
    turned = fortnight[monday:] + fortnight[:monday]
    return turned + turned


if __name__ == "__main__":
    main()
