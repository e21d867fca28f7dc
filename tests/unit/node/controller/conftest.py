"""The IEEE European low-voltage test feeder, read from its published OpenDSS files.

Folder `feeder` of $SYMGRID_DATA: the test case as OpenDSS publishes it (LVTestCase, BSD-3-Clause), and the power
at its source, losses and extreme voltages of every minute as OpenDSS computes them.
"""

import csv
import os
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from node.controller.powerflow import Feeder, PhaseLoads, balanced_v, phase_impedance_ohm

LV_V = 416 / np.sqrt(3)


@dataclass(frozen=True)
class TestFeeder:
    """The feeder with bus 0 the stiff source, bus 1 its 11 kV terminal and bus 2 the secondary, all on 416 V."""

    __test__ = False
    feeder: Feeder
    loads: PhaseLoads
    is_line: np.ndarray
    reference: dict[str, np.ndarray]  # per minute, of OpenDSS


@pytest.fixture(scope="session")
def lv_feeder():
    """Return the test feeder and what OpenDSS computed for its day."""
    folder = Path(os.environ.get("SYMGRID_DATA", "")) / "feeder"
    if not os.environ.get("SYMGRID_DATA") or not folder.is_dir():
        pytest.skip("the IEEE feeder is not shipped; set SYMGRID_DATA")
    with (folder / "opendss_daily_reference.csv").open() as file:
        rows = list(csv.DictReader(file))
    reference = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    return read_lv_feeder(folder / "ieee_european_lv_opendss.tar.gz", reference)


def fields(line):
    return {k.lower(): v for k, v in re.findall(r"(\w+)=(\S+)", line)}


def read_lv_feeder(archive: Path, reference) -> TestFeeder:
    with tarfile.open(archive) as tar:
        text = {Path(m.name).name: tar.extractfile(m).read().decode() for m in tar.getmembers() if m.isfile()}
    codes = {}
    for line in text["LineCode.txt"].splitlines():
        if line.startswith("New"):
            f = fields(line)
            codes[line.split()[1].removeprefix("LineCode.")] = tuple(
                float(f[k]) for k in ("r1", "x1", "r0", "x0")
            )
    branches = {}
    for line in text["Lines.txt"].splitlines():
        if line.startswith("New"):
            f = fields(line)
            km = float(f["length"]) / 1000
            r1, x1, r0, x0 = codes[f["linecode"]]
            branches.setdefault(int(f["bus1"]), []).append(
                (int(f["bus2"]), complex(r1, x1) * km, complex(r0, x0) * km)
            )
    source_z, transformer_z = source_impedance(), transformer_impedance()
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
    feeder = Feeder(
        np.array(parent), phase_impedance_ohm(np.array(z1), np.array(z0)), balanced_v(1.05 * LV_V)
    )
    bus, phase, s_va = [], [], []
    for number, line in enumerate(x for x in text["Loads.txt"].splitlines() if x.startswith("New")):
        f = fields(line)
        at, ph = f["bus1"].split(".")
        shape = np.array(
            [float(x) for x in text[f"load_profile_{f['yearly'].removeprefix('Shape_')}.txt"].split()]
        )
        p = float(f["kw"]) * 1000 * shape
        bus.append(row[int(at)])
        phase.append(int(ph) - 1)
        s_va.append(p * (1 + 1j * np.tan(np.arccos(float(f["pf"])))))
        assert number < 55
    is_line = np.arange(len(parent)) >= 3
    # OpenDSS: constant power from 0.95 to 1.05 of the load's rated voltage, constant impedance outside.
    loads = PhaseLoads(np.array(bus), np.array(phase), np.array(s_va), 230.0, 0.95, 1.05)
    return TestFeeder(feeder, loads, is_line, reference)


def source_impedance():
    """ISC3 = 3000 A at 11 kV, X/R = 4 (OpenDSS's default), referred to 416 V."""
    magnitude = 11_000 / np.sqrt(3) / 3000
    r = magnitude / np.sqrt(1 + 16)
    return complex(r, 4 * r) * (416 / 11_000) ** 2


def transformer_impedance():
    """800 kVA, XHL = 4 %, 0.2 % resistance per winding (OpenDSS's default), on 416 V."""
    return complex(0.004, 0.04) * 416**2 / 800e3
