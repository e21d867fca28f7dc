#!/usr/bin/env python3
"""Rebuild devices/profiles/simbench_15min.* from the PyPI package simbench (a wheel of 91 MB).

Usage: scripts/rebuild_profiles.py [--wheel FILE] [--out FOLDER]
Without --wheel, `pip download` fetches the wheel into a temporary folder. Standard library only.
"""

import argparse
import csv
import gzip
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path

VERSION = "1.6.3"
GRID_FOLDER = "simbench/networks/1-complete_data-mixed-all-0-sw"
YEAR_QUARTER_HOURS = 366 * 96  # 2016
# Households A, B, C, G, L; commerce G0 to G4; a farm. H0-H is left out: it never falls below 29 % of its
# peak in the whole year, which no single home does.
LOADS = ("H0-A", "H0-B", "H0-C", "H0-G", "H0-L", "G0-A", "G1-A", "G1-B", "G3-A", "G3-H", "G4-A", "L0-A")
SOLAR = ("PV1", "PV3", "PV5", "PV8")
# Four weeks from a Monday on, in each season of the VDEW load profiles; no clock change in them.
SEASONS = {"winter": date(2016, 1, 11), "transition": date(2016, 4, 4), "summer": date(2016, 7, 4)}
SEASON_DAYS = 28


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wheel", type=Path, help=f"simbench-{VERSION}-py3-none-any.whl, if already here")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "devices" / "profiles")
    options = parser.parse_args()
    if options.wheel:
        build(options.wheel, options.out)
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*command, f"simbench=={VERSION}", "--dest", folder], check=True)
        build(next(Path(folder).glob("simbench-*.whl")), options.out)


def build(wheel: Path, out: Path) -> None:
    """Cut the extract out of the wheel's whole year."""
    with zipfile.ZipFile(wheel) as archive:
        times, loads = read(archive, "LoadProfile", [f"{name}_pload" for name in LOADS])
        solar_times, solar = read(archive, "RESProfile", list(SOLAR))
    if times != solar_times or len(times) != YEAR_QUARTER_HOURS:
        raise SystemExit("the wheel does not hold the year 2016 in quarter hours, loads and solar alike")
    names = (*LOADS, *SOLAR)
    columns = loads + solar

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["time", *names])
    row_of = {time: row for row, time in enumerate(times)}
    for first in SEASONS.values():
        start = datetime.combine(first, datetime.min.time())
        for quarter in range(SEASON_DAYS * 96):
            time = start + timedelta(minutes=15 * quarter)
            row = row_of[time]
            writer.writerow([time.isoformat(timespec="minutes"), *(f"{c[row]:.4g}" for c in columns)])
    packed = gzip.compress(text.getvalue().encode(), compresslevel=9, mtime=0)
    (out / "simbench_15min.csv.gz").write_bytes(packed)

    about = {
        "source": f"SimBench, PyPI package simbench {VERSION}, {GRID_FOLDER}",
        "licence": "ODbL-1.0",
        "time_zone": "Europe/Berlin",
        "interval_s": 900,
        "season_days": SEASON_DAYS,
        "seasons": {season: first.isoformat() for season, first in SEASONS.items()},
        "full_load_hours": {name: round(sum(c) / 4, 1) for name, c in zip(names, columns, strict=True)},
    }
    (out / "simbench_15min.json").write_text(json.dumps(about, indent=2) + "\n")
    print(f"{len(names)} profiles, {len(SEASONS) * SEASON_DAYS} days, {len(packed)} bytes in {out}")


def read(archive: zipfile.ZipFile, file: str, wanted: list[str]) -> tuple[list[datetime], list[list[float]]]:
    """Return the wall-clock times of all rows, and one list of values for each wanted column."""
    with archive.open(f"{GRID_FOLDER}/{file}.csv") as raw:
        rows = csv.reader(io.TextIOWrapper(raw, "utf-8", newline=""), delimiter=";")
        header = next(rows)
        at = [header.index(name) for name in wanted]
        times: list[datetime] = []
        columns: list[list[float]] = [[] for _ in wanted]
        for row in rows:
            if not row:
                continue
            times.append(datetime.strptime(row[0], "%d.%m.%Y %H:%M"))
            for column, i in zip(columns, at, strict=True):
                column.append(float(row[i]))
    return times, columns


if __name__ == "__main__":
    main()
