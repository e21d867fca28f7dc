"""The IEEE European low-voltage test feeder, read from its published OpenDSS files (LVTestCase, BSD-3-Clause).

Folder `feeder` of $SYMGRID_DATA: the test case as OpenDSS publishes it, and the power at its source, losses and
extreme voltages of every minute as OpenDSS computes them.
"""

import csv
import os
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from node.controller.powerflow import Feeder, PhaseLoads, balanced_v, phase_impedance_ohm

LV_V = 416 / np.sqrt(3)
# The file of sources sets the grid 5 % high.
SOURCE_PU = 1.05
FILES = "ieee_european_lv_opendss.tar.gz"


@dataclass(frozen=True, slots=True)
class FeederDay:
    """The feeder with bus 0 the stiff source, bus 1 its 11 kV terminal and bus 2 the secondary, all on 416 V."""

    feeder: Feeder
    loads: PhaseLoads  # (n_loads, 1440), minutes
    is_line: NDArray[np.bool_]
    reference: dict[str, NDArray[np.float64]]  # per minute, of OpenDSS


def data_folder() -> Path | None:
    """Return the folder of the feeder's files; None if SYMGRID_DATA names none."""
    root = os.environ.get("SYMGRID_DATA", "")
    folder = Path(root) / "feeder"
    return folder if root and folder.is_dir() else None


def read(folder: Path) -> FeederDay:
    """Read the feeder, its day and its reference."""
    with (folder / "opendss_daily_reference.csv").open() as file:
        rows = list(csv.DictReader(file))
    reference = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    with tarfile.open(folder / FILES) as tar:
        text = {}
        for member in tar.getmembers():
            content = tar.extractfile(member)
            if content is not None:
                text[Path(member.name).name] = content.read().decode()
    row, feeder = _feeder(text)
    # OpenDSS: constant power from 0.95 to 1.05 of the load's rated voltage, constant impedance outside.
    bus, phase, s_va = _loads(text, row)
    is_line = np.arange(feeder.parent.size) >= 3
    return FeederDay(feeder, PhaseLoads(bus, phase, s_va, 230.0, 0.95, 1.05), is_line, reference)


def _fields(line: str) -> dict[str, str]:
    return {k.lower(): v for k, v in re.findall(r"(\w+)=(\S+)", line)}


def _feeder(text: dict[str, str]) -> tuple[dict[int, int], Feeder]:
    codes = {}
    for line in text["LineCode.txt"].splitlines():
        if line.startswith("New"):
            f = _fields(line)
            codes[line.split()[1].removeprefix("LineCode.")] = tuple(
                float(f[k]) for k in ("r1", "x1", "r0", "x0")
            )
    branches: dict[int, list[tuple[int, complex, complex]]] = {}
    for line in text["Lines.txt"].splitlines():
        if line.startswith("New"):
            f = _fields(line)
            km = float(f["length"]) / 1000
            r1, x1, r0, x0 = codes[f["linecode"]]
            branches.setdefault(int(f["bus1"]), []).append(
                (int(f["bus2"]), complex(r1, x1) * km, complex(r0, x0) * km)
            )
    source_z, transformer_z = _source_ohm(), _transformer_ohm()
    # The transformer's delta carries no zero sequence to the source.
    row, parent, z1, z0 = {1: 2}, [-1, 0, 1], [0j, source_z, transformer_z], [0j, 0j, transformer_z]
    queue = [1]
    for bus in queue:
        for child, line_z1, line_z0 in branches.get(bus, ()):
            row[child] = len(parent)
            parent.append(row[bus])
            z1.append(line_z1)
            z0.append(line_z0)
            queue.append(child)
    z_ohm = phase_impedance_ohm(np.array(z1), np.array(z0))
    return row, Feeder(np.array(parent), z_ohm, balanced_v(SOURCE_PU * LV_V))


def _loads(
    text: dict[str, str], row: dict[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.complex128]]:
    bus, phase, s_va = [], [], []
    for line in text["Loads.txt"].splitlines():
        if not line.startswith("New"):
            continue
        f = _fields(line)
        at, ph = f["bus1"].split(".")
        profile = text[f"load_profile_{f['yearly'].removeprefix('Shape_')}.txt"]
        p = float(f["kw"]) * 1000 * np.array([float(x) for x in profile.split()])
        bus.append(row[int(at)])
        phase.append(int(ph) - 1)
        s_va.append(p * (1 + 1j * np.tan(np.arccos(float(f["pf"])))))
    return np.array(bus), np.array(phase), np.array(s_va)


def _source_ohm() -> complex:
    """ISC3 = 3000 A at 11 kV, X/R = 4 (OpenDSS's default), referred to 416 V."""
    magnitude = 11_000 / np.sqrt(3) / 3000
    r = magnitude / np.sqrt(1 + 16)
    return complex(r, 4 * r) * (416 / 11_000) ** 2


def _transformer_ohm() -> complex:
    """800 kVA, XHL = 4 %, 0.2 % resistance per winding (OpenDSS's default), on 416 V."""
    return complex(0.004, 0.04) * 416**2 / 800e3
