"""The shipped frequency day: what a real grid's frequency did in every second of one day.

`gmlc_frequency_1s.csv.gz` (devices/profiles) holds 86,400 deviations in 1e-5 of nominal, measured in a 60 Hz grid. They
are used per unit: a 50 Hz grid swings by the same share of its own nominal.
"""

import gzip
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import devices
from node.scenario import Scenario

SECONDS_PER_DAY = 86_400
UNIT_PU = 1e-5


@cache
def recorded_day_pu() -> NDArray[np.float64]:
    """Return the deviation from nominal in every second of the day, per unit, `(86400,)`."""
    path = Path(next(iter(devices.__path__))) / "profiles" / "gmlc_frequency_1s.csv.gz"
    with gzip.open(path, "rt", encoding="ascii") as file:
        next(file)  # the header
        values = np.array([int(line) for line in file], np.float64) * UNIT_PU
    if values.size != SECONDS_PER_DAY:
        raise ValueError(f"{path}: {values.size} seconds, need {SECONDS_PER_DAY}")
    values.flags.writeable = False
    return values


def frequency_record_pu(scenario: Scenario) -> NDArray[np.float64]:
    """Return the day that a scenario's frequency follows; nominal throughout where it says nothing else."""
    if scenario.frequency is None or scenario.frequency.record == "nominal":
        return np.zeros(SECONDS_PER_DAY)
    return recorded_day_pu()
